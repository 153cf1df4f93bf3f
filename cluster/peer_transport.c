/* peer_transport.c - raft/transport.h over cluster links: a Raft message is one FRAME_RAFT in the
 * lane of the same name, and a peer is up for Raft when both of its links are. */
#include "cluster/cluster.h"

#include "cluster/cluster_impl.h"
#include "raft/group.h"
#include "store/base/limits.h"

#define SAME_LANE(a, b) static_assert((int)(a) == (int)(b), "one lane, two names")
SAME_LANE(LANE_CONTROL, CLUSTER_CONTROL);
SAME_LANE(LANE_STREAM, CLUSTER_STREAM);
SAME_LANE(LANE_DATA, CLUSTER_DATA);

static void
transport_send(void *ctx, node_id peer, enum transport_lane lane, struct slice *parts, size_t count)
{
    cluster_send(ctx, peer, (enum cluster_lane)lane, FRAME_RAFT, parts, count);
}

static bool transport_connected(void *ctx, node_id peer)
{
    const struct cluster_peer *p = cluster_peer(ctx, peer);
    return p != NULL && p->up;
}

static size_t transport_queued(void *ctx, node_id peer, enum transport_lane lane)
{
    return cluster_queued(ctx, peer, (enum cluster_lane)lane);
}

void peer_transport_init(struct transport *t, struct cluster *c)
{
    *t = (struct transport){
        .ctx = c,
        .send = transport_send,
        .connected = transport_connected,
        .queued = transport_queued,
    };
}

static void
transport_frame(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    group_recv(ctx, from->id, (enum transport_lane)lane, body);
}

static void transport_up(struct cluster_watcher *w, struct cluster_peer *p)
{
    group_peer_up(CONTAINER_OF(w, struct cluster, raft_watcher)->group, p->id);
}

static void transport_down(struct cluster_watcher *w, struct cluster_peer *p, bool dead)
{
    group_peer_down(CONTAINER_OF(w, struct cluster, raft_watcher)->group, p->id, dead);
}

void peer_transport_bind(struct cluster *c, struct group *g)
{
    c->group = g;
    c->raft_watcher = (struct cluster_watcher){.up = transport_up, .down = transport_down};
    cluster_on(c, FRAME_RAFT, transport_frame, g);
    cluster_watch(c, &c->raft_watcher);
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(c, p)) != NULL) {
        if (p->up) group_peer_up(g, p->id);
    }
}
