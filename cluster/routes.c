/* routes.c - a route rests while its peer has links, greets, dials, or waits: 50 ms after the first
 * failure, doubling to 1 s, with jitter, for as long as it takes. */
#include "cluster/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_impl.h"
#include "cluster/greeter.h"
#include "cluster/peer.h"
#include "store/base/logger.h"

#define ROUTES_DIAL_NS (1 * NS_PER_S)
#define ROUTES_WAIT_NS (50 * NS_PER_MS)
#define ROUTES_WAIT_NS_MAX (1 * NS_PER_S)
#define ROUTES_POLITE_NS (30 * NS_PER_MS) /* the higher name waits, so that few dials cross */
#define ROUTES_LOG_EVERY 32               /* failed attempts: about twice a minute */
#define ROUTES_STALE_ATTEMPTS 64          /* of a learned route: about a minute */
#define ROUTES_STALE_NS (10 * NS_PER_S)
#define ROUTES_LEARNED_NS (100 * NS_PER_MS) /* configured routes go first */
#define ROUTES_SLOW_ATTEMPTS 5              /* where the wait has grown to its maximum */

struct dial {
    struct list_node node;   /* in cluster->dials */
    struct cluster *cluster; /* NULL: the cluster is gone */
    struct route *route;
    struct peer *peer; /* data link; NULL: control */
    uint64_t session;
};

static void *orphan_room(struct sock *s, size_t *bytes)
{
    (void)s;
    *bytes = 0;
    return NULL;
}
static void orphan_data(struct sock *s, size_t bytes)
{
    (void)s;
    (void)bytes;
}
static void orphan_drained(struct sock *s)
{
    (void)s;
}
static void orphan_closed(struct sock *s, int rc, bool reset)
{
    (void)s;
    (void)rc;
    (void)reset;
}

/* Closes a socket that nobody wants any more. */
static void orphan(struct sock *s)
{
    static const struct sock_events events = {.data = orphan_data,
                                              .room = orphan_room,
                                              .drained = orphan_drained,
                                              .closed = orphan_closed};
    if (s == NULL) return;
    s->events = &events;
    s->owner = NULL;
    s->ops->close(s);
}

static bool route_rests(const struct route *r)
{
    bool linked = r->peer != NULL && r->peer->links[HELLO_CONTROL] != NULL;
    return r->self || r->dialing || r->link != NULL || linked || r->cluster->closing;
}

static void route_wait(struct route *r)
{
    uint64_t wait_ns = ROUTES_WAIT_NS;
    for (unsigned i = 1; i < r->attempts && wait_ns < ROUTES_WAIT_NS_MAX; i++)
        wait_ns *= 2;
    if (wait_ns > ROUTES_WAIT_NS_MAX) wait_ns = ROUTES_WAIT_NS_MAX;
    /* Nobody vouches for it any more: it may have moved, and then its name is learned anew. */
    if (r->name[0] != 0 && r->attempts > ROUTES_STALE_ATTEMPTS) wait_ns = ROUTES_STALE_NS;
    uint64_t jitter_ns = env_random(r->cluster->o.env) % (wait_ns / 2);
    env_timer_start(&r->timer, wait_ns * 3 / 4 + jitter_ns);
}

static void route_dial(struct route *r, struct peer *data);

static void route_due(struct env_timer *t)
{
    struct route *r = CONTAINER_OF(t, struct route, timer);
    if (r->peer == NULL && r->name[0] != 0) r->peer = peer_by_name(r->cluster, text_of(r->name));
    if (!route_rests(r)) route_dial(r, NULL);
}

static void control_dialed(struct route *r, int rc, bool refused, struct sock *s)
{
    r->dialing = false;
    if (rc == 0) {
        bool rests = route_rests(r);
        if (rests) orphan(s);
        if (!rests) greeter_dialed(r, s);
        return;
    }
    if (r->attempts++ % ROUTES_LOG_EVERY == 0)
        LOG(INF, "Error trying to connect to route %s:%d (attempt %u): %s", r->host, r->port,
            r->attempts, refused ? "connection refused" : "no answer");
    if (refused && r->peer != NULL) peer_refused(r->peer);
    route_wait(r);
}

static void data_dialed(struct peer *p, uint64_t session, int rc, struct sock *s)
{
    bool current = p->session == session && p->links[HELLO_DATA] == NULL;
    if (rc != 0) {
        if (current) peer_drop(p, REASON_HALF, false);
    } else if (current) {
        greeter_dialed_data(p, s);
    } else {
        orphan(s);
    }
}

static void route_dialed(void *ctx, int rc, bool refused, struct sock *s)
{
    struct dial *d = ctx;
    list_remove(&d->node);
    if (d->cluster == NULL) {
        orphan(s);
    } else if (d->peer != NULL) {
        data_dialed(d->peer, d->session, rc, s);
    } else {
        control_dialed(d->route, rc, refused, s);
    }
    free(d);
}

static void route_dial(struct route *r, struct peer *data)
{
    struct cluster *c = r->cluster;
    struct dial *d = check_alloc(sizeof *d);
    d->cluster = c;
    d->route = r;
    d->peer = data;
    if (data == NULL) r->dialing = true;
    if (data != NULL) d->session = data->session;
    list_push_back(&c->dials, &d->node);
    c->o.net->ops->dial(c->o.net, r->host, r->port, ROUTES_DIAL_NS, route_dialed, d);
}

void routes_open(struct cluster *c, const struct cluster_route *routes, size_t count)
{
    c->routes = check_alloc((count + PEER_COUNT_MAX) * sizeof *c->routes);
    c->route_count = c->route_total = count;
    for (size_t i = 0; i < count; i++) {
        struct route *r = &c->routes[i];
        r->cluster = c;
        r->port = routes[i].port;
        snprintf(r->host, sizeof r->host, "%s", routes[i].host);
        env_timer_init(c->o.env, &r->timer, route_due);
        env_timer_start(&r->timer, 0);
    }
}

static struct route *route_of_name(struct cluster *c, const char *name)
{
    for (size_t i = c->route_count; i < c->route_total; i++) {
        if (strcmp(c->routes[i].name, name) == 0) return &c->routes[i];
    }
    return NULL;
}

static bool route_configured(const struct cluster *c, const char *host, int port)
{
    for (size_t i = 0; i < c->route_count; i++) {
        if (c->routes[i].port == port && strcmp(c->routes[i].host, host) == 0) return true;
    }
    return false;
}

void routes_learn(struct cluster *c, const char *name, const char *host, int port)
{
    const struct peer *p = peer_by_name(c, text_of(name));
    bool linked = p != NULL && p->links[HELLO_CONTROL] != NULL;
    if (linked || route_configured(c, host, port)) return;
    struct route *r = route_of_name(c, name);
    if (r == NULL) {
        if (c->route_total == c->route_count + PEER_COUNT_MAX) return;
        r = &c->routes[c->route_total++];
        r->cluster = c;
        snprintf(r->name, sizeof r->name, "%s", name);
        env_timer_init(c->o.env, &r->timer, route_due);
    } else if (r->port == port && strcmp(r->host, host) == 0 && r->attempts == 0) {
        return; /* it rests, or is on its way */
    }
    r->port = port;
    r->attempts = 0;
    snprintf(r->host, sizeof r->host, "%s", host);
    LOG(DBG, "Route to %s learned: %s:%d", name, host, port);
    bool lower = strcmp(c->o.node_name, name) < 0;
    if (!route_rests(r))
        env_timer_start(&r->timer, ROUTES_LEARNED_NS + (lower ? 0 : ROUTES_POLITE_NS));
}

void routes_close(struct cluster *c)
{
    for (size_t i = 0; i < c->route_total; i++)
        env_timer_stop(&c->routes[i].timer);
}

void routes_orphan(struct cluster *c)
{
    struct list_node *n;
    while ((n = list_pop_front(&c->dials)) != NULL) {
        CONTAINER_OF(n, struct dial, node)->cluster = NULL;
    }
}

void routes_identify(struct route *r, struct peer *p)
{
    r->peer = p;
}

void routes_self(struct route *r)
{
    r->self = true;
    LOG(DBG, "Route %s:%d leads to this node itself", r->host, r->port);
}

void routes_failed(struct route *r, enum hello_reason reason)
{
    r->link = NULL;
    bool crossed =
        reason == REASON_DUPLICATE || reason == REASON_STALE || reason == REASON_REPLACED;
    r->attempts++;
    if (!crossed && reason != REASON_NONE && r->attempts < ROUTES_SLOW_ATTEMPTS)
        r->attempts = ROUTES_SLOW_ATTEMPTS;
    if (!route_rests(r)) route_wait(r);
}

void routes_kick(struct peer *p)
{
    struct cluster *c = p->cluster;
    for (size_t i = 0; i < c->route_total; i++) {
        struct route *r = &c->routes[i];
        if (r->peer != p || route_rests(r)) continue;
        r->attempts = 0;
        env_timer_start(&r->timer, peer_arbiter(p) ? 0 : ROUTES_POLITE_NS);
    }
}

void routes_dial_data(struct route *r, struct peer *p)
{
    r->attempts = 0;
    route_dial(r, p);
}

/* Two routes may lead to one peer (a name and an address). */
static bool route_repeats(const struct cluster *c, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        const struct route *r = &c->routes[i];
        if (!r->self && r->peer != NULL && r->peer == c->routes[index].peer) return true;
    }
    return false;
}

size_t routes_expected(const struct cluster *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->route_count; i++) {
        if (!c->routes[i].self && !route_repeats(c, i)) count++;
    }
    return count;
}

const struct route *routes_missing(const struct cluster *c)
{
    for (size_t i = 0; i < c->route_count; i++) {
        const struct route *r = &c->routes[i];
        if (!r->self && (r->peer == NULL || !r->peer->pub.up)) return r;
    }
    return NULL;
}

bool routes_complete(const struct cluster *c)
{
    return routes_missing(c) == NULL;
}
