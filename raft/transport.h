/* transport.h - SEAM: a Raft group and its peers. cluster/peer_transport.c implements it.
 * Raft's messages are bytes here (raft/rpc.h). Thread: loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "store/base/reader.h"
#include "store/base/slice.h"
#include "store/base/units.h"

enum transport_lane {
    LANE_CONTROL, /* votes, results, keepalives, read probes: own connection, never behind bulk; may be reordered with others */
    LANE_STREAM,  /* AppendEntries, TimeoutNow, snapshot descriptors: strictly in order; before LANE_DATA */
    LANE_DATA,    /* forwarded batches: in order */
};

struct transport {
    void *ctx;
    /* Sends one message, taking over one reference of each part. Never calls back from inside. To a peer
     * that isn't connected: dropped. Messages of one lane arrive in order or not at all; after a gap
     * group_peer_down and group_peer_up are called before the next one arrives. */
    void (*send)(void *ctx, node_id peer, enum transport_lane lane, struct slice *parts, size_t count);
    bool (*connected)(void *ctx, node_id peer);
    /* Bytes queued to that peer's lane and not yet taken by the kernel. */
    size_t (*queued)(void *ctx, node_id peer, enum transport_lane lane);
};
