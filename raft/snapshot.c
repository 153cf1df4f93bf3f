/* snapshot.c - see snapshot.h.
 *
 * The log is over a limit -> armed: libraft asks for a snapshot after the next apply -> how much
 * goes is chosen there, in bytes, and told to the core as "trailing" entries -> next turn: a floor
 * record in our log, then the core drops its head. Nothing above the store's durable index goes,
 * and that entry itself stays: a leader probes with it as prev. */
#include "raft/snapshot.h"

#include <raft.h>

#include "raft/core.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define STEP_ENTRIES 10000u /* trimming costs the core time per entry, at once */
#define LIVE_NS (3 * NS_PER_S)

static log_index entries_of(const struct group *g)
{
    return log_last(g->log) + 1 - log_first(g->log);
}

static bool over_limit(const struct group *g)
{
    return log_total_bytes(g->log) > g->o.log_bytes_max ||
           entries_of(g) > LIMIT_LOG_ENTRIES / 8 * 7;
}

/* A follower that lives and is behind keeps what it needs, as long as that is not out of
 * proportion. */
static log_index pinned(struct group *g, log_index keep)
{
    if (!core_peek_leads(g->raft) || log_total_bytes(g->log) / 3 > g->o.log_bytes_max) return keep;
    if (entries_of(g) > LIMIT_LOG_ENTRIES) return keep;
    uint64_t now = env_mono(g->env).ns;
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (p->acked != 0 && now - p->heard.ns < LIVE_NS && p->acked - 1 < keep)
            keep = p->acked - 1;
    }
    return keep;
}

/* The last entry that may go now; below log_first: none. */
static log_index choose(struct group *g, log_index highest)
{
    log_index first = log_first(g->log);
    uint64_t bytes = log_total_bytes(g->log), bytes_goal = g->o.log_bytes_max / 8 * 7;
    log_index count = entries_of(g), count_goal = LIMIT_LOG_ENTRIES / 4 * 3;
    log_index keep = first - 1;
    while (keep < highest && keep + 1 < first + STEP_ENTRIES &&
           (bytes > bytes_goal || count > count_goal)) {
        uint64_t entry = log_bytes_at(g->log, ++keep);
        bytes -= entry < bytes ? entry : bytes;
        count--;
    }
    return pinned(g, keep);
}

void snapshot_check(struct group *g)
{
    if (g->raft == NULL || g->snapshot.armed || !over_limit(g)) return;
    if (g->durable_index <= log_first(g->log)) return;
    if (core_peek_snapshot_pending(g->raft)) return;
    g->snapshot.armed = true;
    core_peek_snapshot_arm(g->raft, true);
}

static void disarm(struct group *g)
{
    g->snapshot.armed = false;
    core_peek_snapshot_arm(g->raft, false);
}

int snapshot_take(struct group *g, struct raft_buffer **bufs, unsigned *count)
{
    log_index applied = core_peek_applied(g->raft);
    if (!g->snapshot.armed || guard_conf_busy(g) || applied == 0) return RAFT_BUSY;
    log_index highest = g->durable_index < applied ? g->durable_index : applied;
    log_index keep = highest == 0 ? 0 : choose(g, highest - 1);
    if (keep < log_first(g->log)) {
        disarm(g);
        return RAFT_BUSY;
    }
    g->snapshot.keep = keep;
    core_peek_snapshot_trailing(g->raft, applied - keep);
    *count = 1;
    *bufs = raft_calloc(1, sizeof **bufs);
    (*bufs)[0].len = 8;
    (*bufs)[0].base = raft_calloc(1, 8);
    return 0;
}

void snapshot_finish_put(struct group *g, struct raft_io_snapshot_put *req)
{
    log_trim(g->log, g->snapshot.keep + 1);
    req->cb(req, 0);
    CHECK_EQ(core_peek_offset(g->raft), g->snapshot.keep);
    CHECK_EQ(log_first(g->log), g->snapshot.keep + 1);
    disarm(g);
}

/* A descriptor, so that the core's state stays sane; whom it is for, and what becomes of it, is
 * decided when it is sent. */
void snapshot_finish_get(struct group *g, struct raft_io_snapshot_get *req)
{
    log_term term;
    log_index index = core_peek_snapshot(g->raft, &term);
    if (g->durable_index > index) {
        index = g->durable_index;
        term = g->durable_term;
    }
    struct raft_snapshot *s = raft_calloc(1, sizeof *s);
    s->index = index;
    s->term = term;
    members_fill(&g->pump.conf, &s->configuration);
    s->configuration_index = g->pump.conf.index;
    s->n_bufs = 1;
    s->bufs = raft_calloc(1, sizeof *s->bufs);
    s->bufs[0].len = 8;
    s->bufs[0].base = raft_calloc(1, 8);
    req->cb(req, s, 0);
}
