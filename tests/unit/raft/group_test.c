/* group_test.c - groups of one and three on the real environment and disk. */
#include <stdlib.h>
#include <string.h>

#include "raft/rpc.h"
#include "store/base/logger.h"
#include "tests/lib/raft_world.h"

static struct raft_world world;

static int one(void **state)
{
    memset(&world, 0, sizeof world);
    raft_world_open(&world, 1);
    *state = &world;
    return 0;
}
static int three(void **state)
{
    memset(&world, 0, sizeof world);
    raft_world_open(&world, 3);
    *state = &world;
    return 0;
}
static int end(void **state)
{
    raft_world_close(*state);
    return 0;
}

static unsigned acked_all(const struct raft_world *w)
{
    unsigned total = 0;
    for (unsigned k = 1; k <= w->nodes; k++) {
        total += w->n[k].acked;
    }
    return total;
}
static bool acked(struct raft_world *w)
{
    return acked_all(w) >= w->watched;
}
static bool read_all(struct raft_world *w)
{
    unsigned total = 0;
    for (unsigned k = 1; k <= w->nodes; k++) {
        total += w->n[k].reads;
    }
    return total >= w->watched;
}
static void wait_acked(struct raft_world *w, unsigned count)
{
    w->watched = count;
    raft_world_wait(w, acked, "acknowledged");
}
static void propose_many(struct raft_world *w, unsigned id, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        raft_world_propose(w, id, k);
    }
}

/* ---- one node ---- */

static void single_node_leads_and_applies(void **state)
{
    struct raft_world *w = *state;
    raft_world_propose(w, 1, 7); /* before there is a leader */
    wait_acked(w, 1);
    assert_int_equal(w->n[1].last_result, 7);
    assert_true(group_leads(w->n[1].group));
    assert_int_equal(group_leader(w->n[1].group), 1);
    propose_many(w, 1, 1000);
    wait_acked(w, 1001);
    assert_int_equal(w->n[1].toy.count, 1001);
    assert_int_equal(propose_outstanding(w->n[1].group), 0);
}

static void single_node_replays_its_log_in_a_new_term(void **state)
{
    struct raft_world *w = *state;
    propose_many(w, 1, 100);
    wait_acked(w, 100);
    uint64_t digest = w->n[1].toy.digest;
    log_term term = group_term(w->n[1].group);
    raft_world_stop(w, 1);
    raft_world_start(w, 1);
    raft_world_wait(w, raft_world_has_leader, "leads again");
    assert_int_equal(w->n[1].toy.digest, digest);
    assert_true(group_term(w->n[1].group) > term);
    raft_world_propose(w, 1, 1);
    wait_acked(w, 101);
    assert_int_equal(w->n[1].toy.count, 101);
}

static void state_machine_that_refuses_goes_on_when_it_is_ready(void **state)
{
    struct raft_world *w = *state;
    raft_world_wait(w, raft_world_has_leader, "leads");
    w->n[1].toy.refuse = 1;
    raft_world_propose(w, 1, 5);
    raft_world_run(w, 30 * NS_PER_MS);
    assert_int_equal(w->n[1].acked, 0);
    group_sm_ready(w->n[1].group);
    wait_acked(w, 1);
}

static void large_command_has_an_entry_of_its_own(void **state)
{
    struct raft_world *w = *state;
    enum { LARGE = 3 << 20 };
    for (unsigned k = 0; k < 3; k++) {
        struct writer *out = propose_open(w->n[1].group, 8 + LARGE);
        writer_u32(out, 4 + LARGE);
        writer_u32(out, k);
        memset(writer_room(out, LARGE), 'x', LARGE);
        propose_close(w->n[1].group, NULL);
        raft_world_propose(w, 1, k);
    }
    wait_acked(w, 3);
    assert_int_equal(w->n[1].toy.count, 6);
}

static void reads_of_a_single_node_end_without_a_round(void **state)
{
    struct raft_world *w = *state;
    raft_world_read(w, 1);
    w->watched = 1;
    raft_world_wait(w, read_all, "read");
    assert_int_equal(w->n[1].reads_stale, 0);
}

/* The store's state is what a flush made durable. */
static void flush(struct raft_node *n)
{
    struct toy *t = &n->toy;
    t->durable_index = t->index;
    t->durable_term = t->term;
    t->durable_digest = t->digest;
    t->durable_count = t->count;
    memcpy(t->durable_origins, t->origins, sizeof t->origins);
    group_sm_durable(n->group, t->index, t->term);
}

static void log_is_trimmed_below_the_durable_state_and_replayed_from_it(void **state)
{
    struct raft_world *w = *state;
    raft_world_close(w);
    w->log_bytes_max = KIB(64);
    raft_world_open(w, 1);
    unsigned total = 0;
    for (unsigned round = 0; round < 30; round++) {
        propose_many(w, 1, 1000);
        total += 1000;
        wait_acked(w, total);
        flush(&w->n[1]);
        raft_world_propose(w, 1, 0);
        wait_acked(w, ++total);
    }
    assert_true(group_log_first(w->n[1].group) > 1);
    assert_true(group_log_bytes(w->n[1].group) < KIB(64));
    uint64_t digest = w->n[1].toy.digest, count = w->n[1].toy.count;
    raft_world_stop(w, 1);
    raft_world_start(w, 1);
    raft_world_wait(w, raft_world_has_leader, "leads again");
    assert_int_equal(w->n[1].toy.digest, digest);
    assert_int_equal(w->n[1].toy.count, count);
    assert_true(group_facts(w->n[1].group)->config_index >= 1);
    struct group_member m[3];
    assert_int_equal(group_members(w->n[1].group, m, 3), 1);
    assert_string_equal(m[0].name, "n1");
}

static void batches_of_strangers_are_not_proposed(void **state)
{
    struct raft_world *w = *state;
    const node_id stranger = 3; /* this world has one node */
    raft_world_propose(w, 1, 7);
    wait_acked(w, 1);
    struct slice head = rpc_batch_head(group_term(w->n[1].group), 1);
    struct writer message;
    writer_init(&message, 64);
    writer_put(&message, head.at, head.bytes);
    writer_u64(&message, stranger);
    writer_u64(&message, 1); /* incarnation */
    writer_u64(&message, 1); /* number */
    writer_u32(&message, 8);
    writer_u32(&message, 4);
    writer_u32(&message, 8); /* a command as good as any */
    struct slice bytes = writer_take(&message);
    group_recv(w->n[1].group, stranger, LANE_DATA, bytes);
    slice_release(&bytes);
    slice_release(&head);
    raft_world_propose(w, 1, 9);
    wait_acked(w, 2);
    assert_int_equal(w->n[1].toy.count, 2);
}

/* ---- three ---- */

static void three_nodes_elect_one_and_apply_the_same(void **state)
{
    struct raft_world *w = *state;
    raft_world_wait(w, raft_world_has_leader, "a leader");
    for (unsigned k = 1; k <= 3; k++) {
        propose_many(w, k, 500);
    }
    wait_acked(w, 1500);
    raft_world_wait(w, raft_world_all_equal, "equal");
    assert_int_equal(w->n[1].toy.count, 1500);
    assert_false(w->n[1].toy.backwards);
}

static void proposals_wait_for_a_leader(void **state)
{
    struct raft_world *w = *state;
    for (unsigned k = 1; k <= 3; k++) {
        raft_world_propose(w, k, k);
    }
    wait_acked(w, 3);
    assert_int_equal(w->n[1].acked, 1);
    assert_int_equal(w->n[2].acked, 1);
    assert_int_equal(w->n[3].acked, 1);
}

static unsigned other_than(unsigned a)
{
    return a == 1 ? 2 : 1;
}

static void dead_leader_is_replaced_and_nothing_is_lost_or_repeated(void **state)
{
    struct raft_world *w = *state;
    raft_world_wait(w, raft_world_has_leader, "a leader");
    unsigned total = 0;
    for (unsigned round = 0; round < 6; round++) {
        unsigned leader = raft_world_leader(w), other = other_than(leader);
        propose_many(w, other, 200);
        raft_world_run(w, (round % 3) * NS_PER_MS);
        total += 200;
        raft_world_stop(w, leader);
        propose_many(w, other, 50);
        total += 50;
        wait_acked(w, total);
        raft_world_start(w, leader);
        raft_world_wait(w, raft_world_has_leader, "another leader");
    }
    raft_world_wait(w, raft_world_all_equal, "equal");
    assert_int_equal(w->n[1].toy.count, total);
}

static void isolated_leader_is_deposed_and_its_proposals_come_through_once(void **state)
{
    struct raft_world *w = *state;
    raft_world_wait(w, raft_world_has_leader, "a leader");
    unsigned leader = raft_world_leader(w);
    propose_many(w, leader, 10);
    wait_acked(w, 10);
    for (unsigned k = 1; k <= 3; k++) {
        if (k != leader) raft_world_part(w, leader, k, true);
    }
    propose_many(w, leader, 20); /* into a log suffix that never commits */
    raft_world_run(w, 50 * NS_PER_MS);
    assert_int_equal(acked_all(w), 10);
    unsigned other = other_than(leader);
    propose_many(w, other, 30);
    wait_acked(w, 40);
    for (unsigned k = 1; k <= 3; k++) {
        if (k != leader) raft_world_part(w, leader, k, false);
    }
    wait_acked(w, 60);
    raft_world_wait(w, raft_world_all_equal, "equal");
    assert_int_equal(w->n[1].toy.count, 60);
}

static void reads_on_any_node_see_what_was_acknowledged(void **state)
{
    struct raft_world *w = *state;
    unsigned total = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned k = 1; k <= 3; k++) {
            raft_world_propose(w, 1 + round % 3, k);
            raft_world_read(w, k);
        }
        total += 3;
        wait_acked(w, total);
        for (unsigned k = 1; k <= 3; k++) {
            raft_world_read(w, k);
        }
        if (round == 10) raft_world_stop(w, raft_world_leader(w));
        w->watched = 6 * (round + 1);
        if (round == 10) break; /* reads of the node that was stopped never end */
        raft_world_wait(w, read_all, "reads");
    }
    for (unsigned k = 1; k <= 3; k++) {
        assert_int_equal(w->n[k].reads_stale, 0);
    }
}

static void whole_cluster_restarts_with_what_it_acknowledged(void **state)
{
    struct raft_world *w = *state;
    propose_many(w, 2, 300);
    wait_acked(w, 300);
    raft_world_wait(w, raft_world_all_equal, "equal");
    uint64_t digest = w->n[2].toy.digest;
    for (unsigned k = 1; k <= 3; k++) {
        raft_world_stop(w, k);
    }
    for (unsigned k = 1; k <= 3; k++) {
        raft_world_start(w, k);
    }
    raft_world_wait(w, raft_world_has_leader, "a leader");
    raft_world_wait(w, raft_world_all_equal, "equal");
    assert_int_equal(w->n[1].toy.digest, digest);
}

static void handed_over(void *ctx)
{
    struct raft_node *n = ctx;
    n->handed_over = true;
}
static bool anybody_handed_over(struct raft_world *w)
{
    return w->n[1].handed_over || w->n[2].handed_over || w->n[3].handed_over;
}

static void leadership_is_handed_over_without_an_election_timeout(void **state)
{
    struct raft_world *w = *state;
    raft_world_wait(w, raft_world_has_leader, "a leader");
    unsigned leader = raft_world_leader(w);
    propose_many(w, leader, 100);
    raft_world_run(w, 1 * NS_PER_MS);
    group_handover(w->n[leader].group, handed_over, &w->n[leader]);
    raft_world_wait(w, anybody_handed_over, "handed over");
    raft_world_wait(w, raft_world_has_leader, "a new leader");
    assert_int_not_equal(raft_world_leader(w), leader);
    wait_acked(w, 100);
}

static void follower_that_was_away_catches_up_from_disk(void **state)
{
    struct raft_world *w = *state;
    raft_world_close(w);
    w->cache_bytes = KIB(16);
    raft_world_open(w, 3);
    raft_world_wait(w, raft_world_has_leader, "a leader");
    unsigned leader = raft_world_leader(w), away = other_than(leader);
    raft_world_stop(w, away);
    unsigned total = 0;
    for (unsigned round = 0; round < 40; round++) {
        propose_many(w, leader, 300);
        total += 300;
        wait_acked(w, total);
    }
    raft_world_start(w, away);
    raft_world_wait(w, raft_world_all_equal, "caught up");
    assert_int_equal(w->n[away].toy.count, total);
}

static void silent(enum logger_level level, const char *line)
{
    (void)level;
    (void)line;
}

int main(void)
{
    if (getenv("VERBOSE") == NULL) logger_redirect(silent);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(single_node_leads_and_applies, one, end),
        cmocka_unit_test_setup_teardown(single_node_replays_its_log_in_a_new_term, one, end),
        cmocka_unit_test_setup_teardown(state_machine_that_refuses_goes_on_when_it_is_ready, one,
                                        end),
        cmocka_unit_test_setup_teardown(large_command_has_an_entry_of_its_own, one, end),
        cmocka_unit_test_setup_teardown(reads_of_a_single_node_end_without_a_round, one, end),
        cmocka_unit_test_setup_teardown(log_is_trimmed_below_the_durable_state_and_replayed_from_it,
                                        one, end),
        cmocka_unit_test_setup_teardown(three_nodes_elect_one_and_apply_the_same, three, end),
        cmocka_unit_test_setup_teardown(proposals_wait_for_a_leader, three, end),
        cmocka_unit_test_setup_teardown(dead_leader_is_replaced_and_nothing_is_lost_or_repeated,
                                        three, end),
        cmocka_unit_test_setup_teardown(
            isolated_leader_is_deposed_and_its_proposals_come_through_once, three, end),
        cmocka_unit_test_setup_teardown(batches_of_strangers_are_not_proposed, one, end),
        cmocka_unit_test_setup_teardown(reads_on_any_node_see_what_was_acknowledged, three, end),
        cmocka_unit_test_setup_teardown(whole_cluster_restarts_with_what_it_acknowledged, three,
                                        end),
        cmocka_unit_test_setup_teardown(leadership_is_handed_over_without_an_election_timeout,
                                        three, end),
        cmocka_unit_test_setup_teardown(follower_that_was_away_catches_up_from_disk, three, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
