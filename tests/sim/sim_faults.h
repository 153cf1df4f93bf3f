/* sim_faults.h - what goes wrong, how often: drawn per seed, some of it not at all, so that rare
 * mixes occur too. Everything here is within what Gannet promises to survive. */
#pragma once

#include "tests/sim/sim_env.h"

#define FAULT_PAUSE_NS_MAX (3 * NS_PER_S)
#define FAULT_SKEW_NS_MAX ((int64_t)(10 * NS_PER_S))
#define FAULT_NODES_MAX 7

/* The world that they act on. Nodes are numbered from 1. */
struct fault_target {
    void *world;
    unsigned nodes;
    struct sim_env *(*env)(void *world, unsigned node); /* NULL: down */
    struct sim_disk *(*disk)(void *world, unsigned node);
    void (*start)(void *world, unsigned node);
    void (*crash)(void *world, unsigned node, enum sim_crash how);
    void (*hand_over)(void *world, unsigned node); /* asks it nicely; as its turn */
    void (*block)(void *world, unsigned from, unsigned to, bool blocked);
    void (*reset)(void *world, unsigned a, unsigned b); /* breaks what connects them */
    void (*latency)(void *world, uint64_t low_ns, uint64_t high_ns);
};

void sim_faults_start(struct sim *s, const struct fault_target *t);
/* No new ones; all nodes run again. A pause runs out by itself (cut short, what waited would be
 * overtaken): all is well after FAULT_PAUSE_NS_MAX. */
void sim_faults_stop(void);
