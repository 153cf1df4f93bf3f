/* ack_subject_test.c - what a client's ack says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/js/ack_subject.h"
#include "store/base/check.h"

static const struct subject_case {
    const char *subject, *stream, *consumer; /* NULL: not an ack */
    stream_seq sseq;
} subject_cases[] = {
    {"$JS.ACK.S.c.2.17.5.1764000000000000000.3", "S", "c", 17},
    {"$JS.ACK._.aBcD.S.c.2.17.5.1764000000000000000.3", "S", "c", 17},
    {"$JS.ACK.hub.aBcD.S.c.2.17.5.1764000000000000000.3.x9", "S", "c", 17},
    {"$JS.ACK.S.c.2.x.5.1764000000000000000.3", "S", "c", 0},
    {"$JS.ACK.S.c.2.17.5.1764000000000000000", NULL, NULL, 0},
    {"$JS.ACK.a.S.c.2.17.5.1764000000000000000.3", NULL, NULL, 0},
    {"$JS.ACK.1.2.3.4.5.6.7.8.9.10.11", NULL, NULL, 0},
    {"$JS.ACK", NULL, NULL, 0},
};
static void both_forms_of_ack_subjects_are_read(void **test)
{
    (void)test;
    for (const struct subject_case *c = subject_cases; c < ARRAY_END(subject_cases); c++) {
        struct ack_subject got;
        bool ack = ack_subject_parse(text_of(c->subject), &got);
        if (ack != (c->stream != NULL)) fail_msg("'%s' gave %d", c->subject, ack);
        if (!ack) continue;
        assert_true(text_equal(got.stream, text_of(c->stream)));
        assert_true(text_equal(got.consumer, text_of(c->consumer)));
        assert_int_equal(got.sseq, c->sseq);
    }
}

static const struct payload_case {
    const char *body;
    enum ack_payload kind;
    const char *argument;
} payload_cases[] = {
    {"", ACK_PAYLOAD_ACK, ""},
    {"+ACK", ACK_PAYLOAD_ACK, ""},
    {"+OK", ACK_PAYLOAD_ACK, ""},
    {"-NAK", ACK_PAYLOAD_NAK, ""},
    {"-NAK {\"delay\":5}", ACK_PAYLOAD_NAK, "{\"delay\":5}"},
    {"-NAK 5s\r\n", ACK_PAYLOAD_NAK, "5s"},
    {"+WPI", ACK_PAYLOAD_PROGRESS, ""},
    {"+NXT 10", ACK_PAYLOAD_NEXT, "10"},
    {"+TERM because", ACK_PAYLOAD_TERM, "because"},
    {"what", ACK_PAYLOAD_UNKNOWN, ""},
};
static void all_kinds_of_payload_are_read(void **test)
{
    (void)test;
    for (const struct payload_case *c = payload_cases; c < ARRAY_END(payload_cases); c++) {
        struct text argument;
        enum ack_payload kind = ack_payload_parse(text_of(c->body), &argument);
        if (kind != c->kind) fail_msg("'%s' gave %d", c->body, (int)kind);
        if (!text_equal(argument, text_of(c->argument))) fail_msg("'%s'", c->body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_of_ack_subjects_are_read),
        cmocka_unit_test(all_kinds_of_payload_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
