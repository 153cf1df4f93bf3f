/* relay.h - a message on its way to another node: once for each node, with all that it serves
 * there. Goes over the data link, behind the log stream. Thread: loop. */
#pragma once

#include "cluster/cluster.h"

#define RELAY_QUEUES_MAX 64 /* in one frame; more targets go as more frames */

struct relay_message {
    struct text account;
    struct text subject, reply;
    struct text deliver;      /* routed by this, shown as subject; empty: same */
    struct text header, body; /* header: the whole block; empty: none */
    struct slice owner;       /* what header and body lie in; empty: they are copied when sent */
    bool plain;               /* plain subscriptions get it */
    uint64_t after_interest;  /* decoded: frames of interest that the sender had sent before */
    const struct text *queues;
    size_t queue_count; /* one member of each of these groups gets it */
};

/* Keeps header and body by reference to owner (the caller's reference stays the caller's). Dropped
 * when the peer isn't up. Account, subjects and queue names are at most 64 KiB each. */
void relay_send(struct cluster *c, node_id peer, const struct relay_message *m);
/* Who takes messages from peers: texts are borrowed, owner holds them all. */
void relay_on(struct cluster *c,
              void (*message)(void *ctx, node_id from, const struct relay_message *m),
              void *ctx);
/* E_MALFORMED. At most RELAY_QUEUES_MAX names are put in queues; the message's texts lie in body.
 */
NODISCARD int relay_decode(struct slice body, struct text *queues, struct relay_message *out);
