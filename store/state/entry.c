/* entry.c - see entry.h. A command's fields, behind its u32 length and u8 type; varint unless said:
 *
 *   publish          stream, flags, subject, [msg id], [expected msg id], [expected seq], [expected
 * subject seq, subject], [i64 TTL], header bytes, body bytes, header, body; in [] only with the
 * flag stream create, update   account, u8 pedantic, text32 config stream delete    stream purge
 * stream, filter, below, keep message delete   stream, seq, u8 erase consumer         stream, u8
 * action, u8 deliver interest, seen, text32 config consumer delete  stream, consumer pause stream,
 * consumer, i64 until deliver          stream, consumer, u64 target, u64 request, expect, skip to,
 * list fresh, list again ack              stream, consumer, u8 kind, i64 delay, reason, list expire
 * stream, max account limits   account, 7 x i64, u8 max bytes required
 *   copy             stream, source, max
 *   restore          u8 step, stream, account, text32 config, text32 records
 *
 * Texts are text16 (a u16 length in front) but where text32 is said. A list: count, bytes, then
 * that many varints: the first sequence, then distances of at least 1. */
#include "store/state/entry.h"

#include "store/base/err.h"
#include "store/base/limits.h"

#define COMMAND_HEAD_BYTES 5 /* u32 length, u8 type */
#define VARINT_BYTES_MAX 10

/* ---- encoding ---- */

/* The length is known only at the end; the place is an offset, since the buffer may move. */
static size_t begin(struct writer *w, enum command_type type)
{
    size_t at = w->bytes;
    writer_u32(w, 0);
    writer_u8(w, (uint8_t)type);
    return at;
}

static void finish(struct writer *w, size_t at)
{
    size_t bytes = w->bytes - at - sizeof(uint32_t);
    CHECK(bytes <= UINT32_MAX);
    uint32_t length = (uint32_t)bytes;
    memcpy(w->base + at, &length, sizeof length);
}

size_t entry_publish_bytes(const struct command_publish *c)
{
    return COMMAND_HEAD_BYTES + 6 * VARINT_BYTES_MAX + sizeof c->ttl_ns + 4 * sizeof(uint16_t) +
           c->subject.bytes + c->msg_id.bytes + c->expect_msg_id.bytes + c->expect_subject.bytes +
           c->header.bytes + c->body.bytes;
}

void entry_put_publish(struct writer *w, const struct command_publish *c)
{
    size_t at = begin(w, COMMAND_PUBLISH);
    writer_varint(w, c->stream);
    writer_varint(w, c->flags);
    writer_text16(w, c->subject);
    if (c->flags & PUBLISH_MSG_ID) writer_text16(w, c->msg_id);
    if (c->flags & PUBLISH_EXPECT_MSG_ID) writer_text16(w, c->expect_msg_id);
    if (c->flags & PUBLISH_EXPECT_SEQ) writer_varint(w, c->expect_seq);
    if (c->flags & PUBLISH_EXPECT_SUBJECT_SEQ) {
        writer_varint(w, c->expect_subject_seq);
        writer_text16(w, c->expect_subject);
    }
    if (c->flags & PUBLISH_TTL) writer_i64(w, c->ttl_ns);
    writer_varint(w, c->header.bytes);
    writer_varint(w, c->body.bytes);
    writer_put(w, c->header.at, c->header.bytes);
    writer_put(w, c->body.at, c->body.bytes);
    finish(w, at);
}

void entry_put_stream(struct writer *w, enum command_type type, const struct command_stream *c)
{
    CHECK(type == COMMAND_STREAM_CREATE || type == COMMAND_STREAM_UPDATE);
    size_t at = begin(w, type);
    writer_text16(w, c->account);
    writer_u8(w, c->pedantic);
    writer_text32(w, c->config);
    finish(w, at);
}

void entry_put_stream_delete(struct writer *w, const struct command_stream_delete *c)
{
    size_t at = begin(w, COMMAND_STREAM_DELETE);
    writer_varint(w, c->stream);
    finish(w, at);
}

void entry_put_purge(struct writer *w, const struct command_purge *c)
{
    size_t at = begin(w, COMMAND_STREAM_PURGE);
    writer_varint(w, c->stream);
    writer_text16(w, c->filter);
    writer_varint(w, c->below);
    writer_varint(w, c->keep);
    finish(w, at);
}

void entry_put_msg_delete(struct writer *w, const struct command_msg_delete *c)
{
    size_t at = begin(w, COMMAND_MSG_DELETE);
    writer_varint(w, c->stream);
    writer_varint(w, c->seq);
    writer_u8(w, c->erase);
    finish(w, at);
}

void entry_put_consumer(struct writer *w, const struct command_consumer *c)
{
    size_t at = begin(w, COMMAND_CONSUMER_CREATE);
    writer_varint(w, c->stream);
    writer_u8(w, c->action);
    writer_u8(w, c->deliver_interest);
    writer_varint(w, c->seen);
    writer_text32(w, c->config);
    finish(w, at);
}

void entry_put_consumer_delete(struct writer *w, const struct command_consumer_delete *c)
{
    size_t at = begin(w, COMMAND_CONSUMER_DELETE);
    writer_varint(w, c->stream);
    writer_varint(w, c->consumer);
    finish(w, at);
}

void entry_put_pause(struct writer *w, const struct command_pause *c)
{
    size_t at = begin(w, COMMAND_CONSUMER_PAUSE);
    writer_varint(w, c->stream);
    writer_varint(w, c->consumer);
    writer_i64(w, c->until_ns);
    finish(w, at);
}

static size_t varint_bytes(uint64_t v)
{
    size_t bytes = 1;
    for (; v >= 0x80; v >>= 7)
        bytes++;
    return bytes;
}

static void put_seqs(struct writer *w, const stream_seq *seqs, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        CHECK(seqs[i] > (i == 0 ? 0 : seqs[i - 1]));
        bytes += varint_bytes(seqs[i] - (i == 0 ? 0 : seqs[i - 1]));
    }
    writer_varint(w, count);
    writer_varint(w, bytes);
    for (uint32_t i = 0; i < count; i++)
        writer_varint(w, seqs[i] - (i == 0 ? 0 : seqs[i - 1]));
}

void entry_put_deliver(struct writer *w,
                       const struct command_deliver *c,
                       const stream_seq *fresh,
                       const stream_seq *again)
{
    size_t at = begin(w, COMMAND_DELIVER);
    writer_varint(w, c->stream);
    writer_varint(w, c->consumer);
    writer_u64(w, c->target);
    writer_u64(w, c->request);
    writer_varint(w, c->expect_delivered);
    writer_varint(w, c->skip_to);
    put_seqs(w, fresh, c->fresh_count);
    put_seqs(w, again, c->again_count);
    finish(w, at);
}

void entry_put_ack(struct writer *w, const struct command_ack *c, const stream_seq *seqs)
{
    size_t at = begin(w, COMMAND_ACK);
    writer_varint(w, c->stream);
    writer_varint(w, c->consumer);
    writer_u8(w, c->kind);
    writer_i64(w, c->delay_ns);
    writer_text16(w, c->reason);
    put_seqs(w, seqs, c->seq_count);
    finish(w, at);
}

void entry_put_expire(struct writer *w, const struct command_expire *c)
{
    size_t at = begin(w, COMMAND_EXPIRE);
    writer_varint(w, c->stream);
    writer_varint(w, c->max);
    finish(w, at);
}

void entry_put_copy(struct writer *w, const struct command_copy *c)
{
    size_t at = begin(w, COMMAND_COPY);
    writer_varint(w, c->stream);
    writer_varint(w, c->source);
    writer_varint(w, c->max);
    finish(w, at);
}

void entry_put_restore(struct writer *w, const struct command_restore *c)
{
    size_t at = begin(w, COMMAND_RESTORE);
    writer_u8(w, c->step);
    writer_varint(w, c->stream);
    writer_text16(w, c->account);
    writer_text32(w, c->config);
    writer_text32(w, c->records);
    finish(w, at);
}

void entry_put_account_limits(struct writer *w, const struct command_account_limits *c)
{
    size_t at = begin(w, COMMAND_ACCOUNT_LIMITS);
    writer_text16(w, c->account);
    entry_put_limits(w, &c->limits);
    finish(w, at);
}

void entry_put_limits(struct writer *w, const struct account_limits *l)
{
    writer_i64(w, l->max_memory);
    writer_i64(w, l->max_storage);
    writer_i64(w, l->max_streams);
    writer_i64(w, l->max_consumers);
    writer_i64(w, l->memory_max_stream_bytes);
    writer_i64(w, l->storage_max_stream_bytes);
    writer_i64(w, l->max_ack_pending);
    writer_u8(w, l->max_bytes_required);
}

/* ---- decoding ---- */

static uint32_t get_u32(struct reader *r)
{
    uint64_t value = reader_varint(r);
    if (value > UINT32_MAX) r->bad = true;
    return (uint32_t)value;
}

static bool get_bool(struct reader *r)
{
    uint8_t value = reader_u8(r);
    if (value > 1) r->bad = true;
    return value == 1;
}

static struct text get_bytes(struct reader *r, uint64_t bytes)
{
    if (bytes > reader_left(r)) r->bad = true;
    const uint8_t *at = r->bad ? NULL : reader_bytes(r, (size_t)bytes);
    return (struct text){.at = (const char *)at, .bytes = at == NULL ? 0 : (size_t)bytes};
}

/* A field too many is as wrong as one too few: both ends must agree on the format. */
static int finished(const struct reader *r)
{
    return r->bad || r->at != r->end ? E_MALFORMED : 0;
}

static void get_expectations(struct reader *r, struct command_publish *out)
{
    if (out->flags & PUBLISH_MSG_ID) out->msg_id = reader_text16(r);
    if (out->flags & PUBLISH_EXPECT_MSG_ID) out->expect_msg_id = reader_text16(r);
    if (out->flags & PUBLISH_EXPECT_SEQ) out->expect_seq = reader_varint(r);
    if (out->flags & PUBLISH_EXPECT_SUBJECT_SEQ) {
        out->expect_subject_seq = reader_varint(r);
        out->expect_subject = reader_text16(r);
    }
    if (out->flags & PUBLISH_TTL) out->ttl_ns = reader_i64(r);
}

int entry_get_publish(struct reader r, struct command_publish *out)
{
    *out = (struct command_publish){.stream = get_u32(&r)};
    out->flags = get_u32(&r);
    out->subject = reader_text16(&r);
    if (out->flags & ~(uint32_t)PUBLISH_FLAGS) r.bad = true;
    if (out->flags != 0) get_expectations(&r, out);
    uint64_t header_bytes = reader_varint(&r), body_bytes = reader_varint(&r);
    out->header = get_bytes(&r, header_bytes);
    out->body = get_bytes(&r, body_bytes);
    if (out->subject.bytes == 0) r.bad = true;
    return finished(&r);
}

int entry_get_stream(struct reader r, struct command_stream *out)
{
    *out = (struct command_stream){.account = reader_text16(&r)};
    out->pedantic = get_bool(&r);
    out->config = reader_text32(&r);
    return finished(&r);
}

int entry_get_stream_delete(struct reader r, struct command_stream_delete *out)
{
    *out = (struct command_stream_delete){.stream = get_u32(&r)};
    return finished(&r);
}

int entry_get_purge(struct reader r, struct command_purge *out)
{
    *out = (struct command_purge){.stream = get_u32(&r)};
    out->filter = reader_text16(&r);
    out->below = reader_varint(&r);
    out->keep = reader_varint(&r);
    return finished(&r);
}

int entry_get_msg_delete(struct reader r, struct command_msg_delete *out)
{
    *out = (struct command_msg_delete){.stream = get_u32(&r)};
    out->seq = reader_varint(&r);
    out->erase = get_bool(&r);
    return finished(&r);
}

int entry_get_consumer(struct reader r, struct command_consumer *out)
{
    *out = (struct command_consumer){.stream = get_u32(&r)};
    out->action = reader_u8(&r);
    out->deliver_interest = get_bool(&r);
    out->seen = get_u32(&r);
    out->config = reader_text32(&r);
    if (out->action > CONSUMER_UPDATE) r.bad = true;
    return finished(&r);
}

int entry_get_consumer_delete(struct reader r, struct command_consumer_delete *out)
{
    *out = (struct command_consumer_delete){.stream = get_u32(&r)};
    out->consumer = get_u32(&r);
    return finished(&r);
}

int entry_get_pause(struct reader r, struct command_pause *out)
{
    *out = (struct command_pause){.stream = get_u32(&r)};
    out->consumer = get_u32(&r);
    out->until_ns = reader_i64(&r);
    return finished(&r);
}

/* Walked once here, so that whoever uses the list later meets ascending sequences only. */
static struct reader get_seqs(struct reader *r, uint32_t *count)
{
    *count = get_u32(r);
    uint64_t bytes = reader_varint(r);
    if (bytes > reader_left(r) || *count > bytes) r->bad = true;
    struct reader list = reader_sub(r, r->bad ? 0 : (size_t)bytes), walk = list;
    stream_seq last = 0;
    for (uint32_t i = 0; i < *count && !r->bad; i++) {
        if (entry_next_seq(&walk, &last) == 0) r->bad = true;
    }
    if (reader_left(&walk) != 0) r->bad = true;
    return list;
}

stream_seq entry_next_seq(struct reader *list, stream_seq *last)
{
    if (reader_left(list) == 0) return 0;
    uint64_t distance = reader_varint(list);
    if (list->bad || distance == 0 || distance > UINT64_MAX - *last) {
        list->bad = true;
        return 0;
    }
    return *last += distance;
}

int entry_get_deliver(struct reader r, struct command_deliver *out)
{
    *out = (struct command_deliver){.stream = get_u32(&r)};
    out->consumer = get_u32(&r);
    out->target = reader_u64(&r);
    out->request = reader_u64(&r);
    out->expect_delivered = reader_varint(&r);
    out->skip_to = reader_varint(&r);
    out->fresh = get_seqs(&r, &out->fresh_count);
    out->again = get_seqs(&r, &out->again_count);
    return finished(&r);
}

int entry_get_ack(struct reader r, struct command_ack *out)
{
    *out = (struct command_ack){.stream = get_u32(&r)};
    out->consumer = get_u32(&r);
    out->kind = reader_u8(&r);
    out->delay_ns = reader_i64(&r);
    out->reason = reader_text16(&r);
    out->seqs = get_seqs(&r, &out->seq_count);
    if (out->kind > ACK_EXHAUSTED) r.bad = true;
    return finished(&r);
}

int entry_get_expire(struct reader r, struct command_expire *out)
{
    *out = (struct command_expire){.stream = get_u32(&r)};
    out->max = reader_varint(&r);
    return finished(&r);
}

int entry_get_copy(struct reader r, struct command_copy *out)
{
    *out = (struct command_copy){.stream = get_u32(&r)};
    out->source = get_u32(&r);
    out->max = reader_varint(&r);
    return finished(&r);
}

int entry_get_restore(struct reader r, struct command_restore *out)
{
    *out = (struct command_restore){.step = reader_u8(&r)};
    out->stream = get_u32(&r);
    out->account = reader_text16(&r);
    out->config = reader_text32(&r);
    out->records = reader_text32(&r);
    if (out->step > RESTORE_FINISH) r.bad = true;
    return finished(&r);
}

void entry_get_limits(struct reader *r, struct account_limits *out)
{
    out->max_memory = reader_i64(r);
    out->max_storage = reader_i64(r);
    out->max_streams = reader_i64(r);
    out->max_consumers = reader_i64(r);
    out->memory_max_stream_bytes = reader_i64(r);
    out->storage_max_stream_bytes = reader_i64(r);
    out->max_ack_pending = reader_i64(r);
    out->max_bytes_required = get_bool(r);
}

int entry_get_account_limits(struct reader r, struct command_account_limits *out)
{
    *out = (struct command_account_limits){.account = reader_text16(&r)};
    entry_get_limits(&r, &out->limits);
    return finished(&r);
}
