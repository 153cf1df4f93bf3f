/* conf_apply_test.c - from the configuration to what components are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cmd/conf_apply.h"

static struct conf conf;
static struct conf_applied applied;
static struct node_options options;

static int fake_space(struct env *e, const char *path, uint64_t *total, uint64_t *free_bytes)
{
    (void)e;
    *total = 2000;
    *free_bytes = 1000;
    return strcmp(path, "/data") == 0 ? 0 : -1; /* /data/sub is not there yet */
}
static const struct env_ops fake_ops = {.disk_space = fake_space};
static struct env fake = {.ops = &fake_ops};

static void apply(const char *text)
{
    conf_apply_free(&applied);
    conf_free(&conf);
    conf_init(&conf);
    if (conf_read_text(&conf, "f", text_of(text)) != 0) fail_msg("%s", conf.error);
    if (conf_finish(&conf) != 0) fail_msg("%s", conf.error);
    options = (struct node_options){0};
    conf_apply(&conf, &fake, &applied, &options);
}

static int teardown(void **state)
{
    (void)state;
    conf_apply_free(&applied);
    conf_free(&conf);
    return 0;
}

static struct account *account(const char *name)
{
    return accounts_get(applied.accounts, text_of(name));
}

static void nothing_configured_means_open_and_without_jetstream(void **state)
{
    (void)state;
    apply("");
    assert_int_equal(options.broker.port, 4222);
    assert_int_equal(options.broker.http_port, -1);
    assert_false(options.broker.jetstream);
    assert_false(options.broker.auth_required);
    assert_false(options.clustered);
    assert_false(account("$G")->jetstream);
    assert_true(account("$SYS")->system);
    assert_int_equal(options.broker.max_connections, 65536);
}

static void ports_of_minus_one_are_any(void **state)
{
    (void)state;
    apply("port: -1\nhttp: -1\nserver_name: n\ncluster { name: c, port: -1, routes: "
          "[nats://u:p@h:1] }");
    assert_int_equal(options.broker.port, 0);
    assert_int_equal(options.broker.http_port, 0);
    assert_true(options.clustered);
    assert_int_equal(options.cluster_port, 0);
    assert_string_equal(options.broker.cluster_name, "c");
    assert_string_equal(options.routes[0].host, "h");
    assert_string_equal(options.cluster_user, "u");
}

static void jetstream_takes_shares_of_the_machine(void **state)
{
    (void)state;
    apply("jetstream { store_dir: /data/sub }");
    assert_true(options.broker.jetstream);
    assert_string_equal(options.store_dir, "/data/sub");
    assert_int_equal(options.broker.js_max_file, 750);
    assert_true(options.broker.js_max_memory > 0);
    assert_true(account("$G")->jetstream);
    apply("jetstream { max_mem: 5, max_file: 6, domain: d }");
    assert_int_equal(options.broker.js_max_memory, 5);
    assert_int_equal(options.broker.js_max_file, 6);
    assert_string_equal(options.broker.domain, "d");
    assert_non_null(strstr(options.store_dir, "/nats"));
}

static void accounts_have_jetstream_when_they_ask_for_it(void **state)
{
    (void)state;
    apply("jetstream: true\nsystem_account: S\nno_auth_user: b\naccounts {\n"
          " S { users: [{user: s, password: s}] }\n"
          " A { users: [{user: a, password: a}], jetstream { max_streams: 3 }, limits { max_conn: "
          "9 } }\n"
          " B { users: [{user: b}] }\n}");
    assert_false(account("$G")->jetstream);
    assert_true(account("A")->jetstream);
    assert_false(account("B")->jetstream);
    assert_int_equal(account("A")->max_streams, 3);
    assert_int_equal(account("A")->max_memory, -1);
    assert_int_equal(account("A")->max_conns, 9);
    assert_true(account("S")->system);
    assert_false(account("$SYS")->system);
    assert_int_equal(options.broker.user_count, 3);
    assert_string_equal(options.broker.no_auth_user->name, "b");
    assert_string_equal(options.broker.no_auth_user->password, "");
    assert_ptr_equal(options.broker.no_auth_user->account, account("B"));
    assert_true(options.broker.auth_required);
}

static void users_of_the_system_account_alone_leave_the_server_open(void **state)
{
    (void)state;
    apply("accounts { $SYS { users: [{user: admin, password: x}] } }\njetstream: true");
    assert_non_null(options.broker.no_auth_user);
    assert_ptr_equal(options.broker.no_auth_user->account, account("$G"));
    assert_true(account("$G")->jetstream);
    apply("accounts { $SYS { users: [{user: admin, password: x}] } }\nauthorization { user: u, "
          "password: p }");
    assert_null(options.broker.no_auth_user);
    assert_int_equal(options.broker.user_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_configured_means_open_and_without_jetstream),
        cmocka_unit_test(ports_of_minus_one_are_any),
        cmocka_unit_test(jetstream_takes_shares_of_the_machine),
        cmocka_unit_test(accounts_have_jetstream_when_they_ask_for_it),
        cmocka_unit_test(users_of_the_system_account_alone_leave_the_server_open),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
