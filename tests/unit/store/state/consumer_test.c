/* Where a consumer starts, what comes next, and how its numbers move. */
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

static const struct start {
    const char *policy;
    stream_seq delivered; /* before the first */
    uint64_t pending;
    stream_seq next[4]; /* what is delivered, in order */
} starts[] = {
    /* clang-format off */
    {"\"deliver_policy\":\"all\"",                                 2, 6, {3, 4, 5, 6}},
    {"\"deliver_policy\":\"all\",\"filter_subject\":\"s.b\"",      2, 3, {4, 6, 8}},
    {"\"deliver_policy\":\"all\",\"filter_subjects\":[\"s.b\",\"s.x\"]", 2, 3, {4, 6, 8}},
    {"\"deliver_policy\":\"new\"",                                 8, 0, {0}},
    {"\"deliver_policy\":\"last\"",                                7, 1, {8}},
    {"\"deliver_policy\":\"last\",\"filter_subject\":\"s.a\"",     6, 1, {7}},
    {"\"deliver_policy\":\"last\",\"filter_subject\":\"s.x\"",     8, 0, {0}},
    {"\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":1",    2, 6, {3}},
    {"\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":5",    4, 4, {5, 6}},
    {"\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":1000", 8, 0, {0}},
    {"\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2023-11-14T22:13:25Z\"", 5, 3, {6, 7}},
    {"\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2033-11-14T22:13:25Z\"", 8, 0, {0}},
    {"\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.*\"", 6, 2, {7, 8}},
    /* clang-format on */
};

/* s.a and s.b in turns, one a second; the first two are gone. */
static struct stream *eight(void)
{
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    for (int i = 0; i < 8; i++) {
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
        w.now_ns += (int64_t)NS_PER_S;
    }
    state_world_delete(&w, s, 1);
    state_world_delete(&w, s, 2);
    return s;
}

static void each_policy_has_its_start_and_counts_what_is_pending(void **state)
{
    (void)state;
    struct stream *s = eight();
    for (const struct start *p = starts; p < ARRAY_END(starts); p++) {
        char json[256];
        snprintf(json, sizeof json, "{\"name\":\"c%zu\"," EXPLICIT ",%s}", (size_t)(p - starts),
                 p->policy);
        struct consumer *c = consumer(s, json);
        if (c->delivered.sseq != p->delivered || c->num_pending != p->pending)
            fail_msg("%s: %d, %d pending", p->policy, (int)c->delivered.sseq, (int)c->num_pending);
        struct store_cursor cursor = {0};
        struct store_msg m;
        stream_seq scanned = 0;
        for (size_t i = 0; i < 4 && p->next[i] != 0; i++) {
            assert_int_equal(consumer_next(c, scanned, &cursor, &scanned, &m), 0);
            assert_int_equal(m.seq, p->next[i]);
        }
        store_cursor_close(&cursor);
    }
}

static void the_last_per_subject_come_first_then_live_ones(void **state)
{
    (void)state;
    struct stream *s = eight();
    struct consumer *c =
        consumer(s, "{\"name\":\"c\"," EXPLICIT
                    ",\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.*\"}");
    state_world_put(&w, s, "s.c", "x"); /* 9 */
    assert_int_equal(c->num_pending, 3);
    state_world_delete(&w, s, 7); /* s.a's: in the list, not delivered yet */
    state_world_delete(&w, s, 5); /* neither in the list nor live */
    assert_int_equal(c->num_pending, 2);
    struct store_cursor cursor = {0};
    struct store_msg m;
    stream_seq scanned = 0;
    assert_int_equal(consumer_next(c, 0, &cursor, &scanned, &m), 0);
    assert_int_equal(m.seq, 8);
    assert_int_equal(state_world_deliver(&w, c, 8, 8), JS_OK);
    assert_int_equal(consumer_next(c, 0, &cursor, &scanned, &m), 0);
    assert_int_equal(m.seq, 9);
    assert_int_equal(state_world_deliver(&w, c, 9, 9), JS_OK);
    assert_int_equal(c->num_pending, 0);
    assert_int_equal(consumer_next(c, 0, &cursor, &scanned, &m), E_NOTFOUND);
    assert_int_equal(scanned, 9);
    store_cursor_close(&cursor);
}

static void the_floor_follows_the_lowest_pending_and_never_goes_back(void **state)
{
    (void)state;
    static const struct {
        stream_seq ack, floor_sseq;
        uint64_t floor_cseq;
    } rows[] = {{5, 2, 0}, {4, 2, 0}, {3, 5, 3}, {7, 5, 3}, {6, 7, 6}, {8, 8, 7}};
    struct stream *s = eight();
    struct consumer *c = consumer(s, "{\"name\":\"c\"," EXPLICIT "}");
    state_world_deliver(&w, c, 3, 6);
    state_world_redeliver(&w, c, 3); /* takes consumer sequence 5 */
    state_world_deliver(&w, c, 7, 7);
    state_world_deliver(&w, c, 8, 8);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        state_world_ack(&w, c, ACK_ACK, rows[i].ack);
        if (c->ack_floor.sseq != rows[i].floor_sseq || c->ack_floor.cseq != rows[i].floor_cseq)
            fail_msg("row %zu: %d %d", i, (int)c->ack_floor.sseq, (int)c->ack_floor.cseq);
    }
    assert_int_equal(c->pending_count, 0);
    assert_int_equal(c->ack_floor.cseq, 7);
    assert_int_equal(c->redelivered, 0);
}

static void many_pending_are_found_and_settled_in_any_order(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct consumer *c = consumer(s, "{\"name\":\"c\"," EXPLICIT ",\"max_ack_pending\":-1}");
    for (int i = 0; i < 500; i++)
        state_world_put(&w, s, "S", "");
    for (stream_seq seq = 1; seq <= 500; seq += 50)
        state_world_deliver(&w, c, seq, seq + 49);
    for (stream_seq i = 0; i < 500; i++) {
        stream_seq seq = i * 7 % 500 + 1; /* 7 and 500 share no factor: each once */
        assert_non_null(consumer_find(c, seq));
        assert_int_equal(state_world_ack(&w, c, ACK_ACK, seq), 1);
        assert_null(consumer_find(c, seq));
        for (size_t k = 1; k < c->pending_count; k++)
            assert_true(c->pending[k - 1].sseq < c->pending[k].sseq);
    }
    assert_int_equal(c->ack_floor.sseq, 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_policy_has_its_start_and_counts_what_is_pending),
        TEST(the_last_per_subject_come_first_then_live_ones),
        TEST(the_floor_follows_the_lowest_pending_and_never_goes_back),
        TEST(many_pending_are_found_and_settled_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
