/* publish.c - a message to a stream's subject: into the proposal, and its PubAck out (section 7).
 *
 * The subscription of the stream gets the message like any subscriber. Headers that decide the
 * outcome are parsed once; the message is copied once, into the origin batch that is open; what
 * waits for the result is a small object from a pool with the reply subject in it. No allocation,
 * no formatted print, no look-up of the stream by name. Apply decides; the answer comes when this
 * node has applied it. */
#include <stdlib.h>
#include <string.h>

#include "broker/js/duration.h"
#include "broker/js/js.h"
#include "broker/js/publish_headers.h"
#include "store/base/json_out.h"

#define PUBLISH_REPLY_BYTES 128 /* longer replies are rare: those objects aren't pooled */
#define PUBLISH_POOL_MAX 65536

struct publish {
    struct proposal proposal;
    struct list_node node;
    struct js_stream *stream;
    struct account *account;
    size_t reply_bytes;
    char reply[];
};

static struct publish *publish_new(struct js_stream *js, const struct message *m)
{
    struct engine *e = js->engine;
    struct publish *p;
    bool pooled = m->reply.bytes <= PUBLISH_REPLY_BYTES;
    if (pooled && !list_empty(&e->publish_pool)) {
        p = CONTAINER_OF(list_pop_front(&e->publish_pool), struct publish, node);
        e->publish_pool_count--;
    } else {
        p = check_alloc(sizeof *p + (pooled ? PUBLISH_REPLY_BYTES : m->reply.bytes));
    }
    p->stream = engine_stream_ref(js);
    p->account = m->account;
    p->reply_bytes = m->reply.bytes;
    memcpy(p->reply, m->reply.at, m->reply.bytes);
    engine_hold(e);
    return p;
}

static void publish_free(struct publish *p)
{
    struct engine *e = p->stream->engine;
    engine_stream_release(p->stream);
    if (e->started && p->reply_bytes <= PUBLISH_REPLY_BYTES &&
        e->publish_pool_count < PUBLISH_POOL_MAX) {
        list_push_front(&e->publish_pool, &p->node);
        e->publish_pool_count++;
    } else {
        free(p);
    }
    engine_drop(e);
}

void publish_pool_free(struct engine *e)
{
    struct list_node *at;
    while ((at = list_pop_front(&e->publish_pool)) != NULL)
        free(CONTAINER_OF(at, struct publish, node));
    e->publish_pool_count = 0;
}

/* ---- answers ---- */

static void publish_answer(struct engine *e,
                           struct account *a,
                           struct text to,
                           struct text header,
                           struct text body)
{
    (void)engine_send(e, a, to, (struct text){0}, header, body);
}

static void
publish_error(struct js_stream *js, struct account *a, struct text to, int code, const char *detail)
{
    struct writer w;
    struct json_out j;
    char text[300];
    const struct js_error_row *row = js_errors_row(code);
    writer_init(&w, 256);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    json_out_object(&j, "error");
    json_out_i64(&j, "code", row == NULL ? 500 : row->code);
    json_out_i64(&j, "err_code", code);
    json_out_string(&j, "description", js_errors_text(code, detail, text, sizeof text));
    json_out_object_end(&j);
    json_out_string(&j, "stream", js->name);
    json_out_u64(&j, "seq", 0);
    json_out_object_end(&j);
    struct text body = {.at = (const char *)w.base, .bytes = w.bytes};
    publish_answer(js->engine, a, to, (struct text){0}, body);
    writer_free(&w);
}

static void publish_ack(struct publish *p, const struct apply_result *r)
{
    static const char duplicate[] = ",\"duplicate\": true}";
    const struct text *head = &p->stream->ack_head;
    struct text to = {.at = p->reply, .bytes = p->reply_bytes};
    char body[6 * LIMIT_NAME_BYTES + 512];
    size_t n = head->bytes;
    CHECK(n + 64 < sizeof body);
    memcpy(body, head->at, n);
    n += duration_put_u64(body + n, r->seq);
    if (r->duplicate) {
        memcpy(body + n, duplicate, sizeof duplicate - 1);
        n += sizeof duplicate - 1;
    } else {
        body[n++] = '}';
    }
    publish_answer(p->stream->engine, p->account, to, (struct text){0}, (struct text){body, n});
}

static void publish_done(struct proposal *proposal, const void *result)
{
    struct publish *p = CONTAINER_OF(proposal, struct publish, proposal);
    struct engine *e = p->stream->engine;
    const struct apply_result *r = result;
    struct text to = {.at = p->reply, .bytes = p->reply_bytes};
    if (e->started) {
        if (r->error == JS_OK) {
            publish_ack(p, r);
        } else if (r->error ==
                   JS_STREAM_NOT_FOUND) { /* deleted on the way: as if it had never been there */
            publish_answer(e, p->account, to, TEXT("NATS/1.0 503\r\n\r\n"), (struct text){0});
        } else {
            publish_error(p->stream, p->account, to, r->error, r->detail);
        }
    }
    publish_free(p);
}

/* ---- a message ---- */

/* What can be refused without the state. 0: fine. */
static int publish_refused(const struct js_stream *js,
                           const struct message *m,
                           const struct publish_headers *h,
                           const char **detail)
{
    const struct stream_config *c = &js->stream->config;
    if (m->header.bytes > LIMIT_HEADER_BYTES) return JS_STREAM_HEADER_EXCEEDS_MAXIMUM;
    if (h->api_level_given && h->api_level > JS_API_LEVEL) return JS_REQUIRED_API_LEVEL;
    if (h->counter) return JS_MESSAGE_INCR_DISABLED;
    if (h->expect_stream.bytes != 0 && !text_equal(h->expect_stream, c->name))
        return JS_STREAM_NOT_MATCH;
    if (h->batch) return JS_ATOMIC_PUBLISH_DISABLED;
    if ((h->flags & PUBLISH_TTL) != 0 && !c->allow_msg_ttl) return JS_MESSAGE_TTL_DISABLED;
    if (h->bad_ttl) return JS_MESSAGE_TTL_INVALID;
    if (h->expect_subject.bytes != 0 && (h->flags & PUBLISH_EXPECT_SUBJECT_SEQ) == 0)
        return JS_STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID;
    if (h->schedule) return JS_MESSAGE_SCHEDULES_DISABLED;
    if (h->bad_rollup.bytes != 0) {
        *detail = "rollup value invalid";
        return JS_STREAM_ROLLUP_FAILED;
    }
    return 0;
}

/* A status line isn't stored. Copied only then: it is rare. */
static struct text publish_clean(struct text header, size_t line_bytes, struct writer *w)
{
    if (line_bytes <= 10) return header;
    writer_init(w, header.bytes);
    writer_put(w, "NATS/1.0\r\n", 10);
    writer_put(w, header.at + line_bytes, header.bytes - line_bytes);
    return (struct text){.at = (const char *)w->base, .bytes = w->bytes};
}

static void
publish_propose(struct js_stream *js, const struct message *m, const struct publish_headers *h)
{
    struct engine *e = js->engine;
    struct writer scratch = {0};
    struct command_publish c = {
        .stream = js->stream->id,
        .flags = h->flags,
        .subject = m->deliver.bytes != 0 ? m->deliver : m->subject,
        .header = publish_clean(m->header, h->line_bytes, &scratch),
        .body = m->body,
        .msg_id = h->msg_id,
        .expect_msg_id = h->expect_msg_id,
        .expect_subject = h->expect_subject,
        .expect_seq = h->expect_seq,
        .expect_subject_seq = h->expect_subject_seq,
        .ttl_ns = h->ttl_ns,
    };
    struct publish *p = NULL;
    if (m->reply.bytes != 0 && !js->stream->config.no_ack) {
        p = publish_new(js, m);
        p->proposal = (struct proposal){.done = publish_done};
    }
    entry_put_publish(propose_open(e->o.group, entry_publish_bytes(&c)), &c);
    propose_close(e->o.group, p == NULL ? NULL : &p->proposal);
    if (scratch.base != NULL) writer_free(&scratch);
}

bool publish_deliver(struct sub *s, const struct message *m)
{
    struct js_stream *js = s->owner;
    struct publish_headers h = {0};
    const char *detail = "";
    if (m->header.bytes != 0) {
        publish_headers_parse(m->header, &h);
        int code = publish_refused(js, m, &h, &detail);
        if (code != 0) {
            if (m->reply.bytes != 0) publish_error(js, m->account, m->reply, code, detail);
            return true;
        }
    }
    publish_propose(js, m, &h);
    publish_pressure(js->engine);
    return true;
}

/* Publishers are held above the budget and let go at half of it. */
void publish_pressure(struct engine *e)
{
    if (e->o.pressure == NULL) return;
    uint64_t bytes = propose_outstanding(e->o.group);
    bool hold = e->pressed ? bytes > JS_PRESSURE_BYTES / 2 : bytes > JS_PRESSURE_BYTES;
    if (hold == e->pressed) return;
    e->pressed = hold;
    e->o.pressure(e->o.ctx, hold);
}
