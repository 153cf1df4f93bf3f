/* env_uv_test.c - the real environment: timers, deferred calls, workers, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/env.h"
#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/stats.h"

static struct env *env;
static char folder[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    env = env_uv_new();
    snprintf(folder, sizeof folder, "/tmp/gannet-env-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    env_uv_free(env);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static struct env_timer timers[3];
static int timer_order[8], timer_count;
static uint64_t started_ns;

static void timer_fired(struct env_timer *t)
{
    timer_order[timer_count++] = (int)(t - timers);
    if (t == &timers[0] && timer_count < 3) env_timer_start(t, 2 * NS_PER_MS);
    if (t != &timers[1]) return;
    assert_true(env_mono(env).ns >= started_ns + 10 * NS_PER_MS);
    env_uv_stop(env);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    (void)state;
    timer_count = 0;
    for (int i = 0; i < 3; i++)
        env_timer_init(env, &timers[i], timer_fired);
    started_ns = env_mono(env).ns;
    env_timer_start(&timers[1], 50 * NS_PER_MS);
    env_timer_start(&timers[1], 10 * NS_PER_MS); /* replaces */
    env_timer_start(&timers[0], NS_PER_MS);
    env_timer_start(&timers[2], 3 * NS_PER_MS);
    env_timer_stop(&timers[2]);
    env_timer_stop(&timers[2]);
    env_uv_run(env);
    assert_int_equal(timer_count, 4);
    assert_int_equal(timer_order[2], 0);
    assert_int_equal(timer_order[3], 1);
    assert_null(timers[0].impl);
}

static struct env_defer defers[2];
static struct env_timer first;
static char trace[64];

static void note(const char *text)
{
    snprintf(trace + strlen(trace), sizeof trace - strlen(trace), "%s", text);
}
static void second_defer(struct env_defer *d)
{
    (void)d;
    note("b");
    env_uv_stop(env);
}
static void first_defer(struct env_defer *d)
{
    (void)d;
    note("a");
    env_defer(env, &defers[1]);
}
static void first_turn(struct env_timer *t)
{
    (void)t;
    env_defer(env, &defers[0]);
    env_defer(env, &defers[0]);
    note("t");
}

/* Nothing else would wake the loop: if it slept on the second call, the test would hang. */
static void deferred_calls_run_once_and_before_the_loop_sleeps(void **state)
{
    (void)state;
    trace[0] = 0;
    defers[0] = (struct env_defer){.cb = first_defer};
    defers[1] = (struct env_defer){.cb = second_defer};
    env_timer_init(env, &first, first_turn);
    env_timer_start(&first, 0);
    env_uv_run(env);
    assert_string_equal(trace, "tab");
}

#define JOBS 200
struct number {
    struct env_job job;
    int value;
    pthread_t ran_on;
};
static struct number numbers[JOBS];
static int next_run, next_done;
static struct env_worker *worker;

static void number_run(struct env_job *job)
{
    struct number *n = CONTAINER_OF(job, struct number, job);
    n->ran_on = pthread_self();
    if (n->value == next_run) next_run++;
}
static void number_done(struct env_job *job)
{
    struct number *n = CONTAINER_OF(job, struct number, job);
    assert_int_equal(n->value, next_done++);
    assert_false(pthread_equal(n->ran_on, pthread_self()));
    if (next_done == JOBS) env_uv_stop(env);
}
static void submit_numbers(void)
{
    next_run = next_done = 0;
    worker = env->ops->worker_new(env, "test worker with a long name");
    for (int i = 0; i < JOBS; i++) {
        numbers[i] = (struct number){.job = {.run = number_run, .done = number_done}, .value = i};
        env_submit(env, worker, &numbers[i].job);
    }
}

static void jobs_run_in_order_and_come_back_in_order(void **state)
{
    (void)state;
    submit_numbers();
    env_uv_run(env);
    env->ops->worker_free(worker);
    assert_int_equal(next_run, JOBS);
}

static void freed_worker_finishes_its_jobs_and_reports_none(void **state)
{
    (void)state;
    submit_numbers();
    env->ops->worker_free(worker);
    assert_int_equal(next_run, JOBS);
    env_timer_init(env, &first, first_turn);
    defers[0] = (struct env_defer){.cb = second_defer};
    env_timer_start(&first, 0);
    env_uv_run(env);
    assert_int_equal(next_done, 0);
}

static void free_self(struct env_job *job)
{
    (void)job;
    env->ops->worker_free(worker);
    env_uv_stop(env);
}

static void a_job_may_free_its_own_worker_when_done(void **state)
{
    (void)state;
    submit_numbers();
    numbers[0].job.done = free_self;
    env_uv_run(env);
    assert_int_equal(next_done, 0);
}

static void file_keeps_what_was_written(void **state)
{
    static _Alignas(4096) uint8_t out[8192], in[8192];
    struct env_file *f = NULL;
    size_t got;
    uint64_t bytes;
    (void)state;
    const struct env_ops *ops = env->ops;
    assert_int_equal(ops->file_open(env, path, ENV_READ, &f), E_NOTFOUND);
    int flags = ENV_READ | ENV_WRITE | ENV_CREATE | ENV_DIRECT;
    assert_int_equal(ops->file_open(env, path, flags | ENV_EXCL, &f), 0);
    memset(out, 7, sizeof out);
    assert_int_equal(ops->file_write(f, 4096, out, sizeof out), 0);
    assert_int_equal(ops->file_sync(f), 0);
    assert_int_equal(ops->file_size(f, &bytes), 0);
    assert_int_equal(bytes, 4096 + 8192);
    assert_int_equal(ops->file_read(f, 8192, in, sizeof in, &got), 0);
    assert_int_equal(got, 4096); /* short only at the end */
    assert_memory_equal(in, out, 4096);
    assert_int_equal(ops->file_truncate(f, 10), 0);
    assert_int_equal(ops->file_size(f, &bytes), 0);
    assert_int_equal(bytes, 10);
    ops->file_close(f);
    ops->file_close(NULL);
    assert_int_equal(ops->file_open(env, path, flags | ENV_EXCL, &f), E_EXISTS);
}

static char stall_line[256];
static void keep_line(enum logger_level level, const char *line)
{
    assert_int_equal(level, LOGGER_WRN);
    snprintf(stall_line, sizeof stall_line, "%s", line);
}
static void stop_now(struct env_timer *t)
{
    (void)t;
    env_uv_stop(env);
}
static void hold_up(struct env_timer *t)
{
    (void)t;
    usleep(110000);
    env_timer_init(env, &timers[1], stop_now);
    env_timer_start(&timers[1], 50 * NS_PER_MS);
}

/* Waiting for events doesn't count: the 50 ms to the second timer are no turn. */
static void a_turn_that_takes_too_long_is_counted_and_told(void **state)
{
    (void)state;
    logger_redirect(keep_line);
    env_timer_init(env, &timers[0], hold_up);
    env_timer_start(&timers[0], NS_PER_MS);
    env_uv_run(env);
    logger_redirect(NULL);
    const struct stats_histogram *h = env_uv_turns(env);
    assert_true(h->max >= 110 * NS_PER_MS);
    assert_true(h->count - stats_at_most(h, 105 * NS_PER_MS) < h->count);
    assert_non_null(strstr(stall_line, "The loop was held up for "));
    assert_non_null(strstr(stall_line, "(LOOP-STALL)"));
}

static void interrupt(struct env_timer *t)
{
    (void)t;
    env_timer_init(env, &timers[1], stop_now);
    env_timer_start(&timers[1], 250 * NS_PER_MS);
    if (fork() != 0) return;
    usleep(150000);
    kill(getppid(), SIGUSR1);
    _exit(0);
}
static void ignore_signal(int number)
{
    (void)number;
}

static void a_wait_that_a_signal_ends_is_no_turn(void **state)
{
    (void)state;
    signal(SIGUSR1, ignore_signal);
    env_timer_init(env, &timers[0], interrupt);
    env_timer_start(&timers[0], NS_PER_MS);
    env_uv_run(env);
    assert_true(env_uv_turns(env)->max < 140 * NS_PER_MS);
    wait(NULL);
}

static void count_entry(void *ctx, const char *name)
{
    assert_string_equal(name, "b");
    ++*(int *)ctx;
}

static void folders_are_made_with_parents_listed_and_synced(void **state)
{
    (void)state;
    char deep[160], moved[160];
    int entries = 0;
    uint64_t total, free_bytes;
    const struct env_ops *ops = env->ops;
    snprintf(deep, sizeof deep, "%s/a/b/c", folder);
    assert_int_equal(ops->mkdir(env, deep), 0);
    assert_int_equal(ops->mkdir(env, deep), 0);
    snprintf(deep, sizeof deep, "%s/a", folder);
    assert_int_equal(ops->dir_list(env, deep, count_entry, &entries), 0);
    assert_int_equal(entries, 1);
    assert_int_equal(ops->dir_sync(env, deep), 0);
    assert_int_equal(ops->unlink(env, deep), E_EXISTS); /* not empty */
    snprintf(moved, sizeof moved, "%s/moved", folder);
    assert_int_equal(ops->rename(env, deep, moved), 0);
    assert_int_equal(ops->dir_list(env, deep, count_entry, &entries), E_NOTFOUND);
    assert_int_equal(ops->disk_space(env, moved, &total, &free_bytes), 0);
    assert_true(total >= free_bytes);
}

static void random_numbers_differ_and_the_wall_clock_is_late_enough(void **state)
{
    (void)state;
    uint64_t last = env_random(env);
    for (int i = 0; i < 100; i++) {
        uint64_t next = env_random(env);
        assert_true(next != last);
        last = next;
    }
    assert_true(env_wall_ns(env) > INT64_C(1700000000) * (int64_t)NS_PER_S);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(timers_fire_in_order_and_never_early),
        CASE(deferred_calls_run_once_and_before_the_loop_sleeps),
        CASE(jobs_run_in_order_and_come_back_in_order),
        CASE(freed_worker_finishes_its_jobs_and_reports_none),
        CASE(a_job_may_free_its_own_worker_when_done),
        CASE(a_turn_that_takes_too_long_is_counted_and_told),
        CASE(a_wait_that_a_signal_ends_is_no_turn),
        CASE(file_keeps_what_was_written),
        CASE(folders_are_made_with_parents_listed_and_synced),
        CASE(random_numbers_differ_and_the_wall_clock_is_late_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
