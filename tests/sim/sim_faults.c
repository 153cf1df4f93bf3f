/* sim_faults.c - see sim_faults.h. */
#include "tests/sim/sim_faults.h"

struct fault_event {
    struct sim_event event;
    unsigned node, peer;
};
static struct {
    struct sim *sim;
    struct fault_target t;
    unsigned weights[16];
    uint64_t pause_ns; /* between two faults, about */
    uint64_t length_ns_max;
    bool stopped;
} plan;

static unsigned any_node(void)
{
    return (unsigned)sim_between(plan.sim, 1, plan.t.nodes);
}

static unsigned other_than(unsigned node)
{
    unsigned other = (unsigned)sim_between(plan.sim, 1, plan.t.nodes - 1);
    return other < node ? other : other + 1;
}

static uint64_t length(void)
{
    return sim_log_uniform(plan.sim, 20 * NS_PER_MS, plan.length_ns_max);
}

static void later(uint64_t delay_ns, void (*run)(struct sim_event *e), unsigned node, unsigned peer)
{
    struct sim_event *event = sim_event_new(sizeof(struct fault_event), run);
    struct fault_event *f = (struct fault_event *)(void *)event;
    f->node = node;
    f->peer = peer;
    sim_at(plan.sim, delay_ns, NULL, event);
}

/* ---- one kind each ---- */

static void start_run(struct sim_event *event)
{
    unsigned node = ((struct fault_event *)(void *)event)->node;
    if (plan.t.env(plan.t.world, node) == NULL) plan.t.start(plan.t.world, node);
}

static void crash_node(unsigned node)
{
    if (plan.t.env(plan.t.world, node) == NULL) return;
    enum sim_crash how = sim_chance(plan.sim, 400) ? SIM_KILL : SIM_POWER;
    sim_trace(plan.sim, "node %u: %s", node, how == SIM_KILL ? "killed" : "power failure");
    plan.t.crash(plan.t.world, node, how);
    later(length(), start_run, node, 0);
}

static void crash(void)
{
    crash_node(any_node());
}

static void crash_all(void)
{
    for (unsigned i = 1; i <= plan.t.nodes; i++)
        crash_node(i);
}

/* In the middle of one of its next calls to the disk. */
static void die_soon(void)
{
    unsigned node = any_node();
    if (plan.t.env(plan.t.world, node) == NULL) return;
    plan.t.disk(plan.t.world, node)->die_in = sim_between(plan.sim, 1, 60);
}

static void pause_node(void)
{
    unsigned node = any_node();
    struct sim_env *env = plan.t.env(plan.t.world, node);
    if (env == NULL) return;
    uint64_t ns = sim_log_uniform(plan.sim, 20 * NS_PER_MS, FAULT_PAUSE_NS_MAX);
    sim_trace(plan.sim, "node %u pauses for %llu ms", node, (unsigned long long)(ns / NS_PER_MS));
    if (env->paused_until_ns < plan.sim->now_ns + ns) env->paused_until_ns = plan.sim->now_ns + ns;
}

static void unblock_run(struct sim_event *event)
{
    struct fault_event *f = (struct fault_event *)(void *)event;
    plan.t.block(plan.t.world, f->node, f->peer, false);
}

static void block(unsigned from, unsigned to, uint64_t ns)
{
    sim_trace(plan.sim, "%u -> %u blocked for %llu ms", from, to,
              (unsigned long long)(ns / NS_PER_MS));
    plan.t.block(plan.t.world, from, to, true);
    later(ns, unblock_run, from, to);
}

static void block_one_way(void)
{
    unsigned from = any_node();
    block(from, other_than(from), length());
}

static void block_pair(void)
{
    unsigned a = any_node(), b = other_than(a);
    uint64_t ns = length();
    block(a, b, ns);
    block(b, a, ns);
}

static void isolate(void)
{
    unsigned a = any_node();
    uint64_t ns = length();
    unsigned ways = (unsigned)sim_between(plan.sim, 1, 3);
    for (unsigned b = 1; b <= plan.t.nodes; b++) {
        if (a == b) continue;
        if ((ways & 1) != 0) block(a, b, ns);
        if ((ways & 2) != 0) block(b, a, ns);
    }
}

static void reset_link(void)
{
    unsigned a = any_node(), b = other_than(a);
    sim_trace(plan.sim, "what connects %u and %u breaks", a, b);
    plan.t.reset(plan.t.world, a, b);
}

static void slow_disk(void)
{
    struct sim_disk *d = plan.t.disk(plan.t.world, any_node());
    d->slow_per_mille = sim_chance(plan.sim, 500) ? 0 : (unsigned)sim_between(plan.sim, 1, 300);
    d->slow_ns_max = sim_log_uniform(plan.sim, NS_PER_MS, 2 * NS_PER_S);
}

static void slow_links(void)
{
    uint64_t low_ns = sim_log_uniform(plan.sim, 20 * NS_PER_US, 20 * NS_PER_MS);
    plan.t.latency(plan.t.world, low_ns, low_ns * sim_between(plan.sim, 1, 10));
}

static void clock_jump(void)
{
    struct sim_env *env = plan.t.env(plan.t.world, any_node());
    int64_t skew_ns = (int64_t)sim_below(plan.sim, 2 * FAULT_SKEW_NS_MAX) - FAULT_SKEW_NS_MAX;
    if (env != NULL) env->wall_skew_ns = skew_ns;
}

static void hand_over_run(struct sim_event *event)
{
    plan.t.hand_over(plan.t.world, ((struct fault_event *)(void *)event)->node);
}

/* Each is asked; who has nothing to hand over does nothing. */
static void hand_over(void)
{
    for (unsigned node = 1; node <= plan.t.nodes; node++) {
        struct sim_env *env = plan.t.env(plan.t.world, node);
        if (env == NULL) continue;
        struct sim_event *event = sim_event_new(sizeof(struct fault_event), hand_over_run);
        ((struct fault_event *)(void *)event)->node = node;
        sim_at(plan.sim, 0, env, event);
    }
}

static void (*const kinds[])(void) = {crash,         crash_all,  die_soon,   pause_node,
                                      block_one_way, block_pair, isolate,    reset_link,
                                      slow_disk,     slow_links, clock_jump, hand_over};

/* ---- the sequence ---- */

static void next(void);

static void fault_run(struct sim_event *event)
{
    (void)event;
    if (plan.stopped) return;
    uint64_t sum = 0;
    for (size_t k = 0; k < ARRAY_COUNT(kinds); k++)
        sum += plan.weights[k];
    uint64_t at = sim_below(plan.sim, sum);
    size_t k = 0;
    for (; at >= plan.weights[k]; k++)
        at -= plan.weights[k];
    kinds[k]();
    next();
}

static void next(void)
{
    later(sim_below(plan.sim, 2 * plan.pause_ns), fault_run, 0, 0);
}

void sim_faults_start(struct sim *s, const struct fault_target *t)
{
    plan.sim = s;
    plan.t = *t;
    plan.pause_ns = sim_log_uniform(s, 100 * NS_PER_MS, 5 * NS_PER_S);
    plan.length_ns_max = sim_log_uniform(s, 100 * NS_PER_MS, 10 * NS_PER_S);
    plan.weights[0] = 1;
    for (size_t k = 1; k < ARRAY_COUNT(kinds); k++)
        plan.weights[k] = sim_chance(s, 400) ? 0 : (unsigned)sim_log_uniform(s, 1, 64);
    if (plan.t.nodes > 1) next();
}

void sim_faults_stop(void)
{
    struct fault_target *t = &plan.t;
    sim_trace(plan.sim, "calm");
    plan.stopped = true;
    t->latency(t->world, 50 * NS_PER_US, NS_PER_MS);
    for (unsigned i = 1; i <= t->nodes; i++) {
        for (unsigned k = 1; k <= t->nodes; k++) {
            if (k != i) t->block(t->world, i, k, false);
        }
        t->disk(t->world, i)->die_in = 0;
        t->disk(t->world, i)->slow_per_mille = 0;
        if (t->env(t->world, i) == NULL) t->start(t->world, i);
    }
}
