/* log_read.c - payloads from disk.
 *
 * log_read: the entry's place is noted -> the reader thread reads its pages, checks each sector,
 * compares the record's index, term, type, length and checksum -> back on the loop the index is
 * looked at again. Gone or moved meanwhile: E_NOTFOUND, whatever was read (the segment may have
 * been used again under the read). Still there and not what was read: the disk is damaged, and the
 * node stops. */
#include "raft/log_impl.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/logger.h"

/* A follower that is behind reads entry after entry: from the second in a row on, so many pages are
 * read at once, and the next ones are taken from there. */
#define AHEAD_PAGES 64u

struct read_work {
    struct list_node node;
    struct log_read *request;
    struct log_page_owner owner;
    struct log_slot slot; /* as it was when the read began */
    struct segment *segment;
    struct slice payload;
    int rc;
};

static struct read_work *work_of(struct env_job *job)
{
    return CONTAINER_OF(job, struct log_read, job)->impl;
}

/* Is each page good, of this log, and part of a batch? */
static bool
pages_good(const struct read_work *w, const uint8_t *pages, uint64_t first, size_t count)
{
    for (size_t p = 0; p < count; p++) {
        struct log_page_head head;
        const uint8_t *page = pages + p * LOG_PAGE_BYTES;
        if (!log_page_good(&w->owner, page, first + p, &head, NULL)) return false;
        if (head.kind != LOG_PAGE_BATCH || head.seq != w->slot.seq) return false;
    }
    return true;
}

static int take(struct read_work *w, uint8_t *pages)
{
    struct log_page_cursor c;
    uint8_t bytes[LOG_RECORD_BYTES];
    struct log_record record;
    log_page_seek(&c, pages, w->slot.offset % LOG_PAGE_BYTES);
    log_page_get(&c, bytes, sizeof bytes);
    struct reader r = reader_of(bytes, sizeof bytes);
    log_record_decode(&r, &record);
    if (record.kind != LOG_RECORD_ENTRY || record.type != w->slot.type) return E_CORRUPT;
    if (record.a != w->request->index || record.b != w->slot.term) return E_CORRUPT;
    if (record.bytes != w->slot.bytes) return E_CORRUPT;
    log_page_get(&c, w->payload.at, record.bytes);
    return record.c == log_record_check(&record, w->payload.at) ? 0 : E_CORRUPT;
}

/* Pages that hold a record's head and payload: as many content bytes as fit behind its start. */
static size_t pages_of(const struct log_slot *slot)
{
    uint32_t in = slot->offset % LOG_PAGE_BYTES;
    uint32_t sector = in / LOG_PAGE_SECTOR_BYTES;
    uint64_t before = (uint64_t)sector * LOG_PAGE_SECTOR_CONTENT + in % LOG_PAGE_SECTOR_BYTES;
    return log_page_count(before - LOG_PAGE_HEAD_BYTES + LOG_RECORD_BYTES + slot->bytes);
}

static int
read_pages(struct read_work *w, struct log_ahead *a, uint64_t first, size_t count, size_t ahead)
{
    size_t pages = count > ahead ? count : ahead;
    if (pages > w->segment->pages - first) pages = w->segment->pages - (size_t)first;
    if (a->pages_max < pages) {
        free(a->pages);
        a->pages = log_page_alloc(pages);
        a->pages_max = pages;
    }
    a->count = 0;
    int rc = segment_read(w->segment, first, a->pages, pages);
    if (rc != 0) return rc;
    a->seq = w->slot.seq;
    a->first = first;
    a->count = pages;
    return 0;
}

static int take_from(struct read_work *w, const struct log_ahead *a, uint64_t first, size_t count)
{
    uint8_t *pages = a->pages + (first - a->first) * LOG_PAGE_BYTES;
    return pages_good(w, pages, first, count) ? take(w, pages) : E_CORRUPT;
}

/* What was read ahead may be older than what is there now: only a page read for this entry counts
 * as damaged. */
static void read_run(struct env_job *job)
{
    struct read_work *w = work_of(job);
    struct log_ahead *a = &w->request->log->ahead;
    uint64_t first = w->slot.offset / LOG_PAGE_BYTES;
    size_t count = pages_of(&w->slot);
    w->rc = 0;
    bool follows = a->seq == w->slot.seq && first >= a->first && first <= a->first + a->count;
    if (follows && first + count <= a->first + a->count && take_from(w, a, first, count) == 0)
        return;
    w->rc = read_pages(w, a, first, count, follows ? AHEAD_PAGES : 0);
    if (w->rc == 0) w->rc = take_from(w, a, first, count);
}

static void read_done(struct env_job *job)
{
    struct log_read *request = CONTAINER_OF(job, struct log_read, job);
    struct read_work *w = request->impl;
    struct log *l = request->log;
    struct slice payload = w->payload;
    w->segment->reads--;
    const struct log_slot *now = log_run_slot(&l->index, request->index);
    bool current = now != NULL && now->term == w->slot.term && now->seq == w->slot.seq &&
                   now->offset == w->slot.offset;
    int rc = w->rc;
    if (!current) rc = E_NOTFOUND;
    if (current && rc != 0) {
        LOG_CODE(ERR, LOG_CORRUPT, "%s at %u: entry %llu can't be read: %s", w->segment->path,
                 w->slot.offset, (unsigned long long)request->index, err_text(rc));
        FATAL(EXIT_CORRUPT, "the log in %s is damaged", l->dir);
    }
    list_remove(&w->node);
    free(w);
    if (rc != 0) slice_release(&payload);
    request->done(request, rc, payload);
}

static void gone_run(struct env_job *job)
{
    (void)job;
}

static void gone_done(struct env_job *job)
{
    struct log_read *request = CONTAINER_OF(job, struct log_read, job);
    struct read_work *w = request->impl;
    struct slice payload = w->payload; /* pending when it was asked for: here already */
    int rc = w->rc;
    list_remove(&w->node);
    free(w);
    request->done(request, rc, payload);
}

static struct segment *segment_of(const struct log *l, uint32_t seq)
{
    CHECK(l->segments_count > 0);
    uint32_t first = l->segments[0]->seq;
    CHECK(seq >= first);
    CHECK(seq - first < l->segments_count);
    return l->segments[seq - first];
}

void log_read(struct log *l, struct log_read *r)
{
    struct read_work *w = check_alloc(sizeof *w);
    r->log = l;
    r->impl = w;
    w->request = r;
    w->owner = l->owner;
    list_push_back(&l->reads, &w->node);
    w->rc = log_get(l, r->index, r->term, &w->payload);
    if (w->rc != E_AGAIN) {
        r->job = (struct env_job){.run = gone_run, .done = gone_done};
        env_submit(l->env, l->reader, &r->job);
        return;
    }
    w->slot = *log_run_slot(&l->index, r->index);
    CHECK(w->slot.seq != 0); /* what is pending is cached */
    w->segment = segment_of(l, w->slot.seq);
    w->segment->reads++;
    w->payload = slice_alloc(w->slot.bytes);
    r->job = (struct env_job){.run = read_run, .done = read_done};
    env_submit(l->env, l->reader, &r->job);
}

void log_read_cancel_all(struct log *l)
{
    for (struct list_node *n; (n = list_pop_front(&l->reads)) != NULL;) {
        struct read_work *w = CONTAINER_OF(n, struct read_work, node);
        slice_release(&w->payload);
        free(w);
    }
}
