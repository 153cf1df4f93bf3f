/* cluster.h - nodes that know each other: links, handshakes, frames. The face of cluster/.
 * Every pair of nodes has two connections, control and data (design 3.3). Thread: loop. */
#pragma once

#include "cluster/net/sock.h"
#include "raft/transport.h"
#include "store/base/env.h"
#include "store/base/list.h"
#include "store/base/reader.h"
#include "store/base/slice.h"
#include "store/base/units.h"

struct cluster;

/* What travels between nodes; the body's format belongs to who registered the type. */
enum frame_type {
    FRAME_HELLO,     /* cluster/handshake.c */
    FRAME_PING,
    FRAME_BOOTSTRAP, /* cluster/bootstrap.c */
    FRAME_RAFT,      /* raft/rpc.h */
    FRAME_INTEREST,  /* cluster/interest.c */
    FRAME_RELAY,     /* cluster/relay.c: a message with a list of targets */
    FRAME_ENGINE,    /* broker/js: waiting pull requests and their ends */
    FRAME_INFO,      /* client URLs, lame duck */
    FRAME_MEMBERS,   /* cluster/gossip.c: other nodes and where they listen */
    FRAME_TYPES
};
enum cluster_lane { CLUSTER_CONTROL, CLUSTER_STREAM, CLUSTER_DATA }; /* as transport_lane */

struct cluster_peer {
    node_id id; /* 0 until the handshake */
    char name[256];
    char client_urls[1024]; /* comma list host:port */
    bool up;
};
struct cluster_route {
    char host[256];
    int port;
};
struct cluster_options {
    struct env *env;
    struct net *net;
    const char *cluster_name, *node_name;
    node_id id;
    uint64_t incarnation, boots;
    const char *host; /* listen; port 0: any */
    int port;
    const char *advertise; /* host:port that others are told to dial; NULL: where we listen */
    const struct cluster_route *routes;
    size_t route_count;
    const char *user, *password; /* NULL: none */
    const char *client_urls;     /* told to peers */
    void (*on_peer_up)(void *ctx, struct cluster_peer *p);
    /* dead: the peer's kernel closed or refused: its process is gone. */
    void (*on_peer_down)(void *ctx, struct cluster_peer *p, bool dead);
    void (*on_peer_info)(void *ctx, struct cluster_peer *p); /* client_urls changed */
    /* Another process, started later, runs under our name: this one isn't let in any more. May be NULL. */
    void (*on_fenced)(void *ctx);
    void *ctx;
};
NODISCARD int cluster_open(const struct cluster_options *o, struct cluster **out);
/* Closes all links, then frees; done on the loop. Nobody else is called from now on. */
void cluster_close(struct cluster *c, void (*done)(void *ctx), void *ctx);
int cluster_port(const struct cluster *c); /* the real one */
/* Tells all peers, now and to come. */
void cluster_set_client_urls(struct cluster *c, const char *client_urls);

/* Hears of peers, after options.on_peer_*. A peer that went down without a sign of death is reported down
 * once more, with dead, when its kernel refuses a dial. Embedded in its owner. */
struct cluster_watcher {
    struct list_node node;
    void (*up)(struct cluster_watcher *w, struct cluster_peer *p);
    void (*down)(struct cluster_watcher *w, struct cluster_peer *p, bool dead);
};
void cluster_watch(struct cluster *c, struct cluster_watcher *w);
void cluster_unwatch(struct cluster_watcher *w); /* harmless when it doesn't watch */

/* Registers who takes a frame type; the body is borrowed: valid for the call, unless message is referenced. */
void cluster_on(struct cluster *c, enum frame_type type,
                void (*frame)(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body), void *ctx);
/* Takes over one reference of each part. Dropped when the peer isn't up. */
void cluster_send(struct cluster *c, node_id peer, enum cluster_lane lane, enum frame_type type, struct slice *parts,
                  size_t count);
size_t cluster_queued(struct cluster *c, node_id peer, enum cluster_lane lane);
struct cluster_peer *cluster_peer(struct cluster *c, node_id id);
/* *at = NULL first; NULL ends. */
struct cluster_peer *cluster_peer_next(struct cluster *c, struct cluster_peer *at);
/* Routes that lead to somebody else (itself in the list doesn't count). */
size_t cluster_expected(const struct cluster *c);

/* ---- forming a cluster (bootstrap.c) ----
 * Once all expected peers are up and empty and agree on names, the lowest name fixes the list; agreed is
 * called on every one with the same list, in name order; it makes that durable before it returns. Every
 * member calls this at its start, also one that isn't empty: that is how the others learn of it. Without
 * routes (but to itself) a node agrees with itself. agreed comes later, never from inside the call. */
struct cluster_bootstrap_options {
    struct cluster *cluster;
    bool empty; /* our own Raft log is empty */
    void (*agreed)(void *ctx, const node_id *ids, const char *const *names, size_t count);
    /* A peer isn't empty: a cluster exists, and this node, which is empty, must be added to it. Called once,
     * and agreed isn't called after it. May be NULL. */
    void (*joining)(void *ctx, const struct cluster_peer *member);
    void *ctx;
};
void cluster_bootstrap(const struct cluster_bootstrap_options *o);

/* ---- raft/transport.h over these links (peer_transport.c) ---- */
struct group;
void peer_transport_init(struct transport *t, struct cluster *c);
void peer_transport_bind(struct cluster *c, struct group *g); /* FRAME_RAFT and peer up/down go there */
