/* read_index.c - see read_index.h.
 *
 * Leader: an entry of its own term is committed -> note the commit index C, ask the voters "is your
 * term still at most mine?" -> a majority says yes to this very round -> C is safe -> applied to C:
 * done. Follower: asks the leader for such a C, with all that waits. A change of leader or term, a
 * lost answer: everything asked goes back to waiting, and is asked again. Reads that come in during
 * a round belong to the next one: what they must see may be newer than C. */
#include "raft/read_index.h"

#include "raft/core.h"
#include "store/base/bug.h"

#define RETRY_NS (200 * NS_PER_MS) /* answers come from memory: two round trips are long past */

void read_index_init(struct group *g)
{
    list_init(&g->reads.waiting);
    list_init(&g->reads.asked);
    list_init(&g->reads.applying);
}

static void unlink_all(struct list *l)
{
    while (list_pop_front(l) != NULL)
        continue;
}

void read_index_free(struct group *g)
{
    unlink_all(&g->reads.waiting);
    unlink_all(&g->reads.asked);
    unlink_all(&g->reads.applying);
}

void read_index_start(struct group *g, struct read_index *r)
{
    list_push_back(&g->reads.waiting, &r->node);
    group_wake(g);
}

void read_index_cancel(struct group *g, struct read_index *r)
{
    (void)g;
    list_remove(&r->node);
}

static void asks_move(struct group *g, enum read_ask_state from, enum read_ask_state to)
{
    LIST_FOREACH (n, &g->peers) {
        struct read_ask *a = &CONTAINER_OF(n, struct peer, node)->ask;
        if (a->state == from) a->state = to;
    }
}

void read_index_restart(struct group *g)
{
    struct reads *r = &g->reads;
    list_splice(&r->asked, &r->waiting); /* the older ones first */
    list_splice(&r->waiting, &r->asked);
    r->round = false;
    r->leader = 0;
    asks_move(g, READ_ASK_ASKED, READ_ASK_NONE); /* their nodes see the change, too */
    asks_move(g, READ_ASK_WAITS, READ_ASK_NONE);
    group_wake(g);
}

void read_index_applied(struct group *g)
{
    struct reads *r = &g->reads;
    for (struct list_node *n; (n = list_first(&r->applying)) != NULL;) {
        struct read_index *read = CONTAINER_OF(n, struct read_index, node);
        if (read->index > g->pump.index) return;
        list_remove(n);
        read->done(read);
    }
}

static void asked_served(struct group *g, log_index index)
{
    struct reads *r = &g->reads;
    LIST_FOREACH (n, &r->asked) {
        CONTAINER_OF(n, struct read_index, node)->index = index;
    }
    list_splice(&r->applying, &r->asked);
}

/* ---- leader ---- */

static void round_done(struct group *g)
{
    struct reads *r = &g->reads;
    r->round = false;
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (p->ask.state != READ_ASK_ASKED) continue;
        struct rpc m = {.type = RPC_READ_INDEX, .number = p->ask.number, .index = r->index};
        p->ask.state = READ_ASK_NONE;
        io_send(g, p, &m, false);
    }
    asked_served(g, r->index);
    group_wake(g); /* the next round; and done is called outside of this stack */
}

static bool majority(struct group *g)
{
    size_t yes = core_peek_voter(g->raft, g->self);
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        yes += p->ask.yes && core_peek_voter(g->raft, p->id);
    }
    return yes > core_peek_voters(g->raft) / 2;
}

static bool wanted(struct group *g)
{
    if (!list_empty(&g->reads.waiting)) return true;
    LIST_FOREACH (n, &g->peers) {
        if (CONTAINER_OF(n, struct peer, node)->ask.state == READ_ASK_WAITS) return true;
    }
    return false;
}

static void probes_send(struct group *g)
{
    struct reads *r = &g->reads;
    struct rpc m = {.type = RPC_READ_PROBE, .term = r->term, .number = ++r->number};
    r->since = env_mono(g->env);
    LIST_FOREACH (n, &g->peers) {
        CONTAINER_OF(n, struct peer, node)->ask.yes = false;
    }
    for (size_t k = 0; k < core_peek_servers(g->raft); k++) {
        struct core_server s = core_peek_server(g->raft, k);
        if (s.id == g->self || s.role != CORE_VOTER) continue;
        io_send(g, group_peer_make(g, s.id), &m, false);
    }
}

static void round_start(struct group *g)
{
    struct reads *r = &g->reads;
    r->round = true;
    r->term = core_peek_term(g->raft);
    r->index = core_peek_commit(g->raft);
    list_splice(&r->asked, &r->waiting);
    asks_move(g, READ_ASK_WAITS, READ_ASK_ASKED);
    probes_send(g);
    if (BUG_READ_WITHOUT_ROUND || majority(g)) round_done(g);
}

/* The commit index of a new leader may be older than what its predecessor acknowledged, until an
 * entry of its own term is committed. */
static bool own_term_committed(struct group *g)
{
    if (BUG_READ_WITHOUT_OWN_TERM) return true;
    log_index commit = core_peek_commit(g->raft);
    return core_peek_term_at(g->raft, commit) == core_peek_term(g->raft);
}

static void leader_turn(struct group *g)
{
    struct reads *r = &g->reads;
    if (r->round) {
        if (env_mono(g->env).ns - r->since.ns > RETRY_NS) probes_send(g);
        return;
    }
    if (wanted(g) && own_term_committed(g)) round_start(g);
}

static void answer(struct group *g, struct peer *p, const struct rpc *m)
{
    struct reads *r = &g->reads;
    bool ours = r->round && core_peek_leads(g->raft) && core_peek_term(g->raft) == r->term &&
                m->term == r->term && m->number == r->number;
    if (!ours || !(m->flags & RPC_YES)) return;
    p->ask.yes = true;
    if (majority(g)) round_done(g);
}

/* ---- follower ---- */

static void follower_turn(struct group *g)
{
    struct reads *r = &g->reads;
    node_id leader = guard_leader(g);
    struct peer *p = leader == 0 ? NULL : group_peer(g, leader);
    if (r->leader != 0) {
        bool late = env_mono(g->env).ns - r->since.ns > RETRY_NS;
        if (r->leader == leader && !late) return;
        read_index_restart(g);
    }
    if (p == NULL || !p->up || list_empty(&r->waiting)) return;
    list_splice(&r->asked, &r->waiting);
    r->leader = leader;
    r->since = env_mono(g->env);
    struct rpc m = {.type = RPC_READ_ASK, .number = ++r->number};
    io_send(g, p, &m, false);
}

static void index_received(struct group *g, struct peer *p, const struct rpc *m)
{
    struct reads *r = &g->reads;
    if (r->leader != p->id || r->number != m->number) return;
    r->leader = 0;
    asked_served(g, m->index);
    group_wake(g);
}

/* From memory, at once: the answer promises nothing about later, so it waits for no disk. */
static void probe_received(struct group *g, struct peer *p, const struct rpc *m)
{
    struct rpc a = {.type = RPC_READ_ANSWER, .term = m->term, .number = m->number};
    if (core_peek_term(g->raft) <= m->term) a.flags = RPC_YES;
    io_send(g, p, &a, false);
}

void read_index_turn(struct group *g)
{
    if (core_peek_leads(g->raft))
        leader_turn(g);
    else
        follower_turn(g);
    read_index_applied(g);
}

void read_index_recv(struct group *g, struct peer *p, const struct rpc *m)
{
    switch (m->type) {
    case RPC_READ_PROBE:
        probe_received(g, p, m);
        break;
    case RPC_READ_ANSWER:
        answer(g, p, m);
        break;
    case RPC_READ_ASK:
        if (!core_peek_leads(g->raft)) return; /* it asks again */
        p->ask.number = m->number;
        p->ask.state = READ_ASK_WAITS;
        break;
    case RPC_READ_INDEX:
        index_received(g, p, m);
        break;
    default:
        CHECK(false);
    }
}
