/* json_out_test.c - what the encoder writes, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/base/json_out.h"

static struct writer w;
static struct json_out j;

static void begin(bool indent)
{
    writer_free(&w);
    writer_init(&w, 0);
    json_out_init(&j, &w, indent);
}

static void expect(const char *json)
{
    writer_u8(&w, 0);
    assert_string_equal((const char *)w.base, json);
    writer_free(&w);
}

static const struct text_case {
    struct text in;
    const char *json;
} text_cases[] = {
    {TEXT(""), "\"\""},
    {TEXT("a\"b\\c\n\r\t\b\f"), "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\""},
    {TEXT("\x01\x1f"), "\"\\u0001\\u001f\""},
    {TEXT("<a>&"), "\"\\u003ca\\u003e\\u0026\""},
    {TEXT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {TEXT("\xe2\x80\xa8"), "\"\\u2028\""},
    {TEXT("a\xff"), "\"a\\ufffd\""},
    {TEXT("\xc0\x80"), "\"\\ufffd\\ufffd\""},            /* overlong */
    {TEXT("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
    {TEXT("\xe2\x82"), "\"\\ufffd\\ufffd\""},            /* cut */
    {TEXT("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
};

static void strings_are_escaped_as_go_does(void **state)
{
    (void)state;
    for (const struct text_case *c = text_cases; c < ARRAY_END(text_cases); c++) {
        begin(false);
        json_out_text(&j, NULL, c->in);
        expect(c->json);
    }
}

static void objects_and_arrays_get_their_commas(void **state)
{
    (void)state;
    begin(false);
    json_out_object(&j, NULL);
    json_out_i64(&j, "min", INT64_MIN);
    json_out_u64(&j, "max", UINT64_MAX);
    json_out_array(&j, "a");
    json_out_bool(&j, NULL, true);
    json_out_null(&j, NULL);
    json_out_object(&j, NULL);
    json_out_object_end(&j);
    json_out_array_end(&j);
    json_out_raw(&j, "r", TEXT("[1]"));
    json_out_double(&j, "d", 0.1);
    json_out_base64(&j, "b", TEXT("hello"));
    json_out_object_end(&j);
    expect(
        "{\"min\":-9223372036854775808,\"max\":18446744073709551615,\"a\":[true,null,{}],\"r\":[1],"
        "\"d\":0.1,\"b\":\"aGVsbG8=\"}");
}

static void indented_output_has_two_spaces_a_level(void **state)
{
    (void)state;
    begin(true);
    json_out_object(&j, NULL);
    json_out_array(&j, "a");
    json_out_u64(&j, NULL, 1);
    json_out_u64(&j, NULL, 2);
    json_out_array_end(&j);
    json_out_object(&j, "o");
    json_out_object_end(&j);
    json_out_object_end(&j);
    expect("{\n  \"a\": [\n    1,\n    2\n  ],\n  \"o\": {}\n}");
}

static const struct time_case {
    int64_t ns;
    const char *json;
} time_cases[] = {
    {0, "\"1970-01-01T00:00:00Z\""},
    {1500000000, "\"1970-01-01T00:00:01.5Z\""},
    {-1, "\"1969-12-31T23:59:59.999999999Z\""},
    {INT64_C(1767225600123456000), "\"2026-01-01T00:00:00.123456Z\""},
    {INT64_MIN, "\"0001-01-01T00:00:00Z\""},
};

static void times_are_rfc_3339_without_trailing_zeros(void **state)
{
    (void)state;
    for (const struct time_case *c = time_cases; c < ARRAY_END(time_cases); c++) {
        begin(false);
        json_out_time(&j, NULL, c->ns);
        expect(c->json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_go_does),
        cmocka_unit_test(objects_and_arrays_get_their_commas),
        cmocka_unit_test(indented_output_has_two_spaces_a_level),
        cmocka_unit_test(times_are_rfc_3339_without_trailing_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
