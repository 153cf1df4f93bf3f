/* peer_stream.c - see stream.h.
 *
 * PROBE: the core sends everything from next_index at each heartbeat; we send the first entries
 * only, and no more until it is answered. PIPELINE: next_index jumps to the end, what lies between
 * is ours to send. A chunk: prev = next - 1 with its term, as many entries as fit, resolved by
 * (index, term) from our log, commit clamped to its end (COMMIT). An entry that is gone, a lost
 * link, a window that stays full: all is forgotten, and the next heartbeat, refused, tells the
 * core. */
#include "raft/peer_stream.h"

#include <raft.h>

#include "raft/core.h"
#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"

#define PROBE_ENTRIES 2
#define CHUNK_ENTRIES_MAX 256
#define STUCK_NS (2 * NS_PER_S)

static struct peer *peer_of(struct stream *s)
{
    return CONTAINER_OF(s, struct peer, stream);
}

static void fetched(struct fetch *f)
{
    struct peer *p = peer_of(CONTAINER_OF(f, struct stream, fetch));
    group_wake(p->group);
}

void peer_stream_init(struct peer *p)
{
    p->stream.next = 1;
    fetch_init(&p->stream.fetch, p->group->log, fetched);
}

void peer_stream_close(struct peer *p)
{
    fetch_close(&p->stream.fetch);
}

static void window_clear(struct stream *s)
{
    s->window_bytes = 0;
    s->chunk_first = s->chunk_count = 0;
    s->stuck.ns = 0;
}

/* Nothing is owed behind `last`. */
static void owe_nothing(struct stream *s, log_index last)
{
    s->until = last;
    s->next = last + 1;
}

void peer_stream_reset(struct peer *p)
{
    struct stream *s = &p->stream;
    s->probe = s->timeout_now = s->empty = false;
    s->commit_told = 0;
    owe_nothing(s, 0);
    window_clear(s);
    fetch_forget(&s->fetch);
}

static void note_pipeline(struct stream *s, log_index prev, size_t count)
{
    s->probe = false;
    bool contiguous = prev == s->until && s->next <= s->until + 1;
    if (!contiguous) {
        s->next = prev + 1;
        fetch_forget(&s->fetch);
    }
    s->until = prev + count;
    if (count == 0) s->empty = s->next > s->until; /* entries under way are a heartbeat, too */
}

static void note_probe(struct stream *s, log_index prev, size_t count)
{
    owe_nothing(s, prev);
    window_clear(s);
    s->probe = true;
    s->probe_prev = prev;
    s->probe_count = count < PROBE_ENTRIES ? count : PROBE_ENTRIES;
}

void peer_stream_append(struct peer *p, const struct raft_append_entries *a)
{
    struct stream *s = &p->stream;
    if (s->term != a->term) {
        peer_stream_reset(p);
        s->term = a->term;
    }
    if (!p->up) {
        owe_nothing(s, a->prev_log_index + a->n_entries);
        return;
    }
    if (core_peek_pipelines(p->group->raft, p->id))
        note_pipeline(s, a->prev_log_index, a->n_entries);
    else
        note_probe(s, a->prev_log_index, a->n_entries);
    group_wake(p->group);
}

void peer_stream_timeout_now(struct peer *p, const struct raft_timeout_now *m)
{
    struct stream *s = &p->stream;
    if (!p->up) return;
    s->timeout_now = true;
    s->timeout_index = m->last_log_index;
    s->timeout_term = m->last_log_term;
    group_wake(p->group);
}

void peer_stream_acked(struct peer *p, log_index index)
{
    struct stream *s = &p->stream;
    while (s->chunk_count != 0 && s->chunks[s->chunk_first].last <= index) {
        s->window_bytes -= s->chunks[s->chunk_first].bytes;
        s->chunk_first = (s->chunk_first + 1) % STREAM_CHUNKS_MAX;
        s->chunk_count--;
        s->stuck.ns = 0;
    }
}

/* ---- sending ---- */

struct chunk_draft {
    struct rpc_append head;
    size_t bytes;
    log_term terms[CHUNK_ENTRIES_MAX];
    struct slice parts[CHUNK_ENTRIES_MAX + 1]; /* parts[0]: the heads */
};

/* Collects entries behind head.prev. E_AGAIN: the first one must be read; E_NOTFOUND: it is gone.
 */
static int chunk_collect(struct peer *p, struct chunk_draft *d, log_index until)
{
    struct log *log = p->group->log;
    for (log_index i = d->head.prev + 1; i <= until && d->head.count < CHUNK_ENTRIES_MAX; i++) {
        log_term term = log_term_at(log, i);
        if (term == 0) return E_NOTFOUND;
        uint32_t bytes = log_bytes_at(log, i);
        if (d->head.count != 0 && d->bytes + bytes > LIMIT_STREAM_CHUNK_BYTES) return 0;
        struct slice *payload = &d->parts[1 + d->head.count];
        int rc = fetch_get(&p->stream.fetch, i, term, until, payload);
        if (rc != 0) return rc == E_AGAIN && d->head.count != 0 ? 0 : rc;
        CHECK_EQ(payload->bytes, bytes);
        d->terms[d->head.count++] = term;
        d->bytes += bytes;
    }
    return 0;
}

static void chunk_drop(struct chunk_draft *d)
{
    for (size_t k = 0; k < d->head.count; k++) {
        slice_release(&d->parts[1 + k]);
    }
}

static void chunk_send(struct peer *p, struct chunk_draft *d)
{
    struct group *g = p->group;
    struct stream *s = &p->stream;
    size_t count = d->head.count;
    struct writer w;
    writer_init(&w, RPC_APPEND_HEAD_BYTES + count * RPC_ENTRY_HEAD_BYTES);
    d->head.commit = core_peek_commit(g->raft);
    if (!BUG_COMMIT_CLAMP_OFF && d->head.commit > d->head.prev + count)
        d->head.commit = d->head.prev + count;
    s->commit_told = d->head.commit < p->acked ? d->head.commit : p->acked;
    rpc_append_head(&w, &d->head);
    for (size_t k = 0; k < count; k++) {
        log_index i = d->head.prev + 1 + k;
        rpc_entry_head(&w, d->terms[k], (uint8_t)log_type_at(g->log, i),
                       (uint32_t)d->parts[1 + k].bytes);
    }
    d->parts[0] = writer_take(&w);
    g->o.transport.send(g->o.transport.ctx, p->id, LANE_STREAM, d->parts, 1 + count);
    if (count == 0) return;
    size_t at = (s->chunk_first + s->chunk_count++) % STREAM_CHUNKS_MAX;
    s->chunks[at] = (struct peer_stream_chunk){.last = d->head.prev + count, .bytes = d->bytes};
    s->window_bytes += d->bytes;
}

/* One message with at most `count` entries behind prev. How many went, or an error. */
static int64_t send_behind(struct peer *p, log_index prev, size_t count, uint8_t flags)
{
    struct group *g = p->group;
    struct chunk_draft d;
    d.bytes = 0;
    d.head = (struct rpc_append){.term = p->stream.term, .prev = prev, .flags = flags};
    d.head.prev_term = prev == 0 ? 0 : log_term_at(g->log, prev);
    if (prev != 0 && d.head.prev_term == 0) return E_NOTFOUND;
    int rc = chunk_collect(p, &d, prev + count);
    if (rc != 0) {
        chunk_drop(&d);
        return rc;
    }
    chunk_send(p, &d);
    return d.head.count;
}

static bool window_open(struct peer *p)
{
    struct stream *s = &p->stream;
    if (s->window_bytes < LIMIT_PEER_WINDOW_BYTES && s->chunk_count < STREAM_CHUNKS_MAX)
        return true;
    uint64_t now = env_mono(p->group->env).ns;
    if (s->stuck.ns == 0) {
        s->stuck.ns = now;
    } else if (now - s->stuck.ns > STUCK_NS) {
        window_clear(s);
        owe_nothing(s, s->until);
    }
    return false;
}

static void send_timeout_now(struct peer *p)
{
    struct stream *s = &p->stream;
    struct rpc m = {.type = RPC_TIMEOUT_NOW,
                    .term = s->term,
                    .index = s->timeout_index,
                    .index_term = s->timeout_term};
    struct slice bytes = rpc_encode(&m);
    s->timeout_now = false;
    p->group->o.transport.send(p->group->o.transport.ctx, p->id, LANE_STREAM, &bytes, 1);
}

static int64_t send_owed(struct peer *p)
{
    struct stream *s = &p->stream;
    if (s->probe) {
        int64_t sent = send_behind(p, s->probe_prev, s->probe_count, 0);
        if (sent < 0) return sent;
        s->probe = s->empty = false;
        return 0;
    }
    while (s->next <= s->until) {
        if (!window_open(p)) return 0;
        int64_t sent = send_behind(p, s->next - 1, (size_t)(s->until - s->next + 1), 0);
        if (sent < 0) return sent;
        s->next += (log_index)sent;
        s->empty = false;
    }
    return 0;
}

/* The followers learn of a new commit index at once, not with the next heartbeat: results come from
 * each node's own apply. One that hasn't stored the entry yet would only commit what it has, and
 * forget the rest: it is told when it has acknowledged. */
static bool commit_is_news(struct peer *p)
{
    struct stream *s = &p->stream;
    log_index commit = core_peek_commit(p->group->raft);
    if (commit > s->until) commit = s->until;
    if (commit > p->acked) commit = p->acked;
    return commit > s->commit_told && core_peek_pipelines(p->group->raft, p->id);
}

void peer_stream_turn(struct peer *p)
{
    struct group *g = p->group;
    struct stream *s = &p->stream;
    if (!p->up || !core_peek_leads(g->raft) || core_peek_term(g->raft) != s->term) return;
    if (guard_hold(g)) return;
    int64_t rc = send_owed(p);
    if (rc == E_AGAIN || s->next <= s->until || s->probe) {
        if (rc < 0 && rc != E_AGAIN) peer_stream_reset(p);
        return;
    }
    if (s->timeout_now) send_timeout_now(p);
    if (s->until == 0 || (!s->empty && !commit_is_news(p))) return;
    uint8_t flags = s->empty ? 0 : RPC_QUIET;
    s->empty = false;
    if (send_behind(p, s->until, 0, flags) < 0) peer_stream_reset(p);
}
