/* log_page.c - see log_page.h.
 *
 *   head, 48 bytes  u32 magic, u16 format, u8 kind, u8 0, u64 identity, u32 group, u32 place,
 *                   u32 pages, u32 content, u64 seq, u64 chain
 *   sector          496 bytes (the first: head, then content), u64 stamp, u64 check
 *   check           XXH3-64 of (XXH3-64 of the 496 bytes, stamp, sector's number in the file,
 *                   identity, group), with two bits of its last byte set: a single flipped bit
 *                   can't make it zero, which would look like a write that was cut there */
#include "raft/log_page.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base/reader.h"
#include "store/base/writer.h"

#define MAGIC 0x474c4e47u /* "GNLG" */
#define CHECK_BITS UINT64_C(0x0300000000000000)

struct trail {
    uint64_t stamp, check;
};

uint8_t *log_page_alloc(size_t pages)
{
    uint8_t *at = aligned_alloc(LOG_PAGE_BYTES, pages * LOG_PAGE_BYTES);
    if (at == NULL) FATAL(EXIT_MEMORY, "out of memory: %zu pages", pages);
    return at;
}

void log_page_seek(struct log_page_cursor *c, uint8_t *base, uint64_t offset)
{
    uint64_t in = offset % LOG_PAGE_SECTOR_BYTES;
    DCHECK(in < LOG_PAGE_SECTOR_CONTENT);
    c->at = base + offset;
    c->room = LOG_PAGE_SECTOR_CONTENT - (size_t)in;
    c->sector = (size_t)(offset % LOG_PAGE_BYTES / LOG_PAGE_SECTOR_BYTES);
}

static void next_sector(struct log_page_cursor *c)
{
    c->at += LOG_PAGE_TRAIL_BYTES;
    c->room = LOG_PAGE_SECTOR_CONTENT;
    c->sector = (c->sector + 1) % LOG_PAGE_SECTORS;
    if (c->sector != 0) return;
    c->at += LOG_PAGE_HEAD_BYTES;
    c->room -= LOG_PAGE_HEAD_BYTES;
}

void log_page_put(struct log_page_cursor *c, const void *from, size_t bytes)
{
    const uint8_t *at = from;
    while (bytes > 0) {
        if (c->room == 0) next_sector(c);
        size_t part = bytes < c->room ? bytes : c->room;
        memcpy(c->at, at, part);
        c->at += part;
        c->room -= part;
        at += part;
        bytes -= part;
    }
}

void log_page_get(struct log_page_cursor *c, void *to, size_t bytes)
{
    uint8_t *at = to;
    while (bytes > 0) {
        if (c->room == 0) next_sector(c);
        size_t part = bytes < c->room ? bytes : c->room;
        memcpy(at, c->at, part);
        c->at += part;
        c->room -= part;
        at += part;
        bytes -= part;
    }
}

void log_page_fill(struct log_page_cursor *c)
{
    for (;;) {
        memset(c->at, 0, c->room);
        c->at += c->room;
        c->room = 0;
        if (c->sector == LOG_PAGE_SECTORS - 1) return;
        next_sector(c);
    }
}

static struct trail trail_of(const uint8_t *sector)
{
    struct trail t;
    memcpy(&t, sector + LOG_PAGE_SECTOR_CONTENT, sizeof t);
    return t;
}

static uint64_t
check_of(const struct log_page_owner *owner, const uint8_t *sector, uint64_t place, uint64_t stamp)
{
    uint64_t mix[5] = {XXH3_64bits(sector, LOG_PAGE_SECTOR_CONTENT), stamp, place, owner->identity,
                       owner->group};
    return XXH3_64bits(mix, sizeof mix) | CHECK_BITS;
}

uint64_t log_page_chain(const uint8_t *page, uint64_t chain)
{
    uint64_t mix[LOG_PAGE_SECTORS + 1] = {chain};
    for (unsigned s = 0; s < LOG_PAGE_SECTORS; s++)
        mix[s + 1] = trail_of(page + s * LOG_PAGE_SECTOR_BYTES).check;
    return XXH3_64bits(mix, sizeof mix);
}

static void
head_encode(const struct log_page_owner *owner, const struct log_page_head *head, uint8_t *page)
{
    struct writer w = writer_over(page, LOG_PAGE_HEAD_BYTES);
    writer_u32(&w, MAGIC);
    writer_u16(&w, LOG_PAGE_FORMAT);
    writer_u8(&w, (uint8_t)head->kind);
    writer_u8(&w, 0);
    writer_u64(&w, owner->identity);
    writer_u32(&w, owner->group);
    writer_u32(&w, head->place);
    writer_u32(&w, head->pages);
    writer_u32(&w, head->content);
    writer_u64(&w, head->seq);
    writer_u64(&w, head->chain);
    CHECK_EQ(w.bytes, LOG_PAGE_HEAD_BYTES);
}

static bool head_decode(const uint8_t *page,
                        unsigned *format,
                        struct log_page_owner *owner,
                        struct log_page_head *head)
{
    struct reader r = reader_of(page, LOG_PAGE_HEAD_BYTES);
    if (reader_u32(&r) != MAGIC) return false;
    *format = reader_u16(&r);
    head->kind = (enum log_page_kind)reader_u8(&r);
    (void)reader_u8(&r);
    owner->identity = reader_u64(&r);
    owner->group = reader_u32(&r);
    head->place = reader_u32(&r);
    head->pages = reader_u32(&r);
    head->content = reader_u32(&r);
    head->seq = reader_u64(&r);
    head->chain = reader_u64(&r);
    return !r.bad;
}

void log_page_seal(const struct log_page_owner *owner,
                   const struct log_page_head *head,
                   uint64_t stamp,
                   uint64_t number,
                   uint8_t *base,
                   uint64_t *chain)
{
    CHECK(stamp != 0);
    struct log_page_head h = *head;
    for (h.place = 0; h.place < head->pages; h.place++) {
        uint8_t *page = base + (size_t)h.place * LOG_PAGE_BYTES;
        h.chain = *chain;
        head_encode(owner, &h, page);
        for (unsigned s = 0; s < LOG_PAGE_SECTORS; s++) {
            uint8_t *sector = page + s * LOG_PAGE_SECTOR_BYTES;
            uint64_t place = (number + h.place) * LOG_PAGE_SECTORS + s;
            struct trail t = {.stamp = stamp, .check = check_of(owner, sector, place, stamp)};
            memcpy(sector + LOG_PAGE_SECTOR_CONTENT, &t, sizeof t);
        }
        *chain = log_page_chain(page, *chain);
    }
}

static bool sectors_good(const struct log_page_owner *owner, const uint8_t *page, uint64_t number)
{
    uint64_t stamp = trail_of(page).stamp;
    for (unsigned s = 0; s < LOG_PAGE_SECTORS; s++) {
        const uint8_t *sector = page + s * LOG_PAGE_SECTOR_BYTES;
        struct trail t = trail_of(sector);
        if (t.stamp != stamp || t.stamp == 0) return false;
        if (t.check != check_of(owner, sector, number * LOG_PAGE_SECTORS + s, stamp)) return false;
    }
    return true;
}

bool log_page_good(const struct log_page_owner *owner,
                   const uint8_t *page,
                   uint64_t number,
                   struct log_page_head *out,
                   uint64_t *stamp_out)
{
    struct log_page_owner claimed;
    unsigned format;
    if (!sectors_good(owner, page, number)) return false;
    if (!head_decode(page, &format, &claimed, out) || format != LOG_PAGE_FORMAT) return false;
    if (claimed.identity != owner->identity || claimed.group != owner->group) return false;
    if (stamp_out != NULL) *stamp_out = trail_of(page).stamp;
    return true;
}

bool log_page_claim(const uint8_t *page,
                    uint64_t number,
                    unsigned *format,
                    struct log_page_owner *owner)
{
    struct log_page_head head;
    return head_decode(page, format, owner, &head) && sectors_good(owner, page, number);
}

/* Cut in the middle of a sector: what is there is the beginning of one with this stamp, the rest
 * zeros. */
static bool sector_torn(const struct log_page_owner *owner,
                        const uint8_t *sector,
                        uint64_t place,
                        uint64_t stamp,
                        size_t bytes)
{
    if (bytes <= LOG_PAGE_SECTOR_CONTENT) return true;
    struct trail t = {.stamp = stamp, .check = check_of(owner, sector, place, stamp)};
    return memcmp(sector + LOG_PAGE_SECTOR_CONTENT, &t, bytes - LOG_PAGE_SECTOR_CONTENT) == 0;
}

enum log_page_state log_page_sector(const struct log_page_owner *owner,
                                    const uint8_t *sector,
                                    uint64_t number,
                                    uint64_t stamp)
{
    struct trail t = trail_of(sector);
    if (t.stamp != 0 && t.check == check_of(owner, sector, number, t.stamp)) {
        if (t.stamp == stamp) return LOG_PAGE_NEW;
        return t.stamp > stamp ? LOG_PAGE_NEWER : LOG_PAGE_OLDER;
    }
    size_t bytes = LOG_PAGE_SECTOR_BYTES;
    while (bytes > 0 && sector[bytes - 1] == 0)
        bytes--;
    if (bytes == 0) return LOG_PAGE_ZERO;
    return sector_torn(owner, sector, number, stamp, bytes) ? LOG_PAGE_TORN : LOG_PAGE_BAD;
}

enum log_page_state log_page_judge(const struct log_page_owner *owner,
                                   const uint8_t *page,
                                   uint64_t number,
                                   uint64_t stamp,
                                   unsigned *sector_out)
{
    static const unsigned alarm[] = {[LOG_PAGE_ZERO] = 0, [LOG_PAGE_OLDER] = 1, [LOG_PAGE_NEW] = 2,
                                     [LOG_PAGE_TORN] = 3, [LOG_PAGE_NEWER] = 4, [LOG_PAGE_BAD] = 5};
    enum log_page_state worst = LOG_PAGE_ZERO;
    *sector_out = 0;
    /* Most of a young segment: the start of a node shouldn't take a look at each byte. */
    if (page[0] == 0 && memcmp(page, page + 1, LOG_PAGE_BYTES - 1) == 0) return LOG_PAGE_ZERO;
    for (unsigned s = 0; s < LOG_PAGE_SECTORS; s++) {
        enum log_page_state state = log_page_sector(owner, page + s * LOG_PAGE_SECTOR_BYTES,
                                                    number * LOG_PAGE_SECTORS + s, stamp);
        if (alarm[state] <= alarm[worst]) continue;
        worst = state;
        *sector_out = s;
    }
    return worst;
}
