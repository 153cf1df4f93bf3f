/* sim_net.c - see sim_net.h.
 *
 * A connection is two ends and, to each end, a pipe: bytes under way, then bytes that wait to be
 * read. A direction that is blocked holds its bytes back, as a kernel that repeats them. The end of
 * a connection travels in the pipe behind the bytes; a reset overtakes them. Ends belong to the
 * world, not to processes, and are never freed: a seed's process is short. */
#include "tests/sim/sim_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"

#define WINDOW_BYTES KIB(128)
#define DIAL_AGAIN_NS (200 * NS_PER_MS)
#define SILENT_NS (60 * NS_PER_S) /* the kernel's keepalive gives up */
#define PORT_FIRST 40000

struct piece {
    struct list_node node;
    uint64_t at_ns;
    size_t from; /* bytes of it read */
    struct slice bytes;
    bool last; /* no bytes: the peer closed */
};
struct pipe {
    struct list pieces;
    size_t bytes;
    uint64_t last_ns;
};
struct conn;
struct end {
    struct sock sock; /* first: callers hold this */
    struct conn *conn;
    unsigned side, machine, port;
    struct sim_env *env; /* NULL: the process is gone */
    struct pipe in;
    bool ready;                /* its owner has it */
    bool full, reading, ended; /* room gave 0; a read is due; closed() is due or was told */
    bool wants_drained;
};
struct conn {
    struct list_node node;
    struct sim_net *net;
    struct end ends[2]; /* [0] dialled */
};
struct sock_listener {
    struct list_node node;
    struct sim_net *net;
    unsigned machine;
    int port;
    struct sim_env *env;
    void (*accepted)(void *ctx, struct sock *s);
    void *ctx;
};
struct host {
    struct net net; /* first: callers hold this */
    struct sim_net *world;
    unsigned number;
    struct sim_env *env;
};
struct sim_net {
    struct sim *sim;
    struct host *hosts[NET_MACHINES]; /* NULL: off */
    bool kernel[NET_MACHINES];
    bool blocked[NET_MACHINES][NET_MACHINES];
    struct list conns, listeners;
    uint64_t low_ns, high_ns;
    int port_next;
};

struct end_event {
    struct sim_event event;
    struct end *end;
    int rc;
    bool reset;
};

static struct end *end_of(struct sock *s)
{
    return CONTAINER_OF(s, struct end, sock);
}
static struct end *other(struct end *e)
{
    return &e->conn->ends[1 - e->side];
}
static uint64_t latency(struct sim_net *n)
{
    return sim_between(n->sim, n->low_ns, n->high_ns);
}
static bool open_path(const struct sim_net *n, unsigned a, unsigned b)
{
    return n->kernel[a] && n->kernel[b] && !n->blocked[a][b] && !n->blocked[b][a];
}

/* ---- an end is over ---- */

static void closed_run(struct sim_event *event)
{
    struct end_event *ee = (struct end_event *)(void *)event;
    struct end *e = ee->end;
    if (e->sock.events != NULL) e->sock.events->closed(&e->sock, ee->rc, ee->reset);
}

static void end_over(struct end *e, int rc, bool reset, uint64_t delay_ns)
{
    if (e->ended || e->env == NULL) return;
    e->ended = true;
    struct sim_event *event = sim_event_new(sizeof(struct end_event), closed_run);
    struct end_event *ee = (struct end_event *)(void *)event;
    ee->end = e;
    ee->rc = rc;
    ee->reset = reset;
    sim_at(e->conn->net->sim, delay_ns, e->env, event);
}

/* ---- bytes ---- */

static void pipe_drop(struct pipe *p)
{
    for (struct list_node *n; (n = list_pop_front(&p->pieces)) != NULL;) {
        struct piece *piece = CONTAINER_OF(n, struct piece, node);
        slice_release(&piece->bytes);
        free(piece);
    }
    p->bytes = 0;
}

static void drained_run(struct sim_event *event)
{
    struct end *e = ((struct end_event *)(void *)event)->end;
    if (e->ended || !e->wants_drained) return;
    e->wants_drained = false;
    e->sock.events->drained(&e->sock);
}

/* The reader took something: the writer may go on. */
static void window_opens(struct end *writer)
{
    if (!writer->wants_drained || writer->env == NULL || writer->ended) return;
    struct sim_event *event = sim_event_new(sizeof(struct end_event), drained_run);
    ((struct end_event *)(void *)event)->end = writer;
    sim_at(writer->conn->net->sim, latency(writer->conn->net), writer->env, event);
}

static struct piece *arrived(const struct end *e)
{
    struct list_node *n = list_first(&e->in.pieces);
    struct piece *p = n == NULL ? NULL : CONTAINER_OF(n, struct piece, node);
    struct sim_net *net = e->conn->net;
    unsigned from = e->conn->ends[1 - e->side].machine;
    if (p == NULL || p->at_ns > net->sim->now_ns || net->blocked[from][e->machine]) return NULL;
    return p;
}

static void piece_done(struct end *e, struct piece *p)
{
    list_remove(&p->node);
    slice_release(&p->bytes);
    free(p);
    window_opens(other(e));
}

/* One call of data; false: nothing more now. */
static bool read_some(struct end *e)
{
    struct piece *p = arrived(e);
    size_t room = 0;
    if (p == NULL || e->ended || e->full) return false;
    if (p->last) {
        piece_done(e, p);
        end_over(e, 0, false, 0);
        return false;
    }
    void *to = e->sock.events->room(&e->sock, &room);
    if (e->ended) return false;
    e->full = room == 0;
    if (room == 0) return false;
    size_t bytes = p->bytes.bytes - p->from;
    if (bytes > room) bytes = room;
    if (bytes > 1 && sim_chance(e->conn->net->sim, 100))
        bytes = (size_t)sim_between(e->conn->net->sim, 1, bytes);
    memcpy(to, p->bytes.at + p->from, bytes);
    p->from += bytes;
    e->in.bytes -= bytes;
    if (p->from == p->bytes.bytes) piece_done(e, p);
    e->sock.events->data(&e->sock, bytes);
    return true;
}

static void read_run(struct sim_event *event)
{
    struct end *e = ((struct end_event *)(void *)event)->end;
    e->reading = false;
    while (read_some(e))
        continue;
}

static void read_soon(struct end *e)
{
    if (e->reading || !e->ready || e->ended || e->env == NULL || arrived(e) == NULL) return;
    e->reading = true;
    struct sim_event *event = sim_event_new(sizeof(struct end_event), read_run);
    ((struct end_event *)(void *)event)->end = e;
    sim_at(e->conn->net->sim, 0, e->env, event);
}

static void arrival_run(struct sim_event *event)
{
    struct end *e = ((struct end_event *)(void *)event)->end;
    struct sim_net *n = e->conn->net;
    struct end *sender = other(e);
    if (e->env == NULL && n->kernel[e->machine] && !n->blocked[e->machine][sender->machine])
        end_over(sender, E_NET, true, latency(n)); /* nobody is there any more: reset */
    read_soon(e);
}

static void put(struct end *to, struct slice bytes, bool last)
{
    struct sim_net *n = to->conn->net;
    struct piece *p = check_alloc(sizeof *p);
    p->bytes = bytes;
    p->last = last;
    p->at_ns = n->sim->now_ns + latency(n) + bytes.bytes * 4;
    if (p->at_ns < to->in.last_ns) p->at_ns = to->in.last_ns;
    to->in.last_ns = p->at_ns;
    to->in.bytes += bytes.bytes;
    list_push_back(&to->in.pieces, &p->node);
    struct sim_event *event = sim_event_new(sizeof(struct end_event), arrival_run);
    ((struct end_event *)(void *)event)->end = to;
    sim_at(n->sim, p->at_ns - n->sim->now_ns, NULL, event);
}

/* ---- sock.h ---- */

static ptrdiff_t end_write(struct sock *s, const struct sock_part *parts, size_t count)
{
    struct end *e = end_of(s), *to = other(e);
    struct sim_net *n = e->conn->net;
    size_t total = 0, copied = 0;
    if (e->ended) return E_NET;
    for (size_t i = 0; i < count; i++)
        total += parts[i].bytes;
    size_t room = to->in.bytes >= WINDOW_BYTES ? 0 : WINDOW_BYTES - to->in.bytes;
    size_t bytes = total < room ? total : room;
    if (bytes > 1 && sim_chance(n->sim, 20)) bytes = (size_t)sim_between(n->sim, 1, bytes);
    if (bytes < total) e->wants_drained = true;
    struct slice whole = slice_alloc(bytes);
    for (size_t i = 0; i < count && copied < bytes; i++) {
        size_t part = parts[i].bytes < bytes - copied ? parts[i].bytes : bytes - copied;
        if (part != 0) memcpy(whole.at + copied, parts[i].at, part);
        copied += part;
    }
    if (bytes > 0) put(to, whole, false);
    if (bytes == 0) slice_release(&whole);
    if (e->wants_drained && to->in.bytes < WINDOW_BYTES) window_opens(e);
    return (ptrdiff_t)bytes;
}

static void end_resume(struct sock *s)
{
    struct end *e = end_of(s);
    e->full = false;
    read_soon(e);
}

static void end_close(struct sock *s)
{
    struct end *e = end_of(s);
    if (e->ended) return;
    end_over(e, E_CANCELED, false, 0);
    pipe_drop(&e->in);
    put(other(e), (struct slice){0}, true);
}

static void end_peer_text(struct sock *s, char *out, size_t bytes)
{
    struct end *e = other(end_of(s));
    snprintf(out, bytes, "10.0.0.%u:%u", e->machine, e->port);
}

static void end_local_text(struct sock *s, char *out, size_t bytes)
{
    struct end *e = end_of(s);
    snprintf(out, bytes, "10.0.0.%u:%u", e->machine, e->port);
}

static const struct sock_ops end_ops = {.write = end_write,
                                        .resume = end_resume,
                                        .close = end_close,
                                        .peer_text = end_peer_text,
                                        .local_text = end_local_text};

/* ---- listening and dialling ---- */

static struct sock_listener *listener_at(struct sim_net *n, unsigned machine, int port)
{
    LIST_FOREACH (node, &n->listeners) {
        struct sock_listener *l = CONTAINER_OF(node, struct sock_listener, node);
        if (l->machine == machine && l->port == port) return l;
    }
    return NULL;
}

static int host_listen(struct net *net,
                       const char *host,
                       int *port,
                       void (*accepted)(void *ctx, struct sock *s),
                       void *ctx,
                       struct sock_listener **out)
{
    struct host *h = CONTAINER_OF(net, struct host, net);
    (void)host;
    if (*port == 0) *port = h->world->port_next++;
    if (listener_at(h->world, h->number, *port) != NULL) return E_ADDRINUSE;
    struct sock_listener *l = check_alloc(sizeof *l);
    *l = (struct sock_listener){.net = h->world,
                                .machine = h->number,
                                .port = *port,
                                .env = h->env,
                                .accepted = accepted,
                                .ctx = ctx};
    list_push_back(&h->world->listeners, &l->node);
    *out = l;
    return 0;
}

static void host_unlisten(struct sock_listener *l)
{
    list_remove(&l->node);
    free(l);
}

struct dial_event {
    struct sim_event event;
    struct host *host;
    unsigned machine;
    int port;
    uint64_t until_ns;
    void (*connected)(void *ctx, int rc, bool refused, struct sock *s);
    void *ctx;
    int rc;
    bool refused;
    struct end *end;
};

static void end_ready(struct end *e)
{
    e->ready = true;
    if (e->sock.events == NULL) return; /* closed from inside */
    read_soon(e);
}

static void dialled_run(struct sim_event *event)
{
    struct dial_event *d = (struct dial_event *)(void *)event;
    struct end *e = d->end;
    if (e != NULL && e->ended) { /* reset before it was told */
        d->connected(d->ctx, E_NET, false, NULL);
        return;
    }
    d->connected(d->ctx, d->rc, d->refused, e == NULL ? NULL : &e->sock);
    if (e != NULL) end_ready(e);
}

static void
tell_dialler(const struct dial_event *d, int rc, bool refused, struct end *e, uint64_t delay_ns)
{
    struct sim_event *event = sim_event_new(sizeof(struct dial_event), dialled_run);
    struct dial_event *told = (struct dial_event *)(void *)event;
    told->connected = d->connected;
    told->ctx = d->ctx;
    told->rc = rc;
    told->refused = refused;
    told->end = e;
    sim_at(d->host->world->sim, delay_ns, d->host->env, event);
}

struct accept_event {
    struct sim_event event;
    struct sock_listener *listener;
    struct sim_net *net;
    unsigned machine;
    int port;
    struct end *end;
};

static void accept_run(struct sim_event *event)
{
    struct accept_event *a = (struct accept_event *)(void *)event;
    struct sock_listener *l = listener_at(a->net, a->machine, a->port);
    struct end *e = a->end;
    if (l == NULL || e->ended) {
        end_over(other(e), E_NET, true, latency(a->net));
        e->ended = true;
        return;
    }
    l->accepted(l->ctx, &e->sock);
    end_ready(e);
}

static struct conn *connect_to(struct dial_event *d, struct sock_listener *l, uint64_t delay_ns)
{
    struct sim_net *n = d->host->world;
    struct conn *c = check_alloc(sizeof *c);
    c->net = n;
    for (unsigned s = 0; s < 2; s++) {
        struct end *e = &c->ends[s];
        e->sock.ops = &end_ops;
        e->conn = c;
        e->side = s;
        list_init(&e->in.pieces);
    }
    c->ends[0].machine = d->host->number;
    c->ends[0].env = d->host->env;
    c->ends[0].port = (unsigned)n->port_next++;
    c->ends[0].in.last_ns = n->sim->now_ns + delay_ns;
    c->ends[1].machine = l->machine;
    c->ends[1].env = l->env;
    c->ends[1].port = (unsigned)l->port;
    list_push_back(&n->conns, &c->node);
    return c;
}

static void dial_later(const struct dial_event *d, uint64_t delay_ns);

static void dial_run(struct sim_event *event)
{
    struct dial_event *d = (struct dial_event *)(void *)event;
    struct sim_net *n = d->host->world;
    if (n->hosts[d->host->number] != d->host) return; /* its process is gone */
    if (d->machine >= NET_MACHINES || n->sim->now_ns >= d->until_ns) {
        tell_dialler(d, E_NET, false, NULL, 0);
        return;
    }
    if (!open_path(n, d->host->number, d->machine)) {
        dial_later(d, DIAL_AGAIN_NS);
        return;
    }
    struct sock_listener *l = listener_at(n, d->machine, d->port);
    uint64_t delay_ns = latency(n);
    if (l == NULL) {
        tell_dialler(d, E_NET, true, NULL, delay_ns);
        return;
    }
    struct conn *c = connect_to(d, l, delay_ns);
    struct sim_event *accept = sim_event_new(sizeof(struct accept_event), accept_run);
    struct accept_event *a = (struct accept_event *)(void *)accept;
    a->net = n;
    a->machine = d->machine;
    a->port = d->port;
    a->end = &c->ends[1];
    sim_at(n->sim, 0, l->env, accept);
    tell_dialler(d, 0, false, &c->ends[0], delay_ns);
}

static void dial_later(const struct dial_event *d, uint64_t delay_ns)
{
    struct sim_event *event = sim_event_new(sizeof(struct dial_event), dial_run);
    struct sim_event head = *event;
    struct dial_event *copy = (struct dial_event *)(void *)event;
    *copy = *d;
    copy->event = head;
    sim_at(d->host->world->sim, delay_ns, NULL, event);
}

static void host_dial(struct net *net,
                      const char *host,
                      int port,
                      uint64_t timeout_ns,
                      void (*connected)(void *ctx, int rc, bool refused, struct sock *s),
                      void *ctx)
{
    struct host *h = CONTAINER_OF(net, struct host, net);
    bool known = host[0] == 'n' && host[1] >= '0' && host[1] < '0' + NET_MACHINES && host[2] == 0;
    struct dial_event d = {.host = h,
                           .machine = known ? (unsigned)(host[1] - '0') : NET_MACHINES,
                           .port = port,
                           .until_ns = h->world->sim->now_ns + timeout_ns,
                           .connected = connected,
                           .ctx = ctx};
    dial_later(&d, latency(h->world));
}

static const struct net_ops host_ops = {.listen = host_listen,
                                        .unlisten = host_unlisten,
                                        .dial = host_dial};

/* ---- machines ---- */

struct net *sim_net_attach(struct sim_net *n, unsigned number, struct sim_env *env)
{
    CHECK(number < NET_MACHINES);
    struct host *h = check_alloc(sizeof *h);
    *h = (struct host){.net = {.ops = &host_ops}, .world = n, .number = number, .env = env};
    n->hosts[number] = h;
    n->kernel[number] = true;
    return &h->net;
}

static void silent_run(struct sim_event *event)
{
    end_over(((struct end_event *)(void *)event)->end, E_NET, false, 0);
}

/* Its own kernel's keepalive gives up in the end, unless a reset comes before. */
static void expect_silence(struct end *e)
{
    if (e->ended || e->env == NULL) return;
    struct sim_event *event = sim_event_new(sizeof(struct end_event), silent_run);
    ((struct end_event *)(void *)event)->end = e;
    sim_at(e->conn->net->sim, SILENT_NS, NULL, event);
}

/* Killed: the peers' ends hear of it, by a reset or as if it had been closed. Off: they find out
 * when they write and the machine is back, or by their own kernel's keepalive. */
static void end_dies(struct end *e, bool killed)
{
    struct sim_net *n = e->conn->net;
    struct end *peer = other(e);
    e->env = NULL;
    pipe_drop(&e->in);
    if (killed && sim_chance(n->sim, 500) && !n->blocked[e->machine][peer->machine])
        end_over(peer, E_NET, true, latency(n));
    else if (killed)
        put(peer, (struct slice){0}, true);
    else
        expect_silence(peer);
}

void sim_net_detach(struct sim_net *n, unsigned number, bool killed)
{
    n->hosts[number] = NULL;
    n->kernel[number] = killed;
    LIST_FOREACH_SAFE (node, tmp, &n->listeners) {
        struct sock_listener *l = CONTAINER_OF(node, struct sock_listener, node);
        if (l->machine == number) host_unlisten(l);
    }
    LIST_FOREACH (node, &n->conns) {
        struct conn *c = CONTAINER_OF(node, struct conn, node);
        for (unsigned s = 0; s < 2; s++) {
            if (c->ends[s].machine == number && c->ends[s].env != NULL)
                end_dies(&c->ends[s], killed);
        }
    }
}

struct sim_net *sim_net_new(struct sim *s)
{
    struct sim_net *n = check_alloc(sizeof *n);
    n->sim = s;
    n->port_next = PORT_FIRST;
    list_init(&n->conns);
    list_init(&n->listeners);
    sim_net_latency(n, 50 * NS_PER_US, NS_PER_MS);
    return n;
}

void sim_net_block(struct sim_net *n, unsigned from, unsigned to, bool blocked)
{
    n->blocked[from][to] = blocked;
    if (blocked) return;
    LIST_FOREACH (node, &n->conns) {
        struct conn *c = CONTAINER_OF(node, struct conn, node);
        read_soon(&c->ends[0]);
        read_soon(&c->ends[1]);
    }
}

void sim_net_break(struct sim_net *n, unsigned a, unsigned b)
{
    LIST_FOREACH (node, &n->conns) {
        struct conn *c = CONTAINER_OF(node, struct conn, node);
        unsigned x = c->ends[0].machine, y = c->ends[1].machine;
        if (!(x == a && y == b) && !(x == b && y == a)) continue;
        end_over(&c->ends[0], E_NET, true, latency(n));
        end_over(&c->ends[1], E_NET, true, latency(n));
    }
}

void sim_net_latency(struct sim_net *n, uint64_t low_ns, uint64_t high_ns)
{
    n->low_ns = low_ns;
    n->high_ns = high_ns;
}
