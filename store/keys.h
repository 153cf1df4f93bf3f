/* keys.h - the bytes of every key the store itself writes. Numbers are big-endian, so that keys
 * sort as numbers do.
 *
 *   data   u64 block number
 *   state  M                             meta
 *          G u32 page                    128 segments
 *          T u32 account u32 stream      counters of a stream
 *          B u32 account u32 stream u64  block map leaf, by its first sequence
 *          S u32 account u32 stream u32  subject page, by its bucket
 *          Z u32 account u32 stream      a deleted stream whose blocks are not all given back
 *          a..z ...                      rows of store/state/, under prefixes of its own
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/slice.h"

struct key {
    uint8_t at[17];
    uint8_t bytes;
};
struct key_stream {
    uint32_t account, stream;
};

static inline struct text key_text(const struct key *k)
{
    return (struct text){.at = (const char *)k->at, .bytes = k->bytes};
}

struct key keys_data(uint64_t number);
struct key keys_meta(void);
struct key keys_segments(uint32_t page);
/* kind: T, B, S or Z; the prefix of all rows of that kind of the stream. */
struct key keys_stream(char kind, struct key_stream s);
struct key keys_leaf(struct key_stream s, uint64_t first);
struct key keys_bucket(struct key_stream s, uint32_t bucket);

/* False: not such a key. */
bool keys_data_read(struct text key, uint64_t *number);
bool keys_segments_read(struct text key, uint32_t *page);
bool keys_stream_read(struct text key, char kind, struct key_stream *s);
bool keys_leaf_read(struct text key, struct key_stream s, uint64_t *first);
bool keys_bucket_read(struct text key, struct key_stream s, uint32_t *bucket);
/* May store/state/ use it? */
bool keys_foreign(struct text key);
