/* log_test.c - the log against its disk: what survives, what is cut, what is never accepted. */
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
static struct rig rig;
static struct env_ops ops; /* the real ones, with faults */
static const struct env_ops *real_ops;
static unsigned writes_until_fault;
static bool syncs_are_real;

static int faulty_write(struct env_file *f, uint64_t offset, const void *from, size_t bytes)
{
    if (writes_until_fault != 0 && --writes_until_fault == 0) return E_IO;
    return real_ops->file_write(f, offset, from, bytes);
}

static int faulty_sync(struct env_file *f)
{
    if (writes_until_fault != 0 && --writes_until_fault == 0) return E_IO;
    return syncs_are_real ? real_ops->file_sync(f) : 0;
}

static int open_buffered(struct env *e, const char *path, int flags, struct env_file **out)
{
    return real_ops->file_open(e, path, flags & ~ENV_DIRECT, out);
}

static void on_durable(void *ctx, log_index index)
{
    (void)ctx;
    rig.announced = index;
}

static void on_vote(void *ctx, uint64_t number)
{
    (void)ctx;
    rig.votes = number;
}

static void quiet(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

static int open_as(uint64_t identity, uint64_t cache_bytes)
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

static void must_open(void)
{
    assert_int_equal(open_as(IDENTITY, 1), 0);
}

static void close_log(void)
{
    log_close(rig.log);
    rig.log = NULL;
}

static void poll_idle(struct env_timer *t)
{
    if (log_idle(rig.log))
        env_uv_stop(rig.env);
    else
        env_timer_start(t, NS_PER_MS);
}

static void settle(void)
{
    env_timer_init(rig.env, &rig.poll, poll_idle);
    env_timer_start(&rig.poll, 0);
    env_uv_run(rig.env);
    env_timer_stop(&rig.poll);
}

/* Bytes that tell which entry they belong to. */
static struct slice payload_of(log_index i, log_term term, size_t bytes)
{
    struct slice s = slice_alloc(bytes);
    for (size_t b = 0; b < bytes; b++)
        s.at[b] = (uint8_t)(i * 31 + term * 7 + b * 13 + (b >> 8) + 1);
    return s;
}

static void append(log_term term, size_t bytes)
{
    log_append(rig.log, term, LOG_COMMAND, payload_of(log_last(rig.log) + 1, term, bytes));
}

struct reading {
    struct log_read read;
    int rc;
    struct slice payload;
};

static void read_done(struct log_read *r, int rc, struct slice payload)
{
    struct reading *reading = CONTAINER_OF(r, struct reading, read);
    reading->rc = rc;
    reading->payload = payload;
    env_uv_stop(rig.env);
}

static int read_entry(log_index i, log_term term, struct slice *out)
{
    struct reading reading = {.read = {.index = i, .term = term, .done = read_done}};
    log_read(rig.log, &reading.read);
    env_uv_run(rig.env);
    *out = reading.payload;
    return reading.rc;
}

static void expect_entry(log_index i, log_term term, size_t bytes)
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

static void reopen(void)
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

static void path_of(char *to, size_t bytes, const char *name)
{
    snprintf(to, bytes, "%s/%s", rig.dir, name);
}

static struct bytes file_get(const char *name)
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

static void file_put(const char *name, struct bytes b)
{
    char path[128];
    path_of(path, sizeof path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.at, b.bytes), (ssize_t)b.bytes);
    close(fd);
}

static size_t first_difference(struct bytes a, struct bytes b)
{
    size_t at = 0;
    while (at < a.bytes && a.at[at] == b.at[at])
        at++;
    return at;
}

static size_t last_difference(struct bytes a, struct bytes b)
{
    size_t at = a.bytes;
    while (at > 0 && a.at[at - 1] == b.at[at - 1])
        at--;
    return at;
}

#define SEGMENT_1 "00000001.log"

/* ---- what survives ---- */

static const size_t sizes[] = {0, 1, 100, 447, 448, 449, 3920, 3921, 10000, 200000, 5, 128};

static void entries_survive_a_restart(void **state)
{
    (void)state;
    must_open();
    assert_int_equal(log_last(rig.log), 0);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        append(1 + i / 3, sizes[i]);
        if (i % 2 == 0) settle();
    }
    settle();
    assert_int_equal(rig.announced, ARRAY_COUNT(sizes));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
            expect_entry(i + 1, 1 + i / 3, sizes[i]);
        reopen();
        assert_int_equal(log_last(rig.log), ARRAY_COUNT(sizes));
        assert_int_equal(log_durable(rig.log), ARRAY_COUNT(sizes));
    }
}

static void real_syncs_and_direct_writes_work(void **state)
{
    (void)state;
    syncs_are_real = true;
    ops.file_open = real_ops->file_open;
    entries_survive_a_restart(state);
}

static void payloads_are_cached_and_pinned_until_durable(void **state)
{
    (void)state;
    struct slice got;
    must_open();
    append(1, 1000);
    append(1, 1000);
    assert_int_equal(log_get(rig.log, 1, 1, &got), 0);
    slice_release(&got);
    assert_int_equal(log_get(rig.log, 1, 2, &got), E_NOTFOUND);
    assert_int_equal(log_get(rig.log, 3, 1, &got), E_NOTFOUND);
    settle();
    append(1, 10);
    assert_int_equal(log_get(rig.log, 1, 1, &got), E_AGAIN);
    assert_int_equal(log_get(rig.log, 3, 1, &got), 0);
    slice_release(&got);
    settle();
}

static void votes_survive(void **state)
{
    (void)state;
    must_open();
    uint64_t number = log_vote_store(rig.log, (struct log_vote){.term = 3, .vote = 77});
    assert_true(rig.votes < number);
    settle();
    assert_int_equal(rig.votes, number);
    for (unsigned i = 0; i < 40; i++) { /* over several segments */
        append(3, 9000);
        settle();
    }
    reopen();
    assert_int_equal(log_vote(rig.log).term, 3);
    assert_int_equal(log_vote(rig.log).vote, 77);
    log_vote_store(rig.log, (struct log_vote){.term = 4});
    reopen();
    assert_int_equal(log_vote(rig.log).term, 4);
    assert_int_equal(log_vote(rig.log).vote, 0);
}

static void facts_survive(void **state)
{
    (void)state;
    must_open();
    struct log_facts f = *log_facts(rig.log);
    for (uint64_t boots = 1; boots < 5; boots++) {
        f.boots = boots;
        f.incarnation = 9;
        assert_int_equal(log_facts_store(rig.log, &f), 0);
        reopen();
        assert_int_equal(log_facts(rig.log)->boots, boots);
        assert_int_equal(log_facts(rig.log)->incarnation, 9);
    }
}

static void a_crash_between_truncate_and_append_leaves_the_log_cut(void **state)
{
    (void)state;
    must_open();
    for (int i = 0; i < 10; i++)
        append(1, 50);
    settle();
    log_truncate(rig.log, 6);
    assert_int_equal(log_last(rig.log), 5);
    assert_int_equal(log_durable(rig.log), 5);
    reopen();
    assert_int_equal(log_last(rig.log), 5);
    append(2, 60);
    append(2, 61);
    reopen();
    assert_int_equal(log_last(rig.log), 7);
    expect_entry(5, 1, 50);
    expect_entry(6, 2, 60);
    expect_entry(7, 2, 61);
}

static void stop_turn(struct env_defer *d)
{
    (void)d;
    env_uv_stop(rig.env);
}

/* One turn of the loop: what was asked for is under way, not done. */
static void one_turn(void)
{
    struct env_defer stop = {.cb = stop_turn};
    env_defer(rig.env, &stop);
    env_uv_run(rig.env);
}

static void what_is_cut_in_flight_is_not_announced(void **state)
{
    (void)state;
    must_open();
    append(1, 50);
    settle();
    for (int i = 0; i < 9; i++)
        append(1, 200000);
    one_turn();
    log_truncate(rig.log, 4);
    append(2, 10);
    while (!log_idle(rig.log)) {
        log_index before = rig.announced;
        settle();
        assert_true(rig.announced >= before);
        assert_true(rig.announced <= log_last(rig.log));
    }
    assert_int_equal(log_durable(rig.log), 4);
    reopen();
    assert_int_equal(log_last(rig.log), 4);
    expect_entry(3, 1, 200000);
    expect_entry(4, 2, 10);
}

static void trimmed_space_is_used_again(void **state)
{
    (void)state;
    static const char config[] = "configuration of entry 1";
    must_open();
    log_append(rig.log, 1, LOG_CHANGE, slice_copy(config, sizeof config));
    for (unsigned round = 0; round < 60; round++) {
        for (int i = 0; i < 4; i++)
            append(1 + round, 3000 + round);
        log_append(rig.log, 1 + round, LOG_BARRIER, slice_copy("\0\0\0\0\0\0\0", 8));
        settle();
        if (round >= 3) log_trim(rig.log, log_last(rig.log) - 12);
        if (round % 7 == 0) reopen();
    }
    reopen();
    log_index last = log_last(rig.log);
    assert_int_equal(last, 301);
    assert_int_equal(log_first(rig.log), last - 12);
    assert_int_equal(log_term_at(rig.log, last - 13), 58);
    assert_int_equal(log_term_at(rig.log, last - 14), 0);
    assert_int_equal(log_facts(rig.log)->config_index, 1);
    assert_memory_equal(log_facts(rig.log)->config, config, sizeof config);
    expect_entry(last - 1, 60, 3059);
    unsigned files = 0;
    for (unsigned number = 1; number < 40; number++) {
        char path[128], name[16];
        snprintf(name, sizeof name, "%08x.log", number);
        path_of(path, sizeof path, name);
        files += access(path, F_OK) == 0;
    }
    assert_in_range(files, 2, 8);
}

static void configurations_and_barriers_are_always_at_hand(void **state)
{
    (void)state;
    struct slice got;
    must_open();
    log_append(rig.log, 1, LOG_CHANGE, slice_copy("change", 6));
    log_append(rig.log, 1, LOG_BARRIER, slice_copy("barrier", 7));
    for (int i = 0; i < 40; i++) {
        append(1, 9000);
        settle();
    }
    reopen();
    assert_int_equal(log_type_at(rig.log, 1), LOG_CHANGE);
    assert_int_equal(log_get(rig.log, 1, 1, &got), 0);
    assert_memory_equal(got.at, "change", 6);
    slice_release(&got);
    assert_int_equal(log_get(rig.log, 2, 1, &got), 0);
    assert_memory_equal(got.at, "barrier", 7);
    slice_release(&got);
}

static void a_reset_log_starts_behind_the_checkpoint(void **state)
{
    (void)state;
    must_open();
    log_vote_store(rig.log, (struct log_vote){.term = 8, .vote = 5});
    for (int i = 0; i < 30; i++) {
        append(7, 5000);
        settle();
    }
    log_reset(rig.log, 500, 8);
    append(9, 40);
    reopen();
    assert_int_equal(log_first(rig.log), 501);
    assert_int_equal(log_last(rig.log), 501);
    assert_int_equal(log_term_at(rig.log, 500), 8);
    assert_int_equal(log_vote(rig.log).vote, 5);
    expect_entry(501, 9, 40);
}

static void a_read_of_a_trimmed_entry_finds_nothing(void **state)
{
    (void)state;
    must_open();
    for (int i = 0; i < 30; i++) {
        append(1, 5000);
        settle();
    }
    struct reading r = {.read = {.index = 2, .term = 1, .done = read_done}};
    log_read(rig.log, &r.read);
    log_trim(rig.log, 20);
    for (int i = 0; i < 30; i++)
        append(1, 5000);
    env_uv_run(rig.env);
    assert_int_equal(r.rc, E_NOTFOUND);
    settle();
}

/* ---- torn tails ---- */

static void expect_cut_to(log_index last)
{
    int rc = open_as(IDENTITY, 1);
    assert_int_equal(rc, 0);
    assert_int_equal(log_last(rig.log), last);
    append(5, 300);
    reopen();
    assert_int_equal(log_last(rig.log), last + 1);
    expect_entry(last + 1, 5, 300);
    close_log();
}

static void torn_tail_is_cut_at_every_byte(void **state)
{
    (void)state;
    must_open();
    append(1, 100);
    append(1, 100);
    settle();
    struct bytes before = file_get(SEGMENT_1);
    append(1, 3000);
    append(1, 2000);
    settle();
    close_log();
    struct bytes after = file_get(SEGMENT_1), torn = file_get(SEGMENT_1);
    size_t from = first_difference(before, after) / 4096 * 4096,
           to = last_difference(before, after);
    assert_int_equal(to - from, 8192);
    for (size_t at = from; at < to; at++) {
        /* each byte near the end of a sector, where its trail is; elsewhere some */
        if (at % 512 < 490 && at % 512 > 4 && at % 61 != 0) continue;
        memcpy(torn.at, after.at, at);
        memcpy(torn.at + at, before.at + at, torn.bytes - at);
        file_put(SEGMENT_1, torn);
        expect_cut_to(2);
    }
    free(before.at);
    free(after.at);
    free(torn.at);
}

/* A segment that was used before: what the write would have covered is older, not zero. Sectors
 * arrive in any order. */
static void torn_tail_over_old_pages_is_cut(void **state)
{
    (void)state;
    char name[16] = "";
    must_open();
    for (int i = 0; i < 120; i++) {
        append(1, 4500);
        settle();
        if (i > 8) log_trim(rig.log, log_last(rig.log) - 4);
    }
    settle();
    log_index last = log_last(rig.log);
    struct bytes before[8] = {0};
    for (unsigned n = 1; n <= 7; n++) {
        char path[128];
        snprintf(name, sizeof name, "%08x.log", n);
        path_of(path, sizeof path, name);
        if (access(path, F_OK) == 0) before[n] = file_get(name);
    }
    append(1, 4500);
    settle();
    close_log();
    for (unsigned n = 1; n <= 7; n++) {
        if (before[n].at == NULL) continue;
        snprintf(name, sizeof name, "%08x.log", n);
        struct bytes after = file_get(name), torn = file_get(name);
        size_t from = first_difference(before[n], after) / 4096 * 4096;
        for (unsigned seed = 0; seed < 200 && from < after.bytes; seed++) {
            memcpy(torn.at, after.at, after.bytes);
            uint32_t keep = seed < 16 ? (1u << seed) - 1 : seed * 2654435761u >> 8;
            if ((keep & 0xffff) == 0xffff) continue;
            for (unsigned s = 0; s < 16; s++) {
                if ((keep >> s & 1) == 0)
                    memcpy(torn.at + from + s * 512, before[n].at + from + s * 512, 512);
            }
            file_put(name, torn);
            expect_cut_to(last);
        }
        free(after.at);
        free(torn.at);
        free(before[n].at);
    }
}

/* ---- damage ---- */

static void expect_refused(const char *name, struct bytes good, size_t at, uint8_t mask)
{
    good.at[at] ^= mask;
    file_put(name, good);
    int rc = open_as(IDENTITY, 1);
    struct bytes now = file_get(name);
    if (rc != E_CORRUPT) fail_msg("%s: byte %zu flipped by %x: %s", name, at, mask, err_text(rc));
    assert_memory_equal(now.at, good.at, good.bytes);
    free(now.at);
    good.at[at] ^= mask;
}

static void flipped_bit_is_never_accepted(void **state)
{
    (void)state;
    must_open();
    log_vote_store(rig.log, (struct log_vote){.term = 1, .vote = 2});
    append(1, 100);
    settle();
    append(1, 6000);
    settle();
    append(1, 10);
    settle();
    close_log();
    struct bytes good = file_get(SEGMENT_1);
    for (size_t at = 0; at < 5 * 4096; at++) {
        if (at % 512 < 494 && at % 4096 > 50 && at % 17 != 0) continue;
        expect_refused(SEGMENT_1, good, at, (uint8_t)(1u << (at % 8)));
        if (at % 512 >= 496) expect_refused(SEGMENT_1, good, at, (uint8_t)(1u << ((at + 3) % 8)));
    }
    file_put(SEGMENT_1, good);
    free(good.at);
    must_open();
    assert_int_equal(log_last(rig.log), 3);
}

static void flipped_bit_in_meta_is_never_accepted(void **state)
{
    (void)state;
    must_open();
    struct log_facts f = {.boots = 1};
    assert_int_equal(log_facts_store(rig.log, &f), 0);
    close_log();
    struct bytes good = file_get("meta");
    for (size_t at = 0; at < good.bytes; at += at % 512 < 490 ? 7 : 1)
        expect_refused("meta", good, at, (uint8_t)(1u << (at % 8)));
    free(good.at);
}

static void damage_in_a_sealed_index_is_refused(void **state)
{
    (void)state;
    must_open();
    for (int i = 0; i < 12; i++) {
        append(1, 9000);
        settle();
    }
    close_log();
    struct bytes good = file_get(SEGMENT_1);
    size_t end = good.bytes;
    while (good.at[end - 1] == 0)
        end--;
    for (size_t at = end - 4096; at < end; at += 11)
        expect_refused(SEGMENT_1, good, at, 4);
    file_put(SEGMENT_1, good);
    free(good.at);
    must_open();
}

static void missing_files_are_damage(void **state)
{
    (void)state;
    char path[128];
    must_open();
    append(1, 10);
    settle();
    struct log_facts f = *log_facts(rig.log);
    assert_int_equal(log_facts_store(rig.log, &f), 0);
    close_log();
    struct bytes segment = file_get(SEGMENT_1), meta = file_get("meta");
    path_of(path, sizeof path, SEGMENT_1);
    unlink(path);
    assert_int_equal(open_as(IDENTITY, 1), E_CORRUPT);
    file_put(SEGMENT_1, segment);
    path_of(path, sizeof path, "meta");
    unlink(path);
    assert_int_equal(open_as(IDENTITY, 1), E_CORRUPT);
    file_put("meta", meta);
    must_open();
    free(segment.at);
    free(meta.at);
}

static void anothers_log_is_foreign(void **state)
{
    (void)state;
    must_open();
    append(1, 10);
    settle();
    close_log();
    assert_int_equal(open_as(IDENTITY + 1, 1), E_FOREIGN);
    struct bytes theirs = file_get(SEGMENT_1);
    char path[128];
    path_of(path, sizeof path, SEGMENT_1);
    unlink(path);
    path_of(path, sizeof path, "meta");
    unlink(path);
    assert_int_equal(open_as(IDENTITY + 1, 1), 0);
    close_log();
    file_put("00000009.log", theirs);
    free(theirs.at);
    assert_int_equal(open_as(IDENTITY + 1, 1), E_FOREIGN);
}

/* ---- faults ---- */

struct progress {
    log_index announced;
    log_term voted;
};

/* Runs in a process of its own: the fault ends it. */
static void work(int report, unsigned fault)
{
    writes_until_fault = 0;
    if (open_as(IDENTITY, 1) != 0) _exit(2);
    writes_until_fault = fault;
    for (unsigned i = 1; i <= 30; i++) {
        log_vote_store(rig.log, (struct log_vote){.term = i, .vote = i});
        append(i, 17000);
        append(i, 30);
        if (i % 5 == 0) log_truncate(rig.log, log_last(rig.log) - 1);
        /* several rolls later, so that a trim meets a roll now and then */
        if (i % 5 == 4) log_trim(rig.log, log_last(rig.log) - 1);
        settle();
        struct progress p = {.announced = log_durable(rig.log), .voted = i};
        if (write(report, &p, sizeof p) != (ssize_t)sizeof p) _exit(3);
    }
    _exit(0);
}

/* 0: no fault was met. */
static int run_with_fault(unsigned fault, struct progress *p)
{
    int pipe_fds[2], status;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct env *mine =
            env_uv_new(); /* threads don't survive a fork: a loop of the child's own */
        mine->ops = &ops;
        rig.env = mine;
        work(pipe_fds[1], fault);
    }
    close(pipe_fds[1]);
    *p = (struct progress){0};
    while (read(pipe_fds[0], p, sizeof *p) == (ssize_t)sizeof *p)
        continue;
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_failing_write_loses_nothing_announced_fault(void **state)
{
    (void)state;
    char command[128];
    for (unsigned fault = 1;; fault++) {
        struct progress p;
        must_open();
        close_log();
        int status = run_with_fault(fault, &p);
        must_open();
        assert_true(log_last(rig.log) >= p.announced);
        assert_true(log_vote(rig.log).term >= p.voted);
        append(100, 10);
        reopen();
        close_log();
        snprintf(command, sizeof command, "rm %s/*", rig.dir);
        assert_int_equal(system(command), 0);
        if (status == 0) break;
        assert_int_equal(status, EXIT_DISK);
        assert_true(fault < 500);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(entries_survive_a_restart),
        TEST(real_syncs_and_direct_writes_work),
        TEST(payloads_are_cached_and_pinned_until_durable),
        TEST(votes_survive),
        TEST(facts_survive),
        TEST(a_crash_between_truncate_and_append_leaves_the_log_cut),
        TEST(what_is_cut_in_flight_is_not_announced),
        TEST(trimmed_space_is_used_again),
        TEST(configurations_and_barriers_are_always_at_hand),
        TEST(a_reset_log_starts_behind_the_checkpoint),
        TEST(a_read_of_a_trimmed_entry_finds_nothing),
        TEST(torn_tail_is_cut_at_every_byte),
        TEST(torn_tail_over_old_pages_is_cut),
        TEST(flipped_bit_is_never_accepted),
        TEST(flipped_bit_in_meta_is_never_accepted),
        TEST(damage_in_a_sealed_index_is_refused),
        TEST(missing_files_are_damage),
        TEST(anothers_log_is_foreign),
        TEST(a_failing_write_loses_nothing_announced_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
