/* push.c - push consumers: who listens, heartbeats, flow control, rate (9.4).
 *
 * The node that sends is the one that measures: it knows what went out, in which order. Without a
 * group that is the lowest node with interest (the router relays to subscribers elsewhere), which
 * sends heartbeats too, so that a heartbeat can't overtake a message. With a group, nodes take
 * turns by the members they have. Flow control stalls a consumer where deliveries are decided; for
 * replicated consumers on another node max_ack_pending is what bounds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/api.h"
#include "broker/js/duration.h"
#include "broker/js/js.h"

#define PUSH_WINDOW_MAX ((int64_t)MIB(32))
#define PUSH_WINDOW_MIN (PUSH_WINDOW_MAX / 16)
#define PUSH_FC_ROOM (2 * LIMIT_NAME_BYTES + 64)

/* ---- interest ---- */

size_t push_nodes(const struct js_consumer *jc, struct router_node *out, size_t max)
{
    const struct consumer_config *c = &jc->consumer->config;
    return router_interest(jc->engine->o.router, jc->stream->account, c->deliver_subject,
                           c->deliver_group, out, max);
}

bool push_bound(const struct js_consumer *jc)
{
    struct router_node nodes[1];
    return jc->push && push_nodes(jc, nodes, 1) != 0;
}

static uint64_t push_boots(const struct js_consumer *jc, node_id node)
{
    struct engine *e = jc->engine;
    return node == e->o.self ? e->boots : engine_frames_boots(e, node);
}

/* The sender of what goes to all: the lowest node with interest that can be reached. */
static node_id push_sender(const struct js_consumer *jc)
{
    struct router_node nodes[JS_NODES_MAX];
    node_id least = 0;
    if (jc->consumer->local) return push_bound(jc) ? jc->engine->o.self : 0;
    size_t count = push_nodes(jc, nodes, JS_NODES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (push_boots(jc, nodes[i].node) == 0) continue;
        if (least == 0 || nodes[i].node < least) least = nodes[i].node;
    }
    return least;
}

/* Members take turns; a node's share of what is there is by its members. */
static node_id push_turn(struct js_consumer *jc, uint64_t count, uint64_t *share)
{
    struct router_node nodes[JS_NODES_MAX];
    size_t all = push_nodes(jc, nodes, JS_NODES_MAX), known = 0;
    uint64_t members = 0;
    for (size_t i = 0; i < all; i++) {
        if (push_boots(jc, nodes[i].node) == 0) continue;
        members += nodes[i].members;
        nodes[known++] = nodes[i];
    }
    if (known == 0) return 0;
    const struct router_node *n = &nodes[jc->spread++ % known];
    uint64_t fair = (count * n->members + members - 1) / members;
    if (fair < *share) *share = fair;
    return n->node;
}

node_id push_target(struct js_consumer *jc, uint64_t count, uint64_t *share, uint64_t *request)
{
    struct engine *e = jc->engine;
    node_id node;
    if (jc->consumer->local) {
        node = push_bound(jc) ? e->o.self : 0;
    } else if (jc->consumer->config.deliver_group.bytes != 0) {
        node = push_turn(jc, count, share);
    } else {
        node = push_sender(jc);
    }
    if (node != 0) *request = push_boots(jc, node);
    return node;
}

static void push_changed(struct router_watch *w)
{
    struct js_consumer *jc = CONTAINER_OF(w, struct js_consumer, watch);
    bool bound = push_bound(jc);
    if (bound && !jc->bound) jc->flow = (struct js_flow){.window = PUSH_WINDOW_MIN};
    jc->bound = bound;
    jc->active = env_mono(jc->engine->o.env);
    clockwork_idle_arm(jc);
    if (bound) engine_consumer_dirty(jc);
}

/* ---- heartbeats ---- */

static struct text push_fc_subject(const struct js_consumer *jc, char *room)
{
    const struct text *name = &jc->consumer->name;
    int n = snprintf(room, PUSH_FC_ROOM, "$JS.FC.%s.%.*s.%llx", jc->stream->name, (int)name->bytes,
                     name->at, (unsigned long long)jc->flow.token);
    return (struct text){.at = room, .bytes = (size_t)n};
}

static void push_heartbeat_send(struct js_consumer *jc)
{
    const struct consumer *c = jc->consumer;
    char header[PUSH_FC_ROOM + 200], fc[PUSH_FC_ROOM] = "";
    const char *stalled = "";
    if (jc->flow.token != 0) {
        (void)push_fc_subject(jc, fc);
        stalled = "\r\nNats-Consumer-Stalled: ";
    }
    int n = snprintf(header, sizeof header,
                     "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %llu\r\nNats-Last-Stream: "
                     "%llu%s%s\r\n\r\n",
                     (unsigned long long)c->delivered.cseq, (unsigned long long)c->delivered.sseq,
                     stalled, fc);
    (void)engine_send(jc->engine, jc->stream->account, c->config.deliver_subject, (struct text){0},
                      (struct text){header, (size_t)n}, (struct text){0});
}

static void push_heartbeat(struct wheel_entry *w)
{
    struct js_consumer *jc = CONTAINER_OF(w, struct js_consumer, heartbeat);
    struct engine *e = jc->engine;
    uint64_t now = env_mono(e->o.env).ns;
    uint64_t interval = (uint64_t)jc->consumer->config.idle_heartbeat_ns;
    bool silent = now - jc->sent_at.ns >= interval;
    if (silent) {
        jc->sent_at.ns = now;
        if (push_sender(jc) == e->o.self) push_heartbeat_send(jc);
        if (jc->consumer == NULL) return;
    }
    wheel_start(e->wheel, w, (struct mono){jc->sent_at.ns + interval});
}

/* ---- flow control ---- */

bool push_stalled(const struct js_consumer *jc)
{
    return jc->consumer->config.flow_control && jc->flow.sent >= jc->flow.window;
}

static void push_fc_ask(struct js_consumer *jc)
{
    static const char header[] = "NATS/1.0 100 FlowControl Request\r\n\r\n";
    char room[PUSH_FC_ROOM];
    jc->flow.token = env_random(jc->engine->o.env) | 1;
    jc->flow.asked = jc->flow.sent;
    (void)engine_send(jc->engine, jc->stream->account, jc->consumer->config.deliver_subject,
                      push_fc_subject(jc, room), TEXT(header), (struct text){0});
}

void push_sent(struct js_consumer *jc, int64_t bytes, const struct state_item *item)
{
    (void)item;
    if (jc->consumer == NULL || !jc->consumer->config.flow_control) return;
    jc->flow.sent += bytes;
    if (jc->flow.token == 0 && jc->flow.sent > jc->flow.window / 2) push_fc_ask(jc);
}

/* $JS.FC.<stream>.<consumer>.<token> */
bool push_fc_deliver(struct js_account *ja, const struct message *m)
{
    struct text rest = {.at = m->subject.at + 7, .bytes = m->subject.bytes - 7}, stream, name,
                token;
    if (!subject_token(&rest, &stream) || !subject_token(&rest, &name) ||
        !subject_token(&rest, &token))
        return false;
    struct consumer *c = api_find_consumer(ja->engine, ja, stream, name);
    if (c == NULL || c->engine == NULL) return false;
    struct js_consumer *jc = c->engine;
    char room[PUSH_FC_ROOM];
    if (jc->flow.token == 0 || !text_equal(push_fc_subject(jc, room), m->subject)) return true;
    jc->flow.sent -= jc->flow.asked;
    if (jc->flow.sent < 0) jc->flow.sent = 0;
    jc->flow.token = 0;
    jc->flow.window *= 2;
    if (jc->flow.window > PUSH_WINDOW_MAX) jc->flow.window = PUSH_WINDOW_MAX;
    if (jc->flow.sent > jc->flow.window / 2) push_fc_ask(jc);
    engine_consumer_dirty(jc);
    return true;
}

/* ---- rate ---- */

/* A second's worth may be saved up, no more. */
int64_t push_rate(struct js_consumer *jc)
{
    int64_t bits = jc->consumer->config.rate_limit_bps;
    if (bits <= 0) return INT64_MAX;
    struct engine *e = jc->engine;
    uint64_t now = env_mono(e->o.env).ns;
    int64_t per_second = bits / 8 > 0 ? bits / 8 : 1, burst = per_second / 10 + 1;
    uint64_t passed = now - jc->rate_at.ns;
    if (passed > NS_PER_S) passed = NS_PER_S;
    jc->rate_budget += (int64_t)((double)per_second * (double)passed / (double)NS_PER_S);
    if (jc->rate_budget > burst) jc->rate_budget = burst;
    jc->rate_at.ns = now;
    if (jc->rate_budget > 0) return jc->rate_budget;
    double wait = (double)(1 - jc->rate_budget) / (double)per_second * (double)NS_PER_S;
    wheel_start(e->wheel, &jc->pace, (struct mono){now + (uint64_t)wait + NS_PER_MS});
    return 0;
}

/* ---- life ---- */

void push_open(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    const struct consumer_config *c = &jc->consumer->config;
    uint64_t now = env_mono(e->o.env).ns;
    jc->watch_subject = check_alloc(c->deliver_subject.bytes + 1);
    memcpy(jc->watch_subject, c->deliver_subject.at, c->deliver_subject.bytes);
    jc->watch = (struct router_watch){
        .account = jc->stream->account,
        .subject = {.at = jc->watch_subject, .bytes = c->deliver_subject.bytes},
        .changed = push_changed};
    router_watch(e->o.router, &jc->watch);
    jc->flow = (struct js_flow){.window = PUSH_WINDOW_MIN};
    jc->rate_at.ns = jc->sent_at.ns = now;
    jc->bound = push_bound(jc);
    jc->heartbeat.cb = push_heartbeat;
    if (c->idle_heartbeat_ns > 0)
        wheel_start(e->wheel, &jc->heartbeat, (struct mono){now + (uint64_t)c->idle_heartbeat_ns});
}

void push_close(struct js_consumer *jc)
{
    router_unwatch(jc->engine->o.router, &jc->watch);
    wheel_stop(jc->engine->wheel, &jc->heartbeat);
    free(jc->watch_subject);
    jc->watch_subject = NULL;
    jc->bound = false;
}
