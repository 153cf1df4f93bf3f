/* segment.c - see segment.h.
 *
 *   head's content   u32 pages, u32 index_page, u32 index_pages, state (log_record.c)
 *   index's content  u64 first, u32 entries, u32 kept,
 *                    then per entry u64 term, u32 offset, u32 bytes, u8 type,
 *                    then per kept payload u64 index, u32 bytes, the bytes */
#include "raft/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"

#define ZERO_PAGES 256u /* one write while a new file is zeroed: 1 MiB */
#define INDEX_HEAD_BYTES 16u
#define INDEX_ENTRY_BYTES 17u
#define INDEX_KEPT_BYTES 12u
#define NAME_DIGITS 8
#define HEAD_CONTENT_MAX 1024u

static_assert(HEAD_CONTENT_MAX <= LOG_PAGE_CONTENT, "a segment's head is one page");

static char *path_of(const char *dir, uint32_t number)
{
    size_t bytes = strlen(dir) + NAME_DIGITS + 6;
    char *path = check_alloc(bytes);
    snprintf(path, bytes, "%s/%08x.log", dir, number);
    return path;
}

bool segment_parse_name(const char *name, uint32_t *number)
{
    if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".log") != 0) return false;
    *number = 0;
    for (unsigned d = 0; d < NAME_DIGITS; d++) {
        const char *digit = strchr("0123456789abcdef", name[d]);
        if (digit == NULL) return false;
        *number = *number << 4 | (uint32_t)(digit - "0123456789abcdef");
    }
    return true;
}

static struct segment *segment_new(struct env *env, const char *dir, uint32_t number)
{
    struct segment *s = check_alloc(sizeof *s);
    s->env = env;
    s->number = number;
    s->path = path_of(dir, number);
    return s;
}

int segment_open(struct env *env, const char *dir, uint32_t number, struct segment **out)
{
    struct segment *s = segment_new(env, dir, number);
    uint64_t bytes = 0;
    int rc = env->ops->file_open(env, s->path, ENV_READ | ENV_WRITE | ENV_DIRECT, &s->file);
    if (rc == 0) rc = env->ops->file_size(s->file, &bytes);
    if (rc == 0 && bytes / LOG_PAGE_BYTES > UINT32_MAX / LOG_PAGE_BYTES) rc = E_CORRUPT;
    if (rc != 0) {
        segment_close(s);
        return rc;
    }
    s->pages = (uint32_t)(bytes / LOG_PAGE_BYTES);
    *out = s;
    return 0;
}

static int write_zeros(struct segment *s, uint32_t pages)
{
    uint8_t *zeros = log_page_alloc(ZERO_PAGES);
    memset(zeros, 0, ZERO_PAGES * LOG_PAGE_BYTES);
    int rc = 0;
    for (uint32_t page = 0; page < pages && rc == 0; page += ZERO_PAGES) {
        uint32_t count = pages - page < ZERO_PAGES ? pages - page : ZERO_PAGES;
        rc = s->env->ops->file_write(s->file, (uint64_t)page * LOG_PAGE_BYTES, zeros,
                                     (size_t)count * LOG_PAGE_BYTES);
    }
    free(zeros);
    return rc;
}

int segment_create(struct env *env,
                   const char *dir,
                   uint32_t number,
                   uint32_t pages,
                   struct segment **out)
{
    struct segment *s = segment_new(env, dir, number);
    int rc = env->ops->file_open(
        env, s->path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_EXCL | ENV_DIRECT, &s->file);
    if (rc == 0) rc = write_zeros(s, pages);
    if (rc == 0) rc = env->ops->file_sync(s->file);
    if (rc == 0) rc = env->ops->dir_sync(env, dir);
    if (rc != 0) {
        segment_close(s);
        return rc;
    }
    s->pages = pages;
    *out = s;
    return 0;
}

void segment_close(struct segment *s)
{
    if (s == NULL) return;
    s->env->ops->file_close(s->file);
    free(s->path);
    free(s);
}

int segment_remove(struct segment *s)
{
    int rc = s->env->ops->unlink(s->env, s->path);
    segment_close(s);
    return rc;
}

int segment_read(struct segment *s, uint64_t page, uint8_t *to, size_t pages)
{
    size_t got = 0;
    int rc =
        s->env->ops->file_read(s->file, page * LOG_PAGE_BYTES, to, pages * LOG_PAGE_BYTES, &got);
    if (rc == 0 && got != pages * LOG_PAGE_BYTES) rc = E_CORRUPT;
    return rc;
}

int segment_write(struct segment *s, uint64_t page, const uint8_t *from, size_t pages)
{
    int rc = s->env->ops->file_write(s->file, page * LOG_PAGE_BYTES, from, pages * LOG_PAGE_BYTES);
    return rc == 0 ? s->env->ops->file_sync(s->file) : rc;
}

int segment_write_head(struct segment *s,
                       const struct log_page_owner *owner,
                       const struct segment_head *head,
                       uint64_t stamp,
                       uint64_t *chain)
{
    uint8_t content[HEAD_CONTENT_MAX];
    struct writer w = writer_over(content, sizeof content);
    struct log_page_cursor c;
    writer_u32(&w, head->pages);
    writer_u32(&w, head->index_page);
    writer_u32(&w, head->index_pages);
    log_record_put_state(&w, &head->state);
    uint8_t *page = log_page_alloc(1);
    log_page_seek(&c, page, log_page_offset(0));
    log_page_put(&c, content, w.bytes);
    log_page_fill(&c);
    struct log_page_head h = {
        .kind = LOG_PAGE_SEGMENT, .pages = 1, .content = (uint32_t)w.bytes, .seq = s->seq};
    log_page_seal(owner, &h, stamp, 0, page, chain);
    int rc = segment_write(s, 0, page, 1);
    free(page);
    return rc;
}

int segment_get_head(struct reader r, struct segment_head *out)
{
    out->pages = reader_u32(&r);
    out->index_page = reader_u32(&r);
    out->index_pages = reader_u32(&r);
    log_record_get_state(&r, &out->state);
    return r.bad ? E_CORRUPT : 0;
}

size_t segment_index_bytes(const struct log_run *run, size_t more_entries, size_t more_kept_bytes)
{
    return INDEX_HEAD_BYTES + (run->count + more_entries) * (INDEX_ENTRY_BYTES + INDEX_KEPT_BYTES) +
           run->kept_bytes + more_kept_bytes;
}

void segment_put_index(struct writer *w, const struct log_run *run)
{
    writer_u64(w, run->first);
    writer_u32(w, (uint32_t)run->count);
    writer_u32(w, (uint32_t)run->kept_count);
    for (size_t e = 0; e < run->count; e++) {
        const struct log_slot *slot = &run->slots[run->head + e];
        writer_u64(w, slot->term);
        writer_u32(w, slot->offset);
        writer_u32(w, slot->bytes);
        writer_u8(w, slot->type);
    }
    for (size_t k = 0; k < run->kept_count; k++) {
        const struct log_kept *kept = &run->kept[k];
        writer_u64(w, kept->index);
        writer_text32(
            w, (struct text){.at = (const char *)kept->payload.at, .bytes = kept->payload.bytes});
    }
}

static bool slot_good(const struct log_slot *slot, const struct segment *s)
{
    return slot->term != 0 && slot->type >= LOG_COMMAND && slot->type <= LOG_CHANGE &&
           slot->offset >= LOG_PAGE_BYTES && slot->offset < (uint64_t)s->pages * LOG_PAGE_BYTES &&
           slot->bytes < (uint64_t)s->pages * LOG_PAGE_BYTES;
}

/* The kept payload of entry i, which must be the next one. */
static bool get_kept(struct reader *kept, log_index i, struct slice *out)
{
    log_index index = reader_u64(kept);
    struct text payload = reader_text32(kept);
    if (kept->bad || index != i) return false;
    *out = slice_copy(payload.at, payload.bytes);
    return true;
}

int segment_get_index(struct reader r, const struct segment *s, struct log_run *out)
{
    log_index first = reader_u64(&r);
    uint32_t count = reader_u32(&r), kept_count = reader_u32(&r);
    struct reader entries = reader_sub(&r, (size_t)count * INDEX_ENTRY_BYTES);
    if (r.bad || first == 0) return E_CORRUPT;
    log_run_reset(out, first);
    for (uint32_t e = 0; e < count; e++) {
        struct log_slot slot = {.seq = s->seq};
        slot.term = reader_u64(&entries);
        slot.offset = reader_u32(&entries);
        slot.bytes = reader_u32(&entries);
        slot.type = reader_u8(&entries);
        if (entries.bad || !slot_good(&slot, s)) return E_CORRUPT;
        struct slice kept = {0};
        if (slot.type != LOG_COMMAND && !get_kept(&r, first + e, &kept)) return E_CORRUPT;
        if (slot.type != LOG_COMMAND && kept.bytes != slot.bytes) {
            slice_release(&kept);
            return E_CORRUPT;
        }
        log_run_push(out, &slot, &kept);
        slice_release(&kept);
    }
    return out->kept_count == kept_count && !r.bad ? 0 : E_CORRUPT;
}
