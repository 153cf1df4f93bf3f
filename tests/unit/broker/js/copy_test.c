/* copy_test.c - what the engine does by itself: mirrors and sources follow, messages are
 * republished, mirrors answer direct gets. */
#include "tests/unit/broker/js/js_world.h"

static void a_mirror_follows_and_answers_for_its_origin(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    stream("M", ",'mirror':{'name':'S'},'mirror_direct':true");
    publish("s.a", "2");
    world_turn();
    request("$JS.API.STREAM.INFO.M", "");
    assert_holds(world_answer.body, "\"messages\":2,");
    assert_holds(world_answer.body, "\"mirror\":{\"name\":\"S\",\"lag\":0,\"active\":");
    request("$JS.API.DIRECT.GET.S.s.a", "");
    assert_string_equal(world_answer.body, "2");
    assert_holds(world_answer.header, "Nats-Stream: M\r\n");
}

static void a_source_that_comes_later_is_found(void **test)
{
    (void)test;
    stream("T", ",'sources':[{'name':'S'}]");
    request("$JS.API.STREAM.INFO.T", "");
    assert_holds(world_answer.body, "stream not found");
    stream("S", ",'subjects':['s.>']");
    for (int i = 0; i < 3; i++)
        publish("s.a", "x");
    world_turn();
    request("$JS.API.STREAM.INFO.T", "");
    assert_holds(world_answer.body, "\"messages\":3,");
}

static void what_a_limit_refused_comes_when_there_is_room(void **test)
{
    (void)test;
    stream("T", ",'sources':[{'name':'S'}],'max_msgs':1,'discard':'new'");
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    publish("s.a", "2");
    request("$JS.API.STREAM.PURGE.T", "");
    world_turn();
    request("$JS.API.STREAM.MSG.GET.T", json("{'last_by_subj':'s.a'}"));
    assert_holds(world_answer.body, "\"seq\":2");
}

static void what_is_stored_is_republished(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.*'],'republish':{'src':'s.*','dest':'r.$1'}");
    inbox_open(&in, "r.>", NULL);
    publish_with("s.a", NULL, "NATS/1.0\r\nk: v\r\n\r\n", "hello");
    world_turn();
    assert_string_equal(in.subject, "r.a");
    assert_string_equal(in.body, "hello");
    assert_holds(in.header, "NATS/1.0\r\nk: v\r\nNats-Stream: S\r\nNats-Subject: "
                            "s.a\r\nNats-Sequence: 1\r\nNats-Time-Stamp: ");
    assert_holds(in.header, "\r\nNats-Last-Sequence: 0\r\n\r\n");
    engine_leadership(world->engine, WORLD_SELF + 1, false);
    publish_with("s.a", NULL, NULL, "again");
    world_turn();
    assert_int_equal(in.count, 1); /* the leader's turn */
    inbox_close(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_mirror_follows_and_answers_for_its_origin),
        WORLD_TEST(a_source_that_comes_later_is_found),
        WORLD_TEST(what_a_limit_refused_comes_when_there_is_room),
        WORLD_TEST(what_is_stored_is_republished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
