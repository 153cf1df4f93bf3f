#include "broker/js/api.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/publish_headers.h"

#define API_HEAD_BYTES 8 /* $JS.API. */

/* clang-format off */
static const struct api_endpoint api_endpoints[] = {
    /* after $JS.API.                flags                                   answer type                          handler */
    {"INFO",                         0,                                      "account_info_response",             api_account_info},
    {"STREAM.CREATE.*",              API_BODY_REQUIRED,                      "stream_create_response",            api_stream_create},
    {"STREAM.UPDATE.*",              API_BODY_REQUIRED,                      "stream_update_response",            api_stream_update},
    {"STREAM.NAMES",                 0,                                      "stream_names_response",             api_stream_names},
    {"STREAM.LIST",                  0,                                      "stream_list_response",              api_stream_list},
    {"STREAM.INFO.*",                API_STREAM,                             "stream_info_response",              api_stream_info},
    {"STREAM.DELETE.*",              API_STREAM | API_BODY_NONE,             "stream_delete_response",            api_stream_delete},
    {"STREAM.PURGE.*",               API_STREAM,                             "stream_purge_response",             api_stream_purge},
    {"STREAM.SNAPSHOT.*",            API_STREAM | API_BODY_REQUIRED,         "stream_snapshot_response",          api_stream_snapshot},
    {"STREAM.RESTORE.*",             API_BODY_REQUIRED,                      "stream_restore_response",           api_stream_restore},
    {"STREAM.MSG.GET.*",             API_STREAM | API_BODY_REQUIRED,         "stream_msg_get_response",           api_message_get},
    {"STREAM.MSG.DELETE.*",          API_STREAM | API_BODY_REQUIRED,         "stream_msg_delete_response",        api_message_delete},
    {"STREAM.PEER.REMOVE.*",         API_CLUSTER | API_STREAM,               "stream_remove_peer_response",       api_cluster_refuse},
    {"STREAM.LEADER.STEPDOWN.*",     API_CLUSTER | API_STREAM,               "stream_leader_stepdown_response",   api_cluster_stepdown},
    {"CONSUMER.CREATE.*",            API_STREAM | API_BODY_REQUIRED,         "consumer_create_response",          api_consumer_create},
    {"CONSUMER.CREATE.*.*",          API_STREAM | API_BODY_REQUIRED,         "consumer_create_response",          api_consumer_create},
    {"CONSUMER.CREATE.*.*.>",        API_STREAM | API_BODY_REQUIRED,         "consumer_create_response",          api_consumer_create},
    {"CONSUMER.DURABLE.CREATE.*.*",  API_STREAM | API_BODY_REQUIRED,         "consumer_create_response",          api_consumer_create},
    {"CONSUMER.NAMES.*",             API_STREAM,                             "consumer_names_response",           api_consumer_names},
    {"CONSUMER.LIST.*",              API_STREAM,                             "consumer_list_response",            api_consumer_list},
    {"CONSUMER.INFO.*.*",            API_STREAM | API_CONSUMER | API_BODY_NONE, "consumer_info_response",         api_consumer_info},
    {"CONSUMER.DELETE.*.*",          API_STREAM | API_CONSUMER | API_BODY_NONE, "consumer_delete_response",       api_consumer_delete},
    {"CONSUMER.PAUSE.*.*",           API_STREAM | API_CONSUMER,              "consumer_pause_response",           api_consumer_pause},
    {"CONSUMER.UNPIN.*.*",           API_STREAM | API_CONSUMER,              "consumer_unpin_response",           api_consumer_unpin},
    {"CONSUMER.LEADER.STEPDOWN.*.*", API_CLUSTER | API_STREAM | API_CONSUMER, "consumer_leader_stepdown_response", api_cluster_stepdown},
    {"META.LEADER.STEPDOWN",         API_CLUSTER,                            "meta_leader_stepdown_response",     api_cluster_stepdown},
    {"SERVER.REMOVE",                API_CLUSTER | API_SYSTEM,               "meta_server_remove_response",       api_cluster_refuse},
};
/* clang-format on */

/* ---- finding ---- */

/* The subject's tokens at the endpoint's wildcards. False: another endpoint. */
static bool api_match(const struct api_endpoint *ep, struct text subject, struct text *tokens)
{
    struct text pattern = text_of(ep->subject), want, have;
    size_t count = 0;
    while (subject_token(&pattern, &want)) {
        if (subject_is_rest(want)) {
            tokens[count] = subject;
            return subject.at != NULL && subject.bytes != 0;
        }
        if (!subject_token(&subject, &have)) return false;
        if (subject_is_star(want)) {
            tokens[count++] = have;
        } else if (!text_equal(want, have)) {
            return false;
        }
    }
    return subject.at == NULL;
}

static const struct api_endpoint *api_find(struct text subject, struct text *tokens)
{
    for (const struct api_endpoint *ep = api_endpoints; ep < ARRAY_END(api_endpoints); ep++) {
        memset(tokens, 0, API_TOKENS_MAX * sizeof *tokens);
        if (api_match(ep, subject, tokens)) return ep;
    }
    return NULL;
}

static struct stream *api_find_stream(struct engine *e, struct js_account *ja, struct text name)
{
    return state_stream(e->o.state, text_of(ja->account->name), name);
}

struct consumer *
api_find_consumer(struct engine *e, struct js_account *ja, struct text stream, struct text consumer)
{
    struct stream *s = api_find_stream(e, ja, stream);
    if (s == NULL) return NULL;
    struct consumer *c = stream_consumer(s, consumer);
    return c != NULL ? c : local_consumer_find(s, consumer);
}

/* ---- answers ---- */

static void api_release(struct api_call *c)
{
    list_remove(&c->node);
    arena_free(&c->json);
    engine_drop(c->engine);
    free(c);
}

void api_begin(struct api_call *c, struct api_answer *a)
{
    char type[100] = "io.nats.jetstream.api.v1.";
    size_t head = strlen(type), bytes = strlen(c->endpoint->type);
    CHECK(head + bytes < sizeof type);
    memcpy(type + head, c->endpoint->type, bytes + 1);
    writer_init(&a->w, 1024);
    json_out_init(&a->j, &a->w, false);
    json_out_object(&a->j, NULL);
    json_out_string(&a->j, "type", type);
}

static void api_send(struct api_call *c, struct text body)
{
    struct engine *e = c->engine;
    struct text none = {0};
    if (!e->started) return;
    if (c->reply.bytes != 0) (void)engine_send(e, c->reply_account, c->reply, none, none, body);
    advisory_api(e, c->account->account, c->subject, c->body, body);
}

void api_end(struct api_call *c, struct api_answer *a)
{
    json_out_object_end(&a->j);
    api_send(c, (struct text){.at = (const char *)a->w.base, .bytes = a->w.bytes});
    writer_free(&a->w);
    api_release(c);
}

static void api_error(struct json_out *j, int code, const char *description)
{
    const struct js_error_row *row = js_errors_row(code);
    json_out_object(j, "error");
    json_out_i64(j, "code", row == NULL ? 500 : row->code);
    json_out_i64(j, "err_code", code);
    json_out_string(j, "description", description);
    json_out_object_end(j);
}

void api_fail(struct api_call *c, int code, const char *detail)
{
    struct api_answer a;
    char text[400];
    c->account->account->api_errors++;
    api_begin(c, &a);
    api_error(&a.j, code, js_errors_text(code, detail, text, sizeof text));
    api_end(c, &a);
}

/* The text is whole already. */
void api_fail_config(struct api_call *c, const struct config_error *error)
{
    struct api_answer a;
    c->account->account->api_errors++;
    api_begin(c, &a);
    api_error(&a.j, error->code, error->text);
    api_end(c, &a);
}

void api_success(struct api_call *c)
{
    struct api_answer a;
    api_begin(c, &a);
    json_out_bool(&a.j, "success", true);
    api_end(c, &a);
}

uint64_t api_page(struct api_answer *a, uint64_t total, uint64_t offset, uint64_t limit)
{
    if (offset > total) offset = total;
    json_out_u64(&a->j, "total", total);
    json_out_u64(&a->j, "offset", offset);
    json_out_u64(&a->j, "limit", limit);
    return offset;
}

/* ---- bodies ---- */

static struct text trimmed(struct text t)
{
    while (t.bytes != 0 && strchr(" \t\r\n", t.at[0]) != NULL) {
        t.at++;
        t.bytes--;
    }
    while (t.bytes != 0 && strchr(" \t\r\n", t.at[t.bytes - 1]) != NULL)
        t.bytes--;
    return t;
}

static bool body_empty(struct text body)
{
    body = trimmed(body);
    return body.bytes == 0 || text_equal(body, TEXT("{}"));
}

bool api_decode(struct api_call *c, const struct json_in_table *table, void *out)
{
    struct config_error error;
    struct text body = trimmed(c->body);
    bool optional = (c->endpoint->flags & API_BODY_REQUIRED) == 0;
    if (body.bytes == 0 || (optional && body.at[0] != '{' && body.at[0] != '[')) return true;
    if (js_json_decode(&c->json, body, table, out, &error) == 0) return true;
    api_fail_config(c, &error);
    return false;
}

/* ---- proposals ---- */

static void api_proposed(struct proposal *p, const void *result)
{
    struct api_call *c = CONTAINER_OF(p, struct api_call, proposal);
    const struct apply_result *r = result;
    if (!c->engine->started) {
        api_release(c);
    } else if (r->error != JS_OK) {
        api_fail(c, r->error, r->detail);
    } else {
        c->result(c, r);
    }
}

void api_propose(struct api_call *c, void (*done)(struct api_call *, const struct apply_result *))
{
    c->result = done;
    c->proposal.done = api_proposed;
    propose_close(c->engine->o.group, &c->proposal);
}

/* ---- a request ---- */

/* Questions to peers are for local consumers elsewhere. */
static void api_asked(struct engine_ask *ask, struct text answer)
{
    struct api_call *c = CONTAINER_OF(ask, struct api_call, ask);
    if (answer.bytes == 0) {
        api_fail(c, JS_CONSUMER_NOT_FOUND, "");
        return;
    }
    api_send(c, answer);
    api_release(c);
}

static bool api_elsewhere(struct api_call *c)
{
    bool could =
        c->endpoint->handler == api_consumer_info || c->endpoint->handler == api_consumer_delete;
    if (!could || !engine_clustered(c->engine)) return false;
    c->ask.done = api_asked;
    engine_frames_ask(c->engine, &c->ask, c->account->account, c->subject, c->body);
    return true;
}

static void api_run(struct js_read *r)
{
    struct api_call *c = CONTAINER_OF(r, struct api_call, read);
    unsigned flags = c->endpoint->flags;
    if (!c->engine->started) {
        api_release(c);
        return;
    }
    if ((flags & API_STREAM) != 0) {
        c->stream = api_find_stream(c->engine, c->account, c->tokens[0]);
        if (c->stream == NULL) {
            api_fail(c, JS_STREAM_NOT_FOUND, "");
            return;
        }
    }
    if ((flags & API_CONSUMER) != 0) {
        c->consumer = api_find_consumer(c->engine, c->account, c->tokens[0], c->tokens[1]);
        if (c->consumer == NULL) {
            if (!api_elsewhere(c)) api_fail(c, JS_CONSUMER_NOT_FOUND, "");
            return;
        }
    }
    c->endpoint->handler(c);
}

static int api_refused(const struct api_call *c, const struct message *m)
{
    unsigned flags = c->endpoint->flags;
    bool meta = (flags & API_CLUSTER) != 0 && (flags & API_STREAM) == 0;
    if (!c->account->account->jetstream && !(meta && c->account->account->system))
        return JS_NOT_ENABLED_FOR_ACCOUNT;
    if (m->header.bytes != 0) {
        struct publish_headers h;
        publish_headers_parse(m->header, &h);
        if (h.api_level_given && h.api_level > JS_API_LEVEL) return JS_REQUIRED_API_LEVEL;
    }
    if ((flags & API_CLUSTER) != 0 && !engine_clustered(c->engine)) return JS_CLUSTER_REQUIRED;
    if ((flags & API_BODY_NONE) != 0 && !body_empty(c->body)) return JS_NOT_EMPTY_REQUEST;
    if ((flags & API_BODY_REQUIRED) != 0 && trimmed(c->body).bytes == 0) return JS_BAD_REQUEST;
    return 0;
}

static struct text copied(char **at, struct text t)
{
    struct text out = {.at = *at, .bytes = t.bytes};
    if (t.bytes != 0) memcpy(*at, t.at, t.bytes);
    *at += t.bytes;
    return out;
}

static struct api_call *api_new(struct js_account *ja, const struct message *m)
{
    struct api_call *c =
        check_alloc(sizeof *c + m->subject.bytes + m->reply.bytes + m->body.bytes + 1);
    char *at = (char *)(c + 1);
    c->engine = ja->engine;
    c->account = ja;
    c->reply_account = m->account;
    c->subject = copied(&at, m->subject);
    c->reply = copied(&at, m->reply);
    c->body = copied(&at, m->body);
    list_push_back(&ja->engine->calls, &c->node);
    engine_hold(ja->engine);
    return c;
}

/* Everything but messages for one asset. Unknown subjects are swallowed, as nats-server's catch-all
 * does. */
static bool api_request(struct js_account *ja, const struct message *m)
{
    struct text rest = {.at = m->subject.at + API_HEAD_BYTES,
                        .bytes = m->subject.bytes - API_HEAD_BYTES};
    struct text tokens[API_TOKENS_MAX];
    if (api_find(rest, tokens) == NULL) return true;
    struct api_call *c = api_new(ja, m);
    rest = (struct text){.at = c->subject.at + API_HEAD_BYTES, .bytes = rest.bytes};
    c->endpoint = api_find(rest, c->tokens);
    ja->account->api_total++;
    int code = api_refused(c, m);
    if (code != 0) {
        api_fail(c, code, "");
        return true;
    }
    c->read.done = api_run;
    engine_read(c->engine, &c->read);
    return true;
}

/* ---- messages for one asset: a consumer's requests, direct gets ---- */

static const struct api_asset {
    struct text head;
    bool (*deliver)(struct js_account *ja, const struct message *m, struct text rest);
} api_assets[] = {
    {{"$JS.API.CONSUMER.MSG.NEXT.", 26}, pull_deliver},
    {{"$JS.API.DIRECT.GET.", 19}, direct_deliver},
};

static struct text asset_rest(const struct api_asset *a, struct text subject)
{
    return (struct text){.at = subject.at + a->head.bytes, .bytes = subject.bytes - a->head.bytes};
}

bool api_deliver(struct js_account *ja, const struct message *m)
{
    for (const struct api_asset *a = api_assets; a < ARRAY_END(api_assets); a++) {
        if (!subject_starts(m->subject, a->head)) continue;
        if (!ja->account->jetstream) return false;
        return a->deliver(ja, m, asset_rest(a, m->subject));
    }
    return api_request(ja, m);
}

void api_answer_local(struct js_account *ja,
                      struct text subject,
                      struct text body,
                      struct writer *out)
{
    struct api_call c = {.engine = ja->engine, .account = ja, .subject = subject, .body = body};
    if (!subject_starts(subject, TEXT("$JS.API."))) return;
    subject.at += API_HEAD_BYTES;
    subject.bytes -= API_HEAD_BYTES;
    c.endpoint = api_find(subject, c.tokens);
    if (c.endpoint == NULL || (c.endpoint->flags & API_CONSUMER) == 0) return;
    struct stream *s = api_find_stream(ja->engine, ja, c.tokens[0]);
    c.consumer = s == NULL ? NULL : local_consumer_find(s, c.tokens[1]);
    if (c.consumer == NULL) return;
    struct api_answer a;
    api_begin(&c, &a);
    if (c.endpoint->handler == api_consumer_delete) {
        json_out_bool(&a.j, "success", true);
        local_consumer_delete(c.consumer->engine);
    } else {
        js_info_consumer_members(ja->engine, c.consumer, &a.j);
    }
    json_out_object_end(&a.j);
    writer_put(out, a.w.base, a.w.bytes);
    writer_free(&a.w);
}

void api_nuid(struct engine *e, char *out)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t bits = 0;
    for (size_t i = 0; i < 22; i++) {
        if (i % 10 == 0) bits = env_random(e->o.env);
        out[i] = digits[bits % 62];
        bits /= 62;
    }
    out[22] = '\0';
}

/* Reads and questions were ended before; calls with a proposal in flight come back by themselves.
 */
void api_free(struct engine *e)
{
    while (list_pop_front(&e->calls) != NULL) {
    }
}
