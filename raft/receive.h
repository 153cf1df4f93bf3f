/* receive.h - what comes in from a peer, decoded, checked, and given to whom it is for. Thread:
 * loop. */
#pragma once

#include "raft/group.h"
#include "raft/rpc.h"

struct peer;

/* Borrowed bytes; parts that are kept are referenced. Anything malformed is dropped, and said. */
void receive_message(struct group *g,
                     struct peer *p,
                     enum transport_lane lane,
                     struct slice message);
/* To the core, as if it came from the peer: votes, results, TimeoutNow. */
void receive_deliver(struct group *g, struct peer *p, const struct rpc *m);
