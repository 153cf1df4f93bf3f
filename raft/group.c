/* group.c - see group.h.
 *
 * Everything that enters the core comes through here: messages, ticks, what became durable. After
 * each of them group_after looks at what libraft can't do itself, and the turn is woken: at its end
 * send callbacks run, batches become entries, read rounds start, streams send. Restart of the core
 * (CONF): its work stops, the log becomes idle, the core is closed and started again from the log;
 * the state machine stays where it is, entries that it has had are passed over. */
#include "raft/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define LOG_BYTES_DEFAULT GIB(10)
#define CHECK_NS (1 * NS_PER_S)

static bool running(const struct group *g)
{
    return g->raft != NULL && !g->restarting && !g->closing;
}

/* ---- peers ---- */

struct peer *group_peer(struct group *g, node_id id)
{
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (p->id == id) return p;
    }
    return NULL;
}

struct peer *group_peer_make(struct group *g, node_id id)
{
    struct peer *p = group_peer(g, id);
    if (p != NULL) return p;
    CHECK(id != 0 && (!g->started || id != g->self));
    p = check_alloc(sizeof *p);
    p->group = g;
    p->id = id;
    p->up = g->o.transport.connected(g->o.transport.ctx, id);
    members_address(id, "", p->address);
    list_push_back(&g->peers, &p->node);
    peer_stream_init(p);
    return p;
}

/* ---- after the core, and at the end of the turn ---- */

void group_wake(struct group *g)
{
    if (!g->closing) env_defer(g->env, &g->turn);
}

/* FIG8: results that waited go to the core, one per peer. */
static bool replay_stash(struct group *g)
{
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (p->stashed == 0) continue;
        struct rpc m = {.type = RPC_APPEND_RESULT, .term = g->guard.lead_term, .index = p->stashed};
        p->stashed = 0;
        receive_deliver(g, p, &m);
        return true;
    }
    return false;
}

static bool hand_over(struct group *g)
{
    struct list_node *n = list_first(&g->io.held);
    if (n == NULL || !guard_delay(g, CONTAINER_OF(n, struct io_append, node)->last)) return false;
    io_finish_append(g);
    return true;
}

static bool deliver_late(struct group *g)
{
    struct rpc m;
    if (!guard_cand_due(g, &m)) return false;
    struct peer *p = group_peer(g, g->guard.late_from);
    if (p == NULL) return false;
    receive_deliver(g, p, &m);
    return true;
}

void group_after(struct group *g)
{
    if (!running(g)) return;
    do {
        if (core_peek_state(g->raft) == CORE_UNAVAILABLE)
            FATAL(EXIT_RAFT, "the consensus core stopped: %s", core_peek_error(g->raft));
        guard_leadership(g);
    } while (hand_over(g) || (!guard_fig8(g) && replay_stash(g)) || deliver_late(g));
    if (core_peek_commit(g->raft) > g->committed) g->committed = core_peek_commit(g->raft);
    pump_run(g);
}

/* Something came in from outside. */
static void stirred(struct group *g)
{
    group_after(g);
    group_wake(g);
}

static void announce(struct group *g)
{
    node_id leader = guard_leader(g);
    log_term term = core_peek_term(g->raft);
    bool self = group_leads(g);
    if (leader == g->told_leader && self == g->told_self && (term == g->told_term || leader == 0))
        return;
    if (leader != g->told_leader || term != g->told_term) read_index_restart(g);
    g->told_leader = leader;
    g->told_term = term;
    g->told_self = self;
    if (g->o.on_leader != NULL) g->o.on_leader(g->o.ctx, leader, term, self);
}

static void core_reset(struct group *g)
{
    io_stop(g);
    handles_close(&g->handles);
    handles_init(&g->handles);
    g->guard = (struct guard){0};
    g->snapshot = (struct snapshot){0};
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        p->acked = p->stashed = 0;
        peer_stream_reset(p);
    }
    propose_leadership(g);
    read_index_restart(g);
}

/* Goes on when the log has nothing left to write. */
static void restart_step(struct group *g)
{
    if (!log_idle(g->log)) return;
    core_reset(g);
    g->restarting = false;
    io_start(g);
    LOG(INF, "Raft: core started again at %llu", (unsigned long long)log_last(g->log));
}

void group_restart_core(struct group *g)
{
    g->restarting = true;
    group_wake(g);
}

static void turn(struct env_defer *d)
{
    struct group *g = CONTAINER_OF(d, struct group, turn);
    if (g->closing) return;
    if (g->restarting) restart_step(g);
    handover_tick(g);
    if (!running(g)) return;
    io_turn(g);
    group_after(g);
    propose_turn(g);
    read_index_turn(g);
    LIST_FOREACH (n, &g->peers) {
        peer_stream_turn(CONTAINER_OF(n, struct peer, node));
    }
    announce(g);
}

/* ---- ticks ---- */

static void once_a_second(struct group *g, uint64_t now_ns)
{
    if (now_ns < g->check_due.ns) return;
    g->check_due.ns = now_ns + CHECK_NS;
    propose_check(g);
    snapshot_check(g);
}

static void tick(struct env_timer *t)
{
    struct group *g = CONTAINER_OF(t, struct group, tick);
    uint64_t now_ns = env_mono(g->env).ns;
    uint64_t late_ns = now_ns > g->tick_due.ns ? now_ns - g->tick_due.ns : 0;
    g->tick_due.ns = now_ns + CORE_TICK_MS * NS_PER_MS;
    env_timer_start(t, CORE_TICK_MS * NS_PER_MS);
    group_wake(g);
    if (!running(g)) return;
    guard_stall(g, late_ns);
    guard_cand_tick(g);
    io_tick(g);
    group_after(g);
    guard_contact_send(g);
    guard_grey(g);
    once_a_second(g, now_ns);
}

/* ---- from the log ---- */

static void on_durable(void *ctx, log_index index)
{
    struct group *g = ctx;
    if (g->closing) return;
    g->o.sm.log_durable(g->o.sm.ctx, index);
    if (g->raft == NULL) return;
    io_durable(g, index);
    stirred(g);
}

static void on_vote_durable(void *ctx, uint64_t number)
{
    struct group *g = ctx;
    if (g->closing) return;
    io_vote_durable(g, number);
    group_wake(g);
}

/* ---- open, start, close ---- */

/* Does the log fit the state that the store holds? What lacks is lost for good: such a node must
 * not take part under its old name. */
static int log_fits(struct group *g)
{
    log_index first = log_first(g->log), last = log_last(g->log), at = g->durable_index;
    bool fits = at == 0 ? first == 1 : at <= last && at + 1 >= first;
    if (fits && at != 0) fits = log_term_at(g->log, at) == g->durable_term;
    if (fits) return 0;
    LOG_CODE(ERR, LOG_CORRUPT,
             "%s: the log holds entries %llu to %llu, the store is at %llu (term %llu): they don't "
             "belong together",
             g->o.dir, (unsigned long long)first, (unsigned long long)last, (unsigned long long)at,
             (unsigned long long)g->durable_term);
    return E_CORRUPT;
}

static void defaults(struct group *g)
{
    if (g->o.log_bytes_max != 0) return;
    uint64_t total = 0, left = 0;
    g->o.log_bytes_max = LOG_BYTES_DEFAULT;
    int rc = g->env->ops->disk_space(g->env, g->o.dir, &total, &left);
    if (rc == 0 && total / 5 < LOG_BYTES_DEFAULT) g->o.log_bytes_max = total / 5;
}

static int open_log(struct group *g)
{
    struct log_options lo = {.env = g->env,
                             .dir = g->o.dir,
                             .identity = g->o.identity,
                             .cache_bytes = g->o.cache_bytes,
                             .on_durable = on_durable,
                             .on_vote_durable = on_vote_durable,
                             .ctx = g};
    int rc = log_open(&lo, &g->log);
    if (rc != 0) return rc;
    g->durable_index = g->o.sm.index(g->o.sm.ctx, &g->durable_term);
    return log_fits(g);
}

int group_open(const struct group_options *o, struct group **out)
{
    if (!core_peek_version_fits()) {
        LOG(ERR, "libraft is not version 0.15, the only one that this program knows");
        return E_VERSION;
    }
    struct group *g = check_alloc(sizeof *g);
    g->o = *o;
    g->env = o->env;
    g->o.dir = check_strdup(o->dir);
    list_init(&g->peers);
    handles_init(&g->handles);
    propose_init(g);
    read_index_init(g);
    io_init(g);
    env_timer_init(g->env, &g->tick, tick);
    g->turn.cb = turn;
    defaults(g);
    int rc = open_log(g);
    if (rc != 0) {
        group_close(g);
        return rc;
    }
    pump_init(g);
    *out = g;
    return 0;
}

bool group_is_empty(const struct group *g)
{
    return log_last(g->log) == 0 && log_facts(g->log)->config_bytes == 0;
}

const struct log_facts *group_facts(const struct group *g)
{
    return log_facts(g->log);
}

int group_facts_store(struct group *g, const struct log_facts *facts)
{
    CHECK(!g->started);
    return log_facts_store(g->log, facts);
}

/* The configuration becomes one of the log's facts, which is durable at once; its entry is made
 * from that at the start, again if need be: the same bytes on every member. */
int group_bootstrap(struct group *g, node_id self, const struct group_member *members, size_t count)
{
    CHECK(!g->started && group_is_empty(g));
    if (count == 0 || count > CONF_MEMBERS_MAX) return E_INVAL;
    struct conf c = {.index = 1, .count = count};
    bool found = false;
    for (size_t k = 0; k < count; k++) {
        c.members[k].id = members[k].id;
        c.members[k].role = members[k].voter ? CORE_VOTER : CORE_STANDBY;
        snprintf(c.members[k].name, sizeof c.members[k].name, "%s", members[k].name);
        found |= members[k].id == self;
    }
    if (!found) return E_INVAL;
    struct slice bytes = members_encode(&c);
    struct log_facts f = *log_facts(g->log);
    int rc = bytes.bytes > sizeof f.config ? E_TOOBIG : 0;
    if (rc == 0) {
        f.config_index = 1;
        f.config_bytes = (uint32_t)bytes.bytes;
        memcpy(f.config, bytes.at, bytes.bytes);
        rc = log_facts_store(g->log, &f);
    }
    slice_release(&bytes);
    return rc;
}

static void first_entry(struct group *g)
{
    const struct log_facts *f = log_facts(g->log);
    if (log_last(g->log) != 0 || f->config_index != 1) return;
    log_append(g->log, 1, LOG_CHANGE, slice_copy(f->config, f->config_bytes));
}

static void count_ahead(struct group *g)
{
    for (log_index i = g->pump.index + 1; i <= log_last(g->log); i++) {
        g->propose.ahead_bytes += log_bytes_at(g->log, i);
    }
}

int group_start(struct group *g, node_id self)
{
    CHECK(!g->started);
    CHECK(self != 0);
    g->self = self;
    g->started = true;
    first_entry(g);
    count_ahead(g);
    g->propose.unread = log_last(g->log);
    g->o.sm.log_durable(g->o.sm.ctx, log_durable(g->log));
    io_start(g);
    g->tick_due.ns = env_mono(g->env).ns + CORE_TICK_MS * NS_PER_MS;
    env_timer_start(&g->tick, CORE_TICK_MS * NS_PER_MS);
    stirred(g);
    return 0;
}

void group_handover(struct group *g, void (*done)(void *ctx), void *ctx)
{
    handover_start(g, done, ctx);
}

void group_close(struct group *g)
{
    g->closing = true;
    env_timer_stop(&g->tick);
    list_remove(&g->turn.node);
    io_stop(g);
    if (g->log != NULL) log_close(g->log);
    for (struct list_node *n; (n = list_pop_front(&g->peers)) != NULL;) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        peer_stream_close(p);
        free(p);
    }
    pump_free(g);
    read_index_free(g);
    propose_free(g);
    handles_close(&g->handles);
    union {
        const char *kept;
        char *freed;
    } dir = {.kept = g->o.dir};
    free(dir.freed);
    free(g);
}

/* ---- what others ask ---- */

bool group_leads(const struct group *g)
{
    return running(g) && core_peek_leads(g->raft) && g->guard.leading &&
           g->pump.index >= g->guard.barrier;
}
node_id group_leader(const struct group *g)
{
    return running(g) ? guard_leader(g) : 0;
}
log_term group_term(const struct group *g)
{
    return running(g) ? core_peek_term(g->raft) : g->io.vote.term;
}
log_index group_applied(const struct group *g)
{
    return g->pump.index;
}
log_index group_committed(const struct group *g)
{
    return g->committed;
}

log_index group_log_first(const struct group *g)
{
    return log_first(g->log);
}
uint64_t group_log_bytes(const struct group *g)
{
    return log_total_bytes(g->log);
}

size_t group_members(const struct group *g, struct group_member *out, size_t max)
{
    if (!running(g)) return 0;
    size_t count = core_peek_servers(g->raft);
    if (count > max) count = max;
    for (size_t k = 0; k < count; k++) {
        struct core_server s = core_peek_server(g->raft, k);
        out[k].id = s.id;
        out[k].voter = s.role == CORE_VOTER;
        snprintf(out[k].name, sizeof out[k].name, "%s", members_name(s.address));
    }
    return count;
}

size_t group_peers(const struct group *g, struct group_peer_status *out, size_t max)
{
    size_t count = 0;
    uint64_t now = env_mono(g->env).ns;
    LIST_FOREACH (n, &g->peers) {
        const struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (count == max) break;
        uint64_t silent = now > p->heard.ns ? now - p->heard.ns : 0;
        out[count++] = (struct group_peer_status){
            .id = p->id, .match = p->acked, .up = p->up, .silent_ns = silent};
    }
    return count;
}

/* ---- from the transport ---- */

void group_recv(struct group *g, node_id from, enum transport_lane lane, struct slice message)
{
    if (!running(g) || from == 0 || from == g->self) return;
    struct peer *p = group_peer_make(g, from);
    p->heard = env_mono(g->env);
    receive_message(g, p, lane, message);
    stirred(g);
}

void group_peer_up(struct group *g, node_id peer)
{
    if (g->closing || peer == 0 || (g->started && peer == g->self)) return;
    struct peer *p = group_peer_make(g, peer);
    p->up = true;
    p->heard = env_mono(g->env);
    peer_stream_reset(p);
    propose_link(g, peer);
    if (running(g) && g->reads.leader == peer) read_index_restart(g);
    group_wake(g);
}

void group_peer_down(struct group *g, node_id peer, bool dead)
{
    struct peer *p = g->closing ? NULL : group_peer(g, peer);
    if (p == NULL) return;
    p->up = false;
    peer_stream_reset(p);
    propose_link(g, peer);
    if (running(g) && dead) guard_hint(g, peer);
    group_wake(g);
}

/* ---- from the state machine ---- */

void group_sm_ready(struct group *g)
{
    g->pump.refused = false;
    group_wake(g);
}

void group_sm_durable(struct group *g, log_index index, log_term term)
{
    if (index <= g->durable_index) return;
    g->durable_index = index;
    g->durable_term = term;
    if (running(g)) snapshot_check(g);
}
