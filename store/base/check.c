/* check.c - see check.h. */
#include "store/base/check.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/logger.h"

#define FRAMES_MAX 48

/* The trace goes to stderr even when the log is a file: a supervisor keeps both. */
static _Noreturn void die(enum exit_reason reason)
{
    if (reason == EXIT_BUG) {
        void *frames[FRAMES_MAX];
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    }
    _exit((int)reason);
}

void check_failed(const char *file, int line, const char *what)
{
    logger_line(LOGGER_FTL, LOG_NONE, "%s:%d: not true: %s", file, line, what);
    die(EXIT_BUG);
}

void check_failed_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
    logger_line(LOGGER_FTL, LOG_NONE, "%s:%d: not true: %s (%llu, %llu)", file, line, what,
                (unsigned long long)a, (unsigned long long)b);
    die(EXIT_BUG);
}

void check_fatal(enum exit_reason reason, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    logger_line(LOGGER_FTL, LOG_NONE, "%s", text);
    die(reason);
}

void *check_alloc(size_t bytes)
{
    void *at = calloc(1, bytes == 0 ? 1 : bytes);
    if (at == NULL) FATAL(EXIT_MEMORY, "out of memory: %zu bytes", bytes);
    return at;
}

void *check_realloc(void *old, size_t bytes)
{
    void *at = realloc(old, bytes == 0 ? 1 : bytes);
    if (at == NULL) FATAL(EXIT_MEMORY, "out of memory: %zu bytes", bytes);
    return at;
}

char *check_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = check_alloc(bytes);
    memcpy(copy, text, bytes);
    return copy;
}
