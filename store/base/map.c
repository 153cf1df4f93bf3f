/* map.c - see map.h. Linear probing, at most 3/4 full; a take closes the gap behind it by moving
 * back what may move, so that there are no tombstones. A u64 key is mixed by a bijection, hence two
 * keys never share a hash and the hash alone decides. */
#include "store/base/map.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/check.h"

#define SLOTS_MIN 16

void map_init(struct map *m, uint64_t seed, struct text (*key)(const void *value))
{
    *m = (struct map){.seed = seed, .key = key};
}

void map_free(struct map *m)
{
    free(m->slots);
    m->slots = NULL;
    m->count = m->mask = 0;
}

uint64_t map_hash(uint64_t seed, struct text key)
{
    return XXH3_64bits_withSeed(key.at, key.bytes, seed);
}

/* splitmix64's finaliser: invertible. */
static uint64_t mix(uint64_t seed, uint64_t x)
{
    x += seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The slot that holds the key, or NULL. key == NULL: u64, the hash decides. */
static struct map_slot *find(const struct map *m, uint64_t hash, const struct text *key)
{
    if (m->count == 0) return NULL;
    for (size_t at = hash & m->mask;; at = (at + 1) & m->mask) {
        struct map_slot *slot = &m->slots[at];
        if (slot->value == NULL) return NULL;
        if (slot->hash != hash) continue;
        if (key == NULL || text_equal(m->key(slot->value), *key)) return slot;
    }
}

static void place(struct map *m, uint64_t hash, void *value)
{
    size_t at = hash & m->mask;
    while (m->slots[at].value != NULL)
        at = (at + 1) & m->mask;
    m->slots[at] = (struct map_slot){.hash = hash, .value = value};
}

static void grow(struct map *m)
{
    struct map_slot *old = m->slots;
    size_t old_count = old == NULL ? 0 : m->mask + 1;
    size_t slots = old_count == 0 ? SLOTS_MIN : old_count * 2;
    m->slots = check_alloc(slots * sizeof *m->slots);
    m->mask = slots - 1;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].value != NULL) place(m, old[i].hash, old[i].value);
    }
    free(old);
}

static void insert(struct map *m, uint64_t hash, void *value)
{
    CHECK(value != NULL);
    if (m->slots == NULL || (m->count + 1) * 4 > (m->mask + 1) * 3) grow(m);
    place(m, hash, value);
    m->count++;
}

static void *take(struct map *m, struct map_slot *slot)
{
    if (slot == NULL) return NULL;
    void *value = slot->value;
    size_t gap = (size_t)(slot - m->slots);
    for (size_t at = (gap + 1) & m->mask; m->slots[at].value != NULL; at = (at + 1) & m->mask) {
        size_t home = m->slots[at].hash & m->mask;
        /* Moves back only if its home isn't between the gap and itself. */
        if (((at - home) & m->mask) < ((at - gap) & m->mask)) continue;
        m->slots[gap] = m->slots[at];
        gap = at;
    }
    m->slots[gap] = (struct map_slot){0};
    m->count--;
    return value;
}

void *map_get(const struct map *m, struct text key)
{
    struct map_slot *slot = find(m, m->count == 0 ? 0 : map_hash(m->seed, key), &key);
    return slot == NULL ? NULL : slot->value;
}

void map_put(struct map *m, void *value)
{
    CHECK(m->key != NULL);
    struct text key = m->key(value);
    uint64_t hash = map_hash(m->seed, key);
    CHECK(find(m, hash, &key) == NULL);
    insert(m, hash, value);
}

void *map_take(struct map *m, struct text key)
{
    return take(m, find(m, m->count == 0 ? 0 : map_hash(m->seed, key), &key));
}

void *map_get_u64(const struct map *m, uint64_t key)
{
    struct map_slot *slot = find(m, mix(m->seed, key), NULL);
    return slot == NULL ? NULL : slot->value;
}

void map_put_u64(struct map *m, uint64_t key, void *value)
{
    CHECK(m->key == NULL);
    uint64_t hash = mix(m->seed, key);
    CHECK(find(m, hash, NULL) == NULL);
    insert(m, hash, value);
}

void *map_take_u64(struct map *m, uint64_t key)
{
    return take(m, find(m, mix(m->seed, key), NULL));
}

void *map_next(const struct map *m, size_t *at)
{
    if (m->slots == NULL) return NULL;
    while (*at <= m->mask) {
        void *value = m->slots[(*at)++].value;
        if (value != NULL) return value;
    }
    return NULL;
}
