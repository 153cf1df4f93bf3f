/* slice.h - bytes shared by reference. A slice is a range of a counted chunk; whoever keeps one beyond
 * the call that showed it takes a reference. Counts are plain: only the loop counts. A request that
 * lends a slice to another thread holds its reference until the request is back on the loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct chunk {
    uint32_t refs;
    uint32_t bytes;
    uint8_t data[];
};
struct slice {
    struct chunk *chunk; /* NULL: static or borrowed bytes, never freed */
    uint8_t *at;
    size_t bytes;
};

/* A new chunk with one reference, its bytes not initialised. Ends the node when memory is out. */
struct slice slice_alloc(size_t bytes);
struct slice slice_copy(const void *at, size_t bytes);
void chunk_release(struct chunk *chunk);

/* Another reference to the same bytes. */
static inline struct slice slice_ref(struct slice s)
{
    if (s.chunk != NULL) s.chunk->refs++;
    return s;
}
/* Part of s with a reference of its own. The range must lie within s. */
static inline struct slice slice_part(struct slice s, size_t from, size_t bytes)
{
    struct slice part = {.chunk = s.chunk, .at = s.at + from, .bytes = bytes};
    return slice_ref(part);
}
/* Gives the reference back and empties s; harmless on an empty one. */
static inline void slice_release(struct slice *s)
{
    if (s->chunk != NULL && --s->chunk->refs == 0) chunk_release(s->chunk);
    *s = (struct slice){0};
}

/* Borrowed bytes: valid for the call, or as long as the owner says. */
struct text {
    const char *at;
    size_t bytes;
};
#define TEXT(literal) ((struct text){.at = (literal), .bytes = sizeof(literal) - 1})
static inline struct text text_of(const char *z)
{
    return (struct text){.at = z, .bytes = z == NULL ? 0 : strlen(z)};
}
static inline int text_equal(struct text a, struct text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}
