/* peer.c - see peer.h for who decides. Moves of a peer: nothing -> control link open
 * (peer_link_open) -> both open: up, watchers hear -> peer_drop: nothing. A frame reaches nobody
 * before `up` was told: the link that is through first holds its frames back until the other is. */
#include "cluster/peer.h"

#include <stdio.h>

#include "cluster/cluster_impl.h"
#include "cluster/gossip.h"
#include "cluster/routes.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

struct peer *peer_by_name(struct cluster *c, struct text name)
{
    LIST_FOREACH (n, &c->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (text_equal(text_of(p->pub.name), name)) return p;
    }
    return NULL;
}

struct peer *peer_by_id(struct cluster *c, node_id id)
{
    LIST_FOREACH (n, &c->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        if (p->pub.id == id) return p;
    }
    return NULL;
}

static bool peer_linked(const struct peer *p)
{
    return p->links[HELLO_CONTROL] != NULL;
}

struct handshake_known peer_known(const struct peer *p, struct mono now)
{
    if (p == NULL) return (struct handshake_known){0};
    return (struct handshake_known){
        .id = p->pub.id,
        .incarnation = p->incarnation,
        .boots = p->boots,
        .up = peer_linked(p),
        .gone_ns = p->was_up ? now.ns - p->gone.ns : UINT64_MAX,
    };
}

void peer_set_urls(struct peer *p, struct text urls)
{
    size_t bytes =
        urls.bytes < sizeof p->pub.client_urls ? urls.bytes : sizeof p->pub.client_urls - 1;
    if (bytes != 0) memcpy(p->pub.client_urls, urls.at, bytes);
    p->pub.client_urls[bytes] = 0;
}

struct peer *peer_greet(struct cluster *c, struct peer *p, const struct hello *h)
{
    if (p == NULL) {
        size_t count = 0;
        LIST_FOREACH (n, &c->peers)
            count++;
        if (count >= PEER_COUNT_MAX) return NULL;
        p = check_alloc(sizeof *p);
        p->cluster = c;
        CHECK(h->name.bytes < sizeof p->pub.name);
        memcpy(p->pub.name, h->name.at, h->name.bytes);
        list_push_back(&c->peers, &p->node);
    }
    p->pub.id = h->id;
    p->incarnation = h->incarnation;
    p->boots = h->boots;
    peer_set_urls(p, h->client_urls);
    return p;
}

void peer_forget(struct peer *p)
{
    CHECK(!peer_linked(p));
    p->pub.id = 0;
    p->was_up = false;
}

bool peer_arbiter(const struct peer *p)
{
    return strcmp(p->cluster->o.node_name, p->pub.name) < 0;
}

/* The other side dials only when it holds no link; but its dial may have crossed ours, and then the
 * first one that was decided on stays. A link that is older than any crossing is dead without our
 * knowing: the other side has lost it. */
bool peer_offer(struct peer *p, struct link *l)
{
    if (!peer_linked(p)) return true;
    bool young = env_mono(l->env).ns - p->since.ns < PEER_YOUNG_NS;
    if (l->dialed || young) return false;
    peer_drop(p, REASON_REPLACED, false);
    return true;
}

static void peer_up(struct peer *p)
{
    p->pub.up = p->was_up = p->resume = true;
    p->interest_sent = p->interest_applied = 0;
    p->dead_told = false;
    LOG(INF, "Cluster link to %s (%s) is up", p->pub.name, p->links[HELLO_CONTROL]->remote);
    cluster_turn(p->cluster);
    gossip_up(p);
    cluster_notify(p, true, false);
}

void peer_link_open(struct peer *p, struct link *l)
{
    CHECK(p->links[l->kind] == NULL);
    CHECK(l->kind == HELLO_CONTROL || peer_linked(p));
    link_open(l);
    l->peer = p;
    p->links[l->kind] = l;
    struct route *route = l->route;
    l->route = NULL;
    if (route != NULL) route->link = NULL;
    if (l->kind == HELLO_DATA) {
        peer_up(p);
        return;
    }
    p->since = env_mono(l->env);
    p->session = l->session;
    if (route != NULL) routes_dial_data(route, p);
}

void peer_drop(struct peer *p, enum hello_reason reason, bool dead)
{
    bool was_up = p->pub.up;
    bool linked = peer_linked(p);
    p->pub.up = p->resume = false;
    p->failing = REASON_NONE;
    p->session = 0;
    for (size_t i = 0; i < ARRAY_COUNT(p->links); i++) {
        struct link *l = p->links[i];
        p->links[i] = NULL;
        if (l != NULL) link_close(l, HELLO_BYE, reason);
    }
    if (was_up) {
        p->gone = env_mono(p->cluster->o.env);
        p->dead_told = dead;
        LOG(INF, "Cluster link to %s is down: %s", p->pub.name,
            dead ? "it is gone" : handshake_reason_text(reason));
        cluster_notify(p, false, dead);
    }
    if (linked) routes_kick(p);
}

void peer_refused(struct peer *p)
{
    if (!p->was_up || peer_linked(p) || p->dead_told) return;
    p->dead_told = true;
    cluster_notify(p, false, true);
}

static void parts_release(struct slice *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        slice_release(&parts[i]);
}

void peer_send(struct peer *p,
               enum cluster_lane lane,
               enum frame_type type,
               struct slice *parts,
               size_t count)
{
    struct link *l = p->links[lane == CLUSTER_CONTROL ? HELLO_CONTROL : HELLO_DATA];
    if (!p->pub.up || p->failing != REASON_NONE) {
        parts_release(parts, count);
        return;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    if (l->lanes.bytes[lane] + bytes > PEER_QUEUED_MAX) {
        parts_release(parts, count);
        p->failing = REASON_SLOW;
        cluster_turn(p->cluster);
        return;
    }
    p->interest_sent += type == FRAME_INTEREST && lane == CLUSTER_CONTROL;
    link_send(l, lane, type, parts, count);
    if (lane == CLUSTER_CONTROL) return;
    l->dirty = true;
    cluster_turn(p->cluster);
}

void peer_hold(struct peer *p, enum frame_type type, struct slice body, uint64_t after_interest)
{
    struct link *l = p->links[HELLO_DATA];
    CHECK(l != NULL);
    CHECK(!l->holding);
    l->holding = true;
    l->held_type = (uint8_t)type;
    l->held = slice_ref(body);
    l->held_after = after_interest;
}

void peer_applied(struct peer *p)
{
    p->interest_applied++;
    const struct link *l = p->links[HELLO_DATA];
    if (l == NULL || !l->holding || l->held_after > p->interest_applied) return;
    p->resume = true;
    cluster_turn(p->cluster);
}

void peer_turn(struct peer *p)
{
    if (p->failing != REASON_NONE) peer_drop(p, p->failing, false);
    bool resume = p->resume;
    p->resume = false;
    for (size_t i = 0; i < ARRAY_COUNT(p->links); i++) {
        if (resume && p->links[i] != NULL) link_resume(p->links[i]);
        if (p->links[i] != NULL && p->links[i]->dirty) link_flush(p->links[i]);
    }
}
