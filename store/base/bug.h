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

#define BUG_TABLE(X)                                                                               \
    /* name, what is wrong, who finds it */                                                        \
    X(ACK_BEFORE_SYNC, "the log reports a batch durable before the sync", "simulation: lossy crash")  \
    X(WHEEL_EARLY, "a deadline fires up to a tick early", "unit: wheel_test")
