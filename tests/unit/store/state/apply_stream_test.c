/* Streams are made, changed, purged and deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/err.h"
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

static struct consumer *consumer(struct stream *s, const char *json)
{
    struct consumer *c = state_world_consumer(&w, s, json);
    if (c == NULL) fail_msg("%d %s", w.result.error, w.detail);
    return c;
}

#define EXPLICIT "\"ack_policy\":\"explicit\""

static void creating_twice_is_the_same_unless_the_config_differs(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum js_error error;
        bool created;
    } rows[] = {
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"]}", JS_OK, true},
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_msgs\":-1,\"num_replicas\":1}", JS_OK,
         false},
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_msgs\":1}", JS_STREAM_NAME_EXISTS, false},
        {"{\"name\":\"T\",\"subjects\":[\"s.a\"]}", JS_STREAM_SUBJECT_OVERLAP, false},
        {"{\"name\":\"T\",\"sealed\":true}", JS_STREAM_INVALID_CONFIG, false},
        {"{\"name\":\"T\",\"max_age\":-1}", JS_STREAM_INVALID_CONFIG, false},
        {"{\"name\":\"T\"}", JS_OK, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        state_world_stream(&w, rows[i].json);
        if (w.result.error != rows[i].error)
            fail_msg("row %zu: %d %s", i, w.result.error, w.detail);
        assert_int_equal(w.result.created, rows[i].created);
    }
    struct stream *s = state_stream_next(w.state, TEXT("A"), NULL);
    assert_true(text_equal(s->config.name, TEXT("S")));
    s = state_stream_next(w.state, TEXT("A"), s);
    assert_true(text_equal(s->config.name, TEXT("T")));
    assert_null(state_stream_next(w.state, TEXT("A"), s));
    assert_ptr_equal(state_stream_capturing(w.state, TEXT("A"), TEXT("T")), s);
    assert_null(state_stream(w.state, TEXT("B"), TEXT("S")));
}

static void lowered_limits_take_effect_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint64_t msgs;
    } rows[] = {
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_msgs\":8}", 8},
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_msgs_per_subject\":3}", 6},
        {"{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_bytes\":140}", 4},
    };
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    struct consumer *c = consumer(s, "{\"name\":\"c\"," EXPLICIT ",\"filter_subject\":\"s.a\"}");
    for (int i = 0; i < 10; i++)
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(state_world_update(&w, rows[i].json), JS_OK);
        assert_int_equal(stream_counts(s).msgs, rows[i].msgs);
        assert_int_equal(c->num_pending, rows[i].msgs / 2);
    }
}

static void updates_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum js_error error;
    } rows[] = {
        {"{\"name\":\"X\"}", JS_STREAM_NOT_FOUND},
        {"{\"name\":\"S\",\"storage\":\"memory\"}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"S\",\"subjects\":[\"T\"]}", JS_STREAM_SUBJECT_OVERLAP},
        {"{\"name\":\"S\",\"consumer_limits\":{\"max_ack_pending\":5}}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"S\",\"subjects\":[\"S\",\"more\"]}", JS_OK},
    };
    struct stream *s = stream("{\"name\":\"S\"}");
    stream("{\"name\":\"T\"}");
    consumer(s, "{\"name\":\"c\"," EXPLICIT "}");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (state_world_update(&w, rows[i].json) != rows[i].error)
            fail_msg("row %zu: %d %s", i, w.result.error, w.detail);
    }
    assert_true(stream_captures(s, TEXT("more")));
}

static const struct purge {
    struct command_purge command;
    uint64_t purged, left, pending; /* of a consumer of s.a that has had 1 and 3 */
    stream_seq first, delivered;
} purges[] = {
    /* clang-format off */
    {{0},                               10, 0, 0, 11, 10},
    {{.filter = TEXT(">")},             10, 0, 0, 11, 10},
    {{.below = 6},                       5, 5, 2,  6,  5},
    {{.below = 100},                    10, 0, 0, 11, 10},
    {{.keep = 3},                        7, 3, 1,  8,  7},
    {{.keep = 30},                       0, 10, 3, 1,  3},
    {{.filter = TEXT("s.a")},            5, 5, 0,  2,  3},
    {{.filter = TEXT("s.a"), .keep = 1}, 4, 6, 1,  2,  3},
    {{.filter = TEXT("s.a"), .below = 6}, 3, 7, 2,  2,  3},
    {{.filter = TEXT("s.b")},            5, 5, 3,  1,  3},
    {{.filter = TEXT("s.c")},            0, 10, 3, 1,  3},
    /* clang-format on */
};

static void purges_remove_and_count_exactly(void **state)
{
    (void)state;
    for (const struct purge *p = purges; p < ARRAY_END(purges); p++) {
        struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
        struct consumer *c =
            consumer(s, "{\"name\":\"c\"," EXPLICIT ",\"filter_subject\":\"s.a\"}");
        for (int i = 0; i < 10; i++)
            state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
        state_world_deliver(&w, c, 1, 1);
        state_world_deliver(&w, c, 3, 3);
        uint64_t purged = state_world_purge(&w, s, p->command);
        size_t row = (size_t)(p - purges);
        if (purged != p->purged) fail_msg("row %zu: %d purged", row, (int)purged);
        assert_int_equal(stream_counts(s).msgs, p->left);
        assert_int_equal(stream_counts(s).first, p->first);
        if (c->num_pending != p->pending) fail_msg("row %zu: %d pending", row, (int)c->num_pending);
        assert_int_equal(c->delivered.sseq, p->delivered);
        for (size_t i = 0; i < c->pending_count; i++)
            assert_true(c->pending[i].sseq >= stream_counts(s).first);
        struct writer commands;
        writer_init(&commands, 0);
        entry_put_stream_delete(&commands, &(struct command_stream_delete){s->id});
        state_world_apply(&w, &commands);
    }
}

static void keep_counts_messages_not_sequences(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    for (int i = 0; i < 10; i++)
        state_world_put(&w, s, "S", "x");
    for (stream_seq seq = 2; seq < 10; seq += 2)
        state_world_delete(&w, s, seq);
    assert_int_equal(stream_counts(s).msgs, 6);
    assert_int_equal(state_world_purge(&w, s, (struct command_purge){.keep = 4}), 2);
    assert_int_equal(stream_counts(s).msgs, 4);
}

static void what_is_denied_is_denied(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"deny_delete\":true,\"deny_purge\":true}");
    state_world_put(&w, s, "S", "x");
    assert_int_equal(state_world_delete(&w, s, 1), JS_STREAM_MSG_DELETE_FAILED);
    assert_string_equal(w.detail, "message delete not permitted");
    state_world_purge(&w, s, (struct command_purge){0});
    assert_int_equal(w.result.error, JS_STREAM_PURGE_FAILED);
    assert_string_equal(w.detail, "stream purge not permitted");
    struct stream *t = stream("{\"name\":\"T\"}");
    state_world_purge(&w, t, (struct command_purge){.below = 1, .keep = 1});
    assert_int_equal(w.result.error, JS_BAD_REQUEST);
    assert_int_equal(state_world_delete(&w, t, 7), JS_SEQUENCE_NOT_FOUND);
    assert_string_equal(w.detail, "7");
}

static void a_deleted_stream_takes_its_consumers_along(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct consumer *c = consumer(s, "{\"name\":\"c\"," EXPLICIT "}");
    uint32_t id = s->id, consumer_id = c->id;
    struct writer commands;
    writer_init(&commands, 0);
    entry_put_stream_delete(&commands, &(struct command_stream_delete){id});
    state_world_apply(&w, &commands);
    assert_int_equal(w.deleted, 2);
    assert_null(state_stream_by_id(w.state, id));
    assert_null(state_consumer_by_id(w.state, consumer_id));
    s = stream("{\"name\":\"S\"}");
    assert_true(s->id > id);
    assert_int_equal(state_world_put(&w, s, "S", "x"), 1);
    assert_int_equal(state_account_counts(w.state, TEXT("A")).consumers, 0);
}

/* Two streams that each reserve all there can be: together they are still too much. */
static void reservations_never_wrap(void **state)
{
    (void)state;
    struct account_limits limits = {-1, -1, -1, -1, -1, -1, -1, false};
    struct writer c;
    writer_init(&c, 0);
    assert_non_null(state_world_stream(&w, "{\"name\":\"A1\",\"max_bytes\":9223372036854775807}"));
    assert_non_null(state_world_stream(&w, "{\"name\":\"A2\",\"max_bytes\":9223372036854775807}"));
    limits.max_storage = 1000;
    entry_put_account_limits(&c, &(struct command_account_limits){TEXT("A"), limits});
    state_world_apply(&w, &c);
    assert_null(state_world_stream(&w, "{\"name\":\"A3\",\"max_bytes\":500}"));
    assert_int_equal(w.result.error, JS_STORAGE_RESOURCES_EXCEEDED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(creating_twice_is_the_same_unless_the_config_differs),
        TEST(lowered_limits_take_effect_at_once),
        TEST(updates_are_checked),
        TEST(purges_remove_and_count_exactly),
        TEST(keep_counts_messages_not_sequences),
        TEST(what_is_denied_is_denied),
        TEST(a_deleted_stream_takes_its_consumers_along),
        TEST(reservations_never_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
