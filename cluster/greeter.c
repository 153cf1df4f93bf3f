/* greeter.c - see greeter.h for the exchange. Each way out of it goes through greeter_end, which
 * frees the route to dial again, or drops the pair that a data link would have completed. */
#include "cluster/greeter.h"

#include <stdio.h>

#include "cluster/cluster_impl.h"
#include "cluster/gossip.h"
#include "cluster/peer.h"
#include "cluster/routes.h"
#include "store/base/err.h"
#include "store/base/logger.h"

/* A nats-server, a client or a browser prints or logs it. */
static const char foreign_text[] = "-ERR 'this is a Gannet cluster port: the routes of nats-server "
                                   "and NATS clients are not spoken here'\r\n";

static void greeter_ended(struct link *l, enum hello_reason reason)
{
    struct route *route = l->route;
    l->route = NULL;
    if (route != NULL) routes_failed(route, reason);
    bool half = l->dialed && l->kind == HELLO_DATA && l->peer->session == l->session;
    if (half) peer_drop(l->peer, REASON_HALF, false);
}

static void greeter_end(struct link *l, enum hello_kind kind, enum hello_reason reason)
{
    link_close(l, kind, reason);
    greeter_ended(l, reason);
}

/* Who that is, for a log line. */
static const char *greeter_who(const struct link *l, char *out, size_t bytes)
{
    if (l->route != NULL)
        snprintf(out, bytes, "route %s:%d", l->route->host, l->route->port);
    else
        snprintf(out, bytes, "%s%s%s", l->peer == NULL ? "" : l->peer->pub.name,
                 l->peer == NULL ? "" : " at ", l->remote);
    return out;
}

static void greeter_greet(struct link *l)
{
    struct hello h = cluster_hello(l->cluster);
    h.link = l->kind;
    h.session = l->session;
    if (l->kind == HELLO_DATA && l->dialed) h.target = text_of(l->peer->pub.name);
    link_hello(l, &h);
}

static struct link *greeter_new(struct cluster *c, struct sock *s)
{
    struct link *l = link_new(c, c->o.env, s, &cluster_link_ops);
    list_push_back(&c->links, &l->node);
    return l;
}

void greeter_accepted(void *cluster, struct sock *s)
{
    struct cluster *c = cluster;
    size_t greeting = 0;
    LIST_FOREACH (n, &c->links) {
        const struct link *l = CONTAINER_OF(n, struct link, node);
        greeting += l->state == LINK_GREETING && !l->dialed;
    }
    if (c->closing || greeting >= CLUSTER_GREETING_MAX) {
        s->ops->close(s);
        return;
    }
    greeter_new(c, s);
}

void greeter_dialed(struct route *r, struct sock *s)
{
    struct link *l = greeter_new(r->cluster, s);
    l->dialed = true;
    l->kind = HELLO_CONTROL;
    l->route = r;
    r->link = l;
    greeter_greet(l);
}

void greeter_dialed_data(struct peer *p, struct sock *s)
{
    struct link *l = greeter_new(p->cluster, s);
    l->dialed = true;
    l->kind = HELLO_DATA;
    l->peer = p;
    l->session = p->session;
    greeter_greet(l);
}

/* ---- decisions ---- */

static void greeter_refuse(struct link *l, enum hello_reason reason)
{
    char who[400];
    bool quiet = reason == REASON_SELF || reason == REASON_DUPLICATE || reason == REASON_STALE;
    if (!quiet)
        cluster_log_refusal(l->cluster, greeter_who(l, who, sizeof who), reason, "is refused");
    greeter_end(l, HELLO_REFUSE, reason);
}

/* The lower name's word on a control link. */
static void greeter_arbitrate(struct link *l, struct peer *p)
{
    if (!peer_offer(p, l)) {
        greeter_refuse(l, REASON_DUPLICATE);
        return;
    }
    do {
        l->session = env_random(l->env);
    } while (l->session == 0);
    struct hello accept = {.kind = HELLO_ACCEPT, .session = l->session};
    link_hello(l, &accept);
    peer_link_open(p, l);
}

static void greeter_control(struct link *l, struct peer *p)
{
    l->peer = p;
    if (l->route != NULL) routes_identify(l->route, p);
    if (!l->dialed) greeter_greet(l);
    if (peer_arbiter(p)) greeter_arbitrate(l, p);
}

/* A data link belongs to the session of the control link that is open, or to nothing. */
static void greeter_data(struct link *l, struct peer *p, const struct hello *h)
{
    bool current = p != NULL && p->session != 0 && p->session == h->session && p->pub.id == h->id &&
                   p->links[HELLO_CONTROL] != NULL && p->links[HELLO_DATA] == NULL;
    if (l->dialed) current = current && l->peer == p && l->session == h->session;
    if (!current) {
        greeter_refuse(l, REASON_STALE);
        return;
    }
    l->session = h->session;
    l->peer = p;
    if (!l->dialed) greeter_greet(l);
    peer_link_open(p, l);
}

/* Everybody above knows a node by its id alone: two records of one would share votes and messages.
 * A node that comes back under another name takes it along. */
static bool greeter_id_taken(struct cluster *c, const struct peer *p, const struct hello *h)
{
    if (h->id == c->o.id) return true;
    struct peer *other = peer_by_id(c, h->id);
    if (other == NULL || other == p) return false;
    if (other->links[HELLO_CONTROL] != NULL) return true;
    peer_forget(other);
    return false;
}

static void greeter_judge(struct link *l, const struct hello *h)
{
    struct cluster *c = l->cluster;
    struct hello self = cluster_hello(c);
    struct peer *p = peer_by_name(c, h->name);
    struct handshake_known known = peer_known(p, env_mono(l->env));
    struct handshake_verdict v = handshake_judge(&self, &known, h);
    if (v.refuse == REASON_SELF && l->route != NULL) routes_self(l->route);
    if (v.refuse != REASON_NONE) {
        bool fenced = v.fenced;
        /* A namesake learns from our greeting, not from a bare refusal, that it is the older one.
         */
        if (!l->dialed && v.refuse == REASON_FENCED && text_equal(h->name, self.name))
            greeter_greet(l);
        greeter_refuse(l, v.refuse);
        if (fenced && c->o.on_fenced != NULL) c->o.on_fenced(c->o.ctx);
        return;
    }
    if (greeter_id_taken(c, p, h)) {
        greeter_refuse(l, REASON_ID_TAKEN);
        return;
    }
    l->greeted = true;
    l->peer_id = h->id;
    l->peer_boots = h->boots;
    if (h->link == HELLO_DATA) {
        greeter_data(l, p, h);
        return;
    }
    if (v.replace) peer_drop(p, REASON_REPLACED, true);
    p = peer_greet(c, p, h);
    if (p == NULL) {
        greeter_refuse(l, REASON_NONE);
        return;
    }
    gossip_greeted(p, l->remote, h->listen);
    greeter_control(l, p);
}

/* ---- frames ---- */

static void on_greet(struct link *l, const struct hello *h)
{
    if (l->greeted || (l->dialed && h->link != l->kind)) {
        greeter_refuse(l, REASON_MALFORMED);
        return;
    }
    l->kind = h->link;
    greeter_judge(l, h);
}

static void on_accept(struct link *l, const struct hello *h)
{
    struct peer *p = l->peer;
    bool fits = l->greeted && l->kind == HELLO_CONTROL && !peer_arbiter(p) && h->session != 0;
    if (!fits) {
        greeter_refuse(l, REASON_MALFORMED);
        return;
    }
    peer_drop(p, REASON_REPLACED, false); /* what the arbiter knows no more */
    if (p->pub.id != l->peer_id || p->boots != l->peer_boots) {
        greeter_refuse(l, REASON_STALE);
        return;
    }
    l->session = h->session;
    peer_link_open(p, l);
}

static void on_refuse(struct link *l, const struct hello *h)
{
    char who[400];
    bool quiet = h->reason == REASON_SELF || h->reason == REASON_DUPLICATE ||
                 h->reason == REASON_STALE || h->reason == REASON_STOPPING ||
                 h->reason == REASON_REPLACED;
    if (!quiet)
        cluster_log_refusal(l->cluster, greeter_who(l, who, sizeof who), h->reason,
                            "refuses this node");
    if (h->reason == REASON_SELF && l->route != NULL) routes_self(l->route);
    greeter_end(l, HELLO_BYE, h->reason);
}

void greeter_frame(struct link *l, const struct frame *f)
{
    static void (*const rows[HELLO_KINDS])(struct link *, const struct hello *) = {
        [HELLO_GREET] = on_greet,
        [HELLO_REFUSE] = on_refuse,
        [HELLO_ACCEPT] = on_accept,
        [HELLO_BYE] = on_refuse,
    };
    struct hello h;
    int rc = f->type == FRAME_HELLO ? handshake_decode(f->body, &h) : E_MALFORMED;
    if (rc == E_MALFORMED) {
        greeter_failed(l, rc);
    } else if (rc == E_VERSION && h.kind != HELLO_REFUSE && h.kind != HELLO_BYE) {
        greeter_refuse(l, REASON_VERSION);
    } else {
        rows[h.kind](l, &h);
    }
}

void greeter_gone(struct link *l)
{
    greeter_ended(l, REASON_NONE);
}

void greeter_failed(struct link *l, int rc)
{
    char who[400];
    greeter_who(l, who, sizeof who);
    if (l->greeted) { /* a dial that the arbiter never decided on */
        greeter_end(l, HELLO_BYE, REASON_SILENT);
        return;
    }
    cluster_log_refusal(l->cluster, who, REASON_MALFORMED,
                        rc == E_AGAIN ? "says nothing"
                                      : "is no Gannet node (a nats-server, a client?)");
    if (l->dialed) {
        greeter_end(l, HELLO_BYE, REASON_MALFORMED);
        return;
    }
    link_close_text(l, foreign_text);
    greeter_ended(l, REASON_MALFORMED);
}
