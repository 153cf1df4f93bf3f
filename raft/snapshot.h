/* snapshot.h - a snapshot of our own is a permission to trim (raft.md 4.1): the core forgets the
 * head of its log, ours is recorded as trimmed. State never travels this way. Thread: loop. */
#pragma once

#include "raft/group.h"

struct raft_buffer;
struct raft_io_snapshot_get;
struct raft_io_snapshot_put;

struct snapshot {
    bool armed;     /* the core may take one */
    log_index keep; /* last entry to drop */
};

/* Arms when the log is over its limits and the store no longer needs its head. */
void snapshot_check(struct group *g);
/* fsm->snapshot: libraft's codes. */
int snapshot_take(struct group *g, struct raft_buffer **bufs, unsigned *count);
/* The core's requests, in a later turn. */
void snapshot_finish_put(struct group *g, struct raft_io_snapshot_put *req);
void snapshot_finish_get(struct group *g, struct raft_io_snapshot_get *req);
