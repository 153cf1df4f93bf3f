/* cluster.c - the face: start, frames to whoever registered, peers, stop.
 *
 * Happy path: listen; each route dials (routes.c); a link greets (greeter.c), is decided on and
 * joins its peer (peer.c); both links open: watchers hear `up`, frames flow. One turn of the loop
 * ends in cluster_turn's callback: bulk that was sent in it goes out in one vectored write, peers
 * that must go are dropped there and not inside somebody's cluster_send. Stop: a last word to each
 * peer, sockets close, the last one to end frees. */
#include "cluster/cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster/cluster_impl.h"
#include "cluster/gossip.h"
#include "cluster/greeter.h"
#include "cluster/peer.h"
#include "cluster/routes.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define CLUSTER_SWEEP_NS (250 * NS_PER_MS)
#define CLUSTER_LOG_NS (10 * NS_PER_S) /* one line for each kind of refusal */

/* ---- the end of a turn ---- */

static void cluster_free(struct cluster *c)
{
    struct list_node *n;
    while ((n = list_pop_front(&c->peers)) != NULL)
        free(CONTAINER_OF(n, struct peer, node));
    bootstrap_free(c->bootstrap);
    const char *const texts[] = {c->o.cluster_name, c->o.node_name, c->o.user, c->o.password,
                                 c->o.client_urls};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        free((void *)(uintptr_t)texts[i]);
    free(c->routes);
    free(c);
}

static void cluster_turn_end(struct env_defer *d)
{
    struct cluster *c = CONTAINER_OF(d, struct cluster, turn);
    if (!c->closing) {
        LIST_FOREACH (n, &c->peers)
            peer_turn(CONTAINER_OF(n, struct peer, node));
        return;
    }
    if (!list_empty(&c->links)) return;
    void (*closed)(void *) = c->closed;
    void *ctx = c->closed_ctx;
    cluster_free(c);
    if (closed != NULL) closed(ctx);
}

void cluster_turn(struct cluster *c)
{
    env_defer(c->o.env, &c->turn);
}

/* ---- links ---- */

static void on_bye(struct link *l, const struct frame *f)
{
    struct hello h;
    if (handshake_decode(f->body, &h) != 0 || h.kind != HELLO_BYE) return;
    peer_drop(l->peer, h.reason, h.reason == REASON_STOPPING);
}

static void on_info(struct cluster *c, struct peer *p, struct slice body)
{
    struct reader r = reader_of(body.at, body.bytes);
    struct text urls = reader_text16(&r);
    if (r.bad || (urls.bytes != 0 && memchr(urls.at, 0, urls.bytes) != NULL)) return;
    peer_set_urls(p, urls);
    if (c->o.on_peer_info != NULL) c->o.on_peer_info(c->o.ctx, &p->pub);
}

static void cluster_frame(struct link *l, const struct frame *f)
{
    struct cluster *c = l->cluster;
    struct peer *p = l->peer;
    bool interest = f->type == FRAME_INTEREST && f->lane == CLUSTER_CONTROL;
    if (l->state == LINK_GREETING) {
        greeter_frame(l, f);
        return;
    }
    if (f->type == FRAME_HELLO) {
        on_bye(l, f);
    } else if (f->type == FRAME_INFO) {
        on_info(c, l->peer, f->body);
    } else if (f->type == FRAME_MEMBERS) {
        gossip_frame(l->peer, f->body);
    } else if (f->type < FRAME_TYPES && c->handlers[f->type].frame != NULL) {
        enum cluster_lane lane = (enum cluster_lane)f->lane;
        c->handlers[f->type].frame(c->handlers[f->type].ctx, &l->peer->pub, lane, f->body);
    } /* others are a later version's, sent before it knew ours */
    if (interest) peer_applied(p);
}

static bool cluster_ready(const struct link *l)
{
    return l->state == LINK_GREETING || (l->peer->pub.up && !l->holding);
}

static void cluster_failed(struct link *l, int rc)
{
    if (l->state == LINK_GREETING) {
        greeter_failed(l, rc);
        return;
    }
    if (rc != E_AGAIN)
        cluster_log_refusal(l->cluster, l->remote, REASON_MALFORMED, "sent a broken frame");
    peer_drop(l->peer, rc == E_AGAIN ? REASON_SILENT : REASON_MALFORMED, false);
}

static void cluster_gone(struct link *l, enum link_state was, bool dead)
{
    if (l->cluster->closing) return;
    if (was == LINK_GREETING)
        greeter_gone(l);
    else
        peer_drop(l->peer, REASON_NONE, dead);
}

static void cluster_freed(struct cluster *c)
{
    if (c->closing) cluster_turn(c);
}

const struct link_ops cluster_link_ops = {
    .frame = cluster_frame,
    .ready = cluster_ready,
    .failed = cluster_failed,
    .gone = cluster_gone,
    .freed = cluster_freed,
};

/* A loop that was held up has heard nobody: that is no silence of theirs. */
static void sweep_forgive(struct cluster *c, struct mono now)
{
    bool late = now.ns - c->swept.ns > LINK_PING_NS;
    c->swept = now;
    LIST_FOREACH (n, &c->links) {
        if (late) CONTAINER_OF(n, struct link, node)->heard = now;
    }
}

static void cluster_sweep(struct env_timer *t)
{
    struct cluster *c = CONTAINER_OF(t, struct cluster, sweep);
    struct mono now = env_mono(c->o.env);
    sweep_forgive(c, now);
    for (struct list_node *n = c->links.head.next, *next; n != &c->links.head; n = next) {
        next = n->next;
        link_sweep(CONTAINER_OF(n, struct link, node), now);
    }
    LIST_FOREACH (n, &c->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        bool half = p->links[HELLO_CONTROL] != NULL && !p->pub.up;
        if (half && now.ns - p->since.ns > PEER_PAIR_NS) peer_drop(p, REASON_HALF, false);
    }
    env_timer_start(&c->sweep, CLUSTER_SWEEP_NS);
}

/* ---- for the other files of this folder ---- */

struct hello cluster_hello(const struct cluster *c)
{
    return (struct hello){
        .kind = HELLO_GREET,
        .id = c->o.id,
        .incarnation = c->o.incarnation,
        .boots = c->o.boots,
        .feature = HANDSHAKE_FEATURE_LEVEL,
        .cluster = text_of(c->o.cluster_name),
        .name = text_of(c->o.node_name),
        .user = text_of(c->o.user),
        .password = text_of(c->o.password),
        .client_urls = text_of(c->o.client_urls),
        .listen = text_of(c->listen),
    };
}

void cluster_log_refusal(struct cluster *c,
                         const char *who,
                         enum hello_reason reason,
                         const char *what)
{
    struct mono now = env_mono(c->o.env);
    bool first = c->refused[reason].ns == 0;
    if (!first && now.ns - c->refused[reason].ns < CLUSTER_LOG_NS) {
        c->swallowed[reason]++;
        return;
    }
    char more[48] = "";
    if (c->swallowed[reason] > 0)
        snprintf(more, sizeof more, " (and %u times more)", c->swallowed[reason]);
    const char *why = reason == REASON_MALFORMED ? "" : handshake_reason_text(reason);
    LOG_CODE(WRN, LOG_PEER, "Cluster: %s %s%s%s%s", who, what, why[0] == 0 ? "" : ": ", why, more);
    c->refused[reason] = now;
    c->swallowed[reason] = 0;
}

void cluster_notify(struct peer *p, bool up, bool dead)
{
    struct cluster *c = p->cluster;
    if (c->closing) return;
    if (up && c->o.on_peer_up != NULL) c->o.on_peer_up(c->o.ctx, &p->pub);
    if (!up && c->o.on_peer_down != NULL) c->o.on_peer_down(c->o.ctx, &p->pub, dead);
    for (struct list_node *n = c->watchers.head.next, *next; n != &c->watchers.head; n = next) {
        struct cluster_watcher *w = CONTAINER_OF(n, struct cluster_watcher, node);
        next = n->next;
        if (up && w->up != NULL) w->up(w, &p->pub);
        if (!up && w->down != NULL) w->down(w, &p->pub, dead);
    }
}

/* ---- the face ---- */

static void cluster_copy_options(struct cluster *c, const struct cluster_options *o)
{
    c->o = *o;
    c->o.cluster_name = check_strdup(o->cluster_name == NULL ? "" : o->cluster_name);
    c->o.node_name = check_strdup(o->node_name);
    c->o.user = check_strdup(o->user == NULL ? "" : o->user);
    c->o.password = check_strdup(o->password == NULL ? "" : o->password);
    c->o.client_urls = check_strdup(o->client_urls == NULL ? "" : o->client_urls);
    c->o.routes = NULL;
    c->o.advertise = NULL;
}

int cluster_open(const struct cluster_options *o, struct cluster **out)
{
    struct cluster *c = check_alloc(sizeof *c);
    cluster_copy_options(c, o);
    list_init(&c->links);
    list_init(&c->peers);
    list_init(&c->dials);
    list_init(&c->watchers);
    c->turn.cb = cluster_turn_end;
    c->port = o->port;
    int rc = o->net->ops->listen(o->net, o->host, &c->port, greeter_accepted, c, &c->listener);
    if (rc != 0) {
        cluster_free(c);
        return rc;
    }
    if (c->o.password[0] == 0)
        LOG_CODE(WRN, LOG_CLUSTER_AUTH,
                 "Whoever reaches port %d can join this cluster: no password is set", c->port);
    env_timer_init(o->env, &c->sweep, cluster_sweep);
    env_timer_start(&c->sweep, CLUSTER_SWEEP_NS);
    c->swept = env_mono(o->env);
    gossip_listen(c, o->host, o->advertise);
    routes_open(c, o->routes, o->route_count);
    *out = c;
    return 0;
}

void cluster_close(struct cluster *c, void (*done)(void *ctx), void *ctx)
{
    CHECK(!c->closing);
    c->closing = true;
    c->closed = done;
    c->closed_ctx = ctx;
    env_timer_stop(&c->sweep);
    routes_close(c);
    routes_orphan(c);
    c->o.net->ops->unlisten(c->listener);
    for (struct list_node *n = c->links.head.next, *next; n != &c->links.head; n = next) {
        struct link *l = CONTAINER_OF(n, struct link, node);
        next = n->next;
        link_flush(l);
        link_close(l, HELLO_BYE, REASON_STOPPING);
    }
    cluster_turn(c);
}

int cluster_port(const struct cluster *c)
{
    return c->port;
}

void cluster_set_client_urls(struct cluster *c, const char *client_urls)
{
    free((void *)(uintptr_t)c->o.client_urls);
    c->o.client_urls = check_strdup(client_urls);
    LIST_FOREACH (n, &c->peers) {
        struct writer w;
        writer_init(&w, 64);
        writer_text16(&w, text_of(client_urls));
        struct slice body = writer_take(&w);
        peer_send(CONTAINER_OF(n, struct peer, node), CLUSTER_CONTROL, FRAME_INFO, &body, 1);
    }
}

void cluster_watch(struct cluster *c, struct cluster_watcher *w)
{
    list_push_back(&c->watchers, &w->node);
}

void cluster_unwatch(struct cluster_watcher *w)
{
    list_remove(&w->node);
}

void cluster_on(
    struct cluster *c,
    enum frame_type type,
    void (*frame)(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body),
    void *ctx)
{
    c->handlers[type].frame = frame;
    c->handlers[type].ctx = ctx;
}

void cluster_send(struct cluster *c,
                  node_id peer,
                  enum cluster_lane lane,
                  enum frame_type type,
                  struct slice *parts,
                  size_t count)
{
    struct peer *p = c->closing ? NULL : peer_by_id(c, peer);
    if (p != NULL) {
        peer_send(p, lane, type, parts, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        slice_release(&parts[i]);
}

size_t cluster_queued(struct cluster *c, node_id peer, enum cluster_lane lane)
{
    const struct peer *p = peer_by_id(c, peer);
    if (p == NULL || !p->pub.up) return 0;
    return p->links[lane == CLUSTER_CONTROL ? HELLO_CONTROL : HELLO_DATA]->lanes.bytes[lane];
}

struct cluster_peer *cluster_peer(struct cluster *c, node_id id)
{
    struct peer *p = peer_by_id(c, id);
    return p == NULL ? NULL : &p->pub;
}

struct cluster_peer *cluster_peer_next(struct cluster *c, struct cluster_peer *at)
{
    struct list_node *n = c->peers.head.next;
    if (at != NULL) n = CONTAINER_OF(at, struct peer, pub)->node.next;
    return n == &c->peers.head ? NULL : &CONTAINER_OF(n, struct peer, node)->pub;
}

size_t cluster_expected(const struct cluster *c)
{
    return routes_expected(c);
}
