/* Consumers are made, changed and deleted; deliveries and acks; retention by interest and by work.
 */
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
#define C "{\"name\":\"c\"," EXPLICIT "}"

static struct stream *filled(const char *json, int count)
{
    struct stream *s = stream(json);
    for (int i = 0; i < count; i++)
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
    return s;
}
#define LIMITS "{\"name\":\"S\",\"subjects\":[\"s.*\"]}"

static void actions_say_whether_it_must_exist(void **state)
{
    (void)state;
    static const struct {
        enum consumer_action action;
        const char *json;
        enum js_error error;
        bool created;
    } rows[] = {
        {CONSUMER_UPDATE, C, JS_CONSUMER_DOES_NOT_EXIST, false},
        {CONSUMER_CREATE, C, JS_OK, true},
        {CONSUMER_CREATE, C, JS_OK, false},
        {CONSUMER_CREATE, "{\"name\":\"c\"," EXPLICIT ",\"description\":\"x\"}",
         JS_CONSUMER_ALREADY_EXISTS, false},
        {CONSUMER_UPDATE, "{\"name\":\"c\"," EXPLICIT ",\"description\":\"x\"}", JS_OK, false},
        {CONSUMER_CREATE_OR_UPDATE, C, JS_OK, false},
        {CONSUMER_CREATE_OR_UPDATE, "{\"name\":\"c\"}", JS_CONSUMER_CREATE, false},
        {CONSUMER_CREATE_OR_UPDATE, "{\"name\":\"d\",\"durable_name\":\"d\"}", JS_OK, true},
    };
    struct stream *s = filled(LIMITS, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct command_consumer c = {.action = (uint8_t)rows[i].action,
                                     .config = text_of(rows[i].json)};
        if (state_world_consumer_as(&w, s, c) != rows[i].error)
            fail_msg("%zu: %d", i, w.result.error);
        assert_int_equal(w.result.created, rows[i].created);
    }
}

/* Two instances of a service race: the second must not take the first one's deliveries. */
static void a_deliver_subject_in_use_is_not_replaced(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 0);
    struct consumer *c = consumer(s, "{\"durable_name\":\"c\",\"deliver_subject\":\"d.1\"}");
    struct command_consumer other = {
        .config = TEXT("{\"durable_name\":\"c\",\"deliver_subject\":\"d.2\"}")};
    assert_int_equal(state_world_consumer_as(&w, s, other), JS_CONSUMER_NAME_EXISTS);
    other.seen = c->id;
    other.deliver_interest = true;
    assert_int_equal(state_world_consumer_as(&w, s, other), JS_CONSUMER_NAME_EXISTS);
    other.deliver_interest = false;
    assert_int_equal(state_world_consumer_as(&w, s, other), JS_OK);
    assert_true(text_equal(c->config.deliver_subject, TEXT("d.2")));
}

static void deliveries_move_the_numbers_and_name_their_node(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 5);
    struct consumer *c = consumer(s, C);
    assert_int_equal(state_world_deliver(&w, c, 1, 3), JS_OK);
    assert_int_equal(w.item_count, 3);
    assert_int_equal(w.target, 3);
    assert_int_equal(w.request, 44);
    assert_int_equal(w.items[0].pending, 4);
    assert_int_equal(w.items[2].pending, 2);
    assert_int_equal(w.items[2].cseq, 3);
    assert_int_equal(c->num_pending, 2);
    assert_int_equal(c->pending_count, 3);
    assert_int_equal(state_world_redeliver(&w, c, 2), JS_OK);
    assert_int_equal(w.items[0].deliveries, 2);
    assert_int_equal(w.items[0].cseq, 4);
    assert_int_equal(c->redelivered, 1);
    assert_int_equal(c->num_pending, 2);
    assert_int_equal(state_world_redeliver(&w, c, 2), JS_OK);
    assert_int_equal(w.items[0].deliveries, 3);
    state_world_forget(&w);
    assert_int_equal(state_world_redeliver(&w, c, 5), JS_OK); /* not pending: passed over */
    assert_int_equal(w.delivered, 0);
}

static void a_delivery_from_another_position_is_refused_whole(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 5);
    struct consumer *c = consumer(s, C);
    static const struct {
        uint64_t expect;
        stream_seq first, second;
        enum js_error error;
    } rows[] = {
        {1, 2, 3, JS_STREAM_SEQUENCE_NOT_MATCH}, {0, 1, 2, JS_OK},
        {0, 1, 2, JS_STREAM_SEQUENCE_NOT_MATCH}, {2, 2, 3, JS_STREAM_SEQUENCE_NOT_MATCH},
        {2, 3, 6, JS_STREAM_SEQUENCE_NOT_MATCH}, {2, 4, 5, JS_OK},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct writer commands;
        writer_init(&commands, 0);
        struct command_deliver d = {
            .stream = s->id, .consumer = c->id, .expect_delivered = rows[i].expect};
        stream_seq seqs[] = {rows[i].first, rows[i].second};
        d.fresh_count = 2;
        entry_put_deliver(&commands, &d, seqs, NULL);
        state_world_apply(&w, &commands);
        if (w.result.error != rows[i].error) fail_msg("row %zu: %d", i, w.result.error);
    }
    assert_int_equal(c->delivered.sseq, 5);
    assert_int_equal(c->pending_count, 4);
}

static void a_message_that_went_meanwhile_is_not_delivered(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 5);
    struct consumer *c = consumer(s, C);
    state_world_delete(&w, s, 2);
    assert_int_equal(c->num_pending, 4);
    state_world_deliver(&w, c, 1, 5);
    assert_int_equal(w.item_count, 4);
    assert_int_equal(c->num_pending, 0);
    assert_int_equal(c->delivered.sseq, 5);
    assert_int_equal(c->delivered.cseq, 4);
    state_world_delete(&w, s, 3); /* pending: leaves */
    assert_int_equal(c->pending_count, 3);
}

static void acks_of_each_kind(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 6);
    struct consumer *c = consumer(s, C);
    state_world_deliver(&w, c, 1, 6);
    w.now_ns += 5;
    assert_int_equal(state_world_ack(&w, c, ACK_NAK, 1), 1);
    assert_int_equal(consumer_find(c, 1)->delay_ns, 0);
    assert_int_equal(state_world_ack(&w, c, ACK_PROGRESS, 1), 1);
    assert_int_equal(consumer_find(c, 1)->delay_ns, -1);
    assert_int_equal(consumer_find(c, 1)->time_ns, w.now_ns);
    assert_int_equal(state_world_ack(&w, c, ACK_TERM, 2), 1);
    assert_int_equal(w.terminated, 1);
    assert_int_equal(state_world_ack(&w, c, ACK_EXHAUSTED, 3), 1);
    assert_int_equal(state_world_ack(&w, c, ACK_ACK, 3), 0);
    assert_int_equal(state_world_ack(&w, c, ACK_ALL, 5), 3);
    assert_int_equal(c->ack_floor.sseq, 5);
    assert_int_equal(c->pending_count, 1);
    assert_int_equal(stream_counts(s).msgs, 6);
}

static void with_ack_all_an_ack_settles_all_before(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 6);
    struct consumer *c = consumer(s, "{\"name\":\"c\",\"ack_policy\":\"all\"}");
    state_world_deliver(&w, c, 1, 6);
    assert_int_equal(state_world_ack(&w, c, ACK_ACK, 4), 4);
    assert_int_equal(c->pending_count, 2);
}

static void without_acks_nothing_is_pending_and_the_floor_follows(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 4);
    struct consumer *c = consumer(s, "{\"name\":\"c\"}");
    state_world_deliver(&w, c, 1, 4);
    assert_int_equal(c->pending_count, 0);
    assert_int_equal(c->ack_floor.sseq, 4);
    assert_int_equal(c->ack_floor.cseq, 4);
}

#define QUEUE "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"workqueue\"}"
static void a_work_queue_drops_what_is_acked(void **state)
{
    (void)state;
    struct stream *s = filled(QUEUE, 4);
    struct consumer *c = consumer(s, C);
    state_world_deliver(&w, c, 1, 4);
    state_world_ack(&w, c, ACK_ACK, 2);
    assert_int_equal(stream_counts(s).msgs, 3);
    state_world_ack(&w, c, ACK_EXHAUSTED, 1); /* given up: stays */
    assert_int_equal(stream_counts(s).msgs, 3);
    state_world_ack(&w, c, ACK_ACK, 1); /* and acked late: goes */
    assert_int_equal(stream_counts(s).first, 3);
    state_world_ack(&w, c, ACK_TERM, 3);
    assert_int_equal(stream_counts(s).msgs, 1);
}

static void each_message_of_a_work_queue_has_one_consumer(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum js_error error;
    } rows[] = {
        {"{\"name\":\"a\"," EXPLICIT ",\"filter_subject\":\"s.a\"}", JS_OK},
        {"{\"name\":\"b\"," EXPLICIT ",\"filter_subject\":\"s.b\"}", JS_OK},
        {"{\"name\":\"c\"," EXPLICIT ",\"filter_subject\":\"s.*\"}",
         JS_CONSUMER_WQ_CONSUMER_NOT_UNIQUE},
        {"{\"name\":\"d\"," EXPLICIT "}", JS_CONSUMER_WQ_MULTIPLE_UNFILTERED},
        {"{\"name\":\"a\"," EXPLICIT ",\"filter_subject\":\"s.b\"}",
         JS_CONSUMER_WQ_CONSUMER_NOT_UNIQUE},
        {"{\"name\":\"a\"," EXPLICIT ",\"filter_subject\":\"s.c\"}", JS_OK},
    };
    struct stream *s = filled(QUEUE, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct command_consumer c = {.config = text_of(rows[i].json)};
        if (state_world_consumer_as(&w, s, c) != rows[i].error)
            fail_msg("%zu: %d", i, w.result.error);
    }
}

static struct consumer *interested(struct stream *s, const char *name, const char *filter)
{
    char json[128];
    snprintf(json, sizeof json, "{\"name\":\"%s\"," EXPLICIT ",\"filter_subject\":\"%s\"}", name,
             filter);
    return consumer(s, json);
}

static void interest_ends_when_all_interested_have_acked(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"interest\"}");
    struct consumer *all = interested(s, "all", "s.*"), *a = interested(s, "a", "s.a");
    for (int i = 0; i < 4; i++)
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
    state_world_deliver(&w, all, 1, 4);
    state_world_ack(&w, all, ACK_ACK, 2); /* only of interest to it */
    assert_int_equal(stream_counts(s).msgs, 3);
    state_world_ack(&w, all, ACK_ACK, 1);
    assert_int_equal(stream_counts(s).msgs, 3);
    state_world_deliver(&w, a, 1, 1);
    state_world_ack(&w, a, ACK_ACK, 1);
    assert_int_equal(stream_counts(s).msgs, 2);
    assert_int_equal(stream_counts(s).first, 3);
}

static void deleting_a_consumer_releases_what_only_it_wanted(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"interest\"}");
    struct consumer *all = interested(s, "all", "s.*"), *a = interested(s, "a", "s.a");
    struct consumer *gone[] = {all, a};
    static const uint64_t left[] = {2, 0};
    for (int i = 0; i < 4; i++)
        state_world_put(&w, s, i % 2 == 0 ? "s.a" : "s.b", "x");
    state_world_deliver(&w, all, 1, 2);
    for (size_t i = 0; i < 2; i++) {
        struct writer commands;
        writer_init(&commands, 0);
        entry_put_consumer_delete(&commands, &(struct command_consumer_delete){s->id, gone[i]->id});
        state_world_apply(&w, &commands);
        assert_int_equal(w.result.error, JS_OK);
        assert_int_equal(stream_counts(s).msgs, left[i]);
    }
    assert_int_equal(w.deleted, 2);
}

static void a_delivery_without_acks_ends_interest(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"retention\":\"interest\"}");
    struct consumer *c = consumer(s, "{\"name\":\"c\"}");
    state_world_put(&w, s, "S", "x");
    state_world_put(&w, s, "S", "x");
    state_world_deliver(&w, c, 1, 1);
    assert_int_equal(stream_counts(s).msgs, 1);
}

static void new_filters_count_anew(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 6);
    struct consumer *c = consumer(s, C);
    state_world_deliver(&w, c, 1, 1);
    assert_int_equal(c->num_pending, 5);
    consumer(s, "{\"name\":\"c\"," EXPLICIT ",\"filter_subject\":\"s.a\"}");
    assert_int_equal(c->num_pending, 2);
    assert_int_equal(c->pending_count, 1);
}

static void a_consumer_can_be_paused_and_keeps_it_over_updates(void **state)
{
    (void)state;
    struct stream *s = filled(LIMITS, 0);
    struct consumer *c = consumer(s, C);
    int64_t until = w.now_ns + 100;
    for (int64_t at = until; at >= w.now_ns; at -= 100) {
        struct writer commands;
        writer_init(&commands, 0);
        entry_put_pause(&commands, &(struct command_pause){s->id, c->id, at});
        state_world_apply(&w, &commands);
        consumer(s, "{\"name\":\"c\"," EXPLICIT ",\"description\":\"x\"}");
        assert_true(c->config.pause_until_ns == (at > w.now_ns ? at : INT64_MIN));
    }
}

static void consumers_are_limited(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"max_consumers\":1}");
    consumer(s, C);
    assert_null(state_world_consumer(&w, s, "{\"name\":\"d\"}"));
    assert_int_equal(w.result.error, JS_MAXIMUM_CONSUMERS_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(actions_say_whether_it_must_exist),
        TEST(a_deliver_subject_in_use_is_not_replaced),
        TEST(deliveries_move_the_numbers_and_name_their_node),
        TEST(a_delivery_from_another_position_is_refused_whole),
        TEST(a_message_that_went_meanwhile_is_not_delivered),
        TEST(acks_of_each_kind),
        TEST(with_ack_all_an_ack_settles_all_before),
        TEST(without_acks_nothing_is_pending_and_the_floor_follows),
        TEST(a_work_queue_drops_what_is_acked),
        TEST(each_message_of_a_work_queue_has_one_consumer),
        TEST(interest_ends_when_all_interested_have_acked),
        TEST(deleting_a_consumer_releases_what_only_it_wanted),
        TEST(a_delivery_without_acks_ends_interest),
        TEST(new_filters_count_anew),
        TEST(a_consumer_can_be_paused_and_keeps_it_over_updates),
        TEST(consumers_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
