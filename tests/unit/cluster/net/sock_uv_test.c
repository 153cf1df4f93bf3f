/* sock_uv_test.c - TCP through sock.h, on real sockets of 127.0.0.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/net/sock.h"
#include "store/base/err.h"

#define WAIT_NS (5 * NS_PER_S)
#define BIG_BYTES (8u << 20)

struct end {
    struct sock *s;
    uint8_t buffer[64 << 10];
    size_t got;
    size_t room_max; /* 0: paused */
    uint8_t *out;
    size_t out_bytes, out_done;
    bool echo, closed, reset, keep;
    uint8_t sum_in;
    int rc, drained;
};

static struct env *env;
static struct net *net;
static struct end here, there;
static struct env_timer timer;
static int dial_rc, dials;
static bool dial_refused;

static void *end_room(struct sock *s, size_t *bytes)
{
    struct end *e = s->owner;
    *bytes = e->room_max;
    return e->buffer;
}

static void end_pump(struct end *e)
{
    if (e->out_done == e->out_bytes) return;
    size_t half = (e->out_bytes - e->out_done) / 2;
    struct sock_part parts[3] = {
        {e->out + e->out_done, half},
        {NULL, 0},
        {e->out + e->out_done + half, e->out_bytes - e->out_done - half},
    };
    ptrdiff_t n = e->s->ops->write(e->s, parts, 3);
    assert_true(n >= 0);
    e->out_done += (size_t)n;
}

static void end_data(struct sock *s, size_t bytes)
{
    struct end *e = s->owner;
    for (size_t i = 0; i < bytes; i++)
        e->sum_in = (uint8_t)(e->sum_in * 31 + e->buffer[i]);
    e->got += bytes;
    if (e->echo) {
        struct sock_part part = {e->buffer, bytes};
        assert_int_equal(s->ops->write(s, &part, 1), bytes);
    }
    if (e == &here && e->got == e->out_bytes && !e->keep) s->ops->close(s);
    if (e == &there && !e->echo && e->got == here.out_bytes) env_uv_stop(env);
}

static void end_drained(struct sock *s)
{
    struct end *e = s->owner;
    e->drained++;
    end_pump(e);
}

static void end_closed(struct sock *s, int rc, bool reset)
{
    struct end *e = s->owner;
    assert_false(e->closed);
    e->closed = true;
    e->rc = rc;
    e->reset = reset;
    e->s = NULL;
    if (here.closed && there.closed) env_uv_stop(env);
}

static const struct sock_events end_events = {.data = end_data,
                                              .room = end_room,
                                              .drained = end_drained,
                                              .closed = end_closed};

static void end_take(struct end *e, struct sock *s)
{
    e->s = s;
    s->events = &end_events;
    s->owner = e;
}

static void accepted(void *ctx, struct sock *s)
{
    (void)ctx;
    end_take(&there, s);
}

static void connected(void *ctx, int rc, bool refused, struct sock *s)
{
    (void)ctx;
    dials++;
    dial_rc = rc;
    dial_refused = refused;
    if (rc != 0) {
        env_uv_stop(env);
        return;
    }
    end_take(&here, s);
    end_pump(&here);
}

static void too_late(struct env_timer *t)
{
    (void)t;
    fail_msg("nothing happened for five seconds");
}

static int setup(void **state)
{
    (void)state;
    env = env_uv_new();
    net = net_uv_new(env);
    here = there = (struct end){.room_max = sizeof here.buffer};
    dials = 0;
    env_timer_init(env, &timer, too_late);
    env_timer_start(&timer, WAIT_NS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    env_timer_stop(&timer);
    net_uv_free(net);
    env_uv_free(env);
    free(here.out);
    return 0;
}

static struct sock_listener *listen_here(int *port)
{
    struct sock_listener *l = NULL;
    *port = 0;
    assert_int_equal(net->ops->listen(net, "127.0.0.1", port, accepted, NULL, &l), 0);
    assert_true(*port > 0);
    return l;
}

static void fill_out(size_t bytes)
{
    here.out = malloc(bytes);
    here.out_bytes = bytes;
    for (size_t i = 0; i < bytes; i++)
        here.out[i] = (uint8_t)(i * 7 + i / 251);
}

static void what_is_sent_comes_back_and_both_ends_close(void **state)
{
    (void)state;
    int port;
    struct sock_listener *l = listen_here(&port);
    there.echo = true;
    fill_out(10000);
    net->ops->dial(net, "127.0.0.1", port, NS_PER_S, connected, NULL);
    assert_int_equal(dials, 0);
    env_uv_run(env);
    assert_int_equal(dials, 1);
    assert_int_equal(here.got, 10000);
    assert_int_equal(here.sum_in, there.sum_in);
    assert_int_equal(here.rc, E_CANCELED);
    assert_int_equal(there.rc, 0);
    net->ops->unlisten(l);
}

static void large_write_is_taken_in_parts_and_drained_tells(void **state)
{
    (void)state;
    int port;
    struct sock_listener *l = listen_here(&port);
    fill_out(BIG_BYTES);
    here.keep = true;
    net->ops->dial(net, "localhost", port, NS_PER_S, connected, NULL);
    env_uv_run(env);
    uint8_t sum = 0;
    for (size_t i = 0; i < BIG_BYTES; i++)
        sum = (uint8_t)(sum * 31 + here.out[i]);
    assert_int_equal(there.got, BIG_BYTES);
    assert_int_equal(there.sum_in, sum);
    assert_true(here.drained > 0);
    char local[64], peer[64];
    here.s->ops->local_text(here.s, local, sizeof local);
    there.s->ops->peer_text(there.s, peer, sizeof peer);
    assert_string_equal(local, peer);
    here.s->ops->close(here.s);
    env_uv_run(env);
    net->ops->unlisten(l);
}

static void refused_is_told_apart(void **state)
{
    (void)state;
    int port;
    struct sock_listener *l = listen_here(&port);
    net->ops->unlisten(l);
    /* Nobody listens any more once the handle is closed: the first turn does that. */
    net->ops->dial(net, "127.0.0.1", port, NS_PER_S, connected, NULL);
    env_uv_run(env);
    assert_int_equal(dial_rc, E_NET);
    assert_true(dial_refused);
}

static void unknown_name_is_no_refusal(void **state)
{
    (void)state;
    net->ops->dial(net, "no-such-host.invalid", 4222, NS_PER_S, connected, NULL);
    env_uv_run(env);
    assert_int_equal(dial_rc, E_NET);
    assert_false(dial_refused);
}

static void second_listener_on_a_port_is_refused(void **state)
{
    (void)state;
    int port, again;
    struct sock_listener *l = listen_here(&port), *other = NULL;
    again = port;
    assert_int_equal(net->ops->listen(net, "127.0.0.1", &again, accepted, NULL, &other),
                     E_ADDRINUSE);
    net->ops->unlisten(l);
}

static void stop_soon(struct env_timer *t)
{
    (void)t;
    env_uv_stop(env);
}

static void paused_reader_gets_nothing_until_it_resumes(void **state)
{
    (void)state;
    int port;
    struct env_timer soon;
    struct sock_listener *l = listen_here(&port);
    there.room_max = 0;
    here.keep = true;
    fill_out(1000);
    env_timer_init(env, &soon, stop_soon);
    env_timer_start(&soon, 50 * NS_PER_MS);
    net->ops->dial(net, "127.0.0.1", port, NS_PER_S, connected, NULL);
    env_uv_run(env);
    assert_int_equal(there.got, 0);
    there.room_max = 100;
    there.s->ops->resume(there.s);
    env_uv_run(env);
    assert_int_equal(there.got, 1000);
    here.s->ops->close(here.s);
    env_uv_run(env);
    env_timer_stop(&soon);
    net->ops->unlisten(l);
}

/* A plain socket of the test's own, connected to the listener. */
static int raw_connect(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void run_for(uint64_t ns)
{
    struct env_timer soon;
    env_timer_init(env, &soon, stop_soon);
    env_timer_start(&soon, ns);
    env_uv_run(env);
    env_timer_stop(&soon);
}

static void a_peer_that_its_kernel_resets_is_told_apart(void **state)
{
    (void)state;
    int port;
    struct sock_listener *l = listen_here(&port);
    int fd = raw_connect(port);
    run_for(20 * NS_PER_MS);
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    run_for(20 * NS_PER_MS);
    assert_true(there.closed && there.reset);
    assert_int_equal(there.rc, E_NET);
    net->ops->unlisten(l);
}

static void last_words_arrive_though_bytes_were_unread(void **state)
{
    (void)state;
    int port;
    char word[8] = "";
    struct sock_listener *l = listen_here(&port);
    there.room_max = 0;
    int fd = raw_connect(port);
    assert_int_equal(write(fd, "unread", 6), 6);
    run_for(20 * NS_PER_MS);
    struct sock_part part = {"bye", 3};
    assert_int_equal(there.s->ops->write(there.s, &part, 1), 3);
    there.s->ops->close(there.s);
    run_for(20 * NS_PER_MS);
    assert_true(there.closed);
    assert_int_equal(read(fd, word, sizeof word), 3);
    assert_int_equal(read(fd, word, sizeof word), 0); /* the end, not an error */
    close(fd);
    net->ops->unlisten(l);
}

static void free_during_a_dial_keeps_quiet(void **state)
{
    (void)state;
    net->ops->dial(net, "localhost", 1, NS_PER_S, connected, NULL);
    net_uv_free(net);
    net = NULL;
    struct env_timer soon;
    env_timer_init(env, &soon, stop_soon);
    env_timer_start(&soon, 20 * NS_PER_MS);
    env_uv_run(env);
    env_timer_stop(&soon);
    assert_int_equal(dials, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_sent_comes_back_and_both_ends_close),
        TEST(large_write_is_taken_in_parts_and_drained_tells),
        TEST(refused_is_told_apart),
        TEST(unknown_name_is_no_refusal),
        TEST(second_listener_on_a_port_is_refused),
        TEST(paused_reader_gets_nothing_until_it_resumes),
        TEST(a_peer_that_its_kernel_resets_is_told_apart),
        TEST(last_words_arrive_though_bytes_were_unread),
        TEST(free_during_a_dial_keeps_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
