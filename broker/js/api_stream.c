/* api_stream.c - STREAM.*: create, update, names, list, info, delete, purge (sections 5, 6). */
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "store/base/err.h"
#include "store/base/subject_match.h"

#define STREAM_NAMES_PAGE 1024
#define STREAM_LIST_PAGE 256

/* ---- create, update ---- */

static void stream_created(struct api_call *c, const struct apply_result *r)
{
    struct api_answer a;
    api_begin(c, &a);
    js_info_stream_members(c->engine, r->stream, &a.j, NULL);
    if (r->created) json_out_bool(&a.j, "did_create", true);
    api_end(c, &a);
}

static void stream_updated(struct api_call *c, const struct apply_result *r)
{
    struct api_answer a;
    api_begin(c, &a);
    js_info_stream_members(c->engine, r->stream, &a.j, NULL);
    api_end(c, &a);
}

static void stream_propose(struct api_call *c,
                           enum command_type type,
                           const struct stream_config *config,
                           bool pedantic)
{
    struct writer w;
    struct json_out j;
    writer_init(&w, 1024);
    json_out_init(&j, &w, false);
    stream_config_encode(config, &j, NULL);
    struct command_stream command = {.account = text_of(c->account->account->name),
                                     .config = {.at = (const char *)w.base, .bytes = w.bytes},
                                     .pedantic = pedantic};
    entry_put_stream(propose_open(c->engine->o.group, w.bytes + command.account.bytes + 64), type,
                     &command);
    api_propose(c, type == COMMAND_STREAM_CREATE ? stream_created : stream_updated);
    writer_free(&w);
}

/* Placement is ours: what is asked for is stored and shown; it must only be thinkable. */
static int stream_placeable(const struct api_call *c, const struct stream_config *config)
{
    struct group_member members[LIMIT_VOTERS * 2];
    if (config->num_replicas <= 1) return 0;
    if (!engine_clustered(c->engine)) return JS_STREAM_REPLICAS_NOT_SUPPORTED;
    size_t count = group_members(c->engine->o.group, members, ARRAY_COUNT(members));
    return (uint64_t)config->num_replicas > count ? JS_CLUSTER_NO_PEERS : 0;
}

/* pedantic stands beside the config's members and isn't one. */
static bool stream_decode(struct api_call *c, struct stream_config *config, bool *pedantic)
{
    struct config_error error;
    struct text body = c->body;
    *pedantic = false;
    if (memmem(body.at, body.bytes, "\"pedantic\"", 10) != NULL) {
        *pedantic = memmem(body.at, body.bytes, "\"pedantic\":true", 15) != NULL;
        body = js_json_without(&c->json, body, "pedantic");
    }
    if (stream_config_decode(body, config, &error) != 0) {
        api_fail_config(c, &error);
        return false;
    }
    int code =
        text_equal(config->name, c->tokens[0]) ? stream_placeable(c, config) : JS_STREAM_MISMATCH;
    if (code == 0) return true;
    stream_config_free(config);
    api_fail(c, code, "no suitable peers for placement");
    return false;
}

void api_stream_create(struct api_call *c)
{
    struct stream_config config;
    bool pedantic;
    if (!stream_decode(c, &config, &pedantic)) return;
    stream_propose(c, COMMAND_STREAM_CREATE, &config, pedantic);
    stream_config_free(&config);
}

/* Sparse updates are common: no number of replicas means the one it has, not one. */
static bool replicas_absent(struct text body)
{
    const char *at = memmem(body.at, body.bytes, "\"num_replicas\":", 15);
    if (at == NULL) return true;
    const char *end = body.at + body.bytes;
    for (at += 15; at < end && *at == ' '; at++) {
    }
    return at < end && *at == '0';
}

void api_stream_update(struct api_call *c)
{
    struct stream_config config;
    bool pedantic;
    if (!stream_decode(c, &config, &pedantic)) return;
    struct stream *s =
        state_stream(c->engine->o.state, text_of(c->account->account->name), c->tokens[0]);
    if (s == NULL) {
        stream_config_free(&config);
        api_fail(c, JS_STREAM_NOT_FOUND, "");
        return;
    }
    if (replicas_absent(c->body)) config.num_replicas = s->config.num_replicas;
    stream_propose(c, COMMAND_STREAM_UPDATE, &config, pedantic);
    stream_config_free(&config);
}

/* ---- names, list ---- */

struct stream_page {
    uint64_t offset;
    struct text subject;
};
static const struct json_in_field stream_page_fields[] = {
    JS_FIELD(stream_page, offset, JSON_IN_U64),
    JS_FIELD(stream_page, subject, JSON_IN_TEXT),
};
static const struct json_in_table stream_page_table = JS_TABLE(stream_page, stream_page_fields);

static bool stream_wanted(const struct stream *s, struct text filter)
{
    if (filter.bytes == 0) return true;
    for (size_t i = 0; i < s->config.subject_count; i++) {
        if (subject_overlap(s->config.subjects[i], filter)) return true;
    }
    return false;
}

static struct stream *stream_next(struct api_call *c, struct stream *at, struct text filter)
{
    struct text account = text_of(c->account->account->name);
    do {
        at = state_stream_next(c->engine->o.state, account, at);
    } while (at != NULL && !stream_wanted(at, filter));
    return at;
}

static void stream_pages(struct api_call *c, uint64_t limit, bool names)
{
    struct stream_page page = {0};
    struct api_answer a;
    if (!api_decode(c, &stream_page_table, &page)) return;
    uint64_t total = 0, at = 0;
    for (struct stream *s = stream_next(c, NULL, page.subject); s != NULL;
         s = stream_next(c, s, page.subject))
        total++;
    api_begin(c, &a);
    uint64_t offset = api_page(&a, total, page.offset, limit);
    json_out_array(&a.j, "streams");
    for (struct stream *s = stream_next(c, NULL, page.subject); s != NULL;
         s = stream_next(c, s, page.subject), at++) {
        if (at < offset || at >= offset + limit) continue;
        if (names) {
            json_out_text(&a.j, NULL, s->config.name);
        } else {
            js_info_stream(c->engine, s, &a.j, NULL);
        }
    }
    json_out_array_end(&a.j);
    api_end(c, &a);
}

void api_stream_names(struct api_call *c)
{
    stream_pages(c, STREAM_NAMES_PAGE, true);
}
void api_stream_list(struct api_call *c)
{
    stream_pages(c, STREAM_LIST_PAGE, false);
}

/* ---- info ---- */

struct stream_info_body {
    uint64_t offset;
    bool deleted_details;
    struct text subjects_filter;
};
static const struct json_in_field stream_info_fields[] = {
    JS_FIELD(stream_info_body, offset, JSON_IN_U64),
    JS_FIELD(stream_info_body, deleted_details, JSON_IN_BOOL),
    JS_FIELD(stream_info_body, subjects_filter, JSON_IN_TEXT),
};
static const struct json_in_table stream_info_table =
    JS_TABLE(stream_info_body, stream_info_fields);

void api_stream_info(struct api_call *c)
{
    struct stream_info_body b = {0};
    struct api_answer a;
    if (!api_decode(c, &stream_info_table, &b)) return;
    struct js_info_state how = {
        .deleted = b.deleted_details, .subjects_filter = b.subjects_filter, .offset = b.offset};
    api_begin(c, &a);
    js_info_stream_members(c->engine, c->stream, &a.j, &how);
    api_end(c, &a);
}

/* ---- delete, purge ---- */

static void stream_done(struct api_call *c, const struct apply_result *r)
{
    (void)r;
    api_success(c);
}

void api_stream_delete(struct api_call *c)
{
    struct command_stream_delete d = {.stream = c->stream->id};
    entry_put_stream_delete(propose_open(c->engine->o.group, 64), &d);
    api_propose(c, stream_done);
}

struct stream_purge_body {
    struct text filter;
    uint64_t seq, keep;
};
static const struct json_in_field stream_purge_fields[] = {
    JS_FIELD(stream_purge_body, filter, JSON_IN_TEXT),
    JS_FIELD(stream_purge_body, seq, JSON_IN_U64),
    JS_FIELD(stream_purge_body, keep, JSON_IN_U64),
};
static const struct json_in_table stream_purge_table =
    JS_TABLE(stream_purge_body, stream_purge_fields);

static void stream_purged(struct api_call *c, const struct apply_result *r)
{
    struct api_answer a;
    api_begin(c, &a);
    json_out_bool(&a.j, "success", true);
    json_out_u64(&a.j, "purged", r->count);
    api_end(c, &a);
}

void api_stream_purge(struct api_call *c)
{
    struct stream_purge_body b = {0};
    if (!api_decode(c, &stream_purge_table, &b)) return;
    if (b.seq != 0 && b.keep != 0) {
        api_fail(c, JS_BAD_REQUEST, "");
        return;
    }
    struct command_purge p = {
        .stream = c->stream->id, .filter = b.filter, .below = b.seq, .keep = b.keep};
    entry_put_purge(propose_open(c->engine->o.group, 96 + b.filter.bytes), &p);
    api_propose(c, stream_purged);
}
