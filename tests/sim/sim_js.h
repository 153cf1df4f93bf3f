/* sim_js.h - scenario: whole nodes (cmd/node.c) on the simulated network, disk and map, with
 * clients that publish, read and consume, under faults, then calm. */
#pragma once

#include "cmd/node.h"
#include "tests/lib/mem_kv.h"
#include "tests/sim/sim_env.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_nats.h"
#include "tests/sim/sim_net.h"

#define JS_NODES 5
#define JS_CLIENT_PORT 4222
#define JS_DEADLINE_NS (3 * NS_PER_S)

struct js_node {
    struct js_world *world;
    unsigned number; /* from 1: also its machine */
    char name[4];
    struct sim_disk disk;
    struct mem_kv *kv;
    struct sim_env *env; /* NULL: down */
    struct node *node;
    struct node_options options;
    bool stopping;
};
/* What clients know of one value: the number in its payload. */
struct js_value {
    stream_seq seq; /* 0: not acknowledged */
    bool delivered;
    bool consumed; /* its double ack was answered, then: */
    uint64_t consumed_ns;
};
struct js_world {
    struct sim *sim;
    struct sim_net *net;
    unsigned nodes;
    struct js_node node[JS_NODES + 1];
    struct sim_env *client_env; /* machine 0, never down */
    struct net *client_net;
    bool calm, publishing;
    struct js_value *values; /* by number */
    uint64_t values_count, values_max;
    uint64_t *by_seq; /* value + 1 */
    stream_seq seqs_max, last_seq;
    uint64_t acked, delivered, consumed, reads, timeouts;
};

void sim_js_run(struct sim *s, unsigned nodes);
/* sim_js_work.c: actors on the client machine */
void sim_js_work_start(struct js_world *w);
bool sim_js_work_idle(const struct js_world *w); /* nothing published waits for its answer */
/* The value with that sequence; UINT64_MAX: nobody was told of it. */
uint64_t sim_js_value_at(const struct js_world *w, stream_seq seq);
/* sim_js_check.c: reads everything through each node, then w->sim stops */
void sim_js_check_start(struct js_world *w);
