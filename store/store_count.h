/* store_count.h - how many messages, and which are missing. Thread: loop. store_count itself is in
 * store.h. */
#pragma once

#include "store/store_types.h"

/* As store_deleted. */
uint64_t
store_count_deleted(struct store_stream *ss, void (*each)(void *ctx, stream_seq seq), void *ctx);
