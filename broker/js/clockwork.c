/* clockwork.c - what happens because time passed, proposed by the leader: messages past max_age or
 * their TTL, and consumers that nobody uses.
 *
 * One timer stands for the earliest deadline of all streams. JetStream's clock is the last entry's
 * stamp moved on by our own clock, so an outage without a leader expires nothing (design 4.3).
 * Apply decides by the entry's time: a command that comes too early removes nothing and is tried
 * again. */
#include <stdlib.h>

#include "broker/js/js.h"

#define EXPIRY_MESSAGES 4096            /* of one command */
#define EXPIRY_RETRY_NS (5 * NS_PER_MS) /* between commands when the last one found nothing */
#define IDLE_GRACE_NS_MAX                                                                          \
    (500 * NS_PER_MS) /* added to inactive_threshold, so that a client that is back wins */

struct expiry {
    struct proposal proposal;
    struct engine *engine;
    uint64_t epoch;
};

static void expiry_done(struct proposal *p, const void *result)
{
    struct expiry *x = CONTAINER_OF(p, struct expiry, proposal);
    const struct apply_result *r = result;
    struct engine *e = x->engine;
    if (e->started && x->epoch == e->epoch) {
        e->expiring = false;
        if (r->count == 0) {
            e->expiry_at_ns = env_mono(e->o.env).ns + EXPIRY_RETRY_NS;
            env_timer_start(&e->expiry, EXPIRY_RETRY_NS);
        } else {
            e->expiry_dirty = true;
            engine_wake(e);
        }
    }
    engine_drop(e);
    free(x);
}

void clockwork_arm(struct engine *e)
{
    e->expiry_dirty = false;
    if (!e->leads || e->expiring) return;
    uint32_t stream = 0;
    int64_t due = state_expiry_due(e->o.state, &stream);
    if (due == INT64_MAX) return;
    uint64_t at = engine_mono_of(e, due).ns, now = env_mono(e->o.env).ns;
    /* Never later than asked for, and usually asked for anew with every turn that stored something.
     */
    if (e->expiry_at_ns != 0 && at >= e->expiry_at_ns) return;
    e->expiry_at_ns = at > now ? at : now;
    env_timer_start(&e->expiry, e->expiry_at_ns - now);
}

void clockwork_timer(struct env_timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, expiry);
    uint32_t stream = 0;
    e->expiry_at_ns = 0;
    if (!e->leads || e->expiring) return;
    int64_t due = state_expiry_due(e->o.state, &stream);
    if (due == INT64_MAX) return;
    if (due > engine_now(e)) {
        clockwork_arm(e);
        return;
    }
    struct expiry *x = check_alloc(sizeof *x);
    struct command_expire c = {.stream = stream, .max = EXPIRY_MESSAGES};
    x->proposal.done = expiry_done;
    x->engine = e;
    x->epoch = e->epoch;
    e->expiring = true;
    engine_hold(e);
    entry_put_expire(propose_open(e->o.group, 64), &c);
    propose_close(e->o.group, &x->proposal);
}

/* ---- consumers that nobody uses ---- */

static int64_t idle_threshold(const struct js_consumer *jc)
{
    const struct consumer_config *c = &jc->consumer->config;
    if (c->inactive_threshold_ns > 0) return c->inactive_threshold_ns;
    return c->durable_name.bytes == 0 ? JS_INACTIVE_NS : 0;
}

/* A threshold of milliseconds means milliseconds: half of it more at the most. */
static uint64_t idle_deadline(uint64_t since, int64_t threshold)
{
    uint64_t half = (uint64_t)threshold / 2;
    return since + (uint64_t)threshold + (half < IDLE_GRACE_NS_MAX ? half : IDLE_GRACE_NS_MAX);
}

static bool idle_used(const struct js_consumer *jc)
{
    return jc->push ? push_bound(jc) : jc->waiting_count != 0 || !list_empty(&jc->pulls);
}

void clockwork_idle_arm(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    int64_t threshold = jc->consumer == NULL ? 0 : idle_threshold(jc);
    if (threshold == 0 || !engine_decides(jc)) {
        wheel_stop(e->wheel, &jc->idle);
        return;
    }
    uint64_t since = jc->active.ns;
    if (!jc->consumer->local && since < e->leads_since.ns) since = e->leads_since.ns;
    wheel_start(e->wheel, &jc->idle, (struct mono){idle_deadline(since, threshold)});
}

void clockwork_idle(struct wheel_entry *w)
{
    struct js_consumer *jc = CONTAINER_OF(w, struct js_consumer, idle);
    struct engine *e = jc->engine;
    struct consumer *c = jc->consumer;
    if (idle_used(jc)) jc->active = env_mono(e->o.env);
    uint64_t idle = env_mono(e->o.env).ns - jc->active.ns;
    if (idle < (uint64_t)idle_threshold(jc) || !engine_decides(jc)) {
        clockwork_idle_arm(jc);
        return;
    }
    if (c->local) {
        local_consumer_delete(jc);
        return;
    }
    struct command_consumer_delete d = {.stream = c->stream->id, .consumer = c->id};
    entry_put_consumer_delete(propose_open(e->o.group, 64), &d);
    propose_close(e->o.group, NULL);
    jc->active = env_mono(e->o.env);
    clockwork_idle_arm(jc);
}
