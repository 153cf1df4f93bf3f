/* pull.c - pull requests of this node's clients (9.2).
 *
 * A request is checked, gets a number, and is told to who decides the consumer's deliveries: the
 * leader, or this node itself. It ends when its batch is sent, at its expiry, when its inbox has no
 * subscriber any more, or by a status from who decides. After a change of leader it is told again:
 * the client notices nothing. A request that expired stays known for a moment: what was picked for
 * it before may still come, and is better delivered than sent to somebody else later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/api.h"
#include "broker/js/deliver.h"
#include "broker/js/duration.h"
#include "broker/js/js.h"
#include "broker/js/js_json.h"
#include "broker/js/publish_headers.h"
#include "broker/js/pull_queue.h"

#define PULL_LINGER_NS (2 * NS_PER_S)
#define PULL_ABSENT_NS (10 * NS_PER_S) /* a client that reconnects comes back to its requests */

struct pull_request {
    struct list_node in_consumer;
    struct js_consumer *consumer;
    struct account *account;
    uint64_t id;
    struct router_watch watch;
    struct wheel_entry expiry, heartbeat, absence;
    int64_t batch, bytes; /* left */
    uint64_t sent, tick_sent, heartbeat_ns;
    struct mono sent_at;
    bool bytes_limited, no_wait, has_expires, lingers, held;
    bool absent;            /* nobody on the inbox for now: who decides was told that it is gone */
    enum pull_end held_end; /* a status that came before the last of its messages */
    uint64_t held_sent;
    int64_t min_pending, min_ack_pending, priority;
    char pin[JS_PIN_BYTES + 1]; /* given by the client */
    size_t inbox_bytes;
    char inbox[];
};

/* The body of a request. */
struct pull_body {
    int64_t batch, expires, max_bytes, idle_heartbeat, min_pending, min_ack_pending, priority;
    bool no_wait;
    struct text group, id;
};
static const struct json_in_field pull_fields[] = {
    JS_FIELD(pull_body, batch, JSON_IN_I64),
    JS_FIELD(pull_body, expires, JSON_IN_I64),
    JS_FIELD(pull_body, max_bytes, JSON_IN_I64),
    JS_FIELD(pull_body, idle_heartbeat, JSON_IN_I64),
    JS_FIELD(pull_body, no_wait, JSON_IN_BOOL),
    JS_FIELD(pull_body, group, JSON_IN_TEXT),
    JS_FIELD(pull_body, id, JSON_IN_TEXT),
    JS_FIELD(pull_body, min_pending, JSON_IN_I64),
    JS_FIELD(pull_body, min_ack_pending, JSON_IN_I64),
    JS_FIELD(pull_body, priority, JSON_IN_I64),
};
static const struct json_in_table pull_table = JS_TABLE(pull_body, pull_fields);

static struct text pull_subject(const struct pull_request *p)
{
    return (struct text){.at = p->inbox, .bytes = p->inbox_bytes};
}

/* ---- statuses ---- */

static void status_send(struct engine *e, struct account *a, struct text to, const char *status)
{
    char header[400];
    int n = snprintf(header, sizeof header, "NATS/1.0 %s\r\n\r\n", status);
    size_t bytes = (size_t)n < sizeof header ? (size_t)n : sizeof header - 1;
    (void)engine_send(e, a, to, (struct text){0}, (struct text){header, bytes}, (struct text){0});
}

/* With what the request still wanted. */
static void status_pending(struct pull_request *p, const char *status)
{
    char text[300];
    snprintf(text, sizeof text, "%s\r\nNats-Pending-Messages: %lld\r\nNats-Pending-Bytes: %lld",
             status, (long long)p->batch, (long long)(p->bytes_limited ? p->bytes : 0));
    status_send(p->consumer->engine, p->account, pull_subject(p), text);
}

/* ---- life ---- */

struct pull_request *pull_find(struct engine *e, uint64_t id)
{
    return map_get_u64(&e->pulls, id);
}

static void pull_free(struct pull_request *p)
{
    struct engine *e = p->consumer->engine;
    (void)map_take_u64(&e->pulls, p->id);
    list_remove(&p->in_consumer);
    router_unwatch(e->o.router, &p->watch);
    wheel_stop(e->wheel, &p->expiry);
    wheel_stop(e->wheel, &p->heartbeat);
    wheel_stop(e->wheel, &p->absence);
    p->consumer->active = env_mono(e->o.env);
    engine_consumer_release(p->consumer);
    free(p);
}

static bool decides_here(const struct js_consumer *jc)
{
    return engine_decides(jc);
}

static void pull_untell(struct pull_request *p)
{
    struct js_consumer *jc = p->consumer;
    if (jc->consumer == NULL) return;
    if (decides_here(jc)) {
        pull_queue_remove(jc->engine, jc->engine->o.self, p->id);
    } else {
        engine_frames_pull_end(jc->engine, jc->consumer->id, p->id);
    }
}

static void pull_tell(struct pull_request *p)
{
    struct js_consumer *jc = p->consumer;
    struct pull_registration r = {.consumer = jc->consumer->id,
                                  .id = p->id,
                                  .batch = p->batch,
                                  .bytes = p->bytes_limited ? p->bytes : 0,
                                  .sent = p->sent,
                                  .no_wait = p->no_wait,
                                  .has_expires = p->has_expires,
                                  .has_heartbeat = p->heartbeat_ns != 0,
                                  .min_pending = p->min_pending,
                                  .min_ack_pending = p->min_ack_pending,
                                  .priority = (uint8_t)p->priority,
                                  .pin = text_of(p->pin)};
    if (decides_here(jc)) {
        pull_queue_add(jc, jc->engine->o.self, &r);
    } else {
        engine_frames_pull(jc->engine, &r);
    }
}

static void pull_expired(struct wheel_entry *w)
{
    struct pull_request *p = CONTAINER_OF(w, struct pull_request, expiry);
    struct engine *e = p->consumer->engine;
    if (p->lingers) {
        pull_free(p);
        return;
    }
    if (!p->absent) pull_untell(p);
    p->lingers = true;
    wheel_stop(e->wheel, &p->heartbeat);
    wheel_start(e->wheel, w, (struct mono){env_mono(e->o.env).ns + PULL_LINGER_NS});
    status_pending(p, "408 Request Timeout");
}

static void pull_heartbeat(struct wheel_entry *w)
{
    struct pull_request *p = CONTAINER_OF(w, struct pull_request, heartbeat);
    struct engine *e = p->consumer->engine;
    const struct consumer *c = p->consumer->consumer;
    uint64_t now = env_mono(e->o.env).ns, due = p->sent_at.ns + p->heartbeat_ns;
    if (now >= due) {
        p->sent_at.ns = now;
        due = now + p->heartbeat_ns;
    }
    wheel_start(e->wheel, w, (struct mono){due});
    if (due != now + p->heartbeat_ns) return;
    char text[160];
    snprintf(text, sizeof text,
             "100 Idle Heartbeat\r\nNats-Last-Consumer: %llu\r\nNats-Last-Stream: %llu",
             (unsigned long long)c->delivered.cseq, (unsigned long long)c->delivered.sseq);
    status_send(e, p->account, pull_subject(p), text);
}

static bool inbox_heard(struct engine *e, struct account *a, struct text inbox)
{
    struct router_node nodes[1];
    return router_interest(e->o.router, a, inbox, (struct text){0}, nodes, 1) != 0;
}

static void pull_absence(struct wheel_entry *w)
{
    pull_free(CONTAINER_OF(w, struct pull_request, absence));
}

static void pull_absent(struct pull_request *p)
{
    struct engine *e = p->consumer->engine;
    if (p->absent) return;
    p->absent = true;
    if (!p->lingers) pull_untell(p);
    wheel_start(e->wheel, &p->absence, (struct mono){env_mono(e->o.env).ns + PULL_ABSENT_NS});
}

static void pull_watched(struct router_watch *w)
{
    struct pull_request *p = CONTAINER_OF(w, struct pull_request, watch);
    if (!inbox_heard(p->consumer->engine, p->account, pull_subject(p))) {
        pull_absent(p);
    } else if (p->absent) {
        p->absent = false;
        wheel_stop(p->consumer->engine->wheel, &p->absence);
        if (!p->lingers) pull_tell(p);
    }
}

/* ---- a request comes ---- */

/* NULL: fine. Else the status that refuses it. */
static const char *
pull_refused(const struct consumer_config *c, const struct pull_body *b, char *room, size_t bytes)
{
    char duration[32] = "";
    if (b->idle_heartbeat > 0 && b->idle_heartbeat > b->expires / 2)
        return "400 Bad Request - heartbeat value too large";
    if (c->max_batch > 0 && b->batch > c->max_batch) {
        snprintf(room, bytes, "409 Exceeded MaxRequestBatch of %lld", (long long)c->max_batch);
        return room;
    }
    if (c->max_expires_ns > 0 && b->expires > c->max_expires_ns) {
        size_t n = duration_format(c->max_expires_ns, duration, sizeof duration);
        snprintf(room, bytes, "409 Exceeded MaxRequestExpires of %.*s", (int)n, duration);
        return room;
    }
    if (c->max_bytes > 0 && b->max_bytes > c->max_bytes) {
        snprintf(room, bytes, "409 Exceeded MaxRequestMaxBytes of %lld", (long long)c->max_bytes);
        return room;
    }
    return NULL;
}

/* Priority groups (9.3): what the consumer has must be asked for, and nothing else. */
static const char *pull_group_refused(const struct consumer_config *c, const struct pull_body *b)
{
    int policy = c->priority_policy;
    if (b->priority < 0 || b->priority > 9)
        return "400 Bad Request - Priority must be between 0 and 9";
    if (policy != PRIORITY_OVERFLOW && (b->min_pending > 0 || b->min_ack_pending > 0))
        return "400 Bad Request - Not a Overflow Priority consumer";
    if (policy != PRIORITY_PINNED && b->id.bytes != 0)
        return "400 Bad Request - Not a Pinned Client Priority consumer";
    if (policy == PRIORITY_NONE) return NULL;
    if (b->group.bytes == 0) return "400 Bad Request - Priority Group missing";
    for (size_t i = 0; i < c->priority_group_count; i++) {
        if (!text_equal(c->priority_groups[i], b->group)) continue;
        if (b->id.bytes != 0 && b->id.bytes != JS_PIN_BYTES) return "423 Nats-Pin-Id mismatch";
        return NULL;
    }
    return "400 Bad Request - Invalid Priority Group";
}

static int
pull_decode(struct arena *j, struct text body, struct pull_body *out, char *error, size_t room)
{
    struct config_error e;
    uint64_t number;
    *out = (struct pull_body){.batch = 1};
    while (body.bytes != 0 && (body.at[0] == ' ' || body.at[0] == '\t')) {
        body.at++;
        body.bytes--;
    }
    if (body.bytes == 0) return 0;
    if (body.at[0] != '{') {
        if (!duration_digits(body, &number) || number > INT64_MAX) {
            snprintf(error, room, "400 Bad Request - invalid batch");
            return -1;
        }
        out->batch = number == 0 ? 1 : (int64_t)number;
        return 0;
    }
    if (js_json_decode(j, body, &pull_table, out, &e) != 0) {
        snprintf(error, room, "400 Bad Request - %.200s", e.text);
        return -1;
    }
    if (out->batch <= 0) out->batch = 1;
    return 0;
}

static struct pull_request *
pull_new(struct js_consumer *jc, struct account *a, struct text inbox, const struct pull_body *b)
{
    struct engine *e = jc->engine;
    struct pull_request *p = check_alloc(sizeof *p + inbox.bytes);
    uint64_t now = env_mono(e->o.env).ns;
    p->consumer = engine_consumer_ref(jc);
    p->account = a;
    p->id = (e->boots << PULL_ID_BITS) | (++e->pull_last & ((UINT64_C(1) << PULL_ID_BITS) - 1));
    p->batch = b->batch;
    p->bytes = b->max_bytes;
    p->bytes_limited = b->max_bytes > 0;
    p->no_wait = b->no_wait;
    p->has_expires = b->expires > 0;
    p->heartbeat_ns = b->idle_heartbeat > 0 ? (uint64_t)b->idle_heartbeat : 0;
    p->min_pending = b->min_pending;
    p->min_ack_pending = b->min_ack_pending;
    p->priority = b->priority;
    if (b->id.bytes == JS_PIN_BYTES) memcpy(p->pin, b->id.at, JS_PIN_BYTES);
    p->sent_at.ns = now;
    p->inbox_bytes = inbox.bytes;
    memcpy(p->inbox, inbox.at, inbox.bytes);
    p->watch =
        (struct router_watch){.account = a, .subject = pull_subject(p), .changed = pull_watched};
    router_watch(e->o.router, &p->watch);
    p->expiry.cb = pull_expired;
    p->heartbeat.cb = pull_heartbeat;
    p->absence.cb = pull_absence;
    if (p->has_expires)
        wheel_start(e->wheel, &p->expiry, (struct mono){now + (uint64_t)b->expires});
    if (p->heartbeat_ns != 0)
        wheel_start(e->wheel, &p->heartbeat, (struct mono){now + p->heartbeat_ns});
    list_push_back(&jc->pulls, &p->in_consumer);
    map_put_u64(&e->pulls, p->id, p);
    return p;
}

void pull_request(struct js_consumer *jc, struct account *a, struct text inbox, struct text body)
{
    struct engine *e = jc->engine;
    struct arena j = {0};
    struct pull_body b;
    char room[300];
    const char *status = room;
    jc->active = env_mono(e->o.env);
    if (jc->push) {
        status_send(e, a, inbox, "409 Consumer is push based");
        return;
    }
    if (pull_decode(&j, body, &b, room, sizeof room) == 0) {
        status = pull_refused(&jc->consumer->config, &b, room, sizeof room);
        if (status == NULL) status = pull_group_refused(&jc->consumer->config, &b);
    }
    if (status != NULL) {
        status_send(e, a, inbox, status);
    } else if (inbox_heard(e, a, inbox)) {
        pull_tell(pull_new(jc, a, inbox, &b));
    }
    arena_free(&j);
}

/* $JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer> */
bool pull_deliver(struct js_account *ja, const struct message *m, struct text rest)
{
    struct engine *e = ja->engine;
    struct text stream, consumer;
    if (!subject_token(&rest, &stream) || !subject_token(&rest, &consumer)) return false;
    struct consumer *c = api_find_consumer(e, ja, stream, consumer);
    if (c == NULL) return false;
    if (m->reply.bytes == 0) return true;
    if (m->header.bytes != 0) {
        struct publish_headers h;
        publish_headers_parse(m->header, &h);
        if (h.api_level_given && h.api_level > JS_API_LEVEL) {
            status_send(e, m->account, m->reply, "412 Required Api Level");
            return true;
        }
    }
    pull_request(c->engine, m->account, m->reply, m->body);
    return true;
}

/* ---- messages and statuses for it ---- */

struct text pull_inbox(struct pull_request *p, struct account **account)
{
    *account = p->account;
    if (inbox_heard(p->consumer->engine, p->account, pull_subject(p))) return pull_subject(p);
    pull_absent(p);
    return (struct text){0};
}

struct text pull_pin(const struct pull_request *p, char *room)
{
    if (p->pin[0] != '\0') return text_of(p->pin);
    return pin_of(p->consumer->engine->o.self, p->id, room);
}

static void pull_finish(struct pull_request *p, enum pull_end end)
{
    const char *status = pull_queue_text(end);
    if (status != NULL && !p->lingers) {
        if (end == PULL_TOO_BIG || end == PULL_PIN_LOST) {
            status_pending(p, status);
        } else {
            status_send(p->consumer->engine, p->account, pull_subject(p), status);
        }
    }
    pull_free(p);
}

void pull_sent(struct pull_request *p, int64_t bytes, const struct state_item *item)
{
    (void)item;
    p->sent++;
    p->batch--;
    p->sent_at = env_mono(p->consumer->engine->o.env);
    if (p->bytes_limited) p->bytes -= bytes;
    if (p->held && p->sent >= p->held_sent) {
        pull_finish(p, p->held_end);
        return;
    }
    if (p->batch > 0 && (!p->bytes_limited || p->bytes > 0)) return;
    if (p->bytes_limited && p->bytes > 0 && !p->lingers) status_pending(p, "409 Batch Completed");
    pull_free(p);
}

void pull_status(struct engine *e, uint64_t id, int code, uint64_t sent)
{
    struct pull_request *p = pull_find(e, id);
    if (p == NULL || code <= PULL_GONE || code >= PULL_ENDS) return;
    if (p->sent >= sent) {
        pull_finish(p, (enum pull_end)code);
        return;
    }
    p->held = true;
    p->held_end = (enum pull_end)code;
    p->held_sent = sent;
}

void pull_end_all(struct js_consumer *jc, struct text status)
{
    LIST_FOREACH_SAFE (n, next, &jc->pulls) {
        struct pull_request *p = CONTAINER_OF(n, struct pull_request, in_consumer);
        struct engine *e = jc->engine;
        if (!p->lingers && status.bytes != 0)
            (void)engine_send(e, p->account, pull_subject(p), (struct text){0}, status,
                              (struct text){0});
        pull_free(p);
    }
}

void pull_leader_changed(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    if (e->leader == 0) return;
    LIST_FOREACH_SAFE (n, next, &jc->pulls) {
        struct pull_request *p = CONTAINER_OF(n, struct pull_request, in_consumer);
        p->held = false;
        if (!p->lingers && !p->absent) pull_tell(p);
    }
}

/* Only what got nothing since the last tick: the word about it, or its end, may have been lost. */
void pull_tick(struct js_consumer *jc)
{
    LIST_FOREACH_SAFE (n, next, &jc->pulls) {
        struct pull_request *p = CONTAINER_OF(n, struct pull_request, in_consumer);
        bool quiet = p->tick_sent == p->sent + 1;
        p->tick_sent = p->sent + 1;
        if (quiet && !p->lingers && !p->absent) pull_tell(p);
    }
}
