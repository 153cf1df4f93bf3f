/* node.h - one Gannet node: the one place that wires env, store, raft, cluster and broker, and
 * stops them in reverse. Runs on any env, net and kv, so the simulator builds the same node.
 * Thread: loop. */
#pragma once

#include "broker/broker.h"
#include "cluster/cluster.h"
#include "cluster/net/sock.h"
#include "store/base/env.h"
#include "store/kv.h"

struct node;

struct node_options {
    struct env *env;
    struct net *net;
    /* Opens the ordered map below the store in dir; kv_rocks_open in the program. */
    int (*kv_open)(void *ctx,
                   struct env *env,
                   const char *dir,
                   uint64_t cache_bytes,
                   struct kv **out);
    void *kv_ctx;
    struct broker_options broker; /* server_id set; server_name NULL: the id */
    bool tls; /* the config asks for TLS, of clients or peers: refused, never run in plaintext */
    const char *store_dir;        /* JetStream's data lies in <store_dir>/jetstream */
    bool clustered;
    const char *cluster_name, *cluster_host;
    int cluster_port;
    const char *cluster_advertise; /* host:port; NULL: where we listen */
    const char *cluster_user, *cluster_password;
    const struct cluster_route *routes;
    size_t route_count;
    uint64_t budget_bytes, log_bytes_max;
    /* Clients are accepted from now on. */
    void (*ready)(void *ctx);
    void *ctx;
};

/* Loads what is on disk and starts. The options must outlive the node. Errors are logged with their
 * cause: E_CORRUPT, E_FOREIGN (a store that isn't ours), E_BUSY (another process has it open), E_IO,
 * E_ADDRINUSE, E_DENIED. */
NODISCARD int node_open(const struct node_options *o, struct node **out);
struct broker *node_broker(struct node *n);
struct broker_options *node_broker_options(struct node *n); /* the node's copy, for reloads */
int node_cluster_port(const struct node *n);                /* 0: not clustered */
/* Hands leadership over, closes clients, flushes, closes everything; done last, then the node is
 * gone. */
void node_stop(struct node *n, void (*done)(void *ctx), void *ctx);
