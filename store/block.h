/* block.h - consecutive messages of one stream packed in one record of KV_DATA; the bytes are
 * described in block.c. Encoding runs on the store writer, decoding on any thread. A block's own
 * checksum covers memory and our own bugs too: it is checked whenever a block is decoded. Source:
 * store.md 1.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/writer.h"
#include "store/keys.h"
#include "store/store.h"

#define BLOCK_BYTES KIB(32)  /* sealed at this size: below writing pays, above reading does */
#define BLOCK_MSGS 8192      /* sealed at this count */
#define BLOCK_SPAN_MAX 16384 /* sequences that a block with holes may cover */

/* A message in memory: its bytes lie wherever they arrived. 48 bytes, one per message in the tail.
 */
struct block_msg {
    int64_t time_ns;
    const char *header, *body, *subject;
    uint32_t header_bytes, body_bytes;
    uint32_t subject_hash; /* equal for equal subjects of a block */
    uint16_t subject_bytes;
    bool dead; /* a hole: not encoded */
};

/* Scratch of an encoder, kept between blocks. Zero-initialise; block_encoder_free at the end. */
struct block_encoder {
    struct writer out;
    uint16_t *slots; /* hash of a subject -> index in subjects, + 1 */
    uint32_t slot_mask;
    const struct block_msg **subjects; /* the first message with each */
    uint32_t subject_count, subjects_max;
    uint16_t *index; /* of each message's subject */
    uint32_t index_max;
};

/* The record of count messages from sequence first on; at least one lives. Valid until the next
 * call. */
struct text block_encode(struct block_encoder *e,
                         struct key_stream of,
                         stream_seq first,
                         const struct block_msg *msgs,
                         uint32_t count);
void block_encoder_free(struct block_encoder *e);

/* A decoded block; borrows the record's bytes. */
struct block_view {
    struct key_stream of;
    stream_seq first, last;
    uint32_t count, subjects;
    const uint8_t *entries, *present; /* present == NULL: one message per sequence */
    const uint8_t *payload;
    const uint8_t **subject_at; /* u16 length, bytes; owned */
};
/* E_CORRUPT, E_VERSION: nothing to free. */
NODISCARD int block_decode(struct text record, struct block_view *out);
void block_view_free(struct block_view *v);
/* The message of seq: its index; false: it was not stored here. */
bool block_view_find(const struct block_view *v, stream_seq seq, uint32_t *index);
/* Message at index < count, seq as given. Texts point into the record. */
void block_view_msg(const struct block_view *v, uint32_t index, struct store_msg *out);
uint32_t block_view_subject_index(const struct block_view *v, uint32_t index);
struct text block_view_subject(const struct block_view *v, uint32_t subject);
int64_t block_view_time(const struct block_view *v, uint32_t index);
