/* propose.h - commands of one turn into a batch, batches into entries (group.h tells the users'
 * side).
 *
 *   batch: u64 node, u64 incarnation, u64 number, u32 bytes, then the commands
 *   entry: u8 format (1), i64 leader's time, then batches until its end
 * The same two heads are in store/state/entry.h, which reads them; raft/ may not see it. Thread:
 * loop. */
#pragma once

#include "raft/group.h"
#include "raft/origins.h"

struct batch;

struct propose {
    struct group *group;
    struct writer writer; /* the open batch, its heads' room in front */
    struct list open;     /* its proposals */
    uint32_t commands;    /* in it */
    uint64_t number_next;
    struct list kept; /* sealed and not applied, in order of their numbers */
    size_t kept_count;
    uint64_t kept_bytes;
    struct list_node
        *unsent; /* the first of kept that the present leader hasn't been given; or the head */
    node_id sent_to;
    log_term sent_term;
    struct mono sent_at;    /* progress of the oldest: applied, or sent */
    struct mono stamped_at; /* as leader: the newest entry */
    struct list pack;       /* as leader: batches that wait for an entry */
    size_t pack_bytes;
    struct origins origins;
    struct batch *applying;
    uint32_t command;     /* of applying: whose result is next */
    log_index unread;     /* the log's end when the group started: entries whose time isn't known */
    uint64_t ahead_bytes; /* payloads in the log that aren't applied yet */
};

void propose_init(struct group *g);
void propose_free(struct group *g);
/* A batch forwarded by another node, for the leader of a term; E_MALFORMED. */
NODISCARD int
propose_forwarded(struct group *g, node_id from, log_term term, uint64_t first, struct slice batch);
/* At the end of the turn: seals the open batch, gives batches to the leader, or makes entries of
 * them. */
void propose_turn(struct group *g);
/* The link to a peer went down or came up: what it was given may be lost. */
void propose_link(struct group *g, node_id peer);
/* We lead, in a new term; or no longer. */
void propose_leadership(struct group *g);
/* The state machine has applied one entry. */
void propose_entry_applied(struct group *g);
/* Now and then: was the oldest batch lost on the way? */
void propose_check(struct group *g);
/* The leader's stamp of an entry's payload; 0: it has none. */
int64_t propose_entry_time(struct slice payload);
