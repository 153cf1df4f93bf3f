/* link.h - one connection to a node: frames in, frames out, signs of life.
 * A link is born when a socket is, greets (greeter.c), is then one of its peer's two (peer.c), and
 * is freed after its socket's end. Thread: loop. */
#pragma once

#include "cluster/cluster.h"
#include "cluster/frame.h"
#include "cluster/handshake.h"
#include "cluster/lanes.h"

#define LINK_GREETING_NS (2 * NS_PER_S) /* design 8: before authentication a connection has 2 s */
#define LINK_PING_NS (1 * NS_PER_S)     /* an idle link says that it lives */
#define LINK_SILENCE_NS (3 * NS_PER_S)  /* then its peer isn't there, whatever the kernel says */

enum link_state { LINK_GREETING, LINK_OPEN, LINK_CLOSED };
struct link;
struct peer;
struct route;

struct link_ops {
    /* A frame arrived; its body is borrowed. The link may be closed inside. */
    void (*frame)(struct link *l, const struct frame *f);
    /* May frames be handed on? If not, reading waits for link_resume. */
    bool (*ready)(const struct link *l);
    /* The bytes are no frames (E_MALFORMED, E_TOOBIG, E_CORRUPT), or time is up (E_AGAIN). */
    void (*failed)(struct link *l, int rc);
    /* The socket's end, unless link_close came first. dead: the other kernel says so. */
    void (*gone)(struct link *l, enum link_state was, bool dead);
    /* A link is off the cluster's list, its memory about to go. */
    void (*freed)(struct cluster *c);
};

struct link {
    struct list_node node; /* in cluster->links */
    const struct link_ops *ops;
    struct cluster *cluster;
    struct env *env;
    struct sock *sock;
    enum link_state state;
    enum hello_link kind;
    bool dialed;         /* by us */
    bool greeted;        /* the peer's greeting was accepted */
    bool blocked;        /* the kernel took less than all: `drained` follows */
    bool dirty;          /* to be flushed at the end of the turn */
    struct route *route; /* a control link that a route dialled, until it is open */
    struct peer *peer;   /* from the greeting on (data link: from the dial on) */
    node_id peer_id;     /* as greeted; the peer may be another process by now */
    uint64_t peer_boots, session;
    struct mono opened, heard, sent;
    struct frame_reader reader;
    struct lanes lanes;
    struct writer pieces; /* the body of a frame that comes in several */
    bool piecing;
    uint8_t pieces_type;
    char remote[64]; /* for log lines */
    /* A frame that waits for the control link, and with it what is behind it (peer_hold). */
    bool holding;
    uint8_t held_type;
    struct slice held;
    uint64_t held_after;
};

/* Takes over the socket; bytes may arrive from now on. */
struct link *
link_new(struct cluster *c, struct env *env, struct sock *s, const struct link_ops *ops);
/* Past the handshake: whole frames. */
void link_open(struct link *l);
/* Takes over one reference of each part. Writes at once (control), or when link_flush is called. */
void link_send(struct link *l,
               enum cluster_lane lane,
               enum frame_type type,
               struct slice *parts,
               size_t count);
void link_hello(struct link *l, const struct hello *h);
void link_flush(struct link *l);
/* After ops->ready turned true. */
void link_resume(struct link *l);
/* Says why, as far as the kernel takes it now, and closes; ops isn't called any more. */
void link_close(struct link *l, enum hello_kind kind, enum hello_reason reason);
/* For whoever doesn't speak our protocol: a line of text as the last word. */
void link_close_text(struct link *l, const char *text);
/* Pings and deadlines. */
void link_sweep(struct link *l, struct mono now);
