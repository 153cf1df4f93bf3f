/* pool.h - objects of one size from a free list, for the hot path. With the address sanitizer each
 * object is malloc'd, so that a use after the give is found. Thread: one. */
#pragma once

#include <stddef.h>

struct pool {
    size_t object_bytes;
    size_t free_max; /* more than these go back to the system */
    size_t free_count, used, used_max;
    void *free_list;
};

void pool_init(struct pool *p, size_t object_bytes, size_t free_max);
/* All objects must have been given back (CHECK). */
void pool_free(struct pool *p);
void *pool_take(struct pool *p);              /* zeroed; ends the node when memory is out */
void pool_give(struct pool *p, void *object); /* NULL is harmless */
