/* pump.h - applies what is committed, in order, as payloads come to hand (raft.md 3.4). libraft's
 * apply can't wait, so it only notes; "applied" means the pump's index everywhere else. Thread:
 * loop. */
#pragma once

#include "raft/members.h"
#include "raft/fetch.h"

struct group;

struct pump {
    log_index index;      /* everything up to here went through the state machine */
    log_term term;        /* of that entry */
    bool refused;         /* the state machine said E_AGAIN: wait for group_sm_ready */
    bool running;         /* on the stack: what apply calls may not come back in */
    struct conf conf;     /* the newest configuration applied */
    int64_t entry_time;   /* of the newest command applied or appended */
    struct slice pending; /* of index + 1, refused so far */
    struct fetch fetch;
};

void pump_init(struct group *g);
void pump_free(struct group *g);
/* Applies what is committed, as far as payloads are at hand; so many bytes a turn at most. */
void pump_run(struct group *g);
