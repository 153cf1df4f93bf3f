/* relay.c - body of a FRAME_RELAY: u8 plain | u8 queues | u32 header bytes | u64 interest |
 * account, subject, reply, deliver and the queues' names, each u16 bytes and text | header | body.
 *
 * Interest travels on the control link, messages on the data link, and a request must not be
 * answered before its inbox is known: `interest` counts the frames of interest that its sender had
 * sent, and the data link waits until those were applied. */
#include "cluster/relay.h"

#include "cluster/cluster_impl.h"
#include "cluster/interest.h"
#include "cluster/peer.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/writer.h"

static struct slice relay_head(const struct relay_message *m,
                               uint64_t after,
                               bool plain,
                               const struct text *queues,
                               size_t count)
{
    struct writer w;
    writer_init(&w, 256);
    writer_u8(&w, plain);
    writer_u8(&w, (uint8_t)count);
    writer_u32(&w, (uint32_t)m->header.bytes);
    writer_u64(&w, after);
    writer_text16(&w, m->account);
    writer_text16(&w, m->subject);
    writer_text16(&w, m->reply);
    writer_text16(&w, m->deliver);
    for (size_t i = 0; i < count; i++)
        writer_text16(&w, queues[i]);
    return writer_take(&w);
}

static struct slice relay_part(const struct relay_message *m, struct text t)
{
    if (t.bytes == 0) return (struct slice){0};
    if (m->owner.chunk == NULL) return slice_copy(t.at, t.bytes);
    struct slice part = {
        .chunk = m->owner.chunk, .at = (uint8_t *)(uintptr_t)t.at, .bytes = t.bytes};
    return slice_ref(part);
}

void relay_send(struct cluster *c, node_id peer, const struct relay_message *m)
{
    size_t at = 0;
    interest_flush(c->interest);
    const struct peer *p = peer_by_id(c, peer);
    uint64_t after = p == NULL ? 0 : p->interest_sent;
    do {
        size_t count = m->queue_count - at;
        if (count > RELAY_QUEUES_MAX) count = RELAY_QUEUES_MAX;
        struct slice parts[] = {
            relay_head(m, after, m->plain && at == 0, m->queues + at, count),
            relay_part(m, m->header),
            relay_part(m, m->body),
        };
        cluster_send(c, peer, CLUSTER_DATA, FRAME_RELAY, parts, ARRAY_COUNT(parts));
        at += count;
    } while (at < m->queue_count);
}

int relay_decode(struct slice body, struct text *queues, struct relay_message *out)
{
    struct reader r = reader_of(body.at, body.bytes);
    *out = (struct relay_message){.owner = body, .queues = queues};
    out->plain = reader_u8(&r) != 0;
    out->queue_count = reader_u8(&r);
    uint32_t header_bytes = reader_u32(&r);
    out->after_interest = reader_u64(&r);
    out->account = reader_text16(&r);
    out->subject = reader_text16(&r);
    out->reply = reader_text16(&r);
    out->deliver = reader_text16(&r);
    if (r.bad || out->queue_count > RELAY_QUEUES_MAX) return E_MALFORMED;
    for (size_t i = 0; i < out->queue_count; i++)
        queues[i] = reader_text16(&r);
    struct text *texts[] = {&out->subject, &out->reply, &out->deliver};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i]->bytes > LIMIT_SUBJECT_BYTES) return E_MALFORMED;
    }
    const uint8_t *header = reader_bytes(&r, header_bytes);
    if (r.bad || header_bytes > LIMIT_PAYLOAD_BYTES || out->subject.bytes == 0) return E_MALFORMED;
    out->header = (struct text){.at = (const char *)header, .bytes = header_bytes};
    out->body = (struct text){.at = (const char *)r.at, .bytes = reader_left(&r)};
    return out->body.bytes > LIMIT_PAYLOAD_BYTES ? E_MALFORMED : 0;
}

static void
relay_frame(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    struct cluster *c = ctx;
    struct text queues[RELAY_QUEUES_MAX];
    struct relay_message m;
    struct peer *p = CONTAINER_OF(from, struct peer, pub);
    if (lane != CLUSTER_DATA || relay_decode(body, queues, &m) != 0) return;
    if (m.after_interest > p->interest_applied)
        peer_hold(p, FRAME_RELAY, body, m.after_interest);
    else
        c->relay(c->relay_ctx, from->id, &m);
}

void relay_on(struct cluster *c,
              void (*message)(void *ctx, node_id from, const struct relay_message *m),
              void *ctx)
{
    c->relay = message;
    c->relay_ctx = ctx;
    cluster_on(c, FRAME_RELAY, message == NULL ? NULL : relay_frame, c);
}
