/* routes.h - whom to dial: the configured list, which are seeds, and the nodes that those know.
 * Each route is dialled until it is known who answers there (names resolve late in Kubernetes; one
 * of them is this node itself), and again whenever that peer has no links. Thread: loop. */
#pragma once

#include "cluster/cluster.h"
#include "cluster/handshake.h"
#include "store/base/list.h"

struct peer;
struct link;
struct route {
    struct cluster *cluster;
    char name[256]; /* learned: who is said to be there; empty: configured */
    char host[256];
    int port;
    struct env_timer timer;
    unsigned attempts; /* that failed in a row */
    bool dialing;
    bool self;         /* leads to this very process: never again */
    struct link *link; /* greeting */
    struct peer *peer; /* who answered last */
};

void routes_open(struct cluster *c, const struct cluster_route *routes, size_t count);
/* Another node says that this one listens there (gossip.h). It is dialled until it has links, as a
 * configured route is, but doesn't count as one. Harmless when it is known. */
void routes_learn(struct cluster *c, const char *name, const char *host, int port);
void routes_close(struct cluster *c);
/* Dials under way end without effect. */
void routes_orphan(struct cluster *c);
/* Who answers at this route. */
void routes_identify(struct route *r, struct peer *p);
void routes_self(struct route *r);
/* The link that this route dialled closed before it was open. */
void routes_failed(struct route *r, enum hello_reason reason);
/* The peer has lost its links: dial it again. */
void routes_kick(struct peer *p);
/* Dials the data link that belongs to an open control link. */
void routes_dial_data(struct route *r, struct peer *p);
size_t routes_expected(const struct cluster *c);
/* Every route leads to this node or to a peer that is up. */
bool routes_complete(const struct cluster *c);
/* The first route that isn't, for a log line; NULL: none. */
const struct route *routes_missing(const struct cluster *c);
