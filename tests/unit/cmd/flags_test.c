/* flags_test.c - command lines, and what they put into the config. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/conf.h"
#include "cmd/flags.h"
#include "store/base/err.h"

static struct flags flags;
static struct conf conf;
static char line[512];
static char *words[32];

/* Splits at blanks; the first word is the program. */
static int parse(const char *text)
{
    int count = 0;
    char *rest = NULL;
    snprintf(line, sizeof line, "nats-server %s", text);
    for (char *w = strtok_r(line, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
        words[count++] = w;
    return flags_parse(count, words, &flags);
}

static int apply(const char *text)
{
    conf_free(&conf);
    conf_init(&conf);
    int rc = parse(text);
    return rc == 0 ? flags_apply(&flags, &conf) : rc;
}

static int teardown(void **state)
{
    (void)state;
    conf_free(&conf);
    return 0;
}

static void flags_of_either_dash_reach_the_config(void **state)
{
    (void)state;
    assert_int_equal(
        apply("-p 5222 --addr=127.0.0.1 -js --store_dir /d -D -T=false -m -1 --name n1 "
              "--cluster_name C -cluster nats-route://h:-1 --routes nats://a:1,nats://b:2 "
              "-P /run/pid --user u --pass p -DV"),
        0);
    assert_int_equal(conf.listen.port, 5222);
    assert_string_equal(conf.listen.host, "127.0.0.1");
    assert_true(conf.jetstream.enabled);
    assert_string_equal(conf.jetstream.store_dir, "/d");
    assert_true(conf.debug && conf.trace);
    assert_false(conf.logtime);
    assert_int_equal(conf.http.port, -1);
    assert_string_equal(conf.server_name, "n1");
    assert_string_equal(conf.cluster.name, "C");
    assert_int_equal(conf.cluster.listen.port, -1);
    assert_int_equal(conf.cluster.route_count, 2);
    assert_string_equal(conf.authorization.password, "p");
    assert_int_equal(flags.action, FLAGS_RUN);
}

static const struct action_case {
    const char *text;
    enum flags_action action;
} action_cases[] = {
    {"", FLAGS_RUN},
    {"-v", FLAGS_VERSION},
    {"--version", FLAGS_VERSION},
    {"version", FLAGS_VERSION},
    {"help", FLAGS_HELP},
    {"-h", FLAGS_HELP},
    {"-c x -t", FLAGS_TEST},
    {"-sl ldm=5", FLAGS_SIGNAL},
    {"--help_tls", FLAGS_HELP_TLS},
    {"-v=false", FLAGS_RUN},
};

static void some_flags_say_what_to_do(void **state)
{
    (void)state;
    for (const struct action_case *c = action_cases; c < ARRAY_END(action_cases); c++) {
        assert_int_equal(parse(c->text), 0);
        if (flags.action != c->action) fail_msg("'%s' gave %d", c->text, flags.action);
    }
    assert_int_equal(parse("--signal=stop=/run/pid"), 0);
    assert_string_equal(flags.signal, "stop=/run/pid");
    assert_int_equal(parse("-p 1 doctor --deep x"), 0);
    assert_string_equal(flags.command, "doctor");
    assert_int_equal(flags.command_argc, 3);
    assert_string_equal(flags.command_argv[2], "x");
}

static const struct bad_case {
    const char *text, *error;
} bad_cases[] = {
    {"--nope", "flag provided but not defined: -nope"},
    {"-p", "flag needs an argument: -p"},
    {"-js=maybe", "invalid boolean value \"maybe\" for -js=maybe"},
};

static void wrong_flags_are_refused_by_name(void **state)
{
    (void)state;
    for (const struct bad_case *c = bad_cases; c < ARRAY_END(bad_cases); c++) {
        assert_int_equal(parse(c->text), E_INVAL);
        assert_string_equal(flags.error, c->error);
    }
    assert_int_equal(apply("-p abc"), E_MALFORMED);
    assert_string_equal(conf.error, "-p: port: expected a number, but got a string");
}

/* Each row of the table names keys that exist; the usage shows each flag. */
static void every_flag_of_the_usage_is_taken(void **state)
{
    char *text = NULL;
    size_t bytes = 0, seen = 0;
    (void)state;
    FILE *f = open_memstream(&text, &bytes);
    flags_usage(f, "nats-server");
    fclose(f);
    for (char *at = text; (at = strstr(at, "\n    -")) != NULL; seen++) {
        char command[128];
        at += 5;
        size_t name = strcspn(at, " ,\n");
        snprintf(command, sizeof command, "%.*s", (int)name, at);
        char *end = strchr(at, '\n'), *value = memchr(at, '<', (size_t)(end - at));
        if (value != NULL) snprintf(command + name, sizeof command - name, "=%s", "1");
        if (strcmp(command, "--routes=1") == 0) continue;
        if (apply(command) != 0) fail_msg("%s: %s%s", command, flags.error, conf.error);
    }
    assert_true(seen > 30);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_of_either_dash_reach_the_config),
        cmocka_unit_test(some_flags_say_what_to_do),
        cmocka_unit_test(wrong_flags_are_refused_by_name),
        cmocka_unit_test(every_flag_of_the_usage_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
