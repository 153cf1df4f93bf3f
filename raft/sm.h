/* sm.h - SEAM: Raft above, what is replicated below. store/state/ implements it, joined in
 * cmd/node.c, so that neither knows the other. */
#pragma once

#include "store/base/slice.h"
#include "store/base/units.h"

struct sm {
    void *ctx;
    /* Where the durable state stands when the group opens; 0: nothing. */
    log_index (*index)(void *ctx, log_term *term);
    /* The newest entry's time as the state has it, so that the next is not stamped before it; 0:
     * none. May be NULL. */
    int64_t (*time)(void *ctx);
    /* Applies one committed command entry; entries come once each, in order. 0, or E_AGAIN: not now
     * (a page must be read first, the store is full); nothing was applied and group_sm_ready says
     * when to call again. */
    int (*apply)(void *ctx, log_index index, log_term term, struct slice payload);
    /* An entry without commands (barrier, configuration) passed; keeps the applied index moving. */
    void (*pass)(void *ctx, log_index index, log_term term);
    /* Own log durable up to here: what a state flush must wait for (store.md rule 4). */
    void (*log_durable)(void *ctx, log_index index);
};
