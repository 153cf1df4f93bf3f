/* log_load.c - the log's state from its files.
 *
 * 1 Each file's first page: a good head gives the segment its place; the rest is judged in 4.
 * 2 The newest segment is read batch by batch (log_scan.c), from the state in its head, up to
 *   where the next batch would be.
 * 3 Older segments, newest first and only as far as the floor: their indexes, found by the head
 *   behind each.
 * 4 Files without a good head must be zero, or a head that was cut in the middle.
 * 5 Only when all that is well is anything changed: torn pages are zeroed, so that what is written
 *   there next can't be mixed with them; files whose making was cut short are deleted.
 *
 * Anything that doesn't fit is E_CORRUPT with a line that names file and place, and nothing is
 * changed. */
#include "raft/log_impl.h"

#include <stdlib.h>
#include <string.h>

#include "raft/log_scan.h"
#include "store/base/err.h"
#include "store/base/logger.h"

/* A file with a good head. */
struct found {
    struct segment *segment;
    struct segment_head head;
    uint64_t stamp, chain; /* of the head; chain before it */
};
/* The part of an older segment that the log still needs. */
struct part {
    struct log_run run;
    log_index to;
};
struct load {
    struct log *l;
    uint32_t *numbers;
    size_t numbers_count, numbers_max;
    struct found *found; /* ascending by seq */
    size_t found_count;
    struct segment **unclear;
    size_t unclear_count;
    struct part *parts; /* newest first */
    size_t parts_count;
    struct log_scan scan;
};

static int damaged(const struct segment *s, uint64_t at, const char *why)
{
    LOG_CODE(ERR, LOG_CORRUPT, "%s at %llu: %s; nothing was changed", s->path,
             (unsigned long long)at, why);
    return E_CORRUPT;
}

static int damaged_log(const struct load *d, const char *why)
{
    LOG_CODE(ERR, LOG_CORRUPT, "log in %s: %s; nothing was changed", d->l->dir, why);
    return E_CORRUPT;
}

/* ---- 1: files and heads ---- */

static void note_name(void *ctx, const char *name)
{
    struct load *d = ctx;
    uint32_t number;
    if (!segment_parse_name(name, &number)) return;
    if (d->numbers_count == d->numbers_max) {
        d->numbers_max = d->numbers_max == 0 ? 16 : d->numbers_max * 2;
        d->numbers = check_realloc(d->numbers, d->numbers_max * sizeof *d->numbers);
    }
    d->numbers[d->numbers_count++] = number;
}

static int take_head(struct load *d, struct segment *s, uint8_t *page, bool *good)
{
    struct found *f = &d->found[d->found_count];
    struct log_page_head head;
    uint8_t content[LOG_PAGE_CONTENT];
    struct log_page_cursor c;
    *good = log_page_good(&d->l->owner, page, 0, &head, &f->stamp);
    if (!*good) return 0;
    if (head.kind != LOG_PAGE_SEGMENT || head.pages != 1 || head.content > sizeof content)
        return damaged(s, 0, "not a segment's head");
    if (head.seq == 0 || head.seq > UINT32_MAX) return damaged(s, 0, "impossible number");
    log_page_seek(&c, page, log_page_offset(0));
    log_page_get(&c, content, head.content);
    if (segment_get_head(reader_of(content, head.content), &f->head) != 0)
        return damaged(s, 0, "a head that can't be read");
    if (f->head.pages != s->pages) return damaged(s, 0, "the file has another size");
    s->seq = (uint32_t)head.seq;
    f->chain = head.chain;
    f->segment = s;
    d->found_count++;
    return 0;
}

static int foreign(const struct load *d, const struct segment *s, const uint8_t *page)
{
    struct log_page_owner claimed;
    unsigned format;
    if (!log_page_claim(page, 0, &format, &claimed)) return 0;
    if (claimed.identity == d->l->owner.identity && claimed.group == d->l->owner.group)
        return format == LOG_PAGE_FORMAT ? 0 : E_VERSION;
    LOG_CODE(ERR, LOG_CORRUPT, "%s belongs to another node or cluster; nothing was changed",
             s->path);
    return E_FOREIGN;
}

static int open_file(struct load *d, uint32_t number, uint8_t *page)
{
    struct segment *s;
    bool good = false;
    int rc = segment_open(d->l->env, d->l->dir, number, &s);
    if (rc != 0) return rc;
    if (s->pages > 0) {
        rc = segment_read(s, 0, page, 1);
        if (rc == 0) rc = foreign(d, s, page);
        if (rc == 0) rc = take_head(d, s, page, &good);
    }
    if (rc == 0 && good) return 0;
    d->unclear[d->unclear_count++] = s; /* freed from there, also after an error */
    return rc;
}

static int by_seq(const void *a, const void *b)
{
    uint32_t x = ((const struct found *)a)->segment->seq;
    uint32_t y = ((const struct found *)b)->segment->seq;
    return (x > y) - (x < y);
}

static int open_files(struct load *d)
{
    struct env *env = d->l->env;
    int rc = env->ops->dir_list(env, d->l->dir, note_name, d);
    d->found = check_alloc((d->numbers_count + 1) * sizeof *d->found);
    d->unclear = check_alloc((d->numbers_count + 1) * sizeof(struct segment *));
    d->parts = check_alloc((d->numbers_count + 1) * sizeof *d->parts);
    uint8_t *page = log_page_alloc(1);
    d->l->number_next = 1;
    for (size_t i = 0; i < d->numbers_count && rc == 0; i++) {
        rc = open_file(d, d->numbers[i], page);
        if (d->numbers[i] >= d->l->number_next) d->l->number_next = d->numbers[i] + 1;
    }
    free(page);
    if (rc != 0) return rc;
    qsort(d->found, d->found_count, sizeof *d->found, by_seq);
    for (size_t i = 1; i < d->found_count; i++) {
        if (d->found[i].segment->seq == d->found[i - 1].segment->seq)
            return damaged(d->found[i].segment, 0, "two segments with one number");
    }
    return 0;
}

/* ---- 2: the newest segment ---- */

static int scan_newest(struct load *d)
{
    if (d->found_count == 0) {
        if (d->l->meta.seq != 0) return damaged_log(d, "its segments are missing");
        d->scan.state = (struct log_state){.first = 1};
        d->scan.batch = 1;
        return 0;
    }
    const struct found *f = &d->found[d->found_count - 1];
    if (f->segment->seq < d->l->meta.seq) return damaged_log(d, "its newest segment is missing");
    d->scan.segment = f->segment;
    d->scan.state = f->head.state;
    d->scan.batch = f->stamp + 1;
    return log_scan_segment(d->l, f->chain, &d->scan);
}

/* ---- 3: older segments ---- */

static int read_index(struct load *d,
                      const struct found *f,
                      const struct found *behind,
                      uint8_t *pages,
                      struct log_run *out)
{
    uint32_t count = behind->head.index_pages, page = behind->head.index_page;
    uint64_t stamp, chain = 0;
    struct log_page_head head = {0};
    for (uint32_t p = 0; p < count; p++) {
        const uint8_t *at = pages + (size_t)p * LOG_PAGE_BYTES;
        uint64_t place = (uint64_t)(page + p) * LOG_PAGE_BYTES;
        if (!log_page_good(&d->l->owner, at, page + p, &head, &stamp))
            return damaged(f->segment, place, "bad checksum in the index");
        if (head.kind != LOG_PAGE_INDEX || head.seq != f->segment->seq || head.place != p ||
            head.pages != count || stamp + 1 != behind->stamp || (p > 0 && head.chain != chain))
            return damaged(f->segment, place, "not the index of this segment");
        chain = log_page_chain(at, head.chain);
    }
    if (chain != behind->chain || log_page_count(head.content) != count)
        return damaged(f->segment, (uint64_t)page * LOG_PAGE_BYTES,
                       "index and next segment disagree");
    struct log_page_cursor c;
    uint8_t *content = check_alloc(head.content);
    log_page_seek(&c, pages, log_page_offset(0));
    log_page_get(&c, content, head.content);
    int rc = segment_get_index(reader_of(content, head.content), f->segment, out);
    free(content);
    if (rc != 0)
        return damaged(f->segment, (uint64_t)page * LOG_PAGE_BYTES, "an index that can't be read");
    return 0;
}

static int
load_index(struct load *d, const struct found *f, const struct found *behind, struct log_run *out)
{
    uint32_t count = behind->head.index_pages, page = behind->head.index_page;
    if (count == 0 || page == 0 || page >= f->segment->pages || count > f->segment->pages - page)
        return damaged(behind->segment, 0, "impossible place of an index");
    uint8_t *pages = log_page_alloc(count);
    int rc = segment_read(f->segment, page, pages, count);
    if (rc == 0) rc = read_index(d, f, behind, pages, out);
    free(pages);
    if (rc == 0 && out->count > 0 && log_run_last(out) != behind->head.state.last)
        rc = damaged(f->segment, 0, "index and next segment disagree on the last entry");
    return rc;
}

/* From the newest to the one that holds the floor. need: the last entry that older ones must still
 * give. */
static int load_older(struct load *d, size_t *kept)
{
    const struct log_state *s = &d->scan.state;
    log_index need = d->scan.run.count > 0 ? d->scan.run.first - 1 : s->last;
    *kept = d->found_count == 0 ? 0 : d->found_count - 1;
    while (need >= s->first) {
        if (*kept == 0) return damaged_log(d, "entries above the floor are missing");
        const struct found *f = &d->found[*kept - 1];
        struct part *part = &d->parts[d->parts_count++];
        log_run_init(&part->run, 1);
        if (f->segment->seq + 1 != d->found[*kept].segment->seq)
            return damaged(d->found[*kept].segment, 0, "the segment before it is missing");
        int rc = load_index(d, f, &d->found[*kept], &part->run);
        if (rc != 0) return rc;
        (*kept)--;
        part->to = need;
        if (part->run.count == 0 || part->run.first > need) continue;
        if (log_run_last(&part->run) < need)
            return damaged(f->segment, 0, "entries are missing behind it");
        need = part->run.first - 1;
    }
    return 0;
}

static void add_run(struct log_run *index, const struct log_run *run, log_index to)
{
    for (log_index i = index->first + index->count; i <= to; i++) {
        const struct log_slot *slot = log_run_slot(run, i);
        const struct log_kept *kept = slot->type == LOG_COMMAND ? NULL : log_run_kept(run, i);
        log_run_push(index, slot, kept == NULL ? NULL : &kept->payload);
    }
}

static void build_index(struct load *d)
{
    const struct log_state *s = &d->scan.state;
    struct log_run *index = &d->l->index;
    log_run_reset(index, s->first);
    for (size_t p = d->parts_count; p-- > 0;) {
        const struct part *part = &d->parts[p];
        if (part->run.count > 0 && part->run.first <= part->to)
            add_run(index, &part->run, part->to);
    }
    if (d->scan.run.count > 0) add_run(index, &d->scan.run, log_run_last(&d->scan.run));
    CHECK_EQ(s->last, s->first + index->count - 1);
}

/* ---- 4: files without a good head ---- */

static int judge_unclear(struct load *d, struct segment *s, uint8_t *pages, bool *torn)
{
    unsigned sector;
    *torn = false;
    if (s->pages == 0) return 0;
    int rc = segment_read(s, 0, pages, 1);
    if (rc != 0) return rc;
    enum log_page_state head = log_page_judge(&d->l->owner, pages, 0, d->scan.batch, &sector);
    uint64_t at = (uint64_t)sector * LOG_PAGE_SECTOR_BYTES;
    if (head == LOG_PAGE_BAD) return damaged(s, at, "bad checksum in its head");
    if (head == LOG_PAGE_NEWER) return damaged(s, at, "its head is newer than the log's end");
    *torn = head == LOG_PAGE_NEW || head == LOG_PAGE_TORN;
    if (s->pages < 2) return 0;
    rc = segment_read(s, 1, pages, 1);
    if (rc != 0) return rc;
    head = log_page_judge(&d->l->owner, pages, 1, d->scan.batch, &sector);
    if (head == LOG_PAGE_NEW || head == LOG_PAGE_NEWER)
        return damaged(s, 0, "its head is gone, but batches behind it are not");
    return 0;
}

static int wipe(struct segment *s, uint32_t page, uint32_t count)
{
    if (count == 0) return 0;
    uint8_t *zeros = log_page_alloc(count);
    memset(zeros, 0, (size_t)count * LOG_PAGE_BYTES);
    int rc = segment_write(s, page, zeros, count);
    free(zeros);
    return rc;
}

static int settle_unclear(struct load *d)
{
    bool *torn = check_alloc(d->unclear_count + 1);
    uint8_t *pages = log_page_alloc(1);
    int rc = 0;
    for (size_t i = 0; i < d->unclear_count && rc == 0; i++)
        rc = judge_unclear(d, d->unclear[i], pages, &torn[i]);
    /* 5: from here on things are changed. */
    while (rc == 0 && d->unclear_count > 0) {
        struct segment *s = d->unclear[--d->unclear_count];
        if (s->pages < d->l->segment_pages) {
            rc = segment_remove(s);
            continue;
        }
        if (torn[d->unclear_count]) rc = wipe(s, 0, 1);
        log_add_free(d->l, s);
    }
    if (rc == 0 && d->scan.torn_pages > 0) {
        LOG(INF, "log in %s: cut %u pages of a write that never ended, after entry %llu", d->l->dir,
            d->scan.torn_pages, (unsigned long long)d->scan.state.last);
        rc = wipe(d->scan.segment, d->scan.page, d->scan.torn_pages);
    }
    free(pages);
    free(torn);
    return rc;
}

/* ---- together ---- */

static int check_vote(const struct load *d)
{
    const struct log_vote *old = &d->l->meta.vote, *now = &d->scan.state.vote;
    if (now->term > old->term) return 0;
    if (now->term == old->term && (old->vote == 0 || now->vote == old->vote)) return 0;
    return damaged_log(d, "its vote is older than the one in meta");
}

static void adopt_segments(struct load *d, size_t kept)
{
    for (size_t i = 0; i < d->found_count; i++) {
        if (i < kept)
            log_add_free(d->l, d->found[i].segment);
        else
            log_add_segment(d->l, d->found[i].segment);
    }
    d->found_count = 0;
}

static void adopt_state(struct load *d)
{
    struct log *l = d->l;
    const struct log_state *s = &d->scan.state;
    l->written = *s;
    l->prev_term = s->prev_term;
    l->last = l->durable = s->last;
    l->vote = s->vote;
    if (BUG_LOG_VOTE_LOST) l->vote.vote = 0;
    l->next_batch = d->scan.batch;
    l->chain = d->scan.chain;
    l->open_run = d->scan.run;
    log_run_init(&d->scan.run, 1);
    l->open_page = d->scan.page;
    l->open_sealed = d->scan.sealed;
    l->index_page = d->scan.index_page;
    l->index_pages = d->scan.index_pages;
    log_cache_trim(l, s->first);
    struct log_facts *f = &l->meta.facts;
    if (s->config_index <= f->config_index) return;
    f->config_index = s->config_index;
    f->config_bytes = s->config_bytes;
    memcpy(f->config, s->config, s->config_bytes);
}

/* A new log's first segment. */
static int create_first(struct log *l)
{
    struct segment *s;
    int rc = 0;
    if (l->free_count > 0)
        s = l->free[--l->free_count];
    else
        rc = segment_create(l->env, l->dir, l->number_next++, l->segment_pages, &s);
    if (rc != 0) return rc;
    struct segment_head head = {.state = l->written, .pages = s->pages};
    log_add_segment(l, s);
    s->seq = 1;
    l->open_page = 1;
    return segment_write_head(s, &l->owner, &head, l->next_batch++, &l->chain);
}

static int load_files(struct load *d)
{
    struct log *l = d->l;
    size_t kept = 0;
    int rc = open_files(d);
    l->durable = UINT64_MAX; /* what is loaded may be evicted from the cache */
    if (rc == 0) rc = scan_newest(d);
    if (rc == 0) rc = load_older(d, &kept);
    if (rc == 0) rc = check_vote(d);
    if (rc != 0) return rc;
    build_index(d);
    rc = settle_unclear(d);
    if (rc != 0) return rc;
    adopt_segments(d, kept);
    adopt_state(d);
    if (l->segments_count == 0) rc = create_first(l);
    if (rc == 0) l->open = l->segments[l->segments_count - 1];
    return rc;
}

static void free_load(struct load *d)
{
    for (size_t i = 0; i < d->found_count; i++)
        segment_close(d->found[i].segment);
    for (size_t i = 0; i < d->unclear_count; i++)
        segment_close(d->unclear[i]);
    for (size_t i = 0; i < d->parts_count; i++)
        log_run_free(&d->parts[i].run);
    log_run_free(&d->scan.run);
    free(d->numbers);
    free(d->found);
    free(d->unclear);
    free(d->parts);
}

/* The meta file comes first, durably: segments without one are damage, not a new log. */
static int load_meta(struct log *l)
{
    int rc = meta_load(l->env, l->dir, &l->owner, &l->meta);
    if (rc != E_NOTFOUND) return rc;
    struct load d = {.l = l};
    rc = l->env->ops->dir_list(l->env, l->dir, note_name, &d);
    free(d.numbers);
    if (rc != 0) return rc;
    if (d.numbers_count > 0) return damaged_log(&d, "its meta file is missing");
    return meta_store(l->env, l->dir, &l->owner, &l->meta);
}

int log_load(struct log *l)
{
    int rc = l->env->ops->mkdir(l->env, l->dir);
    if (rc == 0) rc = load_meta(l);
    if (rc != 0) return rc;
    struct load d = {.l = l};
    log_run_init(&d.scan.run, 1);
    rc = load_files(&d);
    free_load(&d);
    return rc;
}
