/* bootstrap_test.c - the first configuration, between nodes over TCP on 127.0.0.1. */
#include "tests/lib/cluster_world.h"

/* ---- bootstrap ---- */

static void on_agreed(void *ctx, const node_id *ids, const char *const *names, size_t count)
{
    struct member *m = ctx;
    m->agreed++;
    m->agreed_count = count;
    for (size_t i = 0; i < count; i++) {
        m->agreed_ids[i] = ids[i];
        if (i > 0) assert_true(strcmp(names[i - 1], names[i]) < 0);
    }
}
static void on_joining(void *ctx, const struct cluster_peer *member)
{
    (void)member;
    ((struct member *)ctx)->joining++;
}
static void form(struct world *w, int at, bool empty)
{
    const struct cluster_bootstrap_options o = {.cluster = w->m[at].c,
                                                .empty = empty,
                                                .agreed = on_agreed,
                                                .joining = on_joining,
                                                .ctx = &w->m[at]};
    cluster_bootstrap(&o);
}
static bool all_agreed(struct world *w)
{
    return w->m[0].agreed + w->m[1].agreed + w->m[2].agreed == NODES;
}

static void empty_nodes_agree_on_one_list(void **state)
{
    struct world *w = *state;
    world_start_all(w);
    for (int i = 0; i < NODES; i++)
        form(w, i, true);
    REACH(w, all_agreed);
    world_run(w, world_never, 200 * NS_PER_MS);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(w->m[i].agreed, 1);
        assert_int_equal(w->m[i].agreed_count, NODES);
        for (size_t k = 0; k < NODES; k++)
            assert_int_equal(w->m[i].agreed_ids[k], 11 + k);
    }
}

static void nothing_is_formed_while_one_is_missing(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < NODES - 1; i++) {
        world_start(w, i, &world_plain[i]);
        form(w, i, true);
    }
    world_run(w, world_never, 500 * NS_PER_MS);
    assert_int_equal(w->m[0].agreed + w->m[1].agreed, 0);
    world_start(w, 2, &world_plain[2]);
    form(w, 2, true);
    REACH(w, all_agreed);
}

static bool one_joins(struct world *w)
{
    return w->m[0].joining == 1;
}

static void an_emptied_node_forms_nothing_beside_a_cluster(void **state)
{
    struct world *w = *state;
    world_start_all(w);
    form(w, 0, true);
    form(w, 1, false);
    form(w, 2, false);
    REACH(w, one_joins);
    REACH(w, world_all_up);
    world_run(w, world_never, 300 * NS_PER_MS);
    assert_int_equal(w->m[0].agreed + w->m[1].agreed + w->m[2].agreed, 0);
}

static bool late_agreed(struct world *w)
{
    return w->m[1].agreed == 1;
}

/* n2 stops listening to the agreement just before it comes, and asks again. */
static void who_missed_the_commit_is_told_again(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    form(w, 0, true);
    form(w, 1, true);
    REACH(w, late_agreed);
    world_stop(w, 1);
    REACH(w, world_closed);
    struct start again = world_plain[1];
    again.boots = 2;
    again.routes = 1;
    w->m[1].agreed = 0;
    world_start(w, 1, &again); /* the same disk, still empty: it crashed before it wrote */
    form(w, 1, true);
    REACH(w, late_agreed);
    assert_int_equal(w->m[1].agreed_count, 2);
}

static bool alone_agreed(struct world *w)
{
    return w->m[0].agreed == 1;
}

static void a_node_whose_only_route_is_itself_agrees_alone(void **state)
{
    struct world *w = *state;
    for (unsigned routes = 0; routes < 2; routes++) {
        struct start s = world_plain[0];
        s.routes = routes;
        w->m[0].agreed = 0;
        world_start(w, 0, &s);
        form(w, 0, true);
        assert_int_equal(w->m[0].agreed, 0); /* later */
        assert_true(world_run(w, alone_agreed, NS_PER_S));
        assert_int_equal(w->m[0].agreed_count, 1);
        world_stop(w, 0);
        REACH(w, world_closed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(empty_nodes_agree_on_one_list),
        WORLD_TEST(nothing_is_formed_while_one_is_missing),
        WORLD_TEST(an_emptied_node_forms_nothing_beside_a_cluster),
        WORLD_TEST(who_missed_the_commit_is_told_again),
        WORLD_TEST(a_node_whose_only_route_is_itself_agrees_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
