/* log_page.h - the bytes of a page of the log: 8 sectors of 512 bytes, each with a stamp and a
 * check. A page is accepted only when all its sectors are good; the sectors exist to judge one that
 * isn't. Disks write sectors whole, so a write that was cut leaves each sector new, older or zero:
 * a torn tail. Anything else was damaged later, and is never cut off (design 3.2). Layout:
 * raft/FORMATS.md. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/check.h"

#define LOG_PAGE_BYTES 4096u
#define LOG_PAGE_SECTOR_BYTES 512u
#define LOG_PAGE_SECTORS (LOG_PAGE_BYTES / LOG_PAGE_SECTOR_BYTES)
#define LOG_PAGE_TRAIL_BYTES 16u /* u64 stamp, u64 check */
#define LOG_PAGE_SECTOR_CONTENT (LOG_PAGE_SECTOR_BYTES - LOG_PAGE_TRAIL_BYTES)
#define LOG_PAGE_HEAD_BYTES 48u /* in the first sector */
#define LOG_PAGE_CONTENT (LOG_PAGE_SECTORS * LOG_PAGE_SECTOR_CONTENT - LOG_PAGE_HEAD_BYTES)
#define LOG_PAGE_FORMAT 1u

/* Whose pages these are. Part of each check: pages of another log are never good here. */
struct log_page_owner {
    uint64_t identity;
    uint32_t group;
};
enum log_page_kind {
    LOG_PAGE_SEGMENT = 1, /* a segment's first page */
    LOG_PAGE_BATCH = 2,   /* records */
    LOG_PAGE_INDEX = 3,   /* a sealed segment's last batch */
    LOG_PAGE_META = 4,    /* a slot of the meta file */
};
struct log_page_head {
    enum log_page_kind kind;
    uint32_t place, pages, content; /* page's place in its batch, pages and bytes of the batch */
    uint64_t seq;                   /* of the segment */
    uint64_t chain;                 /* digest of all pages before this one */
};
enum log_page_state {
    LOG_PAGE_NEW,   /* good, with the stamp asked for */
    LOG_PAGE_NEWER, /* good, stamped later */
    LOG_PAGE_OLDER, /* good, from an earlier use of the place */
    LOG_PAGE_ZERO,
    LOG_PAGE_TORN, /* begins like a sector of this stamp and ends in zeros */
    LOG_PAGE_BAD,
};

/* Page-aligned memory, not initialised; ends the node when it can't be had. free() gives it back.
 */
uint8_t *log_page_alloc(size_t pages);
static inline size_t log_page_count(uint64_t content)
{
    return (size_t)((content + LOG_PAGE_CONTENT - 1) / LOG_PAGE_CONTENT);
}
/* Where byte `content` of a batch lies, from the batch's first page. */
static inline uint64_t log_page_offset(uint64_t content)
{
    uint64_t in = content % LOG_PAGE_CONTENT + LOG_PAGE_HEAD_BYTES;
    return content / LOG_PAGE_CONTENT * LOG_PAGE_BYTES +
           in / LOG_PAGE_SECTOR_CONTENT * LOG_PAGE_SECTOR_BYTES + in % LOG_PAGE_SECTOR_CONTENT;
}

/* Walks the content of consecutive pages, stepping over heads and trails. The caller knows the
 * bounds. */
struct log_page_cursor {
    uint8_t *at;
    size_t room;   /* content left in this sector */
    size_t sector; /* of the page, 0..7 */
};
/* offset: from `base`, which is the start of a page, to a content byte. */
void log_page_seek(struct log_page_cursor *c, uint8_t *base, uint64_t offset);
void log_page_put(struct log_page_cursor *c, const void *from, size_t bytes);
void log_page_get(struct log_page_cursor *c, void *to, size_t bytes);
/* Zeros the content from the cursor to the end of its page. */
void log_page_fill(struct log_page_cursor *c);

/* Puts heads, stamps and checks on head->pages pages whose content is in place. number: of the
 * first page in its file. *chain is moved on over the pages. */
void log_page_seal(const struct log_page_owner *owner,
                   const struct log_page_head *head,
                   uint64_t stamp,
                   uint64_t number,
                   uint8_t *base,
                   uint64_t *chain);
/* Is the page good throughout, of this log, with one stamp? stamp_out may be NULL. */
bool log_page_good(const struct log_page_owner *owner,
                   const uint8_t *page,
                   uint64_t number,
                   struct log_page_head *out,
                   uint64_t *stamp_out);
uint64_t log_page_chain(const uint8_t *page, uint64_t chain);
/* Format and owner as the page claims them; false: it isn't good under its own claim either. */
bool log_page_claim(const uint8_t *page,
                    uint64_t number,
                    unsigned *format,
                    struct log_page_owner *owner);
enum log_page_state log_page_sector(const struct log_page_owner *owner,
                                    const uint8_t *sector,
                                    uint64_t number,
                                    uint64_t stamp);
/* The most alarming state of the page's sectors: BAD, NEWER, TORN or NEW (something of this stamp
 * is there), else OLDER or ZERO. */
enum log_page_state log_page_judge(const struct log_page_owner *owner,
                                   const uint8_t *page,
                                   uint64_t number,
                                   uint64_t stamp,
                                   unsigned *sector_out);
