/* frame.c - see frame.h for the bytes. */
#include "cluster/frame.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/reader.h"
#include "store/base/writer.h"

#define FRAME_CHUNK_BYTES KIB(64) /* one read; larger bodies get a chunk of their own size */
#define FRAME_ROOM_BYTES KIB(4)   /* a read for less isn't worth its system call */

static void frame_encode(uint8_t *at, const struct frame *f, uint32_t body_bytes, uint32_t checksum)
{
    struct writer w = writer_over(at, FRAME_HEADER_BYTES);
    writer_u32(&w, body_bytes);
    writer_u8(&w, f->type);
    writer_u8(&w, (uint8_t)(f->lane | (f->more ? FRAME_MORE : 0)));
    writer_u16(&w, 0);
    writer_u32(&w, f->group);
    writer_u32(&w, checksum);
}

void frame_header(uint8_t *at, const struct frame *f, const struct slice *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    CHECK(bytes <= LIMIT_FRAME_BYTES);
    frame_encode(at, f, (uint32_t)bytes, 0);
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, at, FRAME_HEADER_BYTES - 4);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].bytes != 0) XXH3_64bits_update(&state, parts[i].at, parts[i].bytes);
    }
    frame_encode(at, f, (uint32_t)bytes, (uint32_t)XXH3_64bits_digest(&state));
}

void frame_reader_init(struct frame_reader *r, size_t body_bytes_max)
{
    *r = (struct frame_reader){.body_bytes_max = body_bytes_max};
}

void frame_reader_close(struct frame_reader *r)
{
    slice_release(&r->chunk);
    r->from = r->to = 0;
}

/* Bytes that the frame at `from` takes in all, as far as is known. */
static size_t frame_bytes(const struct frame_reader *r)
{
    struct reader in = reader_of(r->chunk.at + r->from, r->to - r->from);
    uint32_t body_bytes = reader_u32(&in);
    if (in.bad || body_bytes > r->body_bytes_max) return FRAME_HEADER_BYTES;
    return FRAME_HEADER_BYTES + (size_t)body_bytes;
}

/* Goes on in a chunk that holds the rest of this frame. The old one may be referenced by bodies. */
static void frame_reader_renew(struct frame_reader *r, size_t frame_total)
{
    size_t left = r->to - r->from;
    size_t bytes = FRAME_CHUNK_BYTES;
    if (r->body_bytes_max < bytes) bytes = r->body_bytes_max + FRAME_HEADER_BYTES;
    if (frame_total > bytes) bytes = frame_total;
    if (r->chunk.chunk != NULL && r->chunk.chunk->refs == 1 && r->chunk.bytes == bytes) {
        memmove(r->chunk.at, r->chunk.at + r->from, left);
    } else {
        struct slice next = slice_alloc(bytes);
        if (left != 0) memcpy(next.at, r->chunk.at + r->from, left);
        slice_release(&r->chunk);
        r->chunk = next;
    }
    r->from = 0;
    r->to = left;
}

void *frame_reader_room(struct frame_reader *r, size_t *bytes)
{
    bool ours = r->chunk.chunk != NULL && r->chunk.chunk->refs == 1;
    if (ours && r->from == r->to && r->chunk.bytes <= FRAME_CHUNK_BYTES) r->from = r->to = 0;
    size_t total = FRAME_HEADER_BYTES;
    if (r->chunk.chunk != NULL) total = frame_bytes(r);
    size_t room = r->chunk.bytes - r->to;
    bool fits = r->from + total <= r->chunk.bytes;
    bool large = total > FRAME_CHUNK_BYTES; /* its chunk ends where it ends */
    if (!fits || (room < FRAME_ROOM_BYTES && !large && r->from != 0)) frame_reader_renew(r, total);
    *bytes = r->chunk.bytes - r->to;
    CHECK(*bytes > 0);
    return r->chunk.at + r->to;
}

void frame_reader_took(struct frame_reader *r, size_t bytes)
{
    CHECK(bytes <= r->chunk.bytes - r->to);
    r->to += bytes;
}

int frame_reader_next(struct frame_reader *r, struct frame *out)
{
    if (r->to - r->from < FRAME_HEADER_BYTES) return 0;
    const uint8_t *head = r->chunk.at + r->from;
    struct reader in = reader_of(head, r->to - r->from);
    uint32_t body_bytes = reader_u32(&in);
    uint8_t type = reader_u8(&in);
    uint8_t lane = reader_u8(&in);
    uint16_t zero = reader_u16(&in);
    uint32_t group = reader_u32(&in);
    uint32_t checksum = reader_u32(&in);
    if (zero != 0) return E_MALFORMED;
    if (body_bytes > r->body_bytes_max) return E_TOOBIG;
    if (reader_left(&in) < body_bytes) return 0;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, head, FRAME_HEADER_BYTES - 4);
    XXH3_64bits_update(&state, in.at, body_bytes);
    if ((uint32_t)XXH3_64bits_digest(&state) != checksum) return E_CORRUPT;
    size_t body = r->from + FRAME_HEADER_BYTES;
    out->type = type;
    out->lane = (uint8_t)(lane & ~FRAME_MORE);
    out->more = (lane & FRAME_MORE) != 0;
    out->group = group;
    out->body =
        (struct slice){.chunk = r->chunk.chunk, .at = r->chunk.at + body, .bytes = body_bytes};
    r->from = body + body_bytes;
    return 1;
}
