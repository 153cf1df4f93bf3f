/* group.h - one Raft group: consensus by libraft's core, log and guards ours (raft.md).
 * The face of raft/. Thread: loop. */
#pragma once

#include "raft/log.h"
#include "raft/sm.h"
#include "raft/transport.h"
#include "store/base/env.h"
#include "store/base/writer.h"

struct group;

struct group_member {
    node_id id;
    char name[256]; /* server name */
    bool voter;
};
struct group_options {
    struct env *env;
    const char *dir;
    uint64_t identity; /* see log_options */
    struct sm sm;
    struct transport transport;
    uint64_t log_bytes_max; /* default min(10 GiB, 20 % of the disk) */
    uint64_t cache_bytes;
    /* We became leader and have applied an entry of our own term; or lost it; or the leader (0:
     * none) changed. */
    void (*on_leader)(void *ctx, node_id leader, log_term term, bool self);
    void *ctx;
};

/* Loads log and meta, checks libraft's version. Not started: no ticks, no messages. */
NODISCARD int group_open(const struct group_options *o, struct group **out);
bool group_is_empty(const struct group *g); /* no configuration: must be bootstrapped or joined */
const struct log_facts *group_facts(const struct group *g);
/* Durable before it returns; only before group_start. The origin incarnation is facts.boots then.
 */
NODISCARD int group_facts_store(struct group *g, const struct log_facts *facts);
/* Writes the first configuration, the same on every member, durably; blocking. */
NODISCARD int
group_bootstrap(struct group *g, node_id self, const struct group_member *members, size_t count);
/* Starts ticking as `self`. */
NODISCARD int group_start(struct group *g, node_id self);
/* Hands leadership over (up to 3 s), then done. */
void group_handover(struct group *g, void (*done)(void *ctx), void *ctx);
/* Waits until the log is idle and frees everything; done last. */
void group_close(struct group *g);

bool group_leads(const struct group *g);     /* leader, own-term entry applied */
node_id group_leader(const struct group *g); /* 0: none known */
log_term group_term(const struct group *g);
log_index group_applied(const struct group *g);
log_index group_committed(const struct group *g);
log_index group_log_first(const struct group *g); /* the oldest entry kept */
uint64_t group_log_bytes(const struct group *g);
size_t group_members(const struct group *g, struct group_member *out, size_t max);
struct group_peer_status {
    node_id id;
    log_index match;
    bool up;
    uint64_t silent_ns; /* since it was heard */
};
size_t group_peers(const struct group *g, struct group_peer_status *out, size_t max);

/* ---- proposals ----
 * Commands gather in this node's open batch until the end of the loop's turn; then the batch goes
 * to the leader, wherever it is, and is sent again to the next one until it is applied: once, in
 * order. There is no error: the callback comes with the state machine's result, when this node
 * applied it; or never, if the group closes. propose_open gives a writer with room for `bytes`;
 * write one whole command, then close it. Nothing else may be called between the two. */
struct proposal {
    struct list_node node;
    uint32_t command; /* ours: its place in the batch */
    void (*done)(struct proposal *p,
                 const void *result); /* result: as the state machine gives it */
};
struct writer *propose_open(struct group *g, size_t bytes_max);
void propose_close(
    struct group *g,
    struct proposal *p); /* p == NULL: result not wanted; else the caller's until done */
/* Bytes in batches that aren't applied yet; hold publishers back above a budget. */
uint64_t propose_outstanding(const struct group *g);
/* From the state machine's watcher, while it applies a batch of this node and incarnation. */
void propose_batch(struct group *g, uint64_t number);
void propose_result(struct group *g, const void *result);
uint64_t propose_incarnation(const struct group *g);

/* ---- linearizable reads (ReadIndex) ---- */
struct read_index {
    struct list_node node;
    log_index index;                    /* ours: what must be applied first */
    void (*done)(struct read_index *r); /* this node has applied all that was acknowledged before
                                           read_index_start */
};
void read_index_start(struct group *g,
                      struct read_index *r); /* waits as long as it takes for a leader */
void read_index_cancel(struct group *g, struct read_index *r);

/* ---- from the transport ---- */
void group_recv(struct group *g, node_id from, enum transport_lane lane, struct slice message);
void group_peer_up(struct group *g, node_id peer);
/* dead: its kernel closed the connection (process gone), a hint to elect at once. */
void group_peer_down(struct group *g, node_id peer, bool dead);
/* ---- from the state machine ---- */
void group_sm_ready(struct group *g);
/* The store is durable at index: the log below may be trimmed. */
void group_sm_durable(struct group *g, log_index index, log_term term);
