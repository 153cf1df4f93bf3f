/* Batches of origins, each applied once and in order. */
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

static void publish_as(struct stream *s, node_id node, uint64_t incarnation, uint64_t number)
{
    struct writer commands;
    writer_init(&commands, 0);
    entry_put_publish(&commands, &(struct command_publish){.stream = s->id, .subject = TEXT("S")});
    entry_put_publish(&commands, &(struct command_publish){.stream = s->id, .subject = TEXT("S")});
    state_world_apply_as(&w, node, incarnation, number, &commands);
}

static void a_batch_is_applied_only_as_its_origins_next(void **state)
{
    (void)state;
    static const struct {
        node_id node;
        uint64_t incarnation, number;
        bool applied;
    } rows[] = {
        {1, 1, 1, true},  {1, 1, 1, false}, {1, 1, 3, false}, {1, 1, 2, true},
        {2, 1, 2, false}, {2, 9, 1, true},  {1, 2, 3, false}, {1, 2, 1, true},
        {1, 1, 3, false}, {1, 2, 2, true},  {2, 9, 2, true},  {1, 2, 1, false},
    };
    struct stream *s = stream("{\"name\":\"S\"}");
    uint64_t msgs = 0;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        state_world_forget(&w);
        publish_as(s, rows[i].node, rows[i].incarnation, rows[i].number);
        if (rows[i].applied) msgs += 2;
        if (stream_counts(s).msgs != msgs) fail_msg("row %zu", i);
        assert_int_equal(w.batches, rows[i].applied);
        assert_int_equal(w.results, rows[i].applied ? 2 : 0);
    }
    assert_int_equal(state_origin_number(w.state, 1, 2), 2);
    assert_int_equal(state_origin_number(w.state, 1, 1), 0);
    assert_int_equal(state_at(w.state).index, w.last);
}

/* A leader's clock that steps back must not make a stream's times descend. */
static void time_never_goes_back(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    int64_t start = w.now_ns;
    w.now_ns = start - 5;
    state_world_put(&w, s, "S", "x");
    assert_int_equal(state_now(w.state).ns, start);
    assert_int_equal(stream_counts(s).last_ns, start);
}

static void unknown_objects_are_answered(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\"}");
    struct stream other = {.id = s->id + 1};
    struct consumer c = {.id = 77, .stream = s}, d = {.id = 77, .stream = &other};
    assert_int_equal(
        state_world_publish(&w, &other, (struct command_publish){.subject = TEXT("x")}),
        JS_STREAM_NOT_FOUND);
    state_world_ack(&w, &c, ACK_ACK, 1);
    assert_int_equal(w.result.error, JS_CONSUMER_NOT_FOUND);
    state_world_ack(&w, &d, ACK_ACK, 1);
    assert_int_equal(w.result.error, JS_STREAM_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_applied_only_as_its_origins_next),
        TEST(time_never_goes_back),
        TEST(unknown_objects_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
