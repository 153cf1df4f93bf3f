/* redeliver.c - what is due again: ack wait, backoff, NAKs, and the end of max_deliver (8.7).
 * Leader only.
 *
 * No timer per message: pending is looked through when the earliest deadline comes, or after a NAK;
 * what is due becomes the list that deliver.c serves before new messages, and the earliest of the
 * rest arms the timer. A new leader counts all that is pending as delivered when it took over. */
#include <stdlib.h>

#include "broker/js/deliver.h"
#include "broker/js/js.h"

#define REDELIVER_SCAN_NS                                                                          \
    50 /* looking at one pending message, generously: a scan never takes over 1/20 of time */

static int64_t redeliver_wait(const struct consumer_config *c, const struct consumer_pending *p)
{
    if (p->delay_ns >= 0) return p->delay_ns;
    if (c->backoff_count == 0) return c->ack_wait_ns;
    size_t i = p->deliveries == 0 ? 0 : p->deliveries - 1;
    return c->backoff_ns[i < c->backoff_count ? i : c->backoff_count - 1];
}

static uint64_t redeliver_due(const struct js_consumer *jc, const struct consumer_pending *p)
{
    const struct engine *e = jc->engine;
    uint64_t since = engine_mono_of(e, p->time_ns).ns;
    /* A NAK is the client's own wish: it holds under the next leader too. */
    if (since < e->leads_since.ns && p->delay_ns < 0) since = e->leads_since.ns;
    return since + (uint64_t)redeliver_wait(&jc->consumer->config, p);
}

static void redeliver_push(struct js_consumer *jc, stream_seq seq)
{
    if (jc->again_count == jc->again_max) {
        jc->again_max = jc->again_max == 0 ? 64 : jc->again_max * 2;
        jc->again = check_realloc(jc->again, jc->again_max * sizeof *jc->again);
    }
    jc->again[jc->again_count++] = seq;
}

/* Delivered often enough, and nobody acked: it leaves pending and stays in the stream. Proposed by
 * who counts it out; a second one finds nothing pending and does nothing. */
static void redeliver_exhaust(struct js_consumer *jc, const stream_seq *seqs, size_t count)
{
    struct engine *e = jc->engine;
    struct command_ack c = {.stream = jc->consumer->stream->id,
                            .consumer = jc->consumer->id,
                            .kind = ACK_EXHAUSTED,
                            .seq_count = (uint32_t)count};
    entry_put_ack(propose_open(e->o.group, 64 + 10 * count), &c, seqs);
    propose_close(e->o.group, NULL);
}

static void redeliver_arm(struct js_consumer *jc, uint64_t earliest)
{
    struct engine *e = jc->engine;
    if (earliest == UINT64_MAX) {
        wheel_stop(e->wheel, &jc->redeliver);
        return;
    }
    uint64_t soonest = env_mono(e->o.env).ns + jc->consumer->pending_count * REDELIVER_SCAN_NS * 20;
    wheel_start(e->wheel, &jc->redeliver, (struct mono){earliest < soonest ? soonest : earliest});
}

void redeliver_scan(struct js_consumer *jc)
{
    struct consumer *c = jc->consumer;
    uint64_t now = env_mono(jc->engine->o.env).ns, earliest = UINT64_MAX;
    stream_seq exhausted[JS_DELIVER_WINDOW];
    size_t exhausted_count = 0;
    jc->scan = false;
    jc->again_count = jc->again_at = 0;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct consumer_pending *p = &c->pending[i];
        uint64_t due = redeliver_due(jc, p);
        if (due > now) {
            if (due < earliest) earliest = due;
        } else if (c->config.max_deliver > 0 && p->deliveries >= (uint64_t)c->config.max_deliver) {
            if (exhausted_count < ARRAY_COUNT(exhausted)) exhausted[exhausted_count++] = p->sseq;
            if (now + NS_PER_S < earliest) earliest = now + NS_PER_S;
        } else {
            redeliver_push(jc, p->sseq);
        }
    }
    if (exhausted_count != 0) redeliver_exhaust(jc, exhausted, exhausted_count);
    redeliver_arm(jc, earliest);
}

/* Another delivery was applied. Its deadline may come before the one that the timer stands for:
 * backoff begins short. */
void redeliver_delivered(struct js_consumer *jc, const struct state_item *items, size_t count)
{
    struct engine *e = jc->engine;
    const struct consumer_config *c = &jc->consumer->config;
    if (c->ack_policy == ACK_POLICY_NONE || jc->consumer->pending_count == 0) return;
    int64_t least = c->ack_wait_ns;
    for (size_t i = 0; c->backoff_count != 0 && i < count; i++) {
        struct consumer_pending p = {.deliveries = items[i].deliveries, .delay_ns = -1};
        int64_t wait = redeliver_wait(c, &p);
        if (i == 0 || wait < least) least = wait;
    }
    struct mono due = {env_mono(e->o.env).ns + (uint64_t)least};
    if (!wheel_pending(&jc->redeliver) || due.ns < jc->redeliver.due_ns)
        wheel_start(e->wheel, &jc->redeliver, due);
}

void redeliver_timer(struct wheel_entry *w)
{
    struct js_consumer *jc = CONTAINER_OF(w, struct js_consumer, redeliver);
    jc->scan = true;
    engine_consumer_dirty(jc);
}

void redeliver_reset(struct js_consumer *jc)
{
    jc->scan = true;
    engine_consumer_dirty(jc);
}
