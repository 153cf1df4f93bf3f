/* handles.c - see handles.h. */
#include "raft/handles.h"

#include <stdlib.h>

#include "store/base/bug.h"
#include "store/base/check.h"
#include "store/base/limits.h"

#define HANDLE_MAGIC 0x4c646e48u /* "HndL" */
#define STALE_MAX 3000           /* BUG_STAGE_BY_INDEX only */

static_assert(sizeof(struct handle) == HANDLE_BYTES, "libraft copies it as bytes");

void handles_init(struct handles *h)
{
    *h = (struct handles){.id_first = 1};
}

static void drop_all(struct handles *h)
{
    for (size_t i = 0; i < h->count; i++) {
        slice_release(&h->staged[i].payload);
    }
    h->id_first += h->count;
    h->count = 0;
}

void handles_close(struct handles *h)
{
    drop_all(h);
    free(h->staged);
    h->staged = NULL;
    h->max = 0;
}

static void handle_put(uint32_t bytes, uint64_t id, void *to)
{
    struct handle handle = {.magic = HANDLE_MAGIC, .bytes = bytes, .id = id};
    memcpy(to, &handle, sizeof handle);
}

static struct handle handle_get(const void *at, size_t bytes)
{
    struct handle handle;
    CHECK_EQ(bytes, sizeof handle);
    memcpy(&handle, at, sizeof handle);
    CHECK_EQ(handle.magic, HANDLE_MAGIC);
    return handle;
}

void handles_stage(struct handles *h, log_index index, struct slice payload, void *to)
{
    if (h->count == h->max) {
        h->max = h->max == 0 ? 64 : h->max * 2;
        h->staged = check_realloc(h->staged, h->max * sizeof *h->staged);
    }
    handle_put((uint32_t)payload.bytes, h->id_first + h->count, to);
    h->staged[h->count++] = (struct staged){.index = index, .payload = payload};
}

void handles_stored(uint32_t bytes, void *to)
{
    handle_put(bytes, 0, to);
}

static struct staged *staged_at(struct handles *h, log_index index)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->staged[i].index == index && h->staged[i].payload.at != NULL) return &h->staged[i];
    }
    return NULL;
}

struct slice handles_take(struct handles *h, const void *at, size_t bytes, log_index index)
{
    struct handle handle = handle_get(at, bytes);
    struct staged *s = NULL;
    if (BUG_STAGE_BY_INDEX) {
        s = staged_at(h, index);
        CHECK(s != NULL);
    } else {
        CHECK(handle.id >= h->id_first);
        CHECK(handle.id - h->id_first < h->count);
        s = &h->staged[handle.id - h->id_first];
        CHECK_EQ(s->index, index);
        CHECK_EQ(s->payload.bytes, handle.bytes);
    }
    struct slice payload = s->payload;
    s->payload = (struct slice){0};
    return payload;
}

void handles_drop(struct handles *h)
{
    if (BUG_STAGE_BY_INDEX && h->count < STALE_MAX) return;
    drop_all(h);
}

uint32_t handles_bytes(const void *at, size_t bytes)
{
    return handle_get(at, bytes).bytes;
}
