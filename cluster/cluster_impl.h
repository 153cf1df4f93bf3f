/* cluster_impl.h - what the files of this folder share; nobody else includes it. Thread: loop. */
#pragma once

#include "cluster/cluster.h"
#include "cluster/handshake.h"
#include "cluster/link.h"
#include "store/base/list.h"

#define CLUSTER_GREETING_MAX 64 /* accepted links that haven't said who they are */

struct bootstrap;
struct relay_message;
struct interest;
struct cluster {
    struct cluster_options o; /* texts are this struct's own */
    struct list links, peers, dials, watchers;
    struct route *routes;
    size_t route_count; /* configured; learned ones follow in the same array (routes.c) */
    size_t route_total;
    char listen[300]; /* told in greetings */
    struct sock_listener *listener;
    int port;
    struct {
        void (*frame)(void *ctx,
                      struct cluster_peer *from,
                      enum cluster_lane lane,
                      struct slice body);
        void *ctx;
    } handlers[FRAME_TYPES];
    struct cluster_watcher raft_watcher; /* peer_transport.c */
    struct group *group;
    struct bootstrap *bootstrap;
    void (*relay)(void *ctx, node_id from, const struct relay_message *m);
    void *relay_ctx;
    struct interest *interest; /* its changes go before a relayed message */
    struct env_defer turn;     /* flushes, drops, resumes; the last one frees */
    struct env_timer sweep;
    struct mono swept;
    struct mono refused[HELLO_REASONS]; /* a line was logged */
    unsigned swallowed[HELLO_REASONS];  /* since then */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

extern const struct link_ops cluster_link_ops;
/* Something waits for the end of the turn. */
void cluster_turn(struct cluster *c);
/* A greeting of ours; the caller adds link, session and target. */
struct hello cluster_hello(const struct cluster *c);
/* Logs why somebody was turned away, or turned us away, at most once in ten seconds for each
 * reason. */
void cluster_log_refusal(struct cluster *c,
                         const char *who,
                         enum hello_reason reason,
                         const char *what);
void cluster_notify(struct peer *p, bool up, bool dead);
void bootstrap_free(struct bootstrap *b);
