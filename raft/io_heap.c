/* io_heap.c - libraft's memory. Its out-of-memory paths free twice or leak, so it never sees one:
 * the node ends instead. */
#include <raft.h>
#include <stdlib.h>

#include "raft/io.h"
#include "store/base/check.h"

static void *heap_malloc(void *data, size_t bytes)
{
    (void)data;
    return check_realloc(NULL, bytes == 0 ? 1 : bytes);
}
static void *heap_calloc(void *data, size_t count, size_t bytes)
{
    (void)data;
    CHECK(bytes == 0 || count <= SIZE_MAX / bytes);
    return check_alloc(count * bytes == 0 ? 1 : count * bytes);
}
static void *heap_realloc(void *data, void *old, size_t bytes)
{
    (void)data;
    return check_realloc(old, bytes == 0 ? 1 : bytes);
}
static void heap_free(void *data, void *at)
{
    (void)data;
    free(at);
}
static void *heap_aligned_alloc(void *data, size_t alignment, size_t bytes)
{
    (void)data;
    void *at = aligned_alloc(alignment, bytes);
    if (at == NULL) FATAL(EXIT_MEMORY, "out of memory: %zu aligned bytes", bytes);
    return at;
}
static void heap_aligned_free(void *data, size_t alignment, void *at)
{
    (void)data;
    (void)alignment;
    free(at);
}

static struct raft_heap heap = {
    .malloc = heap_malloc,
    .free = heap_free,
    .calloc = heap_calloc,
    .realloc = heap_realloc,
    .aligned_alloc = heap_aligned_alloc,
    .aligned_free = heap_aligned_free,
};

void io_heap_install(void)
{
    raft_heap_set(&heap);
}
