/* sim_js_check.c - the last look: through each node in turn, the stream's state and every message.
 * All nodes say the same, each acknowledged value is there once, and nothing else is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_js.h"

struct look {
    struct nats client;
    struct js_world *world;
    struct nats_request request;
    struct env_timer again;
    unsigned node;
    stream_seq seq; /* 0: the state first */
    unsigned tries;
};
static struct look look;

static void next(struct look *k);

static void next_node(struct look *k)
{
    nats_close(&k->client); /* on_down goes on */
}

static uint64_t number_after(struct text t, const char *what)
{
    const char *at = memmem(t.at, t.bytes, what, strlen(what));
    return at == NULL ? 0 : strtoull(at + strlen(what), NULL, 10);
}

static void look_at_state(struct look *k, struct text json)
{
    struct js_world *w = k->world;
    uint64_t messages = number_after(json, "\"messages\":"),
             last = number_after(json, "\"last_seq\":");
    if (messages != w->acked || last != w->last_seq)
        sim_fail(w->sim,
                 "node %u has %" PRIu64 " messages up to %" PRIu64 "; %" PRIu64
                 " values were acknowledged, up to %" PRIu64,
                 k->node, messages, last, w->acked, w->last_seq);
}

static void look_at_message(struct look *k, const struct nats_message *m)
{
    struct js_world *w = k->world;
    uint64_t value = sim_js_value_at(w, k->seq);
    if (number_after(m->payload, "value ") != value || m->payload.bytes == 0)
        sim_fail(w->sim, "node %u: sequence %" PRIu64 " is not value %" PRIu64 ": %.*s%.*s",
                 k->node, k->seq, value, (int)m->header.bytes, m->header.at, (int)m->payload.bytes,
                 m->payload.at);
}

static void looked(struct nats_request *r, int rc, const struct nats_message *answer)
{
    struct look *k = CONTAINER_OF(r, struct look, request);
    if (rc != 0) {
        if (++k->tries > 10) sim_fail(k->world->sim, "node %u doesn't answer in the calm", k->node);
        env_timer_start(&k->again, NS_PER_S);
        return;
    }
    if (k->seq == 0)
        look_at_state(k, answer->payload);
    else
        look_at_message(k, answer);
    k->seq++;
    next(k);
}

static void next(struct look *k)
{
    char body[64] = "";
    if (k->client.sock == NULL) return; /* on_down tries again */
    if (k->seq > k->world->last_seq) {
        next_node(k);
        return;
    }
    k->request.done = looked;
    if (k->seq != 0) snprintf(body, sizeof body, "{\"seq\":%" PRIu64 "}", k->seq);
    nats_request(&k->client, &k->request,
                 k->seq == 0 ? "$JS.API.STREAM.INFO.S" : "$JS.API.DIRECT.GET.S", NULL, body,
                 strlen(body), JS_DEADLINE_NS);
}

static void try_again(struct env_timer *t)
{
    next(CONTAINER_OF(t, struct look, again));
}

static void dial(struct look *k)
{
    char host[8];
    if (k->node > k->world->nodes) {
        k->world->sim->stop = true;
        return;
    }
    snprintf(host, sizeof host, "n%u", k->node);
    nats_dial(&k->client, host, JS_CLIENT_PORT);
}

static void on_up(struct nats *c)
{
    next(CONTAINER_OF(c, struct look, client));
}

static void on_down(struct nats *c)
{
    struct look *k = CONTAINER_OF(c, struct look, client);
    if (k->seq > k->world->last_seq) {
        k->node++;
        k->seq = 0;
        k->tries = 0;
    }
    dial(k);
}

static void start(void *ctx)
{
    look.world = ctx;
    look.node = 1;
    nats_init(&look.client, &look.world->client_env->env, look.world->client_net, 99);
    look.client.up = on_up;
    look.client.down = on_down;
    env_timer_init(&look.world->client_env->env, &look.again, try_again);
    dial(&look);
}

void sim_js_check_start(struct js_world *w)
{
    for (uint64_t v = 0; v < w->values_count; v++) {
        if (!w->values[v].delivered)
            sim_fail(w->sim, "value %" PRIu64 " at %" PRIu64 " was never consumed", v,
                     w->values[v].seq);
    }
    if (!sim_env_call(w->client_env, start, w)) sim_fail(w->sim, "the clients died");
}
