/* store_stream.h - the life of one stream's messages: made, opened, sealed, deleted. What store.h
 * declares as store_stream_* is here too. Thread: loop. */
#pragma once

#include "store/store_types.h"

/* The open block becomes a numbered one. Nothing when no message is open. */
void store_stream_seal(struct store_stream *ss);
void store_stream_seal_all(struct store *s);
/* Numbers a block of messages that live in it, for the open segment, and queues it. Its entry is
 * the caller's. */
uint64_t store_stream_queue(struct store *s, struct tail_block *b);
/* The entry of a block about to be queued; holes become dead bits. */
struct leaf_entry store_stream_entry(const struct tail_block *b);
/* Gives back up to `max` blocks of deleted streams. */
void store_stream_give_back(struct store *s, uint32_t max);
/* Streams that were deleted but not given back before the last stop. */
NODISCARD int store_stream_load_zombies(struct store *s);
void store_stream_free(struct store_stream *ss);
