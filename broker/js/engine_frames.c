/* engine_frames.c - FRAME_ENGINE: what engines of different nodes tell each other.
 *
 *   boots     u64              the sender's incarnation, to the leader, every second
 *   pull      u32 consumer, u64 id, i64 batch, i64 bytes, u64 sent, u8 flags, i64 min_pending,
 *             i64 min_ack_pending, u8 priority, text16 pin: a client of the sender's waits; said
 * again pull end  u32 consumer, u64 id: it is gone status    u64 id, u8 code, u64 sent: the leader
 * ends a request stepdown                   to the leader: hand over ask       u64 id, text16
 * account, text16 subject, text32 body: have you this local consumer? answer    u64 id, text32
 * answer; empty: no pin       u32 consumer, i64 since, text16 id: whom the leader has pinned;
 * empty: nobody unpin     u32 consumer: to the leader leads                      from a new leader,
 * ready: say again what you told its predecessor
 *
 * Any of them may be lost with a link: whoever needs one says it again, or gives up in time. */
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/js/js.h"
#include "broker/js/pull_queue.h"

#define ASK_TIMEOUT_NS (500 * NS_PER_MS)
#define ASK_BODY_BYTES KIB(64)

enum engine_frame {
    ENGINE_BOOTS = 1,
    ENGINE_PULL,
    ENGINE_PULL_END,
    ENGINE_STATUS,
    ENGINE_STEPDOWN,
    ENGINE_ASK,
    ENGINE_ANSWER,
    ENGINE_LEADS,
    ENGINE_PIN,
    ENGINE_UNPIN
};
enum pull_flag { PULL_FLAG_NO_WAIT = 1, PULL_FLAG_EXPIRES = 2, PULL_FLAG_HEARTBEAT = 4 };

struct engine_node {
    struct list_node node;
    node_id id;
    uint64_t boots;
};

/* ---- out ---- */

static void frame_begin(struct writer *w, enum engine_frame kind)
{
    writer_init(w, 64);
    writer_u8(w, (uint8_t)kind);
}
static void frame_send(struct engine *e, node_id node, struct writer *w)
{
    struct slice part = writer_take(w);
    cluster_send(e->o.cluster, node, CLUSTER_CONTROL, FRAME_ENGINE, &part, 1);
}
static bool leader_elsewhere(const struct engine *e)
{
    return e->o.cluster != NULL && e->leader != 0 && e->leader != e->o.self;
}

void engine_frames_pull(struct engine *e, const struct pull_registration *r)
{
    struct writer w;
    if (!leader_elsewhere(e)) return;
    frame_begin(&w, ENGINE_PULL);
    writer_u32(&w, r->consumer);
    writer_u64(&w, r->id);
    writer_i64(&w, r->batch);
    writer_i64(&w, r->bytes);
    writer_u64(&w, r->sent);
    writer_u8(&w, (uint8_t)((r->no_wait ? PULL_FLAG_NO_WAIT : 0) |
                            (r->has_expires ? PULL_FLAG_EXPIRES : 0) |
                            (r->has_heartbeat ? PULL_FLAG_HEARTBEAT : 0)));
    writer_i64(&w, r->min_pending);
    writer_i64(&w, r->min_ack_pending);
    writer_u8(&w, r->priority);
    writer_text16(&w, r->pin);
    frame_send(e, e->leader, &w);
}

void engine_frames_pull_end(struct engine *e, uint32_t consumer, uint64_t id)
{
    struct writer w;
    if (!leader_elsewhere(e)) return;
    frame_begin(&w, ENGINE_PULL_END);
    writer_u32(&w, consumer);
    writer_u64(&w, id);
    frame_send(e, e->leader, &w);
}

void engine_frames_status(struct engine *e, node_id node, uint64_t id, int code, uint64_t sent)
{
    struct writer w;
    if (e->o.cluster == NULL) return;
    frame_begin(&w, ENGINE_STATUS);
    writer_u64(&w, id);
    writer_u8(&w, (uint8_t)code);
    writer_u64(&w, sent);
    frame_send(e, node, &w);
}

void engine_frames_stepdown(struct engine *e)
{
    struct writer w;
    if (e->leads) {
        group_handover(e->o.group, NULL, NULL);
        return;
    }
    if (!leader_elsewhere(e)) return;
    frame_begin(&w, ENGINE_STEPDOWN);
    frame_send(e, e->leader, &w);
}

/* A node hears of a new leader before that one is ready, and what it says too early is dropped. */
void engine_frames_leads(struct engine *e)
{
    struct cluster_peer *p = NULL;
    if (e->o.cluster == NULL) return;
    while ((p = cluster_peer_next(e->o.cluster, p)) != NULL) {
        struct writer w;
        if (!p->up || p->id == 0) continue;
        frame_begin(&w, ENGINE_LEADS);
        frame_send(e, p->id, &w);
    }
}

void engine_frames_pin(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    struct cluster_peer *p = NULL;
    if (e->o.cluster == NULL || jc->consumer->local) return;
    while ((p = cluster_peer_next(e->o.cluster, p)) != NULL) {
        struct writer w;
        if (!p->up || p->id == 0) continue;
        frame_begin(&w, ENGINE_PIN);
        writer_u32(&w, jc->consumer->id);
        writer_i64(&w, jc->pin.since_ns);
        writer_text16(&w, text_of(jc->pin.id));
        frame_send(e, p->id, &w);
    }
}

void engine_frames_unpin(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    struct writer w;
    if (!leader_elsewhere(e)) return;
    frame_begin(&w, ENGINE_UNPIN);
    writer_u32(&w, jc->consumer->id);
    frame_send(e, e->leader, &w);
}

static void boots_tell(struct engine *e)
{
    struct writer w;
    frame_begin(&w, ENGINE_BOOTS);
    writer_u64(&w, e->boots);
    frame_send(e, e->leader, &w);
}

/* ---- questions ---- */

static void ask_end(struct engine_ask *a, struct text answer)
{
    list_remove(&a->node);
    wheel_stop(a->engine->wheel, &a->timeout);
    a->done(a, answer);
}
static void ask_timeout(struct wheel_entry *w)
{
    ask_end(CONTAINER_OF(w, struct engine_ask, timeout), (struct text){0});
}

void engine_frames_ask(struct engine *e,
                       struct engine_ask *a,
                       struct account *account,
                       struct text subject,
                       struct text body)
{
    a->engine = e;
    a->id = ++e->ask_last;
    a->missing = 0;
    a->timeout.cb = ask_timeout;
    if (e->o.cluster != NULL && body.bytes <= ASK_BODY_BYTES && subject.bytes <= UINT16_MAX) {
        struct cluster_peer *p = NULL;
        while ((p = cluster_peer_next(e->o.cluster, p)) != NULL) {
            struct writer w;
            if (!p->up || p->id == 0) continue;
            frame_begin(&w, ENGINE_ASK);
            writer_u64(&w, a->id);
            writer_text16(&w, text_of(account->name));
            writer_text16(&w, subject);
            writer_text32(&w, body);
            frame_send(e, p->id, &w);
            a->missing++;
        }
    }
    if (a->missing == 0) {
        a->done(a, (struct text){0});
        return;
    }
    list_push_back(&e->asks, &a->node);
    wheel_start(e->wheel, &a->timeout, (struct mono){env_mono(e->o.env).ns + ASK_TIMEOUT_NS});
}

static void take_ask(struct engine *e, node_id from, struct reader *r)
{
    uint64_t id = reader_u64(r);
    struct text account = reader_text16(r), subject = reader_text16(r), body = reader_text32(r);
    if (r->bad) return;
    struct account *a = accounts_get(e->o.accounts, account);
    struct writer answer, w;
    writer_init(&answer, 1024);
    if (a != NULL && a->engine != NULL) api_answer_local(a->engine, subject, body, &answer);
    frame_begin(&w, ENGINE_ANSWER);
    writer_u64(&w, id);
    writer_text32(&w, (struct text){.at = (const char *)answer.base, .bytes = answer.bytes});
    frame_send(e, from, &w);
    writer_free(&answer);
}

static void take_answer(struct engine *e, struct reader *r)
{
    uint64_t id = reader_u64(r);
    struct text answer = reader_text32(r);
    if (r->bad) return;
    LIST_FOREACH_SAFE (n, next, &e->asks) {
        struct engine_ask *a = CONTAINER_OF(n, struct engine_ask, node);
        if (a->id != id) continue;
        if (--a->missing == 0 || answer.bytes != 0) ask_end(a, answer);
        return;
    }
}

/* ---- in ---- */

static void take_boots(struct engine *e, node_id from, struct reader *r)
{
    uint64_t boots = reader_u64(r);
    if (r->bad) return;
    LIST_FOREACH (n, &e->nodes) {
        struct engine_node *each = CONTAINER_OF(n, struct engine_node, node);
        if (each->id != from) continue;
        each->boots = boots;
        return;
    }
    struct engine_node *new = check_alloc(sizeof *new);
    new->id = from;
    new->boots = boots;
    list_push_back(&e->nodes, &new->node);
    /* Push consumers may have waited for it. */
    LIST_FOREACH (n, &e->streams) {
        struct js_stream *js = CONTAINER_OF(n, struct js_stream, node);
        LIST_FOREACH (c, &js->consumers) {
            engine_consumer_dirty(CONTAINER_OF(c, struct js_consumer, in_stream));
        }
    }
}

static void take_pull(struct engine *e, node_id from, struct reader *r)
{
    struct pull_registration p = {.consumer = reader_u32(r),
                                  .id = reader_u64(r),
                                  .batch = reader_i64(r),
                                  .bytes = reader_i64(r),
                                  .sent = reader_u64(r)};
    uint8_t flags = reader_u8(r);
    p.no_wait = (flags & PULL_FLAG_NO_WAIT) != 0;
    p.has_expires = (flags & PULL_FLAG_EXPIRES) != 0;
    p.has_heartbeat = (flags & PULL_FLAG_HEARTBEAT) != 0;
    p.min_pending = reader_i64(r);
    p.min_ack_pending = reader_i64(r);
    p.priority = reader_u8(r);
    p.pin = reader_text16(r);
    if (r->bad || !e->leads || p.batch <= 0) return;
    struct consumer *c = state_consumer_by_id(e->o.state, p.consumer);
    if (c != NULL && c->engine != NULL) pull_queue_add(c->engine, from, &p);
}

static void take_pin(struct engine *e, node_id from, struct reader *r)
{
    struct consumer *c = state_consumer_by_id(e->o.state, reader_u32(r));
    int64_t since_ns = reader_i64(r);
    struct text id = reader_text16(r);
    if (r->bad || from != e->leader || c == NULL || c->engine == NULL) return;
    pin_told(c->engine, id, since_ns);
}

static void take_unpin(struct engine *e, struct reader *r)
{
    struct consumer *c = state_consumer_by_id(e->o.state, reader_u32(r));
    if (!r->bad && e->leads && c != NULL && c->engine != NULL) pin_drop(c->engine, "admin");
}

static void take_status(struct engine *e, struct reader *r)
{
    uint64_t id = reader_u64(r);
    uint8_t code = reader_u8(r);
    uint64_t sent = reader_u64(r);
    if (!r->bad) pull_status(e, id, code, sent);
}

static void take_leads(struct engine *e, node_id from)
{
    if (from != e->leader) return; /* we hear of it later, and tell it then */
    boots_tell(e);
    LIST_FOREACH (n, &e->streams) {
        struct js_stream *js = CONTAINER_OF(n, struct js_stream, node);
        LIST_FOREACH (c, &js->consumers) {
            struct js_consumer *jc = CONTAINER_OF(c, struct js_consumer, in_stream);
            if (!jc->consumer->local) pull_leader_changed(jc);
        }
    }
}

static void
frame_take(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    struct engine *e = ctx;
    struct reader r = reader_of(body.at, body.bytes);
    (void)lane;
    switch (reader_u8(&r)) {
    case ENGINE_BOOTS:
        take_boots(e, from->id, &r);
        return;
    case ENGINE_PULL:
        take_pull(e, from->id, &r);
        return;
    case ENGINE_PULL_END:
        (void)reader_u32(&r);
        uint64_t id = reader_u64(&r);
        if (!r.bad) pull_queue_remove(e, from->id, id);
        return;
    case ENGINE_STATUS:
        take_status(e, &r);
        return;
    case ENGINE_STEPDOWN:
        if (e->leads) group_handover(e->o.group, NULL, NULL);
        return;
    case ENGINE_LEADS:
        take_leads(e, from->id);
        return;
    case ENGINE_PIN:
        take_pin(e, from->id, &r);
        return;
    case ENGINE_UNPIN:
        take_unpin(e, &r);
        return;
    case ENGINE_ASK:
        take_ask(e, from->id, &r);
        return;
    case ENGINE_ANSWER:
        take_answer(e, &r);
        return;
    default: /* of a newer version: not for us */
        return;
    }
}

static void
frame_ignore(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    (void)ctx, (void)from, (void)lane, (void)body;
}

/* ---- who is there ---- */

uint64_t engine_frames_boots(const struct engine *e, node_id node)
{
    if (e->o.cluster == NULL) return 0;
    const struct cluster_peer *p = cluster_peer(e->o.cluster, node);
    if (p == NULL || !p->up) return 0;
    LIST_FOREACH (n, &e->nodes) {
        const struct engine_node *each = CONTAINER_OF(n, struct engine_node, node);
        if (each->id == node) return each->boots;
    }
    return 0;
}

void engine_frames_tick(struct engine *e)
{
    LIST_FOREACH_SAFE (n, next, &e->nodes) {
        struct engine_node *each = CONTAINER_OF(n, struct engine_node, node);
        const struct cluster_peer *p = cluster_peer(e->o.cluster, each->id);
        if (p != NULL && p->up) continue;
        list_remove(n);
        free(each);
    }
    if (leader_elsewhere(e)) boots_tell(e);
}

void engine_frames_start(struct engine *e)
{
    if (e->o.cluster != NULL) cluster_on(e->o.cluster, FRAME_ENGINE, frame_take, e);
}

void engine_frames_free(struct engine *e)
{
    struct list_node *at;
    if (e->o.cluster != NULL) cluster_on(e->o.cluster, FRAME_ENGINE, frame_ignore, NULL);
    while ((at = list_first(&e->asks)) != NULL)
        ask_end(CONTAINER_OF(at, struct engine_ask, node), (struct text){0});
    while ((at = list_pop_front(&e->nodes)) != NULL)
        free(CONTAINER_OF(at, struct engine_node, node));
}
