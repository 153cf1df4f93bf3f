/* The store on real RocksDB and the real loop: what survives, what is given back, what is refused.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/checkpoint.h"
#include "store/scrub.h"
#include "store/store.h"
#include "tests/lib/mem_kv.h"
#include "tests/lib/step_env.h"

struct fixture {
    char dir[64];
    struct env *env;
    struct store *store;
    struct store_at at;
    uint64_t index;
    int rc;
    char *checkpoint;
};

static void open_in(struct fixture *f, const char *dir, uint64_t budget)
{
    struct kv *kv;
    f->env = env_uv_new();
    assert_int_equal(kv_rocks_open(f->env, dir, MIB(8), &kv), 0);
    struct store_options o = {.env = f->env, .kv = kv, .budget_bytes = budget};
    assert_int_equal(store_open(&o, &f->store, &f->at), 0);
    f->index = f->at.index;
}

static void close_store(struct fixture *f)
{
    store_close(f->store);
    env_uv_free(f->env);
}

static void reopen(struct fixture *f)
{
    close_store(f);
    open_in(f, f->dir, MIB(16));
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/store_test.XXXXXX");
    if (mkdtemp(f->dir) == NULL) return -1;
    open_in(f, f->dir, MIB(16));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char rm[128];
    close_store(f);
    snprintf(rm, sizeof rm, "rm -rf %s", f->dir);
    free(f->checkpoint);
    free(f);
    return system(rm);
}

static void store_that_is_open_already_is_busy(void **state)
{
    struct fixture *f = *state;
    struct kv *kv = NULL;
    assert_int_equal(kv_rocks_open(f->env, f->dir, MIB(8), &kv), E_BUSY);
}

static void flushed(void *ctx, struct store_at at)
{
    struct fixture *f = ctx;
    f->at = at;
    env_uv_stop(f->env);
}

static void flush(struct fixture *f)
{
    struct store_at at = {.index = f->index, .term = 1};
    assert_int_equal(store_flush(f->store, at, NULL, flushed, f), 0);
    env_uv_run(f->env);
    assert_int_equal(f->at.index, f->index);
}

static void settled(struct env_timer *t)
{
    env_uv_stop(t->env);
}

/* Lets the cleaner work until it finds nothing more to do. */
static void settle(struct fixture *f)
{
    struct env_timer t;
    env_timer_init(f->env, &t, settled);
    for (uint64_t before = UINT64_MAX; before != store_stats(f->store).blocks_cleaned;) {
        before = store_stats(f->store).blocks_cleaned;
        env_timer_start(&t, 30 * NS_PER_MS);
        env_uv_run(f->env);
    }
    env_timer_stop(&t);
}

/* Files that are being moved to their level are deleted by a later flush. */
static void flush_until(struct fixture *f, uint64_t disk_bytes)
{
    for (int i = 0; i < 50 && store_stats(f->store).disk_bytes >= disk_bytes; i++) {
        f->index++;
        settle(f);
        flush(f);
    }
    assert_true(store_stats(f->store).disk_bytes < disk_bytes);
}

static void append(struct fixture *f, struct store_stream *ss, const char *subject, size_t bytes)
{
    struct slice owner = slice_alloc(bytes);
    memset(owner.at, 'b', bytes);
    struct store_msg m = {.time_ns = (int64_t)++f->index, .subject = text_of(subject)};
    m.body = (struct text){.at = (const char *)owner.at, .bytes = bytes};
    store_append(ss, &m, owner);
    store_applied(f->store, (struct store_at){.index = f->index, .term = 1}, bytes);
    slice_release(&owner);
}

static void what_was_flushed_is_there_after_a_restart_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 10, 0);
    for (int i = 0; i < 1000; i++)
        append(f, ss, i % 2 == 0 ? "a" : "b", 100);
    flush(f);
    uint64_t flushed_index = f->index;
    for (int i = 0; i < 1000; i++)
        append(f, ss, "c", 100);
    reopen(f);
    assert_int_equal(f->at.index, flushed_index);
    assert_int_equal(store_stream_open(f->store, 1, 2, &ss), E_NOTFOUND);
    assert_int_equal(store_stream_open(f->store, 1, 1, &ss), 0);
    struct store_counts c = store_stream_counts(ss);
    assert_int_equal(c.first, 10);
    assert_int_equal(c.last, 1009);
    assert_int_equal(c.msgs, 1000);
    assert_int_equal(c.subjects, 2);
    struct store_cursor cursor = {0};
    struct store_msg m;
    assert_int_equal(store_get(ss, 10, &cursor, &m), 0);
    assert_int_equal(m.body.bytes, 100);
    assert_int_equal(store_get(ss, 1010, &cursor, &m), E_NOTFOUND);
    store_cursor_close(&cursor);
}

static size_t table_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strstr(e->d_name, ".sst") != NULL) n++;
    closedir(d);
    return n;
}

static void a_purged_stream_gives_its_files_back(void **state)
{
    struct fixture *f = *state;
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 1, 0);
    for (int i = 0; i < 3000; i++)
        append(f, ss, "a", 4000);
    flush(f);
    size_t before = table_files(f->dir);
    uint64_t disk = store_stats(f->store).disk_bytes;
    assert_true(disk > 10000000);
    assert_int_equal(store_remove_below(ss, 3001, NULL, NULL), 3000);
    f->index++;
    flush(f);
    flush_until(f, 1000000);
    assert_true(table_files(f->dir) < before);
    append(f, ss, "a", 10);
    assert_int_equal(store_stream_counts(ss).first, 3001);
}

static void a_deleted_stream_gives_its_files_back_even_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 1, 0);
    for (int i = 0; i < 3000; i++)
        append(f, ss, "a", 4000);
    flush(f);
    reopen(f);
    assert_int_equal(store_stream_open(f->store, 1, 1, &ss), 0);
    store_stream_delete(ss);
    f->index++;
    flush(f);
    reopen(f);
    assert_int_equal(store_stream_open(f->store, 1, 1, &ss), E_NOTFOUND);
    flush_until(f, 1000000);
    assert_int_equal(store_stats(f->store).live_bytes, 0);
}

static void rewritten_keys_are_cleaned(void **state)
{
    struct fixture *f = *state;
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 1, 1);
    char subject[16];
    for (int i = 0; i < 40000; i++) { /* three in ten stay, among others that are rewritten */
        snprintf(subject, sizeof subject, "k.%d", i % 10 < 3 ? 1000 + i : i % 1000);
        struct store_subject row;
        bool again = store_subject_get(ss, text_of(subject), &row) == 0;
        append(f, ss, subject, 1000);
        if (again) assert_int_equal(store_remove(ss, row.last), 0);
        if (i % 4000 == 3999) flush(f);
    }
    flush_until(f, store_stats(f->store).live_bytes * 5 / 2);
    struct store_stats s = store_stats(f->store);
    assert_true(s.blocks_cleaned > 100);
    assert_int_equal(store_stream_counts(ss).msgs, 12000 + 700);
    struct store_cursor c = {0};
    struct store_msg m;
    stream_seq from = 1;
    size_t n = 0;
    while (store_next(ss, &from, NULL, 0, UINT32_MAX, &c, &m) == 0)
        n++;
    assert_int_equal(n, 12000 + 700);
    store_cursor_close(&c);
}

static void checkpointed(void *ctx, int rc)
{
    struct fixture *f = ctx;
    f->rc = rc;
    env_uv_stop(f->env);
}

static void a_checkpoint_opens_as_of_the_last_flush(void **state)
{
    struct fixture *f = *state;
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 1, 0);
    for (int i = 0; i < 500; i++)
        append(f, ss, "a", 1000);
    flush(f);
    uint64_t flushed_index = f->index;
    for (int i = 0; i < 500; i++)
        append(f, ss, "a", 1000);
    char dir[80];
    snprintf(dir, sizeof dir, "%s/copy", f->dir);
    struct store_at at;
    assert_int_equal(checkpoint_make(f->store, dir, &at, checkpointed, f), 0);
    env_uv_run(f->env);
    assert_int_equal(f->rc, 0);
    assert_int_equal(at.index, flushed_index);
    struct fixture copy = {0};
    open_in(&copy, dir, MIB(16));
    assert_int_equal(copy.at.index, flushed_index);
    assert_int_equal(store_stream_open(copy.store, 1, 1, &ss), 0);
    assert_int_equal(store_stream_counts(ss).msgs, 500);
    close_store(&copy);
}

static void ten_thousand_streams_survive_a_restart(void **state)
{
    struct fixture *f = *state;
    enum { N = 10000 };
    struct store_stream **all = check_alloc(N * sizeof(struct store_stream *));
    for (uint32_t i = 0; i < N; i++)
        all[i] = store_stream_new(f->store, 1, i + 1, 1, 0);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < N; i++)
            append(f, all[i], "a.b", 50 + i % 50);
    flush(f);
    reopen(f);
    struct store_cursor c = {0};
    struct store_msg m;
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(store_stream_open(f->store, 1, i + 1, &all[i]), 0);
        if (i % 100 != 0) continue;
        assert_int_equal(store_get(all[i], 3, &c, &m), 0);
        assert_int_equal(m.body.bytes, 50 + i % 50);
    }
    store_cursor_close(&c);
    free(all);
}

static void many_subjects_under_a_small_budget(void **state)
{
    struct fixture *f = *state;
    enum { N = 100000 };
    struct store_stream *ss = store_stream_new(f->store, 1, 1, 1, 0);
    char subject[32];
    for (int i = 0; i < N; i++) {
        snprintf(subject, sizeof subject, "device.%d.state", i);
        append(f, ss, subject, 20);
        if (i % 30000 == 29999) flush(f);
    }
    flush(f);
    reopen(f);
    assert_int_equal(store_stream_open(f->store, 1, 1, &ss), 0);
    assert_int_equal(store_stream_counts(ss).subjects, N);
    for (int i = 0; i < N; i += 997) {
        struct store_subject row;
        snprintf(subject, sizeof subject, "device.%d.state", i);
        assert_int_equal(store_subject_get(ss, text_of(subject), &row), 0);
        assert_int_equal(row.last, i + 1);
    }
    struct text filters[2] = {TEXT("device.*.state"), TEXT("device.7.>")};
    assert_int_equal(store_count(ss, 1, filters, 2), N);
    assert_int_equal(store_count(ss, 50001, filters, 1), N - 50000);
    assert_true(store_stats(f->store).page_bytes < MIB(16));
}

/* ---- damage, on the map in memory ---- */

static void quiet(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static void damage_is_told_and_never_taken_for_absence(void **state)
{
    (void)state;
    struct env *env = step_env_new(1);
    struct mem_kv *kv = mem_kv_new();
    struct store_options o = {.env = env, .kv = mem_kv_open(kv), .budget_bytes = MIB(16)};
    struct fixture f = {.env = env};
    assert_int_equal(store_open(&o, &f.store, &f.at), 0);
    struct store_stream *ss = store_stream_new(f.store, 1, 1, 1, 0);
    for (int i = 0; i < 1000; i++)
        append(&f, ss, i % 100 == 0 ? "rare" : "a", 200);
    assert_int_equal(store_flush(f.store, (struct store_at){f.index, 1}, NULL, NULL, NULL), 0);
    step_env_run_all(env);
    store_close(f.store);
    assert_true(mem_kv_damage(kv, 1, 3000));
    assert_true(mem_kv_lose(kv, 2));
    logger_redirect(quiet);
    assert_int_equal(store_open(&o, &f.store, &f.at), 0);
    assert_int_equal(store_stream_open(f.store, 1, 1, &ss), 0);
    struct store_cursor c = {0};
    struct store_msg m;
    stream_seq from = 1;
    struct text rare = TEXT("rare"), wild = TEXT("r*.>");
    assert_int_equal(store_get(ss, 1, &c, &m), E_CORRUPT);
    assert_int_equal(store_get(ss, 200, &c, &m), E_CORRUPT);
    assert_int_equal(store_get(ss, 900, &c, &m), 0);
    assert_int_equal(store_next(ss, &from, NULL, 0, 1000, &c, &m), E_CORRUPT);
    from = 1;
    assert_int_equal(store_next(ss, &from, &rare, 1, 1000, &c, &m), E_CORRUPT);
    from = 1;
    assert_int_equal(store_next(ss, &from, &wild, 1, 1000, &c, &m), E_CORRUPT);
    assert_int_equal(store_last(ss, rare, 100, &c, &m), E_CORRUPT);
    store_cursor_close(&c);
    scrub_start(f.store, 50000);
    while (scrub_stats(f.store).rounds == 0) {
        assert_true(step_env_fire(env));
        step_env_run_all(env);
    }
    assert_int_equal(scrub_stats(f.store).damaged, 1);
    assert_true(scrub_stats(f.store).blocks >= 5);
    store_close(f.store);
    logger_redirect(NULL);
    mem_kv_free(kv);
    step_env_free(env);
}

static void a_flush_is_due_when_idle_and_dirty(void **state)
{
    (void)state;
    struct env *env = step_env_new(1);
    struct mem_kv *kv = mem_kv_new();
    struct store_options o = {
        .env = env, .kv = mem_kv_open(kv), .budget_bytes = MIB(16), .flush_bytes = 100000};
    struct fixture f = {.env = env};
    assert_int_equal(store_open(&o, &f.store, &f.at), 0);
    assert_false(store_flush_due(f.store));
    struct store_stream *ss = store_stream_new(f.store, 1, 1, 1, 0);
    append(&f, ss, "a", 200);
    assert_false(store_flush_due(f.store));
    step_env_advance(env, 11 * NS_PER_S);
    assert_true(store_flush_due(f.store));
    assert_int_equal(store_flush(f.store, (struct store_at){f.index, 1}, NULL, NULL, NULL), 0);
    assert_int_equal(store_flush(f.store, (struct store_at){f.index, 1}, NULL, NULL, NULL), E_BUSY);
    step_env_run_all(env);
    step_env_advance(env, 11 * NS_PER_S);
    assert_false(store_flush_due(f.store));
    append(&f, ss, "a", 100000);
    assert_true(store_flush_due(f.store));
    store_close(f.store);
    mem_kv_free(kv);
    step_env_free(env);
}

/* ---- a disk that refuses one write ---- */

static struct kv_ops refusing;
static int (*refused_write)(struct kv *kv, struct kv_batch *b);
static int writes;

static int write_but_first(struct kv *kv, struct kv_batch *b)
{
    if (writes++ == 0) return E_IO;
    if (writes == 2) _exit(99); /* the state, though its blocks are missing */
    return refused_write(kv, b);
}

static _Noreturn void flush_on_refusing_disk(void)
{
    struct env *env = step_env_new(1);
    struct kv *kv = mem_kv_open(mem_kv_new());
    refusing = *kv->ops;
    refused_write = refusing.write;
    refusing.write = write_but_first;
    kv->ops = &refusing;
    struct store_options o = {.env = env, .kv = kv, .budget_bytes = MIB(16)};
    struct fixture f = {.env = env};
    if (store_open(&o, &f.store, &f.at) != 0) _exit(98);
    append(&f, store_stream_new(f.store, 1, 1, 1, 0), "a", 200);
    if (store_flush(f.store, (struct store_at){f.index, 1}, NULL, NULL, NULL) != 0) _exit(98);
    step_env_run_late(env);
    _exit(97);
}

/* The worker comes to the flush before the loop hears that the blocks failed. */
static void state_is_not_written_when_its_blocks_could_not_be(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        logger_redirect(quiet);
        flush_on_refusing_disk();
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_DISK);
}

#define ON_ROCKS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ROCKS(what_was_flushed_is_there_after_a_restart_and_nothing_else),
        ON_ROCKS(store_that_is_open_already_is_busy),
        ON_ROCKS(a_purged_stream_gives_its_files_back),
        ON_ROCKS(a_deleted_stream_gives_its_files_back_even_over_a_restart),
        ON_ROCKS(rewritten_keys_are_cleaned),
        ON_ROCKS(a_checkpoint_opens_as_of_the_last_flush),
        ON_ROCKS(ten_thousand_streams_survive_a_restart),
        ON_ROCKS(many_subjects_under_a_small_budget),
        cmocka_unit_test(damage_is_told_and_never_taken_for_absence),
        cmocka_unit_test(a_flush_is_due_when_idle_and_dirty),
        cmocka_unit_test(state_is_not_written_when_its_blocks_could_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
