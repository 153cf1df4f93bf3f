/* core.h - the inside of a group: what its files share. Nothing outside raft/ includes it. */
#pragma once

#include "raft/members.h"
#include "raft/core_peek.h"
#include "raft/group.h"
#include "raft/guard.h"
#include "raft/handles.h"
#include "raft/handover.h"
#include "raft/io.h"
#include "raft/log.h"
#include "raft/propose.h"
#include "raft/pump.h"
#include "raft/read_index.h"
#include "raft/receive.h"
#include "raft/rpc.h"
#include "raft/snapshot.h"
#include "raft/peer_stream.h"

/* Settings (raft.md 6, measured there). */
#define CORE_TICK_MS 10
#define CORE_ELECTION_MS 300
#define CORE_HEARTBEAT_MS 75
#define CORE_SNAPSHOT_MS 10000

struct peer { /* a node that we have a reason to know; kept until the group closes */
    struct list_node node;
    struct group *group;
    node_id id;
    char address[CONF_ADDRESS_BYTES]; /* for the core; members' come from the configuration */
    bool up;
    struct mono heard;
    log_index acked;   /* as leader: highest index acknowledged in this term */
    log_index stashed; /* an acknowledgement kept from the core (FIG8) */
    struct read_ask ask;
    bool behind_told, malformed_told; /* each said once */
    struct stream stream;
};

struct group {
    struct group_options o;
    struct env *env;
    struct log *log;
    node_id self;
    bool started;
    bool quiet;      /* the message in the core's hands wants no acknowledgement */
    bool inside;     /* a call into the core is on the stack: nothing may call into it again */
    bool restarting; /* the core stands still until the log is idle (CONF) */
    bool closing;
    struct raft *raft; /* NULL before group_start, and while restarting */
    struct io io;
    struct handles handles;
    struct pump pump;
    struct propose propose;
    struct reads reads;
    struct guard guard;
    struct snapshot snapshot;
    struct handover handover;
    struct list peers;
    log_term durable_term; /* where the store stands */
    log_index durable_index;
    log_index committed; /* never falls, also over a restart of the core */
    node_id told_leader; /* what on_leader was told last */
    log_term told_term;
    bool told_self;
    struct env_timer tick;
    struct env_defer turn;
    struct mono tick_due, keepalive_due, check_due;
};

/* All entries into the core end here: what libraft needs done outside of it (raft.md 2.14). */
void group_after(struct group *g);
/* Runs the end of the turn: batches, rounds, streams. */
void group_wake(struct group *g);
struct peer *group_peer(struct group *g, node_id id);      /* NULL: unknown */
struct peer *group_peer_make(struct group *g, node_id id); /* never for ourselves */
/* Ends the core and starts it again from the log, once that is idle. */
void group_restart_core(struct group *g);
