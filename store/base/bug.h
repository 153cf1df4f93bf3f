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
#ifndef BUG_ORIGIN_REPEAT
#define BUG_ORIGIN_REPEAT 0
#endif
#ifndef BUG_DEDUP_NOT_SAVED
#define BUG_DEDUP_NOT_SAVED 0
#endif
#ifndef BUG_ACK_FLOOR_BACK
#define BUG_ACK_FLOOR_BACK 0
#endif
#ifndef BUG_REDELIVERY_LOST
#define BUG_REDELIVERY_LOST 0
#endif
#ifndef BUG_PURGE_NOT_COUNTED
#define BUG_PURGE_NOT_COUNTED 0
#endif
#ifndef BUG_EXPECT_SEQ_OFF
#define BUG_EXPECT_SEQ_OFF 0
#endif

#define BUG_TABLE(X)                                                                               \
    /* name, what is wrong, who finds it */                                                        \
    X(ACK_BEFORE_SYNC, "the log reports a batch durable before the sync", "simulation: lossy crash")  \
    X(WHEEL_EARLY, "a deadline fires up to a tick early", "unit: wheel_test") \
    X(LOG_TRIM_EARLY, "segments are used again before the floor is durable", "unit: log_test; simulation") \
    X(LOG_CUT_EARLY, "a torn tail takes a good batch with it", "unit: log_test; simulation") \
    X(LOG_VOTE_LOST, "the vote is forgotten at load", "unit: log_test; simulation") \
    X(LOG_NEXT_NOT_MOVED, "a truncation does not move the next index", "unit: log_test; simulation") \
    X(LOG_FLOOR_NOT_LOWERED, "entries that were cut still count as durable", "unit: log_test; simulation") \
    X(ORIGIN_REPEAT, "a batch that was applied is applied again", "unit: apply_test; simulation") \
    X(DEDUP_NOT_SAVED, "message ids are forgotten by a restart", "unit: state_test; simulation") \
    X(ACK_FLOOR_BACK, "an ack out of order moves the floor back", "unit: consumer_test") \
    X(REDELIVERY_LOST, "a redelivery isn't counted", "unit: consumer_test; simulation") \
    X(PURGE_NOT_COUNTED, "a purge leaves consumers' num_pending as it was", "unit: apply_test; simulation") \
    X(EXPECT_SEQ_OFF, "expected last sequence is compared with the next one", "unit: apply_test; simulation")
