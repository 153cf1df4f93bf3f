/* sim_js.c - see sim_js.h. */
#include "tests/sim/sim_js.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/base/err.h"

#define FAULTS_NS_MAX (60 * NS_PER_S)
#define SETTLE_NS (30 * NS_PER_S)
#define CHECK_NS (120 * NS_PER_S)

static void start_node(struct js_node *n);

/* ---- processes ---- */

static int
open_kv(void *ctx, struct env *env, const char *dir, uint64_t cache_bytes, struct kv **out)
{
    struct js_node *n = ctx;
    (void)env;
    (void)dir;
    (void)cache_bytes;
    *out = mem_kv_open(n->kv);
    return 0;
}

static void fill_options(struct js_node *n)
{
    struct js_world *w = n->world;
    struct cluster_route *routes = check_alloc(w->nodes * sizeof *routes);
    for (unsigned i = 0; i < w->nodes; i++) {
        snprintf(routes[i].host, sizeof routes[i].host, "n%u", i + 1);
        routes[i].port = 6222;
    }
    struct node_options *o = &n->options;
    *o = (struct node_options){
        .env = &n->env->env,
        .net = sim_net_attach(w->net, n->number, n->env),
        .kv_open = open_kv,
        .kv_ctx = n,
        .broker = {.server_name = n->name,
                   .version = "2.11.0",
                   .cluster_name = w->nodes > 1 ? "C" : NULL,
                   .host = "0.0.0.0",
                   .port = JS_CLIENT_PORT,
                   .http_port = -1,
                   .accounts = accounts_new(),
                   .jetstream = true,
                   .store_dir = "store",
                   .js_max_memory = INT64_MAX,
                   .js_max_file = INT64_MAX},
        .store_dir = "store",
        .clustered = w->nodes > 1,
        .cluster_name = "C",
        .cluster_host = "0.0.0.0",
        .cluster_port = 6222,
        .routes = routes,
        .route_count = w->nodes,
        .budget_bytes = MIB(4),
        .log_bytes_max = GIB(1),
    };
    accounts_global(o->broker.accounts)->jetstream = true;
    broker_make_id(o->env, o->broker.server_id);
}

static void open_node(void *ctx)
{
    struct js_node *n = ctx;
    fill_options(n);
    int rc = node_open(&n->options, &n->node);
    if (rc != 0) sim_fail(n->world->sim, "node %u: open: %s", n->number, err_text(rc));
}

static void down(struct js_node *n, enum sim_crash how)
{
    n->env = NULL;
    n->node = NULL;
    n->stopping = false;
    sim_net_detach(n->world->net, n->number, how == SIM_KILL);
    sim_disk_crash(&n->disk, how);
    mem_kv_crash(n->kv);
}

struct node_event {
    struct sim_event event;
    struct js_node *node;
};

static void restart_run(struct sim_event *event)
{
    struct js_node *n = ((struct node_event *)(void *)event)->node;
    if (n->env == NULL) start_node(n);
}

static void restart_later(struct js_node *n)
{
    struct sim *s = n->world->sim;
    struct sim_event *event = sim_event_new(sizeof(struct node_event), restart_run);
    ((struct node_event *)(void *)event)->node = n;
    sim_at(s, sim_log_uniform(s, NS_PER_MS, 3 * NS_PER_S), NULL, event);
}

/* Its own disk ended it in the middle of a call. */
static void died(struct sim_env *e)
{
    struct js_node *n = e->owner;
    struct sim *s = n->world->sim;
    sim_trace(s, "node %u dies in a call", n->number);
    down(n, sim_chance(s, 300) ? SIM_KILL : SIM_POWER);
    restart_later(n);
}

static void start_node(struct js_node *n)
{
    struct js_world *w = n->world;
    n->env = sim_env_new(w->sim, &n->disk, n->number);
    n->env->owner = n;
    n->env->died = died;
    if (!w->calm && sim_chance(w->sim, 100)) n->disk.die_in = sim_between(w->sim, 1, 15);
    if (!sim_env_call(n->env, open_node, n)) return;
    sim_trace(w->sim, "node %u starts", n->number);
}

/* ---- faults ---- */

static struct js_node *node_at(void *world, unsigned number)
{
    return &((struct js_world *)world)->node[number];
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
    struct js_node *n = node_at(world, number);
    sim_env_crash(n->env);
    down(n, how);
}
static void stopped_run(struct sim_event *event)
{
    struct js_node *n = ((struct node_event *)(void *)event)->node;
    sim_trace(n->world->sim, "node %u has stopped", n->number);
    sim_env_crash(n->env);
    down(n, SIM_KILL);
    restart_later(n);
}
/* In its own turn; its end comes from the world. */
static void stopped(void *ctx)
{
    struct js_node *n = ctx;
    struct sim_event *event = sim_event_new(sizeof(struct node_event), stopped_run);
    ((struct node_event *)(void *)event)->node = n;
    n->node = NULL;
    sim_at(n->world->sim, 0, NULL, event);
}
/* One of them stops as an operator stops it. */
static void fault_hand_over(void *world, unsigned number)
{
    struct js_node *n = node_at(world, number);
    if (n->node == NULL || n->stopping || !sim_chance(n->world->sim, 400)) return;
    sim_trace(n->world->sim, "node %u is told to stop", number);
    n->stopping = true;
    node_stop(n->node, stopped, n);
}
static void fault_block(void *world, unsigned from, unsigned to, bool blocked)
{
    sim_net_block(((struct js_world *)world)->net, from, to, blocked);
}
static void fault_reset(void *world, unsigned a, unsigned b)
{
    sim_net_break(((struct js_world *)world)->net, a, b);
}
static void fault_latency(void *world, uint64_t low_ns, uint64_t high_ns)
{
    sim_net_latency(((struct js_world *)world)->net, low_ns, high_ns);
}

/* ---- a run ---- */

static void build(struct js_world *w)
{
    w->net = sim_net_new(w->sim);
    struct sim_disk *disk = check_alloc(sizeof *disk);
    sim_disk_init(disk, w->sim);
    w->client_env = sim_env_new(w->sim, disk, 0);
    w->client_net = sim_net_attach(w->net, 0, w->client_env);
    for (unsigned i = 1; i <= w->nodes; i++) {
        struct js_node *n = &w->node[i];
        n->world = w;
        n->number = i;
        snprintf(n->name, sizeof n->name, "n%u", i);
        n->kv = mem_kv_new();
        sim_disk_init(&n->disk, w->sim);
        start_node(n);
    }
}

void sim_js_run(struct sim *s, unsigned nodes)
{
    struct js_world *w = check_alloc(sizeof *w);
    w->sim = s;
    w->nodes = nodes == 0 ? 3 : nodes > JS_NODES ? JS_NODES : nodes;
    build(w);
    struct fault_target target = {.world = w,
                                  .nodes = w->nodes,
                                  .env = fault_env,
                                  .disk = fault_disk,
                                  .start = fault_start,
                                  .crash = fault_crash,
                                  .hand_over = fault_hand_over,
                                  .block = fault_block,
                                  .reset = fault_reset,
                                  .latency = fault_latency};
    w->publishing = true;
    sim_js_work_start(w);
    sim_run(s, 5 * NS_PER_S);
    if (w->acked == 0) sim_fail(s, "nothing was acknowledged in the first 5 s");
    sim_faults_start(s, &target);
    sim_run(s, s->now_ns + sim_log_uniform(s, 5 * NS_PER_S, FAULTS_NS_MAX));
    w->calm = true;
    sim_faults_stop();
    uint64_t before = w->acked;
    sim_run(s, s->now_ns + FAULT_PAUSE_NS_MAX + SETTLE_NS);
    if (w->acked == before) sim_fail(s, "no progress when all is well");
    w->publishing = false;
    sim_run(s, s->now_ns + SETTLE_NS);
    if (!sim_js_work_idle(w)) sim_fail(s, "a publish has no answer when all is well");
    sim_js_check_start(w);
    sim_run(s, s->now_ns + CHECK_NS);
    if (!s->stop) sim_fail(s, "the last look didn't end");
    sim_trace(s, "%llu acknowledged, %llu consumed, %llu reads, %llu without an answer in time",
              (unsigned long long)w->acked, (unsigned long long)w->consumed,
              (unsigned long long)w->reads, (unsigned long long)w->timeouts);
}
