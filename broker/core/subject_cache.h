/* subject_cache.h - what literal subjects reach, kept while it stays true. Bounded: sets of four
 * entries, and a budget for what they point at.
 *
 * A subscription to a literal subject drops that one entry. One with wildcards moves a generation:
 * of all, or, where its first one or two tokens are literal (`_INBOX.x.*`), of the subjects that
 * share them; so clients that come and go don't empty the cache. A subject gets in at its second
 * sight: acks and inboxes, each published once, would only push out what is used. Thread: loop. */
#pragma once

#include "broker/core/subject_trie.h"

#define SUBJECT_CACHE_SETS 1024
#define SUBJECT_CACHE_WAYS 4
#define SUBJECT_CACHE_SEEN 4096
#define SUBJECT_CACHE_BUCKETS 1024
#define SUBJECT_CACHE_POINTERS_MAX (1u << 20) /* 8 MiB an account */

struct cache_entry {
    uint64_t hash, generation;
    struct matches *matches;
    uint32_t bucket_one, bucket_two;
    size_t subject_bytes;
    char subject[];
};
struct subject_cache {
    uint64_t seed;
    struct cache_entry **entries; /* sets x ways; allocated at the first store */
    uint32_t *seen;
    uint32_t generation, turn;
    uint32_t one[SUBJECT_CACHE_BUCKETS], two[SUBJECT_CACHE_BUCKETS];
    size_t count, pointers;
    uint64_t hits;
};

void subject_cache_init(struct subject_cache *c, uint64_t seed);
void subject_cache_free(struct subject_cache *c);
uint64_t subject_cache_hash(const struct subject_cache *c, struct text subject);
/* NULL: not there, or not true any more. */
struct matches *subject_cache_get(struct subject_cache *c, uint64_t hash, struct text subject);
/* True at the second sight: the caller then makes a result to keep. */
bool subject_cache_wants(struct subject_cache *c, uint64_t hash);
/* Takes over the result. It is freed once it is replaced and refs is 0: see subject_cache_release.
 */
void subject_cache_put(struct subject_cache *c,
                       uint64_t hash,
                       struct text subject,
                       struct matches *m);
/* A subscription to this subject came or went. */
void subject_cache_changed(struct subject_cache *c, struct text subject);
/* All of it is in doubt. */
void subject_cache_drop_all(struct subject_cache *c);
/* Gives a reference back; the last one of a result that left the cache frees it. */
void subject_cache_release(struct matches *m);
