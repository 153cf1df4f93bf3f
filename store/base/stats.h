/* stats.h - histograms on a logarithmic scale: 8 buckets per power of two, so a quantile is off by
 * at most an eighth. A counter is a plain uint64_t of its owner. Each has one writing thread; who
 * reads from another takes what it sees. */
#pragma once

#include <stdint.h>

#define STATS_BUCKETS 496 /* 8 for 0..7, then 8 for each of 61 powers of two */

struct stats_histogram {
    uint64_t count, sum, max;
    uint64_t buckets[STATS_BUCKETS];
};

void stats_add(struct stats_histogram *h, uint64_t value);
/* The smallest value of which at least per_mille thousandths of what was added are not above (its
 * bucket's upper end, at most max); 0 when nothing was added. */
uint64_t stats_quantile(const struct stats_histogram *h, unsigned per_mille);
/* How many of those added are not above value, as Prometheus' buckets count: exact at bucket ends.
 */
uint64_t stats_at_most(const struct stats_histogram *h, uint64_t value);
void stats_merge(struct stats_histogram *to, const struct stats_histogram *from);
