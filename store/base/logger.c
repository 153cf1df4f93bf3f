/* logger.c - see logger.h. One mutex, one write(2) a line; a line that doesn't fit LINE_BYTES is
 * cut. */
#include "store/base/logger.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/base/err.h"
#include "store/base/json_out.h"

#define LINE_BYTES 8192
#define PATH_BYTES 4096

static struct {
    pthread_mutex_t mutex;
    struct logger_options options;
    char file[PATH_BYTES]; /* empty: stderr */
    int fd;
    uint64_t bytes; /* of the file */
    void (*redirect)(enum logger_level level, const char *line);
} logger = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .options = {.time = true},
    .fd = STDERR_FILENO,
};

static const struct level_row {
    const char *mark, *name;
} level_rows[] = {
    [LOGGER_FTL] = {"FTL", "fatal"}, [LOGGER_ERR] = {"ERR", "error"},
    [LOGGER_WRN] = {"WRN", "warn"},  [LOGGER_INF] = {"INF", "info"},
    [LOGGER_DBG] = {"DBG", "debug"}, [LOGGER_TRC] = {"TRC", "trace"},
};

static const char *const code_words[] = {
#define LOGGER_CODE_ROW(name, word, meaning) [LOG_##name] = (word),
    LOGGER_CODE_TABLE(LOGGER_CODE_ROW)
#undef LOGGER_CODE_ROW
};

static int file_open(const char *path, uint64_t *bytes)
{
    struct stat info;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return -1;
    *bytes = fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
    return fd;
}

static void use_fd(int fd, uint64_t bytes)
{
    if (logger.fd != STDERR_FILENO) close(logger.fd);
    logger.fd = fd;
    logger.bytes = bytes;
}

int logger_open(const struct logger_options *options)
{
    int rc = 0, fd = STDERR_FILENO;
    uint64_t bytes = 0;
    const char *file = options->file == NULL ? "" : options->file;
    pthread_mutex_lock(&logger.mutex);
    if (strlen(file) >= sizeof logger.file) rc = E_IO;
    if (rc == 0 && file[0] != 0 && (fd = file_open(file, &bytes)) < 0) rc = E_IO;
    if (rc == 0) {
        use_fd(fd, bytes);
        snprintf(logger.file, sizeof logger.file, "%s", file);
        logger.options = *options;
        logger.options.file = NULL; /* the caller's text; ours is the copy */
    }
    pthread_mutex_unlock(&logger.mutex);
    return rc;
}

static void reopen_locked(void)
{
    uint64_t bytes = 0;
    int fd = file_open(logger.file, &bytes);
    if (fd >= 0) use_fd(fd, bytes);
}

void logger_reopen(void)
{
    pthread_mutex_lock(&logger.mutex);
    if (logger.file[0] != 0) reopen_locked();
    pthread_mutex_unlock(&logger.mutex);
}

void logger_redirect(void (*to)(enum logger_level level, const char *line))
{
    pthread_mutex_lock(&logger.mutex);
    logger.redirect = to;
    pthread_mutex_unlock(&logger.mutex);
}

bool logger_wants(enum logger_level level)
{
    if (logger.options.capped && level > logger.options.least) return false;
    if (level == LOGGER_TRC) return logger.options.trace;
    if (level == LOGGER_DBG) return logger.options.debug;
    return true;
}

static bool is_rotated(const char *name, const char *base, size_t base_bytes)
{
    if (strncmp(name, base, base_bytes) != 0 || name[base_bytes] != '.') return false;
    for (const char *at = name + base_bytes; *at != 0; at++) {
        if (*at != '.' && (*at < '0' || *at > '9')) return false;
    }
    return true;
}

/* Deletes the oldest rotated file, by name, until at most files_max are left. */
static void prune_rotated(const char *dir, const char *base)
{
    for (;;) {
        char oldest[256] = "", path[PATH_BYTES + 300];
        unsigned count = 0;
        DIR *d = opendir(dir);
        if (d == NULL) return;
        for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
            if (!is_rotated(entry->d_name, base, strlen(base))) continue;
            count++;
            if (oldest[0] == 0 || strcmp(entry->d_name, oldest) < 0)
                snprintf(oldest, sizeof oldest, "%s", entry->d_name);
        }
        closedir(d);
        if (count <= logger.options.files_max) return;
        snprintf(path, sizeof path, "%s/%s", dir, oldest);
        if (unlink(path) != 0) return;
    }
}

/* The file gets the time as its suffix, as nats-server names it, and a new one begins. */
static void rotate(void)
{
    char to[PATH_BYTES + 64], stamp[32], dir[PATH_BYTES];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y.%m.%d.%H.%M.%S", &tm);
    snprintf(to, sizeof to, "%s.%s.%09ld", logger.file, stamp, now.tv_nsec);
    if (rename(logger.file, to) != 0) return;
    reopen_locked();
    if (logger.options.files_max == 0) return;
    snprintf(dir, sizeof dir, "%s", logger.file);
    char *slash = strrchr(dir, '/');
    const char *base = slash == NULL ? logger.file : logger.file + (slash - dir) + 1;
    if (slash != NULL) *slash = 0;
    prune_rotated(slash == NULL ? "." : dir, base);
}

static size_t plain_prefix(char *line, size_t bytes_max, enum logger_level level)
{
    char stamp[64] = "";
    if (logger.options.time) {
        struct timespec now;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &now);
        if (logger.options.time_utc)
            gmtime_r(&now.tv_sec, &tm);
        else
            localtime_r(&now.tv_sec, &tm);
        size_t at = strftime(stamp, sizeof stamp, " %Y/%m/%d %H:%M:%S", &tm);
        snprintf(stamp + at, sizeof stamp - at, ".%06ld", now.tv_nsec / 1000);
    }
    return (size_t)snprintf(line, bytes_max, "[%ld]%s [%s] ", (long)getpid(), stamp,
                            level_rows[level].mark);
}

static void write_line(const char *line, size_t bytes)
{
    if (logger.fd != STDERR_FILENO && logger.options.bytes_max != 0 &&
        logger.bytes + bytes > logger.options.bytes_max && logger.bytes != 0)
        rotate();
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(logger.fd, line + done, bytes - done);
        if (n <= 0) return; /* a full disk must not stop the node for its log */
        done += (size_t)n;
    }
    logger.bytes += bytes;
}

static void write_json(enum logger_level level, const char *text)
{
    /* Escaping makes a byte at most six; the rest is the frame. */
    static uint8_t room[6 * LINE_BYTES + 256];
    struct writer w = writer_over(room, sizeof room);
    struct json_out j;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    json_out_string(&j, "level", level_rows[level].name);
    json_out_string(&j, "service", "nats");
    json_out_time(&j, "time", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    json_out_string(&j, "message", text);
    json_out_object_end(&j);
    writer_u8(&w, '\n');
    write_line((const char *)w.base, w.bytes);
}

/* Formats into line from `at` on; returns the bytes in all, with room left for the newline. */
static size_t format(char *line, size_t at, enum logger_code code, const char *fmt, va_list args)
{
    const size_t end = LINE_BYTES - 2;
    int n = vsnprintf(line + at, end - at, fmt, args);
    at += n < 0 ? 0 : (size_t)n < end - at ? (size_t)n : end - at - 1;
    const char *word = code_words[code];
    size_t word_bytes = strlen(word) + 3;
    if (word[0] == 0) return at;
    if (at + word_bytes > end) at = end - word_bytes;
    return at + (size_t)snprintf(line + at, word_bytes + 1, " (%s)", word);
}

void logger_line(enum logger_level level, enum logger_code code, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;
    pthread_mutex_lock(&logger.mutex);
    bool bare = logger.redirect != NULL || logger.options.json;
    size_t at = bare ? 0 : plain_prefix(line, sizeof line, level);
    va_start(args, fmt);
    at = format(line, at, code, fmt, args);
    va_end(args);
    line[at] = 0;
    if (logger.redirect != NULL) {
        logger.redirect(level, line);
    } else if (logger.options.json) {
        write_json(level, line);
    } else {
        line[at++] = '\n';
        write_line(line, at);
    }
    pthread_mutex_unlock(&logger.mutex);
}
