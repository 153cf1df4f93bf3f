/* cluster_test.c - two and three nodes in one process, over TCP on 127.0.0.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "cluster/interest.h"
#include "cluster/relay.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define NODES 3
#define DEADLINE_NS (8 * NS_PER_S)

struct member {
    struct world *w;
    struct cluster *c;
    char name[8];
    int port, ups, downs, deaths, infos, fenced;
    /* frames */
    unsigned next[3];
    size_t bytes[3];
    bool disorder;
    /* bootstrap */
    int agreed, joining;
    size_t agreed_count;
    node_id agreed_ids[LIMIT_VOTERS];
    /* interest, relay */
    struct interest *interest;
    int rows, forgotten, messages;
    char last_row[64];
    uint32_t last_count;
    char message[256];
};
struct world {
    struct env *env;
    struct net *net;
    struct member m[NODES + 1];
    struct env_timer poll;
    uint64_t end_ns;
    bool (*until)(struct world *);
    bool reached;
    int closing;
};

static void no_log(enum logger_level level, const char *line)
{
    (void)level;
    if (getenv("TEST_LOG") != NULL) fprintf(stderr, "%s\n", line);
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &bytes), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void on_up(void *ctx, struct cluster_peer *p)
{
    struct member *m = ctx;
    assert_true(p->up);
    memset(m->next, 0, sizeof m->next);
    m->ups++;
}
static void on_down(void *ctx, struct cluster_peer *p, bool dead)
{
    struct member *m = ctx;
    assert_false(p->up);
    m->downs++;
    m->deaths += dead;
}
static void on_info(void *ctx, struct cluster_peer *p)
{
    (void)p;
    ((struct member *)ctx)->infos++;
}
static void on_fenced(void *ctx)
{
    ((struct member *)ctx)->fenced++;
}
/* Frames carry their number in the lane. */
static void
on_frame(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    struct member *m = ctx;
    unsigned number = 0;
    (void)from;
    memcpy(&number, body.at, sizeof number);
    if (number != m->next[lane]++) m->disorder = true;
    for (size_t i = sizeof number; i < body.bytes; i++) {
        if (body.at[i] != (uint8_t)(number + i)) m->disorder = true;
    }
    m->bytes[lane] += body.bytes;
}

struct start {
    const char *name, *cluster, *password;
    node_id id;
    uint64_t incarnation, boots;
    unsigned routes; /* bits: members dialled */
};

static void start(struct world *w, int at, const struct start *s)
{
    struct member *m = &w->m[at];
    struct cluster_route routes[NODES + 1];
    size_t count = 0;
    for (int i = 0; i <= NODES; i++) {
        if ((s->routes & (1u << i)) == 0) continue;
        snprintf(routes[count].host, sizeof routes[count].host, "127.0.0.1");
        routes[count++].port = w->m[i].port;
    }
    const struct cluster_options o = {
        .env = w->env,
        .net = w->net,
        .cluster_name = s->cluster == NULL ? "c1" : s->cluster,
        .node_name = s->name,
        .id = s->id,
        .incarnation = s->incarnation,
        .boots = s->boots,
        .host = "127.0.0.1",
        .port = m->port,
        .routes = routes,
        .route_count = count,
        .user = "u",
        .password = s->password == NULL ? "p" : s->password,
        .client_urls = s->name,
        .on_peer_up = on_up,
        .on_peer_down = on_down,
        .on_peer_info = on_info,
        .on_fenced = on_fenced,
        .ctx = m,
    };
    m->w = w;
    snprintf(m->name, sizeof m->name, "%s", s->name);
    assert_int_equal(cluster_open(&o, &m->c), 0);
    cluster_on(m->c, FRAME_ENGINE, on_frame, m);
}

static const struct start plain_start[NODES] = {
    {.name = "n1", .id = 11, .incarnation = 1, .boots = 1, .routes = 7},
    {.name = "n2", .id = 12, .incarnation = 1, .boots = 1, .routes = 7},
    {.name = "n3", .id = 13, .incarnation = 1, .boots = 1, .routes = 7},
};

static void poll_due(struct env_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, poll);
    w->reached = w->until(w);
    if (w->reached || env_mono(w->env).ns > w->end_ns)
        env_uv_stop(w->env);
    else
        env_timer_start(t, 2 * NS_PER_MS);
}

static bool run_until(struct world *w, bool (*until)(struct world *), uint64_t limit_ns)
{
    w->until = until;
    w->end_ns = env_mono(w->env).ns + limit_ns;
    env_timer_start(&w->poll, NS_PER_MS);
    env_uv_run(w->env);
    return w->reached;
}
#define REACH(w, until) assert_true(run_until(w, until, DEADLINE_NS))

static bool never(struct world *w)
{
    (void)w;
    return false;
}

static void closed(void *ctx)
{
    ((struct world *)ctx)->closing--;
}
static bool all_closed(struct world *w)
{
    return w->closing == 0;
}
static void stop(struct world *w, int at)
{
    interest_free(w->m[at].interest);
    w->m[at].interest = NULL;
    w->closing++;
    cluster_close(w->m[at].c, closed, w);
    w->m[at].c = NULL;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    logger_redirect(no_log);
    w->env = env_uv_new();
    w->net = net_uv_new(w->env);
    env_timer_init(w->env, &w->poll, poll_due);
    for (int i = 0; i <= NODES; i++)
        w->m[i].port = free_port();
    *state = w;
    return 0;
}
static int teardown(void **state)
{
    struct world *w = *state;
    for (int i = 0; i <= NODES; i++) {
        if (w->m[i].c != NULL) stop(w, i);
    }
    assert_true(run_until(w, all_closed, DEADLINE_NS));
    net_uv_free(w->net);
    env_uv_free(w->env);
    free(w);
    return 0;
}

static size_t up_count(const struct member *m)
{
    size_t count = 0;
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(m->c, p)) != NULL)
        count += p->up;
    return count;
}
static bool all_up(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        if (up_count(&w->m[i]) != NODES - 1 || cluster_expected(w->m[i].c) != NODES - 1)
            return false;
    }
    return true;
}
static bool pair_up(struct world *w)
{
    return up_count(&w->m[0]) == 1 && up_count(&w->m[1]) == 1;
}

static void start_all(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        start(w, i, &plain_start[i]);
}

/* n1 and n2, one of them dialling. */
static void start_pair(struct world *w, unsigned routes0, unsigned routes1)
{
    struct start s[2] = {plain_start[0], plain_start[1]};
    s[0].routes = routes0;
    s[1].routes = routes1;
    start(w, 0, &s[0]);
    start(w, 1, &s[1]);
    REACH(w, pair_up);
}

/* ---- coming up ---- */

static void three_nodes_find_each_other_and_ignore_themselves(void **state)
{
    struct world *w = *state;
    start_all(w);
    REACH(w, all_up);
    run_until(w, never, 300 * NS_PER_MS);
    assert_true(all_up(w));
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
        start_pair(w, rows[i][0], rows[i][1]);
        stop(w, 0);
        stop(w, 1);
        REACH(w, all_closed);
    }
}

static void client_urls_are_told_to_peers(void **state)
{
    struct world *w = *state;
    start_pair(w, 2, 1);
    cluster_set_client_urls(w->m[0].c, "10.0.0.1:4222");
    run_until(w, never, 50 * NS_PER_MS);
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
    start_pair(w, 2, 1);
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
    return w->m[0].downs == 1 && w->m[0].ups == 2 && pair_up(w);
}

static void a_full_lane_drops_the_links_instead_of_growing(void **state)
{
    struct world *w = *state;
    start_pair(w, 2, 1);
    struct slice body = slice_alloc(MIB(16));
    memset(body.at, 0, body.bytes);
    for (int i = 0; i < 12; i++) {
        struct slice part = slice_ref(body);
        cluster_send(w->m[0].c, 12, CLUSTER_DATA, FRAME_INTEREST, &part, 1);
        assert_true(cluster_queued(w->m[0].c, 12, CLUSTER_DATA) <= MIB(130));
    }
    assert_int_equal(w->m[0].downs, 0); /* never from inside a send */
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
    start_all(w);
    REACH(w, all_up);
    stop(w, 1);
    assert_true(run_until(w, n2_gone, NS_PER_S / 2));
    struct start again = plain_start[1];
    again.boots = 2;
    start(w, 1, &again);
    assert_true(run_until(w, all_up, 2 * NS_PER_S));
    assert_int_equal(w->m[0].downs, 1);
}

static void an_older_start_of_a_name_is_fenced(void **state)
{
    struct world *w = *state;
    struct start s = plain_start[1];
    s.boots = 5;
    start(w, 0, &plain_start[0]);
    start(w, 1, &s);
    REACH(w, pair_up);
    stop(w, 1);
    REACH(w, all_closed);
    s.boots = 4;
    start(w, 1, &s);
    assert_false(run_until(w, pair_up, 400 * NS_PER_MS));
}

static bool n4_fenced(struct world *w)
{
    return w->m[3].fenced > 0;
}

static void a_second_node_of_a_name_is_kept_out(void **state)
{
    struct world *w = *state;
    start_pair(w, 2, 1);
    struct start twin = {.name = "n2", .id = 99, .incarnation = 0, .boots = 9, .routes = 3};
    start(w, 3, &twin);
    REACH(w, n4_fenced); /* it meets its successor */
    run_until(w, never, 300 * NS_PER_MS);
    assert_int_equal(up_count(&w->m[3]), 0);
    assert_int_equal(w->m[0].downs, 0);
    assert_int_equal(cluster_peer(w->m[0].c, 12)->id, 12);
    assert_null(cluster_peer(w->m[0].c, 99));
}

static void strangers_stay_out(void **state)
{
    struct world *w = *state;
    static const struct start rows[] = {
        {.name = "n2", .id = 12, .incarnation = 1, .boots = 1, .routes = 1, .password = "wrong"},
        {.name = "n2", .id = 12, .incarnation = 1, .boots = 1, .routes = 1, .cluster = "c2"},
    };
    start(w, 0, &plain_start[0]);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        start(w, 1, &rows[i]);
        assert_false(run_until(w, pair_up, 300 * NS_PER_MS));
        assert_int_equal(up_count(&w->m[0]), 0);
        stop(w, 1);
        REACH(w, all_closed);
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
    start(w, 0, &plain_start[0]);
    int talks = raw_connect(w->m[0].port), waits = raw_connect(w->m[0].port);
    assert_int_equal(write(talks, line, sizeof line - 1), sizeof line - 1);
    run_until(w, never, 100 * NS_PER_MS);
    char text[200] = "";
    assert_true(read(talks, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "-ERR 'this is a Gannet cluster port"));
    run_until(w, never, 2400 * NS_PER_MS); /* the other one waits for an INFO */
    memset(text, 0, sizeof text);
    assert_true(read(waits, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "-ERR 'this is a Gannet cluster port"));
    assert_int_equal(read(waits, text, sizeof text), 0);
    close(talks);
    close(waits);
}

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
    start_all(w);
    for (int i = 0; i < NODES; i++)
        form(w, i, true);
    REACH(w, all_agreed);
    run_until(w, never, 200 * NS_PER_MS);
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
        start(w, i, &plain_start[i]);
        form(w, i, true);
    }
    run_until(w, never, 500 * NS_PER_MS);
    assert_int_equal(w->m[0].agreed + w->m[1].agreed, 0);
    start(w, 2, &plain_start[2]);
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
    start_all(w);
    form(w, 0, true);
    form(w, 1, false);
    form(w, 2, false);
    REACH(w, one_joins);
    REACH(w, all_up);
    run_until(w, never, 300 * NS_PER_MS);
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
    start_pair(w, 2, 1);
    form(w, 0, true);
    form(w, 1, true);
    REACH(w, late_agreed);
    stop(w, 1);
    REACH(w, all_closed);
    struct start again = plain_start[1];
    again.boots = 2;
    again.routes = 1;
    w->m[1].agreed = 0;
    start(w, 1, &again); /* the same disk, still empty: it crashed before it wrote */
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
        struct start s = plain_start[0];
        s.routes = routes;
        w->m[0].agreed = 0;
        start(w, 0, &s);
        form(w, 0, true);
        assert_int_equal(w->m[0].agreed, 0); /* later */
        assert_true(run_until(w, alone_agreed, NS_PER_S));
        assert_int_equal(w->m[0].agreed_count, 1);
        stop(w, 0);
        REACH(w, all_closed);
    }
}

/* ---- interest, relay ---- */

static void tell_rows(void *ctx, struct interest *i)
{
    struct member *m = ctx;
    for (int k = 0; k < 3000; k++) {
        char subject[64];
        snprintf(subject, sizeof subject, "%s.some.rather.longer.subject.%d", m->name, k);
        const struct interest_row row = {TEXT("$G"), text_of(subject), TEXT("q"), 1};
        interest_tell(i, &row);
    }
}
static void on_row(void *ctx, node_id peer, const struct interest_row *row)
{
    struct member *m = ctx;
    (void)peer;
    m->rows++;
    m->last_count = row->count;
    snprintf(m->last_row, sizeof m->last_row, "%.*s", (int)row->subject.bytes, row->subject.at);
}
static void on_forget(void *ctx, node_id peer)
{
    (void)peer;
    ((struct member *)ctx)->forgotten++;
}
static void listen_interest(struct world *w, int at)
{
    const struct interest_options o = {.env = w->env,
                                       .cluster = w->m[at].c,
                                       .each = tell_rows,
                                       .row = on_row,
                                       .forget = on_forget,
                                       .ctx = &w->m[at]};
    w->m[at].interest = interest_new(&o);
}
static bool rows_there(struct world *w)
{
    return w->m[0].rows >= 3000 && w->m[1].rows >= 3000;
}
static bool change_there(struct world *w)
{
    return w->m[1].rows == 3001;
}

static void a_peer_that_comes_up_gets_all_interest_then_changes(void **state)
{
    struct world *w = *state;
    struct start s[2] = {plain_start[0], plain_start[1]};
    s[0].routes = 2;
    s[1].routes = 1;
    for (int i = 0; i < 2; i++) {
        start(w, i, &s[i]);
        listen_interest(w, i);
    }
    REACH(w, rows_there);
    assert_int_equal(w->m[1].rows, 3000);
    assert_string_equal(w->m[1].last_row, "n1.some.rather.longer.subject.2999");
    const struct interest_row row = {TEXT("$G"), TEXT("news.>"), TEXT(""), 7};
    interest_tell(w->m[0].interest, &row);
    REACH(w, change_there);
    assert_string_equal(w->m[1].last_row, "news.>");
    assert_int_equal(w->m[1].last_count, 7);
}

static void on_message(void *ctx, node_id from, const struct relay_message *m)
{
    struct member *me = ctx;
    me->messages++;
    snprintf(me->message, sizeof me->message, "%d %.*s %.*s %.*s %.*s %.*s %.*s %d %zu %.*s",
             (int)from, (int)m->account.bytes, m->account.at, (int)m->subject.bytes, m->subject.at,
             (int)m->reply.bytes, m->reply.at, (int)m->deliver.bytes, m->deliver.at,
             (int)m->header.bytes, m->header.at, (int)m->body.bytes, m->body.at, m->plain,
             m->queue_count, (int)(m->queue_count > 0 ? m->queues[0].bytes : 0),
             m->queue_count > 0 ? m->queues[0].at : "");
}
static bool three_messages(struct world *w)
{
    return w->m[1].messages == 3;
}

static void a_message_arrives_with_its_targets(void **state)
{
    struct world *w = *state;
    struct text queues[RELAY_QUEUES_MAX + 1];
    char names[RELAY_QUEUES_MAX + 1][8];
    start_pair(w, 2, 1);
    relay_on(w->m[1].c, on_message, &w->m[1]);
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++) {
        snprintf(names[i], sizeof names[i], "q%zu", i);
        queues[i] = text_of(names[i]);
    }
    struct slice owner = slice_copy("HEADbody", 8);
    struct relay_message m = {.account = TEXT("$G"),
                              .subject = TEXT("a.b"),
                              .reply = TEXT("_INBOX.1"),
                              .deliver = TEXT("d"),
                              .header = {(const char *)owner.at, 4},
                              .body = {(const char *)owner.at + 4, 4},
                              .owner = owner,
                              .plain = true,
                              .queues = queues,
                              .queue_count = 1};
    relay_send(w->m[0].c, 12, &m);
    slice_release(&owner);
    m.owner = owner;
    m.header = m.body = m.reply = m.deliver = TEXT("");
    m.queue_count = ARRAY_COUNT(queues); /* one more than a frame takes */
    relay_send(w->m[0].c, 12, &m);
    REACH(w, three_messages);
    assert_string_equal(w->m[1].message, "11 $G a.b     0 1 q64");
}

#define NODE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(three_nodes_find_each_other_and_ignore_themselves),
        NODE_TEST(a_pair_comes_up_whoever_dials),
        NODE_TEST(client_urls_are_told_to_peers),
        NODE_TEST(lanes_arrive_in_order_and_whole),
        NODE_TEST(a_full_lane_drops_the_links_instead_of_growing),
        NODE_TEST(a_stopped_node_is_dead_at_once_and_comes_back),
        NODE_TEST(an_older_start_of_a_name_is_fenced),
        NODE_TEST(a_second_node_of_a_name_is_kept_out),
        NODE_TEST(strangers_stay_out),
        NODE_TEST(a_nats_server_is_told_that_the_protocols_differ),
        NODE_TEST(empty_nodes_agree_on_one_list),
        NODE_TEST(nothing_is_formed_while_one_is_missing),
        NODE_TEST(an_emptied_node_forms_nothing_beside_a_cluster),
        NODE_TEST(who_missed_the_commit_is_told_again),
        NODE_TEST(a_node_whose_only_route_is_itself_agrees_alone),
        NODE_TEST(a_peer_that_comes_up_gets_all_interest_then_changes),
        NODE_TEST(a_message_arrives_with_its_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
