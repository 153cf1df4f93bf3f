/* watchdog.c - the invariant of deliveries, looked at every second where they are decided: messages
 * there and somebody waiting imply a delivery in flight or a known reason. The count must stay 0; a
 * violation is mended by starting over from what was applied. */
#include "broker/js/deliver.h"
#include "broker/js/js.h"
#include "broker/js/pull_queue.h"
#include "store/base/logger.h"

#define WATCHDOG_NS (2 * NS_PER_S)

static bool watchdog_wanted(const struct js_consumer *jc)
{
    if (!jc->push) return pull_queue_wanted(jc);
    return push_bound(jc) && !push_stalled(jc);
}

/* Somebody could get something, and nothing is on its way. */
static bool watchdog_stuck(const struct js_consumer *jc)
{
    if (!engine_decides(jc) || jc->flight_count != 0 || list_linked(&jc->dirty)) return false;
    const struct consumer_config *c = &jc->consumer->config;
    if (c->rate_limit_bps > 0 || c->replay_policy == REPLAY_ORIGINAL) return false;
    if (deliver_paused(jc) || !watchdog_wanted(jc)) return false;
    return deliver_available(jc) != 0 || deliver_again(jc);
}

static void watchdog_consumer(struct engine *e, struct js_consumer *jc)
{
    uint64_t now = env_mono(e->o.env).ns;
    if (!watchdog_stuck(jc)) {
        jc->idle_since.ns = 0;
        return;
    }
    if (jc->idle_since.ns == 0) jc->idle_since.ns = now;
    if (now - jc->idle_since.ns < WATCHDOG_NS) return;
    jc->idle_since.ns = 0;
    e->stuck++;
    LOG(WRN,
        "consumer %s > %.*s: %llu messages and somebody waiting, but nothing in flight; starting "
        "over",
        jc->stream->name, (int)jc->consumer->name.bytes, jc->consumer->name.at,
        (unsigned long long)jc->consumer->num_pending);
    jc->position = 0;
    jc->scan = true;
    engine_consumer_dirty(jc);
}

void watchdog_check(struct engine *e)
{
    LIST_FOREACH (s, &e->streams) {
        struct js_stream *js = CONTAINER_OF(s, struct js_stream, node);
        LIST_FOREACH (n, &js->consumers) {
            watchdog_consumer(e, CONTAINER_OF(n, struct js_consumer, in_stream));
        }
    }
}
