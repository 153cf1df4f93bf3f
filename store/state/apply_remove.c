/* apply_remove.c - messages that leave a stream, for whatever reason: every consumer hears of each
 * that it had pending or had still to deliver, so that num_pending and the floors stay exact. Local
 * consumers are told as well; they change nothing that is replicated. */
#include "store/state/apply.h"

#include "store/base/bug.h"
#include "store/base/err.h"

#define SCAN_MAX 4096

#define FOREACH_CONSUMER(c, s, both)                                                               \
    for (struct list *list_ = &(s)->consumer_list; list_ != NULL;                                  \
         list_ = (both) && list_ == &(s)->consumer_list ? &(s)->locals : NULL)                     \
        for (struct consumer *c = first_of(list_); c != NULL; c = next_of(list_, c))

static struct consumer *first_of(struct list *l)
{
    struct list_node *n = list_first(l);
    return n == NULL ? NULL : CONTAINER_OF(n, struct consumer, in_stream);
}

static struct consumer *next_of(struct list *l, struct consumer *c)
{
    struct list_node *n = c->in_stream.next;
    return n == &l->head ? NULL : CONTAINER_OF(n, struct consumer, in_stream);
}

static bool subject_needed(struct stream *s, stream_seq seq)
{
    FOREACH_CONSUMER(c, s, true)
    {
        if (consumer_needs_subject(c, seq)) return true;
    }
    return false;
}

static void tell(struct stream *s, stream_seq seq, struct text subject)
{
    FOREACH_CONSUMER(c, s, true)
    {
        if (consumer_removed(c, seq, subject)) apply_dirty_consumer(c);
    }
}

static uint64_t bytes_if_counted(const struct stream *s)
{
    return s->apply->account->counted ? stream_counts(s).bytes : 0;
}

/* The subject is borrowed from the store and dies with the message, so consumers are told first. */
static bool remove_with_subject(struct stream *s, stream_seq seq)
{
    struct store_msg m;
    int rc = store_get(s->store, seq, &s->state->cursor, &m);
    apply_read(rc);
    if (rc != 0) return false;
    tell(s, seq, m.subject);
    rc = store_remove(s->store, seq);
    apply_read(rc);
    CHECK(rc == 0);
    return true;
}

static bool remove_plain(struct stream *s, stream_seq seq, struct text subject)
{
    int rc = store_remove(s->store, seq);
    apply_read(rc);
    if (rc != 0) return false;
    tell(s, seq, subject);
    return true;
}

bool apply_remove(struct stream *s, stream_seq seq, const struct text *subject)
{
    uint64_t before = bytes_if_counted(s);
    bool removed = subject == NULL && subject_needed(s, seq)
                       ? remove_with_subject(s, seq)
                       : remove_plain(s, seq, subject == NULL ? (struct text){0} : *subject);
    if (!removed) return false;
    s->apply->removed = true;
    apply_counted(s, before, bytes_if_counted(s));
    return true;
}

/* ---- many at once ---- */

/* What lies at or below delivered is settled for all of them together. */
static void gone_undelivered(void *ctx, const struct store_msg *m)
{
    struct stream *s = ctx;
    FOREACH_CONSUMER(c, s, true)
    {
        if (c->delivered.sseq >= m->seq) continue;
        if (consumer_removed(c, m->seq, m->subject)) apply_dirty_consumer(c);
    }
}

static bool somebody_lags(struct stream *s, stream_seq below)
{
    FOREACH_CONSUMER(c, s, true)
    {
        if (c->num_pending > 0 && c->delivered.sseq + 1 < below) return true;
    }
    return false;
}

uint64_t apply_remove_below(struct stream *s, stream_seq seq)
{
    uint64_t before = bytes_if_counted(s);
    bool all = seq > stream_counts(s).last; /* nothing is left to wait for: no need to look at it */
    bool each = !all && somebody_lags(s, seq) && !BUG_PURGE_NOT_COUNTED;
    uint64_t count = store_remove_below(s->store, seq, each ? gone_undelivered : NULL, s);
    if (count == 0) return 0;
    FOREACH_CONSUMER(c, s, true)
    {
        bool waited = all && c->num_pending > 0 && !BUG_PURGE_NOT_COUNTED;
        if (waited) c->num_pending = 0;
        if (consumer_settle_upto(c, seq - 1) > 0 || waited) apply_dirty_consumer(c);
    }
    s->apply->removed = true;
    apply_counted(s, before, bytes_if_counted(s));
    return count;
}

uint64_t apply_remove_matching(struct stream *s,
                               struct text filter,
                               stream_seq from,
                               stream_seq below,
                               uint64_t max)
{
    struct store_msg m;
    uint64_t count = 0, before = bytes_if_counted(s);
    while (count < max && from < below) {
        int rc = store_next(s->store, &from, &filter, 1, SCAN_MAX, &s->state->cursor, &m);
        if (rc == E_AGAIN) continue;
        apply_read(rc);
        if (rc != 0 || m.seq >= below) break;
        from = m.seq + 1;
        if (!BUG_PURGE_NOT_COUNTED) tell(s, m.seq, m.subject);
        rc = store_remove(s->store, from - 1);
        apply_read(rc);
        CHECK(rc == 0);
        count++;
    }
    if (count == 0) return 0;
    s->apply->removed = true;
    apply_counted(s, before, bytes_if_counted(s));
    return count;
}

/* ---- retention by interest and by work ---- */

static bool needed(struct stream *s, stream_seq seq, struct text subject)
{
    FOREACH_CONSUMER(c, s, false)
    {
        if (consumer_needs(c, seq, subject)) return true;
    }
    return false;
}

static void release_of_interest(struct stream *s, stream_seq seq)
{
    struct store_msg m = {0};
    if (subject_needed(s, seq)) {
        int rc = store_get(s->store, seq, &s->state->cursor, &m);
        apply_read(rc);
        if (rc != 0) return;
    }
    if (!needed(s, seq, m.subject)) apply_remove(s, seq, NULL);
}

void apply_release(struct stream *s, stream_seq seq)
{
    if (s->config.retention == RETENTION_WORKQUEUE) apply_remove(s, seq, NULL);
    if (s->config.retention == RETENTION_INTEREST) release_of_interest(s, seq);
}

void apply_release_range(struct stream *s,
                         stream_seq from,
                         const struct text *filters,
                         size_t count)
{
    struct store_msg m;
    if (s->config.retention != RETENTION_INTEREST) return;
    stream_seq last = stream_counts(s).last;
    if (list_empty(&s->consumer_list)) {
        apply_remove_below(s, last + 1);
        return;
    }
    while (from <= last) {
        int rc = store_next(s->store, &from, filters, count, SCAN_MAX, &s->state->cursor, &m);
        if (rc == E_AGAIN) continue;
        apply_read(rc);
        if (rc != 0) return;
        from = m.seq + 1;
        if (!needed(s, m.seq, m.subject)) apply_remove(s, from - 1, NULL);
    }
}
