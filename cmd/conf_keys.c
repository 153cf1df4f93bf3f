/* conf_keys.c - the table. Keys of nats-server that are not here are unknown to us too: the loader
 * refuses them by name. */
#include "cmd/conf_keys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cmd/conf_parse.h"
#include "store/base/limits.h"

#define S(n) ((int64_t)(n) * (int64_t)NS_PER_S)
#define YEAR S(365 * 86400)

#define IN(s, m) offsetof(struct s, m)
/* A key of nats-server without effect; one that can't be ignored. */
#define ACCEPTED(section, names, why)                                                              \
    {                                                                                              \
        section, names, CONF_T_NONE, 0, NULL, 0, 0, CONF_ACCEPTED, why, NULL                       \
    }
#define REFUSED(section, names, why)                                                               \
    {                                                                                              \
        section, names, CONF_T_NONE, 0, NULL, 0, 0, CONF_REFUSED, why, NULL                        \
    }
#define KEY(section, names, type, offset, initial, min, max, effect)                               \
    {                                                                                              \
        section, names, CONF_T_##type, offset, initial, min, max, CONF_##effect, NULL, NULL        \
    }
#define SECTION(section, names, offset, inner, effect)                                             \
    {                                                                                              \
        section, names, CONF_T_SECTION, offset, NULL, 0, 0, CONF_##effect, inner, NULL             \
    }
#define CUSTOM(section, names, offset, parse, effect)                                              \
    {                                                                                              \
        section, names, CONF_T_CUSTOM, offset, NULL, 0, 0, CONF_##effect, NULL, parse              \
    }

#define NO_OPERATOR                                                                                \
    "operator mode (accounts from JWTs) is not supported; configure accounts in the file"
#define NO_ENCRYPTION                                                                              \
    "the store is not encrypted by the server; remove the key and encrypt the volume"
#define IN_RAFT "every acknowledged write is synced on a majority; there is nothing to tune"
#define NO_LEAF "this node does not accept or dial leaf nodes"

/* clang-format off */
const struct conf_key conf_keys[] = {
    /* section  names                              type    field                                   initial     min max                          effect */
    KEY("", "listen",                              LISTEN, IN(conf, listen),                       NULL,       0, 0,                            RESTART),
    KEY("", "host|net|addr",                       TEXT,   IN(conf, listen.host),                  "0.0.0.0",  0, 0,                            RESTART),
    KEY("", "port",                                INT,    IN(conf, listen.port),                  NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("", "client_advertise",                    TEXT,   IN(conf, listen.advertise),             NULL,       0, 0,                            RESTART),
    KEY("", "server_name",                         TEXT,   IN(conf, server_name),                  NULL,       0, 0,                            RESTART),
    KEY("", "server_tags",                         TEXTS,  IN(conf, server_tags),                  NULL,       0, 0,                            LIVE),
    KEY("", "server_metadata",                     NODE,   IN(conf, server_metadata),              NULL,       0, 0,                            LIVE),
    KEY("", "debug",                               BOOL,   IN(conf, debug),                        "false",    0, 0,                            LIVE),
    KEY("", "trace",                               BOOL,   IN(conf, trace),                        "false",    0, 0,                            LIVE),
    KEY("", "logtime",                             BOOL,   IN(conf, logtime),                      "true",     0, 0,                            LIVE),
    KEY("", "logtime_utc",                         BOOL,   IN(conf, logtime_utc),                  "false",    0, 0,                            LIVE),
    KEY("", "log_file|logfile",                    TEXT,   IN(conf, log_file),                     NULL,       0, 0,                            LIVE),
    KEY("", "logfile_size_limit|log_size_limit",   INT,    IN(conf, log_bytes_max),                "0",        0, INT64_MAX,                    LIVE),
    KEY("", "logfile_max_num|log_max_num",         INT,    IN(conf, log_files_max),                "0",        0, 100000,                       LIVE),
    KEY("", "pid_file|pidfile",                    TEXT,   IN(conf, pid_file),                     NULL,       0, 0,                            LIVE),
    KEY("", "ports_file_dir",                      TEXT,   IN(conf, ports_file_dir),               NULL,       0, 0,                            LIVE),
    KEY("", "http",                                LISTEN, IN(conf, http),                         NULL,       0, 0,                            RESTART),
    KEY("", "http_port|monitor_port",              INT,    IN(conf, http.port),                    NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("", "http_base_path",                      TEXT,   IN(conf, http_base_path),               "/",        0, 0,                            RESTART),
    KEY("", "max_control_line",                    INT,    IN(conf, max_control_line),             "4096",     1, LIMIT_CONTROL_LINE_BYTES,     LIVE),
    KEY("", "max_payload",                         INT,    IN(conf, max_payload),                  "1048576",  1, LIMIT_PAYLOAD_BYTES,          LIVE),
    KEY("", "max_pending",                         INT,    IN(conf, max_pending),                  "67108864", 1, GIB(16),                      LIVE),
    KEY("", "max_connections|max_conn",            INT,    IN(conf, max_connections),              "65536",    -1, UINT32_MAX,                  LIVE),
    KEY("", "max_subscriptions|max_subs",          INT,    IN(conf, max_subscriptions),            "0",        -1, UINT32_MAX,                  LIVE),
    KEY("", "max_closed_clients",                  INT,    IN(conf, max_closed_clients),           "10000",    0, 1000000,                      LIVE),
    KEY("", "ping_interval",                       NS,     IN(conf, ping_interval_ns),             "2m",       1000000, YEAR,                   LIVE),
    KEY("", "ping_max",                            INT,    IN(conf, ping_max),                     "2",        0, 1000,                         LIVE),
    KEY("", "write_deadline",                      NS,     IN(conf, write_deadline_ns),            "10s",      1000000, YEAR,                   LIVE),
    KEY("", "lame_duck_duration",                  NS,     IN(conf, lame_duck_duration_ns),        "2m",       S(30), YEAR,                     LIVE),
    KEY("", "lame_duck_grace_period",              NS,     IN(conf, lame_duck_grace_ns),           "10s",      0, YEAR,                         LIVE),
    KEY("", "store_dir|storedir",                  TEXT,   IN(conf, store_dir),                    NULL,       0, 0,                            RESTART),
    KEY("", "no_auth_user",                        TEXT,   IN(conf, no_auth_user),                 NULL,       0, 0,                            LIVE),
    KEY("", "system_account|system",               TEXT,   IN(conf, system_account),               NULL,       0, 0,                            RESTART),
    KEY("", "no_system_account|no_system",         BOOL,   IN(conf, no_system_account),            "false",    0, 0,                            RESTART),
    KEY("", "allow_non_tls",                       BOOL,   IN(conf, allow_non_tls),                "false",    0, 0,                            LIVE),
    KEY("", "consistent_reads",                    BOOL,   IN(conf, consistent_reads),             "true",     0, 0,                            RESTART),
    KEY("", "mappings|maps",                       NODE,   IN(conf, mappings),                     NULL,       0, 0,                            LIVE),
    SECTION("", "tls",                             IN(conf, tls),                                  "tls",                                       LIVE),
    SECTION("", "authorization",                   IN(conf, authorization),                        "authorization",                             LIVE),
    SECTION("", "cluster",                         IN(conf, cluster),                              "cluster",                                   RESTART),
    SECTION("", "websocket|ws",                    IN(conf, websocket),                            "websocket",                                 RESTART),
    SECTION("", "mqtt",                            IN(conf, mqtt),                                 "mqtt",                                      RESTART),
    SECTION("", "leafnodes|leaf",                  IN(conf, leafnodes),                            "leafnodes",                                 RESTART),
    SECTION("", "gateway",                         IN(conf, gateway),                              "gateway",                                   RESTART),
    CUSTOM("", "accounts",                         0,                                              conf_parse_accounts,                         LIVE),
    CUSTOM("", "jetstream",                        IN(conf, jetstream),                            conf_parse_jetstream,                        RESTART),
    ACCEPTED("", "trace_verbose",                  "trace lines are the same either way"),
    ACCEPTED("", "trace_headers",                  "headers are traced like payloads, as a size"),
    ACCEPTED("", "max_traced_msg_len",             "payloads are never written to the log"),
    ACCEPTED("", "syslog",                         "lines go to stderr or log_file"),
    ACCEPTED("", "remote_syslog",                  "lines go to stderr or log_file"),
    ACCEPTED("", "prof_port|prof_block_rate",      "there is no profiling port; use perf"),
    ACCEPTED("", "https",                          "monitoring is plain HTTP; use http and a proxy"),
    ACCEPTED("", "https_port",                     "monitoring is plain HTTP; use http_port and a proxy"),
    ACCEPTED("", "max_sub_tokens",                 "subjects are bounded by max_control_line"),
    ACCEPTED("", "write_timeout",                  "a client that is behind its write_deadline is closed"),
    ACCEPTED("", "no_header_support|no_header",    "headers are always supported"),
    ACCEPTED("", "connect_error_reports",          "repeated lines are counted, not written"),
    ACCEPTED("", "reconnect_error_reports",        "repeated lines are counted, not written"),
    ACCEPTED("", "ocsp",                           "certificates are served without a stapled answer"),
    ACCEPTED("", "ocsp_cache",                     "certificates are served without a stapled answer"),
    ACCEPTED("", "default_js_domain",              "it concerns leaf nodes"),
    ACCEPTED("", "no_sublist_cache|disable_sublist_cache", "the subject cache is bounded"),
    ACCEPTED("", "no_fast_producer_stall",         "a fast producer is slowed by its own socket"),
    ACCEPTED("", "feature_flags",                  "there are none"),
    ACCEPTED("", "resolver_preload",               "accounts come from the file"),
    ACCEPTED("", "resolver_tls",                   "accounts come from the file"),
    ACCEPTED("", "proxies",                        "connections from proxies are treated as any other"),
    ACCEPTED("", "default_sentinel",               "it concerns operator mode"),
    REFUSED("", "proxy_protocol",                  "the PROXY protocol is not supported"),
    REFUSED("", "operator|operators|roots|root",   NO_OPERATOR),
    REFUSED("", "trusted|trusted_keys",            NO_OPERATOR),
    REFUSED("", "resolver|account_resolver|accounts_resolver", NO_OPERATOR),

    KEY("jetstream", "enabled|enable",             BOOL,   IN(conf_jetstream, enabled),            "false",    0, 0,                            RESTART),
    KEY("jetstream", "store_dir|storedir|store",   TEXT,   IN(conf_jetstream, store_dir),          NULL,       0, 0,                            RESTART),
    KEY("jetstream", "max_memory_store|max_mem|max_mem_store|max_memory", SIZE, IN(conf_jetstream, max_memory), "-1", -1, INT64_MAX,             RESTART),
    KEY("jetstream", "max_file_store|max_file",    SIZE,   IN(conf_jetstream, max_storage),        "-1",       -1, INT64_MAX,                   RESTART),
    KEY("jetstream", "domain",                     TEXT,   IN(conf_jetstream, domain),             NULL,       0, 0,                            RESTART),
    KEY("jetstream", "strict",                     BOOL,   IN(conf_jetstream, strict),             "true",     0, 0,                            RESTART),
    SECTION("jetstream", "limits",                 IN(conf_jetstream, limits),                     "jetstream.limits",                          RESTART),
    ACCEPTED("jetstream", "sync_interval|sync|sync_always", IN_RAFT),
    ACCEPTED("jetstream", "unique_tag",            "every voter holds every stream"),
    ACCEPTED("jetstream", "extension_hint",        "it concerns leaf nodes"),
    ACCEPTED("jetstream", "max_outstanding_catchup", IN_RAFT),
    ACCEPTED("jetstream", "max_buffered_size",     IN_RAFT),
    ACCEPTED("jetstream", "max_buffered_msgs",     IN_RAFT),
    ACCEPTED("jetstream", "request_queue_limit",   "requests wait in a queue bounded by memory"),
    ACCEPTED("jetstream", "info_queue_limit",      "requests wait in a queue bounded by memory"),
    ACCEPTED("jetstream", "meta_compact|meta_compact_size|meta_compact_sync", IN_RAFT),
    ACCEPTED("jetstream", "max_concurrent_io",     "reads and writes have threads of their own"),
    REFUSED("jetstream", "key|ek|encryption_key",  NO_ENCRYPTION),
    REFUSED("jetstream", "prev_key|prev_ek|prev_encryption_key", NO_ENCRYPTION),
    REFUSED("jetstream", "cipher",                 NO_ENCRYPTION),
    REFUSED("jetstream", "tpm",                    NO_ENCRYPTION),
    KEY("jetstream.limits", "max_ack_pending",     INT,    IN(conf_js_limits, max_ack_pending),    "0",        -1, INT32_MAX,                   RESTART),
    KEY("jetstream.limits", "max_ha_assets",       INT,    IN(conf_js_limits, max_ha_assets),      "0",        -1, INT32_MAX,                   RESTART),
    KEY("jetstream.limits", "max_request_batch",   INT,    IN(conf_js_limits, max_request_batch),  "0",        -1, INT32_MAX,                   RESTART),
    KEY("jetstream.limits", "duplicate_window",    NS,     IN(conf_js_limits, duplicate_window_ns), "0",       0, YEAR,                         RESTART),
    ACCEPTED("jetstream.limits", "batch",          "batches are bounded by memory"),

    KEY("cluster", "name",                         TEXT,   IN(conf_cluster, name),                 NULL,       0, 0,                            RESTART),
    CUSTOM("cluster", "listen",                    0,                                              conf_parse_cluster_listen,                   RESTART),
    KEY("cluster", "host|net",                     TEXT,   IN(conf_cluster, listen.host),          NULL,       0, 0,                            RESTART),
    KEY("cluster", "port",                         INT,    IN(conf_cluster, listen.port),          NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("cluster", "advertise|cluster_advertise",  TEXT,   IN(conf_cluster, listen.advertise),     NULL,       0, 0,                            RESTART),
    KEY("cluster", "no_advertise",                 BOOL,   IN(conf_cluster, listen.no_advertise),  "false",    0, 0,                            LIVE),
    KEY("cluster", "connect_retries",              INT,    IN(conf_cluster, connect_retries),      "0",        0, INT32_MAX,                    LIVE),
    KEY("cluster", "connect_backoff",              BOOL,   IN(conf_cluster, connect_backoff),      "false",    0, 0,                            LIVE),
    SECTION("cluster", "authorization",            IN(conf_cluster, authorization),                "authorization",                             LIVE),
    SECTION("cluster", "tls",                      IN(conf_cluster, tls),                          "tls",                                       RESTART),
    CUSTOM("cluster", "routes",                    0,                                              conf_parse_routes,                           LIVE),
    ACCEPTED("cluster", "pool_size",               "two connections join each pair of nodes"),
    ACCEPTED("cluster", "accounts",                "accounts have no routes of their own"),
    ACCEPTED("cluster", "compression",             "links are not compressed"),
    ACCEPTED("cluster", "ping_interval|ping_max|write_deadline|write_timeout", "links watch themselves"),
    REFUSED("cluster", "permissions",              "subjects can't be held back from cluster links; remove it"),

    KEY("authorization", "user|username",          TEXT,   IN(conf_auth, user),                    NULL,       0, 0,                            LIVE),
    KEY("authorization", "password|pass",          TEXT,   IN(conf_auth, password),                NULL,       0, 0,                            LIVE),
    KEY("authorization", "token",                  TEXT,   IN(conf_auth, token),                   NULL,       0, 0,                            LIVE),
    KEY("authorization", "timeout",                NS,     IN(conf_auth, timeout_ns),              "2s",       1000000, S(3600),                LIVE),
    CUSTOM("authorization", "users",               IN(conf_auth, users),                           conf_parse_users,                            LIVE),
    CUSTOM("authorization", "default_permissions|default_permission", IN(conf_auth, default_permissions), conf_parse_permissions,               LIVE),
    CUSTOM("authorization", "permissions",         IN(conf_auth, permissions),                     conf_parse_permissions,                      LIVE),
    ACCEPTED("authorization", "proxy_required",    "connections from proxies are treated as any other"),
    REFUSED("authorization", "auth_callout|auth_hook", "authorization by callout is not supported"),

    KEY("user", "user|username",                   TEXT,   IN(conf_user, name),                    NULL,       0, 0,                            LIVE),
    KEY("user", "password|pass",                   TEXT,   IN(conf_user, password),                NULL,       0, 0,                            LIVE),
    KEY("user", "nkey",                            TEXT,   IN(conf_user, nkey),                    NULL,       0, 0,                            LIVE),
    CUSTOM("user", "permissions|permission|authorization", IN(conf_user, permissions),             conf_parse_permissions,                      LIVE),
    KEY("user", "allowed_connection_types|connection_types|clients", TEXTS, IN(conf_user, connection_types), NULL, 0, 0,                         LIVE),
    ACCEPTED("user", "proxy_required",             "connections from proxies are treated as any other"),

    CUSTOM("account", "users",                     IN(conf_account, users),                        conf_parse_users,                            LIVE),
    KEY("account", "nkey",                         TEXT,   IN(conf_account, nkey),                 NULL,       0, 0,                            LIVE),
    CUSTOM("account", "default_permissions|default_permission", IN(conf_account, default_permissions), conf_parse_permissions,                  LIVE),
    CUSTOM("account", "jetstream",                 IN(conf_account, jetstream),                    conf_parse_account_js,                       LIVE),
    SECTION("account", "limits",                   IN(conf_account, limits),                       "account.limits",                            LIVE),
    CUSTOM("account", "exports",                   0,                                              conf_parse_exports,                          LIVE),
    CUSTOM("account", "imports",                   0,                                              conf_parse_imports,                          LIVE),
    KEY("account", "mappings|maps",                NODE,   IN(conf_account, mappings),             NULL,       0, 0,                            LIVE),
    KEY("account", "msg_trace|trace_dest",         NODE,   IN(conf_account, msg_trace),            NULL,       0, 0,                            LIVE),
    KEY("account.jetstream", "enabled|enable",     BOOL,   IN(conf_account_js, enabled),           "false",    0, 0,                            LIVE),
    KEY("account.jetstream", "max_memory|max_mem|mem|memory", SIZE, IN(conf_account_js, max_memory), "-1",     -1, INT64_MAX,                   LIVE),
    KEY("account.jetstream", "max_store|max_file|max_disk|store|disk", SIZE, IN(conf_account_js, max_storage), "-1", -1, INT64_MAX,             LIVE),
    KEY("account.jetstream", "max_streams|streams", INT,   IN(conf_account_js, max_streams),       "-1",       -1, INT32_MAX,                   LIVE),
    KEY("account.jetstream", "max_consumers|consumers", INT, IN(conf_account_js, max_consumers),   "-1",       -1, INT32_MAX,                   LIVE),
    KEY("account.jetstream", "max_ack_pending",    INT,    IN(conf_account_js, max_ack_pending),   "-1",       -1, INT32_MAX,                   LIVE),
    KEY("account.jetstream", "max_bytes_required|max_stream_bytes|max_bytes", BOOL, IN(conf_account_js, max_bytes_required), "false", 0, 0,      LIVE),
    KEY("account.jetstream", "mem_max_stream_bytes|memory_max_stream_bytes", SIZE, IN(conf_account_js, memory_stream_bytes), "0", -1, INT64_MAX, LIVE),
    KEY("account.jetstream", "disk_max_stream_bytes|store_max_stream_bytes", SIZE, IN(conf_account_js, disk_stream_bytes), "0", -1, INT64_MAX,  LIVE),
    KEY("account.jetstream", "cluster_traffic",    TEXT,   IN(conf_account_js, cluster_traffic),   NULL,       0, 0,                            LIVE),
    KEY("account.limits", "max_connections|max_conn", INT, IN(conf_account_limits, max_connections), "-1",     -1, INT32_MAX,                   LIVE),
    KEY("account.limits", "max_subscriptions|max_subs", INT, IN(conf_account_limits, max_subscriptions), "-1", -1, INT32_MAX,                   LIVE),
    KEY("account.limits", "max_payload|max_pay",   INT,    IN(conf_account_limits, max_payload),   "-1",       -1, INT32_MAX,                   LIVE),
    KEY("account.limits", "max_leafnodes|max_leafs", INT,  IN(conf_account_limits, max_leafnodes), "-1",       -1, INT32_MAX,                   LIVE),
    KEY("export", "stream",                        TEXT,   IN(conf_export, stream),                NULL,       0, 0,                            LIVE),
    KEY("export", "service",                       TEXT,   IN(conf_export, service),               NULL,       0, 0,                            LIVE),
    KEY("export", "accounts",                      TEXTS,  IN(conf_export, accounts),              NULL,       0, 0,                            LIVE),
    KEY("export", "response|response_type",        TEXT,   IN(conf_export, response_type),         NULL,       0, 0,                            LIVE),
    KEY("export", "threshold|response_threshold|response_max_time|response_time", NS, IN(conf_export, response_threshold_ns), "0", 0, YEAR,      LIVE),
    KEY("export", "latency",                       NODE,   IN(conf_export, latency),               NULL,       0, 0,                            LIVE),
    KEY("export", "account_token_position",        INT,    IN(conf_export, account_token_position), "0",       0, 1000,                         LIVE),
    KEY("export", "allow_trace",                   BOOL,   IN(conf_export, allow_trace),           "false",    0, 0,                            LIVE),
    CUSTOM("import", "stream",                     0,                                              conf_parse_import_from,                      LIVE),
    CUSTOM("import", "service",                    0,                                              conf_parse_import_from,                      LIVE),
    KEY("import", "prefix",                        TEXT,   IN(conf_import, prefix),                NULL,       0, 0,                            LIVE),
    KEY("import", "to",                            TEXT,   IN(conf_import, to),                    NULL,       0, 0,                            LIVE),
    KEY("import", "share",                         BOOL,   IN(conf_import, share),                 "false",    0, 0,                            LIVE),
    KEY("import", "allow_trace",                   BOOL,   IN(conf_import, allow_trace),           "false",    0, 0,                            LIVE),
    KEY("import.from", "account",                  TEXT,   IN(conf_import, account),               NULL,       0, 0,                            LIVE),
    KEY("import.from", "subject",                  TEXT,   IN(conf_import, subject),               NULL,       0, 0,                            LIVE),

    KEY("tls", "cert_file",                        TEXT,   IN(conf_tls, cert_file),                NULL,       0, 0,                            LIVE),
    KEY("tls", "key_file",                         TEXT,   IN(conf_tls, key_file),                 NULL,       0, 0,                            LIVE),
    KEY("tls", "ca_file",                          TEXT,   IN(conf_tls, ca_file),                  NULL,       0, 0,                            LIVE),
    KEY("tls", "verify",                           BOOL,   IN(conf_tls, verify),                   "false",    0, 0,                            LIVE),
    KEY("tls", "verify_and_map",                   BOOL,   IN(conf_tls, verify_and_map),           "false",    0, 0,                            LIVE),
    KEY("tls", "insecure",                         BOOL,   IN(conf_tls, insecure),                 "false",    0, 0,                            LIVE),
    KEY("tls", "cipher_suites",                    TEXTS,  IN(conf_tls, cipher_suites),            NULL,       0, 0,                            LIVE),
    KEY("tls", "curve_preferences",                TEXTS,  IN(conf_tls, curve_preferences),        NULL,       0, 0,                            LIVE),
    KEY("tls", "min_version",                      TEXT,   IN(conf_tls, min_version),              NULL,       0, 0,                            LIVE),
    KEY("tls", "timeout",                          NS,     IN(conf_tls, timeout_ns),               "2s",       1000000, S(3600),                LIVE),
    KEY("tls", "pinned_certs",                     TEXTS,  IN(conf_tls, pinned_certs),             NULL,       0, 0,                            LIVE),
    KEY("tls", "connection_rate_limit",            INT,    IN(conf_tls, connection_rate_limit),    "0",        0, INT32_MAX,                    LIVE),
    CUSTOM("tls", "handshake_first|first|immediate", IN(conf_tls, handshake_first),                conf_parse_handshake_first,                  LIVE),
    KEY("tls", "certs",                            NODE,   IN(conf_tls, certs),                    NULL,       0, 0,                            LIVE),
    ACCEPTED("tls", "allow_insecure_cipher_suites", "the TLS library decides which ciphers are safe"),
    ACCEPTED("tls", "ocsp_disable_for_mutual",     "certificates are served without a stapled answer"),
    REFUSED("tls", "ocsp_peer",                    "a peer's certificate isn't checked by OCSP; remove it"),
    REFUSED("tls", "verify_cert_and_check_known_urls", "a peer's certificate isn't matched to URLs; use verify"),

    KEY("websocket", "listen",                     LISTEN, IN(conf_websocket, listen),             NULL,       0, 0,                            RESTART),
    KEY("websocket", "host|net",                   TEXT,   IN(conf_websocket, listen.host),        NULL,       0, 0,                            RESTART),
    KEY("websocket", "port",                       INT,    IN(conf_websocket, listen.port),        NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("websocket", "advertise",                  TEXT,   IN(conf_websocket, listen.advertise),   NULL,       0, 0,                            RESTART),
    SECTION("websocket", "tls",                    IN(conf_websocket, tls),                        "tls",                                       RESTART),
    SECTION("websocket", "authorization|authentication", IN(conf_websocket, authorization),        "authorization",                             LIVE),
    KEY("websocket", "no_tls",                     BOOL,   IN(conf_websocket, no_tls),             "false",    0, 0,                            RESTART),
    KEY("websocket", "same_origin",                BOOL,   IN(conf_websocket, same_origin),        "false",    0, 0,                            LIVE),
    KEY("websocket", "allowed_origins|allowed_origin|allow_origins|allow_origin|origins|origin", TEXTS, IN(conf_websocket, allowed_origins), NULL, 0, 0, LIVE),
    KEY("websocket", "handshake_timeout",          NS,     IN(conf_websocket, handshake_timeout_ns), "2s",     1000000, S(3600),                RESTART),
    KEY("websocket", "ping_interval",              NS,     IN(conf_websocket, ping_interval_ns),   "0",        0, YEAR,                         RESTART),
    KEY("websocket", "compression|compress",       BOOL,   IN(conf_websocket, compression),        "false",    0, 0,                            RESTART),
    KEY("websocket", "no_auth_user",               TEXT,   IN(conf_websocket, no_auth_user),       NULL,       0, 0,                            LIVE),
    KEY("websocket", "jwt_cookie",                 TEXT,   IN(conf_websocket, jwt_cookie),         NULL,       0, 0,                            RESTART),
    KEY("websocket", "user_cookie",                TEXT,   IN(conf_websocket, user_cookie),        NULL,       0, 0,                            RESTART),
    KEY("websocket", "pass_cookie",                TEXT,   IN(conf_websocket, pass_cookie),        NULL,       0, 0,                            RESTART),
    KEY("websocket", "token_cookie",               TEXT,   IN(conf_websocket, token_cookie),       NULL,       0, 0,                            RESTART),
    KEY("websocket", "headers",                    NODE,   IN(conf_websocket, headers),            NULL,       0, 0,                            RESTART),

    KEY("mqtt", "listen",                          LISTEN, IN(conf_mqtt, listen),                  NULL,       0, 0,                            RESTART),
    KEY("mqtt", "host|net",                        TEXT,   IN(conf_mqtt, listen.host),             NULL,       0, 0,                            RESTART),
    KEY("mqtt", "port",                            INT,    IN(conf_mqtt, listen.port),             NULL,       -1, UINT16_MAX,                  RESTART),
    SECTION("mqtt", "tls",                         IN(conf_mqtt, tls),                             "tls",                                       RESTART),
    SECTION("mqtt", "authorization|authentication", IN(conf_mqtt, authorization),                  "authorization",                             LIVE),
    KEY("mqtt", "no_auth_user",                    TEXT,   IN(conf_mqtt, no_auth_user),            NULL,       0, 0,                            LIVE),
    KEY("mqtt", "ack_wait|ackwait",                NS,     IN(conf_mqtt, ack_wait_ns),             "30s",      0, YEAR,                         RESTART),
    KEY("mqtt", "max_ack_pending|max_pending|max_inflight", INT, IN(conf_mqtt, max_ack_pending),   "100",      0, UINT16_MAX,                   RESTART),
    KEY("mqtt", "js_domain",                       TEXT,   IN(conf_mqtt, js_domain),               NULL,       0, 0,                            RESTART),
    KEY("mqtt", "stream_replicas",                 INT,    IN(conf_mqtt, stream_replicas),         "0",        0, 5,                            RESTART),
    KEY("mqtt", "consumer_replicas",               INT,    IN(conf_mqtt, consumer_replicas),       "0",        0, 5,                            RESTART),
    ACCEPTED("mqtt", "ack_timeout|js_api_timeout|api_timeout", "acknowledgments have no timeout of their own"),
    ACCEPTED("mqtt", "consumer_memory_storage|consumer_inactive_threshold|consumer_auto_cleanup", "MQTT consumers are kept like any other"),
    ACCEPTED("mqtt", "reject_qos2_publish|downgrade_qos2_subscribe", "QoS 2 is handled as asked for"),

    KEY("leafnodes", "listen",                     LISTEN, IN(conf_leafnodes, listen),             NULL,       0, 0,                            RESTART),
    KEY("leafnodes", "host|net",                   TEXT,   IN(conf_leafnodes, listen.host),        NULL,       0, 0,                            RESTART),
    KEY("leafnodes", "port",                       INT,    IN(conf_leafnodes, listen.port),        NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("leafnodes", "advertise",                  TEXT,   IN(conf_leafnodes, listen.advertise),   NULL,       0, 0,                            RESTART),
    KEY("leafnodes", "no_advertise",               BOOL,   IN(conf_leafnodes, listen.no_advertise), "false",   0, 0,                            RESTART),
    SECTION("leafnodes", "tls",                    IN(conf_leafnodes, tls),                        "tls",                                       RESTART),
    SECTION("leafnodes", "authorization",          IN(conf_leafnodes, authorization),              "authorization",                             LIVE),
    KEY("leafnodes", "remotes",                    NODE,   IN(conf_leafnodes, remotes),            NULL,       0, 0,                            RESTART),
    ACCEPTED("leafnodes", "reconnect|reconnect_delay|reconnect_interval", NO_LEAF),
    ACCEPTED("leafnodes", "min_version|isolate|isolate_leafnode_interest|compression|write_deadline|write_timeout", NO_LEAF),

    KEY("gateway", "name",                         TEXT,   IN(conf_gateway, name),                 NULL,       0, 0,                            RESTART),
    KEY("gateway", "listen",                       LISTEN, IN(conf_gateway, listen),               NULL,       0, 0,                            RESTART),
    KEY("gateway", "host|net",                     TEXT,   IN(conf_gateway, listen.host),          NULL,       0, 0,                            RESTART),
    KEY("gateway", "port",                         INT,    IN(conf_gateway, listen.port),          NULL,       -1, UINT16_MAX,                  RESTART),
    KEY("gateway", "advertise",                    TEXT,   IN(conf_gateway, listen.advertise),     NULL,       0, 0,                            RESTART),
    SECTION("gateway", "tls",                      IN(conf_gateway, tls),                          "tls",                                       RESTART),
    SECTION("gateway", "authorization",            IN(conf_gateway, authorization),                "authorization",                             LIVE),
    KEY("gateway", "gateways",                     NODE,   IN(conf_gateway, gateways),             NULL,       0, 0,                            RESTART),
    ACCEPTED("gateway", "connect_retries|connect_backoff|reject_unknown|reject_unknown_cluster|write_deadline", "clusters are not joined by gateways"),
};
/* clang-format on */
const size_t conf_keys_count = ARRAY_COUNT(conf_keys);

/* The next of names a|b|c; empty: none is left. */
static struct text next_name(const char **names)
{
    const char *from = *names, *bar = strchr(from, '|');
    size_t bytes = bar == NULL ? strlen(from) : (size_t)(bar - from);
    *names = bar == NULL ? from + bytes : bar + 1;
    return (struct text){.at = from, .bytes = bytes};
}

const struct conf_key *conf_keys_find(const char *section, const char *name)
{
    size_t bytes = strlen(name);
    for (const struct conf_key *k = conf_keys; k < ARRAY_END(conf_keys); k++) {
        if (strcmp(k->section, section) != 0) continue;
        const char *names = k->names;
        for (struct text t; (t = next_name(&names)).bytes != 0;) {
            if (t.bytes == bytes && strncasecmp(t.at, name, bytes) == 0) return k;
        }
    }
    return NULL;
}

#define NAME_BYTES 40

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* How many letters must change, come or go to make a from b; large when one is too long to bother.
 */
static size_t distance(struct text a, struct text b)
{
    size_t row[NAME_BYTES + 1];
    if (a.bytes > NAME_BYTES || b.bytes > NAME_BYTES) return NAME_BYTES;
    for (size_t j = 0; j <= b.bytes; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.bytes; j++) {
            size_t best = diagonal + (lower(a.at[i - 1]) != lower(b.at[j - 1]));
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.bytes];
}

const char *conf_keys_nearest(const char *section, const char *name, char *buffer, size_t bytes)
{
    struct text wanted = text_of(name), best = {0};
    size_t best_distance = wanted.bytes / 3 + 1;
    if (best_distance > 3) best_distance = 3;
    for (const struct conf_key *k = conf_keys; k < ARRAY_END(conf_keys); k++) {
        if (strcmp(k->section, section) != 0 || k->effect == CONF_REFUSED) continue;
        const char *names = k->names;
        for (struct text t; (t = next_name(&names)).bytes != 0;) {
            size_t d = distance(wanted, t);
            if (d > best_distance || (d == best_distance && best.bytes != 0)) continue;
            best = t;
            best_distance = d;
        }
    }
    if (best.bytes == 0 || best_distance >= wanted.bytes) return NULL;
    snprintf(buffer, bytes, "%.*s", (int)best.bytes, best.at);
    return buffer;
}

const char *conf_keys_name(const struct conf_key *k, char *buffer, size_t bytes)
{
    const char *names = k->names;
    struct text first = next_name(&names);
    snprintf(buffer, bytes, "%.*s", (int)first.bytes, first.at);
    return buffer;
}
