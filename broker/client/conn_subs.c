/* Subscriptions of a connection, and messages out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client/conn.h"
#include "broker/core/subject.h"
#include "store/base/logger.h"

static struct text sub_sid(const void *value)
{
    return ((const struct conn_sub *)value)->sid;
}

void conn_subs_init(struct conn *c)
{
    map_init(&c->by_sid, env_random(c->listener->o.env), sub_sid);
}

static void sub_drop(struct conn *c, struct conn_sub *s)
{
    router_unsubscribe(c->listener->o.router, &s->sub);
    (void)map_take(&c->by_sid, s->sid);
    list_remove(&s->sub.in_conn);
    c->sub_count--;
    free(s);
}

void conn_subs_clear(struct conn *c)
{
    struct list_node *at;
    if (c->sub_count != 0) c->sub_count_last = c->sub_count;
    while ((at = list_first(&c->subs)) != NULL) {
        sub_drop(c, CONTAINER_OF(at, struct conn_sub, sub.in_conn));
    }
}

/* ---- messages out ---- */

static uint8_t *put(uint8_t *to, struct text t)
{
    memcpy(to, t.at, t.bytes);
    return to + t.bytes;
}

static uint8_t *put_number(uint8_t *to, size_t n)
{
    uint8_t digits[20];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    while (count != 0)
        *to++ = digits[--count];
    return to;
}

/* MSG or HMSG and its arguments, up to and with the line end. */
static uint8_t *put_line(uint8_t *to,
                         const struct conn_sub *s,
                         const struct message *m,
                         size_t header_bytes,
                         size_t total_bytes)
{
    to = put(to, header_bytes != 0 ? TEXT("HMSG ") : TEXT("MSG "));
    to = put(to, m->subject);
    *to++ = ' ';
    to = put(to, s->sid);
    *to++ = ' ';
    if (m->reply.bytes != 0) {
        to = put(to, m->reply);
        *to++ = ' ';
    }
    if (header_bytes != 0) {
        to = put_number(to, header_bytes);
        *to++ = ' ';
    }
    to = put_number(to, total_bytes);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

#define LINE_BYTES_EXTRA 64 /* verb, blanks, two sizes, line ends */

static void conn_put_message(struct conn *c, const struct conn_sub *s, const struct message *m)
{
    size_t header_bytes = c->headers ? m->header.bytes : 0;
    size_t total_bytes = header_bytes + m->body.bytes;
    bool by_reference = m->owner.chunk != NULL && m->body.bytes >= OUTQ_REFERENCE_BYTES;
    size_t room =
        m->subject.bytes + s->sid.bytes + m->reply.bytes + header_bytes + LINE_BYTES_EXTRA;
    if (!by_reference) room += m->body.bytes;
    uint8_t *to = outq_room(&c->out, room);
    to = put_line(to, s, m, header_bytes, total_bytes);
    if (header_bytes != 0) to = put(to, m->header);
    if (by_reference) {
        outq_commit(&c->out, to);
        struct slice body = {.chunk = m->owner.chunk,
                             .at = (uint8_t *)(uintptr_t)m->body.at,
                             .bytes = m->body.bytes};
        outq_slice(&c->out, slice_ref(body));
        outq_put(&c->out, "\r\n", 2);
        return;
    }
    if (m->body.bytes != 0) to = put(to, m->body);
    *to++ = '\r';
    *to++ = '\n';
    outq_commit(&c->out, to);
}

static void conn_overrun(struct conn *c)
{
    c->listener->stats.slow_consumers++;
    LOG_CODE(WRN, LOG_CLIENT_SLOW,
             "%s - cid:%llu - Slow Consumer Detected: MaxPending of %llu Exceeded", c->address,
             (unsigned long long)c->cid, (unsigned long long)c->listener->o.broker->max_pending);
    conn_end(c, PROTO_NONE, CLOSE_SLOW_PENDING);
}

static void conn_count_out(struct conn *c, size_t bytes)
{
    c->out_msgs++;
    c->out_bytes += bytes;
    c->account->out_msgs++;
    c->account->out_bytes += bytes;
    c->listener->stats.out_msgs++;
    c->listener->stats.out_bytes += bytes;
}

static bool sub_deliver(struct sub *sub, const struct message *m)
{
    struct conn_sub *s = CONTAINER_OF(sub, struct conn_sub, sub);
    struct conn *c = sub->conn;
    if (c->state >= CONN_ENDING) return false;
    if (!c->echo && m->from == c) return false;
    struct text routed = m->deliver.bytes != 0 ? m->deliver : m->subject;
    if (s->filtered && !permissions_deliver(c->permissions, routed)) return false;
    size_t bytes = m->header.bytes + m->body.bytes;
    uint64_t pending_max = c->listener->o.broker->max_pending;
    if (c->out.bytes + bytes > pending_max) {
        conn_flush(c);
        if (c->out.bytes + bytes > pending_max) {
            conn_overrun(c);
            return false;
        }
    }
    conn_put_message(c, s, m);
    conn_count_out(c, bytes);
    if (c->out.bytes > pending_max / 4 * 3 && m->from != NULL && m->from != c)
        m->from->stalled = true;
    if (c->grants != NULL && m->reply.bytes != 0) {
        reply_grants_add(c->grants, m->reply, c->permissions, env_mono(c->listener->o.env));
    }
    sub->sid_msgs++;
    if (sub->max_msgs != 0 && sub->sid_msgs >= sub->max_msgs) sub_drop(c, s);
    conn_dirty(c);
    return true;
}

void conn_subs_no_responders(struct conn *c, const struct message *m)
{
    if (!c->no_responders || !c->headers || m->reply.bytes == 0) return;
    LIST_FOREACH (at, &c->subs) {
        struct conn_sub *s = CONTAINER_OF(at, struct conn_sub, sub.in_conn);
        if (s->sub.queue.bytes != 0 || !subject_match(s->sub.subject, m->reply)) continue;
        struct message answer = {
            .account = c->account, .subject = m->reply, .header = TEXT("NATS/1.0 503\r\n\r\n")};
        (void)sub_deliver(&s->sub, &answer);
        return;
    }
}

/* ---- SUB and UNSUB ---- */

static struct conn_sub *sub_new(struct conn *c, const struct parser_op *op)
{
    struct conn_sub *s =
        check_alloc(sizeof *s + op->subject.bytes + op->queue.bytes + op->sid.bytes);
    char *to = s->bytes;
    struct text *texts[] = {&s->sub.subject, &s->sub.queue, &s->sid};
    const struct text from[] = {op->subject, op->queue, op->sid};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (from[i].bytes != 0) memcpy(to, from[i].at, from[i].bytes);
        *texts[i] = (struct text){.at = to, .bytes = from[i].bytes};
        to += from[i].bytes;
    }
    s->sub.account = c->account;
    s->sub.kind = SUB_CLIENT;
    s->sub.conn = c;
    s->sub.deliver = sub_deliver;
    return s;
}

static int shown(struct text t)
{
    return (int)(t.bytes < CONN_SHOWN_BYTES ? t.bytes : CONN_SHOWN_BYTES);
}

static void error_denied(struct conn *c, struct text subject, struct text queue)
{
    char text[CONN_SHOWN_BYTES * 2 + 128];
    int n = snprintf(text, sizeof text, "Permissions Violation for Subscription to \"%.*s\"",
                     shown(subject), subject.at);
    if (queue.bytes != 0) {
        (void)snprintf(text + n, sizeof text - (size_t)n, " using queue \"%.*s\"", shown(queue),
                       queue.at);
    }
    conn_complain(c, text);
    conn_error(c, text);
}

static bool over_limit(const struct conn *c)
{
    uint32_t own = c->listener->o.broker->max_subscriptions;
    if (own != 0 && c->sub_count >= own) return true;
    return c->account->max_subs >= 0 && c->account->subs >= (uint64_t)c->account->max_subs;
}

void conn_subs_add(struct conn *c, const struct parser_op *op)
{
    bool filtered;
    if (!subject_valid(op->subject)) {
        conn_error(c, proto_error_text(PROTO_INVALID_SUBJECT));
        return;
    }
    if (!permissions_subscribe(c->permissions, op->subject, op->queue, &filtered) ||
        text_equal(op->queue, TEXT("_sys_"))) {
        error_denied(c, op->subject, op->queue);
        return;
    }
    if (over_limit(c)) {
        conn_error(c, proto_error_text(PROTO_MAX_SUBSCRIPTIONS));
        return;
    }
    if (map_get(&c->by_sid, op->sid) == NULL) {
        struct conn_sub *s = sub_new(c, op);
        s->filtered = filtered;
        map_put(&c->by_sid, s);
        list_push_back(&c->subs, &s->sub.in_conn);
        c->sub_count++;
        router_subscribe(c->listener->o.router, &s->sub);
    }
    if (c->verbose) conn_send(c, TEXT("+OK\r\n"));
}

void conn_subs_max(struct conn *c, const struct parser_op *op)
{
    struct conn_sub *s = map_get(&c->by_sid, op->sid);
    if (s != NULL) {
        s->sub.max_msgs = op->max;
        if (op->max == 0 || s->sub.sid_msgs >= op->max) sub_drop(c, s);
    }
    if (c->verbose) conn_send(c, TEXT("+OK\r\n"));
}

void conn_subs_recheck(struct conn *c)
{
    LIST_FOREACH_SAFE (at, next, &c->subs) {
        struct conn_sub *s = CONTAINER_OF(at, struct conn_sub, sub.in_conn);
        if (permissions_subscribe(c->permissions, s->sub.subject, s->sub.queue, &s->filtered))
            continue;
        char text[CONN_SHOWN_BYTES * 2 + 128];
        (void)snprintf(text, sizeof text,
                       "Permissions Violation for Subscription to \"%.*s\" (sid \"%.*s\")",
                       shown(s->sub.subject), s->sub.subject.at, shown(s->sid), s->sid.at);
        conn_error(c, text);
        sub_drop(c, s);
    }
}
