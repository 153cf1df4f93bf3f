/* stats.c - see stats.h. */
#include "store/base/stats.h"

#include <stddef.h>

#include "store/base/check.h"

static size_t bucket_of(uint64_t value)
{
    if (value < 8) return (size_t)value;
    unsigned power = 63u - (unsigned)__builtin_clzll(value); /* 3 or more */
    return (power - 2) * 8u + (size_t)((value >> (power - 3)) & 7);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(size_t bucket)
{
    if (bucket < 8) return bucket;
    unsigned shift = (unsigned)(bucket / 8) - 1;
    return ((8 + (uint64_t)(bucket & 7)) << shift) + ((UINT64_C(1) << shift) - 1);
}

void stats_add(struct stats_histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max) h->max = value;
    h->buckets[bucket_of(value)]++;
}

uint64_t stats_quantile(const struct stats_histogram *h, unsigned per_mille)
{
    CHECK(per_mille <= 1000);
    if (h->count == 0) return 0;
    uint64_t wanted = h->count / 1000 * per_mille + (h->count % 1000 * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && seen != 0) return bucket_end(i) < h->max ? bucket_end(i) : h->max;
    }
    return h->max;
}

uint64_t stats_at_most(const struct stats_histogram *h, uint64_t value)
{
    uint64_t seen = 0;
    size_t last = bucket_of(value);
    for (size_t i = 0; i <= last; i++)
        seen += h->buckets[i];
    return seen;
}

void stats_merge(struct stats_histogram *to, const struct stats_histogram *from)
{
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max) to->max = from->max;
    for (size_t i = 0; i < STATS_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}
