/* Messages go by age, by their own time to live and by lowered limits; markers say what went. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/state/apply.h"
#include "tests/lib/state_world.h"

static struct state_world w;

static void quiet(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

static int open_world(void **state)
{
    (void)state;
    state_world_open(&w);
    return 0;
}
static int close_world(void **state)
{
    (void)state;
    state_world_close(&w);
    return 0;
}

static struct stream *stream(const char *json)
{
    struct stream *s = state_world_stream(&w, json);
    if (s == NULL) fail_msg("%d %s", w.result.error, w.detail);
    return s;
}

#define SECOND ((int64_t)NS_PER_S)

static stream_seq
with_ttl(struct stream *s, const char *subject, int64_t ttl_ns, const char *header)
{
    struct command_publish c = {.subject = text_of(subject), .header = text_of(header)};
    c.flags = PUBLISH_TTL;
    c.ttl_ns = ttl_ns;
    state_world_publish(&w, s, c);
    return w.result.seq;
}
#define HEADER(ttl) "NATS/1.0\r\nNats-TTL: " ttl "\r\n\r\n"

static int64_t due(uint32_t *stream)
{
    return state_expiry_due(w.state, stream);
}

static void age_is_due_when_the_oldest_message_is(void **state)
{
    (void)state;
    uint32_t id = 0;
    struct stream *s = stream("{\"name\":\"S\",\"max_age\":10000000000}");
    assert_int_equal(due(&id), INT64_MAX);
    int64_t start = w.now_ns;
    for (int i = 0; i < 5; i++) {
        state_world_put(&w, s, "S", "x");
        w.now_ns += SECOND;
    }
    assert_int_equal(due(&id), start + 10 * SECOND);
    assert_int_equal(id, s->id);
    w.now_ns = start + 10 * SECOND - 1;
    assert_int_equal(state_world_expire(&w, s, 100), 0);
    w.now_ns = start + 12 * SECOND;
    assert_int_equal(state_world_expire(&w, s, 2), 2); /* no more than asked for */
    assert_int_equal(state_world_expire(&w, s, 100), 1);
    assert_int_equal(stream_counts(s).first, 4);
    assert_int_equal(due(&id), start + 13 * SECOND);
    assert_int_equal(state_world_update(&w, "{\"name\":\"S\",\"max_age\":1000000000}"), JS_OK);
    assert_int_equal(due(&id), start + 4 * SECOND);
    assert_int_equal(state_world_expire(&w, s, 100), 2);
    assert_int_equal(due(&id), INT64_MAX);
}

static void what_ends_beyond_all_time_never_ends(void **state)
{
    (void)state;
    uint32_t id = 0;
    struct stream *s = stream("{\"name\":\"S\",\"max_age\":9223372036854775807}");
    state_world_put(&w, s, "S", "x");
    assert_int_equal(due(&id), INT64_MAX);
    struct stream *own = stream("{\"name\":\"T\",\"subjects\":[\"t\"],\"allow_msg_ttl\":true}");
    with_ttl(own, "t", INT64_MAX, HEADER("1s"));
    assert_int_equal(due(&id), INT64_MAX);
    w.now_ns += 10 * SECOND;
    state_world_expire(&w, s, 100);
    state_world_expire(&w, own, 100);
    assert_int_equal(stream_counts(s).msgs, 1);
    assert_int_equal(stream_counts(own).msgs, 1);
}

static void the_earliest_of_many_streams_is_due(void **state)
{
    (void)state;
    uint32_t id = 0;
    struct stream *slow = stream("{\"name\":\"A\",\"max_age\":9000000000}");
    struct stream *fast = stream("{\"name\":\"B\",\"max_age\":1000000000}");
    struct stream *own = stream("{\"name\":\"C\",\"allow_msg_ttl\":true}");
    state_world_put(&w, slow, "A", "x");
    assert_true(due(&id) == w.now_ns + 9 * SECOND && id == slow->id);
    with_ttl(own, "C", 5 * SECOND, HEADER("5s"));
    assert_true(due(&id) == w.now_ns + 5 * SECOND && id == own->id);
    state_world_put(&w, fast, "B", "x");
    assert_true(due(&id) == w.now_ns + SECOND && id == fast->id);
    state_world_purge(&w, fast, (struct command_purge){0});
    assert_true(due(&id) == w.now_ns + 5 * SECOND && id == own->id);
}

static void a_ttl_ends_a_message_and_never_exempts_from_age(void **state)
{
    (void)state;
    uint32_t id;
    struct stream *s = stream(
        "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_age\":10000000000,\"allow_msg_ttl\":true}");
    int64_t start = w.now_ns;
    with_ttl(s, "s.a", -1, HEADER("never"));
    with_ttl(s, "s.b", 2 * SECOND, HEADER("2s"));
    state_world_put(&w, s, "s.c", "x");
    assert_int_equal(due(&id), start + 2 * SECOND);
    w.now_ns = start + 2 * SECOND;
    assert_int_equal(state_world_expire(&w, s, 100), 1);
    assert_int_equal(stream_counts(s).msgs, 2);
    assert_int_equal(due(&id), start + 10 * SECOND);
    w.now_ns = start + 10 * SECOND;
    state_world_expire(&w, s, 100);
    assert_int_equal(stream_counts(s).msgs, 1);
    assert_int_equal(stream_counts(s).first, 1); /* lives on */
    assert_int_equal(due(&id), INT64_MAX);
}

static void the_last_of_a_subject_leaves_a_marker_that_leaves_none(void **state)
{
    (void)state;
    struct store_cursor cursor = {0};
    struct store_msg m;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_age\":10000000000,"
                              "\"subject_delete_marker_ttl\":60000000000}");
    state_world_put(&w, s, "s.a", "x");
    state_world_put(&w, s, "s.a", "x");
    state_world_put(&w, s, "s.b", "x");
    w.now_ns += 10 * SECOND;
    state_world_expire(&w, s, 100);
    assert_int_equal(stream_counts(s).msgs, 2); /* a marker each */
    assert_int_equal(stream_counts(s).first, 4);
    assert_int_equal(store_get(s->store, 4, &cursor, &m), 0);
    assert_true(text_equal(m.subject, TEXT("s.a")));
    assert_true(text_equal(m.header, TEXT("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n"
                                          "Nats-TTL: 1m0s\r\nNats-Rollup: sub\r\n\r\n")));
    store_cursor_close(&cursor);
    w.now_ns += 60 * SECOND;
    state_world_expire(&w, s, 100);
    assert_int_equal(stream_counts(s).msgs, 0);
    assert_int_equal(stream_counts(s).last, 5);
}

static void expired_messages_leave_consumers(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_age\":1000000000}");
    struct consumer *c = state_world_consumer(
        &w, s, "{\"name\":\"c\",\"ack_policy\":\"explicit\",\"filter_subject\":\"s.a\"}");
    for (int i = 0; i < 6; i++)
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
    w.now_ns += SECOND;
    state_world_put(&w, s, "s.a", "x");
    state_world_deliver(&w, c, 1, 1);
    assert_int_equal(c->num_pending, 3);
    assert_int_equal(state_world_expire(&w, s, 100), 6);
    assert_int_equal(c->num_pending, 1);
    assert_int_equal(c->pending_count, 0);
}

/* What the others remove this node can't tell: it must not keep it and go on. */
static void expiry_over_a_damaged_block_ends_the_node(void **state)
{
    (void)state;
    int status;
    char body[5000] = {0};
    struct stream *s = stream("{\"name\":\"S\",\"max_age\":10000000000}");
    uint32_t id = s->id;
    memset(body, 'x', sizeof body - 1);
    for (int i = 0; i < 10; i++) /* two blocks */
        state_world_put(&w, s, "S", body);
    state_world_flush(&w);
    state_world_crash(&w);
    s = state_stream_by_id(w.state, id);
    assert_true(mem_kv_damage(w.kv, 2, 60));
    w.now_ns += 20 * SECOND;
    pid_t child = fork();
    if (child == 0) {
        logger_redirect(quiet);
        (void)state_world_expire(&w, s, 100);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), EXIT_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(age_is_due_when_the_oldest_message_is),
        TEST(what_ends_beyond_all_time_never_ends),
        TEST(the_earliest_of_many_streams_is_due),
        TEST(a_ttl_ends_a_message_and_never_exempts_from_age),
        TEST(the_last_of_a_subject_leaves_a_marker_that_leaves_none),
        TEST(expired_messages_leave_consumers),
        TEST(expiry_over_a_damaged_block_ends_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
