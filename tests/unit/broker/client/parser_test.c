#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/client/parser.h"
#include "store/base/check.h"

static const struct parser_limits plain = {.control_line_bytes = 64,
                                           .payload_bytes = 1000,
                                           .headers = true};

struct parser_case {
    const char *in;
    enum parser_result want;
    const char *shows; /* op as text, where it is complete */
};

/* clang-format off */
static const struct parser_case cases[] = {
    {"PING\r\n", PARSER_OP, "PING"},
    {"ping\n", PARSER_OP, "PING"},
    {"PiNg anything\r\n", PARSER_OP, "PING"},
    {"PONG\r\n", PARSER_OP, "PONG"},
    {"+OK\r\n", PARSER_OP, "+OK"},
    {"-ERR 'x'\r\n", PARSER_OP, "-ERR"},
    {"INFO {}\r\n", PARSER_OP, "INFO"},
    {"CONNECT {}\r\n", PARSER_OP, "CONNECT json={}"},
    {"CONNECT{\"a\":1}\r\n", PARSER_OP, "CONNECT json={\"a\":1}"},
    {"PUB foo 5\r\nhello\r\n", PARSER_OP, "PUB foo body=hello"},
    {"pub foo bar 0\r\n\r\n", PARSER_OP, "PUB foo reply=bar body="},
    {"PUB \t foo\t\tbar  2 \r\nok\r\n", PARSER_OP, "PUB foo reply=bar body=ok"},
    {"PUB foo 2\nok\r\n", PARSER_OP, "PUB foo body=ok"},
    {"PUB foo 4\r\na\r\nb\r\n", PARSER_OP, "PUB foo body=a\r\nb"},
    {"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nok\r\n", PARSER_OP, "HPUB foo header=NATS/1.0\r\n\r\n body=ok"},
    {"HPUB foo r 0 2\r\nok\r\n", PARSER_OP, "HPUB foo reply=r body=ok"},
    {"SUB foo 1\r\n", PARSER_OP, "SUB foo sid=1"},
    {"SUB foo q a1\r\n", PARSER_OP, "SUB foo queue=q sid=a1"},
    {"UNSUB 1\r\n", PARSER_OP, "UNSUB sid=1"},
    {"UNSUB 1 5\r\n", PARSER_OP, "UNSUB sid=1 max=5"},

    {"PUB foo 2\r\nokX", PARSER_UNKNOWN, NULL},
    {"PUB foo 2\r\nok\rX", PARSER_UNKNOWN, NULL},
    {"GET / HTTP/1.1\r\n", PARSER_UNKNOWN, NULL},
    {"RS+ a b\r\n", PARSER_UNKNOWN, NULL},
    {"PUBX\r\n", PARSER_UNKNOWN, NULL},
    {"PUB\r\n", PARSER_UNKNOWN, NULL},
    {"SUBfoo 1\r\n", PARSER_UNKNOWN, NULL},
    {"\r\n", PARSER_UNKNOWN, NULL},
    {" PING\r\n", PARSER_UNKNOWN, NULL},

    {"PUB \r\n", PARSER_ARGUMENTS, NULL},
    {"PUB foo\r\n", PARSER_ARGUMENTS, NULL},
    {"PUB foo bar baz 1\r\n", PARSER_ARGUMENTS, NULL},
    {"PUB foo x\r\n", PARSER_ARGUMENTS, NULL},
    {"PUB foo -1\r\n", PARSER_ARGUMENTS, NULL},
    {"PUB foo 9999999999\r\n", PARSER_ARGUMENTS, NULL},
    {"HPUB foo 12\r\n", PARSER_ARGUMENTS, NULL},
    {"HPUB foo 15 14\r\n", PARSER_ARGUMENTS, NULL},
    {"SUB foo\r\n", PARSER_ARGUMENTS, NULL},
    {"SUB a b c d\r\n", PARSER_ARGUMENTS, NULL},
    {"UNSUB \r\n", PARSER_ARGUMENTS, NULL},
    {"UNSUB 1 x\r\n", PARSER_ARGUMENTS, NULL},

    {"PUB foo 1001\r\n", PARSER_PAYLOAD, NULL},
    {"HPUB foo 1 1001\r\n", PARSER_PAYLOAD, NULL},
    {"SUB 0123456789012345678901234567890123456789012345678901234567890 12\r\n", PARSER_OP,
     "SUB 0123456789012345678901234567890123456789012345678901234567890 sid=12"},
    {"SUB 0123456789012345678901234567890123456789012345678901234567890 123\r\n", PARSER_LONG_LINE, NULL},
    {"PING 0123456789012345678901234567890123456789012345678901234567890123456789", PARSER_LONG_LINE, NULL},
};
/* clang-format on */

static void show(const struct parser_op *op, char *out, size_t bytes)
{
    static const char *const names[] = {"CONNECT", "PUB",  "HPUB", "SUB", "UNSUB",
                                        "PING",    "PONG", "INFO", "+OK", "-ERR"};
    size_t at = (size_t)snprintf(out, bytes, "%s", names[op->verb]);
    const struct {
        const char *name;
        struct text text;
        bool always, never;
    } parts[] = {
        {" ", op->subject, false, false},
        {" queue=", op->queue, false, op->verb != PARSER_SUB},
        {" reply=", op->reply, false, op->verb > PARSER_HPUB},
        {" sid=", op->sid, false, op->verb != PARSER_SUB && op->verb != PARSER_UNSUB},
        {" json=", op->json, false, op->verb != PARSER_CONNECT},
        {" header=", op->header, false, op->verb != PARSER_HPUB},
        {" body=", op->body, true, op->verb != PARSER_HPUB && op->verb != PARSER_PUB},
    };
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (parts[i].never || (parts[i].text.bytes == 0 && !parts[i].always)) continue;
        at += (size_t)snprintf(out + at, bytes - at, "%s%.*s", parts[i].name,
                               (int)parts[i].text.bytes, parts[i].text.at);
    }
    if (op->verb == PARSER_UNSUB && op->max != 0) {
        (void)snprintf(out + at, bytes - at, " max=%llu", (unsigned long long)op->max);
    }
}

static void operations_are_parsed_by_the_grammar(void **state)
{
    (void)state;
    for (const struct parser_case *c = cases; c < ARRAY_END(cases); c++) {
        struct parser_op op = {0};
        char shown[256] = "";
        enum parser_result got = parser_next(&plain, text_of(c->in), &op);
        if (got != c->want) fail_msg("'%s' gave %d instead of %d", c->in, got, c->want);
        if (got != PARSER_OP) continue;
        show(&op, shown, sizeof shown);
        if (strcmp(shown, c->shows) != 0) fail_msg("'%s' instead of '%s'", shown, c->shows);
        if (op.bytes != strlen(c->in)) fail_msg("'%s': %zu bytes", c->in, op.bytes);
    }
}

/* Every prefix asks for more, never for more than there is, or says already what is wrong. */
static void a_prefix_asks_for_what_is_missing_or_is_refused_early(void **state)
{
    (void)state;
    for (const struct parser_case *c = cases; c < ARRAY_END(cases); c++) {
        size_t bytes = strlen(c->in);
        for (size_t i = 0; i < bytes; i++) {
            struct parser_op op = {0};
            char *exact = malloc(i == 0 ? 1 : i); /* the sanitizer sees a read beyond */
            memcpy(exact, c->in, i);
            struct text in = {.at = exact, .bytes = i};
            enum parser_result got = parser_next(&plain, in, &op);
            free(exact);
            if (got == PARSER_MORE) {
                if (op.need <= i || op.need > bytes)
                    fail_msg("'%s' at %zu: %zu", c->in, i, op.need);
            } else if (got != c->want || got == PARSER_OP) {
                fail_msg("%zu bytes of '%s' gave %d", i, c->in, got);
            }
        }
    }
}

static void a_message_names_its_size_as_soon_as_its_line_is_there(void **state)
{
    (void)state;
    struct parser_op op = {0};
    assert_int_equal(parser_next(&plain, TEXT("PUB foo 900\r\n"), &op), PARSER_MORE);
    assert_int_equal(op.need, 13 + 900 + 1);
}

static void without_login_only_connect_is_heard(void **state)
{
    (void)state;
    struct parser_limits l = plain;
    struct parser_op op = {0};
    l.auth_pending = true;
    assert_int_equal(parser_next(&l, TEXT("P"), &op), PARSER_AUTH);
    assert_int_equal(parser_next(&l, TEXT("GET /"), &op), PARSER_AUTH);
    assert_int_equal(parser_next(&l, TEXT("connect {}\r\n"), &op), PARSER_OP);
}

static void headers_must_have_been_agreed_on(void **state)
{
    (void)state;
    struct parser_limits l = plain;
    struct parser_op op = {0};
    l.headers = false;
    assert_int_equal(parser_next(&l, TEXT("HPUB foo 12 14\r\n"), &op), PARSER_ARGUMENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_parsed_by_the_grammar),
        cmocka_unit_test(a_prefix_asks_for_what_is_missing_or_is_refused_early),
        cmocka_unit_test(a_message_names_its_size_as_soon_as_its_line_is_there),
        cmocka_unit_test(without_login_only_connect_is_heard),
        cmocka_unit_test(headers_must_have_been_agreed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
