/* units.h - quantities that must not be mixed up.
 * struct mono: this process's monotonic clock, for timeouts and latencies; never stored, never sent.
 * struct entry_time: the leader's stamp in a Raft entry, the only time that apply can see. */
#pragma once

#include <stdint.h>

struct mono {
    uint64_t ns;
};
struct entry_time {
    int64_t ns; /* since 1970 UTC */
};

typedef uint64_t log_index; /* Raft index, from 1; 0: none */
typedef uint64_t log_term;
typedef uint64_t node_id;    /* Raft id: digest of node name and incarnation; 0: none */
typedef uint64_t stream_seq; /* JetStream sequence, from 1; 0: none */

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
