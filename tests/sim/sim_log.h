/* sim_log.h - scenario: one Raft log alone, asked at random, crashed at random. After each start
 * its state must be what some prefix of the calls made, and no shorter than what was announced. */
#pragma once

#include "tests/sim/sim_sched.h"

void sim_log_run(struct sim *s, unsigned nodes); /* nodes: no meaning here */
