#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "broker/broker.h"
#include "broker/monitor/monitor.h"
#include "store/base/logger.h"
#include "tests/unit/broker/fake.h"

/* ---- queries, times ---- */

static void queries_are_decoded_and_bounded(void **state)
{
    (void)state;
    static struct monitor_query q;
    monitor_query_url(&q, TEXT("subs=detail&user=a%20b+c&limit=12&auth=1&x"));
    assert_false(q.bad);
    assert_string_equal(monitor_query_text(&q, "subs"), "detail");
    assert_string_equal(monitor_query_text(&q, "user"), "a b c");
    assert_int_equal(monitor_query_number(&q, "limit", 0), 12);
    assert_int_equal(monitor_query_number(&q, "offset", 7), 7);
    assert_true(monitor_query_flag(&q, "auth"));
    assert_false(monitor_query_flag(&q, "none"));
    assert_string_equal(monitor_query_text(&q, "x"), "");
    static const char *const bad[] = {"a=%", "a=%4", "a=%zz", "a=%00",
                                      "0123456789012345678901234567890123456789=1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        monitor_query_url(&q, text_of(bad[i]));
        if (!q.bad) fail_msg("'%s' was taken", bad[i]);
    }
    static const char *const not_numbers[] = {"n=-1", "n=x", "n=99999999999999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(not_numbers); i++) {
        monitor_query_url(&q, text_of(not_numbers[i]));
        (void)monitor_query_number(&q, "n", 0);
        if (!q.bad) fail_msg("'%s' was taken", not_numbers[i]);
    }
}

static void options_of_sys_requests_get_the_names_of_the_url(void **state)
{
    (void)state;
    static struct monitor_query q;
    assert_true(monitor_query_json(
        &q, TEXT("{\"subscriptions_detail\":true,\"limit\":5,\"leader_only\":true,\"auth\":false,"
                 "\"server_name\":\"n1\",\"tags\":[\"a\"]}")));
    assert_string_equal(monitor_query_text(&q, "subs"), "detail");
    assert_int_equal(monitor_query_number(&q, "limit", 0), 5);
    assert_true(monitor_query_flag(&q, "leader-only"));
    assert_false(monitor_query_flag(&q, "auth"));
    assert_string_equal(monitor_query_text(&q, "server_name"), "n1");
    assert_true(monitor_query_json(&q, (struct text){0}));
    assert_false(monitor_query_json(&q, TEXT("[]")));
    assert_false(monitor_query_json(&q, TEXT("{")));
}

static void times_are_shown_as_nats_server_does(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *uptime, *duration;
    } rows[] = {
        {0, "0s", "0ns"},
        {1500, "0s", "1.5\xc2\xb5s"},
        {1234567, "0s", "1.234567ms"},
        {59 * NS_PER_S, "59s", "59s"},
        {3661 * NS_PER_S, "1h1m1s", "3661s"},
        {90061 * NS_PER_S, "1d1h1m1s", "90061s"},
        {UINT64_C(31626061) * NS_PER_S, "1y1d1h1m1s", "31626061s"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[64];
        monitor_uptime(rows[i].ns, text, sizeof text);
        assert_string_equal(text, rows[i].uptime);
        monitor_duration(rows[i].ns, text, sizeof text);
        assert_string_equal(text, rows[i].duration);
    }
}

/* ---- a whole broker, without JetStream ---- */

struct fixture {
    struct fake_env env;
    struct fake_net net;
    struct broker_options o;
    struct broker *broker;
};

static void no_log(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(sizeof *f);
    logger_redirect(no_log);
    fake_env_init(&f->env);
    fake_net_init(&f->net);
    f->o = (struct broker_options){.env = &f->env.base,
                                   .net = &f->net.base,
                                   .server_name = "n1",
                                   .version = "2.12.0",
                                   .host = "127.0.0.1",
                                   .http_port = 0};
    f->o.accounts = accounts_new();
    struct broker_parts parts = {.self = 1};
    assert_int_equal(broker_open(&f->o, &parts, &f->broker), 0);
    *state = f;
    return 0;
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool closed = false;
    broker_close(f->broker, on_closed, &closed);
    fake_turn(&f->env);
    LIST_FOREACH_SAFE (at, next, &f->net.socks) {
        fake_sock_free(CONTAINER_OF(at, struct fake_sock, node));
    }
    fake_advance(&f->env, 10 * NS_PER_MS);
    assert_true(closed);
    accounts_free(f->o.accounts);
    assert_true(list_empty(&f->env.timers));
    free(f);
    return 0;
}

/* The monitoring port was the last to listen: its accept is the fake network's. */
static const char *get(struct fixture *f, const char *request, size_t piece)
{
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    char line[2048];
    int n = snprintf(line, sizeof line, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                     request);
    (void)fake_feed(s, line, (size_t)n, piece);
    const char *got = fake_got(s);
    assert_true(s->closing);
    fake_reap(&f->net, &f->env);
    fake_sock_free(s);
    return got;
}

struct get_case {
    const char *path;
    int status;
    const char *has;
};
/* clang-format off */
static const struct get_case get_cases[] = {
    {"/varz", 200, "\"server_name\": \"n1\""},
    {"/connz", 200, "\"connections\": []"},
    {"/connz?sort=foo", 400, "invalid sorting option"},
    {"/connz?sort=stop", 400, "only for closed"},
    {"/connz?limit=-1", 400, "error decoding query"},
    {"/connz?state=what", 400, "state"},
    {"/routez", 200, "\"num_routes\": 0"},
    {"/subsz?subs=1&test=a", 200, "\"subscriptions_list\": []"},
    {"/subsz?test=a.*", 400, "invalid test subject"},
    {"/accountz", 200, "\"$SYS\""},
    {"/accountz?acc=$G", 200, "\"account_detail\""},
    {"/accountz?acc=none", 400, "does not exist"},
    {"/accstatz?unused=1", 200, "\"account_statz\""},
    {"/jsz", 200, "\"disabled\": true"},
    {"/leafz", 200, "\"leafs\": []"},
    {"/healthz", 200, "{\"status\":\"ok\"}"},
    {"/healthz?js-enabled-only=true", 503, "{\"status\":\"unavailable\",\"error\":\"JetStream not enabled\"}"},
    {"/healthz?js-enabled=true&details=true", 503, "\"errors\":[{\"type\":\"JETSTREAM\""},
    {"/healthz?stream=S", 400, "\\\"account\\\" must not be empty"},
    {"/livez", 200, "ok"},
    {"/readyz", 503, "not accepted yet"},
    {"/startupz", 200, "ok"},
    {"/metrics", 200, "\nnats_varz_connections{server_id="},
    {"/", 200, "<h1>Gannet</h1>"},
    {"/none", 404, "not found"},
    {"/varz%", 404, ""},
};
/* clang-format on */

static void each_endpoint_answers(void **state)
{
    struct fixture *f = *state;
    for (const struct get_case *c = get_cases; c < ARRAY_END(get_cases); c++) {
        const char *got = get(f, c->path, SIZE_MAX);
        int status = 0;
        if (sscanf(got, "HTTP/1.1 %d", &status) != 1 || status != c->status)
            fail_msg("%s gave '%.200s'", c->path, got);
        const char *body = strstr(got, "\r\n\r\n");
        if (body == NULL || strstr(body, c->has) == NULL)
            fail_msg("%s: no '%s' in '%s'", c->path, c->has, got);
        if (status == 200 && strstr(got, "application/json") != NULL) {
            json_t *json = json_loads(body, 0, NULL);
            if (json == NULL) fail_msg("%s is no JSON: %s", c->path, body);
            json_decref(json);
        }
    }
    assert_non_null(strstr(get(f, "/healthz", 1), "200 OK")); /* one byte at a time */
}

static void what_is_no_request_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"POST /varz HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"},
        {"PING\r\n\r\n", "HTTP/1.1 400"},
        {"CONNECT {\"verbose\":false}\r\n", "HTTP/1.1 400"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fake_sock *s = fake_connect(&f->net, &f->env);
        (void)fake_feed(s, rows[i].in, strlen(rows[i].in), SIZE_MAX);
        const char *got = fake_got(s);
        if (strncmp(got, rows[i].out, strlen(rows[i].out)) != 0)
            fail_msg("'%s' gave '%s'", rows[i].in, got);
        assert_true(s->closing);
        fake_reap(&f->net, &f->env);
        fake_sock_free(s);
    }
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    char line[300];
    memset(line, 'a', sizeof line);
    (void)fake_feed(s, "GET /", 5, SIZE_MAX);
    for (int i = 0; i < 100 && fake_feed(s, line, sizeof line, SIZE_MAX); i++) {
    }
    assert_true(s->closing);
}

/* ---- clients, and what is told about them ---- */

static struct fake_sock *client(struct fixture *f)
{
    static const char in[] = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,"
                             "\"name\":\"me\",\"lang\":\"c\"}\r\nPING\r\nSUB in.* 1\r\n";
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    (void)fake_feed(s, in, sizeof in - 1, SIZE_MAX);
    fake_turn(&f->env);
    (void)fake_got(s);
    return s;
}

static const char *
ask(struct fixture *f, struct fake_sock *s, const char *subject, const char *body)
{
    char line[512];
    int n = snprintf(line, sizeof line, "PUB %s in.1 %zu\r\n%s\r\n", subject, strlen(body), body);
    (void)fake_feed(s, line, (size_t)n, SIZE_MAX);
    fake_turn(&f->env);
    return fake_got(s);
}

static void the_system_account_is_answered_and_others_are_not(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(broker_listen(f->broker), 0);
    struct fake_sock *s = client(f);
    assert_non_null(strstr(ask(f, s, "$SYS.REQ.SERVER.PING.VARZ", ""), "503"));
    assert_non_null(strstr(ask(f, s, "$SYS.REQ.USER.INFO", ""), "\"account\":\"$G\""));
    fake_sock_free(s);
    f->o.no_auth_account = accounts_system(f->o.accounts);
    s = client(f);
    static const struct {
        const char *subject, *body, *has;
    } rows[] = {
        {"$SYS.REQ.SERVER.PING", "", "\"statsz\":{\"start\":"},
        {"$SYS.REQ.SERVER.PING", "{\"server_name\":\"n\"}", "\"statsz\":{"},
        {"$SYS.REQ.SERVER.PING.VARZ", "", "\"data\":{\"server_id\":"},
        {"$SYS.REQ.SERVER.PING.CONNZ", "{\"subscriptions\":true}",
         "\"subscriptions_list\":[\"in.*\"]"},
        {"$SYS.REQ.SERVER.PING.CONNZ", "{\"sort\":\"x\"}", "\"error\":{\"code\":400"},
        {"$SYS.REQ.SERVER.PING.IDZ", "", "{\"server\":{\"name\":\"n1\""},
        {"$SYS.REQ.SERVER.PING.NONE", "", "\"error\":{\"code\":404"},
        {"$SYS.REQ.SERVER.PING.VARZ", "{", "\"error\":{\"code\":400"},
        {"$SYS.REQ.ACCOUNT.$SYS.CONNZ", "", "\"num_connections\":1"},
        {"$SYS.REQ.ACCOUNT.$G.INFO", "", "\"account_name\":\"$G\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *got = ask(f, s, rows[i].subject, rows[i].body);
        if (strstr(got, rows[i].has) == NULL) fail_msg("%s gave '%s'", rows[i].subject, got);
    }
    assert_string_equal(ask(f, s, "$SYS.REQ.SERVER.PING", "{\"server_name\":\"other\"}"), "");
    char subject[128];
    (void)snprintf(subject, sizeof subject, "$SYS.REQ.SERVER.%s.SUBSZ", f->o.server_id);
    assert_non_null(strstr(ask(f, s, subject, ""), "\"num_subscriptions\":"));
}

static void clients_that_come_and_go_are_events(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(broker_listen(f->broker), 0);
    f->o.no_auth_account = accounts_system(f->o.accounts);
    struct fake_sock *watcher = client(f);
    (void)fake_feed(watcher, "SUB $SYS.ACCOUNT.> 9\r\n", 22, SIZE_MAX);
    f->o.no_auth_account = NULL;
    struct fake_sock *s = client(f);
    fake_turn(&f->env);
    const char *got = fake_got(watcher);
    assert_non_null(strstr(got, "MSG $SYS.ACCOUNT.$G.CONNECT 9 "));
    assert_non_null(strstr(got, "\"name\":\"me\""));
    fake_sock_free(s);
    fake_turn(&f->env);
    got = fake_got(watcher);
    assert_non_null(strstr(got, "MSG $SYS.ACCOUNT.$G.DISCONNECT 9 "));
    assert_non_null(strstr(got, "\"reason\":\"Client Closed\""));
}

static void on_lame_done(void *ctx)
{
    *(bool *)ctx = true;
}

static void a_lame_duck_sends_its_clients_away_one_by_one(void **state)
{
    struct fixture *f = *state;
    bool done = false;
    f->o.lame_duck_duration_ns = 12 * NS_PER_S;
    f->o.lame_duck_grace_ns = 10 * NS_PER_S;
    assert_int_equal(broker_listen(f->broker), 0);
    struct fake_sock *clients[4];
    for (size_t i = 0; i < 4; i++)
        clients[i] = client(f);
    broker_lame_duck(f->broker, on_lame_done, &done);
    fake_advance(&f->env, 9 * NS_PER_S);
    for (size_t i = 0; i < 4; i++)
        assert_false(clients[i]->closing);
    fake_advance(&f->env, 1200 * NS_PER_MS);
    size_t gone = 0;
    for (size_t i = 0; i < 4; i++)
        gone += clients[i]->closing;
    assert_int_equal(gone, 1);
    assert_false(done);
    fake_advance(&f->env, 2 * NS_PER_S);
    for (size_t i = 0; i < 4; i++)
        assert_true(clients[i]->closing);
    assert_true(done);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_decoded_and_bounded),
        cmocka_unit_test(options_of_sys_requests_get_the_names_of_the_url),
        cmocka_unit_test(times_are_shown_as_nats_server_does),
        TEST(each_endpoint_answers),
        TEST(what_is_no_request_is_refused),
        TEST(the_system_account_is_answered_and_others_are_not),
        TEST(clients_that_come_and_go_are_events),
        TEST(a_lame_duck_sends_its_clients_away_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
