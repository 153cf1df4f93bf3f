/* sim_state.c - a state machine that is easy to judge: commands are u32 bytes, u64 value, filler.
 * Its flushes are durable some time after they began, and never ahead of the node's own log. */
#include <stdlib.h>

#include "store/base/err.h"
#include "store/base/reader.h"
#include "tests/sim/sim_cluster.h"

static uint64_t mix(uint64_t digest, uint64_t value)
{
    digest = (digest ^ value) * UINT64_C(0xff51afd7ed558ccd);
    return digest ^ (digest >> 29);
}

static uint64_t digest_of(struct slice payload)
{
    uint64_t digest = payload.bytes;
    for (size_t at = 0; at < payload.bytes; at++)
        digest = (digest ^ payload.at[at]) * UINT64_C(0x100000001b3);
    return mix(digest, payload.bytes);
}

static void apply_commands(struct sim_node *n, log_index index, struct reader commands)
{
    struct sim_cluster *c = n->cluster;
    while (reader_left(&commands) > 0) {
        struct reader command = reader_sub(&commands, reader_u32(&commands));
        uint64_t value = reader_u64(&command);
        if (command.bad) sim_fail(c->sim, "node %u applies what can't be decoded", n->number);
        truth_applied(&c->truth, n->number, index, value);
        n->state.digest = mix(n->state.digest, value);
        uint64_t result[2] = {value, index};
        propose_result(n->group, result);
    }
    if (commands.bad) sim_fail(c->sim, "node %u applies what can't be decoded", n->number);
}

static void apply_batch(struct sim_node *n, log_index index, struct reader *entry)
{
    node_id node = reader_u64(entry);
    uint64_t incarnation = reader_u64(entry), number = reader_u64(entry);
    struct reader commands = reader_sub(entry, reader_u32(entry));
    if (entry->bad || node == 0 || node >= CLUSTER_ORIGINS)
        sim_fail(n->cluster->sim, "node %u applies a batch of nobody", n->number);
    uint64_t *last_incarnation = &n->state.origins[node].incarnation;
    uint64_t *last = &n->state.origins[node].number;
    bool next = incarnation > *last_incarnation
                    ? number == 1
                    : incarnation == *last_incarnation && number == *last + 1;
    if (!next) return;
    *last_incarnation = incarnation;
    *last = number;
    bool ours = node == n->number && incarnation == propose_incarnation(n->group);
    propose_batch(n->group, ours ? number : 0);
    apply_commands(n, index, commands);
}

/* Every entry comes once and in order, and only when this node's own disk has it (raft.md 8: 5). */
static void move_on(struct sim_node *n, log_index index, log_term term, uint64_t digest)
{
    struct sim_cluster *c = n->cluster;
    if (index != n->state.index + 1)
        sim_fail(c->sim, "node %u applies %llu after %llu", n->number, (unsigned long long)index,
                 (unsigned long long)n->state.index);
    if (index > n->log_durable)
        sim_fail(c->sim, "node %u applies %llu, its log is durable to %llu", n->number,
                 (unsigned long long)index, (unsigned long long)n->log_durable);
    truth_entry(&c->truth, n->number, index, term, digest);
    n->state.index = index;
    n->state.term = term;
}

/* A leader's clock may be off by as much as the faults move it, and never goes back. */
static void check_time(struct sim_node *n, int64_t time_ns)
{
    struct sim *s = n->cluster->sim;
    int64_t now_ns = SIM_WALL_START_NS + (int64_t)s->now_ns;
    if (time_ns > now_ns + FAULT_SKEW_NS_MAX)
        sim_fail(s, "an entry's time is %lld ms ahead", (long long)((time_ns - now_ns) / 1000000));
    if (time_ns < n->state.time_ns) sim_fail(s, "an entry's time went back");
    n->state.time_ns = time_ns;
}

static int state_apply_entry(void *ctx, log_index index, log_term term, struct slice payload)
{
    struct sim_node *n = ctx;
    if (n->refuses) return E_AGAIN;
    move_on(n, index, term, digest_of(payload));
    struct reader r = reader_of(payload.at, payload.bytes);
    if (reader_u8(&r) != 1) sim_fail(n->cluster->sim, "an entry of another format");
    check_time(n, reader_i64(&r));
    while (reader_left(&r) > 0)
        apply_batch(n, index, &r);
    truth_state(&n->cluster->truth, n->number, index, n->state.digest);
    return 0;
}

static void state_pass_entry(void *ctx, log_index index, log_term term)
{
    struct sim_node *n = ctx;
    move_on(n, index, term, 1);
}

static log_index state_index(void *ctx, log_term *term)
{
    struct sim_node *n = ctx;
    *term = n->state.term;
    return n->state.index;
}

static void state_log_durable(void *ctx, log_index index)
{
    struct sim_node *n = ctx;
    n->log_durable = index;
}

struct sm sim_state_sm(struct sim_node *n)
{
    return (struct sm){.ctx = n,
                       .index = state_index,
                       .apply = state_apply_entry,
                       .pass = state_pass_entry,
                       .log_durable = state_log_durable};
}

void sim_state_start(struct sim_node *n)
{
    n->state = n->flushed;
    n->flushing = n->refuses = n->handing_over = false;
    n->log_durable = 0;
}

/* ---- flushes ---- */

struct flush_event {
    struct sim_event event;
    struct sim_node *node;
    struct sim_state state;
};

static void flush_done(struct sim_event *event)
{
    struct flush_event *f = (struct flush_event *)(void *)event;
    struct sim_node *n = f->node;
    n->flushing = false;
    n->flushed = f->state;
    group_sm_durable(n->group, f->state.index, f->state.term);
}

static void flush_start(struct sim_node *n)
{
    struct sim *s = n->cluster->sim;
    if (n->flushing || n->state.index == n->flushed.index) return;
    n->flushing = true;
    struct sim_event *event = sim_event_new(sizeof(struct flush_event), flush_done);
    struct flush_event *f = (struct flush_event *)(void *)event;
    f->node = n;
    f->state = n->state;
    sim_at(s, sim_log_uniform(s, NS_PER_MS, 500 * NS_PER_MS), n->env, event);
}

struct node_event {
    struct sim_event event;
    struct sim_node *node;
};

static void ready_again(struct sim_event *event)
{
    struct sim_node *n = ((struct node_event *)(void *)event)->node;
    n->refuses = false;
    group_sm_ready(n->group);
}

static void refuse(struct sim_node *n)
{
    struct sim *s = n->cluster->sim;
    if (n->refuses || n->cluster->calm) return;
    n->refuses = true;
    struct sim_event *event = sim_event_new(sizeof(struct node_event), ready_again);
    ((struct node_event *)(void *)event)->node = n;
    sim_at(s, sim_log_uniform(s, NS_PER_MS, 300 * NS_PER_MS), n->env, event);
}

struct cluster_event {
    struct sim_event event;
    struct sim_cluster *cluster;
};

static void work_run(struct sim_event *event)
{
    struct sim_cluster *c = ((struct cluster_event *)(void *)event)->cluster;
    struct sim_node *n = &c->node[sim_between(c->sim, 1, c->nodes)];
    if (n->env != NULL && n->started) {
        if (sim_chance(c->sim, 300)) refuse(n);
        if (sim_chance(c->sim, 500)) flush_start(n);
    }
    sim_state_work(c);
}

void sim_state_work(struct sim_cluster *c)
{
    struct sim_event *event = sim_event_new(sizeof(struct cluster_event), work_run);
    ((struct cluster_event *)(void *)event)->cluster = c;
    sim_at(c->sim, sim_log_uniform(c->sim, 10 * NS_PER_MS, NS_PER_S), NULL, event);
}
