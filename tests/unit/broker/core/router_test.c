#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/router.h"
#include "broker/core/subject.h"
#include "store/base/env.h"

/* An environment with a clock that stands still and a deferred list that the test runs. */
struct still_env {
    struct env base;
    struct list deferred;
    uint64_t random;
};

static uint64_t still_random(struct env *e)
{
    struct still_env *s = CONTAINER_OF(e, struct still_env, base);
    s->random = s->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return s->random >> 11;
}

static void still_defer(struct env *e, struct env_defer *d)
{
    struct still_env *s = CONTAINER_OF(e, struct still_env, base);
    if (!list_linked(&d->node)) list_push_back(&s->deferred, &d->node);
}

static const struct env_ops still_ops = {.random = still_random, .defer = still_defer};

static void still_turn(struct still_env *s)
{
    struct list_node *at;
    while ((at = list_pop_front(&s->deferred)) != NULL) {
        struct env_defer *d = CONTAINER_OF(at, struct env_defer, node);
        d->cb(d);
    }
}

struct relayed {
    node_id peer;
    bool plain;
    size_t count;
    char queues[128];
};
struct fixture {
    struct still_env env;
    struct account account;
    struct router *router;
    struct relayed relayed[16];
    size_t relayed_count;
    char interest[512];
};

static void on_relay(void *ctx,
                     node_id peer,
                     const struct message *m,
                     bool plain,
                     const struct text *queues,
                     size_t count)
{
    (void)m;
    struct fixture *f = ctx;
    struct relayed *r = &f->relayed[f->relayed_count++];
    *r = (struct relayed){.peer = peer, .plain = plain, .count = count};
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(r->queues);
        (void)snprintf(r->queues + at, sizeof r->queues - at, "%.*s,", (int)queues[i].bytes,
                       queues[i].at);
    }
}

static void
on_interest(void *ctx, struct account *a, struct text subject, struct text queue, uint32_t count)
{
    (void)a;
    struct fixture *f = ctx;
    size_t at = strlen(f->interest);
    (void)snprintf(f->interest + at, sizeof f->interest - at, "%.*s/%.*s=%u ", (int)subject.bytes,
                   subject.at, (int)queue.bytes, queue.bytes == 0 ? "" : queue.at, count);
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(sizeof *f);
    f->env.base.ops = &still_ops;
    f->env.random = 7;
    list_init(&f->env.deferred);
    struct router_options o = {
        .env = &f->env.base, .self = 1, .interest = on_interest, .relay = on_relay, .ctx = f};
    f->router = router_new(&o);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    router_free(f->router);
    free(f);
    return 0;
}

struct test_sub {
    struct sub sub;
    char subject[256], queue[32];
    uint64_t got;
    bool refuse;
    void (*hook)(struct test_sub *t);
    struct fixture *f;
    struct test_sub *other;
};

static bool on_deliver(struct sub *s, const struct message *m)
{
    (void)m;
    struct test_sub *t = CONTAINER_OF(s, struct test_sub, sub);
    if (t->refuse) return false;
    t->got++;
    if (t->hook != NULL) t->hook(t);
    return true;
}

static struct test_sub *sub_new(struct fixture *f, const char *subject, const char *queue)
{
    struct test_sub *t = check_alloc(sizeof *t);
    (void)snprintf(t->subject, sizeof t->subject, "%s", subject);
    (void)snprintf(t->queue, sizeof t->queue, "%s", queue);
    t->f = f;
    t->sub = (struct sub){.account = &f->account,
                          .subject = text_of(t->subject),
                          .queue = text_of(t->queue),
                          .deliver = on_deliver};
    router_subscribe(f->router, &t->sub);
    return t;
}

static void sub_free(struct test_sub *t)
{
    router_unsubscribe(t->f->router, &t->sub);
    free(t);
}

static size_t publish(struct fixture *f, const char *subject)
{
    struct message m = {.account = &f->account, .subject = text_of(subject)};
    return router_publish(f->router, &m);
}

/* ---- matching ---- */

/* The rule as a reader would state it, token by token. */
static bool naive_match(const char *filter, const char *subject)
{
    struct text f = text_of(filter), s = text_of(subject), ft, st;
    for (;;) {
        bool more_f = subject_token(&f, &ft), more_s = subject_token(&s, &st);
        if (!more_f || !more_s) return more_f == more_s;
        if (subject_is_rest(ft)) return true;
        if (!subject_is_star(ft) && !text_equal(ft, st)) return false;
    }
}

static void random_subject(struct still_env *e, bool wild, char *out, size_t bytes)
{
    static const char *const words[] = {"a", "b", "c", "*"};
    size_t tokens = 1 + still_random(&e->base) % 4, at = 0;
    for (size_t i = 0; i < tokens; i++) {
        const char *word = words[still_random(&e->base) % (wild ? 4 : 3)];
        if (wild && i + 1 == tokens && still_random(&e->base) % 4 == 0) word = ">";
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", i == 0 ? "" : ".", word);
    }
}

static void the_trie_agrees_with_a_naive_matcher_while_subscriptions_change(void **state)
{
    struct fixture *f = *state;
    struct test_sub *subs[64] = {0};
    for (size_t round = 0; round < 4000; round++) {
        size_t at = still_random(&f->env.base) % ARRAY_COUNT(subs);
        char subject[64];
        if (subs[at] != NULL) {
            sub_free(subs[at]);
            subs[at] = NULL;
        } else {
            random_subject(&f->env, true, subject, sizeof subject);
            subs[at] = sub_new(f, subject, "");
        }
        for (size_t k = 0; k < 3; k++) {
            random_subject(&f->env, false, subject, sizeof subject);
            size_t want = 0;
            for (size_t i = 0; i < ARRAY_COUNT(subs); i++) {
                if (subs[i] != NULL && naive_match(subs[i]->subject, subject)) want++;
            }
            size_t got = publish(f, subject);
            if (got != want)
                fail_msg("'%s': %zu instead of %zu, round %zu", subject, got, want, round);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(subs); i++) {
        if (subs[i] != NULL) sub_free(subs[i]);
    }
    struct router_stats stats;
    router_stats(f->router, &stats);
    assert_int_equal(stats.subs, 0);
    assert_true(stats.cache_hits > 100);
}

static void a_published_wildcard_is_a_literal(void **state)
{
    struct fixture *f = *state;
    struct test_sub *one = sub_new(f, "foo.*", ""), *two = sub_new(f, "foo.>", "");
    struct test_sub *three = sub_new(f, "foo.bar", "");
    assert_int_equal(publish(f, "foo.*"), 2);
    assert_int_equal(publish(f, "foo.bar"), 3);
    sub_free(one);
    sub_free(two);
    sub_free(three);
}

/* ---- queue groups ---- */

static void a_group_gets_one_copy_whatever_subjects_its_members_have(void **state)
{
    struct fixture *f = *state;
    struct test_sub *s[4] = {sub_new(f, "foo.*", "q"), sub_new(f, "foo.bar", "q"),
                             sub_new(f, "foo.>", "q"), sub_new(f, "foo.bar", "other")};
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(publish(f, "foo.bar"), 2);
    assert_int_equal(s[0]->got + s[1]->got + s[2]->got, 3000);
    assert_int_equal(s[3]->got, 3000);
    for (size_t i = 0; i < 3; i++)
        assert_true(s[i]->got > 800 && s[i]->got < 1200);
    for (size_t i = 0; i < 4; i++)
        sub_free(s[i]);
}

static void a_group_tries_another_member_then_a_peer(void **state)
{
    struct fixture *f = *state;
    struct test_sub *a = sub_new(f, "foo", "q"), *b = sub_new(f, "foo", "q");
    router_peer_interest(f->router, 2, &f->account, TEXT("foo"), TEXT("q"), 1);
    a->refuse = true;
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(publish(f, "foo"), 1);
    assert_int_equal(b->got, 20);
    assert_int_equal(f->relayed_count, 0);
    b->refuse = true;
    assert_int_equal(publish(f, "foo"), 1);
    assert_int_equal(f->relayed_count, 1);
    assert_false(f->relayed[0].plain);
    assert_string_equal(f->relayed[0].queues, "q,");
    sub_free(a);
    sub_free(b);
}

static void a_peer_is_told_once_with_all_its_groups(void **state)
{
    struct fixture *f = *state;
    router_peer_interest(f->router, 2, &f->account, TEXT("foo.>"), TEXT("q1"), 1);
    router_peer_interest(f->router, 2, &f->account, TEXT("foo.bar"), TEXT("q2"), 3);
    router_peer_interest(f->router, 2, &f->account, TEXT("foo.*"), (struct text){0}, 1);
    router_peer_interest(f->router, 2, &f->account, TEXT("foo.bar"), (struct text){0}, 1);
    router_peer_interest(f->router, 3, &f->account, TEXT("foo.bar"), TEXT("q3"), 1);
    assert_int_equal(publish(f, "foo.bar"), 2);
    assert_int_equal(f->relayed_count, 2);
    assert_int_equal(f->relayed[0].peer, 2);
    assert_true(f->relayed[0].plain);
    assert_int_equal(f->relayed[0].count, 2);
    assert_int_equal(f->relayed[1].peer, 3);
    assert_false(f->relayed[1].plain);
    router_peer_gone(f->router, 2);
    f->relayed_count = 0;
    assert_int_equal(publish(f, "foo.bar"), 1);
    router_peer_interest(f->router, 3, &f->account, TEXT("foo.bar"), TEXT("q3"), 0);
    assert_int_equal(publish(f, "foo.bar"), 0);
}

static void what_a_peer_relays_skips_internal_subscriptions_and_other_groups(void **state)
{
    struct fixture *f = *state;
    struct test_sub *plain = sub_new(f, "foo", ""), *q1 = sub_new(f, "foo", "q1");
    struct test_sub *q2 = sub_new(f, "foo", "q2"), *stream = sub_new(f, "bar", "");
    router_unsubscribe(f->router, &stream->sub);
    stream->sub.kind = SUB_INTERNAL;
    stream->sub.subject = TEXT("foo");
    router_subscribe(f->router, &stream->sub);
    struct message m = {.account = &f->account, .subject = TEXT("foo")};
    struct text queues[] = {TEXT("q1"), TEXT("gone")};
    router_publish_local(f->router, &m, true, queues, 2);
    assert_int_equal(plain->got, 1);
    assert_int_equal(q1->got, 1);
    assert_int_equal(q2->got, 0);
    assert_int_equal(stream->got, 0);
    router_publish_local(f->router, &m, false, queues, 0);
    assert_int_equal(plain->got, 1);
    sub_free(plain);
    sub_free(q1);
    sub_free(q2);
    sub_free(stream);
}

/* ---- changes from inside a delivery ---- */

static void hook_drop_other(struct test_sub *t)
{
    if (t->other == NULL) return;
    struct test_sub *gone = t->other;
    gone->other = t->other = NULL;
    sub_free(gone);
}

static void a_delivery_may_end_other_subscriptions(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) { /* not kept, kept, from the cache */
        struct test_sub *a = sub_new(f, "foo", ""), *b = sub_new(f, "foo", "");
        for (int i = 0; i < round; i++)
            assert_int_equal(publish(f, "foo"), 2);
        a->hook = b->hook = hook_drop_other;
        a->other = b;
        b->other = a;
        assert_int_equal(publish(f, "foo"), 1);
        assert_int_equal(publish(f, "foo"), 1);
        struct test_sub *left = NULL;
        left = a; /* the first in the trie is delivered to first */
        sub_free(left);
        assert_int_equal(publish(f, "foo"), 0);
    }
}

static void hook_nest(struct test_sub *t)
{
    if (t->got % 8 != 0) (void)publish(t->f, "foo");
}

static void a_delivery_may_publish_to_the_same_subject(void **state)
{
    struct fixture *f = *state;
    struct test_sub *a = sub_new(f, "foo", "");
    a->hook = hook_nest;
    for (int i = 0; i < 3; i++)
        (void)publish(f, "foo");
    assert_int_equal(a->got, 24);
    sub_free(a);
}

/* ---- interest ---- */

static void interest_is_told_as_it_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    struct test_sub *a = sub_new(f, "x", ""), *b = sub_new(f, "x", "");
    struct test_sub *c = sub_new(f, "x", "q"), *d = sub_new(f, "x", "q");
    assert_string_equal(f->interest, "x/=1 x/q=1 x/q=2 ");
    f->interest[0] = '\0';
    sub_free(a);
    sub_free(c);
    sub_free(b);
    sub_free(d);
    assert_string_equal(f->interest, "x/q=1 x/=0 x/q=0 ");
}

static void count_changed(struct router_watch *w);
static int changes;
static void count_changed(struct router_watch *w)
{
    (void)w;
    changes++;
}

static void watches_of_one_subject_are_all_called(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sub;
        int changes;
    } rows[] = {{"in.1", 2}, {"in.2", 1}, {"in.*", 3}, {">", 3}, {"in", 0}, {"in.3", 0}};
    struct router_watch w[3];
    for (size_t i = 0; i < ARRAY_COUNT(w); i++) {
        w[i] = (struct router_watch){.account = &f->account,
                                     .subject = i == 2 ? TEXT("in.2") : TEXT("in.1"),
                                     .changed = count_changed};
        router_watch(f->router, &w[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        changes = 0;
        struct test_sub *s = sub_new(f, rows[i].sub, "");
        still_turn(&f->env);
        assert_int_equal(changes, rows[i].changes);
        sub_free(s);
        still_turn(&f->env);
        assert_int_equal(changes, 2 * rows[i].changes);
    }
    changes = 0;
    router_unwatch(f->router, &w[0]);
    struct test_sub *s = sub_new(f, "in.1", "");
    still_turn(&f->env);
    assert_int_equal(changes, 1);
    sub_free(s);
    router_unwatch(f->router, &w[1]);
    router_unwatch(f->router, &w[2]);
    still_turn(&f->env);
    assert_int_equal(changes, 1);
}

static void a_watch_is_called_once_a_turn(void **state)
{
    struct fixture *f = *state;
    struct router_watch w = {
        .account = &f->account, .subject = TEXT("inbox.1"), .changed = count_changed};
    router_watch(f->router, &w);
    changes = 0;
    struct test_sub *a = sub_new(f, "inbox.*", ""), *b = sub_new(f, "inbox.1", "");
    struct test_sub *c = sub_new(f, "other", "");
    assert_int_equal(changes, 0);
    still_turn(&f->env);
    assert_int_equal(changes, 1);
    struct router_node nodes[4];
    router_peer_interest(f->router, 5, &f->account, TEXT("inbox.1"), (struct text){0}, 1);
    assert_int_equal(
        router_interest(f->router, &f->account, TEXT("inbox.1"), (struct text){0}, nodes, 4), 2);
    assert_int_equal(nodes[0].node, 1);
    assert_int_equal(nodes[0].members, 2);
    assert_int_equal(nodes[1].node, 5);
    still_turn(&f->env);
    assert_int_equal(changes, 2);
    router_peer_gone(f->router, 5);
    router_unwatch(f->router, &w);
    still_turn(&f->env);
    assert_int_equal(changes, 2);
    sub_free(a);
    sub_free(b);
    sub_free(c);
}

/* ---- subjects ---- */

struct valid_case {
    const char *subject;
    bool valid, literal;
};
static const struct valid_case valid_cases[] = {
    {"a", true, true},      {"a.b", true, true},    {"a.*", true, false},
    {"a.>", true, false},   {">", true, false},     {"*", true, false},
    {"foo*", true, true},   {"a.>b", true, true},   {"a.>.b", false, false},
    {"", false, false},     {".", false, false},    {"a.", false, false},
    {".a", false, false},   {"a..b", false, false}, {"a b", false, false},
    {"a\tb", false, false}, {"a\fb", false, false}, {"\xc3\xa4", true, true},
};

static void subjects_are_valid_by_the_rules(void **state)
{
    (void)state;
    for (const struct valid_case *c = valid_cases; c < ARRAY_END(valid_cases); c++) {
        if (subject_valid(text_of(c->subject)) != c->valid) fail_msg("valid '%s'", c->subject);
        if (subject_valid_literal(text_of(c->subject)) != c->literal)
            fail_msg("literal '%s'", c->subject);
    }
    assert_int_equal(subject_token_count(TEXT("a.b.c")), 3);
    assert_true(text_equal(subject_token_at(TEXT("a.b.c"), 1), TEXT("b")));
    assert_int_equal(subject_token_at(TEXT("a.b.c"), 3).bytes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_trie_agrees_with_a_naive_matcher_while_subscriptions_change),
        TEST(a_published_wildcard_is_a_literal),
        TEST(a_group_gets_one_copy_whatever_subjects_its_members_have),
        TEST(a_group_tries_another_member_then_a_peer),
        TEST(a_peer_is_told_once_with_all_its_groups),
        TEST(what_a_peer_relays_skips_internal_subscriptions_and_other_groups),
        TEST(a_delivery_may_end_other_subscriptions),
        TEST(a_delivery_may_publish_to_the_same_subject),
        TEST(interest_is_told_as_it_comes_and_goes),
        TEST(watches_of_one_subject_are_all_called),
        TEST(a_watch_is_called_once_a_turn),
        TEST(subjects_are_valid_by_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
