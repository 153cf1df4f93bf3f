/* sock_tls_test.c - TLS between two socks in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "tests/unit/cluster/net/tls_pair.h"

#define BIG_BYTES (1u << 20)

struct end {
    struct sock *s;
    uint8_t in[BIG_BYTES + 1];
    size_t in_bytes, room_max;
    const uint8_t *out;
    size_t out_bytes;
    bool ready, closed;
    int rc;
    char error[160];
};

static char dir[64];
static struct fake_env env;
static struct pipe_sock below[2];
static struct end client, server;

static void *end_room(struct sock *s, size_t *bytes)
{
    struct end *e = s->owner;
    *bytes = e->room_max;
    if (*bytes > sizeof e->in - e->in_bytes) *bytes = sizeof e->in - e->in_bytes;
    return e->in + e->in_bytes;
}
static void end_data(struct sock *s, size_t bytes)
{
    struct end *e = s->owner;
    e->in_bytes += bytes;
}
/* In parts of many sizes: some become one record, some are gathered. */
static void end_write(struct end *e)
{
    while (e->out_bytes != 0) {
        size_t small = e->out_bytes < 100 ? e->out_bytes : 100;
        const struct sock_part parts[] = {
            {e->out, small / 2},
            {e->out, 0},
            {e->out + small / 2, small - small / 2},
            {e->out + small, e->out_bytes - small},
        };
        ptrdiff_t n = e->s->ops->write(e->s, parts, 4);
        assert_true(n >= 0);
        if (n == 0) return;
        e->out += n;
        e->out_bytes -= (size_t)n;
    }
}
static void end_drained(struct sock *s)
{
    end_write(s->owner);
}
static void end_closed(struct sock *s, int rc, bool reset)
{
    struct end *e = s->owner;
    assert_false(e->closed);
    e->closed = true;
    e->rc = rc;
    snprintf(e->error, sizeof e->error, "%s", sock_tls_error(s));
    (void)reset;
}
static const struct sock_events end_events = {.data = end_data,
                                              .room = end_room,
                                              .drained = end_drained,
                                              .closed = end_closed};

static void end_ready(struct sock *s)
{
    ((struct end *)s->owner)->ready = true;
}

static const char *path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static struct tls_conf *conf_of(const struct tls_conf_options *o, const char *name)
{
    struct tls_conf *c = NULL;
    char error[512] = "", cert[160], key[160];
    const struct tls_conf_pair pair = {cert, key};
    struct tls_conf_options mine = *o;
    snprintf(cert, sizeof cert, "%s/%s.pem", dir, name);
    snprintf(key, sizeof key, "%s/%s.key", dir, name);
    if (mine.pairs == NULL) {
        mine.pairs = &pair;
        mine.pair_count = 1;
    }
    if (tls_conf_new(&env.base, "test", &mine, &c, error, sizeof error) != 0) fail_msg("%s", error);
    return c;
}

static void end_open(struct end *e, struct pipe_sock *p, struct tls_conf *conf, const char *host)
{
    *e = (struct end){.room_max = SIZE_MAX};
    const struct sock_tls_options o = {.conf = conf,
                                       .host = host,
                                       .last_words = "-ERR 'Secure Connection - TLS Required'\r\n",
                                       .ready = end_ready};
    e->s = sock_tls_new(&p->sock, &o);
    e->s->owner = e;
    e->s->events = &end_events;
}

static void open_both(struct tls_conf *for_client, struct tls_conf *for_server, const char *host)
{
    pipe_init(&below[0], &below[1]);
    end_open(&server, &below[1], for_server, NULL);
    end_open(&client, &below[0], for_client, host);
}

static void run(size_t piece)
{
    pipe_run(&env, &below[0], &below[1], piece);
}

static void close_both(void)
{
    if (!client.closed) client.s->ops->close(client.s);
    run(SIZE_MAX);
    if (!server.closed) server.s->ops->close(server.s);
    fake_advance(&env, 3 * NS_PER_S);
    run(SIZE_MAX);
    assert_true(client.closed);
    assert_true(server.closed);
}

static uint8_t *noise(size_t bytes)
{
    uint8_t *at = check_alloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)fake_random(&env.base);
    return at;
}

static void bytes_pass_both_ways_whatever_the_pieces(void **state)
{
    static const struct {
        size_t piece, window, room;
    } rows[] = {{SIZE_MAX, PIPE_BYTES, SIZE_MAX},
                {1, 5000, SIZE_MAX},
                {1000, 300, 7},
                {PIPE_BYTES, 40000, 20000}};
    (void)state;
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "one");
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){0}, "one");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        size_t bytes = rows[i].piece == 1 || rows[i].room == 7 ? 50000 : BIG_BYTES;
        uint8_t *there = noise(bytes), *back = noise(bytes);
        open_both(cc, sc, "one.test");
        below[0].window = below[1].window = rows[i].window;
        client.room_max = server.room_max = rows[i].room;
        client.out = there;
        server.out = back;
        client.out_bytes = server.out_bytes = bytes;
        end_write(&client);
        end_write(&server);
        run(rows[i].piece);
        assert_true(client.ready && server.ready);
        assert_int_equal(server.in_bytes, bytes);
        assert_int_equal(client.in_bytes, bytes);
        assert_memory_equal(server.in, there, bytes);
        assert_memory_equal(client.in, back, bytes);
        close_both();
        assert_int_equal(client.rc, E_CANCELED);
        assert_int_equal(server.rc, 0);
        free(there);
        free(back);
    }
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void a_paused_owner_gets_the_rest_when_it_resumes(void **state)
{
    (void)state;
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "one");
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){0}, "one");
    uint8_t *there = noise(BIG_BYTES);
    open_both(cc, sc, "one.test");
    run(SIZE_MAX);
    server.room_max = 0;
    client.out = there;
    client.out_bytes = BIG_BYTES;
    end_write(&client);
    run(SIZE_MAX);
    assert_int_equal(server.in_bytes, 0);
    for (int i = 0; i < 1000 && server.in_bytes != BIG_BYTES; i++) {
        server.room_max = i % 3 == 2 ? 0 : 5000;
        server.s->ops->resume(server.s);
        run(SIZE_MAX);
    }
    assert_int_equal(server.in_bytes, BIG_BYTES);
    assert_memory_equal(server.in, there, BIG_BYTES);
    close_both();
    free(there);
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void last_words_before_a_close_arrive(void **state)
{
    static const size_t windows[] = {PIPE_BYTES, 50};
    (void)state;
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "one");
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){0}, "one");
    for (size_t i = 0; i < ARRAY_COUNT(windows); i++) {
        open_both(cc, sc, "one.test");
        run(SIZE_MAX);
        below[1].window = windows[i];
        struct sock_part part = {"-ERR 'Authorization Violation'\r\n", 32};
        assert_int_equal(server.s->ops->write(server.s, &part, 1), 32);
        server.s->ops->close(server.s);
        assert_int_equal(server.s->ops->write(server.s, &part, 1), E_NET);
        run(SIZE_MAX);
        assert_memory_equal(client.in, part.at, 32);
        assert_true(client.closed && server.closed);
        assert_int_equal(client.rc, 0);
        assert_int_equal(server.rc, E_CANCELED);
    }
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void a_silent_client_is_told_in_clear(void **state)
{
    (void)state;
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){.timeout_ns = NS_PER_S}, "one");
    pipe_init(&below[0], &below[1]);
    end_open(&server, &below[1], sc, NULL);
    fake_advance(&env, NS_PER_S / 2);
    assert_int_equal(below[1].out_bytes, 0);
    fake_advance(&env, NS_PER_S);
    assert_memory_equal(below[1].out, "-ERR 'Secure", 12);
    assert_true(below[1].closing);
    (void)pipe_end(&below[1]);
    assert_int_equal(server.rc, E_AGAIN);
    assert_string_equal(server.error, "timeout");
    tls_conf_free(sc);
}

static void what_is_no_tls_is_refused(void **state)
{
    (void)state;
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){0}, "one");
    pipe_init(&below[0], &below[1]);
    end_open(&server, &below[1], sc, NULL);
    below[0].sock.events = &end_events;
    below[0].sock.owner = &client;
    client = (struct end){.room_max = SIZE_MAX};
    struct sock_part part = {"CONNECT {\"verbose\":false}\r\nPING\r\n", 33};
    pipe_write(&below[0].sock, &part, 1);
    run(SIZE_MAX);
    assert_true(server.closed && !server.ready);
    assert_int_equal(server.rc, E_DENIED);
    assert_true(server.error[0] != 0);
    tls_conf_free(sc);
}

struct refusal {
    const char *what;
    struct tls_conf_options server, client;
    const char *client_cert, *host;
    bool ok;
};

static void who_is_let_in(void **state)
{
    static const char *const foreign_pin[] = {
        "0000000000000000000000000000000000000000000000000000000000000000"};
    const char *ca = path("ca.pem"), *other = path("other.pem");
    const struct refusal rows[] = {
        {"plain", {0}, {.ca_file = ca, .dials = true}, "two", "one.test", true},
        {"by address", {0}, {.ca_file = ca, .dials = true}, "two", "127.0.0.1", true},
        {"wrong name", {0}, {.ca_file = ca, .dials = true}, "two", "else.test", false},
        {"wrong address", {0}, {.ca_file = ca, .dials = true}, "two", "127.0.0.2", false},
        {"wrong name, insecure",
         {0},
         {.ca_file = ca, .dials = true, .insecure = true},
         "two",
         "x",
         true},
        {"unknown authority", {0}, {.ca_file = other, .dials = true}, "two", "one.test", false},
        {"client certificate",
         {.verify = true, .ca_file = ca},
         {.ca_file = ca, .dials = true},
         "two",
         "one.test",
         true},
        {"client of a stranger",
         {.verify = true, .ca_file = other},
         {.ca_file = ca, .dials = true},
         "two",
         "one.test",
         false},
        {"pinned to another",
         {.verify = true, .ca_file = ca, .pinned_certs = {foreign_pin, 1}},
         {.ca_file = ca, .dials = true},
         "two",
         "one.test",
         false},
        {"versions",
         {.min_version = "1.3"},
         {.ca_file = ca, .dials = true},
         "two",
         "one.test",
         true},
    };
    (void)state;
    for (const struct refusal *r = rows; r < ARRAY_END(rows); r++) {
        struct tls_conf *cc = conf_of(&r->client, r->client_cert);
        struct tls_conf *sc = conf_of(&r->server, "one");
        open_both(cc, sc, r->host);
        run(SIZE_MAX);
        bool ok = server.ready && client.ready && !client.closed && !server.closed;
        if (ok != r->ok) fail_msg("%s: %d (%s, %s)", r->what, ok, client.error, server.error);
        if (!ok && client.error[0] == 0 && server.error[0] == 0) fail_msg("%s: no reason", r->what);
        close_both();
        tls_conf_free(cc);
        tls_conf_free(sc);
    }
}

static void a_client_without_certificate_is_refused(void **state)
{
    (void)state;
    struct tls_conf *sc =
        conf_of(&(struct tls_conf_options){.verify = true, .ca_file = path("ca.pem")}, "one");
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "self");
    open_both(cc, sc, "one.test");
    run(SIZE_MAX);
    assert_false(server.ready);
    assert_int_equal(server.rc, E_DENIED);
    assert_non_null(strstr(server.error, "certificate"));
    close_both();
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void a_pin_lets_its_key_in(void **state)
{
    char pin[80] = "";
    const char *const pins[] = {pin};
    (void)state;
    certs_run(dir, "openssl x509 -in two.pem -noout -pubkey | openssl pkey -pubin -outform DER | "
                   "openssl dgst -sha256 -r | cut -c1-64 | tr a-f A-F >pin");
    FILE *f = fopen(path("pin"), "r");
    assert_non_null(f);
    assert_int_equal(fread(pin, 1, 64, f), 64);
    fclose(f);
    const struct tls_conf_options o = {
        .verify = true, .ca_file = path("ca.pem"), .pinned_certs = {pins, 1}};
    struct tls_conf *sc = conf_of(&o, "one");
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "two");
    open_both(cc, sc, "one.test");
    run(SIZE_MAX);
    assert_true(server.ready && !server.closed);
    close_both();
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static bool collect(void *ctx, const char *name)
{
    char *all = ctx;
    snprintf(all + strlen(all), 512 - strlen(all), "%s|", name);
    return false;
}

static void names_come_in_the_order_in_which_they_count(void **state)
{
    char all[512] = "";
    struct sock_tls_info info;
    (void)state;
    struct tls_conf *sc =
        conf_of(&(struct tls_conf_options){.verify = true, .ca_file = path("ca.pem")}, "one");
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "two");
    open_both(cc, sc, "one.test");
    assert_false(sock_tls_info(server.s, &info));
    run(SIZE_MAX);
    assert_false(sock_tls_names(server.s, collect, all));
    assert_string_equal(all,
                        "me@two.test|two.test|www.two.test|spiffe://two/x|CN=two,OU=Unit,O=Org|");
    assert_true(sock_tls_info(server.s, &info));
    assert_string_equal(info.version, "1.3");
    assert_memory_equal(info.cipher, "TLS_", 4);
    assert_false(sock_tls_info(&below[0].sock, &info));
    close_both();
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void suites_have_the_names_of_go(void **state)
{
    static const char *const suites[] = {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
                                         "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
    static const char *const curves[] = {"CurveP384", "X25519"};
    static const char *const unknown[] = {"TLS_NO_SUCH"};
    struct tls_conf *c = NULL;
    char error[256], cert[160], key[160];
    const struct tls_conf_pair pair = {cert, key};
    (void)state;
    snprintf(cert, sizeof cert, "%s/one.pem", dir);
    snprintf(key, sizeof key, "%s/one.key", dir);
    struct tls_conf_options o = {.pairs = &pair,
                                 .pair_count = 1,
                                 .cipher_suites = {suites, 2},
                                 .curve_preferences = {curves, 2}};
    assert_int_equal(tls_conf_new(&env.base, "test", &o, &c, error, sizeof error), 0);
    o.cipher_suites = (struct tls_conf_texts){unknown, 1};
    assert_int_equal(tls_conf_reload(c, &o, error, sizeof error), E_INVAL);
    assert_string_equal(error, "unrecognized cipher TLS_NO_SUCH");
    o.cipher_suites = (struct tls_conf_texts){0};
    o.curve_preferences = (struct tls_conf_texts){unknown, 1};
    assert_int_equal(tls_conf_reload(c, &o, error, sizeof error), E_INVAL);
    o.curve_preferences = (struct tls_conf_texts){0};
    o.min_version = "1.1";
    assert_int_equal(tls_conf_reload(c, &o, error, sizeof error), E_INVAL);
    o.min_version = NULL;
    o.pinned_certs = (struct tls_conf_texts){unknown, 1};
    assert_int_equal(tls_conf_reload(c, &o, error, sizeof error), E_INVAL);
    o.pinned_certs = (struct tls_conf_texts){0};
    snprintf(key, sizeof key, "%s/two.key", dir);
    assert_int_equal(tls_conf_reload(c, &o, error, sizeof error), E_INVAL);
    tls_conf_free(c);
}

/* Which of the host's certificates does the server show? */
static bool shows(struct tls_conf *cc, struct tls_conf *sc, const char *host)
{
    open_both(cc, sc, host);
    run(SIZE_MAX);
    bool ok = client.ready;
    close_both();
    return ok;
}

static void a_renewed_certificate_is_taken_up(void **state)
{
    (void)state;
    certs_run(dir, "cp one.pem live.pem; cp one.key live.key");
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){0}, "live");
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "two");
    tls_conf_watch(sc);
    assert_true(shows(cc, sc, "one.test"));
    certs_run(dir, "cp two.pem live.pem"); /* its key isn't there yet */
    fake_advance(&env, TLS_CONF_WATCH_NS + NS_PER_S);
    assert_true(shows(cc, sc, "one.test"));
    certs_run(dir, "cp two.key live.key");
    fake_advance(&env, TLS_CONF_WATCH_NS + NS_PER_S);
    assert_true(shows(cc, sc, "two.test"));
    assert_false(shows(cc, sc, "one.test"));
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void the_name_asked_for_picks_the_certificate(void **state)
{
    char files[4][160];
    static const char *const names[] = {"one.pem", "one.key", "two.pem", "two.key"};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        snprintf(files[i], sizeof files[i], "%s/%s", dir, names[i]);
    const struct tls_conf_pair pairs[] = {{files[0], files[1]}, {files[2], files[3]}};
    struct tls_conf *sc = conf_of(&(struct tls_conf_options){.pairs = pairs, .pair_count = 2}, "");
    struct tls_conf *cc =
        conf_of(&(struct tls_conf_options){.ca_file = path("ca.pem"), .dials = true}, "two");
    assert_true(shows(cc, sc, "one.test"));
    assert_true(shows(cc, sc, "two.test"));
    assert_false(shows(cc, sc, "three.test"));
    tls_conf_free(cc);
    tls_conf_free(sc);
}

static void days_to_expiry_are_known(void **state)
{
    (void)state;
    struct tls_conf *c = conf_of(&(struct tls_conf_options){0}, "one");

    int days = tls_conf_days(c);
    assert_in_range(days, 9, 10);
    tls_conf_free(c);
}

static int make_certificates(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sock_tls_test.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    fake_env_init(&env);
    /* The certificates are made by the real clock. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    env.now_ns = ((uint64_t)now.tv_sec - UINT64_C(1700000000)) * NS_PER_S;
    certs_authority(dir, "ca");
    certs_authority(dir, "other");
    certs_authority(dir, "self");
    certs_make(dir, "one", "/CN=one", "DNS:one.test,IP:127.0.0.1");
    certs_make(dir, "two", "/O=Org/OU=Unit/CN=two",
               "DNS:two.test,email:me@two.test,URI:spiffe://two/x,DNS:www.two.test");
    return 0;
}

static int remove_certificates(void **state)
{
    char line[128];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", dir);
    return system(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_both_ways_whatever_the_pieces),
        cmocka_unit_test(a_paused_owner_gets_the_rest_when_it_resumes),
        cmocka_unit_test(last_words_before_a_close_arrive),
        cmocka_unit_test(a_silent_client_is_told_in_clear),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(who_is_let_in),
        cmocka_unit_test(a_client_without_certificate_is_refused),
        cmocka_unit_test(a_pin_lets_its_key_in),
        cmocka_unit_test(names_come_in_the_order_in_which_they_count),
        cmocka_unit_test(suites_have_the_names_of_go),
        cmocka_unit_test(a_renewed_certificate_is_taken_up),
        cmocka_unit_test(the_name_asked_for_picks_the_certificate),
        cmocka_unit_test(days_to_expiry_are_known),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
