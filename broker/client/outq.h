/* outq.h - bytes on their way to one client: written once per turn of the loop, vectored, many
 * messages per system call.
 *
 * Small things are copied into blocks that grow with what is pending; large bodies are referenced.
 * An empty queue owns no memory but its short array of parts. Thread: loop. */
#pragma once

#include "cluster/net/sock.h"
#include "store/base/slice.h"

/* A body of at least so many bytes is referenced, not copied. It may keep a whole read buffer
 * alive: below this a slow client would hold many times the bytes that its pending limit counts. */
#define OUTQ_REFERENCE_BYTES KIB(8)
#define OUTQ_BLOCK_BYTES_MIN KIB(1)
#define OUTQ_BLOCK_BYTES_MAX KIB(64)

struct outq {
    struct slice *parts; /* a ring; the first may be partly written */
    uint32_t first, count, max;
    size_t bytes;      /* pending */
    uint8_t *open;     /* where the last part ends, when it lies in a block with room behind */
    size_t open_bytes; /* that room */
};

void outq_free(struct outq *q);
/* Room for up to `bytes` in one piece; outq_commit says how many were used. Nothing in between. */
uint8_t *outq_room(struct outq *q, size_t bytes);
void outq_commit(struct outq *q, const uint8_t *end);
void outq_put(struct outq *q, const void *at, size_t bytes);
/* Takes over the reference. */
void outq_slice(struct outq *q, struct slice s);
/* Writes as much as the kernel takes: what is left is in q->bytes, and `drained` will tell. E_NET.
 */
NODISCARD int outq_write(struct outq *q, struct sock *s);
