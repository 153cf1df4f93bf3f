/* handover.c - see handover.h.
 *
 * Proposals stop (propose.c asks `active`) -> a voter has our whole log -> raft_transfer, which
 * sends it a TimeoutNow -> a leader of a higher term shows up: done. The target doesn't take it
 * within an election timeout: another one. After 3 s: done all the same, and proposals go on. */
#include "raft/handover.h"

#include <raft.h>
#include <stdlib.h>

#include "raft/core.h"
#include "store/base/logger.h"

#define HANDOVER_NS (3 * NS_PER_S)

void handover_start(struct group *g, void (*done)(void *ctx), void *ctx)
{
    struct handover *h = &g->handover;
    if (h->active && done == NULL) return; /* a client asks while the node stops: it comes anyway */
    CHECK(!h->active || h->done == NULL);
    h->done = done;
    h->ctx = ctx;
    if (!h->active) {
        h->active = true;
        h->target = h->tried = 0;
        h->term = g->raft == NULL ? 0 : core_peek_term(g->raft);
        h->deadline.ns = env_mono(g->env).ns + HANDOVER_NS;
    }
    group_wake(g);
}

static void finish(struct group *g)
{
    struct handover *h = &g->handover;
    void (*done)(void *) = h->done;
    h->active = false;
    h->done = NULL;
    if (done != NULL) done(h->ctx);
}

static void transfer_done(struct raft_transfer *req)
{
    struct group *g = req->data;
    g->handover.tried = g->handover.target;
    g->handover.target = 0;
    free(req);
}

/* Who has all that we have; someone else than the last one, if there is. */
static node_id candidate(struct group *g, bool *any)
{
    node_id best = 0;
    *any = false;
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (!core_peek_voter(g->raft, p->id)) continue;
        *any = true;
        if (!p->up || p->acked < core_peek_last(g->raft)) continue;
        if (best == 0 || best == g->handover.tried) best = p->id;
    }
    return best;
}

static void transfer(struct group *g, node_id target)
{
    struct raft_transfer *req = check_alloc(sizeof *req);
    req->data = g;
    g->handover.target = target;
    io_enter(g);
    int rc = raft_transfer(g->raft, req, target, transfer_done);
    io_leave(g);
    if (rc == 0) return;
    g->handover.target = 0;
    free(req);
}

void handover_tick(struct group *g)
{
    struct handover *h = &g->handover;
    if (!h->active) return;
    bool any = false;
    bool leads = g->raft != NULL && core_peek_leads(g->raft) && core_peek_term(g->raft) == h->term;
    node_id target = leads ? candidate(g, &any) : 0;
    if (!leads || !any || env_mono(g->env).ns >= h->deadline.ns) {
        finish(g);
        return;
    }
    if (target == 0 || core_peek_transfer(g->raft) != 0 || core_peek_promotes(g->raft)) return;
    LOG(INF, "Raft: handing leadership over to %016llx", (unsigned long long)target);
    transfer(g, target);
}
