/* listener.h - all client connections of a node: accepting them, what they share, counts for
 * operators.
 *
 * Reads go into one buffer for all connections; only what is incomplete after a read lies in memory
 * of its connection's own. Writes gather during a turn and go out at its end. Thread: loop. */
#pragma once

#include "broker/auth/auth.h"
#include "broker/broker.h"
#include "broker/client/proto_errors.h"
#include "store/base/wheel.h"
#include "store/base/writer.h"

struct listener_options {
    struct env *env;
    struct net *net;
    struct router *router;
    const struct broker_options *broker;
    /* connect_urls as a JSON array, or "" when there are none; valid for the call. */
    struct text (*urls)(void *ctx);
    /* A client logged in (true), or one that had is going. NULL: nobody asks. */
    void (*client)(void *ctx, const struct conn *c, bool connected);
    /* Nobody took a message with a reply subject. True: somebody else answers it later. NULL: no.
     */
    bool (*nobody)(void *ctx, const struct message *m);
    void *ctx;
};

struct listener_stats {
    uint64_t total_conns, in_msgs, in_bytes, out_msgs, out_bytes;
    uint64_t slow_consumers, stale_conns, stalls;
};

/* A connection that is over, for /connz?state=closed. */
struct closed_conn {
    uint64_t cid;
    int64_t start_ns, stop_ns, last_ns; /* wall */
    uint64_t rtt_ns, in_msgs, in_bytes, out_msgs, out_bytes;
    uint32_t subs;
    enum close_reason reason;
    char address[64], name[64], lang[16], version[24], user[64], account[64];
};

struct listener {
    struct listener_options o;
    struct auth *auth;
    struct throttle throttle;
    struct wheel *wheel;
    struct sock_listener *sock;
    int port;
    struct list conns; /* conn.in_listener, oldest first */
    struct map by_cid;
    uint64_t conn_count, cid_last;
    struct listener_stats stats;
    struct list flush; /* conn.in_flush: with bytes to write at the end of the turn */
    struct env_defer flush_defer;
    struct slice read; /* the shared read buffer, at: where it begins */
    size_t read_used;
    bool hold, lame_duck, closing;
    struct {
        uint64_t second, count, swallowed;
    } complaints;               /* conn_complain */
    struct list held;           /* conn.in_held */
    struct closed_conn *closed; /* a ring once it is full; closed_next: the oldest */
    size_t closed_next, closed_count, closed_room, closed_max;
    void (*empty)(void *ctx); /* the last connection went; NULL: nobody asks */
    void *empty_ctx;
};

struct listener *listener_new(const struct listener_options *o);
NODISCARD int listener_open(struct listener *l); /* E_ADDRINUSE, E_NET, E_DENIED */
void listener_shut(struct listener *l);          /* accepts no more */
/* Ends all connections; empty is called when the last is gone, at once if there is none. Not freed.
 */
void listener_close(struct listener *l, void (*empty)(void *ctx), void *ctx);
void listener_free(struct listener *l);
/* JetStream's proposals are over budget: connections that publish are not read until they are let
 * go. */
void listener_hold(struct listener *l, bool hold);
/* An INFO to everybody who takes one: other nodes came or went, or this one is about to leave. */
void listener_tell_info(struct listener *l);
/* Users, permissions and limits were exchanged: checks everybody again. */
void listener_reload(struct listener *l);
/* Room for at least `bytes` in the shared read buffer. */
uint8_t *listener_read_room(struct listener *l, size_t bytes, size_t *room_bytes);
void listener_closed_add(struct listener *l, const struct closed_conn *c);
