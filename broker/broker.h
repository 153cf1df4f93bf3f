/* broker.h - the NATS front end and the JetStream engine: start, lame duck, stop. The face of broker/.
 * Wired by cmd/node.c. Thread: loop. */
#pragma once

#include "broker/auth/account.h"
#include "broker/core/router.h"
#include "cluster/cluster.h"
#include "raft/group.h"
#include "store/state/state.h"

struct broker;

struct broker_user {
    char *name, *password; /* password plain or bcrypt ($2a$...) */
    struct account *account;
    void *permissions; /* NULL: all */
};
/* Filled by cmd/; the broker keeps the pointer. */
struct broker_options {
    struct env *env;
    struct net *net;
    const char *server_name;
    char server_id[64]; /* N + 55 base32 */
    const char *version;
    const char *cluster_name; /* NULL: not clustered */
    const char *domain;       /* JetStream's; NULL: none */
    const char *host;         /* client listener */
    int port;                 /* 0: any; the real one is in broker_port */
    const char *client_advertise;
    uint64_t max_payload, max_control_line, max_pending;
    uint32_t max_connections;
    uint32_t max_subscriptions; /* of one connection; 0: any number */
    uint32_t max_closed_clients; /* kept for /connz; 0: 10,000 */
    bool no_advertise;          /* no connect_urls */
    uint64_t ping_interval_ns, write_deadline_ns, auth_timeout_ns;
    uint32_t ping_max;
    uint64_t lame_duck_duration_ns, lame_duck_grace_ns;
    struct accounts *accounts;
    struct broker_user *users;
    size_t user_count;
    const char *token; /* NULL: none */
    const struct broker_user *no_auth_user; /* who a client without credentials is; NULL: nobody */
    struct account *no_auth_account; /* of clients of which nothing is asked; NULL: $G */
    bool auth_required;
    bool jetstream;
    const char *store_dir;
    int64_t js_max_memory, js_max_file;
    const char *http_host;
    int http_port; /* -1: off; 0: any */
    const char *http_base_path; /* NULL: none */
    /* The debug port of an ocis service instead of monitoring's endpoints: /healthz, /readyz, /metrics. The version is
     * what X-NATS-VERSION says; NULL: monitoring. A token is asked for by /metrics; NULL: none. */
    const char *debug_version, *debug_token;
    const char *const *tags;    /* server_tags, shown in /varz */
    size_t tag_count;
};

/* The parts that node.c made before; group, state and cluster may be NULL (no JetStream, no cluster). router NULL:
 * the broker makes its own. */
struct broker_parts {
    struct router *router;
    struct group *group;
    struct state *state;
    struct cluster *cluster;
    node_id self;
};
/* A new server id, 56 characters and a zero: as an nkey's public server key looks; random. */
void broker_make_id(struct env *env, char *out);
/* Fills in what the options leave open: server_id, and the defaults of nats-server for limits and times. Opens
 * monitoring, not the client listener. On an error *out is set all the same and wants broker_close. E_ADDRINUSE, E_NET. */
NODISCARD int broker_open(struct broker_options *o, const struct broker_parts *p, struct broker **out);
NODISCARD int broker_listen(struct broker *b); /* E_ADDRINUSE */
int broker_port(const struct broker *b);
int broker_http_port(const struct broker *b); /* 0: off */
/* The options were changed in place: users (the old ones still exist during the call), limits, advertising. Clients
 * that may no longer be here are closed, subscriptions that are denied now end. */
void broker_reload(struct broker *b);
void broker_lame_duck(struct broker *b, void (*done)(void *ctx), void *ctx);
void broker_close(struct broker *b, void (*done)(void *ctx), void *ctx);
/* The state machine's watcher: node.c passes it to state_open. Before broker_open it only counts nothing. */
void broker_watcher(struct broker *b, struct state_watcher *w);
void broker_leadership(struct broker *b, node_id leader, bool self);
void broker_peer_info(struct broker *b); /* connect_urls changed */
