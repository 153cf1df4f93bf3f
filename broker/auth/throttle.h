/* throttle.h - failed logins per address. After a few, each further answer of that address waits:
 * guessing gets slow, and one address can't keep the password worker busy. Bounded: the table holds
 * the latest addresses, a set of four for each hash. Thread: loop. */
#pragma once

#include <stdint.h>

#include "store/base/slice.h"
#include "store/base/units.h"

#define THROTTLE_SETS 256
#define THROTTLE_WAYS 4
#define THROTTLE_FREE 16                   /* failures that cost nothing: a typo, a test suite */
#define THROTTLE_STEP_NS (100 * NS_PER_MS) /* for each failure beyond */
#define THROTTLE_DELAY_NS_MAX (5 * NS_PER_S)
#define THROTTLE_FORGET_NS (60 * NS_PER_S) /* without a failure */

struct throttle_slot {
    uint64_t hash; /* of the address without its port; 0: free */
    uint64_t last_ns;
    uint32_t failures;
};
struct throttle {
    uint64_t seed;
    struct throttle_slot slots[THROTTLE_SETS * THROTTLE_WAYS];
};

void throttle_init(struct throttle *t, uint64_t seed);
/* address: "host:port" or "host". */
void throttle_failed(struct throttle *t, struct text address, struct mono now);
/* How long the next answer to this address waits; 0: not at all. */
uint64_t throttle_delay_ns(const struct throttle *t, struct text address, struct mono now);
