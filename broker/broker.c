/* broker.c - wires listener, router, engine, peers' interest and monitoring; lame duck; stop.
 *
 * Stop: monitoring and client listener first, then every connection gets its last bytes; when the
 * last is gone, engine, interest and router are freed, at the end of that turn. */
#include "broker/broker.h"

#include <stdlib.h>
#include <string.h>

#include "broker/client/advertise.h"
#include "broker/client/conn.h"
#include "broker/core/subject.h"
#include "broker/js/engine.h"
#include "broker/monitor/http.h"
#include "broker/monitor/monitor.h"
#include "broker/monitor/sys.h"
#include "cluster/interest.h"
#include "cluster/relay.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define BROKER_LAME_STEP_NS_MAX NS_PER_S /* between two clients that are sent away */

struct broker {
    struct broker_options *o;
    struct broker_parts parts;
    struct router *router;
    struct listener *listener;
    struct engine *engine;
    struct interest *interest;
    struct monitor monitor;
    struct http *http;
    struct sys *sys;
    struct writer urls; /* connect_urls: a JSON array, or empty */
    /* lame duck */
    struct env_timer lame_timer;
    uint64_t lame_step_ns;
    void (*lame_done)(void *ctx);
    void *lame_ctx;
    /* stop */
    struct env_defer closed;
    void (*close_done)(void *ctx);
    void *close_ctx;
};

/* ---- options ---- */

/* Like an nkey's public server key to the eye; it is random, not a key. */
void broker_make_id(struct env *env, char *out)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    out[0] = 'N';
    for (size_t i = 1; i < 56; i++)
        out[i] = base32[env_random(env) % 32];
    out[56] = '\0';
}

static void default_u64(uint64_t *value, uint64_t absent)
{
    if (*value == 0) *value = absent;
}

static void options_complete(struct broker_options *o)
{
    static_assert(sizeof o->server_id > 56, "N and 55 characters");
    if (o->server_id[0] == '\0') broker_make_id(o->env, o->server_id);
    default_u64(&o->max_payload, MIB(1));
    default_u64(&o->max_control_line, KIB(4));
    default_u64(&o->max_pending, MIB(64));
    default_u64(&o->ping_interval_ns, 120 * NS_PER_S);
    default_u64(&o->write_deadline_ns, 10 * NS_PER_S);
    default_u64(&o->auth_timeout_ns, 2 * NS_PER_S);
    default_u64(&o->lame_duck_duration_ns, 120 * NS_PER_S);
    default_u64(&o->lame_duck_grace_ns, 10 * NS_PER_S);
    if (o->max_connections == 0) o->max_connections = 65536;
    if (o->ping_max == 0) o->ping_max = 2;
    if (o->server_name == NULL) o->server_name = o->server_id;
}

/* ---- addresses of this node and of others ---- */

static struct text on_urls(void *ctx)
{
    struct broker *b = ctx;
    return (struct text){.at = (const char *)b->urls.base, .bytes = b->urls.bytes};
}

/* Own addresses first, none when this node is about to leave. */
static void urls_gather(struct broker *b, struct writer *json)
{
    struct writer own;
    writer_init(&own, 256);
    if (!b->listener->lame_duck) {
        advertise_own(&own, b->o->client_advertise, b->o->host, b->listener->port);
        advertise_add(json, (struct text){.at = (const char *)own.base, .bytes = own.bytes});
    }
    writer_free(&own);
    struct cluster_peer *p = NULL;
    while (b->parts.cluster != NULL && (p = cluster_peer_next(b->parts.cluster, p)) != NULL) {
        if (p->up) advertise_add(json, text_of(p->client_urls));
    }
}

/* True when they changed. */
static bool urls_update(struct broker *b)
{
    struct writer inside, array;
    if (b->o->cluster_name == NULL || b->o->no_advertise) return false;
    writer_init(&inside, 256);
    writer_init(&array, 256);
    urls_gather(b, &inside);
    if (inside.bytes != 0) {
        writer_u8(&array, '[');
        writer_put(&array, inside.base, inside.bytes);
        writer_u8(&array, ']');
    }
    writer_free(&inside);
    bool changed = array.bytes != b->urls.bytes ||
                   (array.bytes != 0 && memcmp(array.base, b->urls.base, array.bytes) != 0);
    writer_free(&b->urls);
    b->urls = array;
    return changed;
}

/* What peers tell their clients about us. */
static void urls_tell_peers(struct broker *b)
{
    if (b->parts.cluster == NULL) return;
    struct writer own;
    writer_init(&own, 256);
    if (!b->o->no_advertise && !b->listener->lame_duck) {
        advertise_own(&own, b->o->client_advertise, b->o->host, b->listener->port);
    }
    writer_u8(&own, 0);
    cluster_set_client_urls(b->parts.cluster, (const char *)own.base);
    writer_free(&own);
}

void broker_peer_info(struct broker *b)
{
    if (b->listener != NULL && urls_update(b)) listener_tell_info(b->listener);
}

/* ---- peers ---- */

static void
on_interest(void *ctx, struct account *a, struct text subject, struct text queue, uint32_t count)
{
    struct broker *b = ctx;
    if (b->interest == NULL) return;
    const struct interest_row row = {
        .account = text_of(a->name), .subject = subject, .queue = queue, .count = count};
    interest_tell(b->interest, &row);
}

static void on_interest_each(void *ctx,
                             struct account *a,
                             struct text subject,
                             struct text queue,
                             uint32_t count)
{
    const struct interest_row row = {
        .account = text_of(a->name), .subject = subject, .queue = queue, .count = count};
    interest_tell(ctx, &row);
}

static void on_peer_wants_all(void *ctx, struct interest *i)
{
    struct broker *b = ctx;
    router_interest_each(b->router, on_interest_each, i);
}

/* A peer may know accounts that a reload gives this node only later. */
static struct account *peer_account(struct broker *b, struct text name)
{
    if (name.bytes == 0 || name.bytes >= sizeof((struct account *)0)->name) return NULL;
    return accounts_add(b->o->accounts, name);
}

static void on_peer_row(void *ctx, node_id peer, const struct interest_row *row)
{
    struct broker *b = ctx;
    struct account *a = peer_account(b, row->account);
    if (a == NULL || !subject_valid(row->subject)) return;
    router_peer_interest(b->router, peer, a, row->subject, row->queue, row->count);
}

static void on_peer_forget(void *ctx, node_id peer)
{
    struct broker *b = ctx;
    router_peer_gone(b->router, peer);
}

static void on_relay(void *ctx,
                     node_id peer,
                     const struct message *m,
                     bool plain,
                     const struct text *queues,
                     size_t count)
{
    struct broker *b = ctx;
    const struct relay_message relayed = {.account = text_of(m->account->name),
                                          .subject = m->subject,
                                          .reply = m->reply,
                                          .deliver = m->deliver,
                                          .header = m->header,
                                          .body = m->body,
                                          .owner = m->owner,
                                          .plain = plain,
                                          .queues = queues,
                                          .queue_count = count};
    relay_send(b->parts.cluster, peer, &relayed);
}

static void on_relayed(void *ctx, node_id from, const struct relay_message *r)
{
    struct broker *b = ctx;
    struct account *a = accounts_get(b->o->accounts, r->account);
    (void)from;
    if (a == NULL) return;
    const struct message m = {.account = a,
                              .subject = r->subject,
                              .reply = r->reply,
                              .header = r->header,
                              .body = r->body,
                              .owner = r->owner,
                              .deliver = r->deliver};
    router_publish_local(b->router, &m, r->plain, r->queues, r->queue_count);
}

/* ---- opening ---- */

static bool on_nobody(void *ctx, const struct message *m)
{
    struct broker *b = ctx;
    return b->engine != NULL && engine_nobody(b->engine, m);
}
static void on_client(void *ctx, const struct conn *c, bool connected)
{
    struct broker *b = ctx;
    if (b->sys != NULL) sys_client_event(b->sys, c, connected);
}

static void on_pressure(void *ctx, bool hold)
{
    struct broker *b = ctx;
    listener_hold(b->listener, hold);
}

static void open_router(struct broker *b)
{
    struct router_options ro = {.env = b->o->env,
                                .self = b->parts.self,
                                .interest = on_interest,
                                .relay = b->parts.cluster != NULL ? on_relay : NULL,
                                .ctx = b};
    b->router = b->parts.router != NULL ? b->parts.router : router_new(&ro);
}

static void open_peers(struct broker *b)
{
    if (b->parts.cluster == NULL) return;
    relay_on(b->parts.cluster, on_relayed, b);
    struct interest_options io = {.env = b->o->env,
                                  .cluster = b->parts.cluster,
                                  .each = on_peer_wants_all,
                                  .row = on_peer_row,
                                  .forget = on_peer_forget,
                                  .ctx = b};
    b->interest = interest_new(&io);
}

static void open_engine(struct broker *b)
{
    const struct broker_options *o = b->o;
    if (b->parts.group == NULL || b->parts.state == NULL) return;
    struct engine_options eo = {.env = o->env,
                                .router = b->router,
                                .accounts = o->accounts,
                                .group = b->parts.group,
                                .state = b->parts.state,
                                .cluster = b->parts.cluster,
                                .self = b->parts.self,
                                .server_name = o->server_name,
                                .server_id = o->server_id,
                                .version = o->version,
                                .cluster_name = o->cluster_name,
                                .domain = o->domain,
                                .max_payload = o->max_payload,
                                .max_memory = o->js_max_memory,
                                .max_file = o->js_max_file,
                                .pressure = on_pressure,
                                .ctx = b};
    b->engine = engine_new(&eo);
    engine_start(b->engine);
}

static int open_monitor(struct broker *b)
{
    struct env *env = b->o->env;
    b->monitor = (struct monitor){.o = b->o,
                                  .parts = &b->parts,
                                  .env = env,
                                  .router = b->router,
                                  .listener = b->listener,
                                  .engine = b->engine,
                                  .start = env_mono(env),
                                  .start_ns = env_wall_ns(env)};
    b->sys = sys_new(&b->monitor);
    if (b->o->http_port < 0) return 0;
    return http_open(&b->monitor, b->o->net, &b->http);
}

static void broker_closed(struct env_defer *d);

int broker_open(struct broker_options *o, const struct broker_parts *p, struct broker **out)
{
    options_complete(o);
    struct broker *b = check_alloc(sizeof *b);
    b->o = o;
    b->parts = *p;
    b->closed.cb = broker_closed;
    writer_init(&b->urls, 64);
    open_router(b);
    struct listener_options lo = {.env = o->env,
                                  .net = o->net,
                                  .router = b->router,
                                  .broker = o,
                                  .urls = on_urls,
                                  .client = on_client,
                                  .nobody = on_nobody,
                                  .ctx = b};
    b->listener = listener_new(&lo);
    open_peers(b);
    open_engine(b);
    *out = b;
    int rc = open_monitor(b);
    if (rc != 0) LOG(ERR, "http monitor port %d: %s", o->http_port, err_text(rc));
    return rc;
}

int broker_listen(struct broker *b)
{
    int rc = listener_open(b->listener);
    if (rc != 0) return rc;
    urls_tell_peers(b);
    (void)urls_update(b);
    return 0;
}

int broker_port(const struct broker *b)
{
    return b->listener->port;
}

int broker_http_port(const struct broker *b)
{
    return b->monitor.http_port;
}

void broker_watcher(struct broker *b, struct state_watcher *w)
{
    if (b->engine != NULL) engine_watcher(b->engine, w);
}

void broker_leadership(struct broker *b, node_id leader, bool self)
{
    if (b->engine != NULL) engine_leadership(b->engine, leader, self);
}

void broker_reload(struct broker *b)
{
    sys_accounts(b->sys);
    listener_reload(b->listener);
    if (b->listener->lame_duck) return;
    urls_tell_peers(b);
    (void)urls_update(b);
}

/* ---- lame duck ---- */

static void lame_end(struct broker *b)
{
    void (*done)(void *) = b->lame_done;
    b->lame_done = NULL;
    if (done != NULL) done(b->lame_ctx);
}

/* Sends the next client away; they come back elsewhere one by one, not all at once. */
static void lame_step(struct env_timer *t)
{
    struct broker *b = CONTAINER_OF(t, struct broker, lame_timer);
    uint64_t left = 0;
    bool sent = false;
    LIST_FOREACH (at, &b->listener->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, in_listener);
        if (c->state >= CONN_ENDING) continue;
        if (!sent) conn_end(c, PROTO_NONE, CLOSE_SHUTDOWN);
        left += sent;
        sent = true;
    }
    if (left == 0) {
        lame_end(b);
        return;
    }
    env_timer_start(&b->lame_timer, b->lame_step_ns);
}

static void lame_grace_over(struct env_timer *t)
{
    struct broker *b = CONTAINER_OF(t, struct broker, lame_timer);
    uint64_t span_ns = b->o->lame_duck_duration_ns - b->o->lame_duck_grace_ns;
    uint64_t clients = b->listener->conn_count;
    if (b->o->lame_duck_duration_ns <= b->o->lame_duck_grace_ns) span_ns = 0;
    b->lame_step_ns = clients == 0 ? 0 : span_ns / clients;
    if (b->lame_step_ns > BROKER_LAME_STEP_NS_MAX) b->lame_step_ns = BROKER_LAME_STEP_NS_MAX;
    b->lame_timer.cb = lame_step;
    lame_step(t);
}

static void lame_handed_over(void *ctx)
{
    (void)ctx; /* clients go on leaving meanwhile */
}

void broker_lame_duck(struct broker *b, void (*done)(void *ctx), void *ctx)
{
    if (b->listener->lame_duck) return;
    b->lame_done = done;
    b->lame_ctx = ctx;
    listener_shut(b->listener);
    b->listener->lame_duck = true;
    urls_tell_peers(b);
    (void)urls_update(b);
    listener_tell_info(b->listener);
    bool hand_over = b->parts.group != NULL && b->parts.cluster != NULL;
    if (hand_over) group_handover(b->parts.group, lame_handed_over, b);
    env_timer_init(b->o->env, &b->lame_timer, lame_grace_over);
    env_timer_start(&b->lame_timer, b->o->lame_duck_grace_ns);
}

/* ---- stop ---- */

static void broker_closed(struct env_defer *d)
{
    struct broker *b = CONTAINER_OF(d, struct broker, closed);
    void (*done)(void *) = b->close_done;
    void *ctx = b->close_ctx;
    sys_free(b->sys);
    b->sys = NULL;
    if (b->engine != NULL) engine_free(b->engine);
    if (b->parts.cluster != NULL) relay_on(b->parts.cluster, NULL, NULL);
    interest_free(b->interest);
    listener_free(b->listener);
    if (b->parts.router == NULL) router_free(b->router);
    writer_free(&b->urls);
    free(b);
    done(ctx);
}

static void on_empty(void *ctx)
{
    struct broker *b = ctx;
    env_defer(b->o->env, &b->closed);
}

static void http_gone(void *ctx)
{
    struct broker *b = ctx;
    listener_close(b->listener, on_empty, b);
}

void broker_close(struct broker *b, void (*done)(void *ctx), void *ctx)
{
    b->close_done = done;
    b->close_ctx = ctx;
    if (b->listener->lame_duck) env_timer_stop(&b->lame_timer);
    if (b->http == NULL) {
        http_gone(b);
        return;
    }
    http_close(b->http, http_gone, b);
}
