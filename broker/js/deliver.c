/* deliver.c - from 'something changed' to a message on its way.
 *
 * Happy path of a replicated consumer, on the leader: deliver_turn finds a target (a waiting pull
 * request, or a node with interest), picks redeliveries that are due and then the next matching
 * messages, and proposes one COMMAND_DELIVER. Several may be in flight; each states what delivered
 * will be when it is applied, so that nothing is picked twice and a command of a former leader is
 * refused. When it is applied, on every node, the target reads the messages from its own store and
 * publishes them (deliver_applied).
 *
 * Refused: nothing more is picked until all in flight are back, then picking starts at what was
 * applied. Nobody there any more: the messages are NAKed with a short delay, so that somebody else
 * gets them. A local consumer has neither leader nor proposals: it sends what it picks. */
#include "broker/js/deliver.h"

#include <stdlib.h>
#include <string.h>

#include "broker/js/duration.h"
#include "broker/js/pull_queue.h"
#include "store/base/err.h"
#include "store/base/logger.h"

struct deliver_slot {
    node_id target;
    uint64_t request, count; /* at most so many */
    struct pull_waiting *waiting;
    int64_t bytes_max, bytes;
    bool too_big; /* the next message doesn't fit what the request allows */
};
struct deliver_picks {
    stream_seq fresh[JS_DELIVER_WINDOW], again[JS_DELIVER_WINDOW];
    uint32_t fresh_count, again_count;
};

/* ---- what there is ---- */

bool deliver_paused(const struct js_consumer *jc)
{
    int64_t until = jc->consumer->config.pause_until_ns;
    return until > 0 && until > env_wall_ns(jc->engine->o.env);
}

uint64_t deliver_available(const struct js_consumer *jc)
{
    const struct consumer *c = jc->consumer;
    if (c->num_pending <= jc->fresh_in_flight) return 0;
    uint64_t n = c->num_pending - jc->fresh_in_flight;
    if (c->config.ack_policy == ACK_POLICY_NONE || c->config.max_ack_pending <= 0) return n;
    uint64_t taken = c->pending_count + jc->fresh_in_flight;
    uint64_t max = (uint64_t)c->config.max_ack_pending;
    uint64_t room = taken >= max ? 0 : max - taken;
    return n < room ? n : room;
}

bool deliver_again(const struct js_consumer *jc)
{
    return jc->again_at < jc->again_count;
}

/* What can't be read isn't gone: it stays pending, and the log says that it is there. */
static int deliver_read(struct js_consumer *jc, stream_seq seq, struct store_msg *m)
{
    int rc = store_get(jc->consumer->stream->store, seq, &jc->cursor, m);
    if (rc != 0 && rc != E_NOTFOUND) {
        LOG_CODE(ERR, LOG_CORRUPT, "stream %s: message %llu can't be read: not delivered to %.*s",
                 jc->stream->name, (unsigned long long)seq, (int)jc->consumer->name.bytes,
                 jc->consumer->name.at);
    }
    return rc;
}

/* The next new message. Not 0: nothing to be had in this turn. */
static int deliver_next(struct js_consumer *jc, struct store_msg *m)
{
    stream_seq scanned = 0;
    int rc = consumer_next(jc->consumer, jc->position, &jc->cursor, &scanned, m);
    if (rc == E_AGAIN) {
        jc->position = scanned;
        engine_consumer_later(jc);
    } else if (rc != 0 && rc != E_NOTFOUND) {
        LOG_CODE(ERR, LOG_CORRUPT, "stream %s: a message behind %llu can't be read: %.*s waits",
                 jc->stream->name, (unsigned long long)scanned, (int)jc->consumer->name.bytes,
                 jc->consumer->name.at);
    }
    return rc;
}

/* ---- on its way to the client ---- */

static size_t put_number(char *to, uint64_t v)
{
    to[0] = '.';
    return 1 + duration_put_u64(to + 1, v);
}

/* $JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<cseq>.<ts>.<pending> */
static struct text deliver_reply(const struct js_consumer *jc,
                                 const struct store_msg *m,
                                 const struct state_item *it,
                                 char *room)
{
    size_t n = jc->ack_head.bytes;
    memcpy(room, jc->ack_head.at, n);
    n += duration_put_u64(room + n, it->deliveries);
    n += put_number(room + n, m->seq);
    n += put_number(room + n, it->cseq);
    n += put_number(room + n, (uint64_t)m->time_ns);
    n += put_number(room + n, it->pending);
    return (struct text){.at = room, .bytes = n};
}

#define PIN_LINE TEXT("Nats-Pin-Id: ")

/* Headers as stored and who is pinned; headers only: Nats-Msg-Size in the place of the payload. */
static size_t deliver_more_headers(struct engine *e, struct message *m, bool bare, struct text pin)
{
    size_t body = m->body.bytes, head = m->header.bytes >= 2 ? m->header.bytes - 2 : 0;
    struct writer w;
    char digits[20];
    writer_init(&w, m->header.bytes + 64);
    if (head == 0) {
        writer_put(&w, "NATS/1.0\r\n", 10);
    } else {
        writer_put(&w, m->header.at, head);
    }
    if (pin.bytes != 0) {
        writer_put(&w, PIN_LINE.at, PIN_LINE.bytes);
        writer_put(&w, pin.at, pin.bytes);
        writer_put(&w, "\r\n", 2);
    }
    if (bare) {
        writer_put(&w, "Nats-Msg-Size: ", 15);
        writer_put(&w, digits, duration_put_u64(digits, body));
        writer_put(&w, "\r\n", 2);
        m->body = (struct text){0};
    }
    writer_put(&w, "\r\n", 2);
    m->header = (struct text){.at = (const char *)w.base, .bytes = w.bytes};
    m->owner = (struct slice){0};
    size_t delivered = router_publish(e->o.router, m);
    writer_free(&w);
    return delivered;
}

static size_t deliver_pin_bytes(const struct store_msg *m)
{
    return PIN_LINE.bytes + JS_PIN_BYTES + 2 + (m->header.bytes == 0 ? 12 : 0);
}

/* Empty unless the consumer pins clients. */
static struct text
deliver_pin(const struct js_consumer *jc, const struct pull_request *p, char *room)
{
    return pin_used(jc) ? pull_pin(p, room) : (struct text){0};
}

/* True: somebody got it. *bytes: as pull requests and flow control count. */
static bool deliver_send(struct js_consumer *jc,
                         const struct store_msg *m,
                         const struct state_item *it,
                         struct account *a,
                         struct text to,
                         struct text pin,
                         int64_t *bytes)
{
    struct engine *e = jc->engine;
    char reply[2 * LIMIT_NAME_BYTES + 160];
    struct message out = {.account = a,
                          .subject = m->subject,
                          .reply = deliver_reply(jc, m, it, reply),
                          .header = m->header,
                          .body = m->body,
                          .deliver = to};
    *bytes = (int64_t)(out.subject.bytes + out.reply.bytes + out.header.bytes + out.body.bytes);
    jc->sent_at = env_mono(e->o.env);
    bool bare = jc->consumer->config.headers_only;
    if (pin.bytes != 0) *bytes += (int64_t)deliver_pin_bytes(m);
    if (bare || pin.bytes != 0) return deliver_more_headers(e, &out, bare, pin) != 0;
    return router_publish(e->o.router, &out) != 0;
}

/* ---- applied ---- */

static void deliver_applied_pull(struct js_consumer *jc, const struct state_delivery *d)
{
    struct pull_request *p = pull_find(jc->engine, d->request);
    if (p == NULL) {
        ack_undeliverable(jc, d->items, d->count);
        engine_frames_pull_end(jc->engine, jc->consumer->id, d->request);
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        struct account *a;
        struct text to = pull_inbox(p, &a);
        struct store_msg m;
        int64_t bytes = 0;
        char pin[JS_PIN_BYTES + 1];
        if (to.bytes == 0) {
            ack_undeliverable(jc, d->items + i, d->count - i);
            return;
        }
        /* Gone meanwhile, and out of pending too: the request goes on, pull_tick tells the leader.
         */
        if (deliver_read(jc, d->items[i].sseq, &m) != 0) continue;
        if (!deliver_send(jc, &m, &d->items[i], a, to, deliver_pin(jc, p, pin), &bytes))
            ack_undeliverable(jc, d->items + i, 1);
        pull_sent(p, bytes, &d->items[i]);
        p = pull_find(jc->engine, d->request);
        if (p == NULL && i + 1 < d->count) {
            ack_undeliverable(jc, d->items + i + 1, d->count - i - 1);
            return;
        }
    }
}

static void deliver_applied_push(struct js_consumer *jc, const struct state_delivery *d)
{
    struct consumer *c = jc->consumer;
    for (size_t i = 0; i < d->count; i++) {
        struct store_msg m;
        int64_t bytes = 0;
        if (deliver_read(jc, d->items[i].sseq, &m) != 0) continue;
        if (!deliver_send(jc, &m, &d->items[i], jc->stream->account, c->config.deliver_subject,
                          (struct text){0}, &bytes)) {
            ack_undeliverable(jc, d->items + i, d->count - i);
            return;
        }
        push_sent(jc, bytes, &d->items[i]);
    }
}

/* Requests carry the target's incarnation: what a log replays after a restart was sent before it.
 */
void deliver_applied(struct js_consumer *jc, const struct state_delivery *d)
{
    struct engine *e = jc->engine;
    if (e->leads) redeliver_delivered(jc, d->items, d->count);
    if (d->target != e->o.self) return;
    jc->active = env_mono(e->o.env);
    if (jc->push) {
        if (d->request == e->boots) deliver_applied_push(jc, d);
    } else if (d->request >> PULL_ID_BITS == e->boots) {
        deliver_applied_pull(jc, d);
    }
    if (jc->consumer->num_pending == 0) store_cursor_close(&jc->cursor);
}

/* ---- picking ---- */

/* Who gets the next messages, and how many of what is available. */
static bool deliver_target(struct js_consumer *jc, uint64_t available, struct deliver_slot *slot)
{
    uint64_t share = available < JS_DELIVER_WINDOW ? available : JS_DELIVER_WINDOW;
    *slot = (struct deliver_slot){.bytes_max = INT64_MAX};
    if (jc->push) {
        slot->bytes_max = push_rate(jc);
        if (push_stalled(jc) || slot->bytes_max <= 0) return false;
        slot->target = push_target(jc, available, &share, &slot->request);
        slot->count = share;
        return slot->target != 0 && share != 0;
    }
    struct pull_waiting *w = pull_queue_next(jc, available, &share);
    if (w == NULL) return false;
    slot->waiting = w;
    slot->target = w->node;
    slot->request = w->id;
    slot->count = share;
    if (w->bytes_limited) slot->bytes_max = w->bytes;
    return true;
}

static int64_t deliver_bytes(const struct js_consumer *jc, const struct store_msg *m)
{
    struct state_item it = {.sseq = m->seq,
                            .cseq = jc->consumer->delivered.cseq + 1,
                            .deliveries = 1,
                            .pending = jc->consumer->num_pending};
    char reply[2 * LIMIT_NAME_BYTES + 160];
    size_t body = jc->consumer->config.headers_only ? 0 : m->body.bytes;
    return (int64_t)(m->subject.bytes + deliver_reply(jc, m, &it, reply).bytes + m->header.bytes +
                     body + (pin_used(jc) ? deliver_pin_bytes(m) : 0));
}

/* Counts m against the slot; false: it doesn't fit. */
static bool
deliver_fits(struct js_consumer *jc, struct deliver_slot *slot, const struct store_msg *m)
{
    if (slot->bytes_max == INT64_MAX) return true;
    int64_t bytes = deliver_bytes(jc, m);
    if (slot->bytes >= slot->bytes_max) return false;
    /* A rate limit is overdrawn by one message and pays it back; a request's budget is hard. */
    if (slot->waiting != NULL && slot->bytes + bytes > slot->bytes_max) {
        slot->too_big = true;
        return false;
    }
    slot->bytes += bytes;
    return true;
}

static void
deliver_pick_again(struct js_consumer *jc, struct deliver_slot *slot, struct deliver_picks *p)
{
    struct consumer *c = jc->consumer;
    for (; jc->again_at < jc->again_count && p->again_count < slot->count; jc->again_at++) {
        stream_seq seq = jc->again[jc->again_at];
        struct store_msg m;
        if (consumer_find(c, seq) == NULL) continue;
        if (slot->bytes_max != INT64_MAX) {
            int rc = deliver_read(jc, seq, &m);
            if (rc != 0 && rc != E_NOTFOUND) redeliver_delivered(jc, NULL, 0); /* tried later */
            if (rc != 0) continue;
            if (!deliver_fits(jc, slot, &m)) return;
        }
        p->again[p->again_count++] = seq;
    }
}

/* Replay as it came: the gap to the message before must have passed. False: the timer stands for
 * it. */
static bool deliver_replay(struct js_consumer *jc, const struct store_msg *m)
{
    if (jc->consumer->config.replay_policy != REPLAY_ORIGINAL) return true;
    struct engine *e = jc->engine;
    struct mono now = env_mono(e->o.env);
    int64_t gap = jc->replay_ns == 0 ? 0 : m->time_ns - jc->replay_ns;
    uint64_t due = jc->replayed.ns + (uint64_t)(gap > 0 ? gap : 0);
    if (due > now.ns) {
        wheel_start(e->wheel, &jc->pace, (struct mono){due});
        return false;
    }
    jc->replay_ns = m->time_ns;
    jc->replayed = now;
    return true;
}

static void deliver_pick_fresh(struct js_consumer *jc,
                               struct deliver_slot *slot,
                               struct deliver_picks *p,
                               uint64_t available)
{
    while (available != 0 && p->again_count + p->fresh_count < slot->count) {
        struct store_msg m;
        if (deliver_next(jc, &m) != 0) return;
        if (!deliver_fits(jc, slot, &m) || !deliver_replay(jc, &m)) return;
        p->fresh[p->fresh_count++] = m.seq;
        jc->position = m.seq;
        available--;
    }
}

/* ---- proposing ---- */

static void deliver_done(struct proposal *proposal, const void *result)
{
    struct js_flight *f = CONTAINER_OF(proposal, struct js_flight, proposal);
    const struct apply_result *r = result;
    struct js_consumer *jc = f->consumer;
    struct engine *e = jc->engine;
    if (list_linked(&f->node)) { /* else forgotten by deliver_reset */
        list_remove(&f->node);
        jc->flight_count--;
        jc->fresh_in_flight -= f->fresh;
        if (f->again != 0) jc->again_flights--;
        bool refused = r->error != JS_OK;
        pull_queue_result(e, f, refused);
        if (refused) {
            jc->refused = true;
            if (f->again != 0) jc->scan = true;
        }
        if (jc->flight_count == 0 && jc->refused) {
            jc->refused = false;
            jc->position = 0;
        }
        engine_consumer_dirty(jc);
    }
    engine_consumer_release(jc);
    engine_drop(e);
    free(f);
}

static stream_seq deliver_expected(const struct js_consumer *jc)
{
    if (list_empty(&jc->flights)) return jc->consumer->delivered.sseq;
    return CONTAINER_OF(jc->flights.head.prev, struct js_flight, node)->last;
}

static void deliver_propose(struct js_consumer *jc,
                            const struct deliver_slot *slot,
                            const struct deliver_picks *p)
{
    struct engine *e = jc->engine;
    struct consumer *c = jc->consumer;
    struct js_flight *f = check_alloc(sizeof *f);
    struct command_deliver d = {.stream = c->stream->id,
                                .consumer = c->id,
                                .target = slot->target,
                                .request = slot->request,
                                .expect_delivered = deliver_expected(jc),
                                .fresh_count = p->fresh_count,
                                .again_count = p->again_count};
    f->proposal.done = deliver_done;
    f->consumer = engine_consumer_ref(jc);
    f->epoch = e->epoch;
    f->target = slot->target;
    f->request = slot->request;
    f->fresh = p->fresh_count;
    f->again = p->again_count;
    f->bytes = slot->bytes;
    f->last = p->fresh_count != 0 ? p->fresh[p->fresh_count - 1] : d.expect_delivered;
    list_push_back(&jc->flights, &f->node);
    jc->flight_count++;
    jc->fresh_in_flight += f->fresh;
    if (f->again != 0) jc->again_flights++;
    engine_hold(e);
    size_t bytes = 96 + 10 * (size_t)(p->fresh_count + p->again_count);
    entry_put_deliver(propose_open(e->o.group, bytes), &d, p->fresh, p->again);
    propose_close(e->o.group, &f->proposal);
    if (slot->waiting != NULL)
        pull_queue_picked(slot->waiting, p->fresh_count + p->again_count, slot->bytes);
    if (jc->push) jc->rate_budget -= slot->bytes;
}

/* One target's messages. False: there is nothing more to do now. */
static bool deliver_step(struct js_consumer *jc)
{
    struct deliver_slot slot;
    struct deliver_picks p;
    uint64_t fresh = deliver_available(jc), again = jc->again_count - jc->again_at;
    if (fresh + again == 0 || !deliver_target(jc, fresh + again, &slot)) return false;
    p.fresh_count = p.again_count = 0;
    deliver_pick_again(jc, &slot, &p);
    if (!slot.too_big) deliver_pick_fresh(jc, &slot, &p, fresh);
    uint32_t count = p.fresh_count + p.again_count;
    if (count != 0) deliver_propose(jc, &slot, &p);
    if (slot.too_big) {
        pull_queue_finish(slot.waiting, PULL_TOO_BIG);
        return true;
    }
    return count != 0;
}

static void deliver_turn_leader(struct js_consumer *jc)
{
    if (jc->scan && jc->again_flights == 0) redeliver_scan(jc);
    if (jc->refused) return;
    while (jc->flight_count < JS_DELIVER_FLIGHTS && deliver_step(jc)) {
    }
}

/* ---- local ---- */

static bool deliver_local_one(struct js_consumer *jc, struct deliver_slot *slot)
{
    struct consumer *c = jc->consumer;
    struct store_msg m;
    if (deliver_next(jc, &m) != 0) return false;
    if (!deliver_fits(jc, slot, &m) || !deliver_replay(jc, &m)) return false;
    struct account *a = jc->stream->account;
    struct pull_request *p = NULL;
    struct text to = c->config.deliver_subject;
    if (slot->waiting != NULL) {
        p = pull_find(jc->engine, slot->request);
        if (p == NULL) pull_queue_finish(slot->waiting, PULL_GONE);
        to = p == NULL ? (struct text){0} : pull_inbox(p, &a);
        if (to.bytes == 0) { /* it isn't among those who wait any more */
            slot->waiting = NULL;
            return false;
        }
    }
    jc->position = 0;
    struct state_item it = {.sseq = m.seq, .deliveries = 1};
    it.cseq = consumer_deliver(c, m.seq, engine_now(jc->engine));
    it.pending = c->num_pending;
    int64_t bytes = 0;
    char pin[JS_PIN_BYTES + 1];
    struct text id = p == NULL ? (struct text){0} : deliver_pin(jc, p, pin);
    (void)deliver_send(jc, &m, &it, a, to, id, &bytes);
    slot->bytes += slot->bytes_max == INT64_MAX ? bytes : 0;
    if (p != NULL) {
        pull_queue_picked(slot->waiting, 1, bytes);
        pull_queue_sent(slot->waiting, 1);
        pull_sent(p, bytes, &it);
    } else {
        push_sent(jc, bytes, &it);
        jc->rate_budget -= bytes;
    }
    return true;
}

/* A pull request is looked for again after each message, so that those who wait take turns. */
static void deliver_turn_local(struct js_consumer *jc)
{
    int64_t bytes = 0;
    for (unsigned n = 0; jc->consumer != NULL && deliver_available(jc) != 0;) {
        struct deliver_slot slot;
        if (!deliver_target(jc, deliver_available(jc), &slot)) return;
        uint64_t count = jc->push ? slot.count : 1;
        bool more = true;
        for (; count != 0 && more; count--, n++) {
            more = deliver_local_one(jc, &slot);
            if (jc->consumer == NULL || (jc->push && push_stalled(jc))) return;
        }
        if (slot.too_big) pull_queue_finish(slot.waiting, PULL_TOO_BIG);
        bytes += slot.bytes;
        if (!more && !slot.too_big) return;
        if (n >= JS_TURN_MESSAGES || bytes >= (int64_t)JS_TURN_BYTES) {
            engine_consumer_later(jc);
            return;
        }
    }
}

void deliver_turn(struct js_consumer *jc)
{
    if (!engine_decides(jc)) return;
    struct engine *e = jc->engine;
    engine_consumer_ref(jc);
    if (deliver_paused(jc)) {
        int64_t left = jc->consumer->config.pause_until_ns - env_wall_ns(e->o.env);
        wheel_start(e->wheel, &jc->pause, (struct mono){env_mono(e->o.env).ns + (uint64_t)left});
    } else if (jc->consumer->local) {
        deliver_turn_local(jc);
    } else {
        deliver_turn_leader(jc);
    }
    if (jc->consumer != NULL) {
        if (!jc->push) pull_queue_settle(jc);
        if (jc->consumer->num_pending == 0) store_cursor_close(&jc->cursor);
    }
    engine_consumer_release(jc);
}

void deliver_timer(struct wheel_entry *w)
{
    engine_consumer_dirty(CONTAINER_OF(w, struct js_consumer, pause));
}
void deliver_pace_timer(struct wheel_entry *w)
{
    engine_consumer_dirty(CONTAINER_OF(w, struct js_consumer, pace));
}

void deliver_reset(struct js_consumer *jc)
{
    while (list_pop_front(&jc->flights) != NULL) {
    }
    jc->flight_count = jc->again_flights = 0;
    jc->fresh_in_flight = 0;
    jc->refused = false;
    jc->position = 0;
    jc->again_count = jc->again_at = 0;
    pull_queue_clear(jc);
}
