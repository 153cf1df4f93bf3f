/* deliver_test.c - consumers as a client sees them: pull, acks, push, watchers, and time. */
#include "tests/unit/broker/js/js_world.h"

/* ---- pull ---- */

#define NEXT "$JS.API.CONSUMER.MSG.NEXT.S.c"

static void pull_gets_what_is_there_and_waits_for_the_rest(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, json("{'batch':3,'expires':1000000000}"));
    world_turn();
    assert_string_equal(in.all, "1\n");
    assert_string_equal(in.subject, "s.a");
    assert_holds(in.reply, "$JS.ACK.S.c.1.1.1.1700000001");
    publish("s.b", "2");
    assert_string_equal(in.all, "1\n2\n");
    world_wait(1100 * NS_PER_MS);
    assert_string_equal(in.header, "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: "
                                   "1\r\nNats-Pending-Bytes: 0\r\n\r\n");
    inbox_close(&in);
}

static const struct status_case {
    const char *body, *status;
} status_cases[] = {
    {"{'batch':1,'no_wait':true}", "NATS/1.0 404 No Messages\r\n\r\n"},
    {"{'batch':9,'expires':1000000000}", "NATS/1.0 409 Exceeded MaxRequestBatch of 5\r\n\r\n"},
    {"{'batch':1,'expires':9000000000}", "NATS/1.0 409 Exceeded MaxRequestExpires of 2s\r\n\r\n"},
    {"{'batch':1,'expires':1000000000,'max_bytes':500}",
     "NATS/1.0 409 Exceeded MaxRequestMaxBytes of 100\r\n\r\n"},
    {"{'batch':1,'expires':1000000000,'idle_heartbeat':900000000}",
     "NATS/1.0 400 Bad Request - heartbeat value too large\r\n\r\n"},
    {"{'batch':1,'expires':1000000000,'idle_heartbeat':9223372036854775807}",
     "NATS/1.0 400 Bad Request - heartbeat value too large\r\n\r\n"},
    {"{'batch':'x'}", "NATS/1.0 400 Bad Request - "},
};
static void bad_and_empty_pulls_end_with_their_status(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c",
             "'durable_name':'c','ack_policy':'explicit','max_batch':5,'max_expires':2000000000,"
             "'max_bytes':100");
    for (const struct status_case *c = status_cases; c < ARRAY_END(status_cases); c++) {
        request(NEXT, json(c->body));
        assert_int_equal(world_answer.count, 1);
        assert_holds(world_answer.header, c->status);
        assert_string_equal(world_answer.body, "");
    }
}

static void no_wait_gets_what_is_there_then_404(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    publish("s.a", "2");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    request(NEXT, json("{'batch':5,'no_wait':true}"));
    assert_string_equal(world_answer.all, "1\n2\n\n");
    assert_holds(world_answer.header, "404 No Messages");
}

static void max_bytes_of_a_pull_is_hard(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "0123456789");
    publish("s.a", "0123456789");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    request(NEXT, json("{'batch':5,'max_bytes':10,'expires':1000000000}"));
    assert_int_equal(world_answer.count, 1);
    assert_holds(world_answer.header, "409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: "
                                      "5\r\nNats-Pending-Bytes: 10\r\n");
    request(NEXT, json("{'batch':1,'max_bytes':1000,'expires':1000000000}"));
    assert_string_equal(world_answer.all, "0123456789\n\n");
    assert_holds(world_answer.header, "409 Batch Completed");
}

static void waiting_pulls_get_heartbeats_and_end_with_their_consumer(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    request(NEXT, json("{'batch':1,'expires':30000000000,'idle_heartbeat':500000000}"));
    assert_int_equal(world_answer.count, 0);
    world_wait(600 * NS_PER_MS);
    assert_string_equal(world_answer.header, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: "
                                             "0\r\nNats-Last-Stream: 0\r\n\r\n");
    struct inbox other;
    inbox_open(&other, "_INBOX.other", NULL);
    publish_with("$JS.API.CONSUMER.DELETE.S.c", "_INBOX.other", NULL, "");
    world_turn();
    assert_holds(other.body, "true");
    assert_holds(world_answer.header, "409 Consumer Deleted");
    inbox_close(&other);
}

static void full_queue_refuses_another_pull(void **test)
{
    (void)test;
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit','max_waiting':1");
    request(NEXT, json("{'batch':1,'expires':30000000000}"));
    assert_int_equal(world_answer.count, 0);
    request(NEXT, json("{'batch':1,'expires':30000000000}"));
    assert_holds(world_answer.header, "409 Exceeded MaxWaiting");
}

/* Two who wait share what comes. */
static void waiting_pulls_take_turns(void **test)
{
    (void)test;
    struct inbox a, b;
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&a, "_INBOX.a", NULL);
    inbox_open(&b, "_INBOX.b", NULL);
    publish_with(NEXT, "_INBOX.a", NULL, json("{'batch':10}"));
    publish_with(NEXT, "_INBOX.b", NULL, json("{'batch':10}"));
    world_turn();
    for (unsigned i = 0; i < 10; i++)
        publish_with("s.x", NULL, NULL, "m");
    world_turn();
    assert_int_equal(a.count, 5);
    assert_int_equal(b.count, 5);
    inbox_close(&a);
    for (unsigned i = 0; i < 5; i++)
        publish("s.x", "m");
    assert_int_equal(b.count, 10);
    inbox_close(&b);
}

static void pull_outlives_a_reconnect(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, json("{'batch':2,'expires':30000000000}"));
    publish("s.a", "1");
    inbox_close(&in);
    world_wait(2 * NS_PER_S);
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""), json("'num_waiting':0"));
    publish("s.a", "2"); /* waits: nobody is there to get it */
    inbox_open(&in, "_INBOX.p", NULL);
    world_turn();
    assert_string_equal(in.all, "2\n");
    inbox_close(&in);
}

/* ---- acks and redelivery ---- */

static void double_ack_is_answered_and_settles(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "");
    world_turn();
    assert_int_equal(in.count, 1);
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""), json("'num_ack_pending':1"));
    request(in.reply, "+ACK");
    assert_int_equal(world_answer.count, 1);
    assert_string_equal(world_answer.body, "");
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""),
                 json("'ack_floor':{'consumer_seq':1,'stream_seq':1"));
    inbox_close(&in);
}

static void nak_redelivers_at_once_or_later(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "10");
    world_turn();
    char reply[512];
    snprintf(reply, sizeof reply, "%s", in.reply);
    publish_with(reply, NULL, NULL, "-NAK");
    world_turn();
    assert_int_equal(in.count, 2);
    assert_holds(in.reply, "$JS.ACK.S.c.2.1.2.");
    publish_with(reply, NULL, NULL, json("-NAK {'delay':500000000}"));
    world_turn();
    world_wait(400 * NS_PER_MS);
    assert_int_equal(in.count, 2);
    world_wait(200 * NS_PER_MS);
    assert_int_equal(in.count, 3);
    inbox_close(&in);
}

static void ack_wait_redelivers_and_progress_extends_it(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit','ack_wait':1000000000");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "10");
    world_turn();
    world_wait(800 * NS_PER_MS);
    publish_with(in.reply, NULL, NULL, "+WPI");
    world_turn();
    world_wait(800 * NS_PER_MS);
    assert_int_equal(in.count, 1);
    world_wait(300 * NS_PER_MS);
    assert_int_equal(in.count, 2);
    inbox_close(&in);
}

static void backoff_gives_each_attempt_its_own_wait(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c",
             "'durable_name':'c','ack_policy':'explicit','max_deliver':5,"
             "'backoff':[100000000,1000000000]");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "10");
    world_turn();
    world_wait(150 * NS_PER_MS);
    assert_int_equal(in.count, 2);
    publish("s.b", "2"); /* due before the first one's second wait is over */
    assert_int_equal(in.count, 3);
    world_wait(150 * NS_PER_MS);
    assert_int_equal(in.count, 4);
    world_wait(900 * NS_PER_MS);
    assert_int_equal(in.count, 5);
    inbox_close(&in);
}

static void max_deliver_ends_with_one_advisory(void **test)
{
    (void)test;
    struct inbox in, advisory;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c",
             "'durable_name':'c','ack_policy':'explicit','ack_wait':100000000,'max_deliver':2");
    inbox_open(&in, "_INBOX.p", NULL);
    inbox_open(&advisory, "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "10");
    world_turn();
    world_wait(3 * NS_PER_S);
    assert_int_equal(in.count, 2);
    assert_int_equal(advisory.count, 1);
    assert_holds(advisory.body, json("'stream':'S','consumer':'c','stream_seq':1,'deliveries':2"));
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""), json("'num_ack_pending':0"));
    inbox_close(&in);
    inbox_close(&advisory);
}

static void sampled_ack_is_told_with_its_time(void **test)
{
    (void)test;
    struct inbox in, metric;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit','sample_freq':'100%'");
    inbox_open(&in, "_INBOX.p", NULL);
    inbox_open(&metric, "$JS.EVENT.METRIC.CONSUMER.ACK.S.c", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "");
    world_turn();
    publish_with(in.reply, NULL, NULL, "+ACK");
    world_turn();
    assert_holds(metric.body, json("'type':'io.nats.jetstream.metric.v1.consumer_ack'"));
    assert_holds(metric.body, json("'consumer_seq':1,'stream_seq':1,'ack_time':"));
    inbox_close(&in);
    inbox_close(&metric);
}

static void term_is_told_with_its_reason(void **test)
{
    (void)test;
    struct inbox in, advisory;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    inbox_open(&advisory, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "");
    world_turn();
    publish_with(in.reply, NULL, NULL, "+TERM not today");
    world_turn();
    assert_holds(advisory.body, json("'reason':'not today'"));
    inbox_close(&in);
    inbox_close(&advisory);
}

static void next_acks_and_pulls(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", ",'subjects':['s.>']");
    publish("s.a", "1");
    publish("s.a", "2");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    inbox_open(&in, "_INBOX.p", NULL);
    publish_with(NEXT, "_INBOX.p", NULL, "");
    world_turn();
    publish_with(in.reply, "_INBOX.p", NULL, "+NXT");
    world_turn();
    assert_string_equal(in.all, "1\n2\n");
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""), json("'num_ack_pending':1"));
    inbox_close(&in);
}

/* ---- push ---- */

#define PUSH                                                                                       \
    "'durable_name':'g','ack_policy':'explicit','deliver_subject':'d.g','deliver_group':'g'"

static void push_group_gets_what_waited_when_it_subscribes(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    consumer("S", "g", PUSH ",'ack_wait':1000000000");
    publish("S", "1");
    assert_null(strstr(request("$JS.API.CONSUMER.INFO.S.g", ""), "push_bound"));
    inbox_open(&in, "d.g", "g");
    world_turn();
    assert_string_equal(in.all, "1\n");
    assert_holds(request("$JS.API.CONSUMER.INFO.S.g", ""), json("'push_bound':true"));
    inbox_close(&in);
    world_turn();
    publish("S", "2");
    world_wait(2 * NS_PER_S);
    inbox_open(&in, "d.g", "g");
    world_turn();
    assert_string_equal(in.all, "1\n2\n");
    inbox_close(&in);
}

static void push_stops_at_max_ack_pending(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    consumer("S", "g", PUSH ",'max_ack_pending':2");
    inbox_open(&in, "d.g", "g");
    for (unsigned i = 0; i < 5; i++)
        publish_with("S", NULL, NULL, "m");
    world_turn();
    assert_int_equal(in.count, 2);
    publish_with(in.reply, NULL, NULL, "+ACK");
    world_turn();
    assert_int_equal(in.count, 3);
    inbox_close(&in);
}

static void original_replay_keeps_the_gaps(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    publish("S", "1");
    world_wait(300 * NS_PER_MS);
    publish("S", "2");
    consumer("S", "g", PUSH ",'replay_policy':'original'");
    inbox_open(&in, "d.g", "g");
    world_wait(200 * NS_PER_MS);
    assert_string_equal(in.all, "1\n");
    world_wait(200 * NS_PER_MS);
    assert_string_equal(in.all, "1\n2\n");
    inbox_close(&in);
}

static void bound_deliver_subject_is_not_taken_over(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    consumer("S", "g", PUSH);
    const char *create = "$JS.API.CONSUMER.CREATE.S.g";
    const char *body = json("{'stream_name':'S','config':{'durable_name':'g','ack_policy':"
                            "'explicit','deliver_subject':'d.h','deliver_group':'g'}}");
    inbox_open(&in, "d.g", "g");
    world_turn();
    assert_holds(request(create, body), "10013");
    inbox_close(&in);
    world_turn();
    assert_holds(request(create, body), json("'deliver_subject':'d.h'"));
}

static void paused_consumer_gets_nothing_until_it_is_over(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    consumer("S", "g", PUSH);
    inbox_open(&in, "d.g", "g");
    world_turn();
    assert_holds(
        request("$JS.API.CONSUMER.PAUSE.S.g", json("{'pause_until':'2023-11-14T22:13:25Z'}")),
        json("'paused':true"));
    publish("S", "1");
    assert_int_equal(in.count, 0);
    world_wait(5 * NS_PER_S);
    assert_int_equal(in.count, 1);
    inbox_close(&in);
}

/* ---- local consumers: watchers, ordered consumers ---- */

#define WATCH                                                                                      \
    "'deliver_policy':'last_per_subject','filter_subject':'$KV.b.>','ack_policy':'none','max_"     \
    "deliver':1,'flow_control':true,"                                                              \
    "'idle_heartbeat':5000000000,'mem_storage':true,'num_replicas':1,'deliver_subject':'_INBOX.w'"

static void watcher_gets_the_last_of_each_then_what_comes(void **test)
{
    (void)test;
    struct inbox in;
    stream("KV_b", ",'subjects':['$KV.b.>'],'max_msgs_per_subject':1,'discard':'new'");
    publish("$KV.b.x", "1");
    publish("$KV.b.y", "2");
    publish("$KV.b.x", "3");
    log_index before = world->index;
    inbox_open(&in, "_INBOX.w", NULL);
    consumer("KV_b", "w", WATCH);
    assert_int_equal(world->index, before); /* no log entry */
    assert_holds(world_answer.body, json("'num_pending':2"));
    assert_holds(world_answer.body, json("'inactive_threshold':5000000000"));
    assert_string_equal(in.all, "2\n3\n");
    assert_holds(in.reply, "$JS.ACK.KV_b.w.1.3.2.");
    assert_string_equal(in.reply + strlen(in.reply) - 2, ".0");
    publish("$KV.b.y", "4");
    assert_string_equal(in.all, "2\n3\n4\n");
    world_wait(5100 * NS_PER_MS);
    assert_string_equal(in.header, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: "
                                   "3\r\nNats-Last-Stream: 4\r\n\r\n");
    inbox_close(&in);
    world_wait(6 * NS_PER_S);
    assert_holds(request("$JS.API.CONSUMER.INFO.KV_b.w", ""), "10014");
}

static void headers_only_says_the_size(void **test)
{
    (void)test;
    struct inbox in;
    stream("KV_b", ",'subjects':['$KV.b.>'],'max_msgs_per_subject':1");
    publish("$KV.b.x", "12345");
    inbox_open(&in, "_INBOX.w", NULL);
    consumer("KV_b", "w", WATCH ",'headers_only':true");
    assert_string_equal(in.header, "NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n");
    assert_string_equal(in.body, "");
    inbox_close(&in);
}

static void flow_control_asks_and_goes_on_when_answered(void **test)
{
    (void)test;
    struct inbox in;
    static char large[8000];
    memset(large, 'x', sizeof large - 1);
    stream("S", "");
    inbox_open(&in, "_INBOX.w", NULL);
    consumer("S", "w",
             "'ack_policy':'none','flow_control':true,'idle_heartbeat':5000000000,"
             "'deliver_subject':'_INBOX.w'");
    for (unsigned i = 0; i < 600; i++)
        publish_with("S", NULL, NULL, large);
    world_turn();
    world_wait(20 * NS_PER_MS);
    unsigned stalled = in.count;
    assert_true(stalled < 400);
    world_wait(20 * NS_PER_MS);
    assert_int_equal(in.count, stalled);
    world_wait(5100 * NS_PER_MS);
    char *fc = strstr(in.header, "Nats-Consumer-Stalled: ");
    assert_non_null(fc);
    fc += 23;
    *strchr(fc, '\r') = '\0';
    char subject[256];
    snprintf(subject, sizeof subject, "%s", fc);
    publish_with(subject, NULL, NULL, "");
    world_turn();
    world_wait(20 * NS_PER_MS);
    assert_true(in.count > stalled);
    inbox_close(&in);
}

/* ---- time ---- */

static void messages_expire_by_age(void **test)
{
    (void)test;
    stream("S", ",'max_age':3000000000,'duplicate_window':1000000000");
    publish("S", "1");
    world_wait(2900 * NS_PER_MS);
    assert_holds(request("$JS.API.STREAM.INFO.S", ""), json("'messages':1"));
    world_wait(200 * NS_PER_MS);
    assert_holds(request("$JS.API.STREAM.INFO.S", ""), json("'messages':0"));
}

static void unused_ephemeral_is_deleted(void **test)
{
    (void)test;
    stream("S", "");
    consumer("S", "sse-1", "'name':'sse-1','ack_policy':'explicit','deliver_subject':'d.sse'");
    struct inbox in;
    inbox_open(&in, "d.sse", NULL);
    world_wait(8 * NS_PER_S);
    assert_holds(request("$JS.API.CONSUMER.NAMES.S", ""), json("'consumers':['sse-1']"));
    inbox_close(&in);
    world_wait(7 * NS_PER_S);
    assert_holds(request("$JS.API.CONSUMER.NAMES.S", ""), json("'consumers':[]"));
}

/* What was outstanding when the leader went comes late rather than twice. */
static void new_leader_counts_pending_from_when_it_took_over(void **test)
{
    (void)test;
    struct inbox in;
    stream("S", "");
    consumer("S", "g", PUSH ",'ack_wait':2000000000");
    inbox_open(&in, "d.g", "g");
    publish("S", "1");
    world_wait(1500 * NS_PER_MS);
    engine_leadership(world->engine, 0, false);
    engine_leadership(world->engine, WORLD_SELF, true);
    world_wait(1500 * NS_PER_MS);
    assert_int_equal(in.count, 1);
    world_wait(700 * NS_PER_MS);
    assert_int_equal(in.count, 2);
    inbox_close(&in);
}

/* An inbox may be any subject; what the engine itself listens to takes requests, not deliveries. */
static void inbox_of_the_engine_gets_nothing_and_the_message_stays(void **test)
{
    (void)test;
    static const char *const inboxes[] = {"$JS.API.INFO", "$JS.API.CONSUMER.MSG.NEXT.S.c",
                                          "$JS.FC.S.c.1", "$JS.ACK.S.c.1.1.1.1.0"};
    stream("S", ",'subjects':['*']");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit'");
    publish("a", "1");
    for (size_t i = 0; i < ARRAY_COUNT(inboxes); i++) {
        publish_with(NEXT, inboxes[i], NULL, json("{'batch':1,'expires':1000000000}"));
        world_turn();
    }
    static struct inbox chunks;
    char big[3000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    publish("b", big);
    inbox_open(&chunks, "d.chunks", NULL);
    request("$JS.API.STREAM.SNAPSHOT.S",
            json("{'deliver_subject':'d.chunks','chunk_size':1,'window_size':1}"));
    assert_holds(chunks.reply, "$JS.SNAPSHOT.ACK.S.");
    publish_with(NEXT, chunks.reply, NULL, json("{'batch':1,'expires':1000000000}"));
    world_wait(200 * NS_PER_MS);
    inbox_close(&chunks);
    world_wait(2 * NS_PER_S);
    request(NEXT, json("{'batch':1,'expires':1000000000}"));
    world_wait(200 * NS_PER_MS);
    assert_string_equal(world_answer.all, "1\n");
}

static void flushed(void *ctx, struct store_at at)
{
    (void)at;
    *(bool *)ctx = true;
}
/* Flushed into a map that forgets: what was published can't be read any more. */
static void damage_all(void)
{
    bool done = false;
    assert_int_equal(state_flush(world->state, flushed, &done), 0);
    fake_work(&world->env);
    assert_true(done);
    store_applied(world->store, state_at(world->state), GIB(1)); /* out of memory too */
}

/* Damaged isn't gone: a consumer waits, and a get fails with a status of its own. */
static void unreadable_message_is_not_passed_over(void **test)
{
    (void)test;
    static const char *const gets[] = {"{'seq':1}", "{'batch':5}", "{'multi_last':['s.>']}",
                                       "{'multi_last':['s.>'],'up_to_seq':1}"};
    stream("S", ",'subjects':['s.>'],'allow_direct':true");
    consumer("S", "c", "'durable_name':'c','ack_policy':'explicit','ack_wait':1000000000");
    consumer("S", "l", "'ack_policy':'none'");
    publish("s.a", "1");
    publish("s.a", "2");
    request(NEXT, json("{'batch':1,'expires':1000000000}"));
    assert_string_equal(world_answer.all, "1\n");
    damage_all();
    for (size_t i = 0; i < ARRAY_COUNT(gets); i++) {
        request("$JS.API.DIRECT.GET.S", json(gets[i]));
        assert_int_equal(world_answer.count, 1);
        assert_string_equal(world_answer.header, "NATS/1.0 500 Message Unreadable\r\n\r\n");
    }
    world_wait(2 * NS_PER_S);
    request(NEXT, json("{'batch':2,'expires':1000000000,'max_bytes':1000}"));
    world_wait(1500 * NS_PER_MS);
    request("$JS.API.CONSUMER.MSG.NEXT.S.l", json("{'batch':2,'expires':1000000000}"));
    world_wait(1500 * NS_PER_MS);
    assert_holds(request("$JS.API.CONSUMER.INFO.S.c", ""), json("'num_ack_pending':1"));
    assert_holds(world_answer.body, json("'num_pending':1"));
    assert_holds(request("$JS.API.CONSUMER.INFO.S.l", ""), json("'num_pending':2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(pull_gets_what_is_there_and_waits_for_the_rest),
        WORLD_TEST(bad_and_empty_pulls_end_with_their_status),
        WORLD_TEST(no_wait_gets_what_is_there_then_404),
        WORLD_TEST(max_bytes_of_a_pull_is_hard),
        WORLD_TEST(waiting_pulls_get_heartbeats_and_end_with_their_consumer),
        WORLD_TEST(full_queue_refuses_another_pull),
        WORLD_TEST(waiting_pulls_take_turns),
        WORLD_TEST(pull_outlives_a_reconnect),
        WORLD_TEST(inbox_of_the_engine_gets_nothing_and_the_message_stays),
        WORLD_TEST(unreadable_message_is_not_passed_over),
        WORLD_TEST(double_ack_is_answered_and_settles),
        WORLD_TEST(nak_redelivers_at_once_or_later),
        WORLD_TEST(ack_wait_redelivers_and_progress_extends_it),
        WORLD_TEST(backoff_gives_each_attempt_its_own_wait),
        WORLD_TEST(max_deliver_ends_with_one_advisory),
        WORLD_TEST(sampled_ack_is_told_with_its_time),
        WORLD_TEST(term_is_told_with_its_reason),
        WORLD_TEST(next_acks_and_pulls),
        WORLD_TEST(push_group_gets_what_waited_when_it_subscribes),
        WORLD_TEST(push_stops_at_max_ack_pending),
        WORLD_TEST(original_replay_keeps_the_gaps),
        WORLD_TEST(bound_deliver_subject_is_not_taken_over),
        WORLD_TEST(paused_consumer_gets_nothing_until_it_is_over),
        WORLD_TEST(watcher_gets_the_last_of_each_then_what_comes),
        WORLD_TEST(headers_only_says_the_size),
        WORLD_TEST(flow_control_asks_and_goes_on_when_answered),
        WORLD_TEST(messages_expire_by_age),
        WORLD_TEST(unused_ephemeral_is_deleted),
        WORLD_TEST(new_leader_counts_pending_from_when_it_took_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
