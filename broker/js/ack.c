/* ack.c - acks of clients: $JS.ACK subjects with their payloads (9.1).
 *
 * Plain acks of one turn gather per consumer and become one command; the other kinds are rare and
 * go at once. Who sent a reply subject gets an empty message when the command is applied: a double
 * ack is durable. A sequence that isn't pending any more is answered alike. */
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/ack_subject.h"
#include "broker/js/api.h"
#include "broker/js/duration.h"
#include "broker/js/js.h"
#include "broker/js/js_json.h"
#include "broker/js/pull_queue.h"

#define ACK_COMMAND_SEQS 8192 /* of one command */
#define ACK_UNDELIVERABLE_NS (100 * (int64_t)NS_PER_MS)

struct ack_reply {
    struct list_node node;
    struct account *account;
    size_t bytes;
    char subject[];
};
/* Who waits for one command. */
struct ack_batch {
    struct proposal proposal;
    struct engine *engine;
    struct list replies;
};

/* ---- answers ---- */

static struct ack_reply *reply_new(const struct message *m)
{
    struct ack_reply *r = check_alloc(sizeof *r + m->reply.bytes);
    r->account = m->account;
    r->bytes = m->reply.bytes;
    memcpy(r->subject, m->reply.at, r->bytes);
    return r;
}

static void replies_send(struct engine *e, struct list *replies)
{
    struct list_node *at;
    while ((at = list_pop_front(replies)) != NULL) {
        struct ack_reply *r = CONTAINER_OF(at, struct ack_reply, node);
        struct text to = {.at = r->subject, .bytes = r->bytes}, none = {0};
        if (e->started) (void)engine_send(e, r->account, to, none, none, none);
        free(r);
    }
}

static void ack_batch_done(struct proposal *p, const void *result)
{
    struct ack_batch *b = CONTAINER_OF(p, struct ack_batch, proposal);
    struct engine *e = b->engine;
    (void)result;
    replies_send(e, &b->replies);
    engine_drop(e);
    free(b);
}

/* NULL when nobody waits: then the result isn't wanted. */
static struct proposal *ack_batch_new(struct engine *e, struct list *replies)
{
    if (list_empty(replies)) return NULL;
    struct ack_batch *b = check_alloc(sizeof *b);
    b->engine = e;
    b->proposal.done = ack_batch_done;
    list_init(&b->replies);
    list_splice(&b->replies, replies);
    engine_hold(e);
    return &b->proposal;
}

/* ---- commands ---- */

static void ack_propose(struct js_consumer *jc,
                        const struct command_ack *what,
                        const stream_seq *seqs,
                        struct list *replies)
{
    struct engine *e = jc->engine;
    struct command_ack c = *what;
    c.stream = jc->consumer->stream->id;
    c.consumer = jc->consumer->id;
    entry_put_ack(propose_open(e->o.group, 64 + c.reason.bytes + 10 * (size_t)c.seq_count), &c,
                  seqs);
    propose_close(e->o.group, ack_batch_new(e, replies));
}

static int seq_compare(const void *a, const void *b)
{
    stream_seq x = *(const stream_seq *)a, y = *(const stream_seq *)b;
    return x < y ? -1 : x > y;
}

/* Ascending, each once: what the command's format wants. */
static size_t seqs_order(stream_seq *seqs, size_t count)
{
    bool ordered = true;
    for (size_t i = 1; i < count && ordered; i++)
        ordered = seqs[i - 1] < seqs[i];
    if (ordered) return count;
    qsort(seqs, count, sizeof *seqs, seq_compare);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (seqs[i] != seqs[kept - 1]) seqs[kept++] = seqs[i];
    }
    return kept;
}

void ack_flush(struct js_consumer *jc)
{
    struct js_acks *a = &jc->acks;
    if (jc->consumer == NULL || a->count == 0) return;
    bool all = jc->consumer->config.ack_policy == ACK_POLICY_ALL;
    size_t count = seqs_order(a->seqs, a->count);
    struct list none;
    list_init(&none);
    if (all) {
        struct command_ack c = {.kind = ACK_ALL, .seq_count = 1};
        ack_propose(jc, &c, a->seqs + count - 1, &a->replies);
    }
    for (size_t at = 0; !all && at < count; at += ACK_COMMAND_SEQS) {
        size_t n = count - at < ACK_COMMAND_SEQS ? count - at : ACK_COMMAND_SEQS;
        struct command_ack c = {.kind = ACK_ACK, .seq_count = (uint32_t)n};
        ack_propose(jc, &c, a->seqs + at, at + n == count ? &a->replies : &none);
    }
    a->count = 0;
}

void ack_free(struct js_consumer *jc)
{
    replies_send(jc->engine, &jc->acks.replies);
    free(jc->acks.seqs);
    jc->acks.seqs = NULL;
    jc->acks.count = jc->acks.max = 0;
}

static void ack_gather(struct js_consumer *jc, stream_seq seq, const struct message *m, bool reply)
{
    struct js_acks *a = &jc->acks;
    if (a->count == a->max) {
        a->max = a->max == 0 ? 64 : a->max * 2;
        a->seqs = check_realloc(a->seqs, a->max * sizeof *a->seqs);
    }
    a->seqs[a->count++] = seq;
    if (reply && m->reply.bytes != 0) list_push_back(&a->replies, &reply_new(m)->node);
    if (list_linked(&jc->in_acks)) return;
    list_push_back(&jc->engine->dirty_acks, &jc->in_acks);
    engine_wake(jc->engine);
}

static void
ack_one(struct js_consumer *jc, struct command_ack c, stream_seq seq, const struct message *m)
{
    struct list replies;
    list_init(&replies);
    c.seq_count = 1;
    if (m != NULL && m->reply.bytes != 0) list_push_back(&replies, &reply_new(m)->node);
    ack_propose(jc, &c, &seq, &replies);
}

void ack_undeliverable(struct js_consumer *jc, const struct state_item *items, size_t count)
{
    struct consumer *c = jc->consumer;
    for (size_t i = 0; c != NULL && i < count; i++) {
        struct consumer_pending *p = consumer_find(c, items[i].sseq);
        if (p == NULL || p->cseq != items[i].cseq) continue;
        if (c->config.max_deliver > 0 && p->deliveries >= (uint64_t)c->config.max_deliver) continue;
        ack_one(jc, (struct command_ack){.kind = ACK_NAK, .delay_ns = ACK_UNDELIVERABLE_NS},
                items[i].sseq, NULL);
    }
}

/* ---- payloads ---- */

struct nak_body {
    int64_t delay;
};
static const struct json_in_field nak_fields[] = {JS_FIELD(nak_body, delay, JSON_IN_I64)};
static const struct json_in_table nak_table = JS_TABLE(nak_body, nak_fields);

static int64_t nak_delay(struct text argument)
{
    struct nak_body b = {0};
    struct arena j = {0};
    struct config_error error;
    if (argument.bytes == 0) return 0;
    if (argument.at[0] != '{')
        return duration_parse(argument, &b.delay) && b.delay > 0 ? b.delay : 0;
    if (js_json_decode(&j, argument, &nak_table, &b, &error) != 0) b.delay = 0;
    arena_free(&j);
    return b.delay > 0 ? b.delay : 0;
}

static void ack_take(struct js_consumer *jc, const struct ack_subject *s, const struct message *m)
{
    struct text argument;
    const struct consumer_pending *p = consumer_find(jc->consumer, s->sseq);
    switch (ack_payload_parse(m->body, &argument)) {
    case ACK_PAYLOAD_ACK:
        if (p != NULL) advisory_ack(jc, p);
        ack_gather(jc, s->sseq, m, true);
        return;
    case ACK_PAYLOAD_NEXT:
        ack_gather(jc, s->sseq, m, false);
        if (m->reply.bytes != 0) pull_request(jc, m->account, m->reply, argument);
        return;
    case ACK_PAYLOAD_NAK:
        if (p != NULL) advisory_nak(jc, p);
        ack_one(jc, (struct command_ack){.kind = ACK_NAK, .delay_ns = nak_delay(argument)}, s->sseq,
                m);
        return;
    case ACK_PAYLOAD_PROGRESS:
        ack_one(jc, (struct command_ack){.kind = ACK_PROGRESS}, s->sseq, m);
        return;
    case ACK_PAYLOAD_TERM:
        ack_one(jc, (struct command_ack){.kind = ACK_TERM, .reason = argument}, s->sseq, m);
        return;
    case ACK_PAYLOAD_UNKNOWN:
        return;
    }
}

/* An ack for a consumer that isn't there has no responder. */
bool ack_deliver(struct js_account *ja, const struct message *m)
{
    struct engine *e = ja->engine;
    struct ack_subject s;
    if (!ack_subject_parse(m->subject, &s)) return false;
    struct consumer *c = api_find_consumer(e, ja, s.stream, s.consumer);
    if (c == NULL || c->engine == NULL) return false;
    if (s.sseq == 0) return true;
    struct js_consumer *jc = c->engine;
    jc->active = env_mono(e->o.env);
    struct text none = {0};
    if (!c->local && c->config.ack_policy != ACK_POLICY_NONE) {
        ack_take(jc, &s, m);
    } else if (m->reply.bytes != 0) { /* nothing is pending: there is nothing to settle */
        (void)engine_send(e, m->account, m->reply, none, none, none);
    }
    return true;
}
