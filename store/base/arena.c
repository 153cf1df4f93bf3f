/* arena.c - see arena.h. */
#include "store/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES 4064
#define ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, bytes;
    char pad[ALIGN - sizeof(size_t)]; /* data begins aligned */
    char data[];
};

void arena_free(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->bytes = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    CHECK(bytes < SIZE_MAX / 2);
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *c = a->chunks;
    if (c == NULL || c->bytes - c->used < bytes) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        c = check_alloc(sizeof *c + room);
        c->bytes = room;
        c->next = a->chunks;
        a->chunks = c;
        a->bytes += room;
    }
    void *at = c->data + c->used;
    c->used += bytes;
    return at;
}

char *arena_string(struct arena *a, struct text t)
{
    char *copy = arena_alloc(a, t.bytes + 1);
    if (t.bytes != 0) memcpy(copy, t.at, t.bytes);
    return copy;
}

struct text arena_text(struct arena *a, struct text t)
{
    return (struct text){.at = arena_string(a, t), .bytes = t.bytes};
}

char *arena_print(struct arena *a, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int bytes = vasprintf(&text, fmt, args);
    va_end(args);
    if (bytes < 0) FATAL(EXIT_MEMORY, "out of memory: formatting a text");
    char *out = arena_string(a, (struct text){.at = text, .bytes = (size_t)bytes});
    free(text);
    return out;
}
