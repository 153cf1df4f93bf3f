/* sock.h - SEAM: connections and byte streams. sock_uv.c is TCP on libuv, sock_tls.c TLS over any sock,
 * tests/sim/sim_net.c the simulated network. Used by broker/client too. Thread: loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/env.h"
#include "store/base/slice.h"

struct net;  /* a factory of sockets: real or simulated */
struct sock; /* one connection */
struct sock_listener;

struct sock_events {
    /* Bytes arrived in the owner's buffer (see room). */
    void (*data)(struct sock *s, size_t bytes);
    /* Where the next bytes go; asked before each read. 0 bytes: don't read now (call sock_resume later). */
    void *(*room)(struct sock *s, size_t *bytes);
    /* All that was written has gone to the kernel. */
    void (*drained)(struct sock *s);
    /* The connection is over: rc 0 the peer closed it, E_NET it broke, E_CANCELED sock_close; exactly once, last
     * call. reset: closed by the peer's kernel, a sign that the process died. */
    void (*closed)(struct sock *s, int rc, bool reset);
};
struct sock {
    const struct sock_ops *ops;
    const struct sock_events *events;
    void *owner;
};
struct sock_part {
    const void *at;
    size_t bytes;
};
struct sock_ops {
    /* Writes as much as the kernel takes now, vectored; returns the bytes taken (0..total), or E_NET. If less
     * than all was taken, `drained` tells when to go on. Nothing is copied or kept. */
    ptrdiff_t (*write)(struct sock *s, const struct sock_part *parts, size_t count);
    void (*resume)(struct sock *s); /* read again after room gave 0 */
    void (*close)(struct sock *s);  /* closed() follows, later */
    void (*peer_text)(struct sock *s, char *out, size_t bytes); /* "127.0.0.1:4222" */
    void (*local_text)(struct sock *s, char *out, size_t bytes);
};
struct net_ops {
    /* port 0: any free one; *port then says which. accepted: events and owner must be set inside it, or
     * sock_close called. E_ADDRINUSE, E_NET. */
    int (*listen)(struct net *n, const char *host, int *port, void (*accepted)(void *ctx, struct sock *s), void *ctx,
                  struct sock_listener **out);
    void (*unlisten)(struct sock_listener *l);
    /* Resolves (names may have several addresses) and connects; connected is called once, later: rc 0 with a
     * sock, or E_NET. refused: a kernel answered, nobody listens. */
    void (*dial)(struct net *n, const char *host, int port, uint64_t timeout_ns,
                 void (*connected)(void *ctx, int rc, bool refused, struct sock *s), void *ctx);
};
struct net {
    const struct net_ops *ops;
};
struct net *net_uv_new(struct env *env);
void net_uv_free(struct net *n);
