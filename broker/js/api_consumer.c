/* api_consumer.c - CONSUMER.*: create in its three forms, names, list, info, delete, pause
 * (sections 5, 8). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/api.h"
#include "store/base/err.h"

#define CONSUMER_NAMES_PAGE 1024
#define CONSUMER_LIST_PAGE 256
#define CONSUMER_NAME_CHARS 8

/* ---- create ---- */

struct consumer_body {
    struct text stream_name, config, action;
    bool pedantic;
};
static const struct json_in_field consumer_fields[] = {
    JS_FIELD(consumer_body, stream_name, JSON_IN_TEXT),
    JS_FIELD(consumer_body, config, JSON_IN_RAW),
    JS_FIELD(consumer_body, action, JSON_IN_TEXT),
    JS_FIELD(consumer_body, pedantic, JSON_IN_BOOL),
};
static const struct json_in_table consumer_table = JS_TABLE(consumer_body, consumer_fields);

struct consumer_names {
    struct text durable_name, name;
};
static const struct json_in_field consumer_names_fields[] = {
    JS_FIELD(consumer_names, durable_name, JSON_IN_TEXT),
    JS_FIELD(consumer_names, name, JSON_IN_TEXT),
};
static const struct json_in_table consumer_names_table =
    JS_TABLE(consumer_names, consumer_names_fields);

static void consumer_answer(struct api_call *c, struct consumer *consumer)
{
    struct api_answer a;
    api_begin(c, &a);
    js_info_consumer_members(c->engine, consumer, &a.j);
    api_end(c, &a);
}

static void consumer_created(struct api_call *c, const struct apply_result *r)
{
    consumer_answer(c, r->consumer);
}

static bool legacy_durable(const struct api_call *c)
{
    return strncmp(c->endpoint->subject, "CONSUMER.DURABLE", 16) == 0;
}

/* What subject and body must agree on (8.2), before the config itself is looked at. 0: fine. */
static int consumer_mismatch(const struct api_call *c,
                             const struct consumer_body *b,
                             const struct consumer_names *n)
{
    struct text name = c->tokens[1], durable = n->durable_name;
    if (b->stream_name.bytes != 0 && !text_equal(b->stream_name, c->tokens[0]))
        return JS_STREAM_MISMATCH;
    if (name.bytes == 0) return durable.bytes != 0 ? JS_CONSUMER_EPHEMERAL_WITH_DURABLE_NAME : 0;
    if (legacy_durable(c) && durable.bytes == 0) return JS_CONSUMER_DURABLE_NAME_NOT_SET;
    if (durable.bytes != 0 && !text_equal(durable, name))
        return JS_CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT;
    if (n->name.bytes != 0 && !text_equal(n->name, name))
        return JS_CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT;
    return 0;
}

/* A filter in the subject is there for permissions: it must be the config's. */
static int consumer_filter_mismatch(const struct api_call *c, const struct consumer_config *config)
{
    struct text filter = c->tokens[2];
    if (filter.bytes == 0) return 0;
    if (config->filters_plural && config->filter_count != 0)
        return JS_CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED;
    if (config->filter_count != 1 || !text_equal(config->filters[0], filter))
        return JS_CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH;
    return 0;
}

static int consumer_action(struct text action, enum consumer_action *out)
{
    *out = CONSUMER_CREATE_OR_UPDATE;
    if (action.bytes == 0) return 0;
    if (text_equal(action, TEXT("create")))
        *out = CONSUMER_CREATE;
    else if (text_equal(action, TEXT("update")))
        *out = CONSUMER_UPDATE;
    else
        return JS_BAD_REQUEST;
    return 0;
}

/* The name by which the consumer will be known: the subject's, the durable one, its own, or one
 * that is made up. The text lives as long as the call. */
static struct text consumer_name(struct api_call *c, const struct consumer_names *n)
{
    if (c->tokens[1].bytes != 0) return c->tokens[1];
    if (n->durable_name.bytes != 0) return n->durable_name;
    if (n->name.bytes != 0) return n->name;
    api_nuid(c->engine, c->keep.name);
    return (struct text){.at = c->keep.name, .bytes = CONSUMER_NAME_CHARS};
}

static void consumer_propose(struct api_call *c,
                             enum consumer_action action,
                             struct text name,
                             struct text json)
{
    struct consumer *existing = stream_consumer(c->stream, name);
    struct command_consumer command = {
        .stream = c->stream->id, .action = (uint8_t)action, .config = json};
    if (existing != NULL) {
        command.seen = existing->id;
        command.deliver_interest = existing->engine != NULL && push_bound(existing->engine);
    }
    entry_put_consumer(propose_open(c->engine->o.group, json.bytes + 64), &command);
    api_propose(c, consumer_created);
}

static uint64_t locals_count(const struct stream *s)
{
    uint64_t n = 0;
    LIST_FOREACH (each, &s->locals) {
        n++;
    }
    return n;
}

/* Takes over config. */
static void consumer_create_local(struct api_call *c,
                                  enum consumer_action action,
                                  struct consumer_config *config)
{
    struct stream *s = c->stream;
    struct consumer *existing = local_consumer_find(s, config->name);
    int64_t max = s->config.max_consumers;
    int code = 0;
    if (existing != NULL) {
        code = consumer_config_equal(&existing->config, config) ? 0
               : action == CONSUMER_CREATE                      ? JS_CONSUMER_ALREADY_EXISTS
                                                                : JS_CONSUMER_NAME_EXISTS;
    } else if (action == CONSUMER_UPDATE) {
        code = JS_CONSUMER_DOES_NOT_EXIST;
    } else if (max > 0 && s->consumers.count + locals_count(s) >= (uint64_t)max) {
        code = JS_MAXIMUM_CONSUMERS_LIMIT;
    }
    if (code == 0 && existing == NULL) {
        existing = local_consumer_new(s->engine, config)->consumer;
    } else {
        consumer_config_free(config);
    }
    if (code != 0) {
        api_fail(c, code, "");
        return;
    }
    consumer_answer(c, existing);
}

static void
consumer_create(struct api_call *c, const struct consumer_body *b, struct consumer_config *config)
{
    enum consumer_action action;
    int code = consumer_filter_mismatch(c, config);
    if (code == 0) code = consumer_action(b->action, &action);
    if (code != 0) {
        consumer_config_free(config);
        api_fail(c, code, "");
        return;
    }
    if (local_consumer_wanted(c->stream, config) &&
        stream_consumer(c->stream, config->name) == NULL) {
        consumer_create_local(c, action, config);
        return;
    }
    struct writer w;
    struct json_out j;
    writer_init(&w, 512);
    json_out_init(&j, &w, false);
    consumer_config_encode(config, &j, NULL);
    struct text json = {.at = (const char *)w.base, .bytes = w.bytes};
    consumer_propose(c, action, config->name, json);
    writer_free(&w);
    consumer_config_free(config);
}

void api_consumer_create(struct api_call *c)
{
    struct consumer_body b = {0};
    struct consumer_config config;
    struct config_error error;
    if (!api_decode(c, &consumer_table, &b)) return;
    if (b.config.bytes == 0 || b.config.at[0] != '{') {
        api_fail(c, JS_CONSUMER_CONFIG_REQUIRED, "");
        return;
    }
    /* Whatever else is wrong with it, the config's own decoder says. */
    struct consumer_names names = {0};
    struct json_in_result ignored;
    if (json_in_decode(&c->json, b.config, &consumer_names_table, &names, &ignored) != 0)
        names = (struct consumer_names){0};
    int code = consumer_mismatch(c, &b, &names);
    if (code != 0) {
        api_fail(c, code, "");
        return;
    }
    struct text json = js_json_with(&c->json, b.config, "name", consumer_name(c, &names));
    if (consumer_config_decode(json, &c->stream->config, &config, &error) != 0) {
        api_fail_config(c, &error);
    } else {
        consumer_create(c, &b, &config);
    }
}

/* ---- names, list ---- */

struct consumer_page {
    uint64_t offset;
};
static const struct json_in_field consumer_page_fields[] = {
    JS_FIELD(consumer_page, offset, JSON_IN_U64)};
static const struct json_in_table consumer_page_table =
    JS_TABLE(consumer_page, consumer_page_fields);

static int name_compare(const void *a, const void *b)
{
    const struct consumer *x = *(struct consumer *const *)a, *y = *(struct consumer *const *)b;
    size_t least = x->name.bytes < y->name.bytes ? x->name.bytes : y->name.bytes;
    int order = memcmp(x->name.at, y->name.at, least);
    if (order != 0) return order;
    return x->name.bytes < y->name.bytes ? -1 : x->name.bytes > y->name.bytes;
}

/* All of a stream by name; malloc'ed. */
static struct consumer **consumers_sorted(const struct stream *s, size_t *count)
{
    size_t max = s->consumers.count + locals_count(s), n = 0;
    struct consumer **all = check_alloc((max + 1) * sizeof(struct consumer *));
    const struct list *lists[] = {&s->consumer_list, &s->locals};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        LIST_FOREACH (at, lists[i]) {
            CHECK(n < max);
            all[n++] = CONTAINER_OF(at, struct consumer, in_stream);
        }
    }
    qsort(all, n, sizeof(struct consumer *), name_compare);
    *count = n;
    return all;
}

static void consumer_pages(struct api_call *c, uint64_t limit, bool names)
{
    struct consumer_page page = {0};
    struct api_answer a;
    size_t count;
    if (!api_decode(c, &consumer_page_table, &page)) return;
    struct consumer **all = consumers_sorted(c->stream, &count);
    api_begin(c, &a);
    uint64_t offset = api_page(&a, count, page.offset, limit);
    json_out_array(&a.j, "consumers");
    for (size_t i = offset; i < count && i < offset + limit; i++) {
        if (names) {
            json_out_text(&a.j, NULL, all[i]->name);
        } else {
            js_info_consumer(c->engine, all[i], &a.j, NULL);
        }
    }
    json_out_array_end(&a.j);
    free(all);
    api_end(c, &a);
}

void api_consumer_names(struct api_call *c)
{
    consumer_pages(c, CONSUMER_NAMES_PAGE, true);
}
void api_consumer_list(struct api_call *c)
{
    consumer_pages(c, CONSUMER_LIST_PAGE, false);
}

/* ---- info, delete ---- */

void api_consumer_info(struct api_call *c)
{
    consumer_answer(c, c->consumer);
}

static void consumer_deleted(struct api_call *c, const struct apply_result *r)
{
    (void)r;
    api_success(c);
}

void api_consumer_delete(struct api_call *c)
{
    if (c->consumer->local) {
        local_consumer_delete(c->consumer->engine);
        api_success(c);
        return;
    }
    struct command_consumer_delete d = {.stream = c->stream->id, .consumer = c->consumer->id};
    entry_put_consumer_delete(propose_open(c->engine->o.group, 64), &d);
    api_propose(c, consumer_deleted);
}

/* ---- pause ---- */

struct consumer_pause_body {
    int64_t pause_until;
};
static const struct json_in_field consumer_pause_fields[] = {
    JS_FIELD(consumer_pause_body, pause_until, JSON_IN_TIME)};
static const struct json_in_table consumer_pause_table =
    JS_TABLE(consumer_pause_body, consumer_pause_fields);

static void pause_answer(struct api_call *c, int64_t until)
{
    struct api_answer a;
    int64_t now = env_wall_ns(c->engine->o.env);
    api_begin(c, &a);
    json_out_bool(&a.j, "paused", until > now);
    json_out_time(&a.j, "pause_until", until > 0 ? until : INT64_MIN);
    if (until > now) json_out_i64(&a.j, "pause_remaining", until - now);
    api_end(c, &a);
}

static void consumer_paused(struct api_call *c, const struct apply_result *r)
{
    (void)r;
    struct consumer *consumer =
        api_find_consumer(c->engine, c->account, c->tokens[0], c->tokens[1]);
    if (consumer != NULL) advisory_pause(consumer->engine);
    pause_answer(c, (int64_t)c->keep.until_ns);
}

void api_consumer_pause(struct api_call *c)
{
    struct consumer_pause_body b = {0};
    if (!api_decode(c, &consumer_pause_table, &b)) return;
    c->keep.until_ns = b.pause_until > env_wall_ns(c->engine->o.env) ? b.pause_until : 0;
    if (c->consumer->local) {
        c->consumer->config.pause_until_ns = c->keep.until_ns;
        engine_consumer_dirty(c->consumer->engine);
        pause_answer(c, c->keep.until_ns);
        return;
    }
    struct command_pause p = {
        .stream = c->stream->id, .consumer = c->consumer->id, .until_ns = c->keep.until_ns};
    entry_put_pause(propose_open(c->engine->o.group, 64), &p);
    api_propose(c, consumer_paused);
}

struct consumer_unpin_body {
    struct text group;
};
static const struct json_in_field consumer_unpin_fields[] = {
    JS_FIELD(consumer_unpin_body, group, JSON_IN_TEXT),
};
static const struct json_in_table consumer_unpin_table =
    JS_TABLE(consumer_unpin_body, consumer_unpin_fields);

/* Whoever is pinned may be another one in a moment anyway: the answer doesn't wait for the leader.
 */
void api_consumer_unpin(struct api_call *c)
{
    struct consumer_unpin_body b = {0};
    struct api_answer a;
    if (!api_decode(c, &consumer_unpin_table, &b)) return;
    const struct consumer_config *config = &c->consumer->config;
    bool found = false;
    for (size_t i = 0; i < config->priority_group_count && !found; i++)
        found = text_equal(config->priority_groups[i], b.group);
    if (!found || !pin_used(c->consumer->engine)) {
        api_fail(c, JS_CONSUMER_INVALID_PRIORITY_GROUP, "");
        return;
    }
    if (engine_decides(c->consumer->engine)) {
        pin_drop(c->consumer->engine, "admin");
    } else {
        engine_frames_unpin(c->consumer->engine);
    }
    api_begin(c, &a);
    api_end(c, &a);
}
