/* sim_faults.c - what goes wrong, how often: drawn per seed, some of it not at all, so that rare
 * mixes occur too. Everything here is within what Gannet promises to survive. */
#include "tests/sim/sim_cluster.h"

struct fault_event {
    struct sim_event event;
    struct sim_cluster *cluster;
    struct sim_node *node;
    unsigned peer;
    uint64_t number; /* of the round of faults that this belongs to */
};
static struct {
    unsigned weights[16];
    uint64_t pause_ns; /* between two faults, about */
    uint64_t length_ns_max;
} plan;

static struct sim_node *any_node(struct sim_cluster *c)
{
    return &c->node[sim_between(c->sim, 1, c->nodes)];
}

static uint64_t length(struct sim_cluster *c)
{
    return sim_log_uniform(c->sim, 20 * NS_PER_MS, plan.length_ns_max);
}

static void later(struct sim_cluster *c,
                  uint64_t delay_ns,
                  void (*run)(struct sim_event *e),
                  struct sim_node *n,
                  unsigned peer)
{
    struct sim_event *event = sim_event_new(sizeof(struct fault_event), run);
    struct fault_event *f = (struct fault_event *)(void *)event;
    f->cluster = c;
    f->node = n;
    f->peer = peer;
    sim_at(c->sim, delay_ns, NULL, event);
}

/* ---- one kind each ---- */

static void start_run(struct sim_event *event)
{
    struct sim_node *n = ((struct fault_event *)(void *)event)->node;
    if (n->env == NULL) sim_cluster_start(n);
}

static void crash_node(struct sim_node *n)
{
    if (n->env == NULL) return;
    sim_cluster_crash(n, sim_chance(n->cluster->sim, 400) ? SIM_KILL : SIM_POWER);
    later(n->cluster, length(n->cluster), start_run, n, 0);
}

static void crash(struct sim_cluster *c)
{
    crash_node(any_node(c));
}

static void crash_all(struct sim_cluster *c)
{
    for (unsigned i = 1; i <= c->nodes; i++)
        crash_node(&c->node[i]);
}

/* In the middle of one of its next calls to the disk. */
static void die_soon(struct sim_cluster *c)
{
    struct sim_node *n = any_node(c);
    if (n->env != NULL) n->disk.die_in = sim_between(c->sim, 1, 60);
}

static void pause_node(struct sim_cluster *c)
{
    struct sim_node *n = any_node(c);
    if (n->env == NULL) return;
    uint64_t ns = sim_log_uniform(c->sim, 20 * NS_PER_MS, PAUSE_NS_MAX);
    sim_trace(c->sim, "node %u pauses for %llu ms", n->number,
              (unsigned long long)(ns / NS_PER_MS));
    n->env->paused_until_ns = c->sim->now_ns + ns;
}

static void unblock_run(struct sim_event *event)
{
    struct fault_event *f = (struct fault_event *)(void *)event;
    links_block(f->cluster->links, f->node->number, f->peer, false);
}

static void block(struct sim_cluster *c, unsigned from, unsigned to, uint64_t ns)
{
    sim_trace(c->sim, "%u -> %u blocked for %llu ms", from, to,
              (unsigned long long)(ns / NS_PER_MS));
    links_block(c->links, from, to, true);
    later(c, ns, unblock_run, &c->node[from], to);
}

static unsigned other_than(struct sim_cluster *c, unsigned number)
{
    unsigned other = (unsigned)sim_between(c->sim, 1, c->nodes - 1);
    return other < number ? other : other + 1;
}

static void block_one_way(struct sim_cluster *c)
{
    unsigned from = any_node(c)->number;
    block(c, from, other_than(c, from), length(c));
}

static void block_pair(struct sim_cluster *c)
{
    unsigned a = any_node(c)->number, b = other_than(c, a);
    uint64_t ns = length(c);
    block(c, a, b, ns);
    block(c, b, a, ns);
}

static void isolate(struct sim_cluster *c)
{
    unsigned a = any_node(c)->number;
    uint64_t ns = length(c);
    unsigned ways = (unsigned)sim_between(c->sim, 1, 3);
    for (unsigned b = 1; b <= c->nodes; b++) {
        if (a == b) continue;
        if ((ways & 1) != 0) block(c, a, b, ns);
        if ((ways & 2) != 0) block(c, b, a, ns);
    }
}

static void reset_link(struct sim_cluster *c)
{
    unsigned a = any_node(c)->number;
    links_break(c->links, a, other_than(c, a));
}

static void slow_disk(struct sim_cluster *c)
{
    struct sim_node *n = any_node(c);
    n->disk.slow_per_mille = sim_chance(c->sim, 500) ? 0 : (unsigned)sim_between(c->sim, 1, 300);
    n->disk.slow_ns_max = sim_log_uniform(c->sim, NS_PER_MS, 2 * NS_PER_S);
}

static void slow_links(struct sim_cluster *c)
{
    uint64_t low_ns = sim_log_uniform(c->sim, 20 * NS_PER_US, 20 * NS_PER_MS);
    links_latency(c->links, low_ns, low_ns * sim_between(c->sim, 1, 10));
}

static void clock_jump(struct sim_cluster *c)
{
    struct sim_node *n = any_node(c);
    int64_t skew_ns = (int64_t)sim_below(c->sim, 20 * NS_PER_S) - (int64_t)(10 * NS_PER_S);
    if (n->env != NULL) n->env->wall_skew_ns = skew_ns;
}

static void handed_over(void *ctx)
{
    struct sim_node *n = ctx;
    n->handing_over = false;
}

static void handover_run(struct sim_event *event)
{
    struct sim_node *n = ((struct fault_event *)(void *)event)->node;
    if (n->handing_over || !group_leads(n->group)) return;
    n->handing_over = true;
    group_handover(n->group, handed_over, n);
}

static void handover(struct sim_cluster *c)
{
    for (unsigned i = 1; i <= c->nodes; i++) {
        struct sim_node *n = &c->node[i];
        if (n->env == NULL || !n->started) continue;
        struct sim_event *event = sim_event_new(sizeof(struct fault_event), handover_run);
        ((struct fault_event *)(void *)event)->node = n;
        sim_at(c->sim, 0, n->env, event);
    }
}

static void (*const kinds[])(struct sim_cluster *c) = {
    crash,   crash_all,  die_soon,  pause_node, block_one_way, block_pair,
    isolate, reset_link, slow_disk, slow_links, clock_jump,    handover};

/* ---- the sequence ---- */

static void next(struct sim_cluster *c);

static void fault_run(struct sim_event *event)
{
    struct sim_cluster *c = ((struct fault_event *)(void *)event)->cluster;
    if (c->calm) return;
    uint64_t sum = 0;
    for (size_t k = 0; k < ARRAY_COUNT(kinds); k++)
        sum += plan.weights[k];
    uint64_t at = sim_below(c->sim, sum);
    size_t k = 0;
    for (; at >= plan.weights[k]; k++)
        at -= plan.weights[k];
    kinds[k](c);
    next(c);
}

static void next(struct sim_cluster *c)
{
    later(c, sim_below(c->sim, 2 * plan.pause_ns), fault_run, NULL, 0);
}

void sim_faults_start(struct sim_cluster *c)
{
    plan.pause_ns = sim_log_uniform(c->sim, 100 * NS_PER_MS, 5 * NS_PER_S);
    plan.length_ns_max = sim_log_uniform(c->sim, 100 * NS_PER_MS, 10 * NS_PER_S);
    plan.weights[0] = 1;
    for (size_t k = 1; k < ARRAY_COUNT(kinds); k++)
        plan.weights[k] = sim_chance(c->sim, 400) ? 0 : (unsigned)sim_log_uniform(c->sim, 1, 64);
    next(c);
}

/* A pause runs out by itself: cut short, what waited would be overtaken. */
void sim_faults_stop(struct sim_cluster *c)
{
    sim_trace(c->sim, "calm");
    c->calm = true;
    links_heal(c->links);
    links_latency(c->links, 50 * NS_PER_US, NS_PER_MS);
    for (unsigned i = 1; i <= c->nodes; i++) {
        struct sim_node *n = &c->node[i];
        n->disk.die_in = 0;
        n->disk.slow_per_mille = 0;
        if (n->env == NULL) sim_cluster_start(n);
    }
}
