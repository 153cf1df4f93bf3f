/* pin.c - priority groups that pin one client (9.3): it gets all messages until it stops asking.
 *
 * Who decides deliveries pins the first request that it serves. The client's id is made of that
 * request's number, so the node that sends the messages knows it without being told, and writes it
 * into each. Later requests name it; those of others wait. The pin goes when the client hasn't
 * asked for priority_timeout and nothing of it waits, or by UNPIN. */
#include <string.h>

#include "broker/js/js.h"
#include "broker/js/pull_queue.h"

bool pin_used(const struct js_consumer *jc)
{
    return jc->consumer->config.priority_policy == PRIORITY_PINNED;
}

static uint64_t mixed(uint64_t v)
{
    v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
    return v ^ (v >> 31);
}

struct text pin_of(node_id node, uint64_t request, char *room)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t bits = mixed(node) + request;
    for (size_t i = 0; i < JS_PIN_BYTES; i++) {
        if (i % 10 == 0) bits = mixed(bits + i + UINT64_C(0x9e3779b97f4a7c15));
        room[i] = digits[(bits >> (6 * (i % 10))) % 62];
    }
    room[JS_PIN_BYTES] = '\0';
    return (struct text){.at = room, .bytes = JS_PIN_BYTES};
}

static void pin_arm(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    uint64_t timeout = (uint64_t)jc->consumer->config.priority_timeout_ns;
    wheel_start(e->wheel, &jc->pin.timer, (struct mono){jc->pin.used.ns + timeout});
}

void pin_set(struct js_consumer *jc, struct text id)
{
    struct engine *e = jc->engine;
    CHECK_EQ(id.bytes, JS_PIN_BYTES);
    memcpy(jc->pin.id, id.at, JS_PIN_BYTES);
    jc->pin.known = true;
    jc->pin.since_ns = env_wall_ns(e->o.env);
    jc->pin.used = env_mono(e->o.env);
    pin_arm(jc);
    engine_frames_pin(jc);
    advisory_pin(jc, NULL);
}

void pin_touch(struct js_consumer *jc)
{
    jc->pin.used = env_mono(jc->engine->o.env);
}

void pin_drop(struct js_consumer *jc, const char *reason)
{
    if (jc->pin.id[0] == '\0') return;
    jc->pin.id[0] = '\0';
    wheel_stop(jc->engine->wheel, &jc->pin.timer);
    engine_frames_pin(jc);
    advisory_pin(jc, reason);
    pull_queue_unpin(jc);
    engine_consumer_dirty(jc);
}

void pin_timer(struct wheel_entry *w)
{
    struct js_consumer *jc = CONTAINER_OF(w, struct js_consumer, pin.timer);
    if (jc->pin.id[0] == '\0' || !engine_decides(jc)) return;
    if (pull_queue_pinned(jc)) pin_touch(jc);
    uint64_t idle = env_mono(jc->engine->o.env).ns - jc->pin.used.ns;
    if (pin_used(jc) && idle < (uint64_t)jc->consumer->config.priority_timeout_ns) {
        pin_arm(jc);
    } else {
        pin_drop(jc, "timeout");
    }
}

/* Leadership came or went. */
void pin_lead(struct js_consumer *jc)
{
    wheel_stop(jc->engine->wheel, &jc->pin.timer);
    if (jc->pin.id[0] == '\0' || !engine_decides(jc)) return;
    pin_touch(jc);
    pin_arm(jc);
}

void pin_told(struct js_consumer *jc, struct text id, int64_t since_ns)
{
    jc->pin.id[0] = '\0';
    if (id.bytes == JS_PIN_BYTES) memcpy(jc->pin.id, id.at, JS_PIN_BYTES);
    jc->pin.known = true;
    jc->pin.since_ns = since_ns;
}
