/* slice.c - see slice.h. */
#include "store/base/slice.h"

#include <stdlib.h>

#include "store/base/check.h"

struct slice slice_alloc(size_t bytes)
{
    CHECK(bytes <= UINT32_MAX);
    struct chunk *chunk = malloc(sizeof *chunk + bytes);
    if (chunk == NULL) FATAL(EXIT_MEMORY, "out of memory: a chunk of %zu bytes", bytes);
    chunk->refs = 1;
    chunk->bytes = (uint32_t)bytes;
    return (struct slice){.chunk = chunk, .at = chunk->data, .bytes = bytes};
}

struct slice slice_copy(const void *at, size_t bytes)
{
    struct slice s = slice_alloc(bytes);
    if (bytes != 0) memcpy(s.at, at, bytes);
    return s;
}

void chunk_release(struct chunk *chunk)
{
    CHECK_EQ(chunk->refs, 0);
    free(chunk);
}
