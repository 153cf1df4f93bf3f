#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/auth/permissions.h"
#include "store/base/check.h"

/* Lists as words; "q:" before a queue of an entry. */
struct rules {
    const char *allow[4], *deny[4];
};
static struct permissions *rules_made(const struct rules *r, bool publish)
{
    struct permissions *p = permissions_new();
    for (size_t i = 0; i < 4 && r->allow[i] != NULL; i++) {
        assert_true(permissions_add(p, publish ? PERMISSIONS_PUB_ALLOW : PERMISSIONS_SUB_ALLOW,
                                    text_of(r->allow[i])));
    }
    for (size_t i = 0; i < 4 && r->deny[i] != NULL; i++) {
        assert_true(permissions_add(p, publish ? PERMISSIONS_PUB_DENY : PERMISSIONS_SUB_DENY,
                                    text_of(r->deny[i])));
    }
    return p;
}

struct publish_case {
    struct rules rules;
    const char *subject;
    bool allowed;
};
/* clang-format off */
static const struct publish_case publish_cases[] = {
    {{{0}, {0}}, "a", true},
    {{{"a.>"}, {0}}, "a.b", true},
    {{{"a.>"}, {0}}, "a", false},
    {{{"a.>"}, {"a.b"}}, "a.b", false},
    {{{"a.>"}, {"a.b"}}, "a.c", true},
    {{{0}, {"x.*"}}, "x.y", false},
    {{{0}, {"x.*"}}, "x.y.z", true},
    {{{"a", "b"}, {0}}, "b", true},
};

struct subscribe_case {
    struct rules rules;
    const char *subject, *queue;
    bool allowed, filtered;
};
static const struct subscribe_case subscribe_cases[] = {
    {{{0}, {0}}, "a", "", true, false},
    {{{"a.>"}, {0}}, "a.*", "", true, false},
    {{{"a.*"}, {0}}, "a.>", "", false, false}, /* reaches further than what is allowed */
    {{{"a.>"}, {"a.b"}}, "a.b", "", false, false},
    {{{"a.>"}, {"a.b"}}, "a.*", "", true, true}, /* the denied part is held back at delivery */
    {{{"a.>"}, {"a.>"}}, "a.*", "", false, false},
    {{{0}, {"b.>"}}, "a.*", "", true, false},
    {{{0}, {"a.b"}}, ">", "", true, true},
    {{{"a q"}, {0}}, "a", "", false, false},
    {{{"a q"}, {0}}, "a", "q", true, false},
    {{{"a q"}, {0}}, "a", "r", false, false},
    {{{"a q.*"}, {0}}, "a", "q.1", true, false},
    {{{"a", "a q"}, {0}}, "a", "", true, false},
    {{{"a", "a q"}, {0}}, "a", "r", false, false}, /* queues of it are named: another isn't one */
    {{{"a"}, {0}}, "a", "r", true, false},
    {{{0}, {"a q"}}, "a", "q", false, false},
    {{{0}, {"a q"}}, "a", "r", true, false},
    {{{0}, {"a q"}}, "a", "", true, false},
};
/* clang-format on */

static void publishing_follows_allow_and_deny(void **state)
{
    (void)state;
    for (const struct publish_case *c = publish_cases; c < ARRAY_END(publish_cases); c++) {
        struct permissions *p = rules_made(&c->rules, true);
        bool got = permissions_publish(p, text_of(c->subject));
        if (got != c->allowed)
            fail_msg("row %zu: '%s' gave %d", (size_t)(c - publish_cases), c->subject, got);
        permissions_free(p);
    }
    assert_true(permissions_publish(NULL, TEXT("a")));
}

static void subscribing_follows_allow_deny_and_queues(void **state)
{
    (void)state;
    for (const struct subscribe_case *c = subscribe_cases; c < ARRAY_END(subscribe_cases); c++) {
        struct permissions *p = rules_made(&c->rules, false);
        bool filtered,
            got = permissions_subscribe(p, text_of(c->subject), text_of(c->queue), &filtered);
        if (got != c->allowed || (got && filtered != c->filtered))
            fail_msg("row %zu: '%s' gave %d, filtered %d", (size_t)(c - subscribe_cases),
                     c->subject, got, filtered);
        permissions_free(p);
    }
}

static void who_may_only_answer_may_publish_nothing_else(void **state)
{
    (void)state;
    struct permissions *p = permissions_new();
    p->responses = true;
    assert_false(permissions_publish(p, TEXT("a")));
    assert_true(permissions_add(p, PERMISSIONS_PUB_ALLOW, TEXT("a")));
    assert_true(permissions_publish(p, TEXT("a")));
    struct permissions *copy = permissions_copy(p);
    assert_true(copy->responses);
    assert_true(permissions_publish(copy, TEXT("a")));
    assert_false(permissions_publish(copy, TEXT("b")));
    permissions_free(copy);
    permissions_free(p);
}

static void an_empty_allow_list_allows_nothing(void **state)
{
    (void)state;
    struct permissions *p = permissions_new();
    bool filtered;
    permissions_give(p, PERMISSIONS_PUB_ALLOW);
    permissions_give(p, PERMISSIONS_SUB_ALLOW);
    assert_false(permissions_publish(p, TEXT("a")));
    assert_false(permissions_subscribe(p, TEXT("a"), (struct text){0}, &filtered));
    permissions_free(p);
}

static void entries_must_be_subjects(void **state)
{
    (void)state;
    struct permissions *p = permissions_new();
    assert_false(permissions_add(p, PERMISSIONS_PUB_ALLOW, TEXT("a..b")));
    assert_false(permissions_add(p, PERMISSIONS_PUB_ALLOW, TEXT("a q")));
    assert_false(permissions_add(p, PERMISSIONS_SUB_ALLOW, TEXT("a q r")));
    permissions_free(p);
}

static void delivery_holds_back_what_is_denied(void **state)
{
    (void)state;
    struct permissions *p = permissions_new();
    assert_true(permissions_add(p, PERMISSIONS_SUB_DENY, TEXT("a.b.*")));
    assert_false(permissions_deliver(p, TEXT("a.b.c")));
    assert_true(permissions_deliver(p, TEXT("a.b")));
    permissions_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishing_follows_allow_and_deny),
        cmocka_unit_test(subscribing_follows_allow_deny_and_queues),
        cmocka_unit_test(who_may_only_answer_may_publish_nothing_else),
        cmocka_unit_test(an_empty_allow_list_allows_nothing),
        cmocka_unit_test(entries_must_be_subjects),
        cmocka_unit_test(delivery_holds_back_what_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
