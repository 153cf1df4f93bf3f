#include "store/subject_page.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/subjects.h"
#include "store/values.h"

#define HEAD_BYTES 8
#define DATA_BYTES_MIN 256
#define SLOTS_MIN 8

static_assert(sizeof(struct subject_row) == 32, "the row is its own encoding");
static_assert(sizeof(struct subject_item) == 16, "so is an item");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pages are their own encoding");

static struct subject_page *page_of(const struct page *p)
{
    return CONTAINER_OF((void *)(uintptr_t)p, struct subject_page, page);
}

static uint32_t padded(uint32_t bytes)
{
    return (bytes + 7) & ~7u;
}

static uint32_t row_bytes(const struct subject_row *row)
{
    return (uint32_t)(sizeof *row + padded(row->subject_bytes) +
                      row->listed * sizeof(struct subject_item));
}

static struct subject_row *row_at(const struct subject_page *p, uint32_t offset)
{
    return (struct subject_row *)(void *)(p->data + offset);
}

static uint32_t offset_of(const struct subject_page *p, const struct subject_row *row)
{
    return (uint32_t)((const uint8_t *)row - p->data);
}

static void put_rows(struct subject_page *p)
{
    memcpy(p->data + 4, &p->rows, sizeof p->rows);
}

static void slot_put(struct subject_page *p, uint32_t offset)
{
    uint32_t at = row_at(p, offset)->hash & p->slot_mask;
    while (p->slots[at] != 0)
        at = (at + 1) & p->slot_mask;
    p->slots[at] = offset;
}

/* At most half full. */
static void slots_rebuild(struct subject_page *p)
{
    uint32_t slots = p->slot_mask + 1;
    while (slots < p->rows * 2)
        slots *= 2;
    if (p->slots == NULL || slots != p->slot_mask + 1) {
        free(p->slots);
        p->slots = check_alloc(slots * sizeof *p->slots);
        p->slot_mask = slots - 1;
    } else {
        memset(p->slots, 0, slots * sizeof *p->slots);
    }
    for (uint32_t at = HEAD_BYTES; at < p->used; at += row_bytes(row_at(p, at)))
        slot_put(p, at);
}

/* Rows behind `from` were moved by `by` bytes: their slots follow. */
static void slots_shift(struct subject_page *p, uint32_t from, int64_t by)
{
    for (uint32_t i = 0; i <= p->slot_mask; i++)
        if (p->slots[i] > from) p->slots[i] = (uint32_t)((int64_t)p->slots[i] + by);
}

static struct page *class_clone(const struct page *from)
{
    const struct subject_page *p = page_of(from);
    struct subject_page *c = check_alloc(sizeof *c);
    *c = *p;
    c->data = check_alloc(c->max);
    memcpy(c->data, p->data, p->used);
    size_t slots = (c->slot_mask + 1) * sizeof *c->slots;
    c->slots = check_alloc(slots);
    memcpy(c->slots, p->slots, slots);
    return &c->page;
}

static void class_install(struct page *from, struct page *to)
{
    subjects_install(from->of, (uint32_t)from->at, to == NULL ? NULL : page_of(to));
}

static void class_settled(struct page *p)
{
    subjects_settled(p->of);
}

static void class_free(struct page *p)
{
    subject_page_free(page_of(p));
}

static bool class_empty(const struct page *p)
{
    return page_of(p)->rows == 0;
}

static struct key class_key(const struct page *p)
{
    return keys_bucket(p->id, (uint32_t)p->at);
}

static struct text class_encode(const struct page *from, struct writer *scratch)
{
    (void)scratch;
    const struct subject_page *p = page_of(from);
    return (struct text){.at = (const char *)p->data, .bytes = p->used};
}

static const struct page_class subject_class = {
    .clone = class_clone,
    .install = class_install,
    .settled = class_settled,
    .free = class_free,
    .empty = class_empty,
    .key = class_key,
    .encode = class_encode,
};

static struct subject_page *
make(struct store_stream *of, struct key_stream id, uint32_t bucket, uint32_t bytes)
{
    struct subject_page *p = check_alloc(sizeof *p);
    p->page = (struct page){.class = &subject_class, .of = of, .id = id, .at = bucket};
    p->max = bytes < DATA_BYTES_MIN ? DATA_BYTES_MIN : bytes;
    p->data = check_alloc(p->max);
    p->data[0] = VALUES_FORMAT;
    p->used = HEAD_BYTES;
    p->slot_mask = SLOTS_MIN - 1;
    return p;
}

struct subject_page *
subject_page_new(struct store_stream *of, struct key_stream id, uint32_t bucket)
{
    struct subject_page *p = make(of, id, bucket, 0);
    slots_rebuild(p);
    p->page.bytes = subject_page_bytes(p);
    return p;
}

/* Walks the rows by their own lengths; each must lie within the page and make sense. */
static int check_rows(const struct subject_page *p)
{
    uint32_t rows = 0;
    for (uint32_t at = HEAD_BYTES; at < p->used; rows++) {
        if (p->used - at < sizeof(struct subject_row)) return E_CORRUPT;
        const struct subject_row *row = row_at(p, at);
        uint32_t bytes = row_bytes(row);
        if (bytes > p->used - at || row->count == 0) return E_CORRUPT;
        if (row->listed > SUBJECT_LISTED_MAX || row->listed >= row->count) return E_CORRUPT;
        if (row->first > row->last) return E_CORRUPT;
        at += bytes;
    }
    return rows == p->rows ? 0 : E_CORRUPT;
}

int subject_page_decode(struct store_stream *of,
                        struct key_stream id,
                        uint32_t bucket,
                        struct text value,
                        struct subject_page **out)
{
    if (value.bytes < HEAD_BYTES || value.bytes > UINT32_MAX / 4) return E_CORRUPT;
    if (value.at[0] != VALUES_FORMAT) return E_VERSION;
    struct subject_page *p = make(of, id, bucket, (uint32_t)value.bytes);
    memcpy(p->data, value.at, value.bytes);
    memcpy(&p->rows, p->data + 4, sizeof p->rows);
    p->used = (uint32_t)value.bytes;
    int rc = check_rows(p);
    if (rc != 0) {
        subject_page_free(p);
        return rc;
    }
    slots_rebuild(p);
    p->page.bytes = subject_page_bytes(p);
    *out = p;
    return 0;
}

void subject_page_free(struct subject_page *p)
{
    free(p->data);
    free(p->slots);
    free(p);
}

uint64_t subject_page_bytes(const struct subject_page *p)
{
    return sizeof *p + p->max + (p->slot_mask + 1) * sizeof *p->slots;
}

struct subject_row *
subject_page_find(const struct subject_page *p, uint32_t hash, struct text subject)
{
    for (uint32_t at = hash & p->slot_mask; p->slots[at] != 0; at = (at + 1) & p->slot_mask) {
        struct subject_row *row = row_at(p, p->slots[at]);
        if (row->hash == hash && text_equal(subject_row_text(row), subject)) return row;
    }
    return NULL;
}

static void data_room(struct subject_page *p, uint32_t bytes)
{
    if (p->max - p->used >= bytes) return;
    uint32_t max = p->max + p->max / 2;
    if (max < p->used + bytes) max = p->used + bytes;
    p->data = check_realloc(p->data, max);
    p->max = max;
}

struct subject_row *subject_page_add(struct subject_page *p, uint32_t hash, struct text subject)
{
    CHECK(subject.bytes <= UINT16_MAX);
    uint32_t bytes = (uint32_t)(sizeof(struct subject_row) + padded((uint32_t)subject.bytes));
    data_room(p, bytes);
    uint32_t at = p->used;
    struct subject_row *row = row_at(p, at);
    memset(row, 0, bytes);
    row->hash = hash;
    row->subject_bytes = (uint16_t)subject.bytes;
    if (subject.bytes != 0) memcpy(row + 1, subject.at, subject.bytes);
    p->used += bytes;
    p->rows++;
    put_rows(p);
    if (p->rows * 2 > p->slot_mask + 1) {
        slots_rebuild(p);
    } else {
        slot_put(p, at);
    }
    return row;
}

/* Removes a range of bytes; what lies behind closes up. */
static void cut(struct subject_page *p, uint32_t at, uint32_t bytes)
{
    memmove(p->data + at, p->data + at + bytes, p->used - at - bytes);
    p->used -= bytes;
}

void subject_page_remove(struct subject_page *p, struct subject_row *row)
{
    cut(p, offset_of(p, row), row_bytes(row));
    p->rows--;
    put_rows(p);
    slots_rebuild(p);
}

struct subject_row *
subject_page_push(struct subject_page *p, struct subject_row *row, struct subject_item item)
{
    CHECK(row->listed < SUBJECT_LISTED_MAX);
    uint32_t at = offset_of(p, row);
    data_room(p, sizeof item);
    row = row_at(p, at);
    uint32_t end = at + row_bytes(row);
    memmove(p->data + end + sizeof item, p->data + end, p->used - end);
    memcpy(p->data + end, &item, sizeof item);
    p->used += (uint32_t)sizeof item;
    row->listed++;
    slots_shift(p, at, sizeof item);
    return row;
}

void subject_page_pop(struct subject_page *p, struct subject_row *row, uint32_t index)
{
    CHECK(index < row->listed);
    uint32_t at = offset_of(p, row);
    cut(p,
        offset_of(p, row) +
            (uint32_t)((const uint8_t *)&subject_row_items(row)[index] - (const uint8_t *)row),
        sizeof(struct subject_item));
    row->listed--;
    slots_shift(p, at, -(int64_t)sizeof(struct subject_item));
}

struct subject_row *subject_page_next(const struct subject_page *p, const struct subject_row *row)
{
    uint32_t at = row == NULL ? HEAD_BYTES : offset_of(p, row) + row_bytes(row);
    return at < p->used ? row_at(p, at) : NULL;
}

struct subject_item *subject_row_items(const struct subject_row *row)
{
    return (struct subject_item *)((uintptr_t)(row + 1) + padded(row->subject_bytes));
}
