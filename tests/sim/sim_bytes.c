/* sim_bytes.c - see sim_bytes.h. */
#include "tests/sim/sim_bytes.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/check.h"

static const uint8_t zeros[SIM_PAGE];

void sim_bytes_free(struct sim_bytes *b)
{
    for (size_t p = 0; p < b->pages_count; p++)
        free(b->pages[p]);
    free(b->pages);
    *b = (struct sim_bytes){0};
}

void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    sim_bytes_free(to);
    to->bytes = from->bytes;
    to->pages_count = from->pages_count;
    to->pages = check_alloc((to->pages_count + 1) * sizeof(uint8_t *));
    for (size_t p = 0; p < to->pages_count; p++) {
        if (from->pages[p] == NULL) continue;
        to->pages[p] = check_alloc(SIM_PAGE);
        memcpy(to->pages[p], from->pages[p], SIM_PAGE);
    }
}

void sim_bytes_read(const struct sim_bytes *b, uint64_t offset, uint8_t *to, size_t bytes)
{
    while (bytes > 0) {
        size_t page = (size_t)(offset / SIM_PAGE), in = (size_t)(offset % SIM_PAGE);
        size_t part = SIM_PAGE - in < bytes ? SIM_PAGE - in : bytes;
        bool there = page < b->pages_count && b->pages[page] != NULL;
        memcpy(to, there ? b->pages[page] + in : zeros, part);
        to += part;
        offset += part;
        bytes -= part;
    }
}

static void grow(struct sim_bytes *b, uint64_t bytes)
{
    if (bytes <= b->bytes) return;
    size_t count = (size_t)((bytes + SIM_PAGE - 1) / SIM_PAGE);
    b->bytes = bytes;
    if (count <= b->pages_count) return;
    b->pages = check_realloc(b->pages, count * sizeof(uint8_t *));
    memset(b->pages + b->pages_count, 0, (count - b->pages_count) * sizeof(uint8_t *));
    b->pages_count = count;
}

void sim_bytes_write(struct sim_bytes *b, uint64_t offset, const uint8_t *from, size_t bytes)
{
    grow(b, offset + bytes);
    while (bytes > 0) {
        size_t page = (size_t)(offset / SIM_PAGE), in = (size_t)(offset % SIM_PAGE);
        size_t part = SIM_PAGE - in < bytes ? SIM_PAGE - in : bytes;
        if (b->pages[page] == NULL && memcmp(from, zeros, part) != 0)
            b->pages[page] = check_alloc(SIM_PAGE);
        if (b->pages[page] != NULL) memcpy(b->pages[page] + in, from, part);
        from += part;
        offset += part;
        bytes -= part;
    }
}

void sim_bytes_truncate(struct sim_bytes *b, uint64_t bytes)
{
    if (bytes >= b->bytes) {
        grow(b, bytes);
        return;
    }
    size_t count = (size_t)((bytes + SIM_PAGE - 1) / SIM_PAGE);
    for (size_t p = count; p < b->pages_count; p++)
        free(b->pages[p]);
    b->pages_count = count;
    size_t in = (size_t)(bytes % SIM_PAGE);
    if (in != 0 && b->pages[count - 1] != NULL) memset(b->pages[count - 1] + in, 0, SIM_PAGE - in);
    b->bytes = bytes;
}
