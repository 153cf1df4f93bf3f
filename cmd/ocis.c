/* ocis.c - see ocis.h. Each setting is a row: the variables that may set it (the last one that is
 * set wins), its path in YAML, its default, and where it goes in a conf. */
#include "cmd/ocis.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cmd/ocis_yaml.h"
#include "cmd/version.h"
#include "store/base/err.h"

#define OCIS_PATH_BYTES 4096
#define OCIS_HEALTH_S 10 /* as the probe of the chart waits */

enum ocis_type { OCIS_TEXT, OCIS_BOOL, OCIS_DATA_PATH };

static const struct ocis_row {
    const char *env, *yaml;
    enum ocis_type type;
    const char *absent;
    const char *conf;
} ocis_rows[OCIS_VALUES] = {
    /* clang-format off */
    /*                          variables                                               YAML                             type            default           conf */
    [OCIS_HOST]              = {"NATS_NATS_HOST",                                       "nats.host",                     OCIS_TEXT,      "127.0.0.1",      "host"},
    [OCIS_PORT]              = {"NATS_NATS_PORT",                                       "nats.port",                     OCIS_TEXT,      "9233",           "port"},
    [OCIS_CLUSTER_ID]        = {"NATS_NATS_CLUSTER_ID",                                 "nats.clusterid",                OCIS_TEXT,      "ocis-cluster",   "cluster.name"},
    [OCIS_STORE_DIR]         = {"NATS_NATS_STORE_DIR",                                  "nats.store_dir",                OCIS_DATA_PATH, "nats",           "jetstream.store_dir"},
    [OCIS_TLS_CERT]          = {"NATS_TLS_CERT",                                        "nats.tls_cert",                 OCIS_DATA_PATH, "nats/tls.crt",   NULL},
    [OCIS_TLS_KEY]           = {"NATS_TLS_KEY",                                         "nats.tls_key",                  OCIS_DATA_PATH, "nats/tls.key",   NULL},
    [OCIS_TLS_SKIP_VERIFY]   = {"OCIS_INSECURE;NATS_TLS_SKIP_VERIFY_CLIENT_CERT",       "nats.tls_skip_verify_client_cert", OCIS_BOOL,   "false",          NULL},
    [OCIS_ENABLE_TLS]        = {"OCIS_EVENTS_ENABLE_TLS;NATS_EVENTS_ENABLE_TLS",        "nats.enable_tls",               OCIS_BOOL,      "false",          NULL},
    [OCIS_AUTH_USER]         = {"OCIS_EVENTS_AUTH_USERNAME;NATS_EVENTS_AUTH_USERNAME",  "nats.auth_username",            OCIS_TEXT,      "",               "authorization.user"},
    [OCIS_AUTH_PASSWORD]     = {"OCIS_EVENTS_AUTH_PASSWORD;NATS_EVENTS_AUTH_PASSWORD",  "nats.auth_password",            OCIS_TEXT,      "",               "authorization.password"},
    [OCIS_LOG_LEVEL]         = {"OCIS_LOG_LEVEL;NATS_LOG_LEVEL",                        "log.level",                     OCIS_TEXT,      "error",          NULL},
    [OCIS_LOG_PRETTY]        = {"OCIS_LOG_PRETTY;NATS_LOG_PRETTY",                      "log.pretty",                    OCIS_BOOL,      "false",          NULL},
    [OCIS_LOG_COLOR]         = {"OCIS_LOG_COLOR;NATS_LOG_COLOR",                        "log.color",                     OCIS_BOOL,      "false",          NULL},
    [OCIS_LOG_FILE]          = {"OCIS_LOG_FILE;NATS_LOG_FILE",                          "log.file",                      OCIS_TEXT,      "",               "log_file"},
    [OCIS_DEBUG_ADDR]        = {"NATS_DEBUG_ADDR",                                      "debug.addr",                    OCIS_TEXT,      "127.0.0.1:9234", "http"},
    [OCIS_DEBUG_TOKEN]       = {"NATS_DEBUG_TOKEN",                                     "debug.token",                   OCIS_TEXT,      "",               NULL},
    [OCIS_SERVER_NAME]       = {"GANNET_SERVER_NAME",                                   "gannet.server_name",            OCIS_TEXT,      "",               "server_name"},
    [OCIS_CLUSTER_LISTEN]    = {"GANNET_CLUSTER_LISTEN",                                "gannet.cluster_listen",         OCIS_TEXT,      "",               "cluster.listen"},
    [OCIS_CLUSTER_ROUTES]    = {"GANNET_CLUSTER_ROUTES",                                "gannet.cluster_routes",         OCIS_TEXT,      "",               "cluster.routes"},
    [OCIS_CLUSTER_ADVERTISE] = {"GANNET_CLUSTER_ADVERTISE",                             "gannet.cluster_advertise",      OCIS_TEXT,      "",               "cluster.advertise"},
    [OCIS_CLUSTER_USER]      = {"GANNET_CLUSTER_USER",                                  "gannet.cluster_user",           OCIS_TEXT,      "",               "cluster.authorization.user"},
    [OCIS_CLUSTER_PASSWORD]  = {"GANNET_CLUSTER_PASSWORD",                              "gannet.cluster_password",       OCIS_TEXT,      "",               "cluster.authorization.password"},
    /* clang-format on */
};

/* ---- reading ---- */

static void ocis_set(struct ocis *o, size_t value, const char *text)
{
    free(o->values[value]);
    o->values[value] = check_strdup(text);
}

static void
base_path(const char *variable, const char *below_home, const char *container, char *out)
{
    const char *given = getenv(variable), *home = getenv("HOME");
    if (given != NULL && given[0] != 0)
        snprintf(out, OCIS_PATH_BYTES, "%s", given);
    else if (home != NULL && home[0] != 0)
        snprintf(out, OCIS_PATH_BYTES, "%s/%s", home, below_home);
    else
        snprintf(out, OCIS_PATH_BYTES, "%s", container);
}

static void ocis_defaults(struct ocis *o)
{
    char base[OCIS_PATH_BYTES], path[OCIS_PATH_BYTES + 64];
    base_path("OCIS_BASE_DATA_PATH", ".ocis", "/var/lib/ocis", base);
    for (size_t i = 0; i < OCIS_VALUES; i++) {
        const struct ocis_row *row = &ocis_rows[i];
        snprintf(path, sizeof path, "%s/%s", base, row->absent);
        ocis_set(o, i, row->type == OCIS_DATA_PATH ? path : row->absent);
    }
}

static void ocis_yaml_value(void *ctx, const char *path, const char *value)
{
    struct ocis *o = ctx;
    for (size_t i = 0; i < OCIS_VALUES; i++) {
        if (strcmp(ocis_rows[i].yaml, path) == 0) ocis_set(o, i, value);
    }
}

static int ocis_files(struct ocis *o)
{
    static const struct {
        const char *file, *section; /* section: what is above our paths in this file */
    } rows[] = {{"ocis.yaml", "nats."}, {"nats.yaml", ""}};
    char dir[OCIS_PATH_BYTES], path[OCIS_PATH_BYTES + 64];
    base_path("OCIS_CONFIG_DIR", ".ocis/config", "/etc/ocis", dir);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, rows[i].file);
        int rc =
            ocis_yaml_read(path, rows[i].section, ocis_yaml_value, o, o->error, sizeof o->error);
        if (rc != 0 && rc != E_NOTFOUND) return rc;
    }
    return 0;
}

static void ocis_environment(struct ocis *o)
{
    for (size_t i = 0; i < OCIS_VALUES; i++) {
        char names[128];
        char *rest = names;
        snprintf(names, sizeof names, "%s", ocis_rows[i].env);
        for (char *name; (name = strsep(&rest, ";")) != NULL;) {
            const char *value = getenv(name);
            if (value != NULL && value[0] != 0) ocis_set(o, i, value);
        }
    }
}

static bool bool_parse(const char *text, bool *out)
{
    static const char *const rows[][6] = {{"false", "0", "f", "F", "FALSE", "False"},
                                          {"true", "1", "t", "T", "TRUE", "True"}};
    for (size_t value = 0; value < 2; value++) {
        for (size_t i = 0; i < ARRAY_COUNT(rows[0]); i++) {
            *out = value == 1;
            if (strcmp(text, rows[value][i]) == 0) return true;
        }
    }
    return false;
}

static bool ocis_on(const struct ocis *o, enum ocis_value value)
{
    bool on = false;
    return bool_parse(o->values[value], &on) && on;
}

int ocis_read(struct ocis *o)
{
    *o = (struct ocis){0};
    ocis_defaults(o);
    int rc = ocis_files(o);
    if (rc != 0) return rc;
    ocis_environment(o);
    for (size_t i = 0; i < OCIS_VALUES; i++) {
        bool on;
        if (ocis_rows[i].type != OCIS_BOOL || bool_parse(o->values[i], &on)) continue;
        snprintf(o->error, sizeof o->error, "%s: '%.200s' is neither true nor false",
                 ocis_rows[i].env, o->values[i]);
        return E_MALFORMED;
    }
    return 0;
}

void ocis_free(struct ocis *o)
{
    for (size_t i = 0; i < OCIS_VALUES; i++)
        free(o->values[i]);
    *o = (struct ocis){0};
}

/* ---- into the program ---- */

int ocis_conf(struct ocis *o, struct conf *c)
{
    bool clustered =
        o->values[OCIS_CLUSTER_LISTEN][0] != 0 || o->values[OCIS_CLUSTER_ROUTES][0] != 0;
    if (ocis_on(o, OCIS_ENABLE_TLS)) {
        snprintf(c->error, sizeof c->error,
                 "TLS for clients (NATS_EVENTS_ENABLE_TLS, OCIS_EVENTS_ENABLE_TLS) is not there "
                 "yet: switch it off, or end TLS in front of this service");
        return E_INVAL;
    }
    if (clustered && o->values[OCIS_CLUSTER_LISTEN][0] == 0)
        ocis_set(o, OCIS_CLUSTER_LISTEN, "0.0.0.0:6222");
    if (strcmp(o->values[OCIS_PORT], "0") == 0) ocis_set(o, OCIS_PORT, "4222");
    int rc = conf_set(c, "jetstream.enabled", "true", "gannet server");
    for (size_t i = 0; i < OCIS_VALUES && rc == 0; i++) {
        const struct ocis_row *row = &ocis_rows[i];
        if (row->conf != NULL && o->values[i][0] != 0)
            rc = conf_set(c, row->conf, o->values[i], row->env);
    }
    return rc;
}

void ocis_node(const struct ocis *o, struct node_options *n)
{
    n->broker.debug_version = VERSION_GANNET;
    if (o->values[OCIS_DEBUG_TOKEN][0] != 0) n->broker.debug_token = o->values[OCIS_DEBUG_TOKEN];
}

void ocis_logger(const struct ocis *o, struct logger_options *l)
{
    static const struct {
        const char *name;
        enum logger_level least;
    } rows[] = {{"panic", LOGGER_FTL}, {"fatal", LOGGER_FTL},   {"error", LOGGER_ERR},
                {"warn", LOGGER_WRN},  {"warning", LOGGER_WRN}, {"info", LOGGER_INF},
                {"debug", LOGGER_DBG}, {"trace", LOGGER_TRC}};
    l->capped = true;
    l->least = LOGGER_ERR;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (strcasecmp(o->values[OCIS_LOG_LEVEL], rows[i].name) == 0) l->least = rows[i].least;
    }
    l->debug = l->least >= LOGGER_DBG;
    l->trace = l->least >= LOGGER_TRC;
    l->json = !ocis_on(o, OCIS_LOG_PRETTY);
    l->time = true;
    /* Pretty lines are for a console, whatever file is named. */
    if (!l->json) l->file = NULL;
}

/* ---- health ---- */

static int health_connect(const char *host, const char *port)
{
    static const struct timeval limit = {.tv_sec = OCIS_HEALTH_S};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    int fd = -1;
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* The status of the answer; 0: none. */
static int health_ask(int fd)
{
    static const char request[] = "GET /healthz HTTP/1.0\r\nHost: gannet\r\n\r\n";
    static const char head[] = "HTTP/1.1 ";
    char answer[64] = "";
    size_t bytes = 0;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1))
        return 0;
    while (bytes < sizeof head + 3) {
        ssize_t n = recv(fd, answer + bytes, sizeof answer - 1 - bytes, 0);
        if (n <= 0) return 0;
        bytes += (size_t)n;
    }
    if (strncmp(answer, head, sizeof head - 1) != 0) return 0;
    return (int)strtol(answer + sizeof head - 1, NULL, 10);
}

int ocis_health(struct ocis *o)
{
    char address[256];
    snprintf(address, sizeof address, "%s", o->values[OCIS_DEBUG_ADDR]);
    char *port = strrchr(address, ':');
    if (port == NULL) {
        snprintf(o->error, sizeof o->error, "NATS_DEBUG_ADDR: '%s' has no port", address);
        return E_MALFORMED;
    }
    *port++ = 0;
    bool any = address[0] == 0 || strcmp(address, "0.0.0.0") == 0;
    int fd = health_connect(any ? "127.0.0.1" : address, port);
    int status = fd < 0 ? 0 : health_ask(fd);
    if (fd >= 0) close(fd);
    if (status == 200) return 0;
    if (status == 0)
        snprintf(o->error, sizeof o->error, "nothing answers at %s:%s", address, port);
    else
        snprintf(o->error, sizeof o->error, "/healthz answers with status %d", status);
    return E_NET;
}
