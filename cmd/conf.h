/* conf.h - the effective configuration: defaults, then the environment, then the file, then flags;
 * later ones win. Sections mirror the file's; components get options structs filled from here
 * (conf_apply.h) and never see names of keys. All texts live in the struct's arenas: whoever keeps
 * one keeps the conf. Source: protocol reference, section 14.3. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/conf_tree.h"
#include "store/base/arena.h"
#include "store/base/check.h"

struct permissions;

struct conf_texts {
    const char **at;
    size_t count;
};
/* Where to listen: port 0 is 'not given', -1 any free one. */
struct conf_listen {
    const char *host; /* NULL: not given */
    int64_t port;
    const char *advertise;
    bool no_advertise;
};

/* Every section begins with `given`: the file or a flag named it. */
struct conf_tls {
    bool given;
    const char *cert_file, *key_file, *ca_file;
    bool verify, verify_and_map, insecure, handshake_first;
    const char *min_version; /* "1.2", "1.3" */
    int64_t timeout_ns, connection_rate_limit;
    struct conf_texts cipher_suites, curve_preferences, pinned_certs;
    const struct conf_node *certs;
};
struct conf_user {
    bool given;
    const char *name, *password; /* password: plain or bcrypt; NULL: none */
    const char *nkey;
    struct permissions *permissions; /* NULL: all */
    struct conf_texts connection_types;
    const struct conf_node *node; /* where it stands */
};
struct conf_users {
    struct conf_user *at;
    size_t count;
};
struct conf_auth {
    bool given;
    const char *user, *password, *token;
    int64_t timeout_ns;
    struct conf_users users;
    struct permissions *default_permissions, *permissions;
};
struct conf_export {
    bool given;
    const char *stream, *service; /* the subject; one of them */
    struct conf_texts accounts;   /* none: public */
    const char *response_type;
    int64_t response_threshold_ns, account_token_position;
    bool allow_trace;
    const struct conf_node *latency;
};
struct conf_import {
    bool given;
    bool is_service;
    const char *account, *subject;
    const char *prefix, *to;
    bool share, allow_trace;
};
struct conf_account_js {
    bool given, enabled;
    int64_t max_memory, max_storage, max_streams, max_consumers,
        max_ack_pending; /* -1: unlimited */
    int64_t memory_stream_bytes, disk_stream_bytes;
    bool max_bytes_required;
    const char *cluster_traffic;
};
struct conf_account_limits {
    bool given;
    int64_t max_connections, max_subscriptions, max_payload, max_leafnodes; /* -1: unlimited */
};
struct conf_account {
    bool given;
    const char *name, *nkey;
    struct conf_users users;
    struct permissions *default_permissions;
    struct conf_account_js jetstream;
    struct conf_account_limits limits;
    struct conf_export *exports;
    struct conf_import *imports;
    size_t export_count, import_count;
    const struct conf_node *mappings, *msg_trace;
};
struct conf_js_limits {
    bool given;
    int64_t max_ack_pending, max_ha_assets, max_request_batch, duplicate_window_ns;
};
struct conf_jetstream {
    bool given, enabled;
    const char *store_dir, *domain;
    int64_t max_memory, max_storage; /* -1: a share of the machine's */
    bool strict;
    struct conf_js_limits limits;
};
struct conf_route {
    const char *host;
    int64_t port;
    const char *user, *password; /* NULL: none */
};
struct conf_cluster {
    bool given;
    const char *name;
    struct conf_listen listen;
    struct conf_auth authorization;
    struct conf_tls tls;
    struct conf_route *routes;
    size_t route_count;
    int64_t connect_retries;
    bool connect_backoff;
};
/* Blocks of protocols beside NATS's own: what is needed to listen, and the rest as it was parsed.
 */
struct conf_websocket {
    bool given;
    struct conf_listen listen;
    struct conf_tls tls;
    struct conf_auth authorization;
    bool no_tls, same_origin, compression;
    struct conf_texts allowed_origins;
    int64_t handshake_timeout_ns, ping_interval_ns;
    const char *no_auth_user, *jwt_cookie, *user_cookie, *pass_cookie, *token_cookie;
    const struct conf_node *headers;
};
struct conf_mqtt {
    bool given;
    struct conf_listen listen;
    struct conf_tls tls;
    struct conf_auth authorization;
    const char *no_auth_user, *js_domain;
    int64_t ack_wait_ns, max_ack_pending, stream_replicas, consumer_replicas;
};
struct conf_leafnodes {
    bool given;
    struct conf_listen listen;
    struct conf_tls tls;
    struct conf_auth authorization;
    const struct conf_node *remotes;
};
struct conf_gateway {
    bool given;
    const char *name;
    struct conf_listen listen;
    struct conf_tls tls;
    struct conf_auth authorization;
    const struct conf_node *gateways;
};

struct conf {
    bool given; /* as in every section; not used here */
    struct conf_listen listen;
    const char *server_name;
    struct conf_texts server_tags;
    const struct conf_node *server_metadata;
    struct conf_listen http;
    const char *http_base_path;
    const char *pid_file, *ports_file_dir;

    bool debug, trace, logtime, logtime_utc;
    const char *log_file;
    int64_t log_bytes_max, log_files_max;

    int64_t max_control_line, max_payload, max_pending;
    int64_t max_connections, max_subscriptions, max_closed_clients;
    int64_t ping_interval_ns, ping_max, write_deadline_ns;
    int64_t lame_duck_duration_ns, lame_duck_grace_ns;

    const char *store_dir; /* jetstream.store_dir wins */
    const char *no_auth_user, *system_account;
    bool no_system_account, allow_non_tls, consistent_reads;
    struct conf_tls tls;
    struct conf_auth authorization;
    struct conf_account *accounts;
    size_t account_count;
    struct conf_jetstream jetstream;
    struct conf_cluster cluster;
    struct conf_websocket websocket;
    struct conf_mqtt mqtt;
    struct conf_leafnodes leafnodes;
    struct conf_gateway gateway;
    const struct conf_node *mappings;

    const char *file; /* that was read; NULL: none */
    /* the loader's own */
    struct conf_tree tree;
    struct arena arena;
    struct conf_texts warnings;       /* for the log, once it is open */
    struct permissions **permissions; /* all that were made */
    size_t permissions_count;
    char error[4096]; /* lines, without a newline at the end */
    unsigned errors;
};

/* The defaults. */
void conf_init(struct conf *c);
/* Reads a file over what is there. On an error c->error says file:line:col: what, one line each,
 * and the conf is fit for conf_free only. */
NODISCARD int conf_read(struct conf *c, const char *path);
/* The same from memory, for tests. */
NODISCARD int conf_read_text(struct conf *c, const char *name, struct text text);
/* One value, as a flag or an environment variable gives it: conf_set(c, "cluster.name", "C1",
 * "--cluster_name"). E_MALFORMED with c->error; E_NOTFOUND when there is no such key. */
NODISCARD int conf_set(struct conf *c, const char *path, const char *value, const char *origin);
/* What several keys must agree on, and what follows from others. Call it last. */
NODISCARD int conf_finish(struct conf *c);
void conf_free(struct conf *c);

/* Tells what a reload would change: `changed` is called per key that may change while running.
 * E_INVAL with now->error: a key differs that may not, in nats-server's words; nothing may then be
 * applied. */
NODISCARD int conf_diff(const struct conf *was,
                        struct conf *now,
                        void (*changed)(void *ctx, const char *path),
                        void *ctx);
void conf_log_warnings(const struct conf *c);
