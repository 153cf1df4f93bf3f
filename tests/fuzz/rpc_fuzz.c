/* rpc_fuzz.c - what a peer may send on the Raft lanes: each message decoded; small ones encoded
 * again and compared; the entries of an AppendEntries walked, configurations among them read.
 * sources: store/base/check.c store/base/err.c store/base/slice.c store/base/writer.c
 * store/base/logger.c store/base/json_out.c raft/rpc.c raft/members.c
 */
#include <string.h>

#include "raft/log.h"
#include "raft/members.h"
#include "raft/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void walk(struct slice message)
{
    struct rpc_append a;
    if (rpc_append_decode(message, &a) != 0) return;
    uint32_t count = a.count;
    for (uint32_t k = 0; k < count; k++) {
        struct rpc_entry e = rpc_append_next(&a, message);
        struct conf c;
        if (e.type == LOG_CHANGE && members_decode(e.payload.at, e.payload.bytes, 1, &c) == 0) {
            struct slice again = members_encode(&c);
            struct conf same;
            CHECK(members_decode(again.at, again.bytes, 1, &same) == 0);
            CHECK(memcmp(&c, &same, sizeof c) == 0);
            slice_release(&again);
        }
        slice_release(&e.payload);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice message = slice_copy(data, bytes), batch;
    struct rpc m;
    log_term term;
    uint64_t first;
    walk(message);
    if (rpc_batch_decode(message, &term, &first, &batch) == 0) slice_release(&batch);
    if (rpc_decode(message, &m) == 0) {
        struct slice again = rpc_encode(&m);
        CHECK_EQ(again.bytes, bytes);
        CHECK(memcmp(again.at, data, bytes) == 0);
        slice_release(&again);
    }
    slice_release(&message);
    return 0;
}
