/* Subjects are mapped as destinations say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/state/transform.h"

static void subjects_are_mapped(void **state)
{
    static const struct {
        const char *src, *dest, *subject, *mapped;
    } rows[] = {
        /* clang-format off */
        {"foo.*.>", "bar.$1.>",                             "foo.a.b.c",      "bar.a.b.c"},
        {"",        "bar.>",                                "x.y",            "bar.x.y"},
        {">",       "baz.>",                                "x",              "baz.x"},
        {"a.b",     "c.d.e",                                "a.b",            "c.d.e"},
        {"a.b",     "c",                                    "a.c",            ""},
        {"*.*",     "{{wildcard(2)}}.{{Wildcard(1)}}",      "a.b",            "b.a"},
        {"*.*",     "$2.$1",                                "a.b",            "b.a"},
        {"*",       "{{split(1,-)}}",                       "a-b--c-",        "a.b.c"},
        {"*",       "x.{{SplitFromLeft(1,3)}}",             "12345",          "x.123.45"},
        {"*",       "{{splitfromleft(1, 9)}}",              "12345",          "12345"},
        {"*",       "{{splitFromRight(1,3)}}",              "12345",          "12.345"},
        {"*",       "{{slicefromleft(1,3)}}",               "1234567890",     "123.456.789.0"},
        {"*",       "{{slicefromright(1,3)}}",              "1234567890",     "1.234.567.890"},
        {"*",       "{{slicefromleft(1,3)}}",               "123",            "123"},
        {"*",       "{{left(1,2)}}.{{right(1,2)}}",         "12345",          "12.45"},
        {"*",       "{{right(1,9)}}",                       "12345",          "12345"},
        {"*",       "p.{{partition(1)}}.$1",                "anything",       "p.0.anything"},
        {"*.*",     "$1.{{partition(10,1,2)}}",             "foo.bar",        "foo.0"},
        {"*.*",     "$1.{{partition(10)}}",                 "foo.bar",        "foo.0"},
        {"*.*",     "$1.{{partition(10,1,2)}}",             "baz.qux",        "baz.6"},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct transform *t;
        const char *why;
        bool in_source;
        char room[64];
        if (transform_new(text_of(rows[i].src), text_of(rows[i].dest), &t, &why, &in_source) != 0)
            fail_msg("%s -> %s: %s", rows[i].src, rows[i].dest, why);
        struct text got = transform_map(t, text_of(rows[i].subject), room, sizeof room);
        if (!text_equal(got, text_of(rows[i].mapped)))
            fail_msg("%s: %s -> %.*s, not %s", rows[i].dest, rows[i].subject, (int)got.bytes, room,
                     rows[i].mapped);
        transform_free(t);
    }
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *src, *dest;
        bool in_source;
    } rows[] = {
        {"foo..bar", "x", true},
        {"foo.>.bar", "x", true},
        {"foo.*", "bar.$2", false},
        {"foo.*", "bar.*", false},
        {"foo.>", "bar", false},
        {"foo", "bar.>", false},
        {"foo.*", "bar..$1", false},
        {"foo.*", "bar.{{nothing(1)}}", false},
        {"foo.*", "bar.{{wildcard(1,2)}}", false},
        {"foo.*", "bar.{{split(1)}}", false},
        {"foo.*", "bar.{{split(1,.)}}", false},
        {"foo.*", "bar.{{partition(0,1)}}", false},
        {"foo.*", "bar.{{partition(4,3)}}", false},
        {"foo.*", "bar.{{left(1,x)}}", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct transform *t;
        const char *why;
        bool in_source;
        if (transform_new(text_of(rows[i].src), text_of(rows[i].dest), &t, &why, &in_source) == 0)
            fail_msg("%s -> %s was taken", rows[i].src, rows[i].dest);
        if (in_source != rows[i].in_source) fail_msg("%s -> %s", rows[i].src, rows[i].dest);
    }
}

static void what_does_not_fit_is_not_mapped(void **state)
{
    struct transform *t;
    const char *why;
    bool in_source;
    char room[8];
    (void)state;
    assert_int_equal(transform_new(TEXT(""), TEXT("long.>"), &t, &why, &in_source), 0);
    assert_int_equal(transform_map(t, TEXT("abc"), room, sizeof room).bytes, 8);
    assert_int_equal(transform_map(t, TEXT("abcd"), room, sizeof room).bytes, 0);
    transform_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subjects_are_mapped),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(what_does_not_fit_is_not_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
