/* sock_uv.c - TCP for sock.h. The descriptors are ours, libuv only watches them (uv_poll): so a
 * write is one sendmsg from the caller's own buffers, a read one recv into the owner's, and nothing
 * is allocated for either.
 *
 * Life of a connection: made by accept or dial, reading as soon as its owner is known; `closing`
 * from the first of sock_close, an error, the peer's end; closed() from libuv's close callback;
 * then freed. A dial: resolve on libuv's pool, then one address after the other; each gets its
 * share of what is left of the time, so that a first address that swallows packets doesn't cost the
 * others theirs. */
#include "cluster/net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "store/base/err.h"
#include "store/base/list.h"

#define PARTS_MAX 64   /* of one sendmsg */
#define READS_MAX 8    /* in one turn: a fast peer must not starve the others */
#define ACCEPTS_MAX 64 /* in one turn */
#define DROPS_MAX 32   /* reads of what comes after the end; a peer that goes on is reset */
#define BACKLOG 1024
#define KEEPALIVE_S 15

struct net_uv {
    struct net net; /* first */
    uv_loop_t *loop;
    size_t refs;       /* itself, and each handle that is not closed yet */
    struct list dials; /* under way */
    bool freed;
    int spare_fd; /* given up to accept and close a connection when descriptors are out */
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct sock_uv {
    struct sock sock; /* first */
    struct net_uv *net;
    uv_poll_t poll;
    int fd;
    int watched; /* UV_READABLE, UV_WRITABLE: what the poll waits for */
    bool closing, reset;
    int rc;
    union address peer, local;
};

struct sock_listener {
    struct net_uv *net;
    uv_poll_t poll;
    int fd;
    bool closing;
    void (*accepted)(void *ctx, struct sock *s);
    void *ctx;
};

struct dial {
    struct net_uv *net;
    struct list_node node; /* in dials */
    uv_getaddrinfo_t resolve;
    uv_timer_t timer;
    struct addrinfo *found, *next; /* the list; the next to try */
    struct sock_uv *sock;          /* the attempt; NULL: none */
    uint64_t end_ns;
    int handles; /* not closed yet, and the resolver */
    int rc;
    bool refused, over;
    void (*connected)(void *ctx, int rc, bool refused, struct sock *s);
    void *ctx;
};

static void net_ref(struct net_uv *n)
{
    n->refs++;
}

static void net_unref(struct net_uv *n)
{
    if (--n->refs > 0) return;
    if (n->spare_fd >= 0) close(n->spare_fd);
    free(n);
}

/* ---- a connection ---- */

static struct sock_uv *sock_self(struct sock *s)
{
    return (struct sock_uv *)(void *)s;
}

/* A close with unread bytes is a reset, and a reset can overtake our last words: an -ERR that tells
 * a client why. So the stream is ended first, and what has come in until now is taken and dropped.
 */
static void close_politely(int fd)
{
    char dropped[16 << 10];
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < DROPS_MAX; i++) {
        if (recv(fd, dropped, sizeof dropped, MSG_DONTWAIT) <= 0) break;
    }
    close(fd);
}

static void sock_closed(uv_handle_t *handle)
{
    struct sock_uv *s = handle->data;
    struct net_uv *net = s->net;
    close_politely(s->fd);
    if (s->sock.events != NULL) s->sock.events->closed(&s->sock, s->rc, s->reset);
    free(s);
    net_unref(net);
}

static void sock_end(struct sock_uv *s, int rc, bool reset)
{
    if (s->closing) return;
    s->closing = true;
    s->rc = rc;
    s->reset = reset;
    uv_close((uv_handle_t *)&s->poll, sock_closed);
}

static void sock_fail(struct sock_uv *s, int number)
{
    sock_end(s, E_NET, number == ECONNRESET || number == EPIPE);
}

static void sock_event(uv_poll_t *poll, int status, int events);

static void watch(struct sock_uv *s, int events)
{
    if (s->closing || s->watched == events) return;
    s->watched = events;
    int rc = events == 0 ? uv_poll_stop(&s->poll) : uv_poll_start(&s->poll, events, sock_event);
    if (rc != 0) sock_fail(s, 0);
}

static void sock_read(struct sock_uv *s)
{
    for (int i = 0; i < READS_MAX && !s->closing; i++) {
        size_t room = 0;
        void *to = s->sock.events->room(&s->sock, &room);
        if (s->closing) return;
        if (room == 0) {
            watch(s, s->watched & ~UV_READABLE);
            return;
        }
        ssize_t n = recv(s->fd, to, room, 0);
        if (n > 0) {
            s->sock.events->data(&s->sock, (size_t)n);
            if ((size_t)n < room) return;
        } else if (n == 0) {
            sock_end(s, 0, false);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            sock_fail(s, errno);
        }
    }
}

/* status < 0: the kernel reports an error on the socket; libuv has stopped watching. The bytes
 * before the error are still read, then recv tells which it was. */
static void sock_event(uv_poll_t *poll, int status, int events)
{
    struct sock_uv *s = poll->data;
    if (status < 0) {
        int number = 0;
        socklen_t bytes = sizeof number;
        s->watched = 0;
        sock_read(s);
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &number, &bytes);
        sock_fail(s, number);
        return;
    }
    if (events & UV_WRITABLE) {
        watch(s, s->watched & ~UV_WRITABLE);
        s->sock.events->drained(&s->sock);
    }
    if (!s->closing && (events & UV_READABLE)) sock_read(s);
}

/* One sendmsg over the next parts, from `skip` bytes into the first. */
static ssize_t send_parts(int fd, const struct sock_part *parts, size_t count, size_t skip)
{
    struct iovec iov[PARTS_MAX];
    size_t used = 0;
    for (size_t i = 0; i < count && used < PARTS_MAX; i++) {
        if (parts[i].bytes == skip) {
            skip = 0;
            continue;
        }
        iov[used++] = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)parts[i].at + skip,
                                     .iov_len = parts[i].bytes - skip};
        skip = 0;
    }
    if (used == 0) return 0;
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = used};
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

static ptrdiff_t uv_sock_write(struct sock *sock, const struct sock_part *parts, size_t count)
{
    struct sock_uv *s = sock_self(sock);
    size_t total = 0, taken = 0, at = 0, skip = 0;
    if (s->closing) return E_NET;
    for (size_t i = 0; i < count; i++)
        total += parts[i].bytes;
    while (taken < total) {
        ssize_t n = send_parts(s->fd, parts + at, count - at, skip);
        if (n < 0 && errno != EAGAIN) {
            sock_fail(s, errno);
            return E_NET;
        }
        if (n <= 0) {
            watch(s, s->watched | UV_WRITABLE);
            break;
        }
        taken += (size_t)n;
        for (skip += (size_t)n; at < count && skip >= parts[at].bytes; at++)
            skip -= parts[at].bytes;
    }
    return (ptrdiff_t)taken;
}

static void uv_sock_resume(struct sock *sock)
{
    struct sock_uv *s = sock_self(sock);
    watch(s, s->watched | UV_READABLE);
}

static void uv_sock_close(struct sock *sock)
{
    sock_end(sock_self(sock), E_CANCELED, false);
}

static void address_text(const union address *a, char *out, size_t bytes)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool v6 = a->any.sa_family == AF_INET6;
    unsigned port = ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port);
    if (v6) {
        uv_ip6_name(&a->v6, host, sizeof host);
        /* A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d; people expect a.b.c.d. */
        bool mapped = IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr);
        if (mapped)
            snprintf(out, bytes, "%s:%u", host + 7, port);
        else
            snprintf(out, bytes, "[%s]:%u", host, port);
        return;
    }
    if (a->any.sa_family == AF_INET) uv_ip4_name(&a->v4, host, sizeof host);
    snprintf(out, bytes, "%s:%u", host, port);
}

static void uv_peer_text(struct sock *sock, char *out, size_t bytes)
{
    address_text(&sock_self(sock)->peer, out, bytes);
}

static void uv_local_text(struct sock *sock, char *out, size_t bytes)
{
    address_text(&sock_self(sock)->local, out, bytes);
}

static const struct sock_ops sock_uv_ops = {
    .write = uv_sock_write,
    .resume = uv_sock_resume,
    .close = uv_sock_close,
    .peer_text = uv_peer_text,
    .local_text = uv_local_text,
};

/* Options that can't be had (a unix socket in a test, an odd kernel) don't end the connection. */
static void tune(int fd)
{
    static const struct {
        int level, name, value;
    } rows[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        setsockopt(fd, rows[i].level, rows[i].name, &rows[i].value, sizeof rows[i].value);
}

/* Takes over fd. NULL: libuv doesn't want it; fd is then closed. */
static struct sock_uv *sock_new(struct net_uv *net, int fd)
{
    struct sock_uv *s = check_alloc(sizeof *s);
    s->sock.ops = &sock_uv_ops;
    s->net = net;
    s->fd = fd;
    if (uv_poll_init(net->loop, &s->poll, fd) != 0) {
        close(fd);
        free(s);
        return NULL;
    }
    s->poll.data = s;
    net_ref(net);
    tune(fd);
    return s;
}

static void learn_addresses(struct sock_uv *s)
{
    socklen_t bytes = sizeof s->peer;
    getpeername(s->fd, &s->peer.any, &bytes);
    bytes = sizeof s->local;
    getsockname(s->fd, &s->local.any, &bytes);
}

/* ---- listening ---- */

static void accept_one(struct sock_listener *l, int fd)
{
    struct sock_uv *s = sock_new(l->net, fd);
    if (s == NULL) return;
    learn_addresses(s);
    l->accepted(l->ctx, &s->sock);
    if (s->closing) return;
    CHECK(s->sock.events != NULL);
    watch(s, s->watched | UV_READABLE);
}

/* Without a descriptor a waiting connection would make the poll spin: it is taken and closed. */
static void shed(struct sock_listener *l)
{
    if (l->net->spare_fd < 0) return;
    close(l->net->spare_fd);
    int fd = accept(l->fd, NULL, NULL);
    if (fd >= 0) close(fd);
    l->net->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_event(uv_poll_t *poll, int status, int events)
{
    struct sock_listener *l = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && !l->closing; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(l, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            shed(l);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void set_port(struct addrinfo *at, int port)
{
    union address *a = (union address *)(void *)at->ai_addr;
    if (at->ai_family == AF_INET6)
        a->v6.sin6_port = htons((uint16_t)port);
    else
        a->v4.sin_port = htons((uint16_t)port);
}

/* A listening descriptor, or an E_. */
static int listen_at(struct addrinfo *at, int port)
{
    const int on = 1, off = 0;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return E_NET;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    set_port(at, port);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int rc = errno == EADDRINUSE ? E_ADDRINUSE : errno == EACCES ? E_DENIED : E_NET;
    close(fd);
    return rc;
}

/* A name is resolved here and now: only at start, when the loop may wait. IPv4 is preferred, as
 * nats-server does for "localhost". */
static int listen_fd(const char *host, int port)
{
    struct addrinfo hints = {
        .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    const char *name = host == NULL || host[0] == 0 ? "0.0.0.0" : host;
    if (getaddrinfo(name, NULL, &hints, &found) != 0) {
        hints.ai_family = AF_UNSPEC;
        if (getaddrinfo(name, NULL, &hints, &found) != 0) return E_NET;
    }
    int fd = listen_at(found, port);
    freeaddrinfo(found);
    return fd;
}

static int real_port(int fd)
{
    union address a;
    socklen_t bytes = sizeof a;
    if (getsockname(fd, &a.any, &bytes) != 0) return 0;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

static int net_uv_listen(struct net *net,
                         const char *host,
                         int *port,
                         void (*accepted)(void *ctx, struct sock *s),
                         void *ctx,
                         struct sock_listener **out)
{
    struct net_uv *n = (struct net_uv *)(void *)net;
    if (*port < 0 || *port > UINT16_MAX) return E_INVAL;
    int fd = listen_fd(host, *port);
    if (fd < 0) return fd;
    struct sock_listener *l = check_alloc(sizeof *l);
    *l = (struct sock_listener){.net = n, .fd = fd, .accepted = accepted, .ctx = ctx};
    if (uv_poll_init(n->loop, &l->poll, fd) != 0) {
        close(fd);
        free(l);
        return E_NET;
    }
    l->poll.data = l;
    net_ref(n);
    int rc = uv_poll_start(&l->poll, UV_READABLE, listener_event);
    CHECK(rc == 0);
    *port = real_port(fd);
    *out = l;
    return 0;
}

static void listener_closed(uv_handle_t *handle)
{
    struct sock_listener *l = handle->data;
    close(l->fd);
    net_unref(l->net);
    free(l);
}

static void net_uv_unlisten(struct sock_listener *l)
{
    if (l == NULL || l->closing) return;
    l->closing = true;
    uv_close((uv_handle_t *)&l->poll, listener_closed);
}

/* ---- dialing ---- */

static void dial_release(struct dial *d)
{
    if (--d->handles > 0) return;
    struct net_uv *net = d->net;
    if (d->found != NULL) uv_freeaddrinfo(d->found);
    list_remove(&d->node);
    free(d);
    net_unref(net);
}

static void dial_timer_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    struct sock_uv *s = d->sock;
    d->sock = NULL;
    if (!d->net->freed) d->connected(d->ctx, d->rc, d->refused, s == NULL ? NULL : &s->sock);
    if (s != NULL && !s->closing) {
        CHECK(s->sock.events != NULL);
        watch(s, s->watched | UV_READABLE);
    }
    dial_release(d);
}

static void dial_over(struct dial *d, int rc)
{
    if (d->over) return;
    d->over = true;
    d->rc = rc;
    uv_close((uv_handle_t *)&d->timer, dial_timer_closed);
}

static void dial_next(struct dial *d);

/* Gives up the attempt at one address. */
static void attempt_drop(struct dial *d)
{
    if (d->sock == NULL) return;
    sock_end(d->sock, E_NET, false);
    d->sock = NULL;
}

static void attempt_event(uv_poll_t *poll, int status, int events)
{
    struct sock_uv *s = poll->data;
    struct dial *d = s->sock.owner;
    int number = 0;
    socklen_t bytes = sizeof number;
    (void)events;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &number, &bytes) != 0) number = errno;
    if (number == 0 && status < 0) number = ECONNREFUSED;
    if (number != 0) {
        d->refused = number == ECONNREFUSED;
        attempt_drop(d);
        dial_next(d);
        return;
    }
    uv_poll_stop(&s->poll);
    s->watched = 0;
    s->sock.owner = NULL;
    learn_addresses(s);
    d->refused = false;
    dial_over(d, 0);
}

static void attempt_timeout(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    d->refused = false;
    attempt_drop(d);
    dial_next(d);
}

/* The share of the time that the next address gets, in ms; 0: time is up. */
static uint64_t attempt_ms(const struct dial *d)
{
    uint64_t now_ns = uv_hrtime(), addresses = 0;
    if (now_ns >= d->end_ns) return 0;
    for (struct addrinfo *at = d->next; at != NULL; at = at->ai_next)
        addresses++;
    return (d->end_ns - now_ns) / addresses / NS_PER_MS + 1;
}

static bool attempt(struct dial *d, struct addrinfo *at, uint64_t ms)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    struct sock_uv *s = sock_new(d->net, fd);
    if (s == NULL) return false;
    s->sock.owner = d;
    d->sock = s;
    if (connect(fd, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
        d->refused = errno == ECONNREFUSED;
        attempt_drop(d);
        return false;
    }
    s->watched = UV_WRITABLE;
    int rc = uv_poll_start(&s->poll, UV_WRITABLE, attempt_event);
    CHECK(rc == 0);
    uv_timer_start(&d->timer, attempt_timeout, ms, 0);
    return true;
}

static void dial_next(struct dial *d)
{
    uv_timer_stop(&d->timer);
    while (d->next != NULL && !d->over) {
        uint64_t ms = attempt_ms(d);
        struct addrinfo *at = d->next;
        if (ms == 0) break;
        d->next = at->ai_next;
        if (attempt(d, at, ms)) return;
    }
    dial_over(d, E_NET);
}

static void dial_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct dial *d = CONTAINER_OF(resolve, struct dial, resolve);
    d->found = d->next = found;
    if (!d->over) {
        if (status != 0) d->next = NULL;
        dial_next(d);
    }
    dial_release(d);
}

/* A resolver that doesn't come back must not hold the caller longer than it asked for; the dial's
 * memory waits for it all the same. */
static void resolve_timeout(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    uv_cancel((uv_req_t *)&d->resolve);
    dial_over(d, E_NET);
}

static void net_uv_dial(struct net *net,
                        const char *host,
                        int port,
                        uint64_t timeout_ns,
                        void (*connected)(void *ctx, int rc, bool refused, struct sock *s),
                        void *ctx)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct net_uv *n = (struct net_uv *)(void *)net;
    struct dial *d = check_alloc(sizeof *d);
    char service[16];
    *d = (struct dial){.net = n, .connected = connected, .ctx = ctx, .handles = 1};
    d->end_ns = uv_hrtime() + timeout_ns;
    net_ref(n);
    list_push_back(&n->dials, &d->node);
    uv_timer_init(n->loop, &d->timer);
    d->timer.data = d;
    snprintf(service, sizeof service, "%d", port);
    uv_timer_start(&d->timer, resolve_timeout, timeout_ns / NS_PER_MS + 1, 0);
    if (uv_getaddrinfo(n->loop, &d->resolve, dial_resolved, host, service, &hints) != 0)
        dial_over(d, E_NET);
    else
        d->handles++;
}

/* ---- the factory ---- */

static const struct net_ops net_uv_ops = {
    .listen = net_uv_listen,
    .unlisten = net_uv_unlisten,
    .dial = net_uv_dial,
};

struct net *net_uv_new(struct env *env)
{
    struct net_uv *n = check_alloc(sizeof *n);
    n->net.ops = &net_uv_ops;
    n->loop = env_uv_loop(env);
    n->refs = 1;
    list_init(&n->dials);
    n->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    return &n->net;
}

/* Dials under way end without a word to their callers. */
void net_uv_free(struct net *net)
{
    struct net_uv *n = (struct net_uv *)(void *)net;
    if (n == NULL) return;
    n->freed = true;
    LIST_FOREACH (node, &n->dials) {
        struct dial *d = CONTAINER_OF(node, struct dial, node);
        attempt_drop(d);
        uv_cancel((uv_req_t *)&d->resolve);
        dial_over(d, E_CANCELED);
    }
    net_unref(n);
}
