/* check.h - assertions that stay on in release, and the one way a node dies on purpose.
 * A CHECK states what only our own bug can break; bytes from a disk, a peer or a client never reach one.
 * FATAL ends the process when the environment is gone (disk, memory): the cluster survives a stopped
 * node, not a node that answers wrongly. Each reason has an exit status of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_reason {
    EXIT_USAGE = 1,    /* flags or config are wrong, or the node can't start as asked */
    EXIT_BUG = 70,     /* a CHECK failed */
    EXIT_MEMORY = 71,  /* an allocation that can't fail did */
    EXIT_DISK = 74,    /* a write or a sync failed: never retried (design 3.2) */
    EXIT_CORRUPT = 75, /* our files are damaged, or not ours */
    EXIT_RAFT = 76,    /* the consensus core stopped */
    EXIT_FENCED = 77,  /* another process runs under this node's name */
};

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

_Noreturn void check_failed(const char *file, int line, const char *what);
_Noreturn void check_failed_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b);
_Noreturn void check_fatal(enum exit_reason reason, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define CHECK(x) ((x) ? (void)0 : check_failed(__FILE__, __LINE__, #x))
#define CHECK_EQ(a, b)                                                                             \
    ((uint64_t)(a) == (uint64_t)(b)                                                                \
         ? (void)0                                                                                 \
         : check_failed_eq(__FILE__, __LINE__, #a " == " #b, (uint64_t)(a), (uint64_t)(b)))
#ifdef NDEBUG
#define DCHECK(x) ((void)sizeof(x))
#else
#define DCHECK(x) CHECK(x)
#endif
#define FATAL(reason, ...) check_fatal(reason, __VA_ARGS__)

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ARRAY_END(a) ((a) + ARRAY_COUNT(a))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Fixed-size memory that ends the node when it can't be had. What grows with input is charged to a
 * budget before it comes here. check_alloc zeroes; check_realloc does not. */
void *check_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *check_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
char *check_strdup(const char *text) __attribute__((malloc, returns_nonnull));
