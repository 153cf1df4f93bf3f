/* writer.h - encoding into a buffer that grows, little-endian; the counterpart of reader.h. A writer over
 * fixed memory (grows == false) CHECKs instead of growing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "store/base/check.h"
#include "store/base/slice.h"

struct writer {
    uint8_t *base;
    size_t bytes, bytes_max;
    bool grows;
};

void writer_init(struct writer *w, size_t bytes_first);
static inline struct writer writer_over(void *at, size_t bytes)
{
    return (struct writer){.base = at, .bytes_max = bytes};
}
void writer_free(struct writer *w);
void writer_grow(struct writer *w, size_t more);
/* The bytes as a slice with one reference; the writer is empty afterwards. */
struct slice writer_take(struct writer *w);

static inline uint8_t *writer_room(struct writer *w, size_t bytes)
{
    if (w->bytes_max - w->bytes < bytes) writer_grow(w, bytes);
    uint8_t *at = w->base + w->bytes;
    w->bytes += bytes;
    return at;
}
static inline void writer_put(struct writer *w, const void *at, size_t bytes)
{
    uint8_t *room = writer_room(w, bytes);
    if (bytes != 0) memcpy(room, at, bytes);
}
static inline void writer_u8(struct writer *w, uint8_t v)
{
    *writer_room(w, 1) = v;
}
static inline void writer_u16(struct writer *w, uint16_t v)
{
    memcpy(writer_room(w, sizeof v), &v, sizeof v);
}
static inline void writer_u32(struct writer *w, uint32_t v)
{
    memcpy(writer_room(w, sizeof v), &v, sizeof v);
}
static inline void writer_u64(struct writer *w, uint64_t v)
{
    memcpy(writer_room(w, sizeof v), &v, sizeof v);
}
static inline void writer_i64(struct writer *w, int64_t v)
{
    memcpy(writer_room(w, sizeof v), &v, sizeof v);
}
static inline void writer_varint(struct writer *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) writer_u8(w, (uint8_t)(v | 0x80));
    writer_u8(w, (uint8_t)v);
}
static inline void writer_text16(struct writer *w, struct text t)
{
    CHECK(t.bytes <= UINT16_MAX);
    writer_u16(w, (uint16_t)t.bytes);
    writer_put(w, t.at, t.bytes);
}
static inline void writer_text32(struct writer *w, struct text t)
{
    CHECK(t.bytes <= UINT32_MAX);
    writer_u32(w, (uint32_t)t.bytes);
    writer_put(w, t.at, t.bytes);
}
