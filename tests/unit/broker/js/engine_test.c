/* engine_test.c - JetStream as a client sees it, on the real state machine and store. */
#include "tests/unit/broker/js/js_world.h"

/* ---- streams and publishes ---- */

static void publish_is_acked_with_its_sequence(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    assert_string_equal(request("s.a", "one"), "{\"stream\":\"S\",\"seq\":1}");
    assert_string_equal(request("s.b", "two"), "{\"stream\":\"S\",\"seq\":2}");
    assert_int_equal(publish_with("t.a", "_INBOX.answer", NULL, "x"), 0);
}

static void same_message_id_is_a_duplicate(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    const char *id = "NATS/1.0\r\nNats-Msg-Id: m1\r\n\r\n";
    assert_string_equal(request_with("s.a", id, "x"), "{\"stream\":\"S\",\"seq\":1}");
    assert_string_equal(request_with("s.a", id, "x"),
                        "{\"stream\":\"S\",\"seq\":1,\"duplicate\": true}");
}

static const struct refused_case {
    const char *header, *answer;
} refused_cases[] = {
    {"Nats-Expected-Stream: T",
     "{'error':{'code':400,'err_code':10060,'description':'expected stream does not "
     "match'},'stream':'S','seq':0}"},
    {"Nats-Expected-Last-Sequence: 7",
     "{'error':{'code':400,'err_code':10071,'description':'wrong last sequence: "
     "1'},'stream':'S','seq':0}"},
    {"Nats-Expected-Last-Subject-Sequence: 0", "'err_code':10071"},
    {"Nats-Expected-Last-Msg-Id: nope", "'err_code':10070"},
    {"Nats-Rollup: some", "'err_code':10111"},
    {"Nats-TTL: 5s", "'err_code':10166"},
    {"Nats-Required-Api-Level: 99", "'err_code':10185"},
};
static void publish_with_a_wrong_expectation_is_refused(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    request("s.a", "one");
    for (const struct refused_case *c = refused_cases; c < ARRAY_END(refused_cases); c++) {
        char header[200];
        snprintf(header, sizeof header, "NATS/1.0\r\n%s\r\n\r\n", c->header);
        assert_holds(request_with("s.a", header, "x"), json(c->answer));
    }
}

static void status_line_of_a_published_header_is_not_stored(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>'],'allow_direct':true");
    request_with("s.a", "NATS/1.0 503 Oops\r\nA: b\r\n\r\n", "x");
    request("$JS.API.DIRECT.GET.S.s.a", "");
    assert_holds(world_answer.header, "NATS/1.0\r\nA: b\r\nNats-Stream: S\r\nNats-Subject: s.a\r\n"
                                      "Nats-Sequence: 1\r\nNats-Time-Stamp: 20");
}

static void stream_create_is_idempotent(void **test)
{
    (void)test;
    stream("S", "");
    const char *again = request("$JS.API.STREAM.CREATE.S", json("{'name':'S'}"));
    assert_holds(again, json("'config':{'name':'S','subjects':['S']"));
    assert_null(strstr(again, "did_create"));
    assert_holds(request("$JS.API.STREAM.CREATE.S", json("{'name':'S','subjects':['x']}")),
                 "10058");
    assert_holds(request("$JS.API.STREAM.CREATE.S", json("{'name':'T'}")), "10056");
    assert_holds(request("$JS.API.STREAM.CREATE.S", json("{'name':'S','num_replicas':3}")),
                 "10074");
    assert_holds(request("$JS.API.STREAM.NAMES", json("{'zap':1}")),
                 "invalid JSON: json: unknown field \\\"zap\\\"");
}

static void stream_is_updated_purged_and_deleted(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    publish("s.b", "2");
    assert_holds(request("$JS.API.STREAM.UPDATE.S",
                         json("{'name':'S','subjects':['s.>','t.>'],'max_msgs':10}")),
                 json("'max_msgs':10"));
    publish("t.x", "3");
    assert_holds(request("$JS.API.STREAM.PURGE.S", json("{'filter':'s.a'}")),
                 json("'success':true,'purged':1"));
    assert_holds(request("$JS.API.STREAM.INFO.S", json("{'subjects_filter':'>'}")),
                 json("'subjects':{'s.b':1,'t.x':1}"));
    assert_holds(request("$JS.API.STREAM.MSG.DELETE.S", json("{'seq':2}")), "true");
    assert_holds(request("$JS.API.STREAM.DELETE.S", ""), "true");
    assert_holds(request("$JS.API.STREAM.INFO.S", ""), "10059");
    assert_int_equal(publish_with("t.x", "_INBOX.answer", NULL, "x"), 0);
}

static void names_and_lists_are_paged_and_filtered(void **test)
{
    (void)test;
    stream("B", ",'subjects':['b.*']");
    stream("A", ",'subjects':['a.>']");
    assert_holds(request("$JS.API.STREAM.NAMES", ""),
                 json("'total':2,'offset':0,'limit':1024,'streams':['A','B']"));
    assert_holds(request("$JS.API.STREAM.NAMES", json("{'subject':'b.x'}")),
                 json("'total':1,'offset':0,'limit':1024,'streams':['B']"));
    assert_holds(request("$JS.API.STREAM.LIST", json("{'offset':9}")),
                 json("'total':2,'offset':2,'limit':256,'streams':[]"));
}

static void api_answers_what_it_must(void **test)
{
    (void)test;
    assert_holds(request("$JS.API.INFO", ""), json("'max_memory':-1"));
    assert_holds(request("$JS.API.STREAM.LEADER.STEPDOWN.S", ""), "10010");
    assert_int_equal(publish_with("$JS.API.FOO.BAR", "_INBOX.answer", NULL, ""), 1);
    world_turn();
    stream("S", "");
    assert_int_equal(publish_with("$JS.API.CONSUMER.MSG.NEXT.S.c", "_INBOX.answer", NULL, ""), 0);
    assert_int_equal(publish_with("$JS.API.DIRECT.GET.S", "_INBOX.answer", NULL, "{}"), 0);
    assert_int_equal(publish_with("$JS.ACK.S.c.1.1.1.1.0", "_INBOX.answer", NULL, ""), 0);
    assert_holds(request("$JS.API.STREAM.DELETE.S", "junk"), "10038");
    world->account->jetstream = false;
    assert_holds(request("$JS.API.INFO", ""), "10039");
}

/* ---- gets ---- */

static void messages_are_got_one_by_one(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "one");
    publish("s.b", "two");
    const char *get = "$JS.API.STREAM.MSG.GET.S";
    assert_holds(request(get, json("{'seq':1}")), json("'subject':'s.a','seq':1,'data':'b25l'"));
    assert_holds(request(get, json("{'last_by_subj':'s.b'}")), json("'seq':2"));
    assert_holds(request(get, json("{'next_by_subj':'s.*','seq':2}")), json("'seq':2"));
    assert_holds(request(get, json("{'seq':9}")), "10037");
    assert_holds(request(get, json("{'seq':1,'last_by_subj':'s.b'}")), "10003");
    assert_holds(request(get, ""), "10003");
}

static void direct_gets_come_as_messages_and_batches(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>'],'allow_direct':true");
    publish("s.a", "1");
    publish("s.b", "2");
    publish("s.a", "3");
    request("$JS.API.DIRECT.GET.S", json("{'seq':2}"));
    assert_string_equal(world_answer.body, "2");
    request("$JS.API.DIRECT.GET.S.s.x", "");
    assert_string_equal(world_answer.header, "NATS/1.0 404 Message Not Found\r\n\r\n");
    request("$JS.API.DIRECT.GET.S", "");
    assert_holds(world_answer.header, "408 Empty Request");
    request("$JS.API.DIRECT.GET.S", json("{'seq':1,'batch':2}"));
    assert_string_equal(world_answer.all, "1\n2\n\n");
    assert_holds(world_answer.header,
                 "NATS/1.0 204 EOB\r\nNats-Num-Pending: 1\r\nNats-Last-Sequence: 2\r\n");
    request("$JS.API.DIRECT.GET.S", json("{'multi_last':['s.>']}"));
    assert_string_equal(world_answer.all, "2\n3\n\n");
    assert_holds(world_answer.header, "Nats-UpTo-Sequence: 3");
    request("$JS.API.DIRECT.GET.S", json("{'multi_last':['s.>'],'up_to_seq':2}"));
    assert_string_equal(world_answer.all, "1\n2\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(publish_is_acked_with_its_sequence),
        WORLD_TEST(same_message_id_is_a_duplicate),
        WORLD_TEST(publish_with_a_wrong_expectation_is_refused),
        WORLD_TEST(status_line_of_a_published_header_is_not_stored),
        WORLD_TEST(stream_create_is_idempotent),
        WORLD_TEST(stream_is_updated_purged_and_deleted),
        WORLD_TEST(names_and_lists_are_paged_and_filtered),
        WORLD_TEST(api_answers_what_it_must),
        WORLD_TEST(messages_are_got_one_by_one),
        WORLD_TEST(direct_gets_come_as_messages_and_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
