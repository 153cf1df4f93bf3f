/* state.c - see state.h: the objects, how they are found, open, flush and close. */
#include "store/state/state.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/apply.h"
#include "store/state/rows.h"

static const struct account_limits unlimited = {-1, -1, -1, -1, -1, -1, -1, false};

static struct text account_name(const void *value)
{
    return ((const struct account *)value)->name;
}

/* ---- open, flush, close ---- */

int state_open(const struct state_options *o, struct state **out)
{
    struct state *s = check_alloc(sizeof *s);
    s->store = o->store;
    s->watcher = o->watcher;
    s->at = o->at;
    s->next_account = s->next_stream = s->next_consumer = 1;
    map_init(&s->accounts, 0, account_name);
    map_init(&s->streams, 0, NULL);
    map_init(&s->consumers, 0, NULL);
    map_init(&s->origins, 0, NULL);
    list_init(&s->dirty_accounts);
    list_init(&s->dirty_streams);
    list_init(&s->dirty_consumers);
    list_init(&s->dirty_origins);
    writer_init(&s->gone_rows, 0);
    int rc = rows_load(s);
    if (rc != 0) {
        state_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

static void free_stream(struct state *s, struct stream *stream)
{
    while (!list_empty(&stream->consumer_list)) {
        struct consumer *c =
            CONTAINER_OF(list_first(&stream->consumer_list), struct consumer, in_stream);
        state_unlink_consumer(s, c);
        consumer_free(c);
    }
    state_unlink_stream(s, stream);
    stream_free(stream);
}

void state_close(struct state *s)
{
    struct account *account;
    struct origin *origin;
    if (s == NULL) return;
    store_cursor_close(&s->cursor);
    for (size_t at = 0; (account = map_next(&s->accounts, &at)) != NULL;) {
        while (account->stream_count > 0)
            free_stream(s, account->streams[account->stream_count - 1]);
        free(account->streams);
        free((char *)(uintptr_t)account->name.at);
        free(account);
    }
    for (size_t at = 0; (origin = map_next(&s->origins, &at)) != NULL;)
        free(origin);
    map_free(&s->accounts);
    map_free(&s->streams);
    map_free(&s->consumers);
    map_free(&s->origins);
    expiry_queue_free(&s->due);
    writer_free(&s->gone_rows);
    free(s->items);
    free(s);
}

static void collect(void *ctx)
{
    rows_save(ctx);
}

static void flushed(void *ctx, struct store_at at)
{
    struct state *s = ctx;
    s->flushing = false;
    if (s->flush_done != NULL) s->flush_done(s->flush_ctx, at);
}

int state_flush(struct state *s, void (*done)(void *ctx, struct store_at at), void *ctx)
{
    if (s->flushing) return E_BUSY;
    s->flush_done = done;
    s->flush_ctx = ctx;
    int rc = store_flush(s->store, s->at, collect, flushed, s);
    if (rc == 0) s->flushing = true;
    return rc;
}

/* ---- figures ---- */

struct store_at state_at(const struct state *s)
{
    return s->at;
}
uint64_t state_digest(const struct state *s)
{
    return s->digest;
}
struct entry_time state_now(const struct state *s)
{
    return (struct entry_time){.ns = s->now_ns};
}

uint64_t state_origin_number(const struct state *s, node_id node, uint64_t incarnation)
{
    const struct origin *o = map_get_u64(&s->origins, node);
    return o != NULL && o->incarnation == incarnation ? o->number : 0;
}

/* ---- accounts ---- */

struct account *state_account(const struct state *s, struct text name)
{
    return map_get(&s->accounts, name);
}

struct account *state_account_new(struct state *s, uint32_t id, struct text name)
{
    struct account *a = check_alloc(sizeof *a);
    char *copy = check_alloc(name.bytes);
    memcpy(copy, name.at, name.bytes);
    a->id = id;
    a->name = (struct text){.at = copy, .bytes = name.bytes};
    a->limits = unlimited;
    map_put(&s->accounts, a);
    return a;
}

struct account_limits state_account_limits(const struct state *s, struct text account)
{
    const struct account *a = state_account(s, account);
    return a == NULL ? unlimited : a->limits;
}

struct state_account_counts state_account_counts(struct state *s, struct text account)
{
    const struct account *a = state_account(s, account);
    struct state_account_counts counts = {0};
    if (a == NULL) return counts;
    counts.streams = a->stream_count;
    counts.consumers = a->consumers;
    for (size_t i = 0; i < a->stream_count; i++) {
        uint64_t bytes = stream_counts(a->streams[i]).bytes;
        if (a->streams[i]->config.storage == STORAGE_MEMORY)
            counts.memory_bytes += bytes;
        else
            counts.storage_bytes += bytes;
    }
    return counts;
}

/* ---- streams ---- */

static int compare_names(struct text a, struct text b)
{
    size_t bytes = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = bytes == 0 ? 0 : memcmp(a.at, b.at, bytes);
    if (order != 0) return order;
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

/* The place of that name, or where it belongs. */
static size_t name_place(const struct account *a, struct text name)
{
    size_t low = 0, high = a->stream_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(a->streams[middle]->config.name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void state_link_stream(struct state *s, struct stream *stream)
{
    struct account *a = stream->apply->account;
    size_t at = name_place(a, stream->config.name);
    if (a->stream_count == a->stream_max) {
        a->stream_max = a->stream_max == 0 ? 8 : a->stream_max * 2;
        a->streams = check_realloc(a->streams, a->stream_max * sizeof(struct stream *));
    }
    memmove(a->streams + at + 1, a->streams + at, (a->stream_count - at) * sizeof(struct stream *));
    a->streams[at] = stream;
    a->stream_count++;
    map_put_u64(&s->streams, stream->id, stream);
}

void state_unlink_stream(struct state *s, struct stream *stream)
{
    struct account *a = stream->apply->account;
    size_t at = name_place(a, stream->config.name);
    CHECK(at < a->stream_count);
    CHECK(a->streams[at] == stream);
    a->stream_count--;
    memmove(a->streams + at, a->streams + at + 1, (a->stream_count - at) * sizeof(struct stream *));
    map_take_u64(&s->streams, stream->id);
    expiry_queue_set(&s->due, stream, INT64_MAX);
}

struct stream *state_stream(struct state *s, struct text account, struct text name)
{
    const struct account *a = state_account(s, account);
    if (a == NULL) return NULL;
    size_t at = name_place(a, name);
    if (at == a->stream_count || !text_equal(a->streams[at]->config.name, name)) return NULL;
    return a->streams[at];
}

struct stream *state_stream_by_id(struct state *s, uint32_t id)
{
    return map_get_u64(&s->streams, id);
}

struct stream *state_stream_capturing(struct state *s, struct text account, struct text subject)
{
    const struct account *a = state_account(s, account);
    for (size_t i = 0; a != NULL && i < a->stream_count; i++) {
        if (stream_captures(a->streams[i], subject)) return a->streams[i];
    }
    return NULL;
}

struct stream *state_stream_next(struct state *s, struct text account, struct stream *at)
{
    const struct account *a = state_account(s, account);
    if (a == NULL) return NULL;
    size_t next = at == NULL ? 0 : name_place(a, at->config.name) + 1;
    return next < a->stream_count ? a->streams[next] : NULL;
}

/* ---- consumers ---- */

struct consumer *state_consumer_by_id(struct state *s, uint32_t id)
{
    return map_get_u64(&s->consumers, id);
}

void state_link_consumer(struct state *s, struct consumer *c)
{
    map_put(&c->stream->consumers, c);
    map_put_u64(&s->consumers, c->id, c);
    list_push_back(&c->stream->consumer_list, &c->in_stream);
    c->stream->apply->account->consumers++;
}

void state_unlink_consumer(struct state *s, struct consumer *c)
{
    struct consumer *named = map_take(&c->stream->consumers, c->name);
    struct consumer *numbered = map_take_u64(&s->consumers, c->id);
    CHECK(named == c);
    CHECK(numbered == c);
    list_remove(&c->in_stream);
    list_remove(&c->dirty_node);
    c->stream->apply->account->consumers--;
}
