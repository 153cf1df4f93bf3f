/* run_files_test.c - pid file, ports file, signals to and from a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/run_files.h"
#include "cmd/signals.h"
#include "cmd/tool_signal.h"
#include "store/base/err.h"

static char dir[64];
static char text[4096];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/gannet-run-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *contents(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static void pid_file_holds_the_number_alone(void **state)
{
    char path[128], pid[32];
    (void)state;
    snprintf(path, sizeof path, "%s/pid", dir);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(run_files_write_pid(path), 0);
    assert_string_equal(contents(path), pid);
    run_files_remove(path);
    run_files_remove(path);
    run_files_remove(NULL);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(run_files_write_pid("/no/such/dir/pid"), E_NOTFOUND);
}

static void ports_file_lists_real_ports_under_the_programs_name(void **state)
{
    char path[256], expected[256];
    static const struct run_files_port ports[] = {
        {"nats", "nats", "0.0.0.0", 4222},
        {"monitoring", "http", "::1", 8222},
        {"cluster", "nats", "10.0.0.1", 0},
        {"websocket", "ws", "localhost", 80},
    };
    (void)state;
    assert_int_equal(
        run_files_write_ports(dir, "/usr/bin/nats-server", ports, 4, path, sizeof path), 0);
    snprintf(expected, sizeof expected, "%s/nats-server_%ld.ports", dir, (long)getpid());
    assert_string_equal(path, expected);
    assert_string_equal(contents(path), "{\"nats\":[\"nats://127.0.0.1:4222\"],"
                                        "\"monitoring\":[\"http://[::1]:8222\"],"
                                        "\"websocket\":[\"ws://localhost:80\"]}");
}

static struct env *env;
static char calls[16];
static void note(char c)
{
    calls[strlen(calls)] = c;
    if (strlen(calls) == 4) env_uv_stop(env);
}
static void on_stop(void *ctx)
{
    (void)ctx;
    note('s');
    kill(getpid(), SIGHUP);
}
static void on_reopen(void *ctx)
{
    (void)ctx;
    note('o');
}
static void on_lame_duck(void *ctx)
{
    (void)ctx;
    note('l');
    kill(getpid(), SIGUSR1);
}
static void on_reload(void *ctx)
{
    (void)ctx;
    note('r');
    kill(getpid(), SIGUSR2);
}

static void signals_become_calls_on_the_loop(void **state)
{
    (void)state;
    env = env_uv_new();
    struct signals_options o = {.env = env,
                                .stop = on_stop,
                                .reopen = on_reopen,
                                .lame_duck = on_lame_duck,
                                .reload = on_reload};
    struct signals *s = signals_new(&o);
    kill(getpid(), SIGTERM);
    env_uv_run(env);
    assert_string_equal(calls, "srlo");
    signals_free(s);
    env_uv_free(env);
}

static void a_word_is_sent_as_its_signal(void **state)
{
    char path[128], command[160], error[1024];
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof path, "%s/pid", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%ld\n", (long)child);
    fclose(f);
    snprintf(command, sizeof command, "ldm=%s", path);
    assert_int_equal(tool_signal_send(command, error, sizeof error), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
    assert_int_equal(tool_signal_send("hello", error, sizeof error), E_INVAL);
    assert_string_equal(error, "unknown signal \"hello\"");
    assert_int_equal(tool_signal_send("stop=nofile", error, sizeof error), E_INVAL);
    assert_string_equal(error, "invalid pid: nofile");
    assert_int_equal(tool_signal_number("quit"), SIGINT);
    assert_int_equal(tool_signal_number("term"), SIGTERM);
    assert_int_equal(tool_signal_number("reload"), SIGHUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pid_file_holds_the_number_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(ports_file_lists_real_ports_under_the_programs_name, setup,
                                        teardown),
        cmocka_unit_test(signals_become_calls_on_the_loop),
        cmocka_unit_test_setup_teardown(a_word_is_sent_as_its_signal, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
