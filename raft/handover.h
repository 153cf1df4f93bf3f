/* handover.h - leadership to another voter: before a stop, and away from a bad disk. Proposals wait
 * until the target has our whole log, else it would ignore the TimeoutNow (raft.md 6). Thread:
 * loop. */
#pragma once

#include "raft/group.h"

struct handover {
    bool active;
    node_id target; /* the core was asked; 0: nobody yet */
    node_id tried;  /* the one before, which did not take it */
    log_term term;  /* success: a leader of a higher term */
    struct mono deadline;
    void (*done)(void *ctx);
    void *ctx;
};

void handover_start(struct group *g, void (*done)(void *ctx), void *ctx);
void handover_tick(struct group *g);
