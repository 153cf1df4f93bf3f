#include "broker/client/outq.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/units.h"

#define OUTQ_WRITE_PARTS 64
#define OUTQ_RING_KEPT 64 /* a longer ring goes once it is empty */

static struct slice *part_at(struct outq *q, uint32_t n)
{
    return &q->parts[(q->first + n) & (q->max - 1)];
}

static void part_pop(struct outq *q)
{
    slice_release(part_at(q, 0));
    q->first = (q->first + 1) & (q->max - 1);
    q->count--;
    if (q->count == 0) q->open = NULL;
}

void outq_free(struct outq *q)
{
    while (q->count != 0)
        part_pop(q);
    free(q->parts);
    *q = (struct outq){0};
}

static struct slice *part_push(struct outq *q, struct slice s)
{
    if (q->count == q->max) {
        uint32_t max = q->max == 0 ? 4 : q->max * 2;
        struct slice *parts = check_alloc(max * sizeof *parts);
        for (uint32_t i = 0; i < q->count; i++)
            parts[i] = *part_at(q, i);
        free(q->parts);
        q->parts = parts;
        q->first = 0;
        q->max = max;
    }
    q->count++;
    struct slice *part = part_at(q, q->count - 1);
    *part = s;
    return part;
}

uint8_t *outq_room(struct outq *q, size_t bytes)
{
    if (q->open != NULL && q->open_bytes >= bytes) return q->open;
    size_t block_bytes = q->bytes;
    if (block_bytes < OUTQ_BLOCK_BYTES_MIN) block_bytes = OUTQ_BLOCK_BYTES_MIN;
    if (block_bytes > OUTQ_BLOCK_BYTES_MAX) block_bytes = OUTQ_BLOCK_BYTES_MAX;
    if (block_bytes < bytes) block_bytes = bytes;
    struct slice block = slice_alloc(block_bytes);
    block.bytes = 0;
    (void)part_push(q, block);
    q->open = block.at;
    q->open_bytes = block_bytes;
    return q->open;
}

void outq_commit(struct outq *q, const uint8_t *end)
{
    size_t bytes = (size_t)(end - q->open);
    CHECK(bytes <= q->open_bytes);
    part_at(q, q->count - 1)->bytes += bytes;
    q->bytes += bytes;
    q->open += bytes;
    q->open_bytes -= bytes;
}

void outq_put(struct outq *q, const void *at, size_t bytes)
{
    uint8_t *room = outq_room(q, bytes);
    if (bytes != 0) memcpy(room, at, bytes);
    outq_commit(q, room + bytes);
}

void outq_slice(struct outq *q, struct slice s)
{
    struct slice block = {0};
    uint8_t *open = q->open;
    if (open != NULL) block = *part_at(q, q->count - 1);
    (void)part_push(q, s);
    q->bytes += s.bytes;
    if (open == NULL) return;
    /* The block goes on behind the body, as a part with a reference of its own. */
    block.at = open;
    block.bytes = 0;
    (void)part_push(q, slice_ref(block));
}

static void outq_advance(struct outq *q, size_t bytes)
{
    q->bytes -= bytes;
    while (q->count != 0) {
        struct slice *part = part_at(q, 0);
        if (bytes < part->bytes) {
            part->at += bytes;
            part->bytes -= bytes;
            return;
        }
        bytes -= part->bytes;
        part_pop(q);
    }
}

int outq_write(struct outq *q, struct sock *s)
{
    while (q->bytes != 0) {
        struct sock_part parts[OUTQ_WRITE_PARTS];
        size_t count = 0, total = 0;
        for (uint32_t i = 0; i < q->count && count < OUTQ_WRITE_PARTS; i++) {
            const struct slice *part = part_at(q, i);
            if (part->bytes == 0) continue;
            parts[count++] = (struct sock_part){.at = part->at, .bytes = part->bytes};
            total += part->bytes;
        }
        ptrdiff_t taken = s->ops->write(s, parts, count);
        if (taken < 0) return E_NET;
        outq_advance(q, (size_t)taken);
        if ((size_t)taken < total) return 0;
    }
    while (q->count != 0)
        part_pop(q);
    if (q->max > OUTQ_RING_KEPT) outq_free(q);
    return 0;
}
