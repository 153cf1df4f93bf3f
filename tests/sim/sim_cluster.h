/* sim_cluster.h - scenario: one Raft group on three or more simulated nodes, with a small state
 * machine, under faults, then calm. Everything above raft/ is missing here. */
#pragma once

#include "raft/group.h"
#include "tests/sim/sim_env.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_links.h"
#include "tests/sim/sim_truth.h"

#define CLUSTER_ORIGINS (LINK_NODES + 1)

/* The state: all values so far, as a digest; and which batch of each origin came last. */
struct sim_state {
    log_index index;
    log_term term;
    uint64_t digest;
    int64_t time_ns;
    struct {
        uint64_t incarnation, number;
    } origins[CLUSTER_ORIGINS];
};
struct sim_node {
    struct sim_cluster *cluster;
    unsigned number; /* from 1; its Raft id too */
    struct sim_disk disk;
    struct sim_env *env; /* NULL: down */
    struct group *group;
    bool started;
    struct sim_state state, flushed; /* flushed survives */
    bool flushing, refuses, handing_over;
    log_index log_durable, committed;
    uint64_t boots;
};
struct sim_cluster {
    struct sim *sim;
    struct truth truth;
    struct links *links;
    unsigned nodes;
    struct sim_node node[LINK_NODES + 1];
    uint64_t log_bytes_max, cache_bytes;
    bool calm, working;
    uint64_t work_ns; /* a proposal or read about so often */
    unsigned read_per_mille;
    uint32_t bytes_max;
};

/* sim_cluster.c */
void sim_cluster_run(struct sim *s, unsigned nodes);
/* sim_state.c: raft/sm.h */
struct sm sim_state_sm(struct sim_node *n);
void sim_state_start(struct sim_node *n);
void sim_state_work(struct sim_cluster *c); /* flushes, refusals: from now on */
/* sim_work.c */
void sim_work_start(struct sim_cluster *c);
