/* republish.c - what a stream stored goes out again under another subject (6.8).
 *
 * The leader alone sends, when it applies: it sees a stream's messages in their order, so
 * subscribers do too. The node that a client published to would send it before the PubAck, but two
 * such nodes would interleave, and messages that came from a source or are markers have no such
 * node. Like any message without an ack it may be lost when the leader dies at that moment. */
#include <string.h>

#include "broker/js/duration.h"
#include "broker/js/js.h"
#include "store/base/json_out.h"

static void put_text(struct writer *w, struct text t)
{
    writer_put(w, t.at, t.bytes);
}
static void put_number(struct writer *w, struct text key, uint64_t v)
{
    char digits[20];
    put_text(w, key);
    writer_put(w, digits, duration_put_u64(digits, v));
}
static void put_time(struct writer *w, struct text key, int64_t ns)
{
    char room[64];
    struct writer t = writer_over(room, sizeof room);
    struct json_out j;
    json_out_init(&j, &t, false);
    json_out_time(&j, NULL, ns);
    put_text(w, key);
    writer_put(w, room + 1, t.bytes - 2); /* without its quotes */
}

/* The message's own headers, then where it is kept. */
static void
republish_header(struct writer *w, const struct js_stream *js, const struct state_republish *r)
{
    const struct store_msg *m = r->msg;
    struct text own = {.at = m->header.at, .bytes = m->header.bytes - 2};
    put_text(w, m->header.bytes > 2 ? own : TEXT("NATS/1.0\r\n"));
    put_text(w, TEXT("Nats-Stream: "));
    put_text(w, js->stream->config.name);
    put_text(w, TEXT("\r\nNats-Subject: "));
    put_text(w, m->subject);
    put_number(w, TEXT("\r\nNats-Sequence: "), m->seq);
    put_time(w, TEXT("\r\nNats-Time-Stamp: "), m->time_ns);
    put_number(w, TEXT("\r\nNats-Last-Sequence: "), r->before);
    if (js->stream->config.republish->headers_only)
        put_number(w, TEXT("\r\nNats-Msg-Size: "), m->body.bytes);
    put_text(w, TEXT("\r\n\r\n"));
}

void republish_send(struct js_stream *js, const struct state_republish *r)
{
    struct engine *e = js->engine;
    struct writer w;
    struct text none = {0};
    if (!e->leads) return;
    writer_init(&w, 512);
    republish_header(&w, js, r);
    struct text header = {.at = (const char *)w.base, .bytes = w.bytes};
    bool bare = js->stream->config.republish->headers_only;
    (void)engine_send(e, js->account, r->to, none, header, bare ? none : r->msg->body);
    writer_free(&w);
}
