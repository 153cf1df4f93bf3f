/* store_read.h - finding and reading messages, wherever they lie. Thread: loop. Source: store.md 7.
 */
#pragma once

#include "store/store_types.h"

/* Where a sequence lies: in a block in memory, open or sealed, or in KV_DATA. */
struct place {
    struct tail_block *tail; /* NULL: in KV_DATA */
    bool open;               /* the tail's messages know themselves which live */
    struct map_at at;        /* not open */
    stream_seq first, last;  /* covered */
};

/* The place that covers seq, else the next one. seq is at least the stream's first. */
bool store_read_place(struct store_stream *ss, stream_seq seq, struct place *out);
/* The place that covers seq, else the one before. */
bool store_read_place_before(struct store_stream *ss, stream_seq seq, struct place *out);
/* The first live sequence in the place at or after seq; 0: none. The last at or before: the same.
 */
stream_seq store_read_live(const struct store_stream *ss, const struct place *p, stream_seq seq);
stream_seq
store_read_live_before(const struct store_stream *ss, const struct place *p, stream_seq seq);
/* The message of a live sequence of the place. E_CORRUPT, E_IO. */
NODISCARD int store_read_msg(struct store_stream *ss,
                             const struct place *p,
                             stream_seq seq,
                             struct store_cursor *c,
                             struct store_msg *out);
/* The first live sequence at or after seq; last + 1: none. */
stream_seq store_read_next_live(struct store_stream *ss, stream_seq seq);

/* As store_get, store_next, store_last, store_seq_at. */
NODISCARD int store_read_get(struct store_stream *ss,
                             stream_seq seq,
                             struct store_cursor *c,
                             struct store_msg *out);
NODISCARD int store_read_next(struct store_stream *ss,
                              stream_seq *from,
                              const struct text *filters,
                              size_t count,
                              uint32_t scan_max,
                              struct store_cursor *c,
                              struct store_msg *out);
NODISCARD int store_read_last(struct store_stream *ss,
                              struct text filter,
                              stream_seq upto,
                              struct store_cursor *c,
                              struct store_msg *out);
stream_seq store_read_seq_at(struct store_stream *ss, int64_t ns);
/* The newest message of the filter in [from, upto]; E_NOTFOUND. Scans back, whatever the rows say.
 */
NODISCARD int store_read_back(struct store_stream *ss,
                              struct text filter,
                              stream_seq from,
                              stream_seq upto,
                              struct store_cursor *c,
                              struct store_msg *out);
/* The oldest in [from, upto], by scanning. E_AGAIN after *scan_max messages: *from says where to go
 * on. */
NODISCARD int store_read_forward(struct store_stream *ss,
                                 stream_seq *from,
                                 stream_seq upto,
                                 const struct text *filters,
                                 size_t count,
                                 uint32_t scan_max,
                                 struct store_cursor *c,
                                 struct store_msg *out);
