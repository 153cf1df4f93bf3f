/* subject_page.h - about 32 subjects of a stream: one row each, in the bytes that also lie on disk,
 * plus a slot table that is rebuilt when the page is loaded. Rows move when the page changes: a
 * pointer is good until the next call that adds, removes, pushes or pops. Thread: loop; encode: the
 * store writer. Source: store.md 6. */
#pragma once

#include "store/pages.h"
#include "store/store.h"

#define SUBJECT_LISTED_MAX                                                                         \
    65 /* sequences that a row lists besides the last: max_msgs_per_subject 64, and one more       \
          between an append and the removal it causes */

enum { SUBJECT_FIRST_EXACT = 1 };

/* In memory and on disk (little-endian). The subject follows, padded to 8 bytes, then `listed`
 * older sequences, oldest first. */
struct subject_row {
    uint32_t hash; /* upper half of the subject's hash */
    uint32_t count;
    uint64_t last, first; /* first: a lower bound unless FIRST_EXACT */
    uint32_t last_bytes;
    uint16_t subject_bytes;
    uint8_t listed;
    uint8_t flags;
};
struct subject_item {
    uint64_t seq;
    uint32_t bytes, zero;
};

struct subject_page {
    uint32_t *slots; /* offset of a row in data; 0: free */
    uint8_t *data;   /* u8 format, 3 zero, u32 rows, rows */
    uint32_t slot_mask;
    uint32_t rows;
    uint32_t used, max; /* of data */
    struct page page;   /* page.at: the bucket */
};

struct subject_page *
subject_page_new(struct store_stream *of, struct key_stream id, uint32_t bucket);
/* E_CORRUPT, E_VERSION. */
NODISCARD int subject_page_decode(struct store_stream *of,
                                  struct key_stream id,
                                  uint32_t bucket,
                                  struct text value,
                                  struct subject_page **out);
void subject_page_free(struct subject_page *p);
uint64_t subject_page_bytes(const struct subject_page *p);

struct subject_row *
subject_page_find(const struct subject_page *p, uint32_t hash, struct text subject);
/* All members zero but hash and subject. Not present before. */
struct subject_row *subject_page_add(struct subject_page *p, uint32_t hash, struct text subject);
void subject_page_remove(struct subject_page *p, struct subject_row *row);
/* Appends a sequence to the row's list; removes the one at index. The row may move. */
struct subject_row *
subject_page_push(struct subject_page *p, struct subject_row *row, struct subject_item item);
void subject_page_pop(struct subject_page *p, struct subject_row *row, uint32_t index);
/* Start with NULL; NULL ends. */
struct subject_row *subject_page_next(const struct subject_page *p, const struct subject_row *row);

static inline struct text subject_row_text(const struct subject_row *row)
{
    return (struct text){.at = (const char *)(row + 1), .bytes = row->subject_bytes};
}
struct subject_item *subject_row_items(const struct subject_row *row);
/* The list and the last are all of the subject's messages. */
static inline bool subject_row_whole(const struct subject_row *row)
{
    return row->count == row->listed + 1u;
}
