/* peer_stream.h - the ordered stream of AppendEntries to one peer, as a cursor over our log
 * (raft.md 3.3): libraft believes that all it passed to send was sent; the stream owes it, in
 * chunks, with payloads, under a window of bytes. O(1) memory per peer. Thread: loop. */
#pragma once

#include "raft/fetch.h"
#include "store/base/slice.h"
#include "store/base/units.h"

#define STREAM_CHUNKS_MAX 64

struct group;
struct peer;
struct raft_append_entries;
struct raft_timeout_now;

struct stream {
    log_term term;         /* of the leader we were when this was queued */
    log_index next, until; /* entries to send; next > until: none */
    bool probe;            /* one message with at most probe_count entries behind probe_prev */
    log_index probe_prev;
    size_t probe_count;
    bool timeout_now; /* behind the entries up to timeout_index */
    log_index timeout_index;
    log_term timeout_term;
    bool empty;            /* a heartbeat is due */
    log_index commit_told; /* last commit index sent that the peer could follow */
    struct mono stuck;     /* since the window has been full */
    size_t window_bytes;   /* sent and not acknowledged */
    size_t chunk_first, chunk_count;
    struct peer_stream_chunk {
        log_index last;
        size_t bytes;
    } chunks[STREAM_CHUNKS_MAX]; /* what the window consists of, a ring */
    struct fetch fetch;
};

void peer_stream_init(struct peer *p);
void peer_stream_close(struct peer *p); /* after log_close */
/* From the core's send: notes what is owed. */
void peer_stream_append(struct peer *p, const struct raft_append_entries *a);
void peer_stream_timeout_now(struct peer *p, const struct raft_timeout_now *m);
/* The peer has everything up to index. */
void peer_stream_acked(struct peer *p, log_index index);
/* Forgets all; nothing is reported: the next heartbeat is refused, and the core looks again. */
void peer_stream_reset(struct peer *p);
/* Sends what the window takes. At the end of each turn. */
void peer_stream_turn(struct peer *p);
