/* consumer.c - see consumer.h.
 *
 * pending is dense and ascending by stream sequence, and moves through its allocation: acks come
 * mostly in order, so the front is cut by moving a pointer; a hole in the middle is closed from its
 * shorter side. First deliveries have ascending consumer sequences too, hence the ack floor is what
 * lies right before the first pending message. */
#include "store/state/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/apply.h"

#define SCAN_MAX 1000 /* messages that one consumer_next looks at */
#define PENDING_MIN 16

struct consumer *consumer_new(struct stream *s, struct consumer_config *config, int64_t now_ns)
{
    struct consumer *c = check_alloc(sizeof *c);
    c->stream = s;
    c->config = *config;
    *config = (struct consumer_config){0};
    c->name = consumer_config_name(&c->config);
    c->created_ns = now_ns;
    return c;
}

void consumer_free(struct consumer *c)
{
    if (c == NULL) return;
    consumer_config_free(&c->config);
    free(c->pending_base);
    free(c->last_per_subject);
    free(c);
}

/* ---- filters ---- */

bool consumer_matches(const struct consumer *c, struct text subject)
{
    if (c->config.filter_count == 0) return true;
    for (size_t i = 0; i < c->config.filter_count; i++) {
        struct text filter = c->config.filters[i];
        if (text_equal(filter, subject) || subject_match(filter, subject)) return true;
    }
    return false;
}

/* ---- start ---- */

struct seqs {
    stream_seq *at;
    size_t count, max;
};

static void add_last(void *ctx, struct text subject, const struct store_subject *row)
{
    struct seqs *s = ctx;
    (void)subject;
    if (s->count == s->max) {
        s->max = s->max == 0 ? 64 : s->max * 2;
        s->at = check_realloc(s->at, s->max * sizeof *s->at);
    }
    s->at[s->count++] = row->last;
}

static int by_seq(const void *a, const void *b)
{
    stream_seq x = *(const stream_seq *)a, y = *(const stream_seq *)b;
    return x < y ? -1 : x > y;
}

/* The store gives subjects in no order; sorted, the outcome doesn't depend on it. */
static void place_last_per_subject(struct consumer *c, struct store_counts counts)
{
    static const struct text all = {.at = ">", .bytes = 1};
    struct seqs list = {0};
    const struct consumer_config *config = &c->config;
    for (size_t i = 0; i < config->filter_count; i++)
        store_subjects(c->stream->store, config->filters[i], add_last, &list);
    if (config->filter_count == 0) store_subjects(c->stream->store, all, add_last, &list);
    if (list.count > 0) qsort(list.at, list.count, sizeof *list.at, by_seq);
    c->last_per_subject = list.at;
    c->last_count = list.count;
    c->resume = counts.last;
    c->delivered.sseq = list.count > 0 ? list.at[0] - 1 : counts.last;
}

static stream_seq last_match(struct consumer *c)
{
    struct store_cursor cursor = {0};
    struct store_msg m;
    stream_seq best = 0;
    for (size_t i = 0; i < c->config.filter_count; i++) {
        int rc = store_last(c->stream->store, c->config.filters[i], 0, &cursor, &m);
        if (rc == 0 && m.seq > best) best = m.seq;
        if (rc != 0 && rc != E_NOTFOUND) FATAL(EXIT_CORRUPT, "a message block can't be read");
    }
    store_cursor_close(&cursor);
    return best;
}

/* The sequence before the first one it may deliver. */
static stream_seq start_before(struct consumer *c, struct store_counts counts)
{
    stream_seq start = counts.first;
    switch ((enum deliver_policy)c->config.deliver_policy) {
    case DELIVER_ALL:
    case DELIVER_LAST_PER_SUBJECT:
        break;
    case DELIVER_NEW:
        start = counts.last + 1;
        break;
    case DELIVER_LAST:
        if (c->config.filter_count > 0)
            start = last_match(c);
        else
            start = counts.msgs > 0 ? counts.last : 0;
        if (start == 0) start = counts.last + 1;
        break;
    case DELIVER_BY_START_SEQUENCE:
        start = c->config.opt_start_seq;
        /* A start beyond the end is drawn back to it: a bucket that was made anew counts from 1
         * again, and a watcher that resumes at its old sequence would stay silent for ever. */
        if (start > counts.last + 1) start = counts.last + 1;
        break;
    case DELIVER_BY_START_TIME:
        start = apply_clock_seq_at(c->stream, c->config.opt_start_time_ns);
        break;
    }
    return start < counts.first ? counts.first - 1 : start - 1;
}

void consumer_place(struct consumer *c)
{
    struct store_counts counts = store_stream_counts(c->stream->store);
    if (c->config.deliver_policy == DELIVER_LAST_PER_SUBJECT) {
        place_last_per_subject(c, counts);
    } else {
        c->delivered.sseq = start_before(c, counts);
    }
    c->ack_floor.sseq = c->delivered.sseq;
    consumer_recount(c);
}

/* Where live messages go on. */
static stream_seq live_from(const struct consumer *c)
{
    return (c->delivered.sseq > c->resume ? c->delivered.sseq : c->resume) + 1;
}

static bool still_there(struct consumer *c, stream_seq seq, struct store_cursor *cursor)
{
    struct store_msg m;
    int rc = store_get(c->stream->store, seq, cursor, &m);
    if (rc != 0 && rc != E_NOTFOUND)
        FATAL(EXIT_CORRUPT, "message %llu can't be read", (unsigned long long)seq);
    return rc == 0 && consumer_matches(c, m.subject);
}

void consumer_recount(struct consumer *c)
{
    struct store_cursor cursor = {0};
    c->num_pending =
        store_count(c->stream->store, live_from(c), c->config.filters, c->config.filter_count);
    for (size_t i = c->last_at; i < c->last_count; i++)
        c->num_pending += still_there(c, c->last_per_subject[i], &cursor);
    store_cursor_close(&cursor);
}

/* ---- what comes next ---- */

/* The first entry of the list behind `after`. */
static size_t list_behind(const struct consumer *c, stream_seq after)
{
    size_t low = c->last_at, high = c->last_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->last_per_subject[middle] <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int next_listed(struct consumer *c,
                       stream_seq after,
                       struct store_cursor *cursor,
                       stream_seq *scanned,
                       struct store_msg *out)
{
    size_t at = list_behind(c, after), end = at + SCAN_MAX;
    for (; at < c->last_count; at++) {
        if (at == end) return E_AGAIN;
        int rc = store_get(c->stream->store, c->last_per_subject[at], cursor, out);
        if (rc != 0 && rc != E_NOTFOUND) return rc;
        *scanned = c->last_per_subject[at];
        if (rc == 0 && consumer_matches(c, out->subject)) return 0;
    }
    return E_NOTFOUND;
}

int consumer_next(struct consumer *c,
                  stream_seq after,
                  struct store_cursor *cursor,
                  stream_seq *scanned,
                  struct store_msg *out)
{
    if (after < c->delivered.sseq) after = c->delivered.sseq;
    *scanned = after;
    if (c->last_at < c->last_count) {
        int rc = next_listed(c, after, cursor, scanned, out);
        if (rc != E_NOTFOUND) return rc;
    }
    stream_seq from = (after > c->resume ? after : c->resume) + 1;
    stream_seq last = store_stream_counts(c->stream->store).last;
    int rc = from > last ? E_NOTFOUND
                         : store_next(c->stream->store, &from, c->config.filters,
                                      c->config.filter_count, SCAN_MAX, cursor, out);
    if (rc == 0)
        *scanned = out->seq;
    else if (rc == E_AGAIN)
        *scanned = from - 1;
    else if (rc == E_NOTFOUND && last > *scanned)
        *scanned = last;
    return rc;
}

/* ---- pending ---- */

static size_t pending_index(const struct consumer *c, stream_seq sseq)
{
    size_t low = 0, high = c->pending_count;
    if (high == 0 || sseq < c->pending[0].sseq) return high;
    /* Without gaps the place is known; with gaps it can only lie before. */
    stream_seq guess = sseq - c->pending[0].sseq;
    if (guess < high) {
        if (c->pending[guess].sseq == sseq) return (size_t)guess;
        high = (size_t)guess;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->pending[middle].sseq < sseq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->pending_count && c->pending[low].sseq == sseq ? low : c->pending_count;
}

struct consumer_pending *consumer_find(struct consumer *c, stream_seq sseq)
{
    size_t at = pending_index(c, sseq);
    return at == c->pending_count ? NULL : &c->pending[at];
}

static void pending_room(struct consumer *c)
{
    size_t ahead = (size_t)(c->pending - c->pending_base);
    if (ahead + c->pending_count < c->pending_max) return;
    if (ahead > c->pending_max / 2) {
        memmove(c->pending_base, c->pending, c->pending_count * sizeof *c->pending);
    } else {
        c->pending_max = c->pending_max == 0 ? PENDING_MIN : c->pending_max * 2;
        c->pending_base = check_realloc(c->pending_base, c->pending_max * sizeof *c->pending);
        if (ahead > 0)
            memmove(c->pending_base, c->pending_base + ahead,
                    c->pending_count * sizeof *c->pending);
    }
    c->pending = c->pending_base;
}

static void pending_cut(struct consumer *c, size_t at)
{
    struct consumer_pending *p = c->pending;
    if (p[at].deliveries > 1) c->redelivered--;
    if (at < c->pending_count / 2) {
        memmove(p + 1, p, at * sizeof *p);
        c->pending++;
    } else {
        memmove(p + at, p + at + 1, (c->pending_count - at - 1) * sizeof *p);
    }
    c->pending_count--;
    if (c->pending_count == 0) c->pending = c->pending_base;
}

static void move_floor(struct consumer *c, stream_seq settled)
{
    uint64_t cseq = c->delivered.cseq;
    stream_seq sseq = c->delivered.sseq;
    if (c->pending_count > 0) {
        cseq = c->pending[0].first_cseq - 1;
        sseq = c->pending[0].sseq - 1;
    }
    if (BUG_ACK_FLOOR_BACK) {
        c->ack_floor.sseq = settled;
        return;
    }
    if (cseq > c->ack_floor.cseq) c->ack_floor.cseq = cseq;
    if (sseq > c->ack_floor.sseq) c->ack_floor.sseq = sseq;
}

bool consumer_settle(struct consumer *c, stream_seq sseq)
{
    size_t at = pending_index(c, sseq);
    if (at == c->pending_count) return false;
    pending_cut(c, at);
    move_floor(c, sseq);
    return true;
}

size_t consumer_settle_upto(struct consumer *c, stream_seq sseq)
{
    size_t count = 0;
    while (count < c->pending_count && c->pending[count].sseq <= sseq) {
        if (c->pending[count].deliveries > 1) c->redelivered--;
        count++;
    }
    if (count == 0) return 0;
    c->pending += count;
    c->pending_count -= count;
    if (c->pending_count == 0) c->pending = c->pending_base;
    move_floor(c, sseq);
    return count;
}

/* ---- deliveries ---- */

/* The list ends where delivered has passed it; then live messages follow. */
static void pass_list(struct consumer *c)
{
    while (c->last_at < c->last_count && c->last_per_subject[c->last_at] <= c->delivered.sseq)
        c->last_at++;
    if (c->last_at < c->last_count || c->last_per_subject == NULL) return;
    free(c->last_per_subject);
    c->last_per_subject = NULL;
    c->last_count = c->last_at = 0;
}

uint64_t consumer_deliver(struct consumer *c, stream_seq sseq, int64_t now_ns)
{
    CHECK(sseq > c->delivered.sseq);
    c->delivered.sseq = sseq;
    c->delivered.cseq++;
    c->delivered.last_ns = now_ns;
    if (c->num_pending > 0) c->num_pending--;
    pass_list(c);
    if (c->config.ack_policy == ACK_POLICY_NONE) {
        c->ack_floor = c->delivered;
        return c->delivered.cseq;
    }
    pending_room(c);
    c->pending[c->pending_count++] = (struct consumer_pending){
        .sseq = sseq,
        .cseq = c->delivered.cseq,
        .first_cseq = c->delivered.cseq,
        .deliveries = 1,
        .time_ns = now_ns,
        .delay_ns = -1,
    };
    return c->delivered.cseq;
}

void consumer_skip(struct consumer *c, stream_seq to)
{
    if (to <= c->delivered.sseq) return;
    c->delivered.sseq = to;
    pass_list(c);
}

uint64_t consumer_redeliver(struct consumer *c, struct consumer_pending *p, int64_t now_ns)
{
    CHECK(p->deliveries > 0);
    p->cseq = ++c->delivered.cseq;
    c->delivered.last_ns = now_ns;
    if (p->deliveries == 1) c->redelivered++;
    if (!BUG_REDELIVERY_LOST) p->deliveries++;
    p->time_ns = now_ns;
    p->delay_ns = -1;
    return p->cseq;
}

/* ---- the stream changed ---- */

static bool listed(const struct consumer *c, stream_seq sseq)
{
    size_t at = list_behind(c, sseq - 1);
    return at < c->last_count && c->last_per_subject[at] == sseq;
}

bool consumer_needs(struct consumer *c, stream_seq sseq, struct text subject)
{
    if (sseq <= c->delivered.sseq) return consumer_find(c, sseq) != NULL;
    if (sseq <= c->resume && !listed(c, sseq)) return false;
    return consumer_matches(c, subject); /* also what is listed: the filters may have changed */
}

bool consumer_needs_subject(const struct consumer *c, stream_seq sseq)
{
    return c->config.filter_count > 0 && sseq > c->delivered.sseq;
}

bool consumer_appended(struct consumer *c, struct text subject)
{
    if (!consumer_matches(c, subject)) return false;
    c->num_pending++;
    return true;
}

bool consumer_removed(struct consumer *c, stream_seq sseq, struct text subject)
{
    if (sseq <= c->delivered.sseq) return consumer_settle(c, sseq);
    if (!consumer_needs(c, sseq, subject)) return false;
    if (c->num_pending > 0) c->num_pending--;
    return true;
}
