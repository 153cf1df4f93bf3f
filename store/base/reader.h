/* reader.h - bounded decoding, little-endian: a range and a sticky flag. Check `bad` once at the end, and
 * before a value is used as length, count or index. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "store/base/slice.h"

struct reader {
    const uint8_t *at, *end;
    bool bad; /* sticky: from here on every read gives zero */
};

static inline struct reader reader_of(const void *at, size_t bytes)
{
    return (struct reader){.at = at, .end = (const uint8_t *)at + bytes, .bad = false};
}
static inline size_t reader_left(const struct reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->at);
}
/* The next bytes, or NULL when there are fewer. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t bytes)
{
    if (r->bad || (size_t)(r->end - r->at) < bytes) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += bytes;
    return at;
}
#define READER_FIXED(name, type)                                                                   \
    static inline type reader_##name(struct reader *r)                                             \
    {                                                                                              \
        type value = 0;                                                                            \
        const uint8_t *at = reader_bytes(r, sizeof value);                                         \
        if (at != NULL) memcpy(&value, at, sizeof value);                                          \
        return value;                                                                              \
    }
READER_FIXED(u8, uint8_t)
READER_FIXED(u16, uint16_t)
READER_FIXED(u32, uint32_t)
READER_FIXED(u64, uint64_t)
READER_FIXED(i64, int64_t)
#undef READER_FIXED
/* LEB128, at most 10 bytes. */
static inline uint64_t reader_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return value;
    }
    r->bad = true;
    return 0;
}
/* A reader of its own over the next bytes: a decoder can't leave its part. */
static inline struct reader reader_sub(struct reader *r, size_t bytes)
{
    const uint8_t *at = reader_bytes(r, bytes);
    if (at == NULL) return (struct reader){.at = r->end, .end = r->end, .bad = true};
    return reader_of(at, bytes);
}
/* u16 length, then bytes. */
static inline struct text reader_text16(struct reader *r)
{
    uint16_t bytes = reader_u16(r);
    const uint8_t *at = reader_bytes(r, bytes);
    return (struct text){.at = (const char *)at, .bytes = at == NULL ? 0 : bytes};
}
/* u32 length, then bytes. */
static inline struct text reader_text32(struct reader *r)
{
    uint32_t bytes = reader_u32(r);
    const uint8_t *at = reader_bytes(r, bytes);
    return (struct text){.at = (const char *)at, .bytes = at == NULL ? 0 : bytes};
}
