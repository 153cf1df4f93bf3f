/* rpc.h - the messages between the members of a group, as bytes.
 *
 *   message: u8 version (1), u8 type, then by type, in this order, what rpc.c's table says:
 *            u64 term, u64 number, u64 index, u64 index_term, u64 rejected, u64 candidate, u8 flags
 *   APPEND:  u64 term, u64 prev, u64 prev_term, u64 commit, u8 flags, u32 count,
 *            count x {u64 term, u8 type, u32 bytes}, then the payloads one after another
 *   BATCH:   u64 term of the leader that it is for, u64 first, then one origin batch
 * (raft/propose.c); its origin has seen all its batches below `first` applied
 *
 * Bytes come from a peer: decoding is bounded, and what no leader sends is refused before the core
 * sees it. The u32 group that every frame between nodes carries is the transport's. */
#pragma once

#include "store/base/reader.h"
#include "store/base/slice.h"
#include "store/base/units.h"
#include "store/base/writer.h"

#define RPC_VERSION 1
#define RPC_APPEND_HEAD_BYTES 39
#define RPC_ENTRY_HEAD_BYTES 13

enum rpc_type {
    RPC_APPEND = 1,
    RPC_APPEND_RESULT,  /* term, index (last), rejected */
    RPC_VOTE,           /* term, candidate, index, index_term, flags */
    RPC_VOTE_RESULT,    /* term, flags */
    RPC_TIMEOUT_NOW,    /* term, index, index_term */
    RPC_KEEPALIVE,      /* term: the leader lives, whatever its disk and its bulk do */
    RPC_KEEPALIVE_ECHO, /* term */
    RPC_READ_PROBE,     /* term, number of the round: is your term still at most mine? */
    RPC_READ_ANSWER,    /* term, number, flags */
    RPC_READ_ASK,       /* number of the request: a follower wants a read index */
    RPC_READ_INDEX,     /* number, index */
    RPC_BATCH,
    RPC_TYPES
};
enum rpc_flag {
    RPC_PRE_VOTE = 1,
    RPC_DISRUPT = 2,
    RPC_GRANTED = 4,
    RPC_YES = 8,
    RPC_QUIET = 16, /* only news of the commit index: no answer unless it is refused */
};

struct rpc {
    enum rpc_type type;
    log_term term;
    uint64_t number;
    log_index index;
    log_term index_term;
    log_index rejected;
    node_id candidate;
    uint8_t flags;
};
/* An AppendEntries as it travels. `entries` and `payloads` lie in the message. */
struct rpc_append {
    log_term term;
    log_index prev;
    log_term prev_term;
    log_index commit;
    uint8_t flags;
    uint32_t count;
    struct reader entries, payloads;
};
struct rpc_entry {
    log_term term;
    uint8_t type; /* enum log_type */
    struct slice payload;
};

/* Any type but APPEND and BATCH; one reference is the caller's. */
struct slice rpc_encode(const struct rpc *m);
/* The type of a message; E_MALFORMED, E_VERSION. */
NODISCARD int rpc_type(struct slice message);
NODISCARD int rpc_decode(struct slice message, struct rpc *out);

/* The head of an APPEND: the caller adds rpc_entry_head count times, then sends the payloads
 * behind. */
void rpc_append_head(struct writer *w, const struct rpc_append *a);
void rpc_entry_head(struct writer *w, log_term term, uint8_t type, uint32_t bytes);
NODISCARD int rpc_append_decode(struct slice message, struct rpc_append *out);
/* The next entry; the payload is a new reference into message. Only after a good rpc_append_decode,
 * at most count times. */
struct rpc_entry rpc_append_next(struct rpc_append *a, struct slice message);

/* What goes before an origin batch. */
struct slice rpc_batch_head(log_term term, uint64_t first);
/* The batch in a message, a new reference. E_MALFORMED. */
NODISCARD int
rpc_batch_decode(struct slice message, log_term *term, uint64_t *first, struct slice *batch);
