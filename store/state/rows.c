/* rows.c - see rows.h. Keys: one letter, then ids big-endian, so that rows of one stream lie
 * together. Values: u8 format (1), then little-endian fields.
 *
 *   g                            u32 next account, next stream, next consumer; i64 now; u64 digest
 *   a u32 account                text16 name, 7 x i64 and u8 limits
 *   s u32 stream                 u32 account, i64 created, u64 age_from, u64 dedup head, text32
 * last msg id, text32 config, per source u32 origin, u64 seq, i64 active, u8 restoring c u32 stream
 * u32 consumer i64 created; delivered and floor as u64 cseq, u64 sseq, i64 last; u64 num pending,
 * u64 resume, u64 list entries passed, u8 has list, pending, text32 config; pending: u32 count,
 * each varint distance of sseq, cseq, first_cseq, deliveries, i64 time, i64 delay l u32 stream u32
 * consumer u32 count, varint distances: last_per_subject, written once d u32 stream u64 chunk
 * dedup.c x u32 stream i64 due u64 seq nothing: a message with a TTL o u64 node u64 incarnation,
 * u64 number
 *
 * Configs are the canonical JSON that commands carry: one format to read. */
#include "store/state/rows.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define ROW_FORMAT 1

/* ---- keys ---- */

struct key {
    char at[32];
    size_t bytes;
};

static struct key key_of(char letter)
{
    return (struct key){.at = {letter}, .bytes = 1};
}

static void key_add(struct key *k, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        k->at[k->bytes++] = (char)(uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static struct text key_text(const struct key *k)
{
    return (struct text){.at = k->at, .bytes = k->bytes};
}

static struct key key_consumer(char letter, const struct consumer *c)
{
    struct key k = key_of(letter);
    key_add(&k, c->stream->id, 4);
    key_add(&k, c->id, 4);
    return k;
}

/* Rows are deleted only inside a flush; until then their keys wait. */
static void gone(struct state *s, struct key k)
{
    writer_text16(&s->gone_rows, key_text(&k));
}

/* ---- saving ---- */

struct save {
    struct state *state;
    struct writer w; /* one value after the other */
};

static struct writer *begin(struct save *v)
{
    v->w.bytes = 0;
    writer_u8(&v->w, ROW_FORMAT);
    return &v->w;
}

static void put(struct save *v, struct key k)
{
    store_put(v->state->store, key_text(&k),
              (struct text){.at = (const char *)v->w.base, .bytes = v->w.bytes});
}

static void save_gone(struct save *v)
{
    struct state *s = v->state;
    struct reader r = reader_of(s->gone_rows.base, s->gone_rows.bytes);
    while (reader_left(&r) > 0)
        store_del(s->store, reader_text16(&r));
    CHECK(!r.bad);
    s->gone_rows.bytes = 0;
}

static void save_globals(struct save *v)
{
    const struct state *s = v->state;
    struct writer *w = begin(v);
    writer_u32(w, s->next_account);
    writer_u32(w, s->next_stream);
    writer_u32(w, s->next_consumer);
    writer_i64(w, s->now_ns);
    writer_u64(w, s->digest);
    put(v, key_of('g'));
}

static void save_account(struct save *v, const struct account *a)
{
    struct key k = key_of('a');
    key_add(&k, a->id, 4);
    struct writer *w = begin(v);
    writer_text16(w, a->name);
    entry_put_limits(w, &a->limits);
    put(v, k);
}

static void save_origin(struct save *v, const struct origin *o)
{
    struct key k = key_of('o');
    key_add(&k, o->node, 8);
    struct writer *w = begin(v);
    writer_u64(w, o->incarnation);
    writer_u64(w, o->number);
    put(v, k);
}

/* The config's length is known behind it. */
static size_t open_text32(struct writer *w)
{
    writer_u32(w, 0);
    return w->bytes;
}
static void close_text32(struct writer *w, size_t from)
{
    uint32_t bytes = (uint32_t)(w->bytes - from);
    memcpy(w->base + from - sizeof bytes, &bytes, sizeof bytes);
}

struct chunk_rows {
    struct save *save;
    uint32_t stream;
};

static struct key key_chunk(uint32_t stream, uint64_t chunk)
{
    struct key k = key_of('d');
    key_add(&k, stream, 4);
    key_add(&k, chunk, 8);
    return k;
}

static void put_chunk(void *ctx, uint64_t chunk, struct text value)
{
    struct chunk_rows *rows = ctx;
    struct key k = key_chunk(rows->stream, chunk);
    struct writer *w = begin(rows->save);
    writer_put(w, value.at, value.bytes);
    put(rows->save, k);
}

static void del_chunk(void *ctx, uint64_t chunk)
{
    struct chunk_rows *rows = ctx;
    struct key k = key_chunk(rows->stream, chunk);
    store_del(rows->save->state->store, key_text(&k));
}

static struct key key_expiry(uint32_t stream, struct expiry_entry e)
{
    struct key k = key_of('x');
    key_add(&k, stream, 4);
    key_add(&k, (uint64_t)e.due_ns, 8);
    key_add(&k, e.seq, 8);
    return k;
}

static void save_expiry(struct save *v, struct stream *s)
{
    struct expiry *e = &s->apply->expiry;
    for (size_t i = 0; i < e->added_count; i++) {
        begin(v);
        put(v, key_expiry(s->id, e->added[i]));
    }
    for (size_t i = 0; i < e->gone_count; i++) {
        struct key k = key_expiry(s->id, e->gone[i]);
        store_del(v->state->store, key_text(&k));
    }
    expiry_saved(e);
}

static void save_stream(struct save *v, struct stream *s)
{
    struct stream_apply *apply = s->apply;
    struct chunk_rows rows = {.save = v, .stream = s->id};
    struct json_out j;
    dedup_save(&apply->dedup, (struct dedup_rows){put_chunk, del_chunk, &rows});
    save_expiry(v, s);
    struct key k = key_of('s');
    key_add(&k, s->id, 4);
    struct writer *w = begin(v);
    writer_u32(w, s->account_id);
    writer_i64(w, s->created_ns);
    writer_u64(w, apply->age_from);
    writer_u64(w, apply->dedup.head);
    writer_text32(w, (struct text){.at = apply->last_msg_id, .bytes = apply->last_msg_id_bytes});
    size_t at = open_text32(w);
    json_out_init(&j, w, false);
    stream_config_encode(&s->config, &j, NULL);
    close_text32(w, at);
    for (size_t i = 0; i < apply->source_count; i++) {
        writer_u32(w, apply->sources[i].origin);
        writer_u64(w, apply->sources[i].seq);
        writer_i64(w, apply->sources[i].active_ns);
    }
    writer_u8(w, apply->restoring);
    put(v, k);
}

static void save_pending(struct writer *w, const struct consumer *c)
{
    stream_seq last = 0;
    writer_u32(w, (uint32_t)c->pending_count);
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct consumer_pending *p = &c->pending[i];
        writer_varint(w, p->sseq - last);
        writer_varint(w, p->cseq);
        writer_varint(w, p->first_cseq);
        writer_varint(w, p->deliveries);
        writer_i64(w, p->time_ns);
        writer_i64(w, p->delay_ns);
        last = p->sseq;
    }
}

/* The list never changes, so it is written once; how far it is worked off lies in the consumer's
 * row. */
static void save_list(struct save *v, struct consumer *c)
{
    if (c->list_saved || c->last_count == 0) return;
    struct writer *w = begin(v);
    stream_seq last = 0;
    writer_u32(w, (uint32_t)c->last_count);
    for (size_t i = 0; i < c->last_count; i++) {
        writer_varint(w, c->last_per_subject[i] - last);
        last = c->last_per_subject[i];
    }
    put(v, key_consumer('l', c));
    c->list_saved = true;
}

void rows_put_consumer(struct writer *w, const struct consumer *c)
{
    struct json_out j;
    writer_i64(w, c->created_ns);
    writer_u64(w, c->delivered.cseq);
    writer_u64(w, c->delivered.sseq);
    writer_i64(w, c->delivered.last_ns);
    writer_u64(w, c->ack_floor.cseq);
    writer_u64(w, c->ack_floor.sseq);
    writer_i64(w, c->ack_floor.last_ns);
    writer_u64(w, c->num_pending);
    writer_u64(w, c->resume);
    writer_u64(w, c->last_at);
    writer_u8(w, c->last_count > 0);
    save_pending(w, c);
    size_t at = open_text32(w);
    json_out_init(&j, w, false);
    consumer_config_encode(&c->config, &j, NULL);
    close_text32(w, at);
}

static void save_consumer(struct save *v, struct consumer *c)
{
    save_list(v, c);
    if (c->list_saved && c->last_count == 0) {
        struct key list = key_consumer('l', c);
        store_del(v->state->store, key_text(&list));
        c->list_saved = false;
    }
    rows_put_consumer(begin(v), c);
    put(v, key_consumer('c', c));
}

void rows_save(struct state *s)
{
    struct save v = {.state = s};
    struct list_node *n;
    writer_init(&v.w, 4096);
    save_gone(&v);
    save_globals(&v);
    while ((n = list_pop_front(&s->dirty_accounts)) != NULL)
        save_account(&v, CONTAINER_OF(n, struct account, dirty));
    while ((n = list_pop_front(&s->dirty_origins)) != NULL)
        save_origin(&v, CONTAINER_OF(n, struct origin, dirty));
    while ((n = list_pop_front(&s->dirty_streams)) != NULL) {
        struct stream_apply *apply = CONTAINER_OF(n, struct stream_apply, dirty);
        save_stream(&v, apply->stream);
    }
    while ((n = list_pop_front(&s->dirty_consumers)) != NULL) {
        struct consumer *c = CONTAINER_OF(n, struct consumer, dirty_node);
        c->dirty = false;
        save_consumer(&v, c);
    }
    writer_free(&v.w);
}

/* ---- dropping ---- */

static void gone_chunk(void *ctx, uint64_t chunk)
{
    struct stream *s = ctx;
    gone(s->state, key_chunk(s->id, chunk));
}

void rows_drop_stream(struct stream *s)
{
    struct expiry *e = &s->apply->expiry;
    struct key k = key_of('s');
    key_add(&k, s->id, 4);
    gone(s->state, k);
    dedup_drop(&s->apply->dedup, (struct dedup_rows){.del = gone_chunk, .ctx = s});
    for (size_t i = 0; i < e->count; i++)
        gone(s->state, key_expiry(s->id, e->heap[i]));
    for (size_t i = 0; i < e->gone_count; i++)
        gone(s->state, key_expiry(s->id, e->gone[i]));
}

void rows_drop_consumer(struct consumer *c)
{
    gone(c->stream->state, key_consumer('c', c));
    if (c->list_saved) gone(c->stream->state, key_consumer('l', c));
}
