/* log_rig.h - one log on a real folder, with faults, for the tests of the log. Each program uses a
 * part. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/log.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define SEGMENT_BYTES (64u << 10)
#define IDENTITY 0x1234567890abcdefull

struct rig {
    struct env *env;
    struct env_timer poll;
    char dir[64];
    struct log *log;
    log_index announced;
    uint64_t votes;
};
static struct rig rig __attribute__((unused));
static struct env_ops ops __attribute__((unused)); /* the real ones, with faults */
static const struct env_ops *real_ops __attribute__((unused));
static unsigned writes_until_fault __attribute__((unused));
static bool syncs_are_real __attribute__((unused));

static inline int faulty_write(struct env_file *f, uint64_t offset, const void *from, size_t bytes)
{
    if (writes_until_fault != 0 && --writes_until_fault == 0) return E_IO;
    return real_ops->file_write(f, offset, from, bytes);
}

static inline int faulty_sync(struct env_file *f)
{
    if (writes_until_fault != 0 && --writes_until_fault == 0) return E_IO;
    return syncs_are_real ? real_ops->file_sync(f) : 0;
}

static inline int open_buffered(struct env *e, const char *path, int flags, struct env_file **out)
{
    return real_ops->file_open(e, path, flags & ~ENV_DIRECT, out);
}

static inline void on_durable(void *ctx, log_index index)
{
    (void)ctx;
    rig.announced = index;
}

static inline void on_vote(void *ctx, uint64_t number)
{
    (void)ctx;
    rig.votes = number;
}

static inline void quiet(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static inline int set_up(void **state)
{
    (void)state;
    rig = (struct rig){0};
    snprintf(rig.dir, sizeof rig.dir, "/tmp/gannet_log_XXXXXX");
    if (mkdtemp(rig.dir) == NULL) return -1;
    rig.env = env_uv_new();
    real_ops = rig.env->ops;
    ops = *real_ops;
    ops.file_write = faulty_write;
    ops.file_sync = faulty_sync;
    ops.file_open = open_buffered;
    rig.env->ops = &ops;
    writes_until_fault = 0;
    syncs_are_real = false;
    logger_redirect(quiet);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    char command[128];
    if (rig.log != NULL) log_close(rig.log);
    rig.env->ops = real_ops;
    env_uv_free(rig.env);
    snprintf(command, sizeof command, "rm -r %s", rig.dir);
    logger_redirect(NULL);
    return system(command);
}

static inline int open_as(uint64_t identity, uint64_t cache_bytes)
{
    struct log_options o = {.env = rig.env,
                            .dir = rig.dir,
                            .identity = identity,
                            .cache_bytes = cache_bytes,
                            .segment_bytes = SEGMENT_BYTES,
                            .on_durable = on_durable,
                            .on_vote_durable = on_vote};
    return log_open(&o, &rig.log);
}

static inline void must_open(void)
{
    assert_int_equal(open_as(IDENTITY, 1), 0);
}

static inline void close_log(void)
{
    log_close(rig.log);
    rig.log = NULL;
}

static inline void poll_idle(struct env_timer *t)
{
    if (log_idle(rig.log))
        env_uv_stop(rig.env);
    else
        env_timer_start(t, NS_PER_MS);
}

static inline void settle(void)
{
    env_timer_init(rig.env, &rig.poll, poll_idle);
    env_timer_start(&rig.poll, 0);
    env_uv_run(rig.env);
    env_timer_stop(&rig.poll);
}

/* Bytes that tell which entry they belong to. */
static inline struct slice payload_of(log_index i, log_term term, size_t bytes)
{
    struct slice s = slice_alloc(bytes);
    for (size_t b = 0; b < bytes; b++)
        s.at[b] = (uint8_t)(i * 31 + term * 7 + b * 13 + (b >> 8) + 1);
    return s;
}

static inline void append(log_term term, size_t bytes)
{
    log_append(rig.log, term, LOG_COMMAND, payload_of(log_last(rig.log) + 1, term, bytes));
}

struct reading {
    struct log_read read;
    int rc;
    struct slice payload;
};

static inline void read_done(struct log_read *r, int rc, struct slice payload)
{
    struct reading *reading = CONTAINER_OF(r, struct reading, read);
    reading->rc = rc;
    reading->payload = payload;
    env_uv_stop(rig.env);
}

static inline int read_entry(log_index i, log_term term, struct slice *out)
{
    struct reading reading = {.read = {.index = i, .term = term, .done = read_done}};
    log_read(rig.log, &reading.read);
    env_uv_run(rig.env);
    *out = reading.payload;
    return reading.rc;
}

static inline void expect_entry(log_index i, log_term term, size_t bytes)
{
    struct slice got, want = payload_of(i, term, bytes);
    assert_int_equal(log_term_at(rig.log, i), term);
    assert_int_equal(log_bytes_at(rig.log, i), bytes);
    assert_int_equal(read_entry(i, term, &got), 0);
    assert_int_equal(got.bytes, bytes);
    assert_memory_equal(got.at, want.at, bytes);
    slice_release(&got);
    slice_release(&want);
}

static inline void reopen(void)
{
    settle();
    close_log();
    must_open();
}

/* ---- files as bytes ---- */

struct bytes {
    uint8_t *at;
    size_t bytes;
};

static inline void path_of(char *to, size_t bytes, const char *name)
{
    snprintf(to, bytes, "%s/%s", rig.dir, name);
}

static inline struct bytes file_get(const char *name)
{
    char path[128];
    struct stat st;
    path_of(path, sizeof path, name);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    struct bytes b = {.at = malloc((size_t)st.st_size + 1), .bytes = (size_t)st.st_size};
    assert_int_equal(read(fd, b.at, b.bytes), (ssize_t)b.bytes);
    close(fd);
    return b;
}

static inline void file_put(const char *name, struct bytes b)
{
    char path[128];
    path_of(path, sizeof path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.at, b.bytes), (ssize_t)b.bytes);
    close(fd);
}

static inline size_t first_difference(struct bytes a, struct bytes b)
{
    size_t at = 0;
    while (at < a.bytes && a.at[at] == b.at[at])
        at++;
    return at;
}

static inline size_t last_difference(struct bytes a, struct bytes b)
{
    size_t at = a.bytes;
    while (at > 0 && a.at[at - 1] == b.at[at - 1])
        at--;
    return at;
}

#define SEGMENT_1 "00000001.log"
