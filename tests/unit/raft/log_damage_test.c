/* log_damage_test.c - the log against its disk: what is cut, what is never accepted. */
#include "tests/unit/raft/log_rig.h"

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
