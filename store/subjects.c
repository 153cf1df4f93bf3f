/* subjects.c - linear hashing: N buckets, L = floor(log2 N); a subject lies in bucket h mod 2^(L+1)
 * if that is below N, else in h mod 2^L. When there are more than 32 rows a bucket, bucket N - 2^L
 * is split and N grows by one. */
#include "store/subjects.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/err.h"
#include "store/store_types.h"

#define ROWS_PER_BUCKET 32
#define DIR_MIN 4
#define LISTED_HISTORY_MAX 64 /* rows list their sequences up to this max_msgs_per_subject */

void subjects_init(struct subjects *s, uint32_t buckets, uint64_t count, bool durable)
{
    *s = (struct subjects){.buckets = buckets, .count = count, .durable = durable};
}

static void drop_pages(struct store_stream *ss)
{
    struct subjects *s = &ss->subjects;
    for (uint32_t i = 0; i < s->dir_max; i++) {
        struct subject_page *p = s->dir[i];
        s->dir[i] = NULL;
        if (p != NULL) pages_drop(&ss->store->pages, &p->page);
    }
}

void subjects_close(struct store_stream *ss)
{
    drop_pages(ss);
    free(ss->subjects.dir);
    free(ss->hint.subject);
    ss->subjects = (struct subjects){0};
    ss->hint = (struct subject_hint){0};
}

void subjects_install(struct store_stream *ss, uint32_t bucket, struct subject_page *p)
{
    CHECK(bucket < ss->subjects.dir_max);
    ss->subjects.dir[bucket] = p;
}

void subjects_settled(struct store_stream *ss)
{
    /* Pages from before a clear may become durable after it: they are void, and the next flush
     * deletes their rows. */
    if (!ss->wiped) ss->subjects.durable = true;
}

uint64_t subjects_hash(const struct store_stream *ss, struct text subject)
{
    return XXH3_64bits_withSeed(subject.at, subject.bytes, ss->store->hash_seed);
}

static uint32_t bucket_of(uint32_t buckets, uint64_t hash)
{
    uint64_t whole = UINT64_C(1) << (31 - __builtin_clz(buckets));
    uint64_t b = hash & (2 * whole - 1);
    return (uint32_t)(b < buckets ? b : hash & (whole - 1));
}

static uint32_t hash_upper(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static void dir_room(struct subjects *s)
{
    if (s->dir_max >= s->buckets) return;
    uint32_t max = s->dir_max < DIR_MIN ? DIR_MIN : s->dir_max * 2;
    if (max < s->buckets) max = s->buckets;
    s->dir = check_realloc(s->dir, max * sizeof(struct subject_page *));
    memset(&s->dir[s->dir_max], 0, (max - s->dir_max) * sizeof(struct subject_page *));
    s->dir_max = max;
}

static struct subject_page *add(struct store_stream *ss, struct subject_page *p, bool dirty)
{
    ss->subjects.dir[p->page.at] = p;
    pages_add(&ss->store->pages, &p->page, dirty);
    return p;
}

/* The page's row in KV_STATE; NULL: there is none. Without it nothing can be applied rightly, so
 * damage ends the node.
 */
static struct subject_page *read_page(struct store_stream *ss, uint32_t bucket)
{
    struct kv *kv = ss->store->kv;
    struct key key = keys_bucket(ss->id, bucket);
    struct kv_pin pin;
    int rc = kv->ops->get(kv, KV_STATE, key_text(&key), &pin);
    if (rc == E_NOTFOUND) return NULL;
    struct subject_page *p = NULL;
    if (rc == 0) {
        rc = subject_page_decode(ss, ss->id, bucket, pin.value, &p);
        kv->ops->unpin(kv, &pin);
    }
    if (rc != 0)
        FATAL(EXIT_CORRUPT, "subject page %u of stream %u: %s", bucket, ss->id.stream,
              err_text(rc));
    return p;
}

/* The page, read if need be; NULL: it has no rows. */
static struct subject_page *page_get(struct store_stream *ss, uint32_t bucket)
{
    struct subjects *s = &ss->subjects;
    dir_room(s);
    struct subject_page *p = s->dir[bucket];
    if (p == NULL && s->durable) {
        /* An absent row becomes an empty page, else every look-up would ask again. */
        p = read_page(ss, bucket);
        if (p == NULL) p = subject_page_new(ss, ss->id, bucket);
        add(ss, p, false);
    }
    if (p != NULL) p->page.referenced = true;
    return p;
}

static struct subject_page *page_modify(struct store_stream *ss, uint32_t bucket)
{
    struct subject_page *p = page_get(ss, bucket);
    if (p == NULL) return add(ss, subject_page_new(ss, ss->id, bucket), true);
    return CONTAINER_OF(pages_modify(&ss->store->pages, &p->page), struct subject_page, page);
}

static void resized(struct store_stream *ss, struct subject_page *p)
{
    uint64_t bytes = subject_page_bytes(p);
    if (bytes != p->page.bytes) pages_resized(&ss->store->pages, &p->page, bytes);
}

void subjects_prefetch(const struct store_stream *ss, uint64_t hash)
{
    const struct subjects *s = &ss->subjects;
    uint32_t bucket = bucket_of(s->buckets, hash);
    if (bucket < s->dir_max && s->dir[bucket] != NULL) __builtin_prefetch(s->dir[bucket], 1);
}

const struct subject_row *subjects_find(struct store_stream *ss, uint64_t hash, struct text subject)
{
    struct subject_page *p = page_get(ss, bucket_of(ss->subjects.buckets, hash));
    return p == NULL ? NULL : subject_page_find(p, hash_upper(hash), subject);
}

/* Moves the rows that belong to the new bucket. Only when the page is at hand: a split may wait. */
static void split(struct store_stream *ss)
{
    struct subjects *s = &ss->subjects;
    uint32_t whole = 1u << (31 - __builtin_clz(s->buckets));
    uint32_t from = s->buckets - whole, to = s->buckets;
    if (s->buckets == UINT32_MAX / 4) return;
    if (s->dir[from] == NULL && s->durable) return;
    s->buckets++;
    dir_room(s);
    if (s->dir[from] == NULL) return;
    struct subject_page *old = page_modify(ss, from);
    struct subject_page *rest = subject_page_new(ss, ss->id, from);
    struct subject_page *new = subject_page_new(ss, ss->id, to);
    for (struct subject_row *row = subject_page_next(old, NULL); row != NULL;
         row = subject_page_next(old, row)) {
        struct text subject = subject_row_text(row);
        uint32_t b = bucket_of(s->buckets, subjects_hash(ss, subject));
        CHECK(b == from || b == to);
        struct subject_page *p = b == from ? rest : new;
        struct subject_row *copy = subject_page_add(p, row->hash, subject);
        struct subject_row head = *row;
        head.listed = 0;
        *copy = head;
        for (uint32_t i = 0; i < row->listed; i++)
            copy = subject_page_push(p, copy, subject_row_items(row)[i]);
    }
    pages_drop(&ss->store->pages, &old->page);
    rest->page.bytes = subject_page_bytes(rest);
    new->page.bytes = subject_page_bytes(new);
    add(ss, rest, true);
    add(ss, new, true);
}

static bool history_listed(const struct store_stream *ss)
{
    return ss->history >= 2 && ss->history <= LISTED_HISTORY_MAX;
}

static struct subject_row *unlist(struct subject_page *p, struct subject_row *row)
{
    while (row->listed > 0)
        subject_page_pop(p, row, row->listed - 1u);
    return row;
}

/* The row's last becomes an older one; its list keeps it while that is complete. */
static struct subject_row *
push_last(struct store_stream *ss, struct subject_page *p, struct subject_row *row)
{
    bool list = history_listed(ss) && subject_row_whole(row) && row->listed < SUBJECT_LISTED_MAX;
    if (!list) return unlist(p, row);
    struct subject_item item = {.seq = row->last, .bytes = row->last_bytes};
    return subject_page_push(p, row, item);
}

void subjects_append(struct store_stream *ss,
                     uint64_t hash,
                     struct text subject,
                     stream_seq seq,
                     uint32_t bytes)
{
    struct subjects *s = &ss->subjects;
    struct subject_page *p = page_modify(ss, bucket_of(s->buckets, hash));
    struct subject_row *row = subject_page_find(p, hash_upper(hash), subject);
    if (row != NULL) {
        if (ss->history >= 1 && ss->history <= LISTED_HISTORY_MAX)
            subjects_hint(ss, hash, subject, row->last, row->last_bytes);
        row = push_last(ss, p, row);
    } else {
        row = subject_page_add(p, hash_upper(hash), subject);
        row->first = seq;
        row->flags = SUBJECT_FIRST_EXACT;
        s->count++;
    }
    CHECK(row->count < UINT32_MAX);
    row->count++;
    row->last = seq;
    row->last_bytes = bytes;
    resized(ss, p);
    if (s->count > (uint64_t)ROWS_PER_BUCKET * s->buckets) split(ss);
}

/* A sequence leaves a complete list. */
static void remove_listed(struct subject_page *p, struct subject_row *row, stream_seq seq)
{
    struct subject_item *items = subject_row_items(row);
    uint32_t index = 0;
    if (seq == row->last) {
        index = row->listed - 1u;
        row->last = items[index].seq;
        row->last_bytes = items[index].bytes;
    } else {
        while (index < row->listed && items[index].seq != seq)
            index++;
        CHECK(index < row->listed);
    }
    row->count--;
    subject_page_pop(p, row, index);
    row->first = row->listed == 0 ? row->last : subject_row_items(row)[0].seq;
    row->flags |= SUBJECT_FIRST_EXACT;
}

static bool remove_unlisted(struct subject_row *row, stream_seq seq)
{
    CHECK_EQ(row->listed, 0);
    row->count--;
    if (seq == row->last) return true;
    if (seq == row->first) {
        row->first = seq + 1;
        row->flags &= (uint8_t)~SUBJECT_FIRST_EXACT;
    }
    if (row->count == 1) {
        row->first = row->last;
        row->flags |= SUBJECT_FIRST_EXACT;
    }
    return false;
}

/* The page and row of a subject that must be there. */
static struct subject_row *
row_modify(struct store_stream *ss, uint64_t hash, struct text subject, struct subject_page **page)
{
    *page = page_modify(ss, bucket_of(ss->subjects.buckets, hash));
    struct subject_row *row = subject_page_find(*page, hash_upper(hash), subject);
    CHECK(row != NULL);
    return row;
}

bool subjects_remove(struct store_stream *ss, uint64_t hash, struct text subject, stream_seq seq)
{
    struct subject_page *p;
    struct subject_row *row = row_modify(ss, hash, subject, &p);
    CHECK(seq <= row->last);
    if (row->count == 1) {
        CHECK_EQ(seq, row->last);
        subject_page_remove(p, row);
        ss->subjects.count--;
        return false;
    }
    if (subject_row_whole(row)) {
        remove_listed(p, row, seq);
        return false;
    }
    return remove_unlisted(row, seq);
}

void subjects_set_last(struct store_stream *ss,
                       uint64_t hash,
                       struct text subject,
                       stream_seq last,
                       uint32_t bytes)
{
    struct subject_page *p;
    struct subject_row *row = row_modify(ss, hash, subject, &p);
    CHECK(last >= row->first);
    row->last = last;
    row->last_bytes = bytes;
    if (row->count == 1) {
        row->first = last;
        row->flags |= SUBJECT_FIRST_EXACT;
    }
}

void subjects_set_first(struct store_stream *ss,
                        uint64_t hash,
                        struct text subject,
                        stream_seq first)
{
    struct subject_page *p;
    struct subject_row *row = row_modify(ss, hash, subject, &p);
    CHECK(first >= row->first && first <= row->last);
    row->first = first;
    row->flags |= SUBJECT_FIRST_EXACT;
}

void subjects_shrink(struct store_stream *ss, uint64_t count)
{
    struct subjects *s = &ss->subjects;
    CHECK_EQ(s->count, 1);
    for (uint32_t b = 0; b < s->buckets; b++) {
        struct subject_page *p = page_get(ss, b);
        if (p == NULL || p->rows == 0) continue;
        p = page_modify(ss, b);
        struct subject_row *row = unlist(p, subject_page_next(p, NULL));
        CHECK(row->count > count);
        row->count -= (uint32_t)count;
        row->flags &= (uint8_t)~SUBJECT_FIRST_EXACT;
        if (row->count == 1) {
            row->first = row->last;
            row->flags |= SUBJECT_FIRST_EXACT;
        }
        return;
    }
    CHECK(false);
}

void subjects_clear(struct store_stream *ss)
{
    struct subjects *s = &ss->subjects;
    drop_pages(ss);
    /* A flush in progress may be writing pages that were dropped here. */
    ss->wiped = ss->wiped || s->durable || ss->store->flush != NULL;
    s->durable = false;
    s->buckets = 1;
    s->count = 0;
    ss->hint.subject_bytes = 0;
    ss->hint.seq = 0;
}

static void each_row(const struct subject_page *p,
                     void (*each)(void *ctx, const struct subject_row *row),
                     void *ctx)
{
    for (const struct subject_row *row = subject_page_next(p, NULL); row != NULL;
         row = subject_page_next(p, row))
        each(ctx, row);
}

/* A page that is not resident, out of an iterator that stands at or before it. */
static void each_read(struct store_stream *ss,
                      struct kv_iter *it,
                      uint32_t bucket,
                      void (*each)(void *ctx, const struct subject_row *row),
                      void *ctx)
{
    const struct kv_ops *ops = ss->store->kv->ops;
    uint32_t found;
    while (ops->iter_valid(it) && keys_bucket_read(ops->iter_key(it), ss->id, &found)) {
        if (found > bucket) return;
        struct subject_page *p = NULL;
        int rc = 0;
        if (found == bucket) {
            rc = subject_page_decode(ss, ss->id, bucket, ops->iter_value(it), &p);
            if (rc != 0)
                FATAL(EXIT_CORRUPT, "subject page %u of stream %u: %s", bucket, ss->id.stream,
                      err_text(rc));
            each_row(p, each, ctx);
            subject_page_free(p);
        }
        ops->iter_next(it);
    }
}

void subjects_each(struct store_stream *ss,
                   void (*each)(void *ctx, const struct subject_row *row),
                   void *ctx)
{
    struct subjects *s = &ss->subjects;
    const struct kv_ops *ops = ss->store->kv->ops;
    struct kv_iter *it = NULL;
    for (uint32_t b = 0; b < s->buckets; b++) {
        struct subject_page *p = b < s->dir_max ? s->dir[b] : NULL;
        if (p != NULL) {
            each_row(p, each, ctx);
            continue;
        }
        if (!s->durable) continue;
        if (it == NULL) {
            it = ops->iter_new(ss->store->kv, KV_STATE, true);
            struct key key = keys_bucket(ss->id, b);
            ops->iter_seek(it, key_text(&key));
        }
        each_read(ss, it, b, each, ctx);
    }
    if (it != NULL) ops->iter_free(it);
}

void subjects_hint(struct store_stream *ss,
                   uint64_t hash,
                   struct text subject,
                   stream_seq seq,
                   uint32_t bytes)
{
    struct subject_hint *h = &ss->hint;
    if (h->max < subject.bytes) {
        h->max = (uint32_t)(subject.bytes < 64 ? 64 : subject.bytes);
        free(h->subject);
        h->subject = check_alloc(h->max);
    }
    if (subject.bytes != 0) memcpy(h->subject, subject.at, subject.bytes);
    h->subject_bytes = (uint32_t)subject.bytes;
    h->hash = hash;
    h->seq = seq;
    h->bytes = bytes;
}

bool subjects_hinted(struct store_stream *ss, stream_seq seq, bool look, uint32_t *bytes)
{
    const struct subject_hint *h = &ss->hint;
    if (h->subject_bytes == 0) return false;
    *bytes = h->bytes;
    if (h->seq == seq) return true;
    if (!look) return false;
    const struct subject_row *row = subjects_find(ss, h->hash, subjects_hint_text(h));
    if (row == NULL) return false;
    *bytes = row->last_bytes;
    if (row->last == seq) return true;
    if (!subject_row_whole(row)) return false;
    const struct subject_item *items = subject_row_items(row);
    for (uint32_t i = 0; i < row->listed; i++) {
        *bytes = items[i].bytes;
        if (items[i].seq == seq) return true;
    }
    return false;
}
