/* frame.h - how a link's bytes are cut: a fixed header, a bounded body, a checksum over both.
 * The reader does no I/O: bytes go in where it says, frames come out, whatever the splits were. A
 * body lies in the chunk that it was read into; who keeps it takes a reference. Bytes are a peer's,
 * so every length is checked before it is used. Thread: loop.
 *
 *   u32 body bytes | u8 type | u8 lane, FRAME_MORE | u16 zero | u32 group | u32 checksum
 *
 * The checksum is the low half of XXH3-64 over the header before it and the body: TCP's own lets
 * one damaged segment in some ten million through, and this cluster votes on what it reads. */
#pragma once

#include <stdbool.h>

#include "store/base/check.h"
#include "store/base/slice.h"

#define FRAME_HEADER_BYTES 16
#define FRAME_MORE                                                                                 \
    0x80 /* in the lane byte: the next frame of this lane goes on with the same body */

struct frame {
    uint8_t type, lane;
    bool more;
    uint32_t group;
    struct slice body; /* borrowed from the reader until its next call */
};

/* Writes the header of a frame whose body is these parts. */
void frame_header(uint8_t *at, const struct frame *f, const struct slice *parts, size_t count);

struct frame_reader {
    struct slice chunk; /* what is read into */
    size_t from, to;    /* bytes of it not yet handed on */
    size_t body_bytes_max;
};

void frame_reader_init(struct frame_reader *r, size_t body_bytes_max);
void frame_reader_close(struct frame_reader *r);
/* Where the next bytes go. Never 0 bytes, as long as frame_reader_next was called until it gave 0.
 */
void *frame_reader_room(struct frame_reader *r, size_t *bytes);
/* So many bytes were put there. */
void frame_reader_took(struct frame_reader *r, size_t bytes);
/* 1: a frame; 0: not all of it is here yet. Errors, final for the link: E_MALFORMED, E_TOOBIG,
 * E_CORRUPT (the checksum). */
NODISCARD int frame_reader_next(struct frame_reader *r, struct frame *out);
