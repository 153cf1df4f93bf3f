/* store_fuzz.c - what lies in the store: blocks, leaves, subject pages, small rows. The first byte
 * says which. A block gets a good checksum first: behind it the bounds must hold alone. sources:
 * store/base/check.c store/base/err.c store/base/slice.c store/base/writer.c store/base/logger.c
 * store/base/json_out.c store/keys.c store/values.c store/block.c store/leaf.c store/subject_page.c
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/block.h"
#include "store/block_map.h"
#include "store/subjects.h"
#include "store/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes);

/* The owners' tables, which the decoders themselves don't need. */
void block_map_install(struct store_stream *ss, struct leaf *from, struct leaf *to)
{
    (void)ss;
    (void)from;
    (void)to;
}
void block_map_settled(struct store_stream *ss)
{
    (void)ss;
}
void subjects_install(struct store_stream *ss, uint32_t bucket, struct subject_page *p)
{
    (void)ss;
    (void)bucket;
    (void)p;
}
void subjects_settled(struct store_stream *ss)
{
    (void)ss;
}

static volatile uint64_t sink;

static void touch(struct text t)
{
    for (size_t i = 0; i < t.bytes; i++)
        sink += (uint8_t)t.at[i];
}

static void try_block(uint8_t *at, size_t bytes)
{
    if (bytes >= 48) {
        uint64_t sum = XXH3_64bits_withSeed(at + 48, bytes - 48, XXH3_64bits(at, 40));
        memcpy(at + 40, &sum, sizeof sum);
    }
    struct block_view v;
    if (block_decode((struct text){.at = (const char *)at, .bytes = bytes}, &v) != 0) return;
    uint32_t found = 0;
    for (stream_seq seq = v.first; seq <= v.last && seq != 0; seq++) {
        uint32_t index;
        if (!block_view_find(&v, seq, &index)) continue;
        CHECK_EQ(index, found);
        struct store_msg m;
        block_view_msg(&v, index, &m);
        touch(m.subject);
        touch(m.header);
        touch(m.body);
        found++;
    }
    CHECK_EQ(found, v.count);
    block_view_free(&v);
}

static void try_leaf(struct text value)
{
    struct leaf *l;
    if (leaf_decode(NULL, (struct key_stream){0}, 0, value, &l) != 0) return;
    struct writer w = {.grows = true};
    struct text again = l->page.class->encode(&l->page, &w);
    struct leaf *copy;
    CHECK_EQ(leaf_decode(NULL, (struct key_stream){0}, 0, again, &copy), 0);
    CHECK_EQ(copy->count, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        stream_seq first = l->entries[i].first;
        CHECK_EQ(leaf_entry_next(&l->entries[i], first), leaf_entry_next(&copy->entries[i], first));
        CHECK(leaf_find(l, first) == (int)i);
    }
    writer_free(&w);
    copy->page.class->free(&copy->page);
    l->page.class->free(&l->page);
}

static void try_subjects(struct text value)
{
    struct subject_page *p;
    if (subject_page_decode(NULL, (struct key_stream){0}, 0, value, &p) != 0) return;
    for (struct subject_row *r = subject_page_next(p, NULL); r != NULL;
         r = subject_page_next(p, r)) {
        touch(subject_row_text(r));
        CHECK(subject_page_find(p, r->hash, subject_row_text(r)) != NULL);
        for (uint32_t i = 0; i < r->listed; i++)
            sink += subject_row_items(r)[i].seq;
    }
    while (p->rows > 0)
        subject_page_remove(p, subject_page_next(p, NULL));
    CHECK_EQ(p->used, 8);
    subject_page_free(p);
}

static void try_rows(uint8_t kind, struct text value)
{
    struct values_meta meta;
    struct values_stream stream;
    static struct values_segments segments;
    struct writer w = {.grows = true};
    if (kind == 0 && values_meta_decode(value, &meta) == 0) {
        values_meta_encode(&w, &meta);
    } else if (kind == 1 && values_stream_decode(value, &stream) == 0) {
        values_stream_encode(&w, &stream);
    } else if (kind == 2 && values_segments_decode(value, &segments) == 0) {
        values_segments_encode(&w, &segments);
        struct values_segments again;
        CHECK_EQ(values_segments_decode((struct text){(const char *)w.base, w.bytes}, &again), 0);
        w.bytes = 0; /* rows may come in another order */
    }
    if (w.bytes != 0) CHECK(w.bytes == value.bytes && memcmp(w.base, value.at, w.bytes) == 0);
    writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes)
{
    if (bytes == 0) return 0;
    uint8_t *copy = check_alloc(bytes);
    memcpy(copy, at, bytes);
    struct text value = {.at = (const char *)copy + 1, .bytes = bytes - 1};
    if (copy[0] == 0) try_block(copy + 1, bytes - 1);
    if (copy[0] == 1) try_leaf(value);
    if (copy[0] == 2) try_subjects(value);
    if (copy[0] >= 3) try_rows((uint8_t)((copy[0] - 3) % 3), value);
    free(copy);
    return 0;
}
