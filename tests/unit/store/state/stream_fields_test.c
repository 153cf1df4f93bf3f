/* A stream's config: what JSON becomes, is refused with, and may be changed to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/base/err.h"
#include "store/state/js_errors.h"
#include "store/state/stream.h"

/* What every stream shows between num_replicas and the end, when nothing is asked for. */
#define TAIL                                                                                       \
    "\"num_replicas\":1,\"duplicate_window\":120000000000,\"compression\":\"none\","               \
    "\"allow_direct\":false,\"mirror_direct\":false,\"sealed\":false,\"deny_delete\":false,"       \
    "\"deny_purge\":false,\"allow_rollup_hdrs\":false,\"consumer_limits\":{},"                     \
    "\"allow_msg_ttl\":false}"
#define UNLIMITED                                                                                  \
    "\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,"              \
    "\"max_age\":0,\"max_msgs_per_subject\":-1,\"max_msg_size\":-1,\"discard\":\"old\","           \
    "\"storage\":\"file\","

static const struct shown {
    const char *json, *encoded;
} shown[] = {
    /* what ocis sends for its event stream: zeros everywhere */
    {"{\"name\":\"main-queue\",\"retention\":\"limits\",\"max_consumers\":0,\"max_msgs\":0,"
     "\"max_bytes\":0,\"discard\":\"old\",\"max_age\":0,\"max_msgs_per_subject\":0,"
     "\"storage\":\"file\",\"num_replicas\":0,\"compression\":\"none\",\"allow_direct\":false,"
     "\"mirror_direct\":false,\"consumer_limits\":{}}",
     "{\"name\":\"main-queue\",\"subjects\":[\"main-queue\"]," UNLIMITED TAIL},
    {"{\"name\":\"S\",\"subjects\":[\"s.>\"],\"unknown\":{\"a\":[1]},\"mirror\":null,\"sources\":[]"
     "}",
     "{\"name\":\"S\",\"subjects\":[\"s.\\u003e\"]," UNLIMITED TAIL},
    /* a KV bucket */
    {"{\"name\":\"KV_b\",\"description\":\"d\",\"subjects\":[\"$KV.b.\\u003e\"],"
     "\"max_age\":30000000000,\"max_msgs_per_subject\":1,\"max_msg_size\":-1,\"discard\":\"new\","
     "\"storage\":\"memory\",\"num_replicas\":3,\"deny_delete\":true,\"allow_rollup_hdrs\":true,"
     "\"allow_direct\":true}",
     "{\"name\":\"KV_b\",\"description\":\"d\",\"subjects\":[\"$KV.b.\\u003e\"],"
     "\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,"
     "\"max_age\":30000000000,\"max_msgs_per_subject\":1,\"max_msg_size\":-1,\"discard\":\"new\","
     "\"storage\":\"memory\",\"num_replicas\":3,\"duplicate_window\":30000000000,"
     "\"compression\":\"none\",\"allow_direct\":true,\"mirror_direct\":false,\"sealed\":false,"
     "\"deny_delete\":true,\"deny_purge\":false,\"allow_rollup_hdrs\":true,"
     "\"consumer_limits\":{},\"allow_msg_ttl\":false}"},
    /* every member that is left out when it isn't set; a marker implies TTLs and roll-ups */
    {"{\"name\":\"S\",\"no_ack\":true,\"first_seq\":5,\"placement\":{\"cluster\":\"c\",\"tags\":["
     "\"x\"]},"
     "\"discard\":\"new\",\"max_msgs_per_subject\":2,\"discard_new_per_subject\":true,"
     "\"consumer_limits\":{\"inactive_threshold\":7,\"max_ack_pending\":9},\"compression\":\"s2\","
     "\"subject_delete_marker_ttl\":1000000000,\"persist_mode\":\"default\","
     "\"metadata\":{\"b\":\"2\",\"a\":\"1\",\"_nats.ver\":\"2.11\"}}",
     "{\"name\":\"S\",\"subjects\":[\"S\"],\"retention\":\"limits\",\"max_consumers\":-1,"
     "\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"max_msgs_per_subject\":2,"
     "\"max_msg_size\":-1,\"discard\":\"new\",\"storage\":\"file\",\"num_replicas\":1,"
     "\"no_ack\":true,\"duplicate_window\":120000000000,"
     "\"placement\":{\"cluster\":\"c\",\"tags\":[\"x\"]},\"compression\":\"s2\",\"first_seq\":5,"
     "\"allow_direct\":false,\"mirror_direct\":false,\"discard_new_per_subject\":true,"
     "\"sealed\":false,\"deny_delete\":false,\"deny_purge\":false,\"allow_rollup_hdrs\":true,"
     "\"consumer_limits\":{\"inactive_threshold\":7,\"max_ack_pending\":9},"
     "\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":1000000000,"
     "\"metadata\":{\"a\":\"1\",\"b\":\"2\"}}"},
};

static void encode(const struct stream_config *c, struct writer *w)
{
    struct json_out j;
    writer_init(w, 0);
    json_out_init(&j, w, false);
    stream_config_encode(c, &j, NULL);
    writer_u8(w, 0);
}

static void configs_are_shown_with_defaults_in_jetstreams_order(void **state)
{
    (void)state;
    for (const struct shown *s = shown; s < ARRAY_END(shown); s++) {
        struct stream_config c, again;
        struct config_error error;
        struct writer w;
        if (stream_config_decode(text_of(s->json), &c, &error) != 0) fail_msg("%s", error.text);
        encode(&c, &w);
        assert_string_equal((char *)w.base, s->encoded);
        /* what is shown means the same: commands carry it */
        assert_int_equal(stream_config_decode(text_of((char *)w.base), &again, &error), 0);
        assert_true(stream_config_equal(&c, &again));
        stream_config_free(&c);
        stream_config_free(&again);
        writer_free(&w);
    }
}

static const struct refused {
    const char *json;
    int code;
    const char *text;
} refused[] = {
    /* clang-format off */
    {"",                          JS_INVALID_JSON, NULL},
    {"[]",                        JS_INVALID_JSON, NULL},
    {"{\"name\":1}",              JS_INVALID_JSON, NULL},
    {"{\"name\":\"S\",\"max_msgs\":\"x\"}",         JS_INVALID_JSON, NULL},
    {"{\"name\":\"S\",\"retention\":\"lots\"}",     JS_INVALID_JSON, "invalid JSON: can not unmarshal \"lots\""},
    {"{\"name\":\"S\",\"discard\":\"x\"}",          JS_INVALID_JSON, NULL},
    {"{\"name\":\"S\",\"storage\":\"tape\"}",       JS_INVALID_JSON, NULL},
    {"{\"name\":\"S\",\"compression\":\"zip\"}",    JS_INVALID_JSON, NULL},
    {"{}",                        JS_STREAM_INVALID_CONFIG, "stream name is required and can not contain '.', '*', '>', '\\', '/'"},
    {"{\"name\":\"a.b\"}",        JS_STREAM_INVALID_CONFIG, "stream name is required and can not contain '.', '*', '>', '\\', '/'"},
    {"{\"name\":\"a b\"}",        JS_STREAM_INVALID_CONFIG, NULL},
    {"{\"name\":\"a/b\"}",        JS_STREAM_NAME_CONTAINS_PATH_SEPARATORS, "Stream name can not contain path separators"},
    {"{\"name\":\"S\",\"num_replicas\":6}",         JS_STREAM_INVALID_CONFIG, "maximum replicas is 5"},
    {"{\"name\":\"S\",\"num_replicas\":-1}",        JS_REPLICAS_COUNT_CANNOT_BE_NEGATIVE, "replicas count cannot be negative"},
    {"{\"name\":\"S\",\"max_age\":-1}",             JS_STREAM_INVALID_CONFIG, "max age can not be negative"},
    {"{\"name\":\"S\",\"max_age\":1000}",           JS_STREAM_INVALID_CONFIG, "max age needs to be >= 100ms"},
    {"{\"name\":\"S\",\"duplicate_window\":-1}",    JS_STREAM_INVALID_CONFIG, "duplicates window can not be negative"},
    {"{\"name\":\"S\",\"duplicate_window\":1}",     JS_STREAM_INVALID_CONFIG, "duplicates window needs to be >= 100ms"},
    {"{\"name\":\"S\",\"max_age\":1000000000,\"duplicate_window\":2000000000}", JS_STREAM_INVALID_CONFIG, "duplicates window can not be larger then max age"},
    {"{\"name\":\"S\",\"deny_purge\":true,\"allow_rollup_hdrs\":true}", JS_STREAM_INVALID_CONFIG, "roll-ups require the purge permission"},
    {"{\"name\":\"S\",\"discard_new_per_subject\":true}", JS_STREAM_INVALID_CONFIG, "discard new per subject requires discard new policy to be set"},
    {"{\"name\":\"S\",\"discard\":\"new\",\"discard_new_per_subject\":true}", JS_STREAM_INVALID_CONFIG, "discard new per subject requires max msgs per subject > 0"},
    {"{\"name\":\"S\",\"subject_delete_marker_ttl\":5}", JS_STREAM_INVALID_CONFIG, "subject delete marker TTL must be at least 1 second"},
    {"{\"name\":\"S\",\"mirror_direct\":true}",     JS_STREAM_INVALID_CONFIG, "stream has no mirror but does have mirror direct"},
    {"{\"name\":\"S\",\"placement\":{\"preferred\":\"n1\"}}", JS_STREAM_INVALID_CONFIG, "preferred server not permitted in placement"},
    {"{\"name\":\"S\",\"subjects\":[\"a..b\"]}",    JS_STREAM_INVALID_CONFIG, "invalid subject"},
    {"{\"name\":\"S\",\"subjects\":[\"a\",\"a\"]}", JS_STREAM_INVALID_CONFIG, "duplicate subjects detected"},
    {"{\"name\":\"S\",\"subjects\":[\"a.b\",\"a.*\"]}", JS_STREAM_INVALID_CONFIG, "subject \"a.*\" overlaps with \"a.b\""},
    {"{\"name\":\"S\",\"subjects\":[\">\"]}",       JS_STREAM_INVALID_CONFIG, "capturing all subjects requires no-ack to be true"},
    {"{\"name\":\"S\",\"subjects\":[\"$JS.API.>\"]}", JS_STREAM_INVALID_CONFIG, "subjects that overlap with jetstream api require no-ack to be true"},
    {"{\"name\":\"S\",\"subjects\":[\"$SYS.>\"]}",  JS_STREAM_INVALID_CONFIG, "subjects that overlap with system api require no-ack to be true"},
    {"{\"name\":\"S\",\"persist_mode\":\"async\"}", JS_STREAM_INVALID_CONFIG, "async persist mode is not supported on replicated streams"},
    {"{\"name\":\"S\",\"allow_atomic\":true}",      JS_STREAM_INVALID_CONFIG, NULL},
    {"{\"name\":\"S\",\"metadata\":{\"a\":1}}",     JS_INVALID_JSON, NULL},
    /* clang-format on */
};

static void bad_configs_are_refused_in_jetstreams_words(void **state)
{
    (void)state;
    for (const struct refused *r = refused; r < ARRAY_END(refused); r++) {
        struct stream_config c;
        struct config_error error;
        if (stream_config_decode(text_of(r->json), &c, &error) != E_INVAL)
            fail_msg("'%s' was taken", r->json);
        if (error.code != r->code) fail_msg("'%s' gave %d %s", r->json, error.code, error.text);
        if (r->text != NULL) assert_string_equal(error.text, r->text);
    }
}

static const char *const allowed[] = {
    "{\"name\":\"S\",\"subjects\":[\"$JS.EVENT.>\"]}",
    "{\"name\":\"S\",\"subjects\":[\"$SYS.ACCOUNT.A.>\"]}",
    "{\"name\":\"S\",\"subjects\":[\">\"],\"no_ack\":true}",
};

static void some_reserved_subjects_are_allowed(void **state)
{
    (void)state;
    for (const char *const *json = allowed; json < ARRAY_END(allowed); json++) {
        struct stream_config c;
        struct config_error error;
        if (stream_config_decode(text_of(*json), &c, &error) != 0)
            fail_msg("%s: %s", *json, error.text);
        stream_config_free(&c);
    }
}

#define NAMED(more) "{\"name\":\"S\"" more "}"
static const struct change {
    const char *from, *to, *text; /* NULL: it may */
} changes[] = {
    /* clang-format off */
    {NAMED(""), NAMED(",\"max_msgs\":5,\"subjects\":[\"x\"],\"num_replicas\":3"), NULL},
    {NAMED(""), NAMED(",\"retention\":\"interest\""), NULL},
    {NAMED(""), "{\"name\":\"T\"}", "stream configuration name must match original"},
    {NAMED(""), NAMED(",\"storage\":\"memory\""), "stream configuration update can not change storage type"},
    {NAMED(""), NAMED(",\"retention\":\"workqueue\""), "stream configuration update can not change retention policy to/from workqueue"},
    {NAMED(",\"sealed\":true"), NAMED(""), "stream configuration update can not unseal a sealed stream"},
    {NAMED(",\"deny_delete\":true"), NAMED(""), "stream configuration update can not cancel deny message deletes"},
    {NAMED(",\"deny_purge\":true"), NAMED(""), "stream configuration update can not cancel deny purge"},
    {NAMED(",\"allow_msg_ttl\":true"), NAMED(""), "message TTL status can not be disabled"},
    /* clang-format on */
};

static void updates_may_change_only_what_may_change(void **state)
{
    (void)state;
    for (const struct change *c = changes; c < ARRAY_END(changes); c++) {
        struct stream_config from, to;
        struct config_error error;
        assert_int_equal(stream_config_decode(text_of(c->from), &from, &error), 0);
        assert_int_equal(stream_config_decode(text_of(c->to), &to, &error), 0);
        int rc = stream_config_update_check(&from, &to, &error);
        if (c->text == NULL)
            assert_int_equal(rc, 0);
        else
            assert_string_equal(rc == 0 ? "" : error.text, c->text);
        stream_config_free(&from);
        stream_config_free(&to);
    }
}

static void metadata_of_the_server_is_shown_but_not_kept(void **state)
{
    (void)state;
    struct stream_config c;
    struct config_error error;
    struct writer w;
    struct json_out j;
    const char *json = "{\"name\":\"S\",\"metadata\":{\"z\":\"1\",\"A\":\"2\"}}";
    assert_int_equal(stream_config_decode(text_of(json), &c, &error), 0);
    writer_init(&w, 0);
    json_out_init(&j, &w, false);
    stream_config_show(&c, &j, NULL, "2.14.0", 4);
    writer_u8(&w, 0);
    assert_non_null(strstr(
        (char *)w.base, "\"metadata\":{\"A\":\"2\",\"_nats.level\":\"4\",\"_nats.req.level\":\"0\","
                        "\"_nats.ver\":\"2.14.0\",\"z\":\"1\"}"));
    writer_free(&w);
    stream_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_are_shown_with_defaults_in_jetstreams_order),
        cmocka_unit_test(bad_configs_are_refused_in_jetstreams_words),
        cmocka_unit_test(some_reserved_subjects_are_allowed),
        cmocka_unit_test(updates_may_change_only_what_may_change),
        cmocka_unit_test(metadata_of_the_server_is_shown_but_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
