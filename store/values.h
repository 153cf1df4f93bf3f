/* values.h - the bytes of the store's small rows: meta, segments, counters of a stream.
 * Little-endian, the first byte is the format. Leaves are encoded in leaf.c, subject pages are
 * their own bytes (subject_page.c), blocks are in block.c. Decoding is bounded: E_CORRUPT,
 * E_VERSION. */
#pragma once

#include <stdint.h>

#include "store/base/check.h"
#include "store/base/units.h"
#include "store/base/writer.h"

#define VALUES_FORMAT 1
#define VALUES_SEGMENTS 128 /* segments of one row */

/* M: what all the other rows are as of. */
struct values_meta {
    log_index index;
    log_term term;
    uint64_t block_next;   /* the first number that no durable state knows */
    uint64_t segment_next; /* id of the segment that starts there */
    uint64_t hash_seed;
};

/* One segment of a G row. last == 0: there is none. */
struct values_segment {
    uint64_t first, last; /* block numbers */
    uint64_t bytes, live_bytes;
};
struct values_segments {
    struct values_segment at[VALUES_SEGMENTS];
};

/* T. */
struct values_stream {
    stream_seq first, last;
    uint64_t msgs, bytes, subjects;
    uint32_t buckets, history;
    int64_t last_ns;
};

void values_meta_encode(struct writer *w, const struct values_meta *m);
NODISCARD int values_meta_decode(struct text value, struct values_meta *out);
void values_segments_encode(struct writer *w, const struct values_segments *s);
NODISCARD int values_segments_decode(struct text value, struct values_segments *out);
void values_stream_encode(struct writer *w, const struct values_stream *s);
NODISCARD int values_stream_decode(struct text value, struct values_stream *out);
