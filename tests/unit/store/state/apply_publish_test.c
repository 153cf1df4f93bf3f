/* What a publish comes to: expectations, duplicates, limits, roll-ups, interest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/state/apply.h"
#include "tests/lib/state_world.h"

static struct state_world w;

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

static struct command_publish on(const char *subject)
{
    return (struct command_publish){.subject = text_of(subject), .body = TEXT("b")};
}

static void sequences_count_from_one_and_consumers_are_woken(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.>\"]}");
    assert_int_equal(state_world_put(&w, s, "s.a", "one"), 1);
    assert_int_equal(state_world_put(&w, s, "s.b", "two"), 2);
    assert_int_equal(w.appended, 2);
    assert_int_equal(stream_counts(s).msgs, 2);
    assert_int_equal(stream_counts(s).bytes, 2 * (22 + 3 + 3 + 8));
}

static void first_seq_moves_the_start(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"first_seq\":100}");
    assert_int_equal(stream_counts(s).last, 99);
    assert_int_equal(state_world_put(&w, s, "S", "x"), 100);
}

static void expected_sequences_are_exact(void **state)
{
    (void)state;
    static const struct {
        uint32_t flag;
        uint64_t seq;
        const char *subject, *other;
        enum js_error error;
        const char *detail;
    } rows[] = {
        {PUBLISH_EXPECT_SEQ, 2, "s.a", NULL, JS_STREAM_WRONG_LAST_SEQUENCE, "3"},
        {PUBLISH_EXPECT_SEQ, 4, "s.a", NULL, JS_STREAM_WRONG_LAST_SEQUENCE, "3"},
        {PUBLISH_EXPECT_SEQ, 3, "s.a", NULL, JS_OK, ""},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 0, "s.new", NULL, JS_OK, ""},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 0, "s.b", NULL, JS_STREAM_WRONG_LAST_SEQUENCE, "3"},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 3, "s.b", NULL, JS_OK, ""},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 6, "s.x", "s.b", JS_OK, ""},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 6, "s.x", "s.*", JS_STREAM_WRONG_LAST_SEQUENCE, "7"},
        {PUBLISH_EXPECT_SUBJECT_SEQ, 7, "s.x", "s.*", JS_OK, ""},
    };
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.>\"]}");
    state_world_put(&w, s, "s.a", "");
    state_world_put(&w, s, "s.a", "");
    state_world_put(&w, s, "s.b", "");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct command_publish c = on(rows[i].subject);
        c.flags = rows[i].flag;
        c.expect_seq = c.expect_subject_seq = rows[i].seq;
        c.expect_subject = text_of(rows[i].other);
        if (state_world_publish(&w, s, c) != rows[i].error)
            fail_msg("row %zu: %d", i, w.result.error);
        assert_string_equal(w.detail, rows[i].detail);
    }
}

static enum js_error with_id(struct stream *s, const char *id)
{
    struct command_publish c = on("S");
    c.flags = PUBLISH_MSG_ID;
    c.msg_id = text_of(id);
    return state_world_publish(&w, s, c);
}

static void an_id_is_taken_once_within_the_window(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"duplicate_window\":1000000000}");
    assert_int_equal(with_id(s, "a"), JS_OK);
    assert_int_equal(with_id(s, "b"), JS_OK);
    w.now_ns += 999999999;
    assert_int_equal(with_id(s, "a"), JS_OK);
    assert_true(w.result.duplicate);
    assert_int_equal(w.result.seq, 1);
    w.now_ns += 1; /* entry time alone ends the window */
    assert_int_equal(with_id(s, "a"), JS_OK);
    assert_false(w.result.duplicate);
    assert_int_equal(w.result.seq, 3);
    assert_int_equal(stream_counts(s).msgs, 3);
}

/* A client that repeats because the answer was lost must hear that it succeeded. */
static void a_duplicate_is_found_before_its_expectation_fails(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct command_publish c = on("S");
    c.flags = PUBLISH_MSG_ID | PUBLISH_EXPECT_SEQ;
    c.msg_id = TEXT("x");
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    assert_true(w.result.duplicate);
}

static void the_last_id_is_that_of_the_last_message(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct command_publish c = on("S");
    c.flags = PUBLISH_EXPECT_MSG_ID;
    c.expect_msg_id = TEXT("b");
    with_id(s, "a");
    assert_int_equal(state_world_publish(&w, s, c), JS_STREAM_WRONG_LAST_MSG_ID);
    assert_string_equal(w.detail, "a");
    with_id(s, "b");
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    assert_int_equal(state_world_publish(&w, s, c), JS_STREAM_WRONG_LAST_MSG_ID);
    assert_string_equal(w.detail, "");
}

static const struct limit {
    const char *json;
    enum js_error third; /* a third message, on s.a as the first was */
    const char *detail;
    uint64_t msgs, first;
} limits[] = {
    /* clang-format off */
    {"\"max_msgs\":2",                                            JS_OK, "", 2, 2},
    {"\"max_msgs\":2,\"discard\":\"new\"",                        JS_STREAM_STORE_FAILED, "maximum messages exceeded", 2, 1},
    {"\"max_bytes\":70",                                          JS_OK, "", 2, 2},
    {"\"max_bytes\":70,\"discard\":\"new\"",                      JS_STREAM_STORE_FAILED, "maximum bytes exceeded", 2, 1},
    {"\"max_bytes\":30",                                          JS_STREAM_STORE_FAILED, "maximum bytes exceeded", 0, 1},
    {"\"max_msgs_per_subject\":1",                                JS_OK, "", 2, 2},
    {"\"max_msgs_per_subject\":1,\"discard\":\"new\"",            JS_OK, "", 2, 2},
    {"\"max_msgs_per_subject\":1,\"discard\":\"new\",\"max_msgs\":2", JS_OK, "", 2, 2},
    {"\"max_msgs_per_subject\":1,\"discard\":\"new\",\"max_bytes\":70", JS_OK, "", 2, 2},
    {"\"max_msgs_per_subject\":1,\"discard\":\"new\",\"discard_new_per_subject\":true", JS_STREAM_STORE_FAILED, "maximum messages per subject exceeded", 2, 1},
    {"\"max_msg_size\":0,\"max_msgs\":9",                         JS_OK, "", 3, 1},
    /* clang-format on */
};

static void limits_discard_old_or_refuse_new(void **state)
{
    (void)state;
    for (const struct limit *l = limits; l < ARRAY_END(limits); l++) {
        char json[256];
        snprintf(json, sizeof json, "{\"name\":\"S%zu\",\"subjects\":[\"s%zu.*\"],%s}",
                 (size_t)(l - limits), (size_t)(l - limits), l->json);
        struct stream *s = stream(json);
        char a[32], b[32];
        snprintf(a, sizeof a, "s%zu.a", (size_t)(l - limits));
        snprintf(b, sizeof b, "s%zu.b", (size_t)(l - limits));
        state_world_put(&w, s, a, "");
        state_world_put(&w, s, b, "");
        enum js_error error =
            state_world_publish(&w, s, (struct command_publish){.subject = text_of(a)});
        if (error != l->third) fail_msg("%s: %d %s", l->json, error, w.detail);
        assert_string_equal(w.detail, l->detail);
        assert_int_equal(stream_counts(s).msgs, l->msgs);
        assert_int_equal(stream_counts(s).first, l->first);
    }
}

static void sizes_are_checked(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"max_msg_size\":4}");
    assert_int_equal(state_world_put(&w, s, "S", "1234"), 1);
    assert_int_equal(state_world_put(&w, s, "S", "12345"), 0);
    assert_int_equal(w.result.error, JS_STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    static char header[65536 + 1];
    memset(header, 'h', sizeof header);
    struct stream *t = stream("{\"name\":\"T\"}");
    struct command_publish c = {.subject = TEXT("T"), .header = {header, 65536}};
    assert_int_equal(state_world_publish(&w, t, c), JS_STREAM_HEADER_EXCEEDS_MAXIMUM);
    c.header.bytes = 65535;
    assert_int_equal(state_world_publish(&w, t, c), JS_OK);
}

static void rollups_remove_what_was_before(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"allow_rollup_hdrs\":true}");
    struct command_publish c = on("s.a");
    for (int i = 0; i < 3; i++) {
        state_world_put(&w, s, "s.a", "");
        state_world_put(&w, s, "s.b", "");
    }
    c.flags = PUBLISH_ROLLUP_SUBJECT;
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    assert_int_equal(stream_counts(s).msgs, 4);
    c.flags = PUBLISH_ROLLUP_ALL;
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    assert_int_equal(stream_counts(s).msgs, 1);
    assert_int_equal(stream_counts(s).first, 8);
    struct stream *t = stream("{\"name\":\"T\"}");
    c.subject = TEXT("T");
    assert_int_equal(state_world_publish(&w, t, c), JS_STREAM_ROLLUP_FAILED);
    assert_string_equal(w.detail, "rollup not permitted");
}

static void without_interest_the_sequence_is_used_but_nothing_stored(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"interest\"}");
    assert_int_equal(state_world_put(&w, s, "s.a", ""), 1);
    assert_int_equal(stream_counts(s).msgs, 0);
    assert_int_equal(w.appended, 0);
    state_world_consumer(&w, s,
                         "{\"name\":\"c\",\"ack_policy\":\"explicit\",\"filter_subject\":\"s.b\"}");
    assert_int_equal(state_world_put(&w, s, "s.a", ""), 2);
    assert_int_equal(state_world_put(&w, s, "s.b", ""), 3);
    assert_int_equal(stream_counts(s).msgs, 1);
    assert_int_equal(stream_counts(s).last, 3);
}

static void a_ttl_needs_permission_and_a_sealed_stream_takes_nothing(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct command_publish c = on("S");
    c.flags = PUBLISH_TTL;
    c.ttl_ns = 1;
    assert_int_equal(state_world_publish(&w, s, c), JS_MESSAGE_TTL_DISABLED);
    assert_int_equal(state_world_update(&w, "{\"name\":\"S\",\"sealed\":true}"), JS_OK);
    assert_true(s->config.deny_delete && s->config.deny_purge && s->config.discard == DISCARD_NEW);
    assert_int_equal(state_world_publish(&w, s, on("S")), JS_STREAM_SEALED);
}

static void an_account_pays_for_what_it_stores(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct writer commands;
    state_world_put(&w, s, "S", "");
    writer_init(&commands, 0);
    struct command_account_limits c = {TEXT("A"), {-1, 70, 1, -1, -1, -1, -1, false}};
    entry_put_account_limits(&commands, &c);
    state_world_apply(&w, &commands);
    assert_int_equal(state_world_put(&w, s, "S", ""), 2);
    assert_int_equal(state_world_put(&w, s, "S", ""), 0);
    assert_int_equal(w.result.error, JS_ACCOUNT_RESOURCES_EXCEEDED);
    state_world_delete(&w, s, 1);
    assert_int_equal(state_world_put(&w, s, "S", ""), 3);
    assert_null(state_world_stream(&w, "{\"name\":\"T\"}"));
    assert_int_equal(w.result.error, JS_MAXIMUM_STREAMS_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sequences_count_from_one_and_consumers_are_woken),
        TEST(first_seq_moves_the_start),
        TEST(expected_sequences_are_exact),
        TEST(an_id_is_taken_once_within_the_window),
        TEST(a_duplicate_is_found_before_its_expectation_fails),
        TEST(the_last_id_is_that_of_the_last_message),
        TEST(limits_discard_old_or_refuse_new),
        TEST(sizes_are_checked),
        TEST(rollups_remove_what_was_before),
        TEST(without_interest_the_sequence_is_used_but_nothing_stored),
        TEST(a_ttl_needs_permission_and_a_sealed_stream_takes_nothing),
        TEST(an_account_pays_for_what_it_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
