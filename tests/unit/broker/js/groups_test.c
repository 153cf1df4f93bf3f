/* groups_test.c - priority groups: who among waiting pulls is served. */
#include "tests/unit/broker/js/js_world.h"

#define NEXT "$JS.API.CONSUMER.MSG.NEXT.S.c"
#define GROUP(policy) "'durable_name':'c','ack_policy':'explicit','priority_groups':['A']," policy

static struct inbox one, two;

static void opened(const char *policy)
{
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c", policy);
    inbox_open(&one, "_INBOX.1", NULL);
    inbox_open(&two, "_INBOX.2", NULL);
}
static void closed(void)
{
    inbox_close(&one);
    inbox_close(&two);
}
static void pull(const char *inbox, const char *body)
{
    publish_with(NEXT, inbox, NULL, json(body));
    world_turn();
}

static void requests_must_fit_the_policy(void **test)
{
    static const struct {
        const char *body, *status;
    } rows[] = {
        {"{'batch':1}", "400 Bad Request - Priority Group missing"},
        {"{'batch':1,'group':'B'}", "400 Bad Request - Invalid Priority Group"},
        {"{'batch':1,'group':'A','id':'x'}",
         "400 Bad Request - Not a Pinned Client Priority consumer"},
        {"{'batch':1,'group':'A','priority':10}",
         "400 Bad Request - Priority must be between 0 and 9"},
    };
    (void)test;
    opened(GROUP("'priority_policy':'overflow'"));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        request(NEXT, json(rows[i].body));
        assert_holds(world_answer.header, rows[i].status);
    }
    closed();
}

static void overflow_is_served_down_to_its_threshold(void **test)
{
    (void)test;
    opened(GROUP("'priority_policy':'overflow'"));
    for (int i = 0; i < 5; i++)
        publish("s.a", "x");
    pull("_INBOX.1", "{'batch':10,'group':'A','min_pending':4,'expires':30000000000}");
    assert_int_equal(one.count, 2);
    pull("_INBOX.2", "{'batch':10,'group':'A','min_ack_pending':3,'expires':30000000000}");
    assert_int_equal(two.count, 0);
    publish("s.a", "x");
    assert_int_equal(one.count, 3);
    world_turn();
    assert_int_equal(two.count, 3); /* three are outstanding now */
    closed();
}

static void low_numbers_go_first(void **test)
{
    (void)test;
    opened(GROUP("'priority_policy':'prioritized'"));
    pull("_INBOX.1", "{'batch':10,'group':'A','priority':5,'expires':30000000000}");
    pull("_INBOX.2", "{'batch':2,'group':'A','priority':1,'expires':30000000000}");
    for (int i = 0; i < 3; i++)
        publish("s.a", "x");
    assert_int_equal(two.count, 2);
    assert_int_equal(one.count, 1);
    closed();
}

/* The id that the last message carried. */
static const char *pin_in(const struct inbox *in)
{
    static char id[23];
    const char *at = strstr(in->header, "Nats-Pin-Id: ");
    if (at == NULL) fail_msg("no pin in '%s'", in->header);
    snprintf(id, sizeof id, "%.22s", at + 13);
    return id;
}

static void one_client_is_pinned_until_it_is_unpinned(void **test)
{
    char body[200], pin[23];
    struct inbox events;
    (void)test;
    opened(GROUP("'priority_policy':'pinned_client','priority_timeout':2000000000"));
    inbox_open(&events, "$JS.EVENT.ADVISORY.CONSUMER.*.S.c", NULL);
    pull("_INBOX.1", "{'batch':1,'group':'A','expires':30000000000}");
    pull("_INBOX.2", "{'batch':5,'group':'A','expires':30000000000}");
    publish("s.a", "1");
    assert_int_equal(one.count, 1);
    snprintf(pin, sizeof pin, "%s", pin_in(&one));
    assert_holds(events.body, "io.nats.jetstream.advisory.v1.consumer_group_pinned");
    publish("s.a", "2");
    assert_int_equal(two.count, 0);
    snprintf(body, sizeof body, "{'batch':5,'group':'A','id':'%s','expires':30000000000}", pin);
    pull("_INBOX.1", body);
    assert_string_equal(one.all, "1\n2\n");
    assert_string_equal(pin_in(&one), pin);
    request("$JS.API.CONSUMER.INFO.S.c", "");
    assert_holds(world_answer.body, pin);
    request(NEXT, json("{'batch':1,'group':'A','id':'0123456789012345678901'}"));
    assert_holds(world_answer.header, "423 Nats-Pin-Id mismatch");
    request("$JS.API.CONSUMER.UNPIN.S.c", json("{'group':'B'}"));
    assert_holds(world_answer.body, "10160");
    request("$JS.API.CONSUMER.UNPIN.S.c", json("{'group':'A'}"));
    assert_holds(one.header, "423 Nats-Wrong-Pin-Id");
    publish("s.a", "3");
    assert_string_equal(two.all, "3\n");
    assert_true(strcmp(pin_in(&two), pin) != 0);
    inbox_close(&events);
    closed();
}

static void a_pin_is_lost_when_its_client_stops_asking(void **test)
{
    (void)test;
    opened(GROUP("'priority_policy':'pinned_client','priority_timeout':2000000000"));
    pull("_INBOX.1", "{'batch':1,'group':'A','expires':30000000000}");
    publish("s.a", "1");
    pull("_INBOX.2", "{'batch':5,'group':'A','expires':30000000000}");
    publish("s.a", "2");
    world_wait(1500 * NS_PER_MS);
    assert_int_equal(two.count, 0);
    world_wait(1000 * NS_PER_MS);
    assert_string_equal(two.all, "2\n");
    assert_int_equal(engine_stuck(world->engine), 0);
    closed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(requests_must_fit_the_policy),
        WORLD_TEST(overflow_is_served_down_to_its_threshold),
        WORLD_TEST(low_numbers_go_first),
        WORLD_TEST(one_client_is_pinned_until_it_is_unpinned),
        WORLD_TEST(a_pin_is_lost_when_its_client_stops_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
