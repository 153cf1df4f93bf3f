/* block_map.h - which block holds a sequence of a stream, and which of its messages live: leaves in
 * sequence order, some of them resident. One that isn't is found by seeking in KV_STATE; open and
 * append don't need them. Thread: loop.
 *
 * An entry found here stays where it is until the next call; what lies below the stream's first is
 * dead whatever the bits say. Source: store.md 1.2, 5. */
#pragma once

#include "store/leaf.h"

struct block_map {
    struct leaf **leaves; /* resident ones, by page.at */
    uint32_t count, max;
    bool durable; /* some leaf may have a row in KV_STATE */
};

struct map_at {
    struct leaf *leaf;
    uint32_t index;
};
static inline struct leaf_entry *block_map_entry(const struct map_at *at)
{
    return &at->leaf->entries[at->index];
}

void block_map_close(struct store_stream *ss);
void block_map_install(struct store_stream *ss, struct leaf *from, struct leaf *to);
/* A leaf's row is durable. */
void block_map_settled(struct store_stream *ss);
/* A sealed block behind all others. Takes e.bits. */
void block_map_append(struct store_stream *ss, struct leaf_entry e);
/* The entry that covers seq; else the next one; else false. */
bool block_map_next(struct store_stream *ss, stream_seq seq, struct map_at *at);
/* The entry that covers seq; else the one before; else false. */
bool block_map_prev(struct store_stream *ss, stream_seq seq, struct map_at *at);
/* The entry that covers seq, of whose messages seq may or may not be. */
bool block_map_find(struct store_stream *ss, stream_seq seq, struct map_at *at);
/* One message is dead. True: so is the entry, and gone with its last. */
bool block_map_kill(struct store_stream *ss, struct map_at *at, stream_seq seq, uint32_t bytes);
/* `live` messages are dead at the front of the entry: those below the stream's first. */
void block_map_shrink(struct store_stream *ss, struct map_at *at, uint32_t live, uint32_t bytes);
/* The whole entry is dead. */
void block_map_drop(struct store_stream *ss, struct map_at *at);
/* The entry's messages lie in another block now, whose entry replaces it. Takes e.bits. */
void block_map_replace(struct store_stream *ss, struct map_at *at, struct leaf_entry e);
