/* json_in_test.c - JSON into a struct by a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/json_in.h"

struct part {
    struct text name;
    int64_t weight;
};
struct whole {
    struct text name, raw, bytes;
    bool flag;
    int64_t number, when;
    uint64_t large, has;
    double ratio;
    struct json_in_list names, numbers, pairs, parts;
    struct part *part;
};

enum { HAS_NAME = 1, HAS_FLAG = 2, HAS_PART = 4 };

static const struct json_in_field part_fields[] = {
    {"name", JSON_IN_TEXT, offsetof(struct part, name), 0, NULL},
    {"weight", JSON_IN_I64, offsetof(struct part, weight), 0, NULL},
};
static const struct json_in_table part_table = {"Part", part_fields, ARRAY_COUNT(part_fields),
                                                sizeof(struct part), JSON_IN_NO_HAS};
static const struct json_in_field whole_fields[] = {
    {"name", JSON_IN_TEXT, offsetof(struct whole, name), HAS_NAME, NULL},
    {"flag", JSON_IN_BOOL, offsetof(struct whole, flag), HAS_FLAG, NULL},
    {"number", JSON_IN_I64, offsetof(struct whole, number), 0, NULL},
    {"large", JSON_IN_U64, offsetof(struct whole, large), 0, NULL},
    {"ratio", JSON_IN_DOUBLE, offsetof(struct whole, ratio), 0, NULL},
    {"when", JSON_IN_TIME, offsetof(struct whole, when), 0, NULL},
    {"raw", JSON_IN_RAW, offsetof(struct whole, raw), 0, NULL},
    {"bytes", JSON_IN_BASE64, offsetof(struct whole, bytes), 0, NULL},
    {"names", JSON_IN_TEXTS, offsetof(struct whole, names), 0, NULL},
    {"numbers", JSON_IN_I64S, offsetof(struct whole, numbers), 0, NULL},
    {"pairs", JSON_IN_PAIRS, offsetof(struct whole, pairs), 0, NULL},
    {"part", JSON_IN_OBJECT, offsetof(struct whole, part), HAS_PART, &part_table},
    {"parts", JSON_IN_OBJECTS, offsetof(struct whole, parts), 0, &part_table},
};
static const struct json_in_table whole_table = {"Whole", whole_fields, ARRAY_COUNT(whole_fields),
                                                 sizeof(struct whole), offsetof(struct whole, has)};

static struct arena arena;
static struct whole out;
static struct json_in_result result;

static int decode(const char *json)
{
    arena_free(&arena);
    memset(&out, 0, sizeof out);
    return json_in_decode(&arena, text_of(json), &whole_table, &out, &result);
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void every_kind_arrives_in_its_member(void **state)
{
    (void)state;
    assert_int_equal(
        decode(
            "{\"name\":\"n\",\"Flag\":true,\"number\":-5,\"large\":7,\"ratio\":0.5,"
            "\"when\":\"2026-01-01T01:00:00.5+01:00\",\"raw\":{\"b\": [1, "
            "2]},\"bytes\":\"aGVsbG8=\","
            "\"names\":[\"a\",\"b\"],\"numbers\":[1,2,3],\"pairs\":{\"z\":\"1\",\"a\":\"2\"},"
            "\"part\":{\"name\":\"p\",\"weight\":3},\"parts\":[{\"name\":\"x\"},{\"weight\":9}]}"),
        0);
    assert_string_equal(out.name.at, "n");
    assert_true(out.flag);
    assert_int_equal(out.number, -5);
    assert_int_equal(out.large, 7);
    assert_true(out.ratio > 0.49 && out.ratio < 0.51);
    assert_int_equal(out.when, INT64_C(1767225600500000000));
    assert_string_equal(out.raw.at, "{\"b\":[1,2]}");
    assert_string_equal(out.bytes.at, "hello");
    assert_int_equal(out.names.count, 2);
    assert_string_equal(((struct text *)out.names.at)[1].at, "b");
    assert_int_equal(((int64_t *)out.numbers.at)[2], 3);
    assert_string_equal(((struct json_in_pair *)out.pairs.at)[0].key.at, "a");
    assert_int_equal(out.part->weight, 3);
    assert_int_equal(((struct part *)out.parts.at)[1].weight, 9);
    assert_int_equal(out.has, HAS_NAME | HAS_FLAG | HAS_PART);
    assert_null(result.unknown);
}

static const struct bad_case {
    const char *json, *error;
} bad_cases[] = {
    {"{\"name\":1}",
     "json: cannot unmarshal number into Go struct field Whole.name of type string"},
    {"{\"number\":\"1\"}",
     "json: cannot unmarshal string into Go struct field Whole.number of type int64"},
    {"{\"number\":1.5}",
     "json: cannot unmarshal number into Go struct field Whole.number of type int64"},
    {"{\"large\":-1}",
     "json: cannot unmarshal number into Go struct field Whole.large of type uint64"},
    {"{\"names\":[1]}",
     "json: cannot unmarshal array into Go struct field Whole.names of type []string"},
    {"{\"part\":{\"weight\":true}}",
     "json: cannot unmarshal bool into Go struct field Part.weight of type int64"},
    {"{\"when\":\"2026-02-30T00:00:00Z\"}",
     "json: cannot unmarshal string into Go struct field Whole.when of type time.Time"},
    {"[]", "json: cannot unmarshal array into Go value of type server.Whole"},
    {"{\"name\":", NULL},
    {"{} x", NULL},
    {"", NULL},
};

static void wrong_types_and_broken_json_are_errors_with_a_text(void **state)
{
    (void)state;
    for (const struct bad_case *c = bad_cases; c < ARRAY_END(bad_cases); c++) {
        assert_int_equal(decode(c->json), E_MALFORMED);
        assert_non_null(result.error);
        if (c->error != NULL) assert_string_equal(result.error, c->error);
    }
}

static void unknown_fields_are_reported_by_name(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"name\":\"n\",\"part\":{\"wieght\":1}}"), 0);
    assert_string_equal(result.unknown, "wieght");
    assert_string_equal(out.name.at, "n");
}

static void null_leaves_a_member_alone(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"name\":null,\"part\":null}"), 0);
    assert_int_equal(out.has, 0);
    assert_null(out.part);
}

static void integers_beyond_int64_reach_a_u64(void **state)
{
    (void)state;
    assert_int_equal(decode("{\"large\":18446744073709551615,\"number\":12}"), 0);
    assert_true(out.large == UINT64_MAX);
    assert_int_equal(out.number, 12);
    assert_int_equal(decode("{\"number\":18446744073709551615}"), E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_arrives_in_its_member),
        cmocka_unit_test(wrong_types_and_broken_json_are_errors_with_a_text),
        cmocka_unit_test(unknown_fields_are_reported_by_name),
        cmocka_unit_test(null_leaves_a_member_alone),
        cmocka_unit_test(integers_beyond_int64_reach_a_u64),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
