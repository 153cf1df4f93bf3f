/* store_remove.c - messages that go. What goes is found by its subject's row, the tail, or its
 * block; the counters, the row, the block map and the segment follow. A damaged block ends the
 * node: what others remove this one must remove too, and it cannot tell what it was. Source:
 * store.md 5. */
#include "store/base/err.h"
#include "store/store_read.h"
#include "store/store_stream.h"

/* What must be known of a message that goes. */
struct victim {
    struct text subject;
    uint64_t hash;
    uint32_t bytes;
};

static _Noreturn void damaged(const struct store_stream *ss, stream_seq seq, int rc)
{
    FATAL(EXIT_CORRUPT, "sequence %llu of stream %u is to be removed but can't be read: %s",
          (unsigned long long)seq, ss->id.stream, err_text(rc));
}

static void
read_victim(struct store_stream *ss, const struct place *p, stream_seq seq, struct victim *out)
{
    struct store_msg m;
    int rc = store_read_msg(ss, p, seq, &ss->own, &m);
    if (rc != 0) damaged(ss, seq, rc);
    *out = (struct victim){.subject = m.subject,
                           .hash = subjects_hash(ss, m.subject),
                           .bytes = (uint32_t)store_msg_bytes(&m)};
}

static void open_kill(struct store_stream *ss, stream_seq seq, uint32_t bytes)
{
    struct tail_block *b = ss->open;
    b->msgs[seq - b->first].dead = true;
    b->live--;
    b->live_bytes -= bytes;
    if (b->live > 0 || b->count < 64) return;
    store_stream_seal(ss); /* nothing lives: it is only forgotten */
}

/* The subject's newest message went, others remain: which one is the newest now? */
static void find_last(struct store_stream *ss, const struct victim *v, stream_seq before)
{
    const struct subject_row *row = subjects_find(ss, v->hash, v->subject);
    CHECK(row != NULL);
    bool known = row->count == 1 && (row->flags & SUBJECT_FIRST_EXACT) != 0;
    stream_seq from = row->first, upto = known ? row->first : before;
    struct store_cursor c = {0};
    struct store_msg m;
    int rc = store_read_back(ss, v->subject, from, upto, &c, &m);
    if (rc != 0) damaged(ss, before, rc);
    subjects_set_last(ss, v->hash, v->subject, m.seq, (uint32_t)store_msg_bytes(&m));
    store_cursor_close(&c);
}

/* The stream's first moves on to what lives. */
static void settle_first(struct store_stream *ss, stream_seq from)
{
    ss->first = ss->msgs == 0 ? ss->last + 1 : store_read_next_live(ss, from);
    store_dirty(ss);
}

int store_remove(struct store_stream *ss, stream_seq seq)
{
    struct place p;
    struct victim v;
    pages_trim(&ss->store->pages);
    if (seq < ss->first || seq > ss->last) return E_NOTFOUND;
    if (!store_read_place(ss, seq, &p) || seq < p.first) return E_NOTFOUND;
    if (store_read_live(ss, &p, seq) != seq) return E_NOTFOUND;
    if (subjects_hinted(ss, seq, p.tail == NULL, &v.bytes)) {
        v.subject = subjects_hint_text(&ss->hint);
        v.hash = ss->hint.hash;
    } else {
        read_victim(ss, &p, seq, &v);
    }
    bool find = subjects_remove(ss, v.hash, v.subject, seq);
    if (ss->hint.seq == seq) ss->hint.seq = 0;
    ss->msgs--;
    ss->bytes -= v.bytes;
    if (!p.open) {
        block_map_kill(ss, &p.at, seq, v.bytes);
    } else if (!find) {
        open_kill(ss, seq, v.bytes);
    } else {
        p.tail->msgs[seq - p.first].dead = true; /* v.subject lies in the open block: it stays */
        p.tail->live--;
        p.tail->live_bytes -= v.bytes;
    }
    if (find) find_last(ss, &v, seq - 1);
    if (seq == ss->first) settle_first(ss, seq + 1);
    store_dirty(ss);
    return 0;
}

/* ---- from the front ---- */

struct front {
    struct store_stream *ss;
    stream_seq below;
    void (*removed)(void *ctx, const struct store_msg *m);
    void *ctx;
};

/* One message at the stream's front. */
static uint32_t front_message(const struct front *f, const struct place *p, stream_seq seq)
{
    struct store_stream *ss = f->ss;
    struct store_msg m;
    int rc = store_read_msg(ss, p, seq, &ss->own, &m);
    if (rc != 0) damaged(ss, seq, rc);
    if (f->removed != NULL) f->removed(f->ctx, &m);
    bool find = subjects_remove(ss, subjects_hash(ss, m.subject), m.subject, seq);
    CHECK(!find); /* all older ones of its subject went before */
    uint32_t bytes = (uint32_t)store_msg_bytes(&m);
    ss->msgs--;
    ss->bytes -= bytes;
    return bytes;
}

static void front_open(const struct front *f, const struct place *p)
{
    struct store_stream *ss = f->ss;
    struct tail_block *b = p->tail;
    stream_seq seq = store_read_live(ss, p, ss->first);
    for (; seq != 0 && seq < f->below; seq = store_read_live(ss, p, seq + 1)) {
        b->live_bytes -= front_message(f, p, seq);
        b->msgs[seq - b->first].dead = true;
        b->live--;
    }
    ss->first = p->last < f->below ? p->last + 1 : f->below;
}

/* A whole block of a stream with one subject: its totals tell all. */
static bool front_whole(const struct front *f, struct place *p)
{
    struct store_stream *ss = f->ss;
    const struct leaf_entry *e = block_map_entry(&p->at);
    if (f->removed != NULL || ss->subjects.count != 1 || p->last >= f->below) return false;
    if (e->live >= ss->msgs) return false;
    ss->msgs -= e->live;
    ss->bytes -= e->live_bytes;
    subjects_shrink(ss, e->live);
    block_map_drop(ss, &p->at);
    ss->first = p->last + 1;
    return true;
}

static void front_entry(const struct front *f, struct place *p)
{
    struct store_stream *ss = f->ss;
    if (front_whole(f, p)) return;
    uint32_t live = 0, bytes = 0;
    stream_seq seq = store_read_live(ss, p, ss->first);
    for (; seq != 0 && seq < f->below; seq = store_read_live(ss, p, seq + 1)) {
        bytes += front_message(f, p, seq);
        live++;
    }
    if (live > 0) block_map_shrink(ss, &p->at, live, bytes);
    ss->first = p->last < f->below ? p->last + 1 : f->below;
}

/* All of it goes, and nobody asks what it was: no block is read, no row looked at. */
static void clear(struct store_stream *ss)
{
    struct map_at at;
    while (block_map_next(ss, ss->first, &at)) {
        ss->first = leaf_entry_last(block_map_entry(&at)) + 1;
        block_map_drop(ss, &at);
        pages_trim(&ss->store->pages);
    }
    if (ss->open != NULL) {
        ss->open->live = 0;
        store_stream_seal(ss);
    }
    subjects_clear(ss);
    ss->msgs = ss->bytes = 0;
}

uint64_t store_remove_below(struct store_stream *ss,
                            stream_seq seq,
                            void (*removed)(void *ctx, const struct store_msg *m),
                            void *ctx)
{
    uint64_t before = ss->msgs;
    if (seq > ss->last) seq = ss->last + 1;
    if (seq <= ss->first || before == 0) return 0;
    struct front f = {.ss = ss, .below = seq, .removed = removed, .ctx = ctx};
    if (seq > ss->last && removed == NULL) {
        clear(ss);
    } else {
        struct place p;
        while (ss->first < seq && store_read_place(ss, ss->first, &p) && p.first < seq) {
            if (p.open) {
                front_open(&f, &p);
            } else {
                front_entry(&f, &p);
            }
            pages_trim(&ss->store->pages);
        }
    }
    settle_first(ss, ss->first < seq ? seq : ss->first);
    return before - ss->msgs;
}
