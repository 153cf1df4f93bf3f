/* check_test.c - how a node dies on purpose, and what a log line looks like; in child processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/check.h"
#include "store/base/err.h"
#include "store/base/logger.h"

static char output[65536];

/* Runs body in a child; its stderr goes to output, its exit status is returned. */
static int run(void (*body)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(ends[0], output + got, sizeof output - 1 - got)) > 0;)
        got += (size_t)n;
    output[got] = 0;
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void true_things(void)
{
    int a = 1, b = 1;
    CHECK(a == b || a == 3);
    CHECK_EQ(a, b);
    CHECK(!(a != b));
}
static void false_thing(void)
{
    int a = 1;
    CHECK(a == 2);
}
static void unequal_things(void)
{
    CHECK_EQ(1 + 1, 3);
}
static void disk_gone(void)
{
    FATAL(EXIT_DISK, "segment %d: %s", 12, "no space");
}

static void checks_end_the_process_with_values(void **state)
{
    (void)state;
    assert_int_equal(run(true_things), 0);
    assert_int_equal(run(false_thing), EXIT_BUG);
    assert_non_null(strstr(output, "[FTL]"));
    assert_non_null(strstr(output, "a == 2"));
    assert_int_equal(run(unequal_things), EXIT_BUG);
    assert_non_null(strstr(output, "(2, 3)"));
    assert_int_equal(run(disk_gone), EXIT_DISK);
    assert_non_null(strstr(output, "segment 12: no space"));
}

static void some_lines(void)
{
    struct logger_options o = {.time = true, .time_utc = true};
    if (logger_open(&o) != 0) _exit(9);
    LOG(INF, "Server is ready");
    LOG(DBG, "not wanted");
    o = (struct logger_options){.debug = true};
    if (logger_open(&o) != 0) _exit(9);
    LOG(DBG, "wanted");
    LOG_CODE(WRN, LOG_CORRUPT, "segment %d", 7);
    o = (struct logger_options){.json = true};
    if (logger_open(&o) != 0) _exit(9);
    LOG(ERR, "a \"quoted\" word");
}

static void lines_have_the_form_that_tools_parse(void **state)
{
    (void)state;
    int pid, year, month, day, hour, minute, second, us, end = 0;
    assert_int_equal(run(some_lines), 0);
    assert_int_equal(sscanf(output, "[%d] %4d/%2d/%2d %2d:%2d:%2d.%6d [INF] Server is ready%n",
                            &pid, &year, &month, &day, &hour, &minute, &second, &us, &end),
                     8);
    assert_true(end > 0);
    assert_null(strstr(output, "not wanted"));
    assert_non_null(strstr(output, "] [DBG] wanted\n"));
    assert_non_null(strstr(output, "] [WRN] segment 7 (LOG-CORRUPT)\n"));
    assert_non_null(strstr(output, "{\"level\":\"error\",\"service\":\"nats\",\"time\":\"20"));
    assert_non_null(strstr(output, "\"message\":\"a \\\"quoted\\\" word\"}\n"));
}

static char folder[] = "/tmp/gannet-log-XXXXXX";

static void rotated_lines(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/log", folder);
    struct logger_options o = {.file = path, .bytes_max = 100, .files_max = 2};
    if (logger_open(&o) != 0) _exit(9);
    for (int i = 0; i < 40; i++)
        LOG(INF, "line %d of a log that is rotated", i);
    o.file = "/nowhere/at/all";
    if (logger_open(&o) != E_IO) _exit(8);
}

static void a_full_file_is_rotated_and_old_ones_go(void **state)
{
    (void)state;
    char command[128];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(run(rotated_lines), 0);
    snprintf(command, sizeof command, "test $(ls %s | wc -l) = 3 && grep -q 'line 39' %s/log",
             folder, folder);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void errors_have_texts(void **state)
{
    (void)state;
    assert_string_equal(err_text(0), "ok");
    assert_string_equal(err_text(E_FULL), "no space or budget left");
    assert_string_equal(err_text(-999), "unknown error");
    assert_string_equal(err_text(5), "unknown error");
    assert_int_equal(err_from_errno(2), E_NOTFOUND);
    assert_int_equal(err_from_errno(9999), E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_end_the_process_with_values),
        cmocka_unit_test(lines_have_the_form_that_tools_parse),
        cmocka_unit_test(a_full_file_is_rotated_and_old_ones_go),
        cmocka_unit_test(errors_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
