/* cluster_world.c - see cluster_world.h. TEST_LOG in the environment shows the nodes' log lines. */
#include "tests/lib/cluster_world.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/interest.h"
#include "store/base/logger.h"

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

void world_start(struct world *w, int at, const struct start *s)
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

const struct start world_plain[NODES] = {
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

bool world_run(struct world *w, bool (*until)(struct world *), uint64_t limit_ns)
{
    w->until = until;
    w->end_ns = env_mono(w->env).ns + limit_ns;
    env_timer_start(&w->poll, NS_PER_MS);
    env_uv_run(w->env);
    return w->reached;
}

bool world_never(struct world *w)
{
    (void)w;
    return false;
}

static void closed(void *ctx)
{
    ((struct world *)ctx)->closing--;
}
bool world_closed(struct world *w)
{
    return w->closing == 0;
}
void world_stop(struct world *w, int at)
{
    interest_free(w->m[at].interest);
    w->m[at].interest = NULL;
    w->closing++;
    cluster_close(w->m[at].c, closed, w);
    w->m[at].c = NULL;
}

int world_setup(void **state)
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
int world_teardown(void **state)
{
    struct world *w = *state;
    for (int i = 0; i <= NODES; i++) {
        if (w->m[i].c != NULL) world_stop(w, i);
    }
    assert_true(world_run(w, world_closed, DEADLINE_NS));
    net_uv_free(w->net);
    env_uv_free(w->env);
    free(w);
    return 0;
}

size_t world_ups(const struct member *m)
{
    size_t count = 0;
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(m->c, p)) != NULL)
        count += p->up;
    return count;
}
bool world_all_up(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        if (world_ups(&w->m[i]) != NODES - 1 || cluster_expected(w->m[i].c) != NODES - 1)
            return false;
    }
    return true;
}
bool world_pair_up(struct world *w)
{
    return world_ups(&w->m[0]) == 1 && world_ups(&w->m[1]) == 1;
}

void world_start_all(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        world_start(w, i, &world_plain[i]);
}

/* n1 and n2, one of them dialling. */
void world_start_pair(struct world *w, unsigned routes0, unsigned routes1)
{
    struct start s[2] = {world_plain[0], world_plain[1]};
    s[0].routes = routes0;
    s[1].routes = routes1;
    world_start(w, 0, &s[0]);
    world_start(w, 1, &s[1]);
    REACH(w, world_pair_up);
}
