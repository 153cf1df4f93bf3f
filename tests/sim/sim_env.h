/* sim_env.h - one process's environment in the simulated world (store/base/env.h): clocks with
 * skew, timers, deferred calls, workers whose jobs take virtual time, a disk that outlives it. A
 * crash abandons it: no callback runs any more, the memory is lost with it. */
#pragma once

#include "store/base/env.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_sched.h"

#define SIM_WALL_START_NS (INT64_C(1767225600) * 1000000000)

struct sim_env {
    struct env env; /* first: callers hold this */
    struct sim *sim;
    struct sim_disk *disk;
    unsigned number; /* for the trace */
    bool alive;
    uint64_t paused_until_ns;
    int64_t wall_skew_ns;
    uint64_t mono_base_ns;
    struct list defers;
    void (*died)(struct sim_env *e); /* after sim_die ended it */
    void *owner;
};

struct sim_env *sim_env_new(struct sim *s, struct sim_disk *disk, unsigned number);
/* Runs the event as a turn: then what was deferred, until nothing is. */
void sim_env_turn(struct sim_env *e, struct sim_event *event);
/* Runs fn(ctx) as a turn, now; false: the process died in it. From the world only. */
bool sim_env_call(struct sim_env *e, void (*fn)(void *ctx), void *ctx);
/* The process is gone. */
void sim_env_crash(struct sim_env *e);
