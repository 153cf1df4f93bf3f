#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base/check.h"
#include "store/base/subject_match.h"

struct pair_case {
    const char *a, *b;
    bool holds;
};

static void
check_pairs(const struct pair_case *rows, size_t count, bool (*f)(struct text, struct text))
{
    for (size_t i = 0; i < count; i++) {
        bool got = f(text_of(rows[i].a), text_of(rows[i].b));
        if (got != rows[i].holds) fail_msg("'%s' against '%s' gave %d", rows[i].a, rows[i].b, got);
    }
}

static void filter_matches_subject_token_by_token(void **state)
{
    (void)state;
    static const struct pair_case rows[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "a.b", false},
        {"a.b", "a", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {">", "a", true},
        {">", "a.b.c", true},
        {"a.>", "a.b", true},
        {"a.>", "a.b.c", true},
        {"a.>", "a", false},
        {"a.>", "b.c", false},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"*.*", "a.b", true},
        {"*.b", "a.b", true},
        {"*.b", "a.c", false},
        {"a.*.>", "a.b", false},
        {"a.*.>", "a.b.c", true},
        {"ab", "a", false},
        {"a", "ab", false},
        {"a.b*", "a.bc", false},
        {"a.b*", "a.b*", true},
        {"a.>.c", "a.b.c", false},
        {"a.>.c", "a.>.c", true},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a.*", "a.*", true},
        {"a.b", "a.*", false},
    };
    check_pairs(rows, ARRAY_COUNT(rows), subject_match);
}

static void only_whole_tokens_are_wildcards(void **state)
{
    (void)state;
    static const struct {
        const char *subject;
        bool literal;
    } rows[] = {
        {"a", true},    {"a.b.c", true}, {"*", false},   {">", false},    {"a.*", false},
        {"a.>", false}, {"a*", true},    {"a.b>", true}, {"a.>.b", true}, {"*.a", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (subject_is_literal(text_of(rows[i].subject)) != rows[i].literal)
            fail_msg("'%s'", rows[i].subject);
}

static void overlap_needs_one_common_subject(void **state)
{
    (void)state;
    static const struct pair_case rows[] = {
        {"a", "a", true},         {"a", "b", false},         {"a.*", "*.b", true},
        {"a.*", "*.b.c", false},  {"a.>", "a", false},       {"a.>", "*", false},
        {"a.>", "*.*", true},     {">", "a.b", true},        {"a.*", "a.>", true},
        {"a.b.>", "a.*", false},  {"a.b.>", "a.>", true},    {"a.b", "a.c", false},
        {"*.x.*", "y.*.z", true}, {"*.x.*", "y.w.>", false},
    };
    check_pairs(rows, ARRAY_COUNT(rows), subject_overlap);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(subject_overlap(text_of(rows[i].b), text_of(rows[i].a)), rows[i].holds);
}

static void subset_means_nothing_of_a_is_outside_b(void **state)
{
    (void)state;
    static const struct pair_case rows[] = {
        {"a", "a", true},      {"a", "*", true},        {"*", "a", false},
        {"a.b", "a.*", true},  {"a.*", "a.*", true},    {"a.*", "a.>", true},
        {"a.>", "a.*", false}, {"a.>", "a.>", true},    {"a.>", ">", true},
        {">", "a.>", false},   {">", ">", true},        {"a", "a.>", false},
        {"*.b", "a.b", false}, {"a.b.>", "a.>", true},  {"*.>", ">", true},
        {">", "*.>", false},   {"a.b.c", "a.*", false},
    };
    check_pairs(rows, ARRAY_COUNT(rows), subject_subset);
}

/* All filters of up to three tokens over a small alphabet against all subjects: the three relations
 * must say what matching says. */
static size_t all_of(const char *const *words, size_t count, char out[][8])
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        out[n][0] = words[i][0];
        out[n++][1] = 0;
        for (size_t j = 0; words[i][0] != '>' && j < count; j++) {
            char two[8] = {words[i][0], '.', words[j][0], 0};
            memcpy(out[n++], two, sizeof two);
            for (size_t k = 0; words[j][0] != '>' && k < count; k++) {
                char three[8] = {words[i][0], '.', words[j][0], '.', words[k][0], 0};
                memcpy(out[n++], three, sizeof three);
            }
        }
    }
    return n;
}

static void relations_agree_with_matching_of_every_subject(void **state)
{
    (void)state;
    static const char *const filter_words[] = {"a", "b", "*", ">"};
    static const char *const subject_words[] = {"a", "b", "c"};
    static char filters[128][8], subjects[128][8];
    size_t filter_count = all_of(filter_words, 4, filters);
    size_t subject_count = all_of(subject_words, 3, subjects);
    for (size_t i = 0; i < filter_count; i++) {
        for (size_t j = 0; j < filter_count; j++) {
            struct text a = text_of(filters[i]), b = text_of(filters[j]);
            bool overlap = false, subset = true;
            for (size_t k = 0; k < subject_count; k++) {
                bool in_a = subject_match(a, text_of(subjects[k]));
                bool in_b = subject_match(b, text_of(subjects[k]));
                if (in_a && in_b) overlap = true;
                if (in_a && !in_b) subset = false;
            }
            if (subject_overlap(a, b) != overlap) fail_msg("overlap '%s' '%s'", a.at, b.at);
            if (!subject_subset(a, b)) continue;
            if (!subset) fail_msg("subset '%s' '%s'", a.at, b.at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_matches_subject_token_by_token),
        cmocka_unit_test(only_whole_tokens_are_wildcards),
        cmocka_unit_test(overlap_needs_one_common_subject),
        cmocka_unit_test(subset_means_nothing_of_a_is_outside_b),
        cmocka_unit_test(relations_agree_with_matching_of_every_subject),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
