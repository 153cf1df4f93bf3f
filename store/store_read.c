/* store_read.c - a sequence lies in the open block, in a sealed one that is still in memory, or in
 * KV_DATA; the block map knows which for all but the open one, and alone says what lives. */
#include "store/store_read.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/subject_match.h"

/* What store_cursor.block is: a block of KV_DATA, and which of its subjects a set of filters
 * matches. */
struct cursor_state {
    struct block_cache *cache;
    struct cached_block *block;
    uint64_t filters; /* digest of those that `match` is about; 0: none */
    bool any;         /* some subject matches */
    uint8_t *match;
    uint32_t match_max;
};

struct filter_set {
    const struct text *at;
    size_t count;
    uint64_t digest;
};

/* ---- cursors ---- */

static void cursor_drop(struct store_cursor *c)
{
    struct cursor_state *state = c->block;
    if (state == NULL || state->block == NULL) return;
    block_cache_release(state->cache, state->block);
    state->block = NULL;
    state->filters = 0;
}

void store_cursor_close(struct store_cursor *c)
{
    struct cursor_state *state = c->block;
    cursor_drop(c);
    if (state != NULL) free(state->match);
    free(state);
    *c = (struct store_cursor){0};
}

/* Brings the cursor to the block of the entry. */
static int cursor_load(struct store_stream *ss,
                       struct store_cursor *c,
                       const struct leaf_entry *e,
                       struct cursor_state **out)
{
    if (c->block == NULL) c->block = check_alloc(sizeof(struct cursor_state));
    struct cursor_state *state = c->block;
    *out = state;
    c->of = ss;
    if (state->block != NULL && state->block->number == e->number) return 0;
    cursor_drop(c);
    state->cache = &ss->store->blocks;
    int rc = block_cache_get(state->cache, e->number, &state->block);
    if (rc != 0) return rc;
    const struct block_view *v = &state->block->view;
    bool ours = v->of.account == ss->id.account && v->of.stream == ss->id.stream;
    if (ours && v->first == e->first && v->last <= leaf_entry_last(e)) return 0;
    LOG_CODE(ERR, LOG_CORRUPT, "block %llu holds other messages than stream %u's from %llu",
             (unsigned long long)e->number, ss->id.stream, (unsigned long long)e->first);
    cursor_drop(c);
    return E_CORRUPT;
}

/* ---- places ---- */

static void place_open(const struct store_stream *ss, struct place *out)
{
    struct tail_block *b = ss->open;
    *out =
        (struct place){.tail = b, .open = true, .first = b->first, .last = b->first + b->count - 1};
}

static void place_entry(struct store_stream *ss, const struct map_at *at, struct place *out)
{
    const struct leaf_entry *e = block_map_entry(at);
    *out = (struct place){.tail = tail_find(&ss->store->tail, e->number),
                          .at = *at,
                          .first = e->first,
                          .last = leaf_entry_last(e)};
}

bool store_read_place(struct store_stream *ss, stream_seq seq, struct place *out)
{
    struct map_at at;
    if (seq > ss->last) return false;
    bool in_open = ss->open != NULL && seq >= ss->open->first;
    if (!in_open && block_map_next(ss, seq, &at)) {
        place_entry(ss, &at, out);
        return true;
    }
    if (ss->open == NULL || seq >= ss->open->first + ss->open->count) return false;
    place_open(ss, out);
    return true;
}

bool store_read_place_before(struct store_stream *ss, stream_seq seq, struct place *out)
{
    struct map_at at;
    if (ss->open != NULL && seq >= ss->open->first) {
        place_open(ss, out);
        return true;
    }
    if (!block_map_prev(ss, seq, &at)) return false;
    place_entry(ss, &at, out);
    return true;
}

stream_seq store_read_live(const struct store_stream *ss, const struct place *p, stream_seq seq)
{
    if (seq < ss->first) seq = ss->first;
    if (!p->open) return leaf_entry_next(block_map_entry(&p->at), seq);
    for (stream_seq at = seq < p->first ? p->first : seq; at <= p->last; at++)
        if (!p->tail->msgs[at - p->first].dead) return at;
    return 0;
}

stream_seq
store_read_live_before(const struct store_stream *ss, const struct place *p, stream_seq seq)
{
    stream_seq found = 0;
    if (!p->open) {
        found = leaf_entry_prev(block_map_entry(&p->at), seq);
    } else {
        stream_seq at = seq > p->last ? p->last : seq;
        for (; at >= p->first && found == 0; at--)
            if (!p->tail->msgs[at - p->first].dead) found = at;
    }
    return found < ss->first ? 0 : found;
}

int store_read_msg(struct store_stream *ss,
                   const struct place *p,
                   stream_seq seq,
                   struct store_cursor *c,
                   struct store_msg *out)
{
    if (p->tail != NULL) {
        cursor_drop(c);
        tail_block_msg(p->tail, (uint32_t)(seq - p->tail->first), out);
        return 0;
    }
    struct cursor_state *state;
    int rc = cursor_load(ss, c, block_map_entry(&p->at), &state);
    if (rc != 0) return rc;
    uint32_t index;
    if (!block_view_find(&state->block->view, seq, &index)) {
        LOG_CODE(ERR, LOG_CORRUPT, "block %llu lacks sequence %llu of stream %u",
                 (unsigned long long)state->block->number, (unsigned long long)seq, ss->id.stream);
        return E_CORRUPT;
    }
    out->seq = seq;
    block_view_msg(&state->block->view, index, out);
    return 0;
}

stream_seq store_read_next_live(struct store_stream *ss, stream_seq seq)
{
    struct place p;
    while (store_read_place(ss, seq, &p)) {
        stream_seq live = store_read_live(ss, &p, seq);
        if (live != 0) return live;
        seq = p.last + 1;
    }
    return ss->last + 1;
}

int store_read_get(struct store_stream *ss,
                   stream_seq seq,
                   struct store_cursor *c,
                   struct store_msg *out)
{
    struct place p;
    if (seq < ss->first || seq > ss->last || seq == 0) return E_NOTFOUND;
    if (!store_read_place(ss, seq, &p) || seq < p.first) return E_NOTFOUND;
    if (store_read_live(ss, &p, seq) != seq) return E_NOTFOUND;
    return store_read_msg(ss, &p, seq, c, out);
}

/* ---- filters ---- */

static struct filter_set filters_of(const struct text *filters, size_t count)
{
    uint64_t digest = 1;
    for (size_t i = 0; i < count; i++)
        digest = XXH3_64bits_withSeed(filters[i].at, filters[i].bytes, digest);
    return (struct filter_set){.at = filters, .count = count, .digest = digest};
}

static bool filters_match(const struct filter_set *f, struct text subject)
{
    for (size_t i = 0; i < f->count; i++)
        if (subject_match(f->at[i], subject)) return true;
    return f->count == 0;
}

/* Which subjects of the cursor's block match; asked once per block and set of filters. */
static bool block_matches(struct cursor_state *state, const struct filter_set *f)
{
    if (state->filters == f->digest) return state->any;
    const struct block_view *v = &state->block->view;
    if (state->match_max < v->subjects) {
        state->match_max = v->subjects;
        state->match = check_realloc(state->match, state->match_max);
    }
    state->any = false;
    for (uint32_t i = 0; i < v->subjects; i++) {
        state->match[i] = filters_match(f, block_view_subject(v, i));
        state->any = state->any || state->match[i] != 0;
    }
    state->filters = f->digest;
    return state->any;
}

/* ---- scanning ---- */

struct scan {
    struct store_stream *ss;
    struct filter_set filters;
    struct store_cursor *cursor;
    struct store_msg *out;
    uint32_t left; /* messages that may still be examined */
};

/* Is the live message of the place what is looked for? 0: yes, read; E_AGAIN: no. */
static int scan_test(struct scan *s, const struct place *p, stream_seq seq)
{
    if (s->left > 0) s->left--;
    if (p->tail != NULL || s->filters.count == 0) {
        int rc = store_read_msg(s->ss, p, seq, s->cursor, s->out);
        if (rc != 0) return rc;
        return filters_match(&s->filters, s->out->subject) ? 0 : E_AGAIN;
    }
    const struct cursor_state *state = s->cursor->block;
    const struct block_view *v = &state->block->view;
    uint32_t index;
    if (!block_view_find(v, seq, &index)) return store_read_msg(s->ss, p, seq, s->cursor, s->out);
    if (state->match[block_view_subject_index(v, index)] == 0) return E_AGAIN;
    return store_read_msg(s->ss, p, seq, s->cursor, s->out);
}

/* E_NOTFOUND: the place's dictionary says that nothing in it matches. */
static int scan_enter(struct scan *s, const struct place *p)
{
    if (p->tail != NULL || s->filters.count == 0) return 0;
    struct cursor_state *state;
    int rc = cursor_load(s->ss, s->cursor, block_map_entry(&p->at), &state);
    if (rc != 0) return rc;
    if (block_matches(state, &s->filters)) return 0;
    uint32_t cost = 8 + state->block->view.subjects / 8; /* of asking the dictionary, in messages */
    s->left = s->left > cost ? s->left - cost : 0;
    return E_NOTFOUND;
}

int store_read_forward(struct store_stream *ss,
                       stream_seq *from,
                       stream_seq upto,
                       const struct text *filters,
                       size_t count,
                       uint32_t scan_max,
                       struct store_cursor *c,
                       struct store_msg *out)
{
    struct scan s = {.ss = ss, .filters = filters_of(filters, count), .cursor = c, .out = out};
    s.left = scan_max;
    struct place p;
    if (*from < ss->first) *from = ss->first;
    while (*from <= upto && store_read_place(ss, *from, &p)) {
        int rc = scan_enter(&s, &p);
        if (rc != 0 && rc != E_NOTFOUND) return rc;
        stream_seq seq = rc == 0 ? store_read_live(ss, &p, *from) : 0;
        while (seq != 0 && seq <= upto) {
            if (s.left == 0) {
                *from = seq;
                return E_AGAIN;
            }
            rc = scan_test(&s, &p, seq);
            *from = seq + 1;
            if (rc != E_AGAIN) return rc;
            seq = store_read_live(ss, &p, seq + 1);
        }
        if (seq != 0) break;
        *from = p.last + 1;
        if (s.left == 0) return E_AGAIN;
        pages_trim(&ss->store->pages);
    }
    *from = ss->last + 1;
    return E_NOTFOUND;
}

int store_read_back(struct store_stream *ss,
                    struct text filter,
                    stream_seq from,
                    stream_seq upto,
                    struct store_cursor *c,
                    struct store_msg *out)
{
    struct scan s = {.ss = ss, .filters = filters_of(&filter, 1), .cursor = c, .out = out};
    struct place p;
    while (upto >= from && upto >= ss->first && store_read_place_before(ss, upto, &p)) {
        int rc = scan_enter(&s, &p);
        if (rc != 0 && rc != E_NOTFOUND) return rc;
        stream_seq seq = rc == 0 ? store_read_live_before(ss, &p, upto) : 0;
        for (; seq != 0 && seq >= from; seq = store_read_live_before(ss, &p, seq - 1)) {
            rc = scan_test(&s, &p, seq);
            if (rc != E_AGAIN) return rc;
            if (seq == p.first) break;
        }
        if (p.first == 0) break;
        upto = p.first - 1;
        pages_trim(&ss->store->pages);
    }
    return E_NOTFOUND;
}

/* ---- with the help of rows ---- */

/* The oldest sequence at or after from that a complete list holds; 0: none. */
static stream_seq listed_next(const struct subject_row *row, stream_seq from)
{
    const struct subject_item *items = subject_row_items(row);
    for (uint32_t i = 0; i < row->listed; i++)
        if (items[i].seq >= from) return items[i].seq;
    return row->last >= from ? row->last : 0;
}

static stream_seq listed_prev(const struct subject_row *row, stream_seq upto)
{
    if (row->last <= upto) return row->last;
    const struct subject_item *items = subject_row_items(row);
    for (uint32_t i = row->listed; i > 0; i--)
        if (items[i - 1].seq <= upto) return items[i - 1].seq;
    return 0;
}

/* One literal filter: its row bounds the search, or even names the sequence. */
static int next_literal(struct store_stream *ss,
                        stream_seq *from,
                        const struct text *filter,
                        uint32_t scan_max,
                        struct store_cursor *c,
                        struct store_msg *out)
{
    const struct subject_row *row = subjects_find(ss, subjects_hash(ss, *filter), *filter);
    if (row == NULL || row->last < *from) {
        *from = ss->last + 1;
        return E_NOTFOUND;
    }
    if (!subject_row_whole(row)) {
        if (*from < row->first) *from = row->first;
        return store_read_forward(ss, from, row->last, filter, 1, scan_max, c, out);
    }
    stream_seq seq = listed_next(row, *from);
    int rc = store_read_get(ss, seq, c, out);
    CHECK(rc != E_NOTFOUND);
    *from = seq + 1;
    return rc;
}

int store_read_next(struct store_stream *ss,
                    stream_seq *from,
                    const struct text *filters,
                    size_t count,
                    uint32_t scan_max,
                    struct store_cursor *c,
                    struct store_msg *out)
{
    if (*from < ss->first) *from = ss->first;
    if (*from > ss->last) return E_NOTFOUND;
    if (count == 1 && subject_is_literal(filters[0]))
        return next_literal(ss, from, &filters[0], scan_max, c, out);
    return store_read_forward(ss, from, ss->last, filters, count, scan_max, c, out);
}

static int last_literal(struct store_stream *ss,
                        struct text filter,
                        stream_seq upto,
                        struct store_cursor *c,
                        struct store_msg *out)
{
    const struct subject_row *row = subjects_find(ss, subjects_hash(ss, filter), filter);
    if (row == NULL) return E_NOTFOUND;
    if (row->last > upto && !subject_row_whole(row))
        return store_read_back(ss, filter, row->first, upto, c, out);
    stream_seq seq = listed_prev(row, upto);
    if (seq == 0) return E_NOTFOUND;
    int rc = store_read_get(ss, seq, c, out);
    CHECK(rc != E_NOTFOUND);
    return rc;
}

struct newest {
    struct text filter;
    stream_seq seq;
};

static void newest_row(void *ctx, const struct subject_row *row)
{
    struct newest *n = ctx;
    if (row->last > n->seq && subject_match(n->filter, subject_row_text(row))) n->seq = row->last;
}

#define BACK_SCAN 65536 /* sequences looked back over before all rows are asked instead */

int store_read_last(struct store_stream *ss,
                    struct text filter,
                    stream_seq upto,
                    struct store_cursor *c,
                    struct store_msg *out)
{
    bool newest = upto == 0 || upto >= ss->last;
    if (newest) upto = ss->last;
    if (ss->msgs == 0 || upto < ss->first) return E_NOTFOUND;
    if (subject_is_literal(filter)) return last_literal(ss, filter, upto, c, out);
    stream_seq from = newest && upto - ss->first > BACK_SCAN ? upto - BACK_SCAN : ss->first;
    int rc = store_read_back(ss, filter, from, upto, c, out);
    if (rc != E_NOTFOUND || from == ss->first) return rc;
    struct newest n = {.filter = filter};
    subjects_each(ss, newest_row, &n);
    if (n.seq == 0) return E_NOTFOUND;
    rc = store_read_get(ss, n.seq, c, out);
    CHECK(rc != E_NOTFOUND);
    return rc;
}

/* ---- time ---- */

static int64_t place_time(const struct place *p)
{
    if (!p->open) return block_map_entry(&p->at)->time_ns;
    for (uint32_t i = 0; i < p->tail->count; i++)
        if (!p->tail->msgs[i].dead) return p->tail->msgs[i].time_ns;
    return INT64_MAX;
}

/* The first live sequence from seq on that isn't older, within the blocks that follow. */
static stream_seq seq_at_scan(struct store_stream *ss, stream_seq seq, int64_t ns)
{
    struct store_msg m;
    for (; seq <= ss->last; seq = store_read_next_live(ss, seq + 1)) {
        int rc = store_read_get(ss, seq, &ss->own, &m);
        if (rc == E_NOTFOUND) continue;
        if (rc != 0 || m.time_ns >= ns) return seq;
    }
    return ss->last + 1;
}

stream_seq store_read_seq_at(struct store_stream *ss, int64_t ns)
{
    if (ss->msgs == 0) return ss->last + 1;
    /* The last block that begins before ns holds the answer, or what follows it does. */
    stream_seq low = ss->first, high = ss->last + 1, start = ss->first;
    while (low < high) {
        stream_seq middle = low + (high - low) / 2;
        struct place p;
        if (!store_read_place(ss, middle, &p) || place_time(&p) >= ns) {
            high = middle;
            continue;
        }
        start = p.first < ss->first ? ss->first : p.first;
        low = p.last + 1 > middle ? p.last + 1 : middle + 1;
        pages_trim(&ss->store->pages);
    }
    return seq_at_scan(ss, store_read_next_live(ss, start), ns);
}
