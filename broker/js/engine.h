/* engine.h - the JetStream engine: API, publishes, deliveries, acks, on top of the replicated
 * state.
 *
 * It subscribes inside the router like a client: $JS.API.> and $JS.ACK.> in each JetStream account,
 * and every stream's subjects; so no-responders, permissions and routing need no special case. Any
 * node answers any request from its own state (after ReadIndex) and proposes what changes it. The
 * leader alone decides deliveries of replicated consumers (design 6). Thread: loop. */
#pragma once

#include "broker/core/router.h"
#include "cluster/cluster.h"
#include "raft/group.h"
#include "store/state/state.h"

struct engine;

struct engine_options {
    struct env *env;
    struct router *router;
    struct accounts *accounts;
    struct group *group;
    struct state *state;
    struct cluster *cluster; /* NULL: single node */
    node_id self;
    const char *server_name, *server_id, *version, *cluster_name, *domain;
    uint64_t max_payload;
    int64_t max_memory, max_file;
    /* Hold client publishers back (true) or let them go: proposals outstanding are over budget. */
    void (*pressure)(void *ctx, bool hold);
    void *ctx;
};
struct engine *engine_new(const struct engine_options *o);
void engine_free(struct engine *e);
/* Fills in what the engine wants to hear from the state (all but batch and result, which go to
 * propose_*). */
void engine_watcher(struct engine *e, struct state_watcher *w);
/* After the state was loaded: subscriptions for every stream that is there. */
void engine_start(struct engine *e);
void engine_leadership(struct engine *e, node_id leader, bool self);
/* Nobody took a client's message, and it has a reply subject. True: it is held until this node has
 * applied all that was acknowledged anywhere before (a stream may have been made through another
 * node a moment ago), then published again, or answered with 503. False: nobody is there, say so at
 * once. */
bool engine_nobody(struct engine *e, const struct message *m);
uint64_t engine_stuck(const struct engine *e); /* watchdog violations so far; must stay 0 */
