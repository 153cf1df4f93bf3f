/* lanes.c - see lanes.h. An item is one frame: header (and a small body) in `head`, the rest in
 * slices. */
#include "cluster/lanes.h"

#include <stdlib.h>

#include "cluster/cluster.h"
#include "store/base/limits.h"

#define LANES_COPY_BYTES KIB(1) /* copying so much costs less than another part */
#define LANES_PIECE_BYTES                                                                          \
    LIMIT_STREAM_CHUNK_BYTES /* of a large body: the log stream waits for one at most */

struct lane_item {
    struct list_node node;
    uint8_t lane;
    size_t head_bytes, bytes, sent; /* bytes: head and slices */
    size_t count;
    uint8_t *head; /* behind the slices, in the same allocation */
    struct slice slices[];
};

static_assert(LANES == CLUSTER_DATA + 1, "a list for every lane");

void lanes_init(struct lanes *l)
{
    *l = (struct lanes){0};
    for (size_t i = 0; i < LANES; i++)
        list_init(&l->items[i]);
}

static void lanes_free(struct lanes *l, struct lane_item *item)
{
    if (l->current == item) l->current = NULL;
    l->bytes[item->lane] -= item->bytes - item->sent;
    for (size_t i = 0; i < item->count; i++)
        slice_release(&item->slices[i]);
    list_remove(&item->node);
    free(item);
}

void lanes_close(struct lanes *l)
{
    for (size_t i = 0; i < LANES; i++) {
        struct list_node *n;
        while ((n = list_first(&l->items[i])) != NULL) {
            lanes_free(l, CONTAINER_OF(n, struct lane_item, node));
        }
    }
}

static size_t parts_bytes(const struct slice *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    return bytes;
}

/* One frame. Takes over the references. */
static void lanes_item(struct lanes *l, const struct frame *f, struct slice *parts, size_t count)
{
    size_t body = parts_bytes(parts, count);
    bool copy = body <= LANES_COPY_BYTES;
    size_t slices = copy ? 0 : count;
    size_t head = FRAME_HEADER_BYTES + (copy ? body : 0);
    struct lane_item *item = check_alloc(sizeof *item + slices * sizeof parts[0] + head);
    item->lane = f->lane;
    item->head = (uint8_t *)&item->slices[slices];
    item->head_bytes = head;
    item->bytes = FRAME_HEADER_BYTES + body;
    item->count = slices;
    frame_header(item->head, f, parts, count);
    uint8_t *at = item->head + FRAME_HEADER_BYTES;
    for (size_t i = 0; i < count; i++) {
        if (!copy) {
            item->slices[i] = parts[i];
            continue;
        }
        if (parts[i].bytes != 0) memcpy(at, parts[i].at, parts[i].bytes);
        at += parts[i].bytes;
        slice_release(&parts[i]);
    }
    l->bytes[f->lane] += item->bytes;
    list_push_back(&l->items[f->lane], &item->node);
}

/* The next piece of a body, at most LANES_PIECE_BYTES; returns how many parts it has. Whole parts
 * move out of `parts`, the last is shared. */
static size_t lanes_cut(struct slice *parts, size_t count, size_t *at, struct slice *piece)
{
    size_t room = LANES_PIECE_BYTES, made = 0;
    while (room > 0 && *at < count) {
        struct slice *part = &parts[*at];
        if (part->bytes <= room) {
            room -= part->bytes;
            piece[made++] = *part;
            (*at)++;
            continue;
        }
        piece[made++] = slice_part(*part, 0, room);
        part->at += room;
        part->bytes -= room;
        room = 0;
    }
    return made;
}

void lanes_push(struct lanes *l, const struct frame *f, struct slice *parts, size_t count)
{
    CHECK(f->lane < LANES);
    size_t left = parts_bytes(parts, count);
    if (f->lane != CLUSTER_DATA || left <= LANES_PIECE_BYTES) {
        lanes_item(l, f, parts, count);
        return;
    }
    struct slice *piece = check_alloc((count + 1) * sizeof *piece);
    size_t at = 0;
    while (at < count) {
        size_t made = lanes_cut(parts, count, &at, piece);
        struct frame one = *f;
        one.more = at < count;
        lanes_item(l, &one, piece, made);
    }
    free(piece);
}

/* The parts of an item from where it was left. */
static size_t item_gather(const struct lane_item *item, struct sock_part *out, size_t max)
{
    size_t skip = item->sent, made = 0;
    for (size_t i = 0; i <= item->count && made < max; i++) {
        const uint8_t *at = i == 0 ? item->head : item->slices[i - 1].at;
        size_t bytes = i == 0 ? item->head_bytes : item->slices[i - 1].bytes;
        size_t cut = skip < bytes ? skip : bytes;
        skip -= cut;
        if (bytes > cut) out[made++] = (struct sock_part){.at = at + cut, .bytes = bytes - cut};
    }
    return made;
}

size_t lanes_gather(const struct lanes *l, struct sock_part *out, size_t max)
{
    size_t made = 0;
    if (l->current != NULL) made = item_gather(l->current, out, max);
    for (size_t i = 0; i < LANES; i++) {
        LIST_FOREACH (n, &l->items[i]) {
            const struct lane_item *item = CONTAINER_OF(n, struct lane_item, node);
            if (made == max) return made;
            if (item != l->current) made += item_gather(item, out + made, max - made);
        }
    }
    return made;
}

static struct lane_item *lanes_next(const struct lanes *l)
{
    if (l->current != NULL) return l->current;
    for (size_t i = 0; i < LANES; i++) {
        struct list_node *n = list_first(&l->items[i]);
        if (n != NULL) return CONTAINER_OF(n, struct lane_item, node);
    }
    return NULL;
}

void lanes_took(struct lanes *l, size_t bytes)
{
    while (bytes > 0) {
        struct lane_item *item = lanes_next(l);
        CHECK(item != NULL);
        size_t left = item->bytes - item->sent;
        size_t part = bytes < left ? bytes : left;
        bytes -= part;
        item->sent += part;
        l->bytes[item->lane] -= part;
        l->current = item;
        if (part == left) lanes_free(l, item);
    }
}

bool lanes_empty(const struct lanes *l)
{
    return lanes_next(l) == NULL;
}

bool lanes_at_edge(const struct lanes *l)
{
    return l->current == NULL;
}
