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
#ifndef BUG_HOLD_OFF
#define BUG_HOLD_OFF 0
#endif
#ifndef BUG_MATCH_OFF
#define BUG_MATCH_OFF 0
#endif
#ifndef BUG_COMMIT_CLAMP_OFF
#define BUG_COMMIT_CLAMP_OFF 0
#endif
#ifndef BUG_DELAY_COUNTS_STANDBY
#define BUG_DELAY_COUNTS_STANDBY 0
#endif
#ifndef BUG_APPLY_AT_APPEND
#define BUG_APPLY_AT_APPEND 0
#endif
#ifndef BUG_READ_WITHOUT_ROUND
#define BUG_READ_WITHOUT_ROUND 0
#endif
#ifndef BUG_READ_WITHOUT_OWN_TERM
#define BUG_READ_WITHOUT_OWN_TERM 0
#endif
#ifndef BUG_STAGE_BY_INDEX
#define BUG_STAGE_BY_INDEX 0
#endif
#ifndef BUG_RESEND_RENUMBERS
#define BUG_RESEND_RENUMBERS 0
#endif
#ifndef BUG_TIMEOUT_NOW_KEPT
#define BUG_TIMEOUT_NOW_KEPT 0
#endif

#ifndef BUG_STORE_STATE_BEFORE_DATA
#define BUG_STORE_STATE_BEFORE_DATA 0
#endif
#ifndef BUG_STORE_FILES_BEFORE_STATE
#define BUG_STORE_FILES_BEFORE_STATE 0
#endif
#ifndef BUG_STORE_NUMBERS_REUSED
#define BUG_STORE_NUMBERS_REUSED 0
#endif
#ifndef BUG_STORE_CLEANER_UNCONDITIONAL
#define BUG_STORE_CLEANER_UNCONDITIONAL 0
#endif
#ifndef BUG_EVICT_DIRTY
#define BUG_EVICT_DIRTY 0
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
    X(EXPECT_SEQ_OFF, "expected last sequence is compared with the next one", "unit: apply_test; simulation") \
    X(HOLD_OFF, "messages leave before their term and vote are durable", "simulation: lossy crash") \
    X(MATCH_OFF, "a follower's result claims its whole log, not what it shares with the leader", "simulation") \
    X(COMMIT_CLAMP_OFF, "a chunk carries a commit index beyond its end", "simulation") \
    X(DELAY_COUNTS_STANDBY, "a leader waits for any member's acknowledgement, not for a voters' majority", "simulation") \
    X(APPLY_AT_APPEND, "a leader applies and acknowledges what only its own disk has", "simulation") \
    X(READ_WITHOUT_ROUND, "a read index is served without asking the voters", "simulation") \
    X(READ_WITHOUT_OWN_TERM, "a new leader serves read indexes before an entry of its own term is committed", "simulation") \
    X(STAGE_BY_INDEX, "payloads are staged by index, and stay when the core refused the entry", "simulation") \
    X(RESEND_RENUMBERS, "a batch that is sent again gets a new number", "simulation") \
    X(TIMEOUT_NOW_KEPT, "a TimeoutNow that waited for writes is obeyed in a later term", "simulation: calm") \
    X(STORE_STATE_BEFORE_DATA, "state is written before the data it refers to is flushed", "unit: store_model_test") \
    X(STORE_FILES_BEFORE_STATE, "files are deleted before the state that dropped them is durable", "unit: store_model_test") \
    X(STORE_NUMBERS_REUSED, "block numbers of orphans are used again", "unit: store_model_test") \
    X(STORE_CLEANER_UNCONDITIONAL, "the cleaner moves also what is dead", "unit: store_model_test") \
    X(EVICT_DIRTY, "a dirty page is evicted", "unit: store_model_test")
