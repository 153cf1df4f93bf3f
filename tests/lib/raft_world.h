/* raft_world.h - up to five Raft groups in one process on the real environment, with a transport of
 * queues between them and a toy state machine, for unit tests of raft/. Thread: the test's. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/group.h"

#define RAFT_NODES 5
#define RAFT_DEADLINE_NS (10 * NS_PER_S)

/* Commands are u32 bytes, u32 value. The state is a running digest of values, and how many there
 * were. */
struct toy_origin {
    node_id node;
    uint64_t incarnation, number;
};
struct toy {
    log_index index, durable_index;
    log_term term, durable_term;
    uint64_t digest, count, durable_digest, durable_count;
    struct toy_origin origins[16], durable_origins[16];
    int64_t time;
    bool backwards;  /* an entry's time fell */
    unsigned refuse; /* so many times E_AGAIN */
    log_index log_durable;
};
struct raft_node {
    struct raft_world *w;
    struct group *group;
    node_id id;
    char dir[128];
    struct toy toy;
    unsigned acked; /* proposals of this node that came back */
    uint64_t last_result;
    unsigned reads, reads_stale; /* ended; those that did not see what was acknowledged before */
    node_id leader;
    bool leads;
    bool handed_over;
};
struct raft_message_queued {
    struct list_node node;
    node_id from, to;
    enum transport_lane lane;
    struct slice bytes;
};
struct raft_world {
    struct env *env;
    struct raft_node n[RAFT_NODES + 1]; /* 1 .. nodes */
    unsigned nodes;
    char dir[96];
    bool cut[RAFT_NODES + 1][RAFT_NODES + 1];
    struct list queue;
    struct list
        calls; /* proposals and reads that haven't ended: a node that stops never ends its own */
    struct env_defer deliver;
    uint64_t sent, bytes_sent; /* messages */
    uint64_t log_bytes_max, cache_bytes;
    bool (*until)(struct raft_world *);
    uint64_t end_ns;
    bool reached;
    struct env_timer poll;
    unsigned watched; /* for conditions */
};

/* A fresh folder and `nodes` voters, bootstrapped and started. */
void raft_world_open(struct raft_world *w, unsigned nodes);
void raft_world_close(struct raft_world *w);
/* Opens a node's group from its folder; it must be closed. */
void raft_world_start(struct raft_world *w, unsigned id);
/* Ends a node as a crash does that loses no write; links break, the others' kernels tell. */
void raft_world_stop(struct raft_world *w, unsigned id);
/* Both directions; links go down, or come up again. */
void raft_world_part(struct raft_world *w, unsigned a, unsigned b, bool cut);
/* Runs the loop until the condition holds; fails the test after RAFT_DEADLINE_NS. */
void raft_world_wait(struct raft_world *w, bool (*until)(struct raft_world *), const char *what);
/* Runs it for so long. */
void raft_world_run(struct raft_world *w, uint64_t ns);
/* Proposes one value on a node. */
void raft_world_propose(struct raft_world *w, unsigned id, uint32_t value);
/* Starts a read on a node; when it ends, it must see all that had been acknowledged anywhere. */
void raft_world_read(struct raft_world *w, unsigned id);
/* The node that leads, with an entry of its own term applied; 0: none. */
unsigned raft_world_leader(const struct raft_world *w);

bool raft_world_has_leader(struct raft_world *w);
bool raft_world_all_equal(
    struct raft_world *w); /* running nodes applied the same, and everything acknowledged */
