#include <crypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/client/conn.h"
#include "store/base/logger.h"
#include "tests/unit/broker/fake.h"

struct fixture {
    struct fake_env env;
    struct fake_net net;
    struct broker_options o;
    struct router *router;
    struct listener *listener;
};

static void no_log(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static struct text no_urls(void *ctx)
{
    (void)ctx;
    return (struct text){0};
}

static void fixture_open(struct fixture *f)
{
    struct router_options ro = {.env = &f->env.base, .self = 1};
    f->router = router_new(&ro);
    struct listener_options lo = {.env = &f->env.base,
                                  .net = &f->net.base,
                                  .router = f->router,
                                  .broker = &f->o,
                                  .urls = no_urls};
    f->listener = listener_new(&lo);
    assert_int_equal(listener_open(f->listener), 0);
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(sizeof *f);
    logger_redirect(no_log);
    fake_env_init(&f->env);
    fake_net_init(&f->net);
    f->o = (struct broker_options){.server_name = "n1",
                                   .version = "2.12.0",
                                   .server_id = "NABC",
                                   .host = "127.0.0.1",
                                   .port = 4222,
                                   .max_payload = 1 << 20,
                                   .max_control_line = 4096,
                                   .max_pending = 64 << 20,
                                   .max_connections = 100,
                                   .ping_interval_ns = 120 * NS_PER_S,
                                   .ping_max = 2,
                                   .write_deadline_ns = 10 * NS_PER_S,
                                   .auth_timeout_ns = 2 * NS_PER_S};
    f->o.accounts = accounts_new();
    fixture_open(f);
    *state = f;
    return 0;
}

static void on_empty(void *ctx)
{
    *(bool *)ctx = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool empty = false;
    listener_close(f->listener, on_empty, &empty);
    fake_work(&f->env);
    LIST_FOREACH_SAFE (at, next, &f->net.socks) {
        fake_sock_free(CONTAINER_OF(at, struct fake_sock, node));
    }
    fake_work(&f->env);
    assert_true(empty);
    listener_free(f->listener);
    router_free(f->router);
    accounts_free(f->o.accounts);
    assert_true(list_empty(&f->env.timers));
    free(f);
    return 0;
}

/* Connects, and swallows INFO. */
static struct fake_sock *client(struct fixture *f, const char *options)
{
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    char line[512];
    int n = snprintf(line, sizeof line, "CONNECT {%s}\r\nPING\r\n", options);
    (void)fake_feed(s, line, (size_t)n, SIZE_MAX);
    fake_turn(&f->env);
    (void)fake_got(s);
    return s;
}

static void feed(struct fixture *f, struct fake_sock *s, const char *bytes)
{
    (void)fake_feed(s, bytes, strlen(bytes), SIZE_MAX);
    fake_turn(&f->env);
}

static void expect(struct fixture *f, struct fake_sock *s, const char *want)
{
    (void)f;
    const char *got = fake_got(s);
    if (strcmp(got, want) != 0) fail_msg("got '%s', wanted '%s'", got, want);
}

#define QUIET                                                                                      \
    "\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1"

/* ---- INFO ---- */

static void info_comes_at_accept_with_its_fields_in_order(void **state)
{
    struct fixture *f = *state;
    f->o.cluster_name = "C1";
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    expect(f, s,
           "INFO {\"server_id\":\"NABC\",\"server_name\":\"n1\",\"version\":\"2.12.0\",\"proto\":1,"
           "\"go\":\"c17\",\"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":"
           "1048576,\"client_id\":1,\"client_ip\":\"10.0.0.1\",\"cluster\":\"C1\"} \r\n");
    feed(f, s, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    expect(f, s, "PONG\r\n");
    f->listener->lame_duck = true;
    listener_tell_info(f->listener);
    fake_turn(&f->env);
    assert_non_null(strstr(fake_got(s), ",\"ldm\":true} \r\n"));
}

static void an_info_waits_for_the_first_pong(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    feed(f, s, "CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
    (void)fake_got(s);
    listener_tell_info(f->listener);
    fake_turn(&f->env);
    expect(f, s, "");
    feed(f, s, "PING\r\n");
    const char *got = fake_got(s);
    assert_memory_equal(got, "PONG\r\nINFO {", 12);
}

/* ---- what a session says, cut anywhere ---- */

struct session {
    const char *in, *out;
};
/* clang-format off */
static const struct session sessions[] = {
    {"PING\r\n", "PONG\r\n"},
    {"CONNECT {}\r\nPING\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nUNSUB 1\r\n",
     "+OK\r\nPONG\r\n+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n+OK\r\n"},
    {"CONNECT {" QUIET "}\r\nSUB a.* 7\r\nPUB a.b r 2\r\nhi\r\nHPUB a.c 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
     "MSG a.b 7 r 2\r\nhi\r\nHMSG a.c 7 12 13\r\nNATS/1.0\r\n\r\nx\r\n"},
    {"CONNECT {" QUIET "}\r\nSUB a 1\r\nSUB a 2\r\nSUB a 1\r\nPUB a 0\r\n\r\n", "MSG a 1 0\r\n\r\nMSG a 2 0\r\n\r\n"},
    {"CONNECT {" QUIET ",\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\n", ""},
    {"CONNECT {" QUIET "}\r\nSUB a 1\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n",
     "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n"},
    {"CONNECT {" QUIET "}\r\nSUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\n", "MSG a 1 0\r\n\r\n"},
    {"CONNECT {" QUIET "}\r\nSUB r.* 3\r\nPUB nobody r.1 0\r\n\r\n", "HMSG r.1 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"},
    {"CONNECT {" QUIET "}\r\nPUB nobody r.1 0\r\n\r\nPING\r\n", "PONG\r\n"},
    {"CONNECT {\"verbose\":false}\r\nSUB r 3\r\nPUB nobody r 0\r\n\r\nPING\r\n", "PONG\r\n"},
    {"SUB foo.>.x 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n"},
    {"CONNECT {\"verbose\":false}\r\nSUB > 1\r\nPUB a.* 0\r\n\r\n",
     "-ERR 'Invalid Publish Subject'\r\nMSG a.* 1 0\r\n\r\n"},
    {"CONNECT {" QUIET "}\r\nPUB a $JS.ACK.x 0\r\n\r\n",
     "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\n"},
    /* closing, with a word */
    {"PUB a 1\r\nxx\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"},
    {"FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"},
    {"CONNECT {\"verbose\":false,\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\n<closed>"},
    {"CONNECT {\"verbose\":false,\"no_responders\":true}\r\n",
     "-ERR 'no responders requires headers support'\r\n<closed>"},
    {"CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n<closed>"},
    {"PUB a 1048577\r\n", "-ERR 'Maximum Payload Violation'\r\n<closed>"},
    /* closing without one */
    {"PUB a\r\n", "<closed>"},
    {"CONNECT {\r\n", "<closed>"},
    {"CONNECT {\"echo\":1}\r\n", "<closed>"},
    {"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", "<closed>"},
    {"-ERR 'x'\r\nPING\r\n", "<closed>"},
};
/* clang-format on */

static void play(struct fixture *f, const struct session *session, size_t first, size_t piece)
{
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    (void)fake_got(s);
    size_t bytes = strlen(session->in);
    if (first > bytes) first = bytes;
    (void)fake_feed(s, session->in, first, SIZE_MAX);
    (void)fake_feed(s, session->in + first, bytes - first, piece);
    fake_turn(&f->env);
    fake_advance(&f->env, 50 * NS_PER_MS);
    char got[4096];
    (void)snprintf(got, sizeof got, "%.4000s%s", fake_got(s), s->closing ? "<closed>" : "");
    if (strcmp(got, session->out) != 0)
        fail_msg("'%s' cut at %zu, then by %zu, gave '%s'", session->in, first, piece, got);
    fake_reap(&f->net, &f->env);
    fake_sock_free(s);
    fake_turn(&f->env);
}

static void sessions_go_the_same_way_wherever_they_are_cut(void **state)
{
    struct fixture *f = *state;
    for (const struct session *s = sessions; s < ARRAY_END(sessions); s++) {
        for (size_t cut = 0; cut < strlen(s->in); cut++)
            play(f, s, cut, SIZE_MAX);
        play(f, s, 0, 1);
        play(f, s, 0, 3);
    }
}

static void a_large_message_arrives_whole_whatever_the_reads(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {1000, 4096, 65536, SIZE_MAX};
    struct fake_sock *sub = client(f, QUIET), *pub = client(f, QUIET);
    feed(f, sub, "SUB big 1\r\n");
    size_t body = 300000;
    char *in = check_alloc(body + 100);
    size_t line = (size_t)snprintf(in, 100, "PUB big %zu\r\n", body);
    for (size_t i = 0; i < body; i++)
        in[line + i] = (char)('a' + i % 23);
    memcpy(in + line + body, "\r\nPUB big 2\r\nok\r\n", 18);
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        (void)fake_feed(pub, in, line + body + 17, pieces[i]);
        fake_turn(&f->env);
        const char *got = fake_got(sub);
        size_t got_line = strlen("MSG big 1 300000\r\n");
        assert_memory_equal(got, "MSG big 1 300000\r\n", got_line);
        assert_memory_equal(got + got_line, in + line, body);
        assert_string_equal(got + got_line + body, "\r\nMSG big 1 2\r\nok\r\n");
    }
    free(in);
}

/* ---- headers ---- */

static void a_client_without_headers_gets_the_bare_message(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *old = client(f, "\"verbose\":false"), *pub = client(f, QUIET);
    feed(f, old, "SUB a 1\r\n");
    feed(f, pub, "HPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n");
    expect(f, old, "MSG a 1 r 2\r\nok\r\n");
}

/* ---- time ---- */

static void a_silent_client_is_pinged_then_closed(void **state)
{
    struct fixture *f = *state;
    f->o.ping_interval_ns = 200 * NS_PER_MS;
    struct fake_sock *s = client(f, QUIET);
    fake_advance(&f->env, 300 * NS_PER_MS);
    expect(f, s, "PING\r\n");
    feed(f, s, "PONG\r\n");
    fake_advance(&f->env, 1000 * NS_PER_MS);
    expect(f, s, "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    assert_true(s->closing);
    assert_int_equal(f->listener->stats.stale_conns, 1);
}

static void the_first_ping_comes_after_two_seconds(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *s = client(f, QUIET);
    fake_advance(&f->env, 1900 * NS_PER_MS);
    expect(f, s, "");
    fake_advance(&f->env, 600 * NS_PER_MS);
    expect(f, s, "PING\r\n");
}

/* ---- limits ---- */

static void too_many_connections_are_told_so_after_info(void **state)
{
    struct fixture *f = *state;
    f->o.max_connections = 1;
    (void)client(f, QUIET);
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    const char *got = fake_got(s);
    assert_memory_equal(got, "INFO {", 6);
    assert_non_null(strstr(got, "} \r\n-ERR 'maximum connections exceeded'\r\n"));
    fake_advance(&f->env, 50 * NS_PER_MS);
    assert_true(s->closing);
}

static void a_slow_consumer_is_closed_and_its_publisher_not(void **state)
{
    struct fixture *f = *state;
    f->o.max_pending = 1000;
    struct fake_sock *slow = client(f, QUIET), *pub = client(f, QUIET);
    feed(f, slow, "SUB a 1\r\n");
    slow->window = 100;
    char line[256];
    (void)snprintf(line, sizeof line, "PUB a 200\r\n%0200d\r\n", 7);
    for (int i = 0; i < 10 && !slow->closing; i++) {
        feed(f, pub, line);
        fake_advance(&f->env, 10 * NS_PER_MS);
        if (pub->paused) fail_msg("the publisher was not let go on");
    }
    assert_true(slow->closing);
    assert_false(pub->closing);
    assert_int_equal(f->listener->stats.slow_consumers, 1);
    assert_true(f->listener->stats.stalls > 0);
    fake_reap(&f->net, &f->env);
    feed(f, pub, "PING\r\n");
    expect(f, pub, "PONG\r\n");
    assert_int_equal(f->listener->closed[0].reason, CLOSE_SLOW_PENDING);
}

static void a_blocked_write_ends_at_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *slow = client(f, QUIET);
    feed(f, slow, "SUB a 1\r\n");
    slow->window = 3;
    feed(f, slow, "PUB a 0\r\n\r\n");
    fake_advance(&f->env, 9 * NS_PER_S);
    assert_false(slow->closing);
    fake_advance(&f->env, 2 * NS_PER_S);
    assert_true(slow->closing);
    fake_reap(&f->net, &f->env);
    assert_int_equal(f->listener->closed[0].reason, CLOSE_SLOW_DEADLINE);
}

static void what_blocked_goes_on_when_the_socket_drains(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *s = client(f, QUIET);
    s->window = 10;
    feed(f, s, "SUB a 1\r\nPUB a 5\r\nhello\r\nPUB a 5\r\nworld\r\n");
    expect(f, s, "MSG a 1 5\r");
    s->window = SIZE_MAX;
    s->sock.events->drained(&s->sock);
    expect(f, s, "\nhello\r\nMSG a 1 5\r\nworld\r\n");
}

static void held_publishers_are_not_read_and_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct fake_sock *sub = client(f, QUIET), *pub = client(f, QUIET);
    feed(f, sub, "SUB a 1\r\n");
    listener_hold(f->listener, true);
    feed(f, pub, "PUB a 1\r\nx\r\nPUB a 1\r\ny\r\n");
    expect(f, sub, "MSG a 1 1\r\nx\r\n");
    assert_false(fake_feed(pub, "PING\r\n", 6, SIZE_MAX));
    feed(f, sub, "PING\r\n");
    expect(f, sub, "PONG\r\n");
    listener_hold(f->listener, false);
    fake_turn(&f->env);
    expect(f, sub, "MSG a 1 1\r\ny\r\n");
}

/* ---- login ---- */

/* bcrypt at its lowest cost. */
static char *test_hash(const char *password)
{
    char salt[64];
    struct crypt_data data = {0};
    assert_non_null(crypt_gensalt_rn("$2a$", 4, "0123456789abcdef", 16, salt, sizeof salt));
    return check_strdup(crypt_r(password, salt, &data));
}

static void logins_are_checked_by_user_token_and_hash(void **state)
{
    struct fixture *f = *state;
    static const struct login {
        const char *options, *out;
    } logins[] = {
        {"\"user\":\"u\",\"pass\":\"p\"", "PONG\r\n"},
        {"\"user\":\"u\",\"pass\":\"x\"", "-ERR 'Authorization Violation'\r\n"},
        {"\"user\":\"v\",\"pass\":\"p\"", "-ERR 'Authorization Violation'\r\n"},
        {"\"user\":\"h\",\"pass\":\"bar\"", "-ERR 'Authorization Violation'\r\n"},
        {"\"user\":\"h\",\"pass\":\"foo\"", "PONG\r\n"},
        {"\"name\":\"x\"", "-ERR 'Authorization Violation'\r\n"},
    };
    char *names[] = {check_strdup("u"), check_strdup("p"), check_strdup("h"), test_hash("foo")};
    struct broker_user users[] = {{.name = names[0], .password = names[1]},
                                  {.name = names[2], .password = names[3]}};
    f->o.users = users;
    f->o.user_count = 2;
    for (const struct login *l = logins; l < ARRAY_END(logins); l++) {
        struct fake_sock *s = fake_connect(&f->net, &f->env);
        assert_non_null(strstr(fake_got(s), "\"auth_required\":true"));
        char line[256];
        (void)snprintf(line, sizeof line, "CONNECT {\"verbose\":false,%s}\r\nPING\r\n", l->options);
        feed(f, s, line);
        fake_work(&f->env);
        expect(f, s, l->out);
        fake_sock_free(s);
    }
    f->o.user_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        free(names[i]);
}

static void nothing_is_served_before_login_and_it_must_come_in_time(void **state)
{
    struct fixture *f = *state;
    f->o.token = "secret";
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    (void)fake_got(s);
    feed(f, s, "SUB a 1\r\n");
    expect(f, s, "-ERR 'Authorization Violation'\r\n");
    struct fake_sock *late = fake_connect(&f->net, &f->env);
    (void)fake_got(late);
    fake_advance(&f->env, 2100 * NS_PER_MS);
    expect(f, late, "-ERR 'Authentication Timeout'\r\n");
    assert_true(late->closing);
    struct fake_sock *good = fake_connect(&f->net, &f->env);
    (void)fake_got(good);
    feed(f, good, "CONNECT {\"auth_token\":\"secret\",\"verbose\":false}\r\nPING\r\n");
    expect(f, good, "PONG\r\n");
    f->o.token = NULL;
}

static void a_client_that_leaves_while_its_password_is_hashed_is_forgotten(void **state)
{
    struct fixture *f = *state;
    char *name = check_strdup("h"), *hash = test_hash("foo");
    struct broker_user user = {.name = name, .password = hash};
    f->o.users = &user;
    f->o.user_count = 1;
    struct fake_sock *s = fake_connect(&f->net, &f->env);
    feed(f, s, "CONNECT {\"user\":\"h\",\"pass\":\"foo\"}\r\n");
    fake_hangup(s);
    assert_int_equal(f->listener->conn_count, 1);
    fake_work(&f->env);
    assert_int_equal(f->listener->conn_count, 0);
    f->o.user_count = 0;
    free(name);
    free(hash);
}

/* ---- permissions ---- */

static void permissions_hold_at_publish_subscribe_and_delivery(void **state)
{
    struct fixture *f = *state;
    struct permissions *p = permissions_new();
    assert_true(permissions_add(p, PERMISSIONS_PUB_ALLOW, TEXT("ok.>")));
    assert_true(permissions_add(p, PERMISSIONS_SUB_DENY, TEXT("no.b")));
    p->responses = true;
    char *name = check_strdup("u");
    struct broker_user user = {.name = name, .password = name, .permissions = p};
    f->o.users = &user;
    f->o.user_count = 1;
    f->o.no_auth_user = &user;
    struct fake_sock *s = client(f, QUIET);
    f->o.no_auth_user = NULL;
    f->o.user_count = 0;
    struct fake_sock *all = client(f, QUIET);
    feed(f, s, "PUB no 0\r\n\r\nSUB no.b 1\r\nSUB no.* 2\r\nSUB no.b q 3\r\n");
    expect(f, s,
           "-ERR 'Permissions Violation for Publish to \"no\"'\r\n"
           "-ERR 'Permissions Violation for Subscription to \"no.b\"'\r\n"
           "-ERR 'Permissions Violation for Subscription to \"no.b\" using queue \"q\"'\r\n");
    feed(f, all,
         "SUB answer 1\r\nPUB no.a 1\r\na\r\nPUB no.b 1\r\nb\r\nPUB no.c answer 1\r\nc\r\n");
    expect(f, s, "MSG no.a 2 1\r\na\r\nMSG no.c 2 answer 1\r\nc\r\n");
    feed(f, s, "PUB answer 2\r\nhi\r\nPUB answer 2\r\nho\r\n");
    expect(f, s, "-ERR 'Permissions Violation for Publish to \"answer\"'\r\n");
    expect(f, all, "MSG answer 1 2\r\nhi\r\n");
    fake_sock_free(s);
    permissions_free(p);
    free(name);
}

/* Neither who never said who it is, nor whose password is being looked at, slips through. */
static void a_reload_reaches_those_who_are_not_logged_in_yet(void **state)
{
    struct fixture *f = *state;
    char *names[] = {check_strdup("h"), test_hash("foo"), check_strdup("u")};
    struct broker_user users[] = {{.name = names[0], .password = names[1]},
                                  {.name = names[2], .password = names[2]}};
    struct fake_sock *nobody = fake_connect(&f->net, &f->env);
    (void)fake_got(nobody);
    feed(f, nobody, "SUB a 1\r\n");
    (void)fake_got(nobody);
    f->o.users = users;
    f->o.user_count = 1;
    struct fake_sock *checked = fake_connect(&f->net, &f->env);
    (void)fake_got(checked);
    feed(f, checked, "CONNECT {\"verbose\":false,\"user\":\"h\",\"pass\":\"foo\"}\r\nPING\r\n");
    f->o.users = users + 1;
    listener_reload(f->listener);
    fake_work(&f->env);
    assert_non_null(strstr(fake_got(nobody), "-ERR 'Authorization Violation'"));
    expect(f, checked, "-ERR 'Authorization Violation'\r\n");
    fake_sock_free(nobody);
    fake_sock_free(checked);
    f->o.user_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        free(names[i]);
}

static void a_reload_takes_what_is_not_allowed_any_more(void **state)
{
    struct fixture *f = *state;
    struct permissions *p = permissions_new();
    char *name = check_strdup("u"), *other = check_strdup("v");
    struct broker_user users[] = {{.name = name, .password = name},
                                  {.name = other, .password = other}};
    f->o.users = users;
    f->o.user_count = 2;
    struct fake_sock *u = client(f, QUIET ",\"user\":\"u\",\"pass\":\"u\"");
    struct fake_sock *v = client(f, QUIET ",\"user\":\"v\",\"pass\":\"v\"");
    feed(f, u, "SUB a 7\r\nSUB b 8\r\n");
    assert_true(permissions_add(p, PERMISSIONS_SUB_DENY, TEXT("a")));
    users[0].permissions = p;
    f->o.user_count = 1;
    listener_reload(f->listener);
    fake_turn(&f->env);
    static const char told[] =
        "-ERR 'Permissions Violation for Subscription to \"a\" (sid \"7\")'\r\n";
    assert_memory_equal(fake_got(u), told, sizeof told - 1);
    assert_non_null(strstr(fake_got(v), "-ERR 'Authorization Violation'"));
    feed(f, u, "PUB a 0\r\n\r\nPUB b 0\r\n\r\n");
    expect(f, u, "MSG b 8 0\r\n\r\n");
    users[0].password = other; /* a password that changed ends who came in by the old one */
    listener_reload(f->listener);
    fake_turn(&f->env);
    assert_non_null(strstr(fake_got(u), "-ERR 'Authorization Violation'"));
    fake_sock_free(u);
    f->o.user_count = 0;
    permissions_free(p);
    free(name);
    free(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(info_comes_at_accept_with_its_fields_in_order),
        TEST(an_info_waits_for_the_first_pong),
        TEST(sessions_go_the_same_way_wherever_they_are_cut),
        TEST(a_large_message_arrives_whole_whatever_the_reads),
        TEST(a_client_without_headers_gets_the_bare_message),
        TEST(a_silent_client_is_pinged_then_closed),
        TEST(the_first_ping_comes_after_two_seconds),
        TEST(too_many_connections_are_told_so_after_info),
        TEST(a_slow_consumer_is_closed_and_its_publisher_not),
        TEST(a_blocked_write_ends_at_its_deadline),
        TEST(what_blocked_goes_on_when_the_socket_drains),
        TEST(held_publishers_are_not_read_and_lose_nothing),
        TEST(logins_are_checked_by_user_token_and_hash),
        TEST(nothing_is_served_before_login_and_it_must_come_in_time),
        TEST(a_client_that_leaves_while_its_password_is_hashed_is_forgotten),
        TEST(permissions_hold_at_publish_subscribe_and_delivery),
        TEST(a_reload_reaches_those_who_are_not_logged_in_yet),
        TEST(a_reload_takes_what_is_not_allowed_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
