/* peer.h - another node and our two links to it. Up is: both are open, in one session.
 *
 * Of the links that the two sides dial, one control link may stay. The node with the lower name
 * alone decides which: it sends HELLO_ACCEPT with a new session number, and whatever the other side
 * held before is then void. Who dialled that link dials the data link, which names the session. So
 * both sides always mean the same pair, however dials and breaks cross. When one link goes, both
 * go. Thread: loop. */
#pragma once

#include "cluster/cluster.h"
#include "cluster/handshake.h"
#include "cluster/link.h"

#define PEER_COUNT_MAX 64 /* far above LIMIT_VOTERS; names come from authenticated nodes */
#define PEER_PAIR_NS (2 * NS_PER_S)     /* from the control link to the data link */
#define PEER_YOUNG_NS (500 * NS_PER_MS) /* dials that crossed end sooner; see peer_offer */
/* Bytes waiting in one lane. A forwarded largest message must fit; more means that the peer doesn't
 * read, and dropping its links costs less than this node's memory. */
#define PEER_QUEUED_MAX MIB(128)

struct peer {
    struct cluster_peer pub; /* first */
    struct list_node node;   /* in cluster->peers */
    struct cluster *cluster;
    uint64_t incarnation, boots, session;
    struct link *links[2]; /* enum hello_link; open ones */
    char address[300];     /* host:port it can be dialled at; empty: not known */
    /* Of this session: frames of interest sent to it, and those of its own that were applied. */
    uint64_t interest_sent, interest_applied;
    struct mono since; /* the control link was opened */
    struct mono gone;  /* it was last up */
    bool was_up, dead_told;
    bool resume;               /* its links hold frames back until the end of the turn */
    enum hello_reason failing; /* to be dropped at the end of the turn */
};

struct peer *peer_by_name(struct cluster *c, struct text name);
struct peer *peer_by_id(struct cluster *c, node_id id);
struct handshake_known peer_known(const struct peer *p, struct mono now);
/* After a greeting that was welcome: makes or renews the record. NULL: too many names. */
struct peer *peer_greet(struct cluster *c, struct peer *p, const struct hello *h);
/* Its node has another name now: the record, without links, stands for nobody. */
void peer_forget(struct peer *p);
/* Do we decide which of our links stays? */
bool peer_arbiter(const struct peer *p);
/* May this control link, greeted, stay? Drops an old one that it replaces. */
bool peer_offer(struct peer *p, struct link *l);
/* The link is through: counts it, and reports the peer when both are. */
void peer_link_open(struct peer *p, struct link *l);
/* Closes both links and says so to whoever watches. Harmless when there is none. */
void peer_drop(struct peer *p, enum hello_reason reason, bool dead);
/* A dial was refused by the peer's kernel: nobody listens there any more. */
void peer_refused(struct peer *p);
void peer_set_urls(struct peer *p, struct text urls);
/* From inside a frame handler: this frame of the data link is handed on again, and what is behind
 * it read, once peer_applied made it so far. The body is kept by reference. */
void peer_hold(struct peer *p, enum frame_type type, struct slice body, uint64_t after_interest);
/* One more frame of the peer's interest was applied. */
void peer_applied(struct peer *p);
void peer_send(struct peer *p,
               enum cluster_lane lane,
               enum frame_type type,
               struct slice *parts,
               size_t count);
/* What was left for the end of the turn. */
void peer_turn(struct peer *p);
