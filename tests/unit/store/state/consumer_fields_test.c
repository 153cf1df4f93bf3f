/* A consumer's config: what JSON becomes, is refused with, and may be changed to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/base/err.h"
#include "store/state/consumer.h"
#include "store/state/js_errors.h"

static const struct shown {
    const char *json, *encoded;
} shown[] = {
    {"{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"}",
     "{\"durable_name\":\"c\",\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\","
     "\"ack_wait\":30000000000,\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_waiting\":"
     "512,"
     "\"max_ack_pending\":1000,\"num_replicas\":0}"},
    /* ocis' durable queue consumer */
    {"{\"durable_name\":\"evhistory\",\"deliver_policy\":\"new\",\"ack_policy\":\"explicit\","
     "\"filter_subject\":\"main-queue\",\"replay_policy\":\"instant\",\"deliver_subject\":\"_INBOX."
     "D\","
     "\"deliver_group\":\"evhistory\",\"num_replicas\":0}",
     "{\"durable_name\":\"evhistory\",\"deliver_policy\":\"new\",\"ack_policy\":\"explicit\","
     "\"ack_wait\":30000000000,\"max_deliver\":-1,\"filter_subject\":\"main-queue\","
     "\"replay_policy\":\"instant\",\"max_ack_pending\":1000,\"deliver_subject\":\"_INBOX.D\","
     "\"deliver_group\":\"evhistory\",\"num_replicas\":0}"},
    /* an ordered consumer of a KV watcher */
    {"{\"name\":\"w\",\"deliver_policy\":\"last_per_subject\",\"ack_policy\":\"none\","
     "\"ack_wait\":79200000000000,\"max_deliver\":1,\"filter_subject\":\"$KV.b.>\","
     "\"replay_policy\":\"instant\",\"flow_control\":true,\"idle_heartbeat\":5000000000,"
     "\"headers_only\":true,\"deliver_subject\":\"_INBOX.O\",\"num_replicas\":1,\"mem_storage\":"
     "true}",
     "{\"name\":\"w\",\"deliver_policy\":\"last_per_subject\",\"ack_policy\":\"none\","
     "\"ack_wait\":79200000000000,\"max_deliver\":1,\"filter_subject\":\"$KV.b.\\u003e\","
     "\"replay_policy\":\"instant\",\"flow_control\":true,\"headers_only\":true,"
     "\"deliver_subject\":\"_INBOX.O\",\"idle_heartbeat\":5000000000,"
     "\"inactive_threshold\":5000000000,\"num_replicas\":1,\"mem_storage\":true}"},
    {"{\"name\":\"c\",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":"
     "\"2026-08-01T12:00:00.5+02:00\",\"ack_policy\":\"all\",\"backoff\":[1000000000,5000000000],"
     "\"max_deliver\":3,\"filter_subjects\":[\"s.a\",\"s.b\"],\"sample_freq\":\"50%\","
     "\"inactive_threshold\":9,\"pause_until\":\"2030-01-01T00:00:00Z\",\"priority_policy\":"
     "\"none\"}",
     "{\"name\":\"c\",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":"
     "\"2026-08-01T10:00:00.5Z\",\"ack_policy\":\"all\",\"ack_wait\":1000000000,\"max_deliver\":3,"
     "\"backoff\":[1000000000,5000000000],\"filter_subjects\":[\"s.a\",\"s.b\"],"
     "\"replay_policy\":\"instant\",\"sample_freq\":\"50%\",\"max_waiting\":512,"
     "\"max_ack_pending\":1000,\"inactive_threshold\":9,\"num_replicas\":0,"
     "\"pause_until\":\"2030-01-01T00:00:00Z\"}"},
};

static void stream_of(const char *json, struct stream_config *out)
{
    struct config_error error;
    if (stream_config_decode(text_of(json), out, &error) != 0) fail_msg("%s", error.text);
}

static void configs_are_shown_with_defaults_in_jetstreams_order(void **state)
{
    (void)state;
    struct stream_config stream;
    stream_of("{\"name\":\"S\",\"subjects\":[\"s.*\",\"main-queue\"]}", &stream);
    for (const struct shown *s = shown; s < ARRAY_END(shown); s++) {
        struct consumer_config c, again;
        struct config_error error;
        struct writer w;
        struct json_out j;
        if (consumer_config_decode(text_of(s->json), &stream, &c, &error) != 0)
            fail_msg("%s", error.text);
        writer_init(&w, 0);
        json_out_init(&j, &w, false);
        consumer_config_encode(&c, &j, NULL);
        writer_u8(&w, 0);
        assert_string_equal((char *)w.base, s->encoded);
        assert_int_equal(consumer_config_decode(text_of((char *)w.base), &stream, &again, &error),
                         0);
        assert_true(consumer_config_equal(&c, &again));
        consumer_config_free(&c);
        consumer_config_free(&again);
        writer_free(&w);
    }
    stream_config_free(&stream);
}

#define C(more) "{\"name\":\"c\"" more "}"
#define PUSH(more) "{\"name\":\"c\",\"deliver_subject\":\"d\"" more "}"
#define LIMITS "{\"name\":\"S\"}"
#define QUEUE "{\"name\":\"S\",\"retention\":\"workqueue\"}"
static const struct refused {
    const char *stream, *json;
    int code;
    const char *text;
} refused[] = {
    /* clang-format off */
    {LIMITS, "{}",                                   JS_CONSUMER_CREATE, NULL},
    {LIMITS, C(",\"deliver_policy\":\"some\""),      JS_INVALID_JSON, "invalid JSON: can not unmarshal \"some\""},
    {LIMITS, C(",\"ack_policy\":\"flow_control\""),  JS_CONSUMER_CREATE, "flow control ack policy is not supported by this server"},
    {LIMITS, "{\"name\":\"a.b\"}",                   JS_CONSUMER_BAD_DURABLE_NAME, "durable name can not contain '.', '*', '>'"},
    {LIMITS, "{\"name\":\"a/b\"}",                   JS_CONSUMER_NAME_CONTAINS_PATH_SEPARATORS, NULL},
    {LIMITS, "{\"name\":\"a\",\"durable_name\":\"b\"}", JS_CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH, NULL},
    {LIMITS, C(",\"ack_policy\":\"explicit\",\"ack_wait\":-1"), JS_CONSUMER_ACK_WAIT_NEGATIVE, NULL},
    {LIMITS, C(",\"num_replicas\":3"),               JS_CONSUMER_REPLICAS_EXCEEDS_STREAM, NULL},
    {LIMITS, C(",\"max_deliver\":1,\"backoff\":[1,2]"), JS_CONSUMER_MAX_DELIVER_BACKOFF, "max deliver is required to be > length of backoff values"},
    {LIMITS, "{\"name\":\"c\",\"deliver_subject\":\"d.*\"}", JS_CONSUMER_DELIVER_TO_WILDCARDS, NULL},
    {LIMITS, "{\"name\":\"c\",\"deliver_subject\":\"d..e\"}", JS_CONSUMER_INVALID_DELIVER_SUBJECT, NULL},
    {LIMITS, "{\"name\":\"c\",\"deliver_subject\":\"S\"}", JS_CONSUMER_DELIVER_CYCLE, "consumer deliver subject forms a cycle"},
    {LIMITS, PUSH(",\"max_waiting\":5"),             JS_CONSUMER_PUSH_MAX_WAITING, NULL},
    {LIMITS, PUSH(",\"max_ack_pending\":5"),         JS_CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED, NULL},
    {LIMITS, PUSH(",\"idle_heartbeat\":5"),          JS_CONSUMER_SMALL_HEARTBEAT, NULL},
    {LIMITS, PUSH(",\"flow_control\":true"),         JS_CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS, NULL},
    {LIMITS, C(",\"rate_limit_bps\":5"),             JS_CONSUMER_PULL_WITH_RATE_LIMIT, NULL},
    {LIMITS, C(",\"max_waiting\":-5"),               JS_CONSUMER_MAX_WAITING_NEGATIVE, NULL},
    {LIMITS, C(",\"idle_heartbeat\":500000000"),     JS_CONSUMER_HB_REQUIRES_PUSH, NULL},
    {LIMITS, C(",\"flow_control\":true"),            JS_CONSUMER_FC_REQUIRES_PUSH, NULL},
    {LIMITS, C(",\"max_batch\":-1"),                 JS_CONSUMER_MAX_REQUEST_BATCH_NEGATIVE, NULL},
    {LIMITS, C(",\"max_expires\":5"),                JS_CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL, NULL},
    {LIMITS, C(",\"filter_subject\":\"S\",\"filter_subjects\":[\"S\"]"), JS_CONSUMER_DUPLICATE_FILTER_SUBJECTS, NULL},
    {LIMITS, C(",\"filter_subjects\":[\"a\",\"\"]"), JS_CONSUMER_EMPTY_FILTER, NULL},
    {LIMITS, C(",\"filter_subjects\":[\"a.b\",\"a.*\"]"), JS_CONSUMER_OVERLAPPING_SUBJECT_FILTERS, NULL},
    {LIMITS, C(",\"opt_start_seq\":5"),              JS_CONSUMER_INVALID_POLICY, "consumer delivery policy is deliver all, but optional start sequence is also set"},
    {LIMITS, C(",\"deliver_policy\":\"last\",\"opt_start_time\":\"2026-01-01T00:00:00Z\""), JS_CONSUMER_INVALID_POLICY, "consumer delivery policy is deliver last, but optional start time is also set"},
    {LIMITS, C(",\"deliver_policy\":\"by_start_sequence\""), JS_CONSUMER_INVALID_POLICY, "consumer delivery policy is deliver by start sequence, but optional start sequence is not set"},
    {LIMITS, C(",\"deliver_policy\":\"by_start_time\""), JS_CONSUMER_INVALID_POLICY, "consumer delivery policy is deliver by start time, but optional start time is not set"},
    {LIMITS, C(",\"deliver_policy\":\"last_per_subject\""), JS_CONSUMER_INVALID_POLICY, "consumer delivery policy is deliver last per subject, but optional filter subject is not set"},
    {LIMITS, C(",\"sample_freq\":\"x\""),            JS_CONSUMER_INVALID_SAMPLING, NULL},
    {LIMITS, C(",\"sample_freq\":\"101\""),          JS_CONSUMER_INVALID_SAMPLING, NULL},
    {LIMITS, C(",\"priority_groups\":[\"A\"]"),      JS_CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE, NULL},
    {LIMITS, C(",\"priority_policy\":\"overflow\""), JS_CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP, NULL},
    {LIMITS, C(",\"priority_timeout\":5"),           JS_CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE, NULL},
    {LIMITS, C(",\"priority_policy\":\"overflow\",\"priority_groups\":[\"\"]"), JS_CONSUMER_EMPTY_GROUP_NAME, NULL},
    {LIMITS, C(",\"priority_policy\":\"overflow\",\"priority_groups\":[\"a b\"]"), JS_CONSUMER_INVALID_GROUP_NAME, NULL},
    {LIMITS, PUSH(",\"priority_policy\":\"overflow\",\"priority_groups\":[\"A\"]"), JS_CONSUMER_PUSH_WITH_PRIORITY_GROUP, NULL},
    {QUEUE,  C(""),                                  JS_CONSUMER_PULL_REQUIRES_ACK, NULL},
    {QUEUE,  PUSH(""),                               JS_CONSUMER_WQ_REQUIRES_EXPLICIT_ACK, NULL},
    {QUEUE,  C(",\"ack_policy\":\"explicit\",\"deliver_policy\":\"new\""), JS_CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL, NULL},
    {"{\"name\":\"S\",\"retention\":\"interest\",\"num_replicas\":3}", C(",\"num_replicas\":1"), JS_CONSUMER_REPLICAS_SHOULD_MATCH_STREAM, NULL},
    {"{\"name\":\"S\",\"consumer_limits\":{\"max_ack_pending\":123}}", C(",\"ack_policy\":\"all\",\"max_ack_pending\":124"), JS_CONSUMER_MAX_PENDING_ACK_EXCESS, "consumer max ack pending exceeds system limit of 123"},
    {"{\"name\":\"S\",\"consumer_limits\":{\"inactive_threshold\":90000000000}}", C(",\"inactive_threshold\":90000000001"), JS_CONSUMER_INACTIVE_THRESHOLD_EXCESS, "consumer inactive threshold exceeds system limit of 1m30s"},
    /* clang-format on */
};

static void bad_configs_are_refused_in_jetstreams_words(void **state)
{
    (void)state;
    for (const struct refused *r = refused; r < ARRAY_END(refused); r++) {
        struct stream_config stream;
        struct consumer_config c;
        struct config_error error;
        stream_of(r->stream, &stream);
        if (consumer_config_decode(text_of(r->json), &stream, &c, &error) != E_INVAL)
            fail_msg("'%s' was taken", r->json);
        if (error.code != r->code) fail_msg("'%s' gave %d %s", r->json, error.code, error.text);
        if (r->text != NULL) assert_string_equal(error.text, r->text);
        stream_config_free(&stream);
    }
}

static const struct change {
    const char *from, *to, *text; /* NULL: it may */
} changes[] = {
    /* clang-format off */
    {C(""), C(",\"description\":\"x\",\"max_deliver\":5,\"filter_subject\":\"a\",\"headers_only\":true,\"max_batch\":4"), NULL},
    {PUSH(""), "{\"name\":\"c\",\"deliver_subject\":\"e\"}", NULL},
    {C(""), C(",\"deliver_policy\":\"new\""), "deliver policy can not be updated"},
    {C(",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":1"), C(",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":2"), "start sequence can not be updated"},
    {C(""), C(",\"ack_policy\":\"explicit\""), "ack policy can not be updated"},
    {C(""), C(",\"replay_policy\":\"original\""), "replay policy can not be updated"},
    {PUSH(",\"idle_heartbeat\":500000000"), PUSH(""), "heart beats can not be updated"},
    {PUSH(",\"idle_heartbeat\":500000000,\"flow_control\":true"), PUSH(",\"idle_heartbeat\":500000000"), "flow control can not be updated"},
    {C(""), C(",\"max_waiting\":5"), "max waiting can not be updated"},
    {C(""), PUSH(""), "can not update pull consumer to push based"},
    {PUSH(""), C(""), "can not update push consumer to pull based"},
    /* clang-format on */
};

static void updates_may_change_only_what_may_change(void **state)
{
    (void)state;
    for (const struct change *c = changes; c < ARRAY_END(changes); c++) {
        struct consumer_config from, to;
        struct config_error error;
        assert_int_equal(consumer_config_decode(text_of(c->from), NULL, &from, &error), 0);
        assert_int_equal(consumer_config_decode(text_of(c->to), NULL, &to, &error), 0);
        int rc = consumer_config_update_check(&from, &to, &error);
        if (c->text == NULL)
            assert_int_equal(rc, 0);
        else
            assert_string_equal(rc == 0 ? "" : error.text, c->text);
        consumer_config_free(&from);
        consumer_config_free(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_are_shown_with_defaults_in_jetstreams_order),
        cmocka_unit_test(bad_configs_are_refused_in_jetstreams_words),
        cmocka_unit_test(updates_may_change_only_what_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
