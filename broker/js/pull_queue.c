/* pull_queue.c - moves of a waiting request: added -> served in turns -> ended.
 * It ends when its batch is full (silently: its node counts too), by its node's word (expired,
 * nobody there), or here, by a status: nothing there for no_wait, too big for max_bytes, queue
 * full. A status must come behind the messages; so it leaves when all that was picked is applied,
 * with the count of what its node must have sent before. */
#include "broker/js/pull_queue.h"

#include <stdlib.h>
#include <string.h>

#include "broker/js/deliver.h"

#define PULL_SEEN_NS (10 * NS_PER_S) /* a remote node that is there repeats itself every second */

static const char *const pull_texts[PULL_ENDS] = {
    [PULL_GONE] = NULL,
    [PULL_NO_MESSAGES] = "404 No Messages",
    [PULL_TOO_BIG] = "409 Message Size Exceeds MaxBytes",
    [PULL_MAX_WAITING] = "409 Exceeded MaxWaiting",
    [PULL_PENDING] = "408 Requests Pending",
    [PULL_PIN_MISMATCH] = "423 Nats-Pin-Id mismatch",
    [PULL_PIN_LOST] = "423 Nats-Wrong-Pin-Id",
};

const char *pull_queue_text(enum pull_end end)
{
    return end < PULL_ENDS ? pull_texts[end] : NULL;
}

static uint64_t waiting_key(node_id node, uint64_t id)
{
    return (node ^ (id * UINT64_C(0x9e3779b97f4a7c15))) | 1;
}

static void waiting_free(struct pull_waiting *w)
{
    (void)map_take_u64(&w->consumer->engine->waitings, waiting_key(w->node, w->id));
    list_remove(&w->node_in_consumer);
    w->consumer->waiting_count--;
    w->consumer->active = env_mono(w->consumer->engine->o.env);
    free(w);
}

static void waiting_tell(struct pull_waiting *w)
{
    struct engine *e = w->consumer->engine;
    node_id node = w->node;
    uint64_t id = w->id, sent = w->sent;
    enum pull_end end = w->end;
    waiting_free(w);
    if (end == PULL_GONE) return;
    if (node == e->o.self) {
        pull_status(e, id, (int)end, sent);
    } else {
        engine_frames_status(e, node, id, (int)end, sent);
    }
}

static bool pin_is(const struct js_consumer *jc, struct text id)
{
    return jc->pin.id[0] != '\0' && text_equal(text_of(jc->pin.id), id);
}

/* Takes the client's id over. False: it isn't the pinned one. A leader that knows of none believes
 * the first who says so: its predecessor is gone. */
static bool waiting_pin(struct pull_waiting *w, struct text id)
{
    struct js_consumer *jc = w->consumer;
    char room[JS_PIN_BYTES + 1];
    bool named = id.bytes != 0;
    if (named && id.bytes != JS_PIN_BYTES) return false;
    if (named && !jc->pin.known) pin_set(jc, id);
    if (!named) id = pin_of(w->node, w->id, room); /* told again: it may have been pinned before */
    if (!pin_is(jc, id)) return !named;
    memcpy(w->pin, id.at, JS_PIN_BYTES);
    pin_touch(jc);
    return true;
}

bool pull_queue_pinned(const struct js_consumer *jc)
{
    LIST_FOREACH (n, &jc->waiting) {
        const struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (!w->ended && w->pin[0] != '\0') return true;
    }
    return false;
}

void pull_queue_unpin(struct js_consumer *jc)
{
    LIST_FOREACH_SAFE (n, next, &jc->waiting) {
        struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (!w->ended && w->pin[0] != '\0') pull_queue_finish(w, PULL_PIN_LOST);
    }
}

void pull_queue_add(struct js_consumer *jc, node_id node, const struct pull_registration *r)
{
    struct engine *e = jc->engine;
    struct pull_waiting *w = map_get_u64(&e->waitings, waiting_key(node, r->id));
    if (w != NULL) {
        w->seen = env_mono(e->o.env);
        return;
    }
    w = check_alloc(sizeof *w);
    w->consumer = jc;
    w->node = node;
    w->id = r->id;
    w->batch = r->batch;
    w->bytes = r->bytes;
    w->bytes_limited = r->bytes > 0;
    w->sent = r->sent;
    w->no_wait = r->no_wait;
    w->has_expires = r->has_expires;
    w->has_heartbeat = r->has_heartbeat;
    w->min_pending = r->min_pending;
    w->min_ack_pending = r->min_ack_pending;
    w->priority = r->priority;
    w->seen = env_mono(e->o.env);
    w->turn = jc->turn - 1;
    int64_t max = jc->consumer->config.max_waiting;
    bool full = max > 0 && jc->waiting_count >= (uint64_t)max;
    list_push_back(&jc->waiting, &w->node_in_consumer);
    jc->waiting_count++;
    map_put_u64(&e->waitings, waiting_key(node, w->id), w);
    engine_consumer_dirty(jc);
    if (pin_used(jc) && !waiting_pin(w, r->pin)) {
        pull_queue_finish(w, PULL_PIN_MISMATCH);
        return;
    }
    if (full) pull_queue_finish(w, w->has_heartbeat ? PULL_GONE : PULL_MAX_WAITING);
}

void pull_queue_remove(struct engine *e, node_id node, uint64_t id)
{
    struct pull_waiting *w = map_get_u64(&e->waitings, waiting_key(node, id));
    if (w != NULL) waiting_free(w);
}

/* overflow groups: served only when enough waits or is outstanding. */
static uint64_t waiting_left(const struct js_consumer *jc)
{
    uint64_t pending = jc->consumer->num_pending;
    return pending > jc->fresh_in_flight ? pending - jc->fresh_in_flight : 0;
}

static bool waiting_by_acks(const struct pull_waiting *w)
{
    return w->min_ack_pending > 0 &&
           w->consumer->consumer->pending_count >= (uint64_t)w->min_ack_pending;
}

static bool waiting_wants(const struct pull_waiting *w, const struct js_consumer *jc)
{
    if (w->ended || w->batch <= 0) return false;
    if (pin_used(jc) && jc->pin.id[0] != '\0' && w->pin[0] == '\0') return false;
    if (w->min_pending <= 0 && w->min_ack_pending <= 0) return true;
    if (w->min_pending > 0 && waiting_left(jc) >= (uint64_t)w->min_pending) return true;
    return waiting_by_acks(w);
}

bool pull_queue_wanted(const struct js_consumer *jc)
{
    LIST_FOREACH (n, &jc->waiting) {
        if (waiting_wants(CONTAINER_OF(n, struct pull_waiting, node_in_consumer), jc)) return true;
    }
    return false;
}

/* The first of those not served in this turn, and how many they are. */
static struct pull_waiting *waiting_first(struct js_consumer *jc, uint64_t *takers)
{
    struct pull_waiting *found = NULL;
    *takers = 0;
    LIST_FOREACH (n, &jc->waiting) {
        struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (w->turn == jc->turn || !waiting_wants(w, jc)) continue;
        if (found == NULL) found = w;
        if (++*takers == JS_DELIVER_WINDOW) break;
    }
    return found;
}

/* Prioritized: those with the lowest number share, the others wait. */
static struct pull_waiting *waiting_urgent(struct js_consumer *jc, uint64_t *takers)
{
    struct pull_waiting *found = NULL;
    *takers = 0;
    LIST_FOREACH (n, &jc->waiting) {
        struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (!waiting_wants(w, jc) || (found != NULL && w->priority > found->priority)) continue;
        if (found == NULL || w->priority < found->priority) {
            found = w;
            *takers = 0;
        }
        ++*takers;
    }
    return found;
}

/* Who is served first while nobody is pinned, is. */
static void waiting_take_pin(struct pull_waiting *w)
{
    struct js_consumer *jc = w->consumer;
    char room[JS_PIN_BYTES + 1];
    if (jc->pin.id[0] == '\0') {
        struct text id = pin_of(w->node, w->id, room);
        memcpy(w->pin, id.at, JS_PIN_BYTES);
        pin_set(jc, id);
    } else {
        pin_touch(jc);
    }
}

/* Message by message in turns would cost a command each; an even share comes to the same. */
struct pull_waiting *pull_queue_next(struct js_consumer *jc, uint64_t available, uint64_t *share)
{
    uint64_t takers;
    bool urgent = jc->consumer->config.priority_policy == PRIORITY_PRIORITIZED;
    struct pull_waiting *w = urgent ? waiting_urgent(jc, &takers) : waiting_first(jc, &takers);
    if (w == NULL && !urgent) {
        jc->turn++;
        w = waiting_first(jc, &takers);
    }
    if (w == NULL) return NULL;
    if (pin_used(jc)) {
        waiting_take_pin(w);
        takers = 1;
    }
    if (w->min_pending > 0 && !waiting_by_acks(w)) { /* down to where it isn't served any more */
        uint64_t over = waiting_left(jc) - (uint64_t)w->min_pending + 1;
        if (over < *share) *share = over;
    }
    uint64_t even = (available + takers - 1) / takers;
    if (even < *share) *share = even;
    if ((uint64_t)w->batch < *share) *share = (uint64_t)w->batch;
    return w;
}

void pull_queue_picked(struct pull_waiting *w, uint64_t count, int64_t bytes)
{
    w->batch -= (int64_t)count;
    w->in_flight += count;
    w->turn = w->consumer->turn;
    if (w->bytes_limited) w->bytes -= bytes;
    list_remove(&w->node_in_consumer);
    list_push_back(&w->consumer->waiting, &w->node_in_consumer);
}

/* Full: its node knows as much from what it sent. */
static void waiting_settle(struct pull_waiting *w)
{
    if (w->in_flight != 0) return;
    if (w->ended) {
        waiting_tell(w);
    } else if (w->batch <= 0 || (w->bytes_limited && w->bytes <= 0)) {
        waiting_free(w);
    }
}

void pull_queue_sent(struct pull_waiting *w, uint64_t count)
{
    w->sent += count;
    w->in_flight -= count;
    waiting_settle(w);
}

void pull_queue_result(struct engine *e, const struct js_flight *f, bool refused)
{
    struct pull_waiting *w = map_get_u64(&e->waitings, waiting_key(f->target, f->request));
    if (w == NULL || w->consumer != f->consumer) return;
    uint64_t count = (uint64_t)f->fresh + f->again;
    if (refused) {
        w->in_flight -= count;
        w->batch += (int64_t)count;
        if (w->bytes_limited) w->bytes += f->bytes;
        waiting_settle(w);
        return;
    }
    pull_queue_sent(w, count);
}

void pull_queue_finish(struct pull_waiting *w, enum pull_end end)
{
    w->ended = true;
    w->end = end;
    waiting_settle(w);
}

/* There is something, but too much is outstanding. Acks are on their way, and what they let through
 * is what the request came for: it isn't told that nothing is there. */
static bool waiting_for_acks(const struct js_consumer *jc)
{
    const struct consumer *c = jc->consumer;
    if (c->config.ack_policy == ACK_POLICY_NONE || c->config.max_ack_pending <= 0) return false;
    return c->num_pending > jc->fresh_in_flight &&
           c->pending_count + jc->fresh_in_flight >= (uint64_t)c->config.max_ack_pending;
}

/* no_wait with expires waits for its first messages, then ends like no_wait. */
void pull_queue_settle(struct js_consumer *jc)
{
    struct list now;
    if (jc->consumer == NULL || waiting_for_acks(jc)) return;
    bool more = deliver_available(jc) != 0 || deliver_again(jc);
    if (more && !list_empty(&jc->waiting)) {
        /* Picks stopped with messages left: a window, a pause or max_ack_pending. Those who don't
         * wait end only when what is outstanding can't be for them. */
        if (jc->flight_count != 0 || list_linked(&jc->dirty)) return;
    }
    list_init(&now);
    LIST_FOREACH_SAFE (n, next, &jc->waiting) {
        struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (!w->no_wait || w->ended || w->in_flight != 0) continue;
        if (w->has_expires && w->sent == 0) continue;
        list_remove(n);
        list_push_back(&now, n);
    }
    struct list_node *at;
    while ((at = list_pop_front(&now)) != NULL) {
        list_push_back(&jc->waiting, at);
        pull_queue_finish(CONTAINER_OF(at, struct pull_waiting, node_in_consumer),
                          PULL_NO_MESSAGES);
        if (jc->consumer == NULL) return;
    }
}

void pull_queue_clear(struct js_consumer *jc)
{
    LIST_FOREACH_SAFE (n, next, &jc->waiting) {
        waiting_free(CONTAINER_OF(n, struct pull_waiting, node_in_consumer));
    }
}

void pull_queue_tick(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    uint64_t now = env_mono(e->o.env).ns;
    LIST_FOREACH_SAFE (n, next, &jc->waiting) {
        struct pull_waiting *w = CONTAINER_OF(n, struct pull_waiting, node_in_consumer);
        if (w->node != e->o.self && w->in_flight == 0 && now - w->seen.ns > PULL_SEEN_NS)
            waiting_free(w);
    }
}
