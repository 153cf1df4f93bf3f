/* node.c - start: log and meta, then the state it replays into, then peers, then clients.
 *
 * A single node is its own leader at once, and accepts clients only when it has applied its log. A
 * member of a cluster accepts clients as soon as its own state is loaded: requests wait for a
 * leader. Stop runs in reverse: leadership goes to a peer first, so that the others never miss us.
 */
#include "cmd/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/state/state.h"
#include "store/store.h"

#define NODE_IDLE_FLUSH_NS (10 * NS_PER_S)

struct node {
    struct node_options o;
    struct store *store;
    struct state *state;
    struct state_watcher watcher;
    struct group *group;
    struct transport transport;
    struct cluster *cluster;
    struct router *router;
    struct broker *broker;
    node_id self;
    log_index log_durable, log_flushed;
    bool flushing, listening, stopping;
    struct env_timer idle_flush;
    char urls[300];
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/* The group opens before there are links (its log says who we are), so its transport goes through
 * here. */
static void
node_send(void *ctx, node_id peer, enum transport_lane lane, struct slice *parts, size_t count)
{
    struct node *n = ctx;
    if (n->cluster != NULL) {
        n->transport.send(n->transport.ctx, peer, lane, parts, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        slice_release(&parts[i]);
    }
}
static bool node_connected(void *ctx, node_id peer)
{
    struct node *n = ctx;
    return n->cluster != NULL && n->transport.connected(n->transport.ctx, peer);
}
static size_t node_queued(void *ctx, node_id peer, enum transport_lane lane)
{
    struct node *n = ctx;
    return n->cluster == NULL ? 0 : n->transport.queued(n->transport.ctx, peer, lane);
}

/* ---- state machine below the group ---- */

static void flush_done(void *ctx, struct store_at at)
{
    struct node *n = ctx;
    n->flushing = false;
    n->log_flushed = at.index;
    group_sm_durable(n->group, at.index, at.term);
    group_sm_ready(n->group);
}

/* Only when our own log holds what the state is at (store.md rule 4); else log_durable tries again.
 */
static void flush_start(struct node *n)
{
    struct store_at at = state_at(n->state);
    if (n->flushing || at.index > n->log_durable || at.index == n->log_flushed) return;
    if (state_flush(n->state, flush_done, n) == 0) n->flushing = true;
}

static log_index sm_index(void *ctx, log_term *term)
{
    struct node *n = ctx;
    struct store_at at = state_at(n->state);
    *term = at.term;
    return at.index;
}
static int64_t sm_time(void *ctx)
{
    struct node *n = ctx;
    return state_now(n->state).ns;
}
static int sm_apply(void *ctx, log_index index, log_term term, struct slice payload)
{
    struct node *n = ctx;
    if (store_busy(n->store)) {
        flush_start(n);
        return E_AGAIN;
    }
    state_apply(n->state, index, term, payload);
    store_applied(n->store, (struct store_at){.index = index, .term = term}, payload.bytes);
    if (store_flush_due(n->store)) flush_start(n);
    return 0;
}
static void sm_pass(void *ctx, log_index index, log_term term)
{
    struct node *n = ctx;
    state_pass(n->state, index, term);
}
static void sm_log_durable(void *ctx, log_index index)
{
    struct node *n = ctx;
    n->log_durable = index;
    if (n->state != NULL && (store_flush_due(n->store) || store_busy(n->store))) flush_start(n);
}
static void idle_flush(struct env_timer *t)
{
    struct node *n = CONTAINER_OF(t, struct node, idle_flush);
    flush_start(n);
    env_timer_start(t, NODE_IDLE_FLUSH_NS);
}

static void watch_batch(void *ctx, node_id origin, uint64_t incarnation, uint64_t number)
{
    struct node *n = ctx;
    bool ours = origin == n->self && incarnation == propose_incarnation(n->group);
    propose_batch(n->group, ours ? number : 0);
}
static void watch_result(void *ctx, const struct apply_result *r)
{
    struct node *n = ctx;
    propose_result(n->group, r);
}

/* ---- start ---- */

static void node_listen(struct node *n)
{
    if (n->listening || n->stopping) return;
    int rc = broker_listen(n->broker);
    if (rc != 0)
        FATAL(EXIT_USAGE, "can't listen for clients on %s:%d: %s", n->o.broker.host,
              n->o.broker.port, err_text(rc));
    n->listening = true;
    if (n->o.ready != NULL) n->o.ready(n->o.ctx);
}
static void on_leader(void *ctx, node_id leader, log_term term, bool self)
{
    struct node *n = ctx;
    (void)term;
    if (self) LOG(INF, "JetStream cluster new metadata leader: %s", n->o.broker.server_name);
    if (n->broker == NULL) return;
    broker_leadership(n->broker, leader, self);
    if (self) node_listen(n);
}

/* Data of a nats-server lies in the same place under a folder per account: never ours, never empty.
 */
static void foreign_entry(void *ctx, const char *name)
{
    bool *foreign = ctx;
    if (strcmp(name, "log") != 0 && strcmp(name, "data") != 0 && strcmp(name, "lost+found") != 0)
        *foreign = true;
}
static int store_dirs(struct node *n, char *log_dir, char *data_dir, size_t bytes)
{
    struct env *env = n->o.env;
    char dir[1024];
    snprintf(dir, sizeof dir, "%s/jetstream", n->o.store_dir);
    int rc = env->ops->mkdir(env, dir);
    bool foreign = false;
    if (rc == 0) rc = env->ops->dir_list(env, dir, foreign_entry, &foreign);
    if (rc == 0 && foreign) {
        LOG(ERR,
            "%s holds data that is not Gannet's (a nats-server's?): choose another store_dir, or "
            "move it away",
            dir);
        return E_FOREIGN;
    }
    snprintf(log_dir, bytes, "%s/log", dir);
    snprintf(data_dir, bytes, "%s/data", dir);
    if (rc == 0) rc = env->ops->mkdir(env, log_dir);
    if (rc == 0) rc = env->ops->mkdir(env, data_dir);
    if (rc != 0) LOG(ERR, "store directory %s: %s", dir, err_text(rc));
    return rc;
}

/* A Raft id is a digest of its disk's incarnation: an empty disk is somebody new (design 3.5). */
static node_id id_of(uint64_t incarnation)
{
    node_id id = XXH3_64bits(&incarnation, sizeof incarnation);
    return id == 0 ? 1 : id;
}
/* Grows over the lives of one node name; two nodes that are born at once still differ. */
static uint64_t new_incarnation(struct env *env)
{
    return ((uint64_t)env_wall_ns(env) & ~UINT64_C(0xffff)) | (env_random(env) & 0xffff);
}

static int open_group(struct node *n, const char *log_dir)
{
    struct group_options go = {
        .env = n->o.env,
        .dir = log_dir,
        .identity = XXH3_64bits("gannet", 6),
        .sm = {.ctx = n,
               .index = sm_index,
               .time = sm_time,
               .apply = sm_apply,
               .pass = sm_pass,
               .log_durable = sm_log_durable},
        .transport = {.ctx = n,
                      .send = node_send,
                      .connected = node_connected,
                      .queued = node_queued},
        .log_bytes_max = n->o.log_bytes_max,
        .on_leader = on_leader,
        .ctx = n,
    };
    int rc = group_open(&go, &n->group);
    if (rc == 0) return 0;
    LOG(ERR, "Raft log in %s: %s", log_dir, err_text(rc));
    return rc;
}

/* Every start is a new incarnation as an origin; a disk's first start is a new one as a voter too.
 */
static int count_boot(struct node *n)
{
    struct log_facts facts = *group_facts(n->group);
    facts.boots++;
    if (facts.incarnation == 0) facts.incarnation = new_incarnation(n->o.env);
    int rc = group_facts_store(n->group, &facts);
    n->self = id_of(facts.incarnation);
    return rc;
}

static int open_state(struct node *n, const char *data_dir)
{
    struct kv *kv = NULL;
    uint64_t budget = n->o.budget_bytes;
    int rc = n->o.kv_open(n->o.kv_ctx, n->o.env, data_dir, budget / 4, &kv);
    if (rc == E_BUSY) {
        LOG(ERR, "store in %s is in use: another process has it open", data_dir);
    } else if (rc != 0) {
        LOG(ERR, "store in %s: %s", data_dir, err_text(rc));
    }
    if (rc != 0) return rc;
    struct store_options so = {.env = n->o.env, .kv = kv, .budget_bytes = budget};
    struct store_at at;
    rc = store_open(&so, &n->store, &at);
    if (rc != 0) return rc;
    n->log_flushed = at.index;
    struct state_options o = {.env = n->o.env, .store = n->store, .at = at, .watcher = &n->watcher};
    return state_open(&o, &n->state);
}

static void bootstrap_agreed(void *ctx, const node_id *ids, const char *const *names, size_t count)
{
    struct node *n = ctx;
    struct group_member members[LIMIT_VOTERS] = {0};
    CHECK(count <= LIMIT_VOTERS);
    for (size_t i = 0; i < count; i++) {
        members[i].id = ids[i];
        members[i].voter = true;
        snprintf(members[i].name, sizeof members[i].name, "%s", names[i]);
    }
    if (group_bootstrap(n->group, n->self, members, count) != 0 ||
        group_start(n->group, n->self) != 0)
        FATAL(EXIT_DISK, "the first configuration can't be written");
}

static void peer_info(void *ctx, struct cluster_peer *p)
{
    struct node *n = ctx;
    (void)p;
    if (n->broker != NULL) broker_peer_info(n->broker);
}
static void peer_down(void *ctx, struct cluster_peer *p, bool dead)
{
    (void)dead;
    peer_info(ctx, p);
}

static void peer_fenced(void *ctx)
{
    struct node *n = ctx;
    FATAL(EXIT_FENCED, "another process, started later, runs under the name %s",
          n->o.broker.server_name);
}

static int open_cluster(struct node *n, uint64_t incarnation, uint64_t boots)
{
    if (!n->o.clustered) return 0;
    struct cluster_options co = {
        .env = n->o.env,
        .net = n->o.net,
        .cluster_name = n->o.cluster_name,
        .node_name = n->o.broker.server_name,
        .id = n->self,
        .incarnation = incarnation,
        .boots = boots,
        .host = n->o.cluster_host,
        .port = n->o.cluster_port,
        .advertise = n->o.cluster_advertise,
        .routes = n->o.routes,
        .route_count = n->o.route_count,
        .user = n->o.cluster_user,
        .password = n->o.cluster_password,
        .client_urls = n->urls,
        .on_peer_up = peer_info,
        .on_peer_down = peer_down,
        .on_peer_info = peer_info,
        .on_fenced = peer_fenced,
        .ctx = n,
    };
    int rc = cluster_open(&co, &n->cluster);
    if (rc != 0) {
        LOG(ERR, "cluster port %d: %s", n->o.cluster_port, err_text(rc));
        return rc;
    }
    if (n->group == NULL) return 0; /* core NATS: peers, but nothing to replicate */
    peer_transport_init(&n->transport, n->cluster);
    peer_transport_bind(n->cluster, n->group);
    return 0;
}

static int open_jetstream(struct node *n)
{
    char log_dir[1100], data_dir[1100];
    int rc = store_dirs(n, log_dir, data_dir, sizeof log_dir);
    if (rc == 0) rc = open_state(n, data_dir);
    if (rc == 0) rc = open_group(n, log_dir);
    if (rc == 0) rc = count_boot(n);
    return rc;
}

/* A cluster exists and our disk is empty: what this node may have promised before is forgotten, so
 * it may not vote under its old id. Until members can be replaced it stays outside, and says so. */
static void bootstrap_joining(void *ctx, const struct cluster_peer *member)
{
    (void)ctx;
    LOG(ERR,
        "This node's disk is empty, but %s is member of a cluster already: it takes no part in "
        "JetStream",
        member->name);
}

/* The first configuration exists: run, and tell who asks; else agree on one with the other empty
 * nodes. */
static int start_group(struct node *n)
{
    bool empty = group_is_empty(n->group);
    if (n->o.clustered) {
        struct cluster_bootstrap_options bo = {.cluster = n->cluster,
                                               .empty = empty,
                                               .agreed = bootstrap_agreed,
                                               .joining = bootstrap_joining,
                                               .ctx = n};
        cluster_bootstrap(&bo);
    }
    if (!empty) return group_start(n->group, n->self);
    const char *name = n->o.broker.server_name;
    if (!n->o.clustered) bootstrap_agreed(n, &n->self, &name, 1);
    return 0;
}

static int open_broker(struct node *n)
{
    struct broker_parts parts = {
        .group = n->group, .state = n->state, .cluster = n->cluster, .self = n->self};
    int rc = broker_open(&n->o.broker, &parts, &n->broker);
    if (rc != 0) return rc;
    broker_watcher(n->broker, &n->watcher);
    n->watcher.batch = watch_batch;
    n->watcher.result = watch_result;
    return 0;
}

/* It never ran: nothing is in flight. What needs turns of the loop to close (links, listeners) ends
 * with the process. */
static void node_abandon(struct node *n)
{
    if (n->broker != NULL || n->cluster != NULL) return;
    if (n->group != NULL) group_close(n->group);
    if (n->state != NULL) state_close(n->state);
    if (n->store != NULL) store_close(n->store);
    free(n);
}

int node_open(const struct node_options *o, struct node **out)
{
    if (o->tls) {
        LOG(ERR, "TLS is configured but not supported yet: remove tls, or let a proxy end it");
        return E_INVAL;
    }
    struct node *n = check_alloc(sizeof *n);
    n->o = *o;
    n->o.broker.env = o->env;
    n->o.broker.net = o->net;
    if (n->o.broker.server_name == NULL) n->o.broker.server_name = n->o.broker.server_id;
    env_timer_init(o->env, &n->idle_flush, idle_flush);
    n->watcher.origin_ctx = n;
    uint64_t incarnation = 0, boots = 0;
    int rc = o->broker.jetstream ? open_jetstream(n) : 0;
    if (rc == 0 && n->group != NULL) {
        incarnation = group_facts(n->group)->incarnation;
        boots = group_facts(n->group)->boots;
    } else if (rc == 0) {
        incarnation = boots = new_incarnation(o->env);
        n->self = id_of(incarnation);
    }
    if (rc == 0) rc = open_cluster(n, incarnation, boots);
    if (rc == 0) rc = open_broker(n);
    if (rc == 0 && n->group != NULL) rc = start_group(n);
    if (rc != 0) {
        node_abandon(n);
        return rc;
    }
    if (n->group != NULL) env_timer_start(&n->idle_flush, NODE_IDLE_FLUSH_NS);
    if (n->group == NULL || o->clustered) node_listen(n);
    *out = n;
    return 0;
}

struct broker *node_broker(struct node *n)
{
    return n->broker;
}
struct broker_options *node_broker_options(struct node *n)
{
    return &n->o.broker;
}
int node_cluster_port(const struct node *n)
{
    return n->cluster == NULL ? 0 : cluster_port(n->cluster);
}

/* ---- stop ---- */

static void stop_cluster_done(void *ctx)
{
    struct node *n = ctx;
    if (n->state != NULL) state_close(n->state);
    if (n->store != NULL) store_close(n->store);
    void (*stopped)(void *) = n->stopped;
    void *stopped_ctx = n->stopped_ctx;
    free(n);
    stopped(stopped_ctx);
}
static void stop_flushed(void *ctx, struct store_at at)
{
    struct node *n = ctx;
    (void)at;
    if (n->group != NULL) group_close(n->group);
    if (n->cluster != NULL) {
        cluster_close(n->cluster, stop_cluster_done, n);
        return;
    }
    stop_cluster_done(n);
}
/* A state flush makes the next start quick; without it the log replays, so one under way is enough.
 */
static void stop_broker_done(void *ctx)
{
    struct node *n = ctx;
    n->broker = NULL; /* freed; the group still tells of leaders until it is closed */
    struct store_at at = {0};
    if (n->state != NULL) at = state_at(n->state);
    bool flush = n->state != NULL && !n->flushing && at.index <= n->log_durable &&
                 at.index != n->log_flushed;
    if (flush && state_flush(n->state, stop_flushed, n) == 0) return;
    stop_flushed(n, at);
}
static void stop_handed_over(void *ctx)
{
    struct node *n = ctx;
    broker_close(n->broker, stop_broker_done, n);
}

void node_stop(struct node *n, void (*done)(void *ctx), void *ctx)
{
    CHECK(!n->stopping);
    n->stopping = true;
    n->stopped = done;
    n->stopped_ctx = ctx;
    env_timer_stop(&n->idle_flush);
    if (n->group != NULL && n->o.clustered) {
        group_handover(n->group, stop_handed_over, n);
        return;
    }
    stop_handed_over(n);
}
