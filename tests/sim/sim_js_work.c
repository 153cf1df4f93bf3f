/* sim_js_work.c - clients: publishers that repeat a value until it is acknowledged, readers that
 * ask for what was acknowledged, consumers that ack twice. Each has a connection of its own, to any
 * node, and goes to another one when that ends, or when an answer doesn't come.
 *
 * What must hold: a sequence belongs to one value and a value to one sequence, however often it was
 * sent; a read through any node sees whatever was acknowledged before it began; what a consumer's
 * double ack took away isn't delivered again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "tests/sim/sim_js.h"

#define PUBLISHERS 3
#define READERS 2
#define CONSUMERS 2
#define ACTORS (1 + PUBLISHERS + READERS + CONSUMERS)
#define SUBJECTS 10
#define LATE_NS (15 * NS_PER_S)
#define PULL_NS (2 * NS_PER_S)
#define PAUSE_NS (20 * NS_PER_MS)

enum role { SETUP, PUBLISHER, READER, CONSUMER };
struct actor {
    struct nats client;
    struct js_world *world;
    enum role role;
    struct env_timer timer;
    struct nats_request request;
    bool busy;     /* the request is under way */
    unsigned node; /* dialled */
    unsigned step;
    uint64_t value; /* publisher: the one under way; UINT64_MAX: none */
    stream_seq seq; /* reader */
    uint64_t pulled_ns;
    unsigned left; /* consumer: of its pull */
};
static struct actor actors[ACTORS];
static bool ready; /* stream and consumer exist */

static void act(struct actor *a);

static struct actor *actor_of(struct nats *c)
{
    return CONTAINER_OF(c, struct actor, client);
}

static void act_later(struct actor *a, uint64_t ns)
{
    env_timer_start(&a->timer, ns);
}

static void timer_fired(struct env_timer *t)
{
    act(CONTAINER_OF(t, struct actor, timer));
}

static bool has(struct text t, const char *what)
{
    return t.bytes != 0 && memmem(t.at, t.bytes, what, strlen(what)) != NULL;
}

static uint64_t number_after(struct text t, const char *what)
{
    const char *at = t.bytes == 0 ? NULL : memmem(t.at, t.bytes, what, strlen(what));
    return at == NULL ? 0 : strtoull(at + strlen(what), NULL, 10);
}

/* No answer in time, or the connection ended: sometimes another node is asked. */
static bool failed(struct actor *a, int rc)
{
    a->busy = false;
    if (rc == 0) return false;
    a->world->timeouts++;
    sim_trace(a->world->sim, "client %u on n%u: %s", a->client.number, a->node, err_text(rc));
    if (rc == E_AGAIN && sim_chance(a->world->sim, 500)) nats_close(&a->client);
    if (rc == E_AGAIN) act_later(a, PAUSE_NS);
    return true;
}

static void ask(struct actor *a,
                const char *subject,
                const char *headers,
                const char *body,
                void (*done)(struct nats_request *r, int rc, const struct nats_message *answer))
{
    a->busy = true;
    a->request.done = done;
    nats_request(&a->client, &a->request, subject, headers, body, strlen(body), JS_DEADLINE_NS);
}

static struct actor *asker(struct nats_request *r)
{
    return CONTAINER_OF(r, struct actor, request);
}

/* ---- setup ---- */

static const struct {
    const char *subject, *body;
} steps[] = {
    {"$JS.API.STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"num_replicas\":3,"
                                "\"storage\":\"file\",\"allow_direct\":true,"
                                "\"duplicate_window\":600000000000}"},
    {"$JS.API.CONSUMER.DURABLE.CREATE.S.C",
     "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\","
     "\"deliver_policy\":\"all\",\"ack_wait\":4000000000,\"max_ack_pending\":1000}}"},
};

static void setup_done(struct nats_request *r, int rc, const struct nats_message *answer)
{
    struct actor *a = asker(r);
    if (failed(a, rc)) return;
    if (!has(answer->payload, "\"error\""))
        a->step++;
    else
        sim_trace(a->world->sim, "setup: %.*s", (int)answer->payload.bytes, answer->payload.at);
    act_later(a, a->step < ARRAY_COUNT(steps) ? 100 * NS_PER_MS : 0);
}

static void setup(struct actor *a)
{
    if (a->step < ARRAY_COUNT(steps))
        ask(a, steps[a->step].subject, NULL, steps[a->step].body, setup_done);
    else
        ready = true;
}

/* ---- publishers ---- */

static void note_ack(struct js_world *w, uint64_t value, stream_seq seq)
{
    struct js_value *v = &w->values[value];
    if (seq >= w->seqs_max) {
        stream_seq old = w->seqs_max;
        w->seqs_max = seq * 2 + 1024;
        w->by_seq = check_realloc(w->by_seq, w->seqs_max * sizeof *w->by_seq);
        memset(w->by_seq + old, 0, (w->seqs_max - old) * sizeof *w->by_seq);
    }
    if (v->seq != 0 && v->seq != seq)
        sim_fail(w->sim, "value %" PRIu64 " acknowledged at %" PRIu64 " and at %" PRIu64, value,
                 v->seq, seq);
    if (w->by_seq[seq] != 0 && w->by_seq[seq] != value + 1)
        sim_fail(w->sim, "sequence %" PRIu64 " given to values %" PRIu64 " and %" PRIu64, seq,
                 w->by_seq[seq] - 1, value);
    v->seq = seq;
    w->by_seq[seq] = value + 1;
    w->acked++;
    if (seq > w->last_seq) w->last_seq = seq;
}

uint64_t sim_js_value_at(const struct js_world *w, stream_seq seq)
{
    return seq >= w->seqs_max ? UINT64_MAX : w->by_seq[seq] - 1;
}

static void publish_done(struct nats_request *r, int rc, const struct nats_message *answer)
{
    struct actor *a = asker(r);
    if (failed(a, rc)) return;
    uint64_t seq = number_after(answer->payload, "\"seq\":");
    if (has(answer->payload, "\"error\"") || seq == 0) {
        sim_trace(a->world->sim, "publish: %.*s%.*s", (int)answer->header.bytes, answer->header.at,
                  (int)answer->payload.bytes, answer->payload.at);
        act_later(a, 100 * NS_PER_MS); /* the same value again */
        return;
    }
    note_ack(a->world, a->value, seq);
    a->value = UINT64_MAX;
    act_later(a, sim_below(a->world->sim, PAUSE_NS));
}

static uint64_t new_value(struct js_world *w)
{
    if (w->values_count == w->values_max) {
        w->values_max = w->values_max * 2 + 1024;
        w->values = check_realloc(w->values, w->values_max * sizeof *w->values);
    }
    w->values[w->values_count] = (struct js_value){0};
    return w->values_count++;
}

static void publish(struct actor *a)
{
    char subject[32], headers[64], body[2100];
    if (a->value == UINT64_MAX && !a->world->publishing) return;
    if (a->value == UINT64_MAX) a->value = new_value(a->world);
    snprintf(subject, sizeof subject, "s.%" PRIu64, a->value % SUBJECTS);
    snprintf(headers, sizeof headers, "Nats-Msg-Id: v%" PRIu64 "\r\n", a->value);
    int width = (int)sim_log_uniform(a->world->sim, 1, 2000);
    snprintf(body, sizeof body, "value %" PRIu64 ":%*s", a->value, width, "");
    ask(a, subject, headers, body, publish_done);
}

bool sim_js_work_idle(const struct js_world *w)
{
    (void)w;
    for (size_t i = 0; i < ACTORS; i++) {
        if (actors[i].role == PUBLISHER && actors[i].value != UINT64_MAX) return false;
    }
    return true;
}

/* ---- readers ---- */

static void read_done(struct nats_request *r, int rc, const struct nats_message *answer)
{
    struct actor *a = asker(r);
    struct js_world *w = a->world;
    if (failed(a, rc)) return;
    w->reads++;
    uint64_t value = sim_js_value_at(w, a->seq);
    bool unavailable = has(answer->header, " 503") || has(answer->header, " 408");
    if (!unavailable && number_after(answer->payload, "value ") != value)
        sim_fail(w->sim, "sequence %" PRIu64 " is value %" PRIu64 ", a read says: %.*s%.*s", a->seq,
                 value, (int)answer->header.bytes, answer->header.at, (int)answer->payload.bytes,
                 answer->payload.at);
    act_later(a, sim_below(w->sim, 4 * PAUSE_NS));
}

static void read(struct actor *a)
{
    struct js_world *w = a->world;
    char body[64];
    if (w->last_seq == 0) {
        act_later(a, PAUSE_NS);
        return;
    }
    /* The newest acknowledged one is the hardest. */
    a->seq = sim_chance(w->sim, 500) ? w->last_seq : sim_between(w->sim, 1, w->last_seq);
    if (sim_js_value_at(w, a->seq) == UINT64_MAX) a->seq = w->last_seq;
    snprintf(body, sizeof body, "{\"seq\":%" PRIu64 "}", a->seq);
    ask(a, "$JS.API.DIRECT.GET.S", NULL, body, read_done);
}

/* ---- consumers ---- */

struct acking {
    struct nats_request request;
    struct js_world *world;
    uint64_t value;
};

static void acked(struct nats_request *r, int rc, const struct nats_message *answer)
{
    struct acking *k = CONTAINER_OF(r, struct acking, request);
    struct js_world *w = k->world;
    if (rc == 0 && answer->header.bytes == 0 && !w->values[k->value].consumed) {
        w->values[k->value].consumed = true;
        w->values[k->value].consumed_ns = w->sim->now_ns;
        sim_trace(w->sim, "client %u: ack of %" PRIu64 " answered", r->client->number,
                  w->values[k->value].seq);
        w->consumed++;
    }
    free(k);
}

/* The stream sequence is the fourth token from behind the names: $JS.ACK.S.C.delivered.sseq.... */
static stream_seq seq_of(struct text reply, uint64_t *delivered)
{
    static const char prefix[] = "$JS.ACK.S.C.";
    if (reply.bytes < sizeof prefix || memcmp(reply.at, prefix, sizeof prefix - 1) != 0) return 0;
    char *at;
    *delivered = strtoull(reply.at + sizeof prefix - 1, &at, 10);
    return strtoull(at + 1, NULL, 10);
}

/* What was committed before the ack may still be on its way, held up by a node that pauses. It
 * isn't acked again: if the ack was forgotten, it comes as long as it takes. */
static void look_at_repeat(struct js_world *w, uint64_t value, stream_seq seq)
{
    if (w->sim->now_ns - w->values[value].consumed_ns > LATE_NS)
        sim_fail(w->sim, "sequence %" PRIu64 " is delivered after its ack was answered", seq);
}

static void consume(struct actor *a, const struct nats_message *m)
{
    struct js_world *w = a->world;
    uint64_t delivered;
    stream_seq seq = seq_of(m->reply, &delivered);
    if (seq == 0) { /* a status: the pull is over */
        a->pulled_ns = 0;
        act_later(a, PAUSE_NS);
        return;
    }
    if (a->left > 0 && --a->left == 0) {
        a->pulled_ns = 0;
        act_later(a, 0);
    }
    /* It may come before its publisher has heard. */
    uint64_t value = number_after(m->payload, "value ");
    if (value >= w->values_count || (w->values[value].seq != 0 && w->values[value].seq != seq))
        sim_fail(w->sim, "sequence %" PRIu64 " is delivered as %.*s", seq, (int)m->payload.bytes,
                 m->payload.at);
    sim_trace(w->sim, "client %u gets %.*s", a->client.number, (int)m->reply.bytes, m->reply.at);
    if (w->values[value].consumed) {
        look_at_repeat(w, value, seq);
        return;
    }
    if (w->publishing && sim_chance(w->sim, 100)) return; /* it comes again */
    if (!w->values[value].delivered) {
        w->values[value].delivered = true;
        w->delivered++;
    }
    char subject[256];
    snprintf(subject, sizeof subject, "%.*s", (int)m->reply.bytes, m->reply.at);
    struct acking *k = check_alloc(sizeof *k);
    k->world = w;
    k->value = value;
    k->request.done = acked;
    nats_request(&a->client, &k->request, subject, NULL, "+ACK", 4, JS_DEADLINE_NS);
}

static void pull(struct actor *a)
{
    uint64_t now_ns = a->world->sim->now_ns;
    char inbox[32];
    static const char body[] = "{\"batch\":40,\"expires\":2000000000}";
    act_later(a, PULL_NS / 4);
    if (a->pulled_ns != 0 && now_ns - a->pulled_ns < PULL_NS + PULL_NS / 4) return;
    a->pulled_ns = now_ns;
    a->left = 40;
    snprintf(inbox, sizeof inbox, "pull.%u", a->client.number);
    nats_publish(&a->client, "$JS.API.CONSUMER.MSG.NEXT.S.C", inbox, NULL, body, sizeof body - 1);
}

/* ---- all of them ---- */

static void act(struct actor *a)
{
    static void (*const roles[])(struct actor * a) = {
        [SETUP] = setup, [PUBLISHER] = publish, [READER] = read, [CONSUMER] = pull};
    if (a->client.sock == NULL || !a->client.greeted || a->busy) {
        if (a->client.sock == NULL && !a->client.dialling) {
            char host[8];
            a->node = (unsigned)sim_between(a->world->sim, 1, a->world->nodes);
            snprintf(host, sizeof host, "n%u", a->node);
            nats_dial(&a->client, host, JS_CLIENT_PORT);
        }
        return;
    }
    if (!ready && a->role != SETUP) {
        act_later(a, 50 * NS_PER_MS);
        return;
    }
    roles[a->role](a);
}

static void on_up(struct nats *c)
{
    struct actor *a = actor_of(c);
    char inbox[32];
    snprintf(inbox, sizeof inbox, "pull.%u", c->number);
    if (a->role == CONSUMER) nats_subscribe(c, inbox);
    a->pulled_ns = 0;
    act_later(a, 0);
}

static void on_down(struct nats *c)
{
    struct actor *a = actor_of(c);
    a->busy = false;
    act_later(a, sim_between(a->world->sim, 10, 300) * NS_PER_MS);
}

static void on_message(struct nats *c, const struct nats_message *m)
{
    struct actor *a = actor_of(c);
    if (a->role == CONSUMER) consume(a, m);
}

static enum role role_of(size_t i)
{
    if (i == 0) return SETUP;
    if (i <= PUBLISHERS) return PUBLISHER;
    return i <= PUBLISHERS + READERS ? READER : CONSUMER;
}

static void start_actors(void *ctx)
{
    struct js_world *w = ctx;
    for (size_t i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];
        a->world = w;
        a->role = role_of(i);
        a->value = UINT64_MAX;
        nats_init(&a->client, &w->client_env->env, w->client_net, (unsigned)i + 1);
        a->client.up = on_up;
        a->client.down = on_down;
        a->client.message = on_message;
        env_timer_init(&w->client_env->env, &a->timer, timer_fired);
        act_later(a, 0);
    }
}

void sim_js_work_start(struct js_world *w)
{
    if (!sim_env_call(w->client_env, start_actors, w)) sim_fail(w->sim, "the clients died");
}
