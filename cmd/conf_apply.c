/* conf_apply.c - see conf_apply.h. */
#include "cmd/conf_apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/units.h"

#define SHARE_PERCENT 75 /* of memory and free disk, as nats-server takes them */
#define DISK_UNKNOWN_BYTES (INT64_C(1) << 40)

/* 0 is 'not given' and -1 'any free one' there; -1 is 'off' and 0 'any' here. */
static int port_or_off(int64_t port)
{
    return port == 0 ? -1 : port < 0 ? 0 : (int)port;
}

static int port_or_any(int64_t port)
{
    return port < 0 ? 0 : (int)port;
}

/* ---- limits ---- */

static uint32_t unlimited(int64_t value, uint32_t none)
{
    return value <= 0 ? none : (uint32_t)value;
}

void conf_apply_limits(const struct conf *c, struct broker_options *o)
{
    o->max_payload = (uint64_t)c->max_payload;
    o->max_control_line = (uint64_t)c->max_control_line;
    o->max_pending = (uint64_t)c->max_pending;
    o->max_connections = unlimited(c->max_connections, UINT32_MAX);
    o->max_subscriptions = unlimited(c->max_subscriptions, 0);
    o->max_closed_clients = (uint32_t)c->max_closed_clients;
    o->ping_interval_ns = (uint64_t)c->ping_interval_ns;
    o->ping_max = (uint32_t)c->ping_max;
    o->write_deadline_ns = (uint64_t)c->write_deadline_ns;
    o->auth_timeout_ns = (uint64_t)c->authorization.timeout_ns;
    o->lame_duck_duration_ns = (uint64_t)c->lame_duck_duration_ns;
    o->lame_duck_grace_ns = (uint64_t)c->lame_duck_grace_ns;
    o->no_advertise = c->cluster.listen.no_advertise;
}

/* ---- accounts and users ---- */

static void set_account(struct account *to, const struct conf_account *a, const struct conf *c)
{
    const struct conf_account_js *js = &a->jetstream;
    to->jetstream = c->jetstream.enabled && js->enabled;
    to->max_conns = a->limits.max_connections;
    to->max_subs = a->limits.max_subscriptions;
    to->max_memory = js->max_memory;
    to->max_storage = js->max_storage;
    to->max_streams = js->max_streams;
    to->max_consumers = js->max_consumers;
    to->max_ack_pending = js->max_ack_pending;
}

static void set_accounts(const struct conf *c, struct accounts *accounts)
{
    bool only_builtin = true;
    const char *system = c->system_account == NULL ? "$SYS" : c->system_account;
    struct account *global = accounts_global(accounts);
    for (struct account *at = NULL; (at = accounts_next(accounts, at)) != NULL;)
        at->jetstream = false;
    for (size_t i = 0; i < c->account_count; i++) {
        const char *name = c->accounts[i].name;
        set_account(accounts_add(accounts, text_of(name)), &c->accounts[i], c);
        if (strcmp(name, "$G") != 0 && strcmp(name, system) != 0) only_builtin = false;
    }
    for (struct account *at = NULL; (at = accounts_next(accounts, at)) != NULL;)
        at->system = strcmp(at->name, system) == 0;
    /* Where nobody named accounts, the one that there is has JetStream; else those that ask for it.
     */
    if (only_builtin) global->jetstream = c->jetstream.enabled;
}

static void add_user(struct conf_applied *a,
                     const char *name,
                     const char *password,
                     struct account *account,
                     struct permissions *permissions)
{
    size_t bytes = (a->user_count + 1) * sizeof *a->users;
    a->users = check_realloc(a->users, bytes);
    a->users[a->user_count++] = (struct broker_user){
        .name = check_strdup(name),
        .password = check_strdup(password == NULL ? "" : password),
        .account = account,
        .permissions = permissions,
    };
}

static void
add_users(struct conf_applied *a, const struct conf_users *users, struct account *account)
{
    for (size_t i = 0; i < users->count; i++) {
        const struct conf_user *u = &users->at[i];
        if (u->name == NULL)
            LOG_CODE(WRN, LOG_CONFIG, "User %s can't log in: nkeys are not supported", u->nkey);
        else
            add_user(a, u->name, u->password, account, u->permissions);
    }
}

static void free_users(struct conf_applied *a)
{
    for (size_t i = 0; i < a->user_count; i++) {
        free(a->users[i].name);
        free(a->users[i].password);
    }
    free(a->users);
    a->users = NULL;
    a->user_count = 0;
}

/* Users of the system account alone don't close the server: others stay anonymous, as long as
 * nothing else asks for a login. */
static bool stays_open(const struct conf *c)
{
    const char *system = c->system_account == NULL ? "$SYS" : c->system_account;
    return !c->authorization.given && c->no_auth_user == NULL && c->account_count == 1 &&
           strcmp(c->accounts[0].name, system) == 0 && c->accounts[0].users.count != 0;
}

void conf_apply_users(const struct conf *c, struct conf_applied *a, struct broker_options *o)
{
    const struct conf_auth *auth = &c->authorization;
    if (a->accounts == NULL) a->accounts = accounts_new();
    free_users(a);
    set_accounts(c, a->accounts);
    struct account *global = accounts_global(a->accounts);
    if (auth->user != NULL) add_user(a, auth->user, auth->password, global, auth->permissions);
    add_users(a, &auth->users, global);
    for (size_t i = 0; i < c->account_count; i++) {
        const struct conf_account *from = &c->accounts[i];
        add_users(a, &from->users, accounts_get(a->accounts, text_of(from->name)));
    }
    /* Nobody can log in under a name with a blank in it: its account is all that it gives. */
    const char *anonymous = c->no_auth_user;
    if (stays_open(c)) add_user(a, anonymous = "no auth user", "$2a$", global, NULL);
    o->accounts = a->accounts;
    o->users = a->users;
    o->user_count = a->user_count;
    o->token = auth->token;
    o->no_auth_account = NULL;
    o->no_auth_user = NULL;
    for (size_t i = 0; i < a->user_count && anonymous != NULL; i++) {
        if (strcmp(a->users[i].name, anonymous) == 0) o->no_auth_user = &a->users[i];
    }
    o->auth_required = a->user_count != 0 || auth->token != NULL;
}

/* ---- JetStream ---- */

static void set_store_dir(const struct conf *c, char *to, size_t bytes)
{
    const char *dir = c->jetstream.store_dir != NULL ? c->jetstream.store_dir : c->store_dir;
    if (dir != NULL) {
        snprintf(to, bytes, "%s", dir);
        return;
    }
    const char *temporary = getenv("TMPDIR");
    snprintf(to, bytes, "%s/nats", temporary == NULL || temporary[0] == 0 ? "/tmp" : temporary);
}

static int64_t share(uint64_t bytes)
{
    uint64_t part = bytes / 100 * SHARE_PERCENT;
    return part > INT64_MAX ? INT64_MAX : (int64_t)part;
}

static int64_t memory_share(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_bytes <= 0 ? INT64_MAX
                                         : share((uint64_t)pages * (uint64_t)page_bytes);
}

/* The folder may not be there yet: then of the nearest one above it that is. */
static int64_t disk_share(struct env *env, const char *dir)
{
    char path[4096];
    uint64_t total, free_bytes;
    snprintf(path, sizeof path, "%s", dir);
    for (;;) {
        if (env->ops->disk_space(env, path[0] == 0 ? "/" : path, &total, &free_bytes) == 0)
            return share(free_bytes);
        char *slash = strrchr(path, '/');
        if (path[0] == 0 || strcmp(path, ".") == 0) return DISK_UNKNOWN_BYTES;
        if (slash == NULL)
            snprintf(path, sizeof path, ".");
        else
            *slash = 0;
    }
}

static void apply_jetstream(const struct conf *c,
                            struct env *env,
                            struct conf_applied *a,
                            struct node_options *o)
{
    const struct conf_jetstream *js = &c->jetstream;
    set_store_dir(c, a->store_dir, sizeof a->store_dir);
    o->store_dir = o->broker.store_dir = a->store_dir;
    o->broker.jetstream = js->enabled;
    o->broker.domain = js->domain;
    o->broker.js_max_memory = js->max_memory >= 0 ? js->max_memory : memory_share();
    o->broker.js_max_file = js->max_storage >= 0 ? js->max_storage : disk_share(env, a->store_dir);
}

/* ---- cluster ---- */

static void apply_cluster(const struct conf *c, struct conf_applied *a, struct node_options *o)
{
    const struct conf_cluster *k = &c->cluster;
    o->clustered = k->listen.port != 0;
    o->cluster_name = k->name;
    /* Peers must agree on a name, so one that is made up has to be the same everywhere. */
    if (o->clustered && o->cluster_name == NULL) o->cluster_name = "default";
    o->broker.cluster_name = o->cluster_name;
    o->cluster_host = k->listen.host == NULL ? c->listen.host : k->listen.host;
    o->cluster_port = port_or_any(k->listen.port);
    o->cluster_advertise = k->listen.advertise;
    o->cluster_user = k->authorization.user;
    o->cluster_password = k->authorization.password;
    a->routes = check_alloc(k->route_count * sizeof *a->routes);
    for (size_t i = 0; i < k->route_count; i++) {
        const struct conf_route *from = &k->routes[i];
        snprintf(a->routes[i].host, sizeof a->routes[i].host, "%s", from->host);
        a->routes[i].port = (int)from->port;
        if (o->cluster_user != NULL || from->user == NULL) continue;
        o->cluster_user = from->user;
        o->cluster_password = from->password;
    }
    o->routes = a->routes;
    o->route_count = k->route_count;
}

void conf_apply(const struct conf *c,
                struct env *env,
                struct conf_applied *a,
                struct node_options *o)
{
    struct broker_options *b = &o->broker;
    *a = (struct conf_applied){0};
    b->server_name = c->server_name;
    b->host = c->listen.host;
    b->port = port_or_any(c->listen.port);
    b->client_advertise = c->listen.advertise;
    b->http_host = c->http.host == NULL ? c->listen.host : c->http.host;
    b->http_port = port_or_off(c->http.port);
    o->tls = c->tls.given || c->cluster.tls.given;
    conf_apply_limits(c, b);
    apply_jetstream(c, env, a, o);
    conf_apply_users(c, a, b);
    apply_cluster(c, a, o);
}

void conf_apply_free(struct conf_applied *a)
{
    free_users(a);
    free(a->routes);
    if (a->accounts != NULL) accounts_free(a->accounts);
    *a = (struct conf_applied){0};
}

void conf_apply_logger(const struct conf *c, bool json, struct logger_options *o)
{
    *o = (struct logger_options){
        .file = c->log_file,
        .debug = c->debug,
        .trace = c->trace,
        .time = c->logtime,
        .time_utc = c->logtime_utc,
        .json = json,
        .bytes_max = (uint64_t)c->log_bytes_max,
        .files_max = (unsigned)c->log_files_max,
    };
}
