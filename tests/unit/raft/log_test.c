/* log_test.c - the log against its disk: what survives. */
#include "tests/unit/raft/log_rig.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
