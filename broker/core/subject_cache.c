#include "broker/core/subject_cache.h"

#include <stdlib.h>

void subject_cache_init(struct subject_cache *c, uint64_t seed)
{
    *c = (struct subject_cache){.seed = seed};
}

static void cache_drop(struct subject_cache *c, struct cache_entry **slot)
{
    struct cache_entry *e = *slot;
    if (e == NULL) return;
    *slot = NULL;
    c->count--;
    c->pointers -= e->matches->sub_count + e->matches->member_count;
    subject_cache_release(e->matches);
    free(e);
}

void subject_cache_drop_all(struct subject_cache *c)
{
    if (c->entries == NULL) return;
    for (size_t i = 0; i < SUBJECT_CACHE_SETS * SUBJECT_CACHE_WAYS; i++) {
        cache_drop(c, &c->entries[i]);
    }
}

void subject_cache_free(struct subject_cache *c)
{
    subject_cache_drop_all(c);
    free(c->entries);
    free(c->seen);
    c->entries = NULL;
    c->seen = NULL;
}

uint64_t subject_cache_hash(const struct subject_cache *c, struct text subject)
{
    return map_hash(c->seed, subject);
}

static struct cache_entry **cache_set(struct subject_cache *c, uint64_t hash)
{
    return &c->entries[(hash % SUBJECT_CACHE_SETS) * SUBJECT_CACHE_WAYS];
}

/* Counters only grow, so their sum is the same exactly when none of them moved. */
static uint64_t cache_generation(const struct subject_cache *c, uint32_t one, uint32_t two)
{
    return (uint64_t)c->generation + c->one[one] + c->two[two];
}

static bool cache_is(const struct cache_entry *e, uint64_t hash, struct text subject)
{
    return e != NULL && e->hash == hash && e->subject_bytes == subject.bytes &&
           memcmp(e->subject, subject.at, subject.bytes) == 0;
}

struct matches *subject_cache_get(struct subject_cache *c, uint64_t hash, struct text subject)
{
    if (c->entries == NULL) return NULL;
    struct cache_entry **set = cache_set(c, hash);
    for (size_t i = 0; i < SUBJECT_CACHE_WAYS; i++) {
        struct cache_entry *e = set[i];
        if (!cache_is(e, hash, subject)) continue;
        if (e->generation == cache_generation(c, e->bucket_one, e->bucket_two)) {
            c->hits++;
            return e->matches;
        }
        cache_drop(c, &set[i]);
        return NULL;
    }
    return NULL;
}

bool subject_cache_wants(struct subject_cache *c, uint64_t hash)
{
    if (c->seen == NULL) c->seen = check_alloc(SUBJECT_CACHE_SEEN * sizeof *c->seen);
    uint32_t mark = (uint32_t)(hash >> 32) | 1;
    uint32_t *slot = &c->seen[hash % SUBJECT_CACHE_SEEN];
    if (*slot == mark) return true;
    *slot = mark;
    return false;
}

/* The buckets of a subject's first token and of its first two. */
static void
cache_buckets(struct subject_cache *c, struct text subject, uint32_t *one, uint32_t *two)
{
    const char *dot = memchr(subject.at, '.', subject.bytes);
    struct text first = subject, both = subject;
    if (dot != NULL) {
        first.bytes = (size_t)(dot - subject.at);
        size_t left = subject.bytes - first.bytes - 1;
        const char *second = left == 0 ? NULL : memchr(dot + 1, '.', left);
        if (second != NULL) both.bytes = (size_t)(second - subject.at);
    }
    *one = (uint32_t)(map_hash(c->seed, first) % SUBJECT_CACHE_BUCKETS);
    *two = (uint32_t)(map_hash(c->seed + 1, both) % SUBJECT_CACHE_BUCKETS);
}

void subject_cache_put(struct subject_cache *c,
                       uint64_t hash,
                       struct text subject,
                       struct matches *m)
{
    if (c->entries == NULL) {
        c->entries = check_alloc(SUBJECT_CACHE_SETS * SUBJECT_CACHE_WAYS * sizeof(void *));
    }
    size_t pointers = m->sub_count + m->member_count;
    if (c->pointers + pointers > SUBJECT_CACHE_POINTERS_MAX) subject_cache_drop_all(c);
    struct cache_entry *e = check_alloc(sizeof *e + subject.bytes);
    *e = (struct cache_entry){.hash = hash, .matches = m, .subject_bytes = subject.bytes};
    memcpy(e->subject, subject.at, subject.bytes);
    cache_buckets(c, subject, &e->bucket_one, &e->bucket_two);
    e->generation = cache_generation(c, e->bucket_one, e->bucket_two);
    struct cache_entry **set = cache_set(c, hash);
    size_t way = 0;
    while (way < SUBJECT_CACHE_WAYS && set[way] != NULL)
        way++;
    if (way == SUBJECT_CACHE_WAYS) way = c->turn++ % SUBJECT_CACHE_WAYS;
    cache_drop(c, &set[way]);
    set[way] = e;
    m->refs++;
    c->count++;
    c->pointers += pointers;
}

void subject_cache_changed(struct subject_cache *c, struct text subject)
{
    if (c->entries == NULL) return;
    struct text rest = subject, token;
    size_t literal = 0;
    bool wild = false;
    while (!wild && subject_token(&rest, &token)) {
        wild = subject_is_star(token) || subject_is_rest(token);
        if (!wild) literal++;
    }
    if (!wild) {
        uint64_t hash = subject_cache_hash(c, subject);
        struct cache_entry **set = cache_set(c, hash);
        for (size_t i = 0; i < SUBJECT_CACHE_WAYS; i++) {
            if (cache_is(set[i], hash, subject)) cache_drop(c, &set[i]);
        }
        return;
    }
    uint32_t one, two;
    cache_buckets(c, subject, &one, &two);
    if (literal >= 2) {
        c->two[two]++;
    } else if (literal == 1) {
        c->one[one]++;
    } else {
        c->generation++;
    }
}

void subject_cache_release(struct matches *m)
{
    CHECK(m->refs != 0);
    if (--m->refs == 0) matches_free(m);
}
