/* map.h - hash map from bytes or u64 to pointers. Open addressing, grows by doubling, seeded by the
 * caller so that clients can't choose collisions. Keys are not copied: they live in the value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/slice.h"

struct map_slot {
    uint64_t hash;
    void *value; /* NULL: free */
};
struct map {
    struct map_slot *slots;
    size_t count, mask; /* mask + 1 slots; 0 slots until the first put */
    uint64_t seed;
    struct text (*key)(const void *value); /* NULL: keys are u64, compared by hash alone */
};

void map_init(struct map *m, uint64_t seed, struct text (*key)(const void *value));
void map_free(struct map *m); /* the slots, not the values */
/* bytes keys */
void *map_get(const struct map *m, struct text key);
void map_put(struct map *m, void *value); /* CHECK: not present */
void *map_take(struct map *m, struct text key);
/* u64 keys */
void *map_get_u64(const struct map *m, uint64_t key);
void map_put_u64(struct map *m, uint64_t key, void *value); /* CHECK: not present */
void *map_take_u64(struct map *m, uint64_t key);
/* Iteration in no useful order: never where an outcome depends on it. Start with *at = 0; NULL ends.
 * The map must not change meanwhile. */
void *map_next(const struct map *m, size_t *at);
uint64_t map_hash(uint64_t seed, struct text key);
