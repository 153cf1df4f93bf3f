/* cluster_test.c - two and three nodes over TCP on 127.0.0.1: up, frames, ends, strangers. */
#include "tests/lib/cluster_world.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- coming up ---- */

static void three_nodes_find_each_other_and_ignore_themselves(void **state)
{
    struct world *w = *state;
    world_start_all(w);
    REACH(w, world_all_up);
    world_run(w, world_never, 300 * NS_PER_MS);
    assert_true(world_all_up(w));
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(w->m[i].ups, 2); /* crossed dials don't flap */
        assert_int_equal(w->m[i].downs, 0);
    }
    struct cluster_peer *p = cluster_peer(w->m[0].c, 12);
    assert_non_null(p);
    assert_string_equal(p->name, "n2");
    assert_string_equal(p->client_urls, "n2");
}

static void a_pair_comes_up_whoever_dials(void **state)
{
    struct world *w = *state;
    static const unsigned rows[][2] = {{2, 0}, {0, 1}, {2, 1}, {3, 3}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        world_start_pair(w, rows[i][0], rows[i][1]);
        world_stop(w, 0);
        world_stop(w, 1);
        REACH(w, world_closed);
    }
}

static bool mesh(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        if (world_ups(&w->m[i]) != NODES - 1) return false;
    }
    return true;
}

static void one_seed_makes_a_full_mesh(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < NODES; i++) {
        struct start s = world_plain[i];
        s.routes = i == 0 ? 0 : 1;
        world_start(w, i, &s);
    }
    REACH(w, mesh);
    assert_int_equal(cluster_expected(w->m[1].c), 1); /* what is learned counts nowhere */
    world_stop(w, 0);                                 /* the mesh needs the seed no more */
    world_run(w, world_never, 300 * NS_PER_MS);
    assert_int_equal(world_ups(&w->m[1]), 1);
    assert_int_equal(world_ups(&w->m[2]), 1);
}

static void client_urls_are_told_to_peers(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    cluster_set_client_urls(w->m[0].c, "10.0.0.1:4222");
    world_run(w, world_never, 50 * NS_PER_MS);
    assert_int_equal(w->m[1].infos, 1);
    assert_string_equal(cluster_peer(w->m[1].c, 11)->client_urls, "10.0.0.1:4222");
}

/* ---- frames ---- */

static void send_frame(struct world *w, enum cluster_lane lane, unsigned number, size_t bytes)
{
    struct slice body = slice_alloc(bytes);
    memcpy(body.at, &number, sizeof number);
    for (size_t i = sizeof number; i < bytes; i++)
        body.at[i] = (uint8_t)(number + i);
    struct slice parts[] = {slice_part(body, 0, bytes / 2),
                            slice_part(body, bytes / 2, bytes - bytes / 2)};
    slice_release(&body);
    cluster_send(w->m[0].c, 12, lane, FRAME_ENGINE, parts, 2);
}
static bool frames_there(struct world *w)
{
    return w->m[1].next[0] == 300 && w->m[1].next[1] == 300 && w->m[1].next[2] == 300;
}

static void lanes_arrive_in_order_and_whole(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    for (unsigned i = 0; i < 300; i++) {
        send_frame(w, CLUSTER_DATA, i, i % 50 == 7 ? MIB(1) : 4 + i * 13);
        send_frame(w, CLUSTER_STREAM, i, i % 30 == 7 ? KIB(200) : 4 + i);
        send_frame(w, CLUSTER_CONTROL, i, 4 + i);
    }
    assert_true(cluster_queued(w->m[0].c, 12, CLUSTER_DATA) > MIB(6));
    REACH(w, frames_there);
    assert_false(w->m[1].disorder);
    assert_true(w->m[1].bytes[2] > MIB(6));
    assert_int_equal(cluster_queued(w->m[0].c, 12, CLUSTER_DATA), 0);
}

static bool dropped(struct world *w)
{
    return w->m[0].downs == 1 && w->m[0].ups == 2 && world_pair_up(w);
}

static void a_full_lane_drops_the_links_instead_of_growing(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    struct slice body = slice_alloc(MIB(16));
    memset(body.at, 0, body.bytes);
    for (int i = 0; i < 12; i++) {
        struct slice part = slice_ref(body);
        cluster_send(w->m[0].c, 12, CLUSTER_DATA, FRAME_INTEREST, &part, 1);
        assert_true(cluster_queued(w->m[0].c, 12, CLUSTER_DATA) <= MIB(130));
    }
    assert_int_equal(w->m[0].downs, 0); /* world_never from inside a send */
    slice_release(&body);
    REACH(w, dropped);
    assert_int_equal(w->m[0].deaths, 0);
}

/* ---- ends ---- */

static bool n2_gone(struct world *w)
{
    return w->closing == 0 && w->m[0].deaths >= 1 && w->m[2].deaths >= 1;
}

static void a_stopped_node_is_dead_at_once_and_comes_back(void **state)
{
    struct world *w = *state;
    world_start_all(w);
    REACH(w, world_all_up);
    world_stop(w, 1);
    assert_true(world_run(w, n2_gone, NS_PER_S / 2));
    struct start again = world_plain[1];
    again.boots = 2;
    world_start(w, 1, &again);
    assert_true(world_run(w, world_all_up, 2 * NS_PER_S));
    assert_int_equal(w->m[0].downs, 1);
}

static void an_older_start_of_a_name_is_fenced(void **state)
{
    struct world *w = *state;
    struct start s = world_plain[1];
    s.boots = 5;
    world_start(w, 0, &world_plain[0]);
    world_start(w, 1, &s);
    REACH(w, world_pair_up);
    world_stop(w, 1);
    REACH(w, world_closed);
    s.boots = 4;
    world_start(w, 1, &s);
    assert_false(world_run(w, world_pair_up, 400 * NS_PER_MS));
}

static bool n4_fenced(struct world *w)
{
    return w->m[3].fenced > 0;
}

static void a_second_node_of_a_name_is_kept_out(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    struct start twin = {.name = "n2", .id = 99, .incarnation = 0, .boots = 9, .routes = 3};
    world_start(w, 3, &twin);
    REACH(w, n4_fenced); /* it meets its successor */
    world_run(w, world_never, 300 * NS_PER_MS);
    assert_int_equal(world_ups(&w->m[3]), 0);
    assert_int_equal(w->m[0].downs, 0);
    assert_int_equal(cluster_peer(w->m[0].c, 12)->id, 12);
    assert_null(cluster_peer(w->m[0].c, 99));
}

static void a_copy_of_a_store_is_kept_out_under_any_name(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    const node_id ids[] = {world_plain[0].id, world_plain[1].id}; /* its own to the one it dials */
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct start copy = {.name = "n4", .id = ids[i], .incarnation = 9, .boots = 9, .routes = 1};
        world_start(w, 3, &copy);
        world_run(w, world_never, 300 * NS_PER_MS);
        assert_int_equal(world_ups(&w->m[3]), 0);
        assert_int_equal(w->m[0].downs, 0);
        assert_string_equal(cluster_peer(w->m[0].c, 12)->name, "n2");
        world_stop(w, 3);
        REACH(w, world_closed);
    }
}

static bool renamed_up(struct world *w)
{
    const struct cluster_peer *p = cluster_peer(w->m[0].c, 12);
    return p != NULL && p->up && world_ups(&w->m[0]) == 1;
}

static void a_node_with_a_new_name_is_reached_by_its_id(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    world_stop(w, 1);
    REACH(w, world_closed);
    struct start renamed = {.name = "n9", .id = 12, .incarnation = 1, .boots = 2, .routes = 1};
    world_start(w, 1, &renamed);
    REACH(w, renamed_up);
    assert_string_equal(cluster_peer(w->m[0].c, 12)->name, "n9");
}

static void strangers_stay_out(void **state)
{
    struct world *w = *state;
    static const struct start rows[] = {
        {.name = "n2", .id = 12, .incarnation = 1, .boots = 1, .routes = 1, .password = "wrong"},
        {.name = "n2", .id = 12, .incarnation = 1, .boots = 1, .routes = 1, .cluster = "c2"},
    };
    world_start(w, 0, &world_plain[0]);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        world_start(w, 1, &rows[i]);
        assert_false(world_run(w, world_pair_up, 300 * NS_PER_MS));
        assert_int_equal(world_ups(&w->m[0]), 0);
        world_stop(w, 1);
        REACH(w, world_closed);
    }
}

static int raw_connect(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void a_nats_server_is_told_that_the_protocols_differ(void **state)
{
    struct world *w = *state;
    static const char line[] = "CONNECT {\"verbose\":false}\r\n";
    world_start(w, 0, &world_plain[0]);
    int talks = raw_connect(w->m[0].port), waits = raw_connect(w->m[0].port);
    assert_int_equal(write(talks, line, sizeof line - 1), sizeof line - 1);
    world_run(w, world_never, 100 * NS_PER_MS);
    char text[200] = "";
    assert_true(read(talks, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "-ERR 'this is a Gannet cluster port"));
    world_run(w, world_never, 2400 * NS_PER_MS); /* the other one waits for an INFO */
    memset(text, 0, sizeof text);
    assert_true(read(waits, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "-ERR 'this is a Gannet cluster port"));
    assert_int_equal(read(waits, text, sizeof text), 0);
    close(talks);
    close(waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(three_nodes_find_each_other_and_ignore_themselves),
        WORLD_TEST(a_pair_comes_up_whoever_dials),
        WORLD_TEST(one_seed_makes_a_full_mesh),
        WORLD_TEST(client_urls_are_told_to_peers),
        WORLD_TEST(lanes_arrive_in_order_and_whole),
        WORLD_TEST(a_full_lane_drops_the_links_instead_of_growing),
        WORLD_TEST(a_stopped_node_is_dead_at_once_and_comes_back),
        WORLD_TEST(an_older_start_of_a_name_is_fenced),
        WORLD_TEST(a_second_node_of_a_name_is_kept_out),
        WORLD_TEST(a_copy_of_a_store_is_kept_out_under_any_name),
        WORLD_TEST(a_node_with_a_new_name_is_reached_by_its_id),
        WORLD_TEST(strangers_stay_out),
        WORLD_TEST(a_nats_server_is_told_that_the_protocols_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
