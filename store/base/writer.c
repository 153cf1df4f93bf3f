/* writer.c - see writer.h. A growing writer keeps its bytes inside a chunk from the start, so that
 * writer_take hands them over without a copy. */
#include "store/base/writer.h"

#include <stdlib.h>

#define WRITER_BYTES_MIN 64

static struct chunk *chunk_of(struct writer *w)
{
    return CONTAINER_OF(w->base, struct chunk, data);
}

/* The first bytes come with the first write, so an idle writer costs nothing when bytes_first is 0.
 */
void writer_init(struct writer *w, size_t bytes_first)
{
    *w = (struct writer){.grows = true};
    if (bytes_first != 0) writer_grow(w, bytes_first);
}

void writer_free(struct writer *w)
{
    if (w->grows && w->base != NULL) free(chunk_of(w));
    *w = (struct writer){.grows = w->grows};
}

void writer_grow(struct writer *w, size_t more)
{
    CHECK(w->grows);
    CHECK(more <= UINT32_MAX - w->bytes);
    size_t bytes_max = w->bytes_max * 2;
    if (bytes_max < WRITER_BYTES_MIN) bytes_max = WRITER_BYTES_MIN;
    if (bytes_max < w->bytes + more) bytes_max = w->bytes + more;
    struct chunk *chunk = w->base == NULL ? NULL : chunk_of(w);
    chunk = check_realloc(chunk, sizeof *chunk + bytes_max);
    w->base = chunk->data;
    w->bytes_max = bytes_max;
}

struct slice writer_take(struct writer *w)
{
    CHECK(w->grows);
    struct slice s = {0};
    if (w->base != NULL) {
        struct chunk *chunk = chunk_of(w);
        chunk->refs = 1;
        chunk->bytes = (uint32_t)w->bytes_max;
        s = (struct slice){.chunk = chunk, .at = w->base, .bytes = w->bytes};
    }
    *w = (struct writer){.grows = true};
    return s;
}
