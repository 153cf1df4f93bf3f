/* apply_clock.c - messages go by age, by their own time to live, or because a limit was lowered.
 * The leader proposes it when the earliest deadline is due; the entry's time decides, and each
 * message is checked again here. At most `max` a command, so that no entry takes long. */
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/state/apply.h"
#include "store/state/fields.h"
#include "store/state/header.h"

#define EXPIRE_MAX 10000 /* whatever the command says */
#define SCAN_MAX 4096

/* ---- deadlines ---- */

int64_t apply_clock_after(int64_t time_ns, int64_t span_ns)
{
    return time_ns > INT64_MAX - span_ns ? INT64_MAX : time_ns + span_ns;
}

stream_seq apply_clock_seq_at(struct stream *s, int64_t ns)
{
    struct store_cursor cursor = {0};
    struct store_msg m;
    stream_seq seq = store_seq_at(s->store, ns);
    int rc = store_get(s->store, seq, &cursor, &m);
    store_cursor_close(&cursor);
    apply_read(rc);
    return seq;
}

void apply_clock_due(struct stream *s, int64_t due_ns)
{
    if (due_ns < s->apply->due_ns) expiry_queue_set(&s->state->due, s, due_ns);
}

/* The oldest message that age may remove. False: none. */
static bool oldest(struct stream *s, struct store_msg *m)
{
    struct store_counts counts = stream_counts(s);
    stream_seq from = s->apply->age_from > counts.first ? s->apply->age_from : counts.first;
    int rc = E_AGAIN;
    if (counts.msgs == 0) return false;
    while (rc == E_AGAIN)
        rc = store_next(s->store, &from, NULL, 0, SCAN_MAX, &s->state->cursor, m);
    apply_read(rc);
    return rc == 0;
}

void apply_clock_refresh(struct stream *s)
{
    int64_t due = INT64_MAX;
    const struct expiry_entry *first = expiry_first(&s->apply->expiry);
    struct store_msg m;
    if (first != NULL) due = first->due_ns;
    if (s->config.max_age_ns > 0) {
        struct store_counts counts = stream_counts(s);
        int64_t time_ns = INT64_MAX;
        if (s->apply->age_from <= counts.first)
            time_ns = counts.msgs > 0 ? counts.first_ns : INT64_MAX;
        else if (oldest(s, &m))
            time_ns = m.time_ns;
        int64_t over = apply_clock_after(time_ns, s->config.max_age_ns);
        if (over < due) due = over;
    }
    if (apply_publish_over_limits(s)) due = s->state->now_ns;
    expiry_queue_set(&s->state->due, s, due);
}

/* What is first in the queue may be there too early; once its deadline is exact and still the
 * first, it is the answer. */
int64_t state_expiry_due(struct state *s, uint32_t *stream)
{
    while (s->due.count > 0) {
        struct stream *first = s->due.heap[0];
        int64_t due = first->apply->due_ns;
        apply_clock_refresh(first);
        if (s->due.count == 0 || s->due.heap[0] != first || first->apply->due_ns != due) continue;
        *stream = first->id;
        return due;
    }
    return INT64_MAX;
}

/* ---- markers ---- */

static bool lives_forever(const struct stream *s, struct text header)
{
    if (!s->config.allow_msg_ttl || header.bytes == 0) return false;
    struct text ttl = header_find(header, "Nats-TTL");
    return text_equal(ttl, TEXT("never")) || (ttl.bytes > 0 && ttl.at[0] == '-');
}

/* A marker, or a KV purge, says by itself that the subject is gone. */
static bool is_marker(struct text header)
{
    return header_find(header, "Nats-Marker-Reason").bytes > 0 ||
           text_equal(header_find(header, "KV-Operation"), TEXT("PURGE"));
}

static void store_marker(struct stream *s, struct text subject)
{
    char ttl[FIELDS_DURATION_BYTES];
    struct writer w;
    int64_t ttl_ns = s->config.subject_delete_marker_ttl_ns;
    writer_init(&w, 128);
    fields_duration(ttl_ns, ttl);
    const char *parts[] = {"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: ", ttl,
                           "\r\nNats-Rollup: sub\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        writer_put(&w, parts[i], strlen(parts[i]));
    struct slice owner = writer_take(&w);
    struct store_msg m = {.subject = subject,
                          .header = {.at = (const char *)owner.at, .bytes = owner.bytes}};
    apply_publish_store(s, &m, owner, ttl_ns);
    s->apply->last_msg_id_bytes = 0;
    apply_dirty_stream(s);
    slice_release(&owner);
}

/* m is borrowed from the store, so its subject is copied before it goes. */
static void expire_one(struct stream *s, const struct store_msg *m)
{
    struct store_subject row;
    bool marks = s->config.subject_delete_marker_ttl_ns > 0 && !is_marker(m->header);
    if (!marks) {
        apply_remove(s, m->seq, NULL);
        return;
    }
    char copy[LIMIT_SUBJECT_BYTES];
    CHECK(m->subject.bytes <= sizeof copy);
    memcpy(copy, m->subject.at, m->subject.bytes);
    struct text subject = {.at = copy, .bytes = m->subject.bytes};
    int rc = store_subject_get(s->store, subject, &row);
    apply_read(rc);
    apply_remove(s, m->seq, &subject);
    if (rc == 0 && row.count == 1) store_marker(s, subject);
}

/* ---- expire ---- */

static uint64_t expire_own(struct stream *s, uint64_t max)
{
    const struct expiry_entry *first;
    uint64_t count = 0;
    struct store_msg m;
    while (count < max && (first = expiry_first(&s->apply->expiry)) != NULL &&
           first->due_ns <= s->state->now_ns) {
        stream_seq seq = first->seq;
        expiry_pop(&s->apply->expiry);
        apply_dirty_stream(s);
        count++;
        int rc = store_get(s->store, seq, &s->state->cursor, &m);
        apply_read(rc);
        if (rc == 0) expire_one(s, &m);
    }
    return count;
}

static uint64_t expire_age_simple(struct stream *s, int64_t upto_ns, uint64_t max)
{
    stream_seq first = stream_counts(s).first, below = apply_clock_seq_at(s, upto_ns + 1);
    if (below > first && below - first > max) below = first + max;
    return below > first ? apply_remove_below(s, below) : 0;
}

static uint64_t expire_age(struct stream *s, uint64_t max)
{
    int64_t upto_ns = s->state->now_ns - s->config.max_age_ns;
    struct store_msg m;
    uint64_t count = 0;
    if (s->config.max_age_ns <= 0) return 0;
    if (!s->config.allow_msg_ttl) return expire_age_simple(s, upto_ns, max);
    while (count < max && oldest(s, &m) && m.time_ns <= upto_ns) {
        s->apply->age_from = m.seq + 1;
        apply_dirty_stream(s);
        count++;
        if (!lives_forever(s, m.header)) expire_one(s, &m);
    }
    return count;
}

void apply_clock_expire(struct apply *a, struct reader fields)
{
    struct command_expire c;
    if (entry_get_expire(fields, &c) != 0) apply_undecodable(a->state, "an expiry");
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    uint64_t max = c.max == 0 || c.max > EXPIRE_MAX ? EXPIRE_MAX : c.max;
    uint64_t count = expire_own(s, max);
    if (count < max) count += expire_age(s, max - count);
    if (count < max) count += apply_publish_enforce(s, max - count);
    a->result.count = count;
    apply_clock_refresh(s);
}
