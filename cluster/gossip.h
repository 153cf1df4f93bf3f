/* gossip.h - routes are seeds: whoever comes up is told of the other nodes and where they listen,
 * and they of it; unknown ones are dialled. So a node that names one other is linked with all.
 * Source: protocol reference, routes (a nats-server dials every member that it learns of).
 * Thread: loop. */
#pragma once

#include "cluster/cluster.h"

struct peer;

/* What greetings say of where this node listens. */
void gossip_listen(struct cluster *c, const char *host, const char *advertise);
/* A peer's greeting: where it listens, by its own word and where the greeting came from. */
void gossip_greeted(struct peer *p, const char *remote, struct text listen);
/* Tells the peer of all others that are up, and those of it. */
void gossip_up(struct peer *p);
/* FRAME_MEMBERS of a peer. */
void gossip_frame(struct peer *p, struct slice body);
