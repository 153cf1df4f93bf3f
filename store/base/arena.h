/* arena.h - memory of one request: taken piece by piece, given back at once. What a request may
 * need is bounded before it comes here (the size of its body). Thread: one. */
#pragma once

#include <stddef.h>

#include "store/base/check.h"
#include "store/base/slice.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* the newest first */
    size_t bytes;               /* of all chunks */
};

/* A zeroed struct arena is an empty one. */
void arena_free(struct arena *a);                 /* it may be used again */
void *arena_alloc(struct arena *a, size_t bytes); /* zeroed, aligned for anything */
/* A copy with a NUL behind it; never NULL. */
char *arena_string(struct arena *a, struct text t);
struct text arena_text(struct arena *a, struct text t);
char *arena_print(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
