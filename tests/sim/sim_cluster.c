/* sim_cluster.c - see sim_cluster.h. A run: bootstrap, work under faults, calm with work, calm
 * without; then all nodes are equal and every proposal of a process that lives has its answer. */
#include "tests/sim/sim_cluster.h"

#include <stdio.h>

#include "store/base/err.h"

#define FAULTS_NS_MAX (90 * NS_PER_S)
#define LEADER_NS (5 * NS_PER_S)
#define CATCH_UP_NS (25 * NS_PER_S)
#define WATCH_NS (5 * NS_PER_MS)
#define ENTRIES_BEHIND_MAX 300

/* ---- processes ---- */

static void on_leader(void *ctx, node_id leader, log_term term, bool self)
{
    struct sim_node *n = ctx;
    (void)leader;
    if (!self) return;
    sim_trace(n->cluster->sim, "node %u leads in term %llu", n->number, (unsigned long long)term);
    truth_leads(&n->cluster->truth, n->number, term);
}

static void bootstrap(struct sim_node *n)
{
    struct group_member members[LINK_NODES] = {0};
    for (unsigned k = 0; k < n->cluster->nodes; k++) {
        members[k].id = k + 1;
        members[k].voter = true;
        snprintf(members[k].name, sizeof members[k].name, "n%u", k + 1);
    }
    int rc = group_bootstrap(n->group, n->number, members, n->cluster->nodes);
    if (rc != 0) sim_fail(n->cluster->sim, "node %u: bootstrap: %s", n->number, err_text(rc));
}

static void open_node(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_cluster *c = n->cluster;
    struct group_options o = {.env = &n->env->env,
                              .dir = "log",
                              .identity = n->number,
                              .sm = sim_state_sm(n),
                              .log_bytes_max = c->log_bytes_max,
                              .cache_bytes = c->cache_bytes,
                              .on_leader = on_leader,
                              .ctx = n};
    links_transport(c->links, n->number, &o.transport);
    sim_state_start(n);
    n->committed = 0;
    int rc = group_open(&o, &n->group);
    if (rc != 0) sim_fail(c->sim, "node %u: open: %s", n->number, err_text(rc));
    struct log_facts f = *group_facts(n->group);
    if (f.boots < n->boots) sim_fail(c->sim, "node %u forgot a start", n->number);
    f.boots++;
    rc = group_facts_store(n->group, &f);
    if (rc != 0) sim_fail(c->sim, "node %u: facts: %s", n->number, err_text(rc));
    n->boots = f.boots;
    if (group_is_empty(n->group)) bootstrap(n);
    rc = group_start(n->group, n->number);
    if (rc != 0) sim_fail(c->sim, "node %u: start: %s", n->number, err_text(rc));
    truth_started(&c->truth, n->number, group_term(n->group));
    n->started = true;
}

static void down(struct sim_node *n, enum sim_crash how)
{
    n->env = NULL;
    n->group = NULL;
    n->started = false;
    links_detach(n->cluster->links, n->number, how == SIM_KILL);
    sim_disk_crash(&n->disk, how);
}

static void start_node(struct sim_node *n);

struct restart_event {
    struct sim_event event;
    struct sim_node *node;
};

static void restart_run(struct sim_event *event)
{
    struct sim_node *n = ((struct restart_event *)(void *)event)->node;
    if (n->env == NULL) start_node(n);
}

/* Its own disk ended it in the middle of a call. */
static void died(struct sim_env *e)
{
    struct sim_node *n = e->owner;
    struct sim *s = n->cluster->sim;
    enum sim_crash how = sim_chance(s, 300) ? SIM_KILL : SIM_POWER;
    sim_trace(s, "node %u dies in a call", n->number);
    down(n, how);
    struct sim_event *event = sim_event_new(sizeof(struct restart_event), restart_run);
    ((struct restart_event *)(void *)event)->node = n;
    sim_at(s, sim_log_uniform(s, NS_PER_MS, 3 * NS_PER_S), NULL, event);
}

static void start_node(struct sim_node *n)
{
    struct sim_cluster *c = n->cluster;
    int64_t skew_ns = n->env == NULL ? 0 : n->env->wall_skew_ns;
    n->env = sim_env_new(c->sim, &n->disk, n->number);
    n->env->owner = n;
    n->env->died = died;
    n->env->wall_skew_ns = skew_ns;
    if (!c->calm && sim_chance(c->sim, 100)) n->disk.die_in = sim_between(c->sim, 1, 15);
    links_attach(c->links, n->number, n->env, n);
    if (!sim_env_call(n->env, open_node, n)) return;
    sim_trace(c->sim, "node %u starts: term %llu, applied %llu", n->number,
              (unsigned long long)group_term(n->group), (unsigned long long)n->state.index);
}

/* ---- between nodes ---- */

static void recv_message(void *node, node_id from, enum transport_lane lane, struct slice message)
{
    struct sim_node *n = node;
    group_recv(n->group, from, lane, message);
}
static void peer_up(void *node, node_id peer)
{
    struct sim_node *n = node;
    group_peer_up(n->group, peer);
}
static void peer_down(void *node, node_id peer, bool dead)
{
    struct sim_node *n = node;
    group_peer_down(n->group, peer, dead);
}
static void message_sent(void *node, node_id to, struct slice message)
{
    struct sim_node *n = node;
    truth_sent(&n->cluster->truth, n->number, to, message);
}

static const struct link_user link_user = {.recv = recv_message,
                                           .up = peer_up,
                                           .down = peer_down,
                                           .sent = message_sent};

/* ---- faults ---- */

static struct sim_node *node_at(void *world, unsigned number)
{
    return &((struct sim_cluster *)world)->node[number];
}
static struct sim_env *fault_env(void *world, unsigned number)
{
    return node_at(world, number)->env;
}
static struct sim_disk *fault_disk(void *world, unsigned number)
{
    return &node_at(world, number)->disk;
}
static void fault_start(void *world, unsigned number)
{
    start_node(node_at(world, number));
}
static void fault_crash(void *world, unsigned number, enum sim_crash how)
{
    struct sim_node *n = node_at(world, number);
    sim_env_crash(n->env);
    down(n, how);
}
static void handed_over(void *ctx)
{
    struct sim_node *n = ctx;
    n->handing_over = false;
}
static void fault_hand_over(void *world, unsigned number)
{
    struct sim_node *n = node_at(world, number);
    if (n->handing_over || !group_leads(n->group)) return;
    n->handing_over = true;
    group_handover(n->group, handed_over, n);
}
static void fault_block(void *world, unsigned from, unsigned to, bool blocked)
{
    links_block(((struct sim_cluster *)world)->links, from, to, blocked);
}
static void fault_reset(void *world, unsigned a, unsigned b)
{
    links_break(((struct sim_cluster *)world)->links, a, b);
}
static void fault_latency(void *world, uint64_t low_ns, uint64_t high_ns)
{
    links_latency(((struct sim_cluster *)world)->links, low_ns, high_ns);
}

/* ---- what must hold throughout ---- */

struct watch_event {
    struct sim_event event;
    struct sim_cluster *cluster;
};

static void watch_later(struct sim_cluster *c);

static void watch_run(struct sim_event *event)
{
    struct sim_cluster *c = ((struct watch_event *)(void *)event)->cluster;
    for (unsigned i = 1; i <= c->nodes; i++) {
        struct sim_node *n = &c->node[i];
        if (n->env == NULL || !n->started) continue;
        log_index committed = group_committed(n->group);
        if (committed < n->committed) sim_fail(c->sim, "node %u: commit index went back", i);
        if (n->state.index > n->flushed.index && committed != 0 && n->state.index > committed)
            sim_fail(c->sim, "node %u applied beyond the commit index", i);
        n->committed = committed;
    }
    watch_later(c);
}

static void watch_later(struct sim_cluster *c)
{
    struct sim_event *event = sim_event_new(sizeof(struct watch_event), watch_run);
    ((struct watch_event *)(void *)event)->cluster = c;
    sim_at(c->sim, WATCH_NS, NULL, event);
}

/* ---- the end ---- */

static unsigned leaders(const struct sim_cluster *c)
{
    unsigned count = 0;
    for (unsigned i = 1; i <= c->nodes; i++)
        count += c->node[i].started && group_leads(c->node[i].group);
    return count;
}

static bool equal(const struct sim_cluster *c, char *why, size_t bytes)
{
    for (unsigned i = 1; i <= c->nodes; i++) {
        const struct sim_node *n = &c->node[i];
        uint64_t value;
        if (n->state.index != c->node[1].state.index) {
            snprintf(why, bytes, "node %u is at %llu, node 1 at %llu", i,
                     (unsigned long long)n->state.index,
                     (unsigned long long)c->node[1].state.index);
            return false;
        }
        if (truth_unanswered(&c->truth, i, n->boots, &value)) {
            snprintf(why, bytes, "node %u has no answer for value %llu", i,
                     (unsigned long long)value);
            return false;
        }
        if (n->state.digest != c->node[1].state.digest) {
            snprintf(why, bytes, "node %u has another state", i);
            return false;
        }
    }
    return true;
}

static void tell_nodes(const struct sim_cluster *c)
{
    for (unsigned i = 1; i <= c->nodes; i++) {
        const struct sim_node *n = &c->node[i];
        struct group_peer_status peers[LINK_NODES];
        if (!n->started) continue;
        sim_trace(
            c->sim,
            "  node %u: term %llu, leader %llu, committed %llu, applied %llu, durable %llu, "
            "outstanding %llu",
            i, (unsigned long long)group_term(n->group), (unsigned long long)group_leader(n->group),
            (unsigned long long)group_committed(n->group), (unsigned long long)n->state.index,
            (unsigned long long)n->log_durable, (unsigned long long)propose_outstanding(n->group));
        size_t count = group_peers(n->group, peers, LINK_NODES);
        for (size_t p = 0; p < count; p++)
            sim_trace(c->sim, "    peer %llu: match %llu, %s, silent %llu ms",
                      (unsigned long long)peers[p].id, (unsigned long long)peers[p].match,
                      peers[p].up ? "up" : "down",
                      (unsigned long long)(peers[p].silent_ns / NS_PER_MS));
    }
}

static void finish(struct sim_cluster *c)
{
    struct sim *s = c->sim;
    char why[200] = "";
    c->calm = true;
    sim_faults_stop();
    sim_run(s, s->now_ns + FAULT_PAUSE_NS_MAX + LEADER_NS);
    if (leaders(c) != 1) sim_fail(s, "%u leaders when all is well", leaders(c));
    log_index before = c->truth.acked_index;
    sim_run(s, s->now_ns + CATCH_UP_NS);
    if (c->truth.acked_index == before) sim_fail(s, "no progress when all is well");
    c->working = false;
    for (unsigned k = 0; k < 25; k++) {
        sim_run(s, s->now_ns + NS_PER_S);
        if (equal(c, why, sizeof why)) return;
        sim_trace(s, "%s", why);
        tell_nodes(c);
    }
    sim_fail(s, "not equal at the end: %s", why);
}

void sim_cluster_run(struct sim *s, unsigned nodes)
{
    struct sim_cluster *c = check_alloc(sizeof *c);
    c->sim = s;
    c->nodes = nodes != 0 ? nodes : sim_chance(s, 800) ? 3 : 5;
    c->log_bytes_max = GIB(1);
    c->cache_bytes = sim_log_uniform(s, KIB(1), MIB(1));
    c->work_ns = sim_log_uniform(s, 200 * NS_PER_US, 50 * NS_PER_MS);
    c->bytes_max = (uint32_t)sim_log_uniform(s, 16, c->work_ns < NS_PER_MS ? 1000 : 20000);
    c->read_per_mille = (unsigned)sim_below(s, 300);
    truth_init(&c->truth, s);
    c->links = links_new(s, c->nodes, &link_user);
    for (unsigned i = 1; i <= c->nodes; i++) {
        struct sim_node *n = &c->node[i];
        n->cluster = c;
        n->number = i;
        sim_disk_init(&n->disk, s);
        start_node(n);
    }
    sim_state_work(c);
    sim_work_start(c);
    struct fault_target target = {.world = c,
                                  .nodes = c->nodes,
                                  .env = fault_env,
                                  .disk = fault_disk,
                                  .start = fault_start,
                                  .crash = fault_crash,
                                  .hand_over = fault_hand_over,
                                  .block = fault_block,
                                  .reset = fault_reset,
                                  .latency = fault_latency};
    sim_faults_start(s, &target);
    watch_later(c);
    sim_run(s, sim_log_uniform(s, 5 * NS_PER_S, FAULTS_NS_MAX));
    finish(c);
    sim_trace(s, "%zu values, %zu answered, last entry %llu", c->truth.values_count, c->truth.acked,
              (unsigned long long)c->truth.acked_index);
}
