/* duration_test.c - spans of time as Go writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/js/duration.h"
#include "store/base/units.h"

#define NINES "99999999999999999999999999999999999999999999999999999999999999999999999999999999"

static const struct parse_case {
    const char *text;
    bool good;
    int64_t ns;
} parse_cases[] = {
    {"5s", true, 5000000000},
    {"1h30m", true, 5400000000000},
    {"1.5s", true, 1500000000},
    {"250ms", true, 250000000},
    {"0", true, 0},
    {"-2m", true, -120000000000},
    {"10us", true, 10000},
    {"5", false, 0},
    {"", false, 0},
    {"s", false, 0},
    {"5 s", false, 0},
    {"5x", false, 0},
    {"1e99h", false, 0},
    {"0." NINES NINES NINES NINES "s", false, 0},
    {"99999999999999999h", false, 0},
};
static void durations_are_parsed(void **test)
{
    (void)test;
    for (const struct parse_case *c = parse_cases; c < ARRAY_END(parse_cases); c++) {
        int64_t ns = 0;
        bool good = duration_parse(text_of(c->text), &ns);
        if (good != c->good || (good && ns != c->ns))
            fail_msg("'%s' gave %d, %lld", c->text, good, (long long)ns);
    }
}

static const struct format_case {
    int64_t ns;
    const char *text;
} format_cases[] = {
    {0, "0s"},
    {50000000, "50ms"},
    {1000000000, "1s"},
    {1500000000, "1.5s"},
    {90000000000, "1m30s"},
    {3600000000000, "1h0m0s"},
    {1500, "1.5\xc2\xb5s"},
    {7, "7ns"},
};
static void durations_are_written_as_go_does(void **test)
{
    (void)test;
    for (const struct format_case *c = format_cases; c < ARRAY_END(format_cases); c++) {
        char room[32];
        struct text got = {.at = room, .bytes = duration_format(c->ns, room, sizeof room)};
        if (!text_equal(got, text_of(c->text))) fail_msg("%s: %.*s", c->text, (int)got.bytes, room);
    }
}

static void numbers_are_put_and_read(void **test)
{
    (void)test;
    const uint64_t numbers[] = {0, 7, 10, 1764000000, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        char room[20];
        uint64_t back = 1;
        struct text text = {.at = room, .bytes = duration_put_u64(room, numbers[i])};
        assert_true(duration_digits(text, &back));
        assert_true(back == numbers[i]);
    }
    uint64_t v;
    assert_false(duration_digits(text_of("18446744073709551616"), &v));
    assert_false(duration_digits(text_of("-1"), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_parsed),
        cmocka_unit_test(durations_are_written_as_go_does),
        cmocka_unit_test(numbers_are_put_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
