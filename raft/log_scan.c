/* log_scan.c - see log_scan.h.
 *
 * The end of the log is the first page that isn't the next one of batch n. Batch n + 1 is written
 * only when n is durable, so at most one batch can be incomplete, and it is the last: from there to
 * the end of the file each sector must be of batch n, older, zero, or cut in the middle. A sector
 * stamped n + 1 says that n was durable: damage. So does one that is none of these, whether or not
 * n was acknowledged. */
#include "raft/log_scan.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/logger.h"

#define CHUNK_PAGES 256u

struct reading {
    struct log *l;
    struct log_scan *scan;
    uint8_t *chunk;
    uint32_t chunk_first, chunk_count;
    uint8_t *content; /* of the batch being read */
    size_t content_bytes, content_max;
    enum log_page_kind kind;
    uint32_t pages;
};

static int damaged(const struct reading *r, uint64_t at, const char *why)
{
    LOG_CODE(ERR, LOG_CORRUPT, "%s at %llu: %s; nothing was changed", r->scan->segment->path,
             (unsigned long long)at, why);
    return E_CORRUPT;
}

static int page_at(struct reading *r, uint32_t number, uint8_t **out)
{
    uint32_t pages = r->scan->segment->pages;
    if (number < r->chunk_first || number - r->chunk_first >= r->chunk_count) {
        uint32_t count = pages - number < CHUNK_PAGES ? pages - number : CHUNK_PAGES;
        int rc = segment_read(r->scan->segment, number, r->chunk, count);
        if (rc != 0) return rc;
        r->chunk_first = number;
        r->chunk_count = count;
    }
    *out = r->chunk + (size_t)(number - r->chunk_first) * LOG_PAGE_BYTES;
    return 0;
}

static void add_content(struct reading *r, uint8_t *page)
{
    struct log_page_cursor c;
    if (r->content_max - r->content_bytes < LOG_PAGE_CONTENT) {
        r->content_max = r->content_max * 2 + 16 * LOG_PAGE_CONTENT;
        r->content = check_realloc(r->content, r->content_max);
    }
    log_page_seek(&c, page, log_page_offset(0));
    log_page_get(&c, r->content + r->content_bytes, LOG_PAGE_CONTENT);
    r->content_bytes += LOG_PAGE_CONTENT;
}

/* A good page of batch n must also be the one that belongs here. */
static bool belongs(const struct reading *r,
                    const struct log_page_head *head,
                    uint32_t place,
                    const struct log_page_head *first,
                    uint64_t chain)
{
    uint32_t left = r->scan->segment->pages - r->scan->page;
    return (head->kind == LOG_PAGE_BATCH || head->kind == LOG_PAGE_INDEX) &&
           head->kind == first->kind && head->seq == r->scan->segment->seq &&
           head->place == place && head->pages == first->pages && head->content == first->content &&
           head->pages <= left && log_page_count(head->content) == head->pages &&
           head->chain == chain;
}

/* Reads batch n whole. E_AGAIN: it isn't, the log ends before it. */
static int read_batch(struct reading *r, uint64_t *chain)
{
    struct log_scan *scan = r->scan;
    struct log_page_head first = {0};
    r->content_bytes = 0;
    r->pages = 1;
    for (uint32_t place = 0; place < r->pages; place++) {
        uint8_t *page;
        struct log_page_head head;
        uint64_t stamp;
        uint32_t number = scan->page + place;
        if (number >= scan->segment->pages) return E_AGAIN;
        int rc = page_at(r, number, &page);
        if (rc != 0) return rc;
        if (!log_page_good(&r->l->owner, page, number, &head, &stamp) || stamp != scan->batch)
            return E_AGAIN;
        if (place == 0) first = head;
        if (!belongs(r, &head, place, &first, *chain))
            return damaged(r, (uint64_t)number * LOG_PAGE_BYTES, "a good page in a wrong place");
        *chain = log_page_chain(page, *chain);
        r->pages = head.pages;
        add_content(r, page);
    }
    r->content_bytes = first.content;
    r->kind = first.kind;
    return 0;
}

static void
keep_entry(struct reading *r, const struct log_record *record, const uint8_t *payload, uint64_t at)
{
    struct log_scan *scan = r->scan;
    struct log_slot slot = {.term = record->b,
                            .seq = scan->segment->seq,
                            .offset = (uint32_t)at,
                            .bytes = record->bytes,
                            .type = record->type};
    struct slice copy = slice_copy(payload, record->bytes);
    if (scan->run.count == 0) log_run_reset(&scan->run, record->a);
    log_run_push(&scan->run, &slot, &copy);
    log_cache_push(r->l, record->a, copy);
}

static void
keep(struct reading *r, const struct log_record *record, const uint8_t *payload, uint64_t at)
{
    struct log_scan *scan = r->scan;
    log_record_apply(record, payload, &scan->state);
    switch ((enum log_record_kind)record->kind) {
    case LOG_RECORD_ENTRY:
        keep_entry(r, record, payload, at);
        break;
    case LOG_RECORD_TRUNCATE:
        log_run_cut(&scan->run, record->a);
        log_cache_cut(r->l, record->a);
        break;
    case LOG_RECORD_RESET:
        log_run_reset(&scan->run, record->a + 1);
        log_cache_cut(r->l, 0);
        break;
    case LOG_RECORD_VOTE:
    case LOG_RECORD_FLOOR:
        break;
    }
}

static int apply_batch(struct reading *r)
{
    struct reader in = reader_of(r->content, r->content_bytes);
    uint64_t base = (uint64_t)r->scan->page * LOG_PAGE_BYTES;
    while (reader_left(&in) > 0) {
        struct log_record record;
        uint64_t at = base + log_page_offset((uint64_t)(in.at - r->content));
        log_record_decode(&in, &record);
        const uint8_t *payload = reader_bytes(&in, record.bytes);
        if (in.bad || payload == NULL) return damaged(r, at, "a record that can't be read");
        if (record.kind == LOG_RECORD_ENTRY && record.c != log_record_check(&record, payload))
            return damaged(r, at, "an entry with a bad checksum");
        if (!log_record_fits(&record, &r->scan->state))
            return damaged(r, at, "a record that doesn't follow from those before it");
        keep(r, &record, payload, at);
    }
    return in.bad ? damaged(r, base, "a record that can't be read") : 0;
}

/* From the end of the log to the end of the file: torn, or damaged? */
static int judge_tail(struct reading *r)
{
    struct log_scan *scan = r->scan;
    for (uint32_t number = scan->page; number < scan->segment->pages; number++) {
        uint8_t *page;
        unsigned sector;
        int rc = page_at(r, number, &page);
        if (rc != 0) return rc;
        enum log_page_state state =
            log_page_judge(&r->l->owner, page, number, scan->batch, &sector);
        uint64_t at = (uint64_t)number * LOG_PAGE_BYTES + sector * LOG_PAGE_SECTOR_BYTES;
        switch (state) {
        case LOG_PAGE_BAD:
            return damaged(r, at, "bad checksum");
        case LOG_PAGE_NEWER:
            return damaged(r, at, "a batch before this one is damaged");
        case LOG_PAGE_NEW:
        case LOG_PAGE_TORN:
            scan->torn_pages = number - scan->page + 1;
            break;
        case LOG_PAGE_OLDER:
        case LOG_PAGE_ZERO:
            break;
        }
    }
    return 0;
}

static int next_batch(struct reading *r)
{
    struct log_scan *scan = r->scan;
    uint64_t chain = scan->chain;
    int rc = read_batch(r, &chain);
    if (rc != 0) return rc;
    if (r->kind == LOG_PAGE_INDEX) {
        scan->sealed = true;
        scan->index_page = scan->page;
        scan->index_pages = r->pages;
    } else {
        rc = apply_batch(r);
        if (rc != 0) return rc;
    }
    scan->chain = chain;
    scan->page += r->pages;
    scan->batch++;
    return 0;
}

/* For the planted bug only: the entries of the last batch but one go too. */
static void cut_early(struct reading *r, log_index last)
{
    if (!BUG_LOG_CUT_EARLY || r->scan->torn_pages == 0 || last >= r->scan->state.last) return;
    log_run_cut(&r->scan->run, last + 1);
    log_cache_cut(r->l, last + 1);
    r->scan->state.last = last;
}

int log_scan_segment(struct log *l, uint64_t chain, struct log_scan *scan)
{
    struct reading r = {.l = l, .scan = scan, .chunk = log_page_alloc(CHUNK_PAGES)};
    uint8_t *head;
    log_index last = scan->state.last;
    int rc = page_at(&r, 0, &head);
    if (rc == 0) scan->chain = log_page_chain(head, chain);
    scan->page = 1;
    while (rc == 0 && !scan->sealed) {
        log_index before = scan->state.last;
        rc = next_batch(&r);
        if (rc == 0) last = before;
    }
    if (rc == 0 || rc == E_AGAIN) rc = judge_tail(&r);
    if (rc == 0) cut_early(&r, last);
    free(r.content);
    free(r.chunk);
    return rc;
}
