/* program.c - flags and config become a node; signals act on it.
 *
 * Start: flags -> file -> effective config -> log -> node_open -> ready: pid and ports files.
 * Stop (INT, TERM): node_stop, then the loop ends and everything is freed, exit 0. */
#include "cmd/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/conf.h"
#include "cmd/conf_apply.h"
#include "cmd/flags.h"
#include "cmd/node.h"
#include "cmd/ocis.h"
#include "cmd/run_files.h"
#include "cmd/signals.h"
#include "cmd/tool_signal.h"
#include "cmd/version.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define BUDGET_BYTES_MAX GIB(1)
#define BUDGET_SHARE 8 /* of the machine's memory (store.md 2) */

struct program {
    const char *name; /* argv[0] */
    struct flags flags;
    struct conf *conf, *first; /* the one now; the one at start: the node points to texts in it */
    struct conf_applied applied;
    struct node_options options;
    struct env *env;
    struct net *net;
    struct node *node;
    struct signals *signals;
    char ports_file[4096];
    bool stopping;
    struct ocis *ocis; /* `server`: the profile of ocis' own service; NULL: a nats-server */
    struct env_timer grace;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- configuration ---- */

static void conf_drop(struct conf *c)
{
    conf_free(c);
    free(c);
}

/* *out is the caller's, with an error in it when it is of no use. */
static int read_conf(const struct flags *f, struct ocis *ocis, struct conf **out)
{
    struct conf *c = *out = check_alloc(sizeof *c);
    conf_init(c);
    int rc = 0;
    if (ocis != NULL) rc = ocis_conf(ocis, c);
    if (f->config != NULL) rc = conf_read(c, f->config);
    if (rc == 0) rc = flags_apply(f, c);
    return rc == 0 ? conf_finish(c) : rc;
}

static struct conf *load_conf(const struct program *p)
{
    struct conf *c;
    if (read_conf(&p->flags, p->ocis, &c) == 0) return c;
    fprintf(stderr, "%s: %s\n", base_name(p->name), c->error);
    conf_drop(c);
    return NULL;
}

static int
kv_open(void *ctx, struct env *env, const char *dir, uint64_t cache_bytes, struct kv **out)
{
    (void)ctx;
    return kv_rocks_open(env, dir, cache_bytes, out);
}

static uint64_t default_budget(void)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t share = bytes / BUDGET_SHARE;
    return share < BUDGET_BYTES_MAX ? share : BUDGET_BYTES_MAX;
}

/* ---- running ---- */

static void say_start(const struct program *p)
{
    const struct broker_options *b = &p->options.broker;
    LOG(INF, "Starting nats-server");
    LOG(INF, "  Version:  %s", b->version);
    LOG(INF, "  Git:      [gannet %s]", VERSION_GANNET);
    if (b->cluster_name != NULL) LOG(INF, "  Cluster:  %s", b->cluster_name);
    LOG(INF, "  Name:     %s", b->server_name == NULL ? b->server_id : b->server_name);
    LOG(INF, "  ID:       %s", b->server_id);
    if (p->conf->file != NULL) LOG(INF, "Using configuration file: %s", p->conf->file);
    conf_log_warnings(p->conf);
    if (!b->jetstream) return;
    LOG(INF, "Starting JetStream");
    LOG(INF, "  Store Directory: \"%s/jetstream\"", p->options.store_dir);
}

static void write_run_files(struct program *p)
{
    const struct conf *c = p->conf;
    const struct run_files_port ports[] = {
        {"nats", "nats", c->listen.host, broker_port(node_broker(p->node))},
        {"monitoring", "http", p->options.broker.http_host, broker_http_port(node_broker(p->node))},
        {"cluster", "nats", p->options.cluster_host, node_cluster_port(p->node)},
    };
    if (c->pid_file != NULL && run_files_write_pid(c->pid_file) != 0)
        LOG(ERR, "Could not write pidfile: %s", c->pid_file);
    if (c->ports_file_dir == NULL) return;
    int rc = run_files_write_ports(c->ports_file_dir, p->name, ports, ARRAY_COUNT(ports),
                                   p->ports_file, sizeof p->ports_file);
    if (rc != 0) LOG(ERR, "Could not write ports file in %s: %s", c->ports_file_dir, err_text(rc));
}

static void on_ready(void *ctx)
{
    struct program *p = ctx;
    (void)p;
    LOG(INF, "Server is ready");
}

static void on_stopped(void *ctx)
{
    struct program *p = ctx;
    p->node = NULL;
    LOG(INF, "Server Exiting..");
    env_uv_stop(p->env);
}
static void on_stop(void *ctx)
{
    struct program *p = ctx;
    if (p->stopping) return;
    p->stopping = true;
    LOG(INF, "Initiating Shutdown...");
    node_stop(p->node, on_stopped, p);
}

/* ocis' services deregister while this one still serves, so it goes last. A second signal ends the
 * wait. */
static void on_grace_over(struct env_timer *t)
{
    struct program *p = CONTAINER_OF(t, struct program, grace);
    LOG(INF, "Shutting down server");
    on_stop(p);
}
static void on_stop_later(void *ctx)
{
    struct program *p = ctx;
    if (p->grace.cb == NULL) {
        LOG(INF, "letting other services deregister");
        env_timer_init(p->env, &p->grace, on_grace_over);
        env_timer_start(&p->grace, OCIS_GRACE_NS);
        return;
    }
    env_timer_stop(&p->grace);
    on_stop(p);
}
static void on_reopen(void *ctx)
{
    (void)ctx;
    logger_reopen();
}
static void on_lame_done(void *ctx)
{
    on_stop(ctx);
}
static void on_lame_duck(void *ctx)
{
    struct program *p = ctx;
    if (p->stopping) return;
    LOG(INF, "Entering lame duck mode, stop accepting new clients");
    broker_lame_duck(node_broker(p->node), on_lame_done, p);
}

static void log_changed(void *ctx, const char *path)
{
    (void)ctx;
    LOG(INF, "Reloaded: %s", path);
}
/* What may change while running does; what may not is named and nothing changes. */
static void on_reload(void *ctx)
{
    struct program *p = ctx;
    if (p->stopping) return;
    struct conf *now;
    int rc = read_conf(&p->flags, NULL, &now);
    if (rc == 0) rc = conf_diff(p->conf, now, log_changed, p);
    if (rc != 0) {
        LOG(ERR, "Failed to reload server configuration: %s", now->error);
        conf_drop(now);
        return;
    }
    struct broker_options *b = node_broker_options(p->node);
    struct logger_options lo;
    conf_apply_logger(now, false, &lo);
    if (logger_open(&lo) != 0) LOG(ERR, "log file %s can't be opened", lo.file);
    conf_apply_users(now, &p->applied, b);
    conf_apply_limits(now, b);
    broker_reload(node_broker(p->node));
    conf_log_warnings(now);
    if (p->conf != p->first) conf_drop(p->conf);
    p->conf = now;
    LOG(INF, "Reloaded server configuration");
}

static int exit_status(int rc)
{
    return rc == E_CORRUPT || rc == E_FOREIGN ? EXIT_CORRUPT : rc == E_IO ? EXIT_DISK : EXIT_USAGE;
}

static struct signals *watch_signals(struct program *p)
{
    struct signals_options so = {.env = p->env,
                                 .stop = on_stop,
                                 .reopen = on_reopen,
                                 .lame_duck = on_lame_duck,
                                 .reload = on_reload,
                                 .ctx = p};
    if (p->ocis != NULL) so.stop = so.reload = so.quit = on_stop_later;
    return signals_new(&so);
}

static void effective_options(struct program *p)
{
    conf_apply(p->conf, p->env, &p->applied, &p->options);
    if (p->ocis != NULL) ocis_node(p->ocis, &p->options);
}

static int run(struct program *p)
{
    struct logger_options lo;
    conf_apply_logger(p->conf, false, &lo);
    if (p->ocis != NULL) ocis_logger(p->ocis, &lo);
    if (logger_open(&lo) != 0) {
        fprintf(stderr, "%s: log file %s can't be opened\n", base_name(p->name), lo.file);
        return EXIT_USAGE;
    }
    p->env = env_uv_new();
    p->net = net_uv_new(p->env);
    effective_options(p);
    p->first = p->conf;
    struct node_options *o = &p->options;
    o->env = p->env;
    o->net = p->net;
    o->kv_open = kv_open;
    o->budget_bytes = default_budget();
    o->ready = on_ready;
    o->ctx = p;
    o->broker.version = VERSION_NATS;
    broker_make_id(p->env, o->broker.server_id);
    say_start(p);
    int rc = node_open(o, &p->node);
    if (rc != 0) {
        LOG(FTL, "can't start: %s", err_text(rc));
        return p->ocis != NULL ? EXIT_USAGE : exit_status(rc);
    }
    p->signals = watch_signals(p);
    write_run_files(p);
    env_uv_run(p->env);
    run_files_remove(p->ports_file);
    run_files_remove(p->conf->pid_file);
    signals_free(p->signals);
    net_uv_free(p->net);
    env_uv_free(p->env);
    return 0;
}

static int test_config(const struct program *p)
{
    printf("%s: configuration file %s is valid\n", base_name(p->name),
           p->flags.config == NULL ? "" : p->flags.config);
    return 0;
}

static int send_signal(const struct program *p)
{
    char error[1024];
    if (tool_signal_send(p->flags.signal, error, sizeof error) == 0) return 0;
    fprintf(stderr, "%s: %s\n", base_name(p->name), error);
    return EXIT_USAGE;
}

/* ---- the ocis profile's commands ---- */

static int ocis_server(struct program *p)
{
    p->conf = load_conf(p);
    return p->conf == NULL ? EXIT_USAGE : run(p);
}
static int ocis_ask_health(struct program *p)
{
    if (ocis_health(p->ocis) == 0) return 0;
    fprintf(stderr, "%s: %s\n", base_name(p->name), p->ocis->error);
    return EXIT_USAGE;
}

static const struct command {
    const char *name;
    int (*run)(struct program *p);
} commands[] = {{"server", ocis_server}, {"health", ocis_ask_health}};

static int run_command(struct program *p)
{
    static struct ocis ocis;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, p->flags.command) != 0) continue;
        p->ocis = &ocis;
        int rc = ocis_read(&ocis);
        if (rc != 0) fprintf(stderr, "%s: %s\n", base_name(p->name), ocis.error);
        return rc == 0 ? commands[i].run(p) : EXIT_USAGE;
    }
    fprintf(stderr, "%s: unrecognized command: \"%s\"\n", base_name(p->name), p->flags.command);
    return EXIT_USAGE;
}

static void say_version(const struct program *p)
{
    if (strcmp(base_name(p->name), "gannet") == 0)
        printf("gannet: v%s, as nats-server v%s\n", VERSION_GANNET, VERSION_NATS);
    else
        printf("nats-server: v%s\n", VERSION_NATS);
}

int program_main(int argc, char **argv)
{
    static struct program p;
    p.name = argv[0];
    if (flags_parse(argc, argv, &p.flags) != 0) {
        fprintf(stderr, "%s: %s\n", base_name(p.name), p.flags.error);
        flags_usage(stderr, base_name(p.name));
        return EXIT_USAGE;
    }
    switch (p.flags.action) {
    case FLAGS_HELP:
        flags_usage(stdout, base_name(p.name));
        return 0;
    case FLAGS_HELP_TLS:
        flags_usage_tls(stdout, base_name(p.name));
        return 0;
    case FLAGS_VERSION:
        say_version(&p);
        return 0;
    case FLAGS_SIGNAL:
        return send_signal(&p);
    case FLAGS_RUN:
    case FLAGS_TEST:
        break;
    }
    if (p.flags.command != NULL) return run_command(&p);
    p.conf = load_conf(&p);
    if (p.conf == NULL) return EXIT_USAGE;
    return p.flags.action == FLAGS_TEST ? test_config(&p) : run(&p);
}
