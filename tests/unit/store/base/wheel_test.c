/* wheel_test.c - deadlines on a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/base/wheel.h"

#define LATE_NS (5 * NS_PER_MS)
#define ENTRIES 400

static struct fake_env {
    struct env env;
    uint64_t now_ns, due_ns; /* of the one timer; UINT64_MAX: not started */
    struct env_timer *timer;
} fake;

static struct mono fake_mono(struct env *e)
{
    (void)e;
    return (struct mono){fake.now_ns};
}
static void fake_start(struct env_timer *t, uint64_t delay_ns)
{
    fake.timer = t;
    fake.due_ns = delay_ns > UINT64_MAX - fake.now_ns ? UINT64_MAX : fake.now_ns + delay_ns;
}
static void fake_stop(struct env_timer *t)
{
    (void)t;
    fake.due_ns = UINT64_MAX;
}
static const struct env_ops fake_ops = {.mono = fake_mono,
                                        .timer_start = fake_start,
                                        .timer_stop = fake_stop};

/* Runs the timer whenever it is due, to the given time; a timer may be 1 ms late. */
static void advance(uint64_t to_ns)
{
    while (fake.due_ns <= to_ns) {
        fake.now_ns = fake.due_ns + NS_PER_MS;
        fake.due_ns = UINT64_MAX;
        fake.timer->cb(fake.timer);
    }
    if (fake.now_ns < to_ns) fake.now_ns = to_ns;
}

static struct wheel *wheel;
static int fired;

static int setup(void **state)
{
    (void)state;
    fake = (struct fake_env){.env = {&fake_ops}, .now_ns = 12345678901234, .due_ns = UINT64_MAX};
    wheel = wheel_new(&fake.env);
    fired = 0;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    wheel_free(wheel);
    return 0;
}

static void on_time(struct wheel_entry *e)
{
    fired++;
    if (fake.now_ns < e->due_ns)
        fail_msg("early by %llu", (unsigned long long)(e->due_ns - fake.now_ns));
    if (fake.now_ns > e->due_ns + LATE_NS)
        fail_msg("late by %llu", (unsigned long long)(fake.now_ns - e->due_ns));
}

static void deadlines_near_and_far_fire_on_time(void **state)
{
    (void)state;
    static struct wheel_entry entries[ENTRIES];
    unsigned seed = 3;
    memset(entries, 0, sizeof entries);
    uint64_t start = fake.now_ns;
    for (int i = 0; i < ENTRIES; i++) {
        entries[i].cb = on_time;
        uint64_t delay = (uint64_t)rand_r(&seed) << (i % 24);
        wheel_start(wheel, &entries[i], (struct mono){start + delay});
    }
    int stopped = 0;
    for (int i = 0; i < ENTRIES; i += 5, stopped++)
        wheel_stop(wheel, &entries[i]);
    advance(start + (UINT64_C(1) << 56));
    assert_int_equal(fired, ENTRIES - stopped);
}

static struct wheel_entry again;
static void start_again(struct wheel_entry *e)
{
    on_time(e);
    if (fired < 100)
        wheel_start(wheel, e, (struct mono){fake.now_ns + (uint64_t)fired * NS_PER_MS});
}

static void entry_starts_itself_again(void **state)
{
    (void)state;
    again = (struct wheel_entry){.cb = start_again};
    wheel_start(wheel, &again, (struct mono){fake.now_ns + NS_PER_S});
    advance(fake.now_ns + 20 * NS_PER_S);
    assert_int_equal(fired, 100);
    assert_false(wheel_pending(&again));
}

static struct wheel_entry pair[2];
static void stop_the_other(struct wheel_entry *e)
{
    fired++;
    wheel_stop(wheel, e == &pair[0] ? &pair[1] : &pair[0]);
}

static void entry_stops_another_that_is_due_too(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair[i] = (struct wheel_entry){.cb = stop_the_other};
        wheel_start(wheel, &pair[i], (struct mono){fake.now_ns + NS_PER_S});
    }
    advance(fake.now_ns + 2 * NS_PER_S);
    assert_int_equal(fired, 1);
}

static void past_and_moved_deadlines_count(void **state)
{
    (void)state;
    struct wheel_entry e = {.cb = stop_the_other};
    wheel_start(wheel, &e, (struct mono){1});
    advance(fake.now_ns + LATE_NS);
    assert_int_equal(fired, 1);
    e.cb = on_time;
    wheel_start(wheel, &e, (struct mono){fake.now_ns + NS_PER_S});
    wheel_start(wheel, &e, (struct mono){fake.now_ns + 10 * NS_PER_S});
    advance(fake.now_ns + 9 * NS_PER_S);
    assert_int_equal(fired, 1);
    advance(fake.now_ns + 2 * NS_PER_S);
    assert_int_equal(fired, 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(deadlines_near_and_far_fire_on_time),
        CASE(entry_starts_itself_again),
        CASE(entry_stops_another_that_is_due_too),
        CASE(past_and_moved_deadlines_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
