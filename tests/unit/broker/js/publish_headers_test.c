/* publish_headers_test.c - the headers of a published message that decide what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/js/publish_headers.h"

static struct publish_headers parsed(const char *block)
{
    struct publish_headers h;
    publish_headers_parse(text_of(block), &h);
    return h;
}

static void deciding_headers_are_found(void **test)
{
    (void)test;
    struct publish_headers h =
        parsed("NATS/1.0\r\nFoo: bar\r\nNats-Msg-Id:  m1 \r\nNats-Msg-Id: m2\r\n"
               "Nats-Expected-Last-Sequence: 12\r\n"
               "Nats-Expected-Last-Subject-Sequence:0\r\n"
               "Nats-Expected-Last-Subject-Sequence-Subject: a.*\r\n"
               "Nats-Rollup: SUB\r\nNats-TTL: 90s\r\n\r\n");
    assert_int_equal(h.flags, PUBLISH_MSG_ID | PUBLISH_EXPECT_SEQ | PUBLISH_EXPECT_SUBJECT_SEQ |
                                  PUBLISH_ROLLUP_SUBJECT | PUBLISH_TTL);
    assert_true(text_equal(h.msg_id, TEXT("m1")));
    assert_int_equal(h.expect_seq, 12);
    assert_int_equal(h.expect_subject_seq, 0);
    assert_true(text_equal(h.expect_subject, TEXT("a.*")));
    assert_int_equal(h.ttl_ns, 90 * (int64_t)NS_PER_S);
    assert_int_equal(h.line_bytes, 10);
}

static const struct ttl_case {
    const char *value;
    bool bad, given;
    int64_t ns;
} ttl_cases[] = {
    {"1s", false, true, 1000000000},
    {"1500ms", false, true, 1000000000},
    {"5", false, true, 5000000000},
    {"never", false, true, -1},
    {"0", true, true, 0},
    {"500ms", true, true, 0},
    {"soon", true, true, 0},
    {"-5s", true, true, 0},
};
static void ttl_is_whole_seconds_or_never(void **test)
{
    (void)test;
    for (const struct ttl_case *c = ttl_cases; c < ARRAY_END(ttl_cases); c++) {
        char block[100] = "NATS/1.0\r\nNats-TTL: ";
        strncat(block, c->value, 20);
        strncat(block, "\r\n\r\n", 5);
        struct publish_headers h = parsed(block);
        if (h.bad_ttl != c->bad) fail_msg("%s", c->value);
        if (!c->bad && h.ttl_ns != c->ns) fail_msg("%s: %lld", c->value, (long long)h.ttl_ns);
    }
}

static void what_is_no_number_is_no_sequence(void **test)
{
    (void)test;
    struct publish_headers h = parsed("NATS/1.0\r\nNats-Expected-Last-Sequence: x\r\n\r\n");
    assert_true(h.expect_seq == UINT64_MAX);
}

static void malformed_blocks_do_no_harm(void **test)
{
    (void)test;
    const char *blocks[] = {"",
                            "NATS/1.0",
                            "NATS/1.0\r\nNats-Msg-Id",
                            "NATS/1.0\r\nNats-Msg-Id: \r\n\r\n",
                            "\n\n",
                            "NATS/1.0 503\r\n: x\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++)
        assert_int_equal(parsed(blocks[i]).flags, 0);
    assert_int_equal(parsed("NATS/1.0 503 Oops\r\n\r\n").line_bytes, 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deciding_headers_are_found),
        cmocka_unit_test(ttl_is_whole_seconds_or_never),
        cmocka_unit_test(what_is_no_number_is_no_sequence),
        cmocka_unit_test(malformed_blocks_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
