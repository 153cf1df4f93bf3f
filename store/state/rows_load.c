/* rows_load.c - the state out of its rows, in the order in which they refer to each other. Bytes
 * from a disk: whatever doesn't fit is damage, told with the key, and the node doesn't start on it.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/state/rows.h"

#define ROW_FORMAT 1

struct load {
    struct state *state;
    const struct table *table;
    int rc;
};
struct table {
    const char *prefix, *what;
    size_t key_bytes;
    int (*row)(struct state *s, struct text key, struct reader *value);
};

static uint64_t key_number(struct text key, size_t at, size_t bytes)
{
    uint64_t value = 0;
    CHECK(at + bytes <= key.bytes);
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)key.at[at + i];
    return value;
}

static struct stream *stream_of(struct state *s, struct text key)
{
    return state_stream_by_id(s, (uint32_t)key_number(key, 1, 4));
}

static int load_globals(struct state *s, struct text key, struct reader *r)
{
    (void)key;
    s->next_account = reader_u32(r);
    s->next_stream = reader_u32(r);
    s->next_consumer = reader_u32(r);
    s->now_ns = reader_i64(r);
    s->digest = reader_u64(r);
    return 0;
}

static int load_account(struct state *s, struct text key, struct reader *r)
{
    struct text name = reader_text16(r);
    struct account_limits limits;
    entry_get_limits(r, &limits);
    if (r->bad || state_account(s, name) != NULL) return E_CORRUPT;
    state_account_new(s, (uint32_t)key_number(key, 1, 4), name)->limits = limits;
    return 0;
}

static int load_origin(struct state *s, struct text key, struct reader *r)
{
    struct origin *o = check_alloc(sizeof *o);
    o->node = key_number(key, 1, 8);
    o->incarnation = reader_u64(r);
    o->number = reader_u64(r);
    map_put_u64(&s->origins, o->node, o);
    return 0;
}

/* Accounts are few, and this is start-up. */
static struct account *account_by_id(struct state *s, uint32_t id)
{
    struct account *a;
    for (size_t at = 0; (a = map_next(&s->accounts, &at)) != NULL;) {
        if (a->id == id) return a;
    }
    return NULL;
}

static int load_stream(struct state *s, struct text key, struct reader *r)
{
    struct stream_config config;
    struct store_stream *store;
    uint32_t id = (uint32_t)key_number(key, 1, 4);
    struct account *account = account_by_id(s, reader_u32(r));
    int64_t created_ns = reader_i64(r);
    uint64_t age_from = reader_u64(r), dedup_head = reader_u64(r);
    struct text last_id = reader_text32(r), json = reader_text32(r);
    if (r->bad || account == NULL) return E_CORRUPT;
    if (stream_config_read(json, &config) != 0) return E_CORRUPT;
    int rc = store_stream_open(s->store, account->id, id, &store);
    if (rc != 0) {
        stream_config_free(&config);
        return rc;
    }
    struct stream *stream = stream_new(s, account, id, &config, created_ns);
    stream->store = store;
    stream->apply->age_from = age_from;
    dedup_load_head(&stream->apply->dedup, dedup_head);
    if (last_id.bytes > 0) {
        stream->apply->last_msg_id = check_alloc(last_id.bytes);
        memcpy(stream->apply->last_msg_id, last_id.at, last_id.bytes);
        stream->apply->last_msg_id_bytes = stream->apply->last_msg_id_max = last_id.bytes;
    }
    for (size_t i = 0; i < stream->apply->source_count; i++) {
        struct source_apply *source = &stream->apply->sources[i];
        source->origin = reader_u32(r);
        source->seq = reader_u64(r);
        source->active_ns = reader_i64(r);
    }
    stream->apply->restoring = reader_left(r) > 0 && reader_u8(r) == 1;
    state_link_stream(s, stream);
    return 0;
}

static int load_chunk(struct state *s, struct text key, struct reader *r)
{
    struct stream *stream = stream_of(s, key);
    if (stream == NULL) return E_CORRUPT;
    struct text value = {.at = (const char *)r->at, .bytes = reader_left(r)};
    r->at = r->end;
    return dedup_load(&stream->apply->dedup, key_number(key, 5, 8), value);
}

static int load_expiry(struct state *s, struct text key, struct reader *r)
{
    struct stream *stream = stream_of(s, key);
    (void)r;
    if (stream == NULL) return E_CORRUPT;
    expiry_load(&stream->apply->expiry,
                (struct expiry_entry){.due_ns = (int64_t)key_number(key, 5, 8),
                                      .seq = key_number(key, 13, 8)});
    return 0;
}

static void load_pending(struct consumer *c, struct reader *r)
{
    uint32_t count = reader_u32(r);
    stream_seq last = 0;
    if (count > reader_left(r) / 20) r->bad = true; /* the least that an entry takes */
    if (r->bad || count == 0) return;
    c->pending_base = c->pending = check_alloc(count * sizeof *c->pending);
    c->pending_max = count;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct consumer_pending *p = &c->pending[c->pending_count++];
        p->sseq = last + reader_varint(r);
        p->cseq = reader_varint(r);
        p->first_cseq = reader_varint(r);
        p->deliveries = (uint32_t)reader_varint(r);
        p->time_ns = reader_i64(r);
        p->delay_ns = reader_i64(r);
        if (p->sseq <= last || p->deliveries == 0) r->bad = true;
        if (p->deliveries > 1) c->redelivered++;
        last = p->sseq;
    }
}

static void load_numbers(struct consumer *c, struct reader *r)
{
    c->delivered.cseq = reader_u64(r);
    c->delivered.sseq = reader_u64(r);
    c->delivered.last_ns = reader_i64(r);
    c->ack_floor.cseq = reader_u64(r);
    c->ack_floor.sseq = reader_u64(r);
    c->ack_floor.last_ns = reader_i64(r);
    c->num_pending = reader_u64(r);
    c->resume = reader_u64(r);
    c->last_at = reader_u64(r);
    c->list_saved = reader_u8(r) == 1;
}

/* The config stands behind the rest, but the consumer is made of it: the numbers are read into one
 * that isn't linked yet. */
int rows_get_consumer(struct stream *stream, struct reader *r, uint32_t id)
{
    struct consumer_config none = {0};
    int64_t created_ns = reader_i64(r);
    struct consumer *c = consumer_new(stream, &none, created_ns);
    c->id = id;
    load_numbers(c, r);
    load_pending(c, r);
    struct text json = reader_text32(r);
    int rc = r->bad ? E_CORRUPT : consumer_config_read(json, &c->config);
    c->name = consumer_config_name(&c->config);
    if (rc != 0 || stream_consumer(stream, c->name) != NULL) {
        consumer_free(c);
        return E_CORRUPT;
    }
    state_link_consumer(stream->state, c);
    return 0;
}

static int load_consumer(struct state *s, struct text key, struct reader *r)
{
    struct stream *stream = stream_of(s, key);
    (void)s;
    return stream == NULL ? E_CORRUPT
                          : rows_get_consumer(stream, r, (uint32_t)key_number(key, 5, 4));
}

static int load_list(struct state *s, struct text key, struct reader *r)
{
    struct consumer *c = state_consumer_by_id(s, (uint32_t)key_number(key, 5, 4));
    uint32_t count = reader_u32(r);
    stream_seq last = 0;
    if (c == NULL || !c->list_saved || count == 0 || count > reader_left(r)) return E_CORRUPT;
    if (c->last_at >= count) return E_CORRUPT;
    c->last_per_subject = check_alloc(count * sizeof *c->last_per_subject);
    c->last_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t distance = reader_varint(r);
        if (r->bad || distance == 0) return E_CORRUPT;
        c->last_per_subject[i] = last += distance;
    }
    return 0;
}

/* Each refers only to rows above it. */
static const struct table tables[] = {
    {"g", "counters", 1, load_globals},   {"a", "account", 5, load_account},
    {"o", "origin", 9, load_origin},      {"s", "stream", 5, load_stream},
    {"d", "message ids", 13, load_chunk}, {"x", "expiry", 21, load_expiry},
    {"c", "consumer", 9, load_consumer},  {"l", "consumer's list", 9, load_list},
};

static void visit(void *ctx, struct text key, struct text value)
{
    struct load *load = ctx;
    struct reader r = reader_of(value.at, value.bytes);
    if (load->rc != 0) return;
    int rc = E_CORRUPT;
    if (key.bytes == load->table->key_bytes && reader_u8(&r) == ROW_FORMAT)
        rc = load->table->row(load->state, key, &r);
    if (rc == 0 && (r.bad || reader_left(&r) != 0)) rc = E_CORRUPT;
    load->rc = rc;
    if (rc != 0)
        LOG_CODE(ERR, LOG_CORRUPT, "the state's row of a %s can't be used: %s", load->table->what,
                 err_text(rc));
}

static int check_lists(struct state *s)
{
    struct consumer *c;
    for (size_t at = 0; (c = map_next(&s->consumers, &at)) != NULL;) {
        if (c->list_saved && c->last_count == 0) return E_CORRUPT;
    }
    return 0;
}

int rows_load(struct state *s)
{
    struct load load = {.state = s};
    for (const struct table *t = tables; t < ARRAY_END(tables) && load.rc == 0; t++) {
        load.table = t;
        int rc = store_rows(s->store, text_of(t->prefix),
                            (struct store_row_visitor){.row = visit, .ctx = &load});
        if (load.rc == 0) load.rc = rc;
    }
    if (load.rc == 0) load.rc = check_lists(s);
    if (load.rc != 0) return load.rc;
    struct account *account;
    struct stream *stream;
    for (size_t at = 0; (account = map_next(&s->accounts, &at)) != NULL;)
        apply_stream_recount(account);
    for (size_t at = 0; (stream = map_next(&s->streams, &at)) != NULL;)
        apply_clock_due(stream, stream->config.max_age_ns > 0 || stream->apply->expiry.count > 0
                                    ? INT64_MIN
                                    : INT64_MAX);
    return 0;
}
