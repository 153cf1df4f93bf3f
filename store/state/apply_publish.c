/* apply_publish.c - one message into its stream.
 *
 * Order of checks (protocol reference 7.2): sealed, TTL, duplicate, expected subject sequence,
 * expected sequence, expected id, rollup, size, account, limits. A server that keeps one copy looks
 * for a duplicate only behind the expectations, one that replicates before them. Gannet always
 * replicates: a client that repeats `update, if the last revision is 7` because the answer was lost
 * must hear that it succeeded, not that the revision is 8 by now. No client suite publishes one id
 * with two expectations.
 *
 * The message is the entry's own bytes; nothing is allocated here but what a TTL or an id needs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/subject_match.h"
#include "store/state/apply.h"

#define ENFORCE_MAX                                                                                \
    64 /* messages that one publish removes at most; the rest goes with later commands */

/* ---- what the client expects ---- */

static stream_seq last_of_subject(struct stream *s, struct text subject)
{
    if (subject_is_literal(subject)) {
        struct store_subject row;
        int rc = store_subject_get(s->store, subject, &row);
        apply_read(rc);
        return rc == 0 ? row.last : 0;
    }
    struct store_msg m;
    int rc = store_last(s->store, subject, 0, &s->state->cursor, &m);
    apply_read(rc);
    return rc == 0 ? m.seq : 0;
}

static int check_expectations(struct apply *a, struct stream *s, const struct command_publish *c)
{
    if (c->flags & PUBLISH_EXPECT_SUBJECT_SEQ) {
        bool other = c->expect_subject.bytes != 0;
        stream_seq last = last_of_subject(s, other ? c->expect_subject : c->subject);
        if (last != c->expect_subject_seq)
            return apply_fail(a, JS_STREAM_WRONG_LAST_SEQUENCE, "%" PRIu64, last);
    }
    if (c->flags & PUBLISH_EXPECT_SEQ) {
        stream_seq last = stream_counts(s).last;
        if (last != c->expect_seq + BUG_EXPECT_SEQ_OFF)
            return apply_fail(a, JS_STREAM_WRONG_LAST_SEQUENCE, "%" PRIu64, last);
    }
    if (c->flags & PUBLISH_EXPECT_MSG_ID) {
        struct text last = {.at = s->apply->last_msg_id, .bytes = s->apply->last_msg_id_bytes};
        if (!text_equal(last, c->expect_msg_id))
            return apply_fail(a, JS_STREAM_WRONG_LAST_MSG_ID, "%.*s", (int)last.bytes,
                              last.bytes == 0 ? "" : last.at);
    }
    return 0;
}

static bool is_duplicate(struct apply *a, struct stream *s, const struct command_publish *c)
{
    struct dedup *d = &s->apply->dedup;
    uint64_t head = d->head;
    dedup_expire(d, a->state->now_ns - s->config.duplicate_window_ns);
    if (d->head != head) apply_dirty_stream(s);
    stream_seq seq = dedup_find(d, c->msg_id);
    if (seq == 0) return false;
    a->result.duplicate = true;
    a->result.seq = seq;
    return true;
}

/* ---- what the stream allows ---- */

static uint64_t bytes_of(const struct command_publish *c)
{
    struct store_msg m = {.subject = c->subject, .header = c->header, .body = c->body};
    return store_msg_bytes(&m);
}

/* The size of the message that this one pushes out by the limit per subject. */
static uint64_t bytes_replaced(struct stream *s, struct text subject)
{
    struct store_msg m;
    stream_seq seq;
    int rc = store_subject_first(s->store, subject, &seq);
    if (rc == 0) rc = store_get(s->store, seq, &s->state->cursor, &m);
    apply_read(rc);
    return rc == 0 ? store_msg_bytes(&m) : 0;
}

/* Discard new: the limit that refuses the message, or NULL. */
static const char *refusing_limit(struct stream *s, const struct command_publish *c, uint64_t bytes)
{
    const struct stream_config *config = &s->config;
    struct store_counts counts = stream_counts(s);
    struct store_subject row;
    bool replaces = false;
    if (config->max_msgs_per_subject > 0) {
        int rc = store_subject_get(s->store, c->subject, &row);
        apply_read(rc);
        replaces = rc == 0 && row.count >= (uint64_t)config->max_msgs_per_subject;
    }
    if (replaces && config->discard_new_per_subject) return "maximum messages per subject exceeded";
    if (config->max_msgs > 0 && counts.msgs >= (uint64_t)config->max_msgs && !replaces)
        return "maximum messages exceeded";
    if (config->max_bytes > 0 && counts.bytes + bytes > (uint64_t)config->max_bytes) {
        uint64_t less = replaces ? bytes_replaced(s, c->subject) : 0;
        if (counts.bytes + bytes - less > (uint64_t)config->max_bytes)
            return "maximum bytes exceeded";
    }
    return NULL;
}

static int check_account(struct apply *a, struct stream *s, uint64_t bytes)
{
    const struct account *account = s->apply->account;
    bool memory = s->config.storage == STORAGE_MEMORY;
    int64_t max = memory ? account->limits.max_memory : account->limits.max_storage;
    uint64_t used = memory ? account->memory_bytes : account->storage_bytes;
    if (max < 0 || used + bytes <= (uint64_t)max) return 0;
    return apply_refuse(a, JS_ACCOUNT_RESOURCES_EXCEEDED);
}

static int check_sizes(struct apply *a, struct stream *s, const struct command_publish *c)
{
    uint32_t checks = s->apply->checks;
    uint64_t bytes = bytes_of(c);
    if (c->header.bytes > LIMIT_HEADER_BYTES)
        return apply_refuse(a, JS_STREAM_HEADER_EXCEEDS_MAXIMUM);
    if ((checks & CHECK_MSG_SIZE) &&
        c->header.bytes + c->body.bytes > (uint64_t)s->config.max_msg_size)
        return apply_refuse(a, JS_STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    if ((checks & CHECK_ACCOUNT) && check_account(a, s, bytes) != 0) return E_INVAL;
    const char *limit = (checks & CHECK_DISCARD_NEW) ? refusing_limit(s, c, bytes) : NULL;
    /* A message that alone is too large would push out all others and then itself. */
    if ((checks & CHECK_LIMITS) && s->config.max_bytes > 0 && bytes > (uint64_t)s->config.max_bytes)
        limit = "maximum bytes exceeded";
    return limit == NULL ? 0 : apply_fail(a, JS_STREAM_STORE_FAILED, "%s", limit);
}

int apply_publish_fits(struct apply *a, struct stream *s, const struct store_msg *m)
{
    const struct command_publish c = {.subject = m->subject, .header = m->header, .body = m->body};
    return check_sizes(a, s, &c);
}

/* 0: it may be stored. Else the result is complete. */
static int check(struct apply *a, struct stream *s, const struct command_publish *c)
{
    const struct stream_config *config = &s->config;
    if (s->apply->checks & CHECK_SEALED) return apply_refuse(a, JS_STREAM_SEALED);
    if ((c->flags & PUBLISH_TTL) && !config->allow_msg_ttl)
        return apply_refuse(a, JS_MESSAGE_TTL_DISABLED);
    if ((c->flags & PUBLISH_MSG_ID) && is_duplicate(a, s, c)) return E_EXISTS;
    int rc = check_expectations(a, s, c);
    if (rc != 0) return rc;
    if ((c->flags & (PUBLISH_ROLLUP_SUBJECT | PUBLISH_ROLLUP_ALL)) &&
        (!config->allow_rollup_hdrs || config->deny_purge))
        return apply_fail(a, JS_STREAM_ROLLUP_FAILED, "rollup not permitted");
    return check_sizes(a, s, c);
}

/* ---- storing ---- */

static void remember_id(struct stream *s, struct text id, stream_seq seq)
{
    struct stream_apply *apply = s->apply;
    if (id.bytes == 0 && apply->last_msg_id_bytes == 0) return;
    if (id.bytes > apply->last_msg_id_max) {
        apply->last_msg_id = check_realloc(apply->last_msg_id, id.bytes);
        apply->last_msg_id_max = id.bytes;
    }
    if (id.bytes > 0) memcpy(apply->last_msg_id, id.at, id.bytes);
    apply->last_msg_id_bytes = id.bytes;
    if (id.bytes > 0) dedup_add(&apply->dedup, id, seq, s->state->now_ns);
    apply_dirty_stream(s);
}

static bool interest(struct stream *s, struct text subject)
{
    LIST_FOREACH (n, &s->consumer_list) {
        if (consumer_matches(CONTAINER_OF(n, struct consumer, in_stream), subject)) return true;
    }
    return false;
}

static void tell_consumers(struct list *consumers, struct text subject)
{
    LIST_FOREACH (n, consumers) {
        struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
        if (consumer_appended(c, subject)) apply_dirty_consumer(c);
    }
}

static void republish(struct stream *s, const struct store_msg *m, stream_seq before)
{
    char room[LIMIT_SUBJECT_BYTES];
    struct state_republish r = {.msg = m, .before = before};
    r.to = transform_map(s->apply->republish, m->subject, room, sizeof room);
    if (r.to.bytes != 0) WATCH(s->state, republish, s, &r);
}

stream_seq
apply_publish_store(struct stream *s, struct store_msg *m, struct slice owner, int64_t ttl_ns)
{
    struct stream_apply *apply = s->apply;
    if ((apply->checks & CHECK_INTEREST) && !interest(s, m->subject)) {
        stream_seq seq = stream_counts(s).last + 1;
        store_skip_to(s->store, seq);
        return seq;
    }
    stream_seq before = (apply->checks & CHECK_REPUBLISH) ? last_of_subject(s, m->subject) : 0;
    if (m->time_ns == 0) m->time_ns = s->state->now_ns;
    m->seq = store_append(s->store, m, owner);
    tell_consumers(&s->consumer_list, m->subject);
    tell_consumers(&s->locals, m->subject);
    if (apply->checks & CHECK_ACCOUNT) apply_counted(s, 0, store_msg_bytes(m));
    if (apply->checks & CHECK_AGE)
        apply_clock_due(s, apply_clock_after(m->time_ns, s->config.max_age_ns));
    if (ttl_ns > 0) {
        struct expiry_entry entry = {.due_ns = apply_clock_after(m->time_ns, ttl_ns),
                                     .seq = m->seq};
        expiry_add(&apply->expiry, entry);
        apply_dirty_stream(s);
        apply_clock_due(s, entry.due_ns);
    }
    WATCH(s->state, appended, s, m);
    if (apply->checks & CHECK_REPUBLISH) republish(s, m, before);
    return m->seq;
}

/* ---- what goes because this came ---- */

void apply_publish_keep(struct stream *s, struct text subject, uint64_t keep)
{
    struct store_subject row;
    stream_seq seq;
    int rc = store_subject_get(s->store, subject, &row);
    apply_read(rc);
    if (rc != 0) return;
    for (uint64_t count = row.count; count > keep; count--) {
        rc = store_subject_first(s->store, subject, &seq);
        apply_read(rc);
        if (rc != 0 || !apply_remove(s, seq, &subject)) return;
    }
}

void apply_publish_enforce_subject(struct stream *s, struct text subject)
{
    apply_publish_keep(s, subject, (uint64_t)s->config.max_msgs_per_subject);
}

bool apply_publish_over_limits(struct stream *s)
{
    struct store_counts counts = stream_counts(s);
    const struct stream_config *config = &s->config;
    return (config->max_msgs > 0 && counts.msgs > (uint64_t)config->max_msgs) ||
           (config->max_bytes > 0 && counts.bytes > (uint64_t)config->max_bytes);
}

uint64_t apply_publish_enforce(struct stream *s, uint64_t max)
{
    uint64_t count = 0;
    while (count < max && apply_publish_over_limits(s)) {
        if (!apply_remove(s, stream_counts(s).first, NULL)) break;
        count++;
    }
    return count;
}

void apply_publish_trim(struct stream *s, struct text subject)
{
    if ((s->apply->checks & CHECK_LIMITS) == 0) return;
    if (s->config.max_msgs_per_subject > 0) apply_publish_enforce_subject(s, subject);
    apply_publish_enforce(s, ENFORCE_MAX);
    if (apply_publish_over_limits(s)) apply_clock_due(s, s->state->now_ns);
}

/* What the mapping doesn't match keeps its subject. */
static void transform(const struct stream *s, struct command_publish *c, char *room, size_t bytes)
{
    struct text mapped = transform_map(s->apply->transform, c->subject, room, bytes);
    if (mapped.bytes != 0) c->subject = mapped;
}

void apply_publish(struct apply *a, struct reader fields)
{
    struct command_publish c;
    if (entry_get_publish(fields, &c) != 0) apply_undecodable(a->state, "a publish");
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    char room[LIMIT_SUBJECT_BYTES];
    if (s->apply->checks & CHECK_TRANSFORM) transform(s, &c, room, sizeof room);
    bool plain = (c.flags | s->apply->checks) == 0 && c.header.bytes <= LIMIT_HEADER_BYTES;
    if (!plain && check(a, s, &c) != 0) return;
    struct store_msg m = {.subject = c.subject, .header = c.header, .body = c.body};
    a->result.seq = apply_publish_store(s, &m, a->payload, c.flags & PUBLISH_TTL ? c.ttl_ns : 0);
    remember_id(s, c.msg_id, a->result.seq);
    if (plain || m.seq == 0) return;
    if (c.flags & PUBLISH_ROLLUP_ALL)
        apply_remove_below(s, m.seq);
    else if (c.flags & PUBLISH_ROLLUP_SUBJECT)
        apply_publish_keep(s, c.subject, 1);
    apply_publish_trim(s, c.subject);
}
