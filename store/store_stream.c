#include "store/store_stream.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/store_read.h"
#include "store/store_writer.h"

static struct store_stream *make(struct store *s, uint32_t account, uint32_t stream)
{
    struct store_stream *ss = check_alloc(sizeof *ss);
    ss->store = s;
    ss->id = (struct key_stream){.account = account, .stream = stream};
    ss->head = check_alloc(sizeof *ss->head);
    subjects_init(&ss->subjects, 1, 0, false);
    return ss;
}

static uint64_t id_of(const struct store_stream *ss)
{
    return (uint64_t)ss->id.account << 32 | ss->id.stream;
}

static void enlist(struct store_stream *ss)
{
    list_push_back(&ss->store->streams, &ss->node);
    map_put_u64(&ss->store->by_id, id_of(ss), ss);
}

struct store_stream *store_stream_new(struct store *s,
                                      uint32_t account,
                                      uint32_t stream,
                                      stream_seq first,
                                      uint32_t history)
{
    CHECK(first > 0);
    struct store_stream *ss = make(s, account, stream);
    ss->first = first;
    ss->last = first - 1;
    ss->history = history;
    enlist(ss);
    store_dirty(ss);
    return ss;
}

int store_stream_open(struct store *s, uint32_t account, uint32_t stream, struct store_stream **out)
{
    struct key key = keys_stream('T', (struct key_stream){.account = account, .stream = stream});
    struct kv_pin pin;
    int rc = s->kv->ops->get(s->kv, KV_STATE, key_text(&key), &pin);
    if (rc != 0) return rc;
    struct values_stream row;
    rc = values_stream_decode(pin.value, &row);
    s->kv->ops->unpin(s->kv, &pin);
    if (rc != 0) return rc;
    struct store_stream *ss = make(s, account, stream);
    ss->first = row.first;
    ss->last = row.last;
    ss->msgs = row.msgs;
    ss->bytes = row.bytes;
    ss->last_ns = row.last_ns;
    ss->history = row.history;
    ss->map.durable = true;
    subjects_init(&ss->subjects, row.buckets, row.subjects, true);
    enlist(ss);
    *out = ss;
    return 0;
}

void store_stream_history(struct store_stream *ss, uint32_t history)
{
    ss->history = history;
    store_dirty(ss);
}

/* Forgets the open block: nothing in it lives. */
static void open_discard(struct store_stream *ss)
{
    struct tail_block *b = ss->open;
    ss->open = NULL;
    list_remove(&b->node);
    ss->store->tail.open_bytes -= b->size;
    tail_free(&ss->store->tail, b);
}

/* Holes at either end needn't be covered. */
static void narrow(struct tail_block *b)
{
    while (b->msgs[b->count - 1].dead)
        b->count--;
    uint32_t lead = 0;
    while (b->msgs[lead].dead)
        lead++;
    if (lead == 0) return;
    b->count -= lead;
    b->first += lead;
    memmove(b->msgs, b->msgs + lead, b->count * sizeof *b->msgs);
}

struct leaf_entry store_stream_entry(const struct tail_block *b)
{
    CHECK(b->count <= BLOCK_SPAN_MAX);
    CHECK(b->live_bytes <= UINT32_MAX);
    struct leaf_entry e = {.first = b->first,
                           .time_ns = b->msgs[0].time_ns,
                           .span = b->count,
                           .live = b->live,
                           .bytes = (uint32_t)b->live_bytes,
                           .live_bytes = (uint32_t)b->live_bytes};
    if (b->live == b->count) return e;
    e.bits = check_alloc(leaf_bit_words(e.span) * sizeof *e.bits);
    for (uint32_t i = 0; i < b->count; i++)
        if (!b->msgs[i].dead) e.bits[i / 64] |= UINT64_C(1) << i % 64;
    return e;
}

uint64_t store_stream_queue(struct store *s, struct tail_block *b)
{
    uint64_t number = s->block_next++;
    segments_add(&s->segments, number, b->live_bytes);
    tail_seal(&s->tail, b, number);
    s->segment_fill += b->size;
    if (s->segment_fill >= s->segment_bytes) {
        b->cut = true;
        segments_cut(&s->segments, s->block_next);
        s->segment_fill = 0;
    }
    return number;
}

void store_stream_seal(struct store_stream *ss)
{
    struct tail_block *b = ss->open;
    if (b == NULL) return;
    if (b->live == 0) {
        open_discard(ss);
        return;
    }
    ss->open = NULL;
    narrow(b);
    struct leaf_entry e = store_stream_entry(b);
    e.number = store_stream_queue(ss->store, b);
    block_map_append(ss, e);
    store_writer_kick(ss->store);
}

void store_stream_seal_all(struct store *s)
{
    while (!list_empty(&s->tail.open)) {
        struct tail_block *b = CONTAINER_OF(list_first(&s->tail.open), struct tail_block, node);
        store_stream_seal(b->of);
    }
}

/* ---- deleting ---- */

void store_stream_delete(struct store_stream *ss)
{
    struct store *s = ss->store;
    list_remove(&ss->node);
    map_take_u64(&s->by_id, id_of(ss));
    list_remove(&ss->dirty);
    if (ss->open != NULL) open_discard(ss);
    store_cursor_close(&ss->own);
    subjects_close(ss);
    ss->first = 0;
    list_push_back(&s->zombies, &ss->node);
    store_stream_give_back(s, 64);
}

/* True: all of it is given back. */
static bool give_back(struct store_stream *ss, uint32_t *max)
{
    struct map_at at;
    while (*max > 0) {
        if (!block_map_next(ss, ss->first, &at)) return true;
        ss->first = leaf_entry_last(block_map_entry(&at)) + 1; /* where to go on */
        block_map_drop(ss, &at);
        --*max;
    }
    return false;
}

void store_stream_give_back(struct store *s, uint32_t max)
{
    while (!list_empty(&s->zombies)) {
        struct store_stream *ss = CONTAINER_OF(list_first(&s->zombies), struct store_stream, node);
        bool whole = give_back(ss, &max);
        list_remove(&ss->dirty);
        if (!whole) return;
        list_remove(&ss->node);
        list_push_back(&s->gone, &ss->node);
    }
}

int store_stream_load_zombies(struct store *s)
{
    const struct kv_ops *ops = s->kv->ops;
    struct kv_iter *it = ops->iter_new(s->kv, KV_STATE, false);
    struct key_stream id;
    for (ops->iter_seek(it, TEXT("Z"));
         ops->iter_valid(it) && keys_stream_read(ops->iter_key(it), 'Z', &id); ops->iter_next(it)) {
        struct store_stream *ss = make(s, id.account, id.stream);
        ss->map.durable = true;
        list_push_back(&s->zombies, &ss->node);
    }
    int rc = ops->iter_error(it);
    ops->iter_free(it);
    return rc;
}

void store_stream_free(struct store_stream *ss)
{
    list_remove(&ss->node);
    list_remove(&ss->dirty);
    store_cursor_close(&ss->own);
    block_map_close(ss);
    subjects_close(ss);
    free(ss->head);
    free(ss);
}

/* ---- counters ---- */

/* Looks at the block only when its entry doesn't tell. Reading changes nothing that a caller can
 * see. */
static int64_t first_time(const struct store_stream *ss)
{
    struct store_first *head = ss->head;
    if (head->seq == ss->first) return head->time_ns;
    struct store_stream *reader = (struct store_stream *)(uintptr_t)ss;
    struct store_msg m;
    int rc = store_read_get(reader, ss->first, &reader->own, &m);
    struct map_at at;
    if (rc != 0 && block_map_find(reader, ss->first, &at)) return block_map_entry(&at)->time_ns;
    CHECK_EQ(rc, 0);
    *head = (struct store_first){.seq = ss->first, .time_ns = m.time_ns};
    return m.time_ns;
}

struct store_counts store_stream_counts(const struct store_stream *ss)
{
    return (struct store_counts){.msgs = ss->msgs,
                                 .bytes = ss->bytes,
                                 .first = ss->first,
                                 .last = ss->last,
                                 .first_ns = ss->msgs == 0 ? 0 : first_time(ss),
                                 .last_ns = ss->last_ns,
                                 .subjects = ss->subjects.count};
}
