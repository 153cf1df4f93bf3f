/* step_env.h - an environment that does nothing until told to: jobs of workers wait until
 * step_env_run. For tests that look at what happens in between. One timer at a time; defers and
 * files are not there. */
#pragma once

#include "store/base/env.h"

struct env *step_env_new(uint64_t seed);
void step_env_free(struct env *e);
/* Runs the oldest waiting job and its done; false: none waits. */
bool step_env_run(struct env *e);
void step_env_run_all(struct env *e);
/* Runs all jobs that wait, and only then what is to be done after each: the loop was busy. */
void step_env_run_late(struct env *e);
/* Fires the timer that was started last, whatever its delay; false: none. */
bool step_env_fire(struct env *e);
void step_env_advance(struct env *e, uint64_t ns);
