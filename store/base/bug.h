/* bug.h - planted bugs: each a constant, so that both branches always compile, built with -DBUG_NAME=1 (cmake
 * -DGANNET_BUG=NAME). The row names who must find it within ten minutes; tests/run --bugs builds and checks
 * each. Use: `int rc = BUG_ACK_BEFORE_SYNC ? 0 : file_sync(file);` */
#pragma once

#ifndef BUG_ACK_BEFORE_SYNC
#define BUG_ACK_BEFORE_SYNC 0
#endif
#ifndef BUG_WHEEL_EARLY
#define BUG_WHEEL_EARLY 0
#endif
#ifndef BUG_LOG_TRIM_EARLY
#define BUG_LOG_TRIM_EARLY 0
#endif
#ifndef BUG_LOG_CUT_EARLY
#define BUG_LOG_CUT_EARLY 0
#endif
#ifndef BUG_LOG_VOTE_LOST
#define BUG_LOG_VOTE_LOST 0
#endif
#ifndef BUG_LOG_NEXT_NOT_MOVED
#define BUG_LOG_NEXT_NOT_MOVED 0
#endif
#ifndef BUG_LOG_FLOOR_NOT_LOWERED
#define BUG_LOG_FLOOR_NOT_LOWERED 0
#endif

#define BUG_TABLE(X)                                                                               \
    /* name, what is wrong, who finds it */                                                        \
    X(ACK_BEFORE_SYNC, "the log reports a batch durable before the sync", "simulation: lossy crash")  \
    X(WHEEL_EARLY, "a deadline fires up to a tick early", "unit: wheel_test") \
    X(LOG_TRIM_EARLY, "segments are used again before the floor is durable", "unit: log_test; simulation") \
    X(LOG_CUT_EARLY, "a torn tail takes a good batch with it", "unit: log_test; simulation") \
    X(LOG_VOTE_LOST, "the vote is forgotten at load", "unit: log_test; simulation") \
    X(LOG_NEXT_NOT_MOVED, "a truncation does not move the next index", "unit: log_test; simulation") \
    X(LOG_FLOOR_NOT_LOWERED, "entries that were cut still count as durable", "unit: log_test; simulation")
