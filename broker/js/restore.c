/* restore.c - STREAM.RESTORE: a stream out of the chunks of a snapshot (5.3).
 *
 * The request makes the stream, held back (store/state/apply_restore.c). Each chunk is cut into
 * whole records, which are proposed as they are; its answer comes when they are applied, so a
 * client can't be faster than the log. An empty chunk ends it: the real config takes effect, and
 * the answer shows the stream. Whatever goes wrong, also 5 s without a chunk, deletes what is
 * there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "store/base/err.h"
#include "store/state/backup.h"

#define SILENT_NS (5 * NS_PER_S)
/* One record that isn't complete, and a chunk. */
#define PENDING_BYTES_MAX (LIMIT_PAYLOAD_BYTES + MIB(2))
#define RESTORE_ID_CHARS 8

struct restore {
    struct list_node node;
    struct engine *engine;
    struct js_account *account;
    struct sub chunks;
    struct wheel_entry silent;
    uint32_t stream;       /* id */
    struct writer pending; /* bytes that aren't a whole record yet */
    bool headed, ended;    /* the head was seen; an end record */
    unsigned flights;
    bool failed;
    char *config; /* JSON as given */
    size_t config_bytes;
    char subject[2 * LIMIT_NAME_BYTES + 64];
};
/* An answer that waits for its command. */
struct restore_flight {
    struct proposal proposal;
    struct restore *restore;
    struct account *account;
    bool finish;
    size_t reply_bytes;
    char reply[];
};

static void restore_release(struct restore *r)
{
    if (r->flights != 0 || !list_linked(&r->node)) return;
    if (!r->failed) return;
    list_remove(&r->node);
    writer_free(&r->pending);
    free(r->config);
    free(r);
}

/* No more chunks; freed when nothing is in flight. */
static void restore_stop(struct restore *r)
{
    if (!r->failed) {
        router_unsubscribe(r->engine->o.router, &r->chunks);
        wheel_stop(r->engine->wheel, &r->silent);
    }
    r->failed = true;
}

static void restore_abort(struct restore *r)
{
    struct command_stream_delete d = {.stream = r->stream};
    if (r->failed) return;
    restore_stop(r);
    entry_put_stream_delete(propose_open(r->engine->o.group, 64), &d);
    propose_close(r->engine->o.group, NULL);
}

static void restore_silent(struct wheel_entry *w)
{
    struct restore *r = CONTAINER_OF(w, struct restore, silent);
    if (r->flights != 0) {
        wheel_start(r->engine->wheel, w, (struct mono){env_mono(r->engine->o.env).ns + SILENT_NS});
        return;
    }
    restore_abort(r);
    restore_release(r);
}

void restore_free(struct engine *e)
{
    LIST_FOREACH_SAFE (n, next, &e->restores) {
        struct restore *r = CONTAINER_OF(n, struct restore, node);
        restore_stop(r);
        restore_release(r);
    }
}

/* ---- answers ---- */

static void
answer_error(struct restore *r, struct account *a, struct text to, int code, const char *detail)
{
    struct api_answer out;
    char text[400];
    const struct js_error_row *row = js_errors_row(code);
    struct text none = {0};
    writer_init(&out.w, 256);
    json_out_init(&out.j, &out.w, false);
    json_out_object(&out.j, NULL);
    json_out_string(&out.j, "type", "io.nats.jetstream.api.v1.stream_create_response");
    json_out_object(&out.j, "error");
    json_out_i64(&out.j, "code", row == NULL ? 500 : row->code);
    json_out_i64(&out.j, "err_code", code);
    json_out_string(&out.j, "description", js_errors_text(code, detail, text, sizeof text));
    json_out_object_end(&out.j);
    json_out_object_end(&out.j);
    (void)engine_send(r->engine, a, to, none, none,
                      (struct text){.at = (const char *)out.w.base, .bytes = out.w.bytes});
    writer_free(&out.w);
}

static void answer_stream(struct restore *r, struct account *a, struct text to, struct stream *s)
{
    struct writer w;
    struct json_out j;
    struct text none = {0};
    writer_init(&w, 1024);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    json_out_string(&j, "type", "io.nats.jetstream.api.v1.stream_create_response");
    js_info_stream_members(r->engine, s, &j, NULL);
    json_out_object_end(&j);
    (void)engine_send(r->engine, a, to, none, none,
                      (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    writer_free(&w);
}

static void restore_done(struct proposal *p, const void *result)
{
    struct restore_flight *f = CONTAINER_OF(p, struct restore_flight, proposal);
    const struct apply_result *res = result;
    struct restore *r = f->restore;
    struct engine *e = r->engine;
    struct text to = {.at = f->reply, .bytes = f->reply_bytes}, none = {0};
    r->flights--;
    if (e->started && res->error != JS_OK) {
        answer_error(r, f->account, to, res->error, res->detail);
        restore_abort(r);
    } else if (e->started && f->finish) {
        answer_stream(r, f->account, to, res->stream);
        restore_stop(r);
    } else if (e->started) {
        (void)engine_send(e, f->account, to, none, none, none);
    }
    restore_release(r);
    engine_drop(e);
    free(f);
}

/* ---- chunks ---- */

static void
restore_propose(struct restore *r, const struct message *m, const struct command_restore *c)
{
    struct engine *e = r->engine;
    struct restore_flight *f = check_alloc(sizeof *f + m->reply.bytes);
    f->proposal.done = restore_done;
    f->restore = r;
    f->account = m->account;
    f->finish = c->step == RESTORE_FINISH;
    f->reply_bytes = m->reply.bytes;
    if (m->reply.bytes != 0) memcpy(f->reply, m->reply.at, m->reply.bytes);
    r->flights++;
    engine_hold(e);
    entry_put_restore(propose_open(e->o.group, c->records.bytes + c->config.bytes + 64), c);
    propose_close(e->o.group, &f->proposal);
}

/* How many bytes of what is pending are whole records. */
static int restore_whole(struct restore *r, size_t *whole)
{
    struct text t = {.at = (const char *)r->pending.base, .bytes = r->pending.bytes};
    *whole = 0;
    if (!r->headed) {
        if (t.bytes < BACKUP_HEAD_BYTES) return 0;
        if (memcmp(t.at, "GNTB\1\0\0\0", BACKUP_HEAD_BYTES) != 0) return E_MALFORMED;
        r->headed = true;
        r->pending.bytes -= BACKUP_HEAD_BYTES;
        memmove(r->pending.base, r->pending.base + BACKUP_HEAD_BYTES, r->pending.bytes);
        t.bytes = r->pending.bytes;
    }
    while (t.bytes != 0) {
        size_t bytes;
        uint8_t kind;
        if (r->ended || backup_record(t, &bytes, &kind) != 0) return E_MALFORMED;
        if (bytes == 0) break;
        if (kind == BACKUP_END) r->ended = true;
        *whole += bytes;
        t.at += bytes;
        t.bytes -= bytes;
    }
    return 0;
}

static void restore_refuse(struct restore *r, const struct message *m, const char *why)
{
    answer_error(r, m->account, m->reply, JS_STREAM_RESTORE, why);
    restore_abort(r);
    restore_release(r);
}

static bool restore_chunk(struct sub *sub, const struct message *m)
{
    struct restore *r = sub->owner;
    struct engine *e = r->engine;
    struct command_restore c = {.step = RESTORE_RECORDS, .stream = r->stream};
    struct text none = {0};
    size_t whole;
    if (m->deliver.bytes != 0) return false; /* a consumer's delivery: no chunk */
    wheel_start(e->wheel, &r->silent, (struct mono){env_mono(e->o.env).ns + SILENT_NS});
    if (m->body.bytes == 0) {
        if (!r->ended) {
            restore_refuse(r, m, "the backup isn't complete");
            return true;
        }
        c.step = RESTORE_FINISH;
        c.config = (struct text){.at = r->config, .bytes = r->config_bytes};
        restore_propose(r, m, &c);
        return true;
    }
    if (r->pending.bytes + m->body.bytes > PENDING_BYTES_MAX) {
        restore_refuse(r, m, "a record is too large");
        return true;
    }
    writer_put(&r->pending, m->body.at, m->body.bytes);
    if (restore_whole(r, &whole) != 0) {
        restore_refuse(r, m, "this isn't a backup made by this server");
    } else if (whole == 0) {
        if (m->reply.bytes != 0) (void)engine_send(e, m->account, m->reply, none, none, none);
    } else {
        c.records = (struct text){.at = (const char *)r->pending.base, .bytes = whole};
        restore_propose(r, m, &c);
        r->pending.bytes -= whole;
        memmove(r->pending.base, r->pending.base + whole, r->pending.bytes);
    }
    return true;
}

/* ---- the request ---- */

struct restore_body {
    struct text config, state;
};
static const struct json_in_field restore_fields[] = {
    JS_FIELD(restore_body, config, JSON_IN_RAW),
    JS_FIELD(restore_body, state, JSON_IN_RAW),
};
static const struct json_in_table restore_table = JS_TABLE(restore_body, restore_fields);

static void restore_begun(struct api_call *c, const struct apply_result *res)
{
    struct engine *e = c->engine;
    struct restore_body b = {0};
    struct api_answer a;
    struct restore *r = check_alloc(sizeof *r);
    char id[24];
    if (!api_decode(c, &restore_table, &b)) { /* it could before */
        free(r);
        return;
    }
    r->engine = e;
    r->account = c->account;
    r->stream = res->stream->id;
    r->silent.cb = restore_silent;
    r->config = check_alloc(b.config.bytes + 1);
    memcpy(r->config, b.config.at, b.config.bytes);
    r->config_bytes = b.config.bytes;
    writer_init(&r->pending, KIB(128));
    api_nuid(e, id);
    snprintf(r->subject, sizeof r->subject, "$JS.SNAPSHOT.RESTORE.%.*s.%.*s",
             (int)c->tokens[0].bytes, c->tokens[0].at, RESTORE_ID_CHARS, id);
    r->chunks = (struct sub){.account = c->reply_account,
                             .subject = text_of(r->subject),
                             .kind = SUB_INTERNAL,
                             .deliver = restore_chunk,
                             .owner = r};
    router_subscribe(e->o.router, &r->chunks);
    list_push_back(&e->restores, &r->node);
    wheel_start(e->wheel, &r->silent, (struct mono){env_mono(e->o.env).ns + SILENT_NS});
    api_begin(c, &a);
    json_out_string(&a.j, "deliver_subject", r->subject);
    api_end(c, &a);
}

void api_stream_restore(struct api_call *c)
{
    struct restore_body b = {0};
    struct stream_config config;
    struct config_error error;
    if (!api_decode(c, &restore_table, &b)) return;
    if (stream_config_decode(b.config, &config, &error) != 0) {
        api_fail_config(c, &error);
        return;
    }
    bool named = text_equal(config.name, c->tokens[0]);
    stream_config_free(&config);
    if (!named) {
        api_fail(c, JS_STREAM_MISMATCH, "");
        return;
    }
    struct command_restore command = {
        .step = RESTORE_BEGIN, .account = text_of(c->account->account->name), .config = b.config};
    entry_put_restore(propose_open(c->engine->o.group, b.config.bytes + command.account.bytes + 64),
                      &command);
    api_propose(c, restore_begun);
}
