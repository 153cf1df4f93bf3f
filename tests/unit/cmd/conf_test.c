/* conf_test.c - config text to the effective configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "broker/auth/permissions.h"
#include "cmd/conf.h"
#include "cmd/conf_keys.h"
#include "cmd/conf_value.h"
#include "store/base/err.h"
#include "store/base/units.h"

static struct conf conf;

/* The rc of the first step that failed. */
static int load(const char *text)
{
    conf_free(&conf);
    conf_init(&conf);
    int rc = conf_read_text(&conf, "f", text_of(text));
    return rc == 0 ? conf_finish(&conf) : rc;
}

static void expect_load(const char *text)
{
    if (load(text) != 0) fail_msg("'%s' gave %s", text, conf.error);
}

static int teardown(void **state)
{
    (void)state;
    conf_free(&conf);
    return 0;
}

static void an_empty_config_has_the_servers_defaults(void **state)
{
    (void)state;
    expect_load("");
    assert_string_equal(conf.listen.host, "0.0.0.0");
    assert_int_equal(conf.listen.port, 4222);
    assert_int_equal(conf.http.port, 0);
    assert_int_equal(conf.cluster.listen.port, 0);
    assert_int_equal(conf.max_payload, 1 << 20);
    assert_int_equal(conf.max_control_line, 4096);
    assert_int_equal(conf.max_pending, 64 << 20);
    assert_int_equal(conf.max_connections, 65536);
    assert_int_equal(conf.ping_interval_ns, 120 * NS_PER_S);
    assert_int_equal(conf.ping_max, 2);
    assert_int_equal(conf.write_deadline_ns, 10 * NS_PER_S);
    assert_int_equal(conf.authorization.timeout_ns, 2 * NS_PER_S);
    assert_int_equal(conf.lame_duck_duration_ns, 120 * NS_PER_S);
    assert_int_equal(conf.lame_duck_grace_ns, 10 * NS_PER_S);
    assert_true(conf.logtime);
    assert_false(conf.jetstream.enabled);
    assert_int_equal(conf.jetstream.max_memory, -1);
    assert_true(conf.consistent_reads);
    assert_null(conf.server_name);
    assert_int_equal(conf.warnings.count, 0);
}

static void core_keys_arrive_under_all_their_names(void **state)
{
    (void)state;
    expect_load("listen: localhost:-1\nhttp: 127.0.0.1:8222\nmax_conn: 10\nMAX_PAYLOAD: 2MB\n"
                "ping_interval: \"200ms\"\nwrite_deadline: 5\npidfile: '/x'\nserver_tags: [a, b]\n"
                "lame_duck_duration: 30s\nauthorization { timeout: 0.5 }\ndebug: yes\n");
    assert_string_equal(conf.listen.host, "localhost");
    assert_int_equal(conf.listen.port, -1);
    assert_string_equal(conf.http.host, "127.0.0.1");
    assert_int_equal(conf.http.port, 8222);
    assert_int_equal(conf.max_connections, 10);
    assert_int_equal(conf.max_payload, 2 << 20);
    assert_int_equal(conf.ping_interval_ns, 200 * NS_PER_MS);
    assert_int_equal(conf.write_deadline_ns, 5 * NS_PER_S);
    assert_int_equal(conf.authorization.timeout_ns, NS_PER_S / 2);
    assert_string_equal(conf.pid_file, "/x");
    assert_string_equal(conf.server_tags.at[1], "b");
    assert_true(conf.debug);
}

static const struct js_case {
    const char *text;
    bool enabled;
    const char *store_dir;
    int64_t max_storage;
} js_cases[] = {
    {"jetstream: true", true, NULL, -1},
    {"jetstream: enabled", true, NULL, -1},
    {"jetstream: \"disabled\"", false, NULL, -1},
    {"jetstream {}", true, NULL, -1},
    {"jetstream { enabled: false, store_dir: /d }", false, "/d", -1},
    {"jetstream { store_dir: '/d', max_file: 10G, strict: false }", true, "/d", 10000000000},
    {"jetstream { max_file_store: \"10G\" }", true, NULL, INT64_C(10) << 30},
    {"jetstream { storedir: /d, limits { duplicate_window: 1m, max_ack_pending: 5 } }", true, "/d",
     -1},
};

static void jetstream_is_a_switch_or_a_map(void **state)
{
    (void)state;
    for (const struct js_case *c = js_cases; c < ARRAY_END(js_cases); c++) {
        expect_load(c->text);
        assert_int_equal(conf.jetstream.enabled, c->enabled);
        assert_int_equal(conf.jetstream.max_storage, c->max_storage);
        if (c->store_dir == NULL) assert_null(conf.jetstream.store_dir);
        if (c->store_dir != NULL) assert_string_equal(conf.jetstream.store_dir, c->store_dir);
    }
    assert_int_equal(conf.jetstream.limits.duplicate_window_ns, 60 * NS_PER_S);
}

static void routes_are_urls(void **state)
{
    (void)state;
    expect_load("server_name: n1\njetstream: true\ncluster {\n name: C\n listen: \"[::1]:6222\"\n"
                " authorization { user: u, password: p }\n advertise: a:1\n"
                " routes = [\n nats-route://u:p%40q@host-2:6223\n \"nats://host-3\"\n ]\n}\n");
    struct conf_cluster *k = &conf.cluster;
    assert_string_equal(k->name, "C");
    assert_string_equal(k->listen.host, "::1");
    assert_int_equal(k->listen.port, 6222);
    assert_string_equal(k->listen.advertise, "a:1");
    assert_string_equal(k->authorization.password, "p");
    assert_int_equal(k->route_count, 2);
    assert_string_equal(k->routes[0].host, "host-2");
    assert_int_equal(k->routes[0].port, 6223);
    assert_string_equal(k->routes[0].user, "u");
    assert_string_equal(k->routes[0].password, "p@q");
    assert_string_equal(k->routes[1].host, "host-3");
    assert_int_equal(k->routes[1].port, 6222);
    assert_null(k->routes[1].user);
    /* A name alone opens no listener. */
    expect_load("cluster { name: only }");
    assert_int_equal(conf.cluster.listen.port, 0);
}

static bool may_publish(const struct conf_user *u, const char *subject)
{
    return permissions_publish(u->permissions, text_of(subject));
}

static void users_get_their_permissions_or_the_defaults(void **state)
{
    (void)state;
    expect_load("P { publish: \"a.>\", subscribe = { allow: [x, \"y q\"], deny: z } }\n"
                "authorization {\n default_permissions { publish: [d] }\n"
                " users = [\n {user: one, password: $2a$11$abc, permissions: $P}\n"
                "  {user: two, password: 2222}\n"
                "  {user: three, permissions: { allow_responses: true }}\n"
                "  {user: four, permissions: { publish: foo, allow_responses { max: 5, expires: "
                "\"1m\" }}}\n ]\n}\n"
                "no_auth_user: two\n");
    struct conf_user *u = conf.authorization.users.at;
    assert_int_equal(conf.authorization.users.count, 4);
    assert_string_equal(u[0].password, "$2a$11$abc");
    assert_string_equal(u[1].password, "2222");
    assert_true(may_publish(&u[0], "a.b"));
    assert_false(may_publish(&u[0], "d"));
    assert_true(may_publish(&u[1], "d"));
    assert_false(may_publish(&u[1], "a.b"));
    assert_false(may_publish(&u[2], "d")); /* only answers */
    assert_int_equal(u[2].permissions->responses_max, 1);
    assert_true(u[2].permissions->responses_expires_ns == 120 * NS_PER_S);
    assert_int_equal(u[3].permissions->responses_max, 5);
    assert_int_equal(u[0].permissions->lists[PERMISSIONS_SUB_ALLOW].count, 2);
    assert_int_equal(u[0].permissions->lists[PERMISSIONS_SUB_DENY].count, 1);
}

static void accounts_have_users_limits_exports_and_imports(void **state)
{
    (void)state;
    expect_load(
        "accounts {\n A { users: [{user: a, password: a}], jetstream: enabled,\n"
        "  limits { max_conn: 3 }\n exports: [{service: \"q.*\", accounts: [B]}, {stream: s}] }\n"
        " B { users: [{user: b}], jetstream { max_mem: 1G, max_streams: 2 }\n"
        "  imports: [{service: {account: A, subject: q.1}, to: q}, {stream: {account: A, subject: "
        "s}, prefix: p}] }\n"
        " $SYS { users: [{user: admin, password: x}] }\n}\nsystem_account: '$SYS'\n");
    assert_int_equal(conf.account_count, 3);
    struct conf_account *a = &conf.accounts[0], *b = &conf.accounts[1];
    assert_string_equal(a->name, "A");
    assert_true(a->jetstream.enabled);
    assert_int_equal(a->jetstream.max_streams, -1);
    assert_int_equal(a->limits.max_connections, 3);
    assert_int_equal(a->limits.max_subscriptions, -1);
    assert_string_equal(a->exports[0].service, "q.*");
    assert_string_equal(a->exports[0].accounts.at[0], "B");
    assert_int_equal(b->jetstream.max_streams, 2);
    assert_int_equal(b->jetstream.max_memory, 1000000000);
    assert_true(b->imports[0].is_service);
    assert_string_equal(b->imports[0].account, "A");
    assert_string_equal(b->imports[1].subject, "s");
    assert_string_equal(conf.system_account, "$SYS");
    assert_int_equal(conf.warnings.count, 2);
    assert_string_equal(conf.warnings.at[0],
                        "account A: exports has no effect: it is not supported");
    assert_string_equal(conf.warnings.at[1],
                        "account B: imports has no effect: it is not supported");
}

static void other_listeners_and_tls_are_kept(void **state)
{
    (void)state;
    expect_load(
        "websocket { listen: localhost:80, no_tls: true }\nmqtt { port: 1883 }\n"
        "leafnodes { listen: 0.0.0.0:7422, remotes: [{url: x}] }\ngateway { name: g, port: 7222 }\n"
        "tls { cert_file: c, key_file: k, ca_file: ca, verify: true, timeout: 3, handshake_first: "
        "auto }\n");
    assert_int_equal(conf.websocket.listen.port, 80);
    assert_true(conf.websocket.no_tls);
    assert_int_equal(conf.mqtt.listen.port, 1883);
    assert_int_equal(conf.leafnodes.listen.port, 7422);
    assert_int_equal(conf.leafnodes.remotes->count, 1);
    assert_int_equal(conf.gateway.listen.port, 7222);
    assert_true(conf.tls.given && conf.tls.verify && conf.tls.handshake_first);
    assert_false(conf.cluster.tls.given);
    assert_int_equal(conf.tls.timeout_ns, 3 * NS_PER_S);
    assert_int_equal(conf.warnings.count, 4); /* nothing listens for the four blocks */
    assert_non_null(strstr(conf.warnings.at[0], "websocket has no effect"));
}

static const struct bad_case {
    const char *text, *error;
} bad_cases[] = {
    {"prot: 1", "f:1:1: unknown field \"prot\", did you mean \"port\"?"},
    {"\n zzzzzzzz: 1", "f:2:2: unknown field \"zzzzzzzz\""},
    {"cluster { nmae: x }", "f:1:11: unknown field \"nmae\", did you mean \"name\"?"},
    {"port: x", "f:1:1: port: expected a number, but got a string"},
    {"port: 99999", "f:1:1: port: must be from -1 to 65535"},
    {"max_payload: 65MiB", "f:1:1: max_payload: must be from 1 to 67108864"},
    {"debug: 1", "f:1:1: debug: expected a boolean, but got a number"},
    {"ping_interval: soon",
     "f:1:1: ping_interval: expected a duration like \"2s\", but got a string"},
    {"cluster: 5", "f:1:1: cluster: expected a map, but got a number"},
    {"server_name: {}", "f:1:1: server_name: expected a string, but got a map"},
    {"listen: nowhere", "f:1:1: listen: could not parse address string \"nowhere\""},
    {"authorization { users: [{user: a, permissions: {publish: \"a..b\"}}] }",
     "f:1:49: publish: subject \"a..b\" is not a valid subject"},
    {"authorization { users: [{user: a},{user: a}] }", "f:1:35: duplicate user \"a\" detected"},
    {"authorization { users: [{password: a}] }", "f:1:25: user entry requires a user"},
    {"authorization { user: a, token: b }", "cannot have a user/pass and token"},
    {"no_auth_user: x", "no_auth_user: \"x\" not present as user or nkey in authorization block or "
                        "account configuration"},
    {"cluster { routes: [nats://a:1] }",
     "solicited routes require cluster capabilities, e.g. --cluster"},
    {"jetstream: true\ncluster { name: c, port: -1 }",
     "jetstream cluster requires `server_name` to be set"},
    {"jetstream: true\nserver_name: a\ncluster { port: -1 }",
     "jetstream cluster requires `cluster.name` to be set"},
    {"server_name: 'a b'", "server name cannot contain spaces"},
    {"cluster { port: 1, routes: [\"nats://\"] }", "f:1:20: error parsing route url [\"nats://\"]"},
    {"jetstream { key: abc }", "f:1:13: key: the store is not encrypted by the server; remove the "
                               "key and encrypt the volume"},
    {"operator: x", "f:1:1: operator: operator mode (accounts from JWTs) is not supported; "
                    "configure accounts in the file"},
    {"max_payload: 8MB\nmax_pending: 1MB",
     "max_payload (8388608) cannot be higher than max_pending (1048576)"},
    {"system_account: S", "system_account: account \"S\" is not configured"},
    {"tls { verify: true }", "tls: error parsing X509 certificate/key pair: missing 'cert_file'"},
    {"prot: 1\nhots: 2", "f:1:1: unknown field \"prot\", did you mean \"port\"?\nf:2:1: unknown "
                         "field \"hots\", did you mean \"host\"?"},
};

static void errors_name_place_and_cause(void **state)
{
    (void)state;
    for (const struct bad_case *c = bad_cases; c < ARRAY_END(bad_cases); c++) {
        if (load(c->text) == 0) fail_msg("'%s' was accepted", c->text);
        if (strcmp(conf.error, c->error) != 0) fail_msg("'%s' gave\n%s", c->text, conf.error);
    }
}

static void a_variables_definition_is_no_unknown_field(void **state)
{
    (void)state;
    expect_load("PORT: 5222\nport: $PORT\nauthorization { PASS: abc, user: a, password: $PASS }");
    assert_int_equal(conf.listen.port, 5222);
    assert_string_equal(conf.authorization.password, "abc");
}

static void keys_without_effect_are_warned_about(void **state)
{
    (void)state;
    expect_load("syslog: true\njetstream { sync_interval: always }\n");
    assert_int_equal(conf.warnings.count, 2);
    assert_string_equal(conf.warnings.at[0],
                        "f:1:1: syslog has no effect: lines go to stderr or log_file");
}

static void later_settings_win(void **state)
{
    (void)state;
    conf_free(&conf);
    conf_init(&conf);
    assert_int_equal(conf_read_text(&conf, "f", TEXT("port: 1\ndebug: true")), 0);
    assert_int_equal(conf_set(&conf, "port", "2", "-p"), 0);
    assert_int_equal(conf_set(&conf, "debug", "false", "-D"), 0);
    assert_int_equal(conf_set(&conf, "jetstream.enabled", "true", "-js"), 0);
    assert_int_equal(conf_set(&conf, "cluster.listen", "nats://u:p@h:6222", "--cluster"), 0);
    assert_int_equal(conf_set(&conf, "cluster.routes", "nats://a:1,nats://b:2", "--routes"), 0);
    assert_int_equal(conf_set(&conf, "authorization.token", "123", "--auth"), 0);
    assert_int_equal(conf.listen.port, 2);
    assert_false(conf.debug);
    assert_true(conf.jetstream.enabled);
    assert_string_equal(conf.cluster.listen.host, "h");
    assert_string_equal(conf.cluster.authorization.user, "u");
    assert_int_equal(conf.cluster.route_count, 2);
    assert_string_equal(conf.cluster.routes[1].host, "b");
    assert_string_equal(conf.authorization.token, "123");
    assert_int_equal(conf_set(&conf, "no.such", "1", "x"), E_NOTFOUND);
    assert_int_equal(conf_set(&conf, "port", "x", "-p"), E_MALFORMED);
    assert_string_equal(conf.error, "-p: port: expected a number, but got a string");
}

static const struct duration_case {
    const char *text;
    int64_t ns; /* -1: malformed */
} duration_cases[] = {
    {"2s", 2000000000},
    {"1m30s", 90000000000},
    {"500ms", 500000000},
    {"1.5h", 5400000000000},
    {"10us", 10000},
    {"1ns", 1},
    {"0s", 0},
    {"", -1},
    {"5", -1},
    {"s", -1},
    {"1x", -1},
    {"-1s", -1},
};

static void durations_are_gos(void **state)
{
    (void)state;
    for (const struct duration_case *c = duration_cases; c < ARRAY_END(duration_cases); c++) {
        int64_t ns = -1;
        bool ok = conf_value_duration(c->text, &ns);
        if (ok != (c->ns >= 0) || (ok && ns != c->ns)) fail_msg("'%s' gave %d", c->text, ok);
    }
}

static char changes[256];
static void note_change(void *ctx, const char *path)
{
    (void)ctx;
    size_t at = strlen(changes);
    snprintf(changes + at, sizeof changes - at, "%s ", path);
}

static void a_reload_tells_changes_or_refuses(void **state)
{
    (void)state;
    struct conf now;
    expect_load("port: 1\ndebug: false\nauthorization { users: [{user: a}] }\ncluster { name: x }");
    conf_init(&now);
    changes[0] = 0;
    assert_int_equal(conf_read_text(&now, "g",
                                    TEXT("port: 1\ndebug: true\nping_max: 5\n"
                                         "authorization { users: [{user: b}] }\n"
                                         "cluster { name: x }")),
                     0);
    assert_int_equal(conf_finish(&now), 0);
    assert_int_equal(conf_diff(&conf, &now, note_change, NULL), 0);
    assert_string_equal(changes, "debug ping_max authorization.users ");
    conf_free(&now);
    conf_init(&now);
    changes[0] = 0;
    assert_int_equal(conf_read_text(&now, "g", TEXT("port: 2\ndebug: true\ncluster { name: y }")),
                     0);
    assert_int_equal(conf_finish(&now), 0);
    assert_int_equal(conf_diff(&conf, &now, note_change, NULL), E_INVAL);
    assert_string_equal(now.error, "config reload not supported for port: old=1, new=2\n"
                                   "config reload not supported for cluster.name: old=x, new=y");
    assert_string_equal(changes, "");
    conf_free(&now);
}

/* The table is used by name: a name twice in a section would hide its second row. */
static void each_key_is_found_by_its_own_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_keys_count; i++) {
        const char *at = conf_keys[i].names;
        for (;;) {
            char name[64];
            size_t bytes = strcspn(at, "|");
            assert_true(bytes > 0 && bytes < sizeof name);
            memcpy(name, at, bytes);
            name[bytes] = 0;
            if (conf_keys_find(conf_keys[i].section, name) != &conf_keys[i]) fail_msg("%s", name);
            if (at[bytes] == 0) break;
            at += bytes + 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_config_has_the_servers_defaults),
        cmocka_unit_test(core_keys_arrive_under_all_their_names),
        cmocka_unit_test(jetstream_is_a_switch_or_a_map),
        cmocka_unit_test(routes_are_urls),
        cmocka_unit_test(users_get_their_permissions_or_the_defaults),
        cmocka_unit_test(accounts_have_users_limits_exports_and_imports),
        cmocka_unit_test(other_listeners_and_tls_are_kept),
        cmocka_unit_test(errors_name_place_and_cause),
        cmocka_unit_test(a_variables_definition_is_no_unknown_field),
        cmocka_unit_test(keys_without_effect_are_warned_about),
        cmocka_unit_test(later_settings_win),
        cmocka_unit_test(durations_are_gos),
        cmocka_unit_test(a_reload_tells_changes_or_refuses),
        cmocka_unit_test(each_key_is_found_by_its_own_row),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
