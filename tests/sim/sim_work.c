/* sim_work.c - what clients ask of the cluster: unique values on any node, and reads. */
#include <stdlib.h>

#include "tests/sim/sim_cluster.h"

#define OUTSTANDING_MAX MIB(2)

struct value {
    struct proposal proposal;
    struct sim_node *node;
    uint64_t number;
};
struct checked_read {
    struct read_index read;
    struct sim_node *node;
    log_index must; /* some node had answered for this one when the read began */
};
struct work_event {
    struct sim_event event;
    struct sim_node *node; /* NULL: any, chosen then */
    struct sim_cluster *cluster;
};

static void answered(struct proposal *p, const void *result)
{
    struct value *v = CONTAINER_OF(p, struct value, proposal);
    const uint64_t *r = result;
    if (r[0] != v->number)
        sim_fail(v->node->cluster->sim, "node %u answers value %llu with that of %llu",
                 v->node->number, (unsigned long long)v->number, (unsigned long long)r[0]);
    truth_acked(&v->node->cluster->truth, v->number, r[1]);
    free(v);
}

static void propose(struct sim_node *n)
{
    struct sim_cluster *c = n->cluster;
    if (propose_outstanding(n->group) > OUTSTANDING_MAX) return;
    struct value *v = check_alloc(sizeof *v);
    v->node = n;
    v->proposal.done = answered;
    v->number = truth_propose(&c->truth, n->number, n->boots);
    uint32_t filler = (uint32_t)sim_log_uniform(c->sim, 1, c->bytes_max);
    struct writer *w = propose_open(n->group, 12 + filler);
    writer_u32(w, 8 + filler);
    writer_u64(w, v->number);
    memset(writer_room(w, filler), (int)(v->number & 0xff), filler);
    propose_close(n->group, &v->proposal);
}

static void read_done(struct read_index *r)
{
    struct checked_read *c = CONTAINER_OF(r, struct checked_read, read);
    struct sim_node *n = c->node;
    if (n->state.index < c->must)
        sim_fail(n->cluster->sim, "node %u reads at %llu, %llu was answered before", n->number,
                 (unsigned long long)n->state.index, (unsigned long long)c->must);
    free(c);
}

static void read(struct sim_node *n)
{
    struct checked_read *c = check_alloc(sizeof *c);
    c->node = n;
    c->must = n->cluster->truth.acked_index;
    c->read.done = read_done;
    read_index_start(n->group, &c->read);
}

/* As a turn of the node. */
static void node_run(struct sim_event *event)
{
    struct sim_node *n = ((struct work_event *)(void *)event)->node;
    struct sim_cluster *c = n->cluster;
    uint64_t count =
        sim_chance(c->sim, 50) ? sim_between(c->sim, 10, 100) : sim_between(c->sim, 1, 4);
    for (; count > 0; count--) {
        if (sim_chance(c->sim, c->read_per_mille))
            read(n);
        else
            propose(n);
    }
}

static void again(struct sim_cluster *c);

static void any_run(struct sim_event *event)
{
    struct sim_cluster *c = ((struct work_event *)(void *)event)->cluster;
    struct sim_node *n = &c->node[sim_between(c->sim, 1, c->nodes)];
    if (c->working && n->env != NULL && n->started) {
        struct sim_event *work = sim_event_new(sizeof(struct work_event), node_run);
        ((struct work_event *)(void *)work)->node = n;
        sim_at(c->sim, 0, n->env, work);
    }
    again(c);
}

static void again(struct sim_cluster *c)
{
    struct sim_event *event = sim_event_new(sizeof(struct work_event), any_run);
    ((struct work_event *)(void *)event)->cluster = c;
    sim_at(c->sim, sim_below(c->sim, 2 * c->work_ns), NULL, event);
}

void sim_work_start(struct sim_cluster *c)
{
    c->working = true;
    again(c);
}
