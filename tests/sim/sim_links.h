/* sim_links.h - connections between simulated nodes for raft/transport.h: lanes in order, latency,
 * directions that are blocked, connections that break and come back. What is under way on one that
 * breaks is lost. */
#pragma once

#include "raft/transport.h"
#include "tests/sim/sim_env.h"

#define LINK_NODES 7
#define LINK_LANES 3

struct links;
struct link_user {
    void (*recv)(void *node, node_id from, enum transport_lane lane, struct slice message);
    void (*up)(void *node, node_id peer);
    void (*down)(void *node, node_id peer, bool dead);
    /* A message leaves (before it is lost or not). */
    void (*sent)(void *node, node_id to, struct slice message);
};

struct links *links_new(struct sim *s, unsigned nodes, const struct link_user *user);
/* A process starts; node is what its calls and the user's get. Nodes are numbered from 1. */
void links_attach(struct links *l, unsigned number, struct sim_env *env, void *node);
/* It ended: killed, its kernel says so; else its peers find out by silence. */
void links_detach(struct links *l, unsigned number, bool killed);
void links_transport(struct links *l, unsigned number, struct transport *out);

/* Faults. */
void links_block(struct links *l, unsigned from, unsigned to, bool blocked);
void links_break(struct links *l, unsigned a, unsigned b);
void links_latency(struct links *l, uint64_t low_ns, uint64_t high_ns);
