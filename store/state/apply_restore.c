/* apply_restore.c - a stream comes back from a backup.
 *
 * It begins under its name, but without subjects, limits and retention, so that nothing is
 * published to it and nothing leaves while it fills; messages keep their sequences and times. The
 * end puts its real config in place. A restore that breaks off is deleted by who began it. Records
 * are a client's bytes: what is wrong with them is answered, never fatal. */
#include <inttypes.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/state/apply.h"
#include "store/state/backup.h"
#include "store/state/fields.h"
#include "store/state/header.h"
#include "store/state/rows.h"

#define SEQ_END INT64_MAX /* numbers of a backup lie below it, so those that follow never wrap */

/* What keeps the stream as it is until all is there. */
static void hold(struct stream_config *c)
{
    c->subject_count = c->mirror_count = c->source_count = 0;
    c->transform_count = c->republish_count = 0;
    c->retention = RETENTION_LIMITS;
    c->discard = DISCARD_OLD;
    c->max_msgs = c->max_bytes = c->max_msgs_per_subject = c->max_msg_size = -1;
    c->max_consumers = -1;
    c->max_age_ns = c->subject_delete_marker_ttl_ns = 0;
    c->sealed = c->discard_new_per_subject = c->mirror_direct = false;
}

static bool decode(struct apply *a, struct text json, struct stream_config *out)
{
    struct config_error error;
    if (stream_config_decode(json, out, &error) == 0) return true;
    apply_config_error(a, &error);
    return false;
}

static void restore_begin(struct apply *a, const struct command_restore *c)
{
    struct stream_config config;
    if (!decode(a, c->config, &config)) return;
    struct stream *old = state_stream(a->state, c->account, config.name);
    /* What a node left half filled when it died must not stand in the way. */
    if (old != NULL && old->apply->restoring) {
        apply_stream_drop(a->state, old);
        old = NULL;
    }
    if (old != NULL) {
        apply_refuse(a, JS_STREAM_NAME_EXIST_RESTORE_FAILED);
    } else if (apply_stream_check(a, c->account, &config) == 0) {
        hold(&config);
        struct stream *s = apply_stream_make(a->state, c->account, &config);
        s->apply->restoring = true;
        a->stream = s->id;
        a->result.stream = s;
        WATCH(a->state, stream_created, s);
    }
    stream_config_free(&config);
}

static int restore_message(struct apply *a, struct stream *s, struct reader r)
{
    struct store_msg m = {.seq = reader_u64(&r), .time_ns = reader_i64(&r)};
    m.subject = reader_text16(&r);
    m.header = reader_text32(&r);
    m.body = reader_text32(&r);
    struct store_counts counts = stream_counts(s);
    bool fits = m.header.bytes <= LIMIT_HEADER_BYTES && m.body.bytes <= LIMIT_PAYLOAD_BYTES &&
                m.subject.bytes <= LIMIT_SUBJECT_BYTES;
    if (r.bad || reader_left(&r) != 0 || !fits || m.subject.bytes == 0 || m.seq <= counts.last ||
        m.seq >= SEQ_END || m.time_ns <= 0 || m.time_ns < counts.last_ns)
        return apply_fail(a, JS_STREAM_RESTORE, "message %" PRIu64 " is malformed", m.seq);
    if ((s->apply->checks & CHECK_ACCOUNT) && apply_publish_fits(a, s, &m) != 0) return E_INVAL;
    int64_t ttl_ns = s->config.allow_msg_ttl && m.header.bytes != 0 ? header_ttl(m.header) : 0;
    /* What is published next is of now: times must not descend, whatever clock the backup is of. */
    if (m.time_ns > a->state->now_ns) m.time_ns = a->state->now_ns;
    store_skip_to(s->store, m.seq - 1);
    apply_publish_store(s, &m, a->payload, ttl_ns);
    a->result.count++;
    return 0;
}

/* The config as if a client had sent it: a backup may hold what no create would take. Not against
 * its stream, which may have been changed after the consumer was made. */
static bool config_sound(const struct consumer *c)
{
    struct writer w;
    struct json_out j;
    struct consumer_config config;
    struct config_error error;
    writer_init(&w, 512);
    json_out_init(&j, &w, false);
    consumer_config_encode(&c->config, &j, NULL);
    struct text json = {.at = (const char *)w.base, .bytes = w.bytes};
    int rc = consumer_config_decode(json, NULL, &config, &error);
    if (rc == 0) consumer_config_free(&config);
    writer_free(&w);
    return rc == 0;
}

/* A client's bytes: numbers that contradict each other would trip checks later. */
static bool consumer_sound(const struct consumer *c)
{
    if (!fields_name_valid(c->name) || c->name.bytes > LIMIT_NAME_BYTES) return false;
    if (c->delivered.sseq >= SEQ_END || c->delivered.cseq >= SEQ_END) return false;
    if (c->ack_floor.sseq > c->delivered.sseq || c->ack_floor.cseq > c->delivered.cseq)
        return false;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct consumer_pending *p = &c->pending[i];
        if (p->sseq > c->delivered.sseq || p->cseq > c->delivered.cseq || p->first_cseq > p->cseq)
            return false;
        if (p->first_cseq == 0 || p->time_ns < 0) return false;
    }
    return config_sound(c);
}

static int restore_consumer(struct apply *a, struct stream *s, struct reader r)
{
    if (rows_get_consumer(s, &r, a->state->next_consumer) != 0 || reader_left(&r) != 0)
        return apply_fail(a, JS_STREAM_RESTORE, "a consumer is malformed");
    a->state->next_consumer++;
    struct consumer *c = CONTAINER_OF(s->consumer_list.head.prev, struct consumer, in_stream);
    /* The list of a consumer that begins with the last of each subject isn't in a backup: it goes
     * on behind what was delivered. */
    c->list_saved = false;
    c->last_at = 0;
    c->resume = 0;
    if (!consumer_sound(c)) {
        apply_consumer_drop(a->state, c);
        return apply_fail(a, JS_STREAM_RESTORE, "a consumer is malformed");
    }
    apply_dirty_consumer(c);
    WATCH(a->state, consumer_created, c);
    return 0;
}

static int restore_end(struct apply *a, struct stream *s, struct reader r)
{
    stream_seq last = reader_u64(&r);
    uint64_t messages = reader_u64(&r);
    struct store_counts counts = stream_counts(s);
    if (r.bad || reader_left(&r) != 0 || last < counts.last || last >= SEQ_END)
        return apply_fail(a, JS_STREAM_RESTORE, "the end is malformed");
    if (messages != counts.msgs)
        return apply_fail(a, JS_STREAM_RESTORE, "%" PRIu64 " of %" PRIu64 " messages are there",
                          counts.msgs, messages);
    store_skip_to(s->store, last);
    return 0;
}

static int restore_record(struct apply *a, struct stream *s, uint8_t kind, struct reader r)
{
    if (kind == BACKUP_MESSAGE) return restore_message(a, s, r);
    if (kind == BACKUP_CONSUMER) return restore_consumer(a, s, r);
    return restore_end(a, s, r);
}

static void restore_records(struct apply *a, struct stream *s, struct text records)
{
    while (records.bytes != 0) {
        size_t bytes;
        uint8_t kind;
        if (backup_record(records, &bytes, &kind) != 0 || bytes == 0) {
            (void)apply_fail(a, JS_STREAM_RESTORE, "a record is malformed");
            break;
        }
        struct reader r = reader_of(records.at + BACKUP_RECORD_BYTES, bytes - BACKUP_RECORD_BYTES);
        if (restore_record(a, s, kind, r) != 0) break;
        records.at += bytes;
        records.bytes -= bytes;
    }
    apply_dirty_stream(s);
}

/* Consumers came after their messages or before: what they still want is counted now. */
static void restore_finish(struct apply *a, struct stream *s, struct text json)
{
    struct stream_config config;
    if (!decode(a, json, &config)) return;
    if (!text_equal(config.name, s->config.name)) {
        apply_refuse(a, JS_STREAM_MISMATCH);
    } else if (apply_stream_check(a, s->account, &config) == 0) {
        s->apply->restoring = false;
        LIST_FOREACH (n, &s->consumer_list) {
            struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
            consumer_recount(c);
            apply_dirty_consumer(c);
        }
        apply_stream_change(s, &config);
        a->result.stream = s;
        a->result.created = true;
        WATCH(a->state, stream_updated, s);
    }
    stream_config_free(&config);
}

void apply_restore(struct apply *a, struct reader fields)
{
    struct command_restore c;
    if (entry_get_restore(fields, &c) != 0) apply_undecodable(a->state, "a restore");
    if (c.step == RESTORE_BEGIN) {
        restore_begin(a, &c);
        return;
    }
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    if (!s->apply->restoring) {
        (void)apply_fail(a, JS_STREAM_RESTORE, "the stream isn't being restored");
    } else if (c.step == RESTORE_RECORDS) {
        restore_records(a, s, c.records);
    } else {
        restore_finish(a, s, c.config);
    }
}
