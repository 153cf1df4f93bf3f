/* sim_links.c - see sim_links.h.
 *
 * An end believes its connection is up until it hears otherwise. up: both ends believe so. A break
 * loses what is under way and tells each end later; only when both have heard may the connection be
 * made again, so that up and down reach an end in the order in which they happened. A blocked
 * direction holds messages back (the kernel repeats them); blocked for long, the connection breaks.
 */
#include "tests/sim/sim_links.h"

#include <stdlib.h>

#define BLOCKED_NS (2 * NS_PER_S) /* then both ends give up */

struct message {
    struct list_node node;
    uint64_t at_ns;
    struct slice bytes;
};
struct lane {
    struct list messages;
    size_t bytes;
    uint64_t last_ns;
};
struct end {
    bool believes; /* it heard up, and not down since */
};
struct pair {
    bool up;
    uint64_t epoch;
    bool blocked[2]; /* [0]: from the lower number to the higher */
    uint64_t blocked_since_ns;
    struct lane lanes[2][LINK_LANES];
    struct end ends[2]; /* the lower number's first */
};
struct port {
    struct sim_env *env; /* NULL: not running */
    void *node;
    struct links *links;
    unsigned number;
};
struct links {
    struct sim *sim;
    unsigned nodes;
    struct link_user user;
    struct port ports[LINK_NODES + 1];
    struct pair pairs[LINK_NODES + 1][LINK_NODES + 1]; /* [lower][higher] */
    uint64_t latency_low_ns, latency_high_ns;
};

static struct pair *pair_of(struct links *l, unsigned a, unsigned b)
{
    return a < b ? &l->pairs[a][b] : &l->pairs[b][a];
}

static unsigned side(unsigned self, unsigned other)
{
    return self < other ? 0 : 1;
}

/* ---- what an end hears ---- */

enum news { NEWS_MESSAGE, NEWS_UP, NEWS_DOWN, NEWS_DEAD };
struct news_event {
    struct sim_event event;
    struct links *links;
    unsigned to, from;
    enum news news;
    enum transport_lane lane;
    struct slice bytes;
};

static void news_run(struct sim_event *event)
{
    struct news_event *n = (struct news_event *)(void *)event;
    struct links *l = n->links;
    void *node = l->ports[n->to].node;
    struct end *end = &pair_of(l, n->to, n->from)->ends[side(n->to, n->from)];
    switch (n->news) {
    case NEWS_MESSAGE:
        if (end->believes) l->user.recv(node, n->from, n->lane, n->bytes);
        slice_release(&n->bytes);
        break;
    case NEWS_UP:
        end->believes = true;
        l->user.up(node, n->from);
        break;
    case NEWS_DOWN:
    case NEWS_DEAD:
        end->believes = false;
        l->user.down(node, n->from, n->news == NEWS_DEAD);
        break;
    }
}

static void tell(struct links *l, unsigned to, unsigned from, enum news news, uint64_t delay_ns)
{
    if (l->ports[to].env == NULL) return;
    struct sim_event *event = sim_event_new(sizeof(struct news_event), news_run);
    struct news_event *n = (struct news_event *)(void *)event;
    n->links = l;
    n->to = to;
    n->from = from;
    n->news = news;
    sim_at(l->sim, delay_ns, l->ports[to].env, event);
}

/* ---- messages ---- */

struct arrival_event {
    struct sim_event event;
    struct links *links;
    unsigned from, to;
    uint64_t epoch;
    enum transport_lane lane;
};

static void hand_over(struct links *l,
                      unsigned from,
                      unsigned to,
                      enum transport_lane number,
                      struct message *m)
{
    struct sim_event *event = sim_event_new(sizeof(struct news_event), news_run);
    struct news_event *n = (struct news_event *)(void *)event;
    n->links = l;
    n->to = to;
    n->from = from;
    n->news = NEWS_MESSAGE;
    n->lane = number;
    n->bytes = m->bytes;
    sim_at(l->sim, 0, l->ports[to].env, event);
    free(m);
}

static void arrive(struct links *l, unsigned from, unsigned to, enum transport_lane number)
{
    struct pair *p = pair_of(l, from, to);
    struct lane *lane = &p->lanes[side(from, to)][number];
    if (p->blocked[side(from, to)]) return;
    for (struct list_node *n; (n = list_first(&lane->messages)) != NULL;) {
        struct message *m = CONTAINER_OF(n, struct message, node);
        if (m->at_ns > l->sim->now_ns) return;
        list_remove(n);
        lane->bytes -= m->bytes.bytes;
        hand_over(l, from, to, number, m);
    }
}

static void arrival_run(struct sim_event *event)
{
    struct arrival_event *a = (struct arrival_event *)(void *)event;
    struct pair *p = pair_of(a->links, a->from, a->to);
    if (p->up && p->epoch == a->epoch) arrive(a->links, a->from, a->to, a->lane);
}

static void expect_arrival(struct links *l,
                           unsigned from,
                           unsigned to,
                           enum transport_lane lane,
                           uint64_t delay_ns)
{
    struct sim_event *event = sim_event_new(sizeof(struct arrival_event), arrival_run);
    struct arrival_event *a = (struct arrival_event *)(void *)event;
    a->links = l;
    a->from = from;
    a->to = to;
    a->lane = lane;
    a->epoch = pair_of(l, from, to)->epoch;
    sim_at(l->sim, delay_ns, NULL, event);
}

static struct slice join(const struct slice *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].bytes;
    struct slice whole = slice_alloc(bytes);
    bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].bytes != 0) memcpy(whole.at + bytes, parts[i].at, parts[i].bytes);
        bytes += parts[i].bytes;
    }
    return whole;
}

static void
port_send(void *ctx, node_id peer, enum transport_lane number, struct slice *parts, size_t count)
{
    struct port *port = ctx;
    struct links *l = port->links;
    unsigned from = port->number, to = (unsigned)peer;
    CHECK(to >= 1 && to <= l->nodes && to != from);
    struct slice whole = join(parts, count);
    for (size_t i = 0; i < count; i++)
        slice_release(&parts[i]);
    l->user.sent(port->node, peer, whole);
    struct pair *p = pair_of(l, from, to);
    if (!p->up || !p->ends[side(from, to)].believes) {
        slice_release(&whole);
        return;
    }
    struct lane *lane = &p->lanes[side(from, to)][number];
    struct message *m = check_alloc(sizeof *m);
    uint64_t delay_ns =
        sim_between(l->sim, l->latency_low_ns, l->latency_high_ns) + whole.bytes * 8;
    m->bytes = whole;
    m->at_ns = l->sim->now_ns + delay_ns;
    if (m->at_ns < lane->last_ns) m->at_ns = lane->last_ns;
    lane->last_ns = m->at_ns;
    lane->bytes += whole.bytes;
    list_push_back(&lane->messages, &m->node);
    expect_arrival(l, from, to, number, m->at_ns - l->sim->now_ns);
}

static bool port_connected(void *ctx, node_id peer)
{
    const struct port *port = ctx;
    if (peer < 1 || peer > port->links->nodes || peer == port->number) return false;
    unsigned to = (unsigned)peer;
    return pair_of(port->links, port->number, to)->ends[side(port->number, to)].believes;
}

static size_t port_queued(void *ctx, node_id peer, enum transport_lane lane)
{
    const struct port *port = ctx;
    unsigned to = (unsigned)peer;
    return pair_of(port->links, port->number, to)->lanes[side(port->number, to)][lane].bytes;
}

void links_transport(struct links *l, unsigned number, struct transport *out)
{
    *out = (struct transport){.ctx = &l->ports[number],
                              .send = port_send,
                              .connected = port_connected,
                              .queued = port_queued};
}

/* ---- connections ---- */

static void lose(struct pair *p)
{
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned n = 0; n < LINK_LANES; n++) {
            struct lane *lane = &p->lanes[s][n];
            for (struct list_node *node; (node = list_pop_front(&lane->messages)) != NULL;) {
                struct message *m = CONTAINER_OF(node, struct message, node);
                slice_release(&m->bytes);
                free(m);
            }
            lane->bytes = 0;
            lane->last_ns = 0;
        }
    }
}

static void break_pair(struct links *l,
                       unsigned a,
                       unsigned b,
                       enum news news,
                       uint64_t low_ns,
                       uint64_t high_ns)
{
    struct pair *p = pair_of(l, a, b);
    if (!p->up) return;
    p->up = false;
    p->epoch++;
    lose(p);
    tell(l, a, b, news, sim_between(l->sim, low_ns, high_ns));
    tell(l, b, a, news, sim_between(l->sim, low_ns, high_ns));
}

void links_break(struct links *l, unsigned a, unsigned b)
{
    break_pair(l, a, b, NEWS_DOWN, 0, 5 * NS_PER_MS);
}

static bool may_connect(const struct links *l, unsigned a, unsigned b, const struct pair *p)
{
    return !p->up && l->ports[a].env != NULL && l->ports[b].env != NULL && !p->blocked[0] &&
           !p->blocked[1] && !p->ends[0].believes && !p->ends[1].believes;
}

/* Dials again, and gives up what was blocked for long. */
static void look_at(struct links *l, unsigned a, unsigned b)
{
    struct pair *p = &l->pairs[a][b];
    bool blocked = p->blocked[0] || p->blocked[1];
    if (p->up && blocked && l->sim->now_ns - p->blocked_since_ns > BLOCKED_NS)
        break_pair(l, a, b, NEWS_DOWN, 0, NS_PER_S);
    if (!may_connect(l, a, b, p) || !sim_chance(l->sim, 400)) return;
    p->up = true;
    tell(l, a, b, NEWS_UP, 0);
    tell(l, b, a, NEWS_UP, 0);
}

static void look_run(struct sim_event *event);

struct look_event {
    struct sim_event event;
    struct links *links;
};

static void look_later(struct links *l)
{
    struct sim_event *event = sim_event_new(sizeof(struct look_event), look_run);
    ((struct look_event *)(void *)event)->links = l;
    sim_at(l->sim, 50 * NS_PER_MS, NULL, event);
}

static void look_run(struct sim_event *event)
{
    struct links *l = ((struct look_event *)(void *)event)->links;
    for (unsigned a = 1; a <= l->nodes; a++) {
        for (unsigned b = a + 1; b <= l->nodes; b++)
            look_at(l, a, b);
    }
    look_later(l);
}

struct links *links_new(struct sim *s, unsigned nodes, const struct link_user *user)
{
    struct links *l = check_alloc(sizeof *l);
    CHECK(nodes <= LINK_NODES);
    l->sim = s;
    l->nodes = nodes;
    l->user = *user;
    for (unsigned a = 1; a <= nodes; a++) {
        l->ports[a].links = l;
        l->ports[a].number = a;
        for (unsigned b = a + 1; b <= nodes; b++) {
            for (unsigned n = 0; n < 2 * LINK_LANES; n++)
                list_init(&l->pairs[a][b].lanes[n % 2][n / 2].messages);
        }
    }
    links_latency(l, 50 * NS_PER_US, NS_PER_MS);
    look_later(l);
    return l;
}

void links_attach(struct links *l, unsigned number, struct sim_env *env, void *node)
{
    l->ports[number].env = env;
    l->ports[number].node = node;
}

void links_detach(struct links *l, unsigned number, bool killed)
{
    l->ports[number].env = NULL;
    for (unsigned other = 1; other <= l->nodes; other++) {
        if (other == number) continue;
        struct pair *p = pair_of(l, number, other);
        bool heard = killed && !p->blocked[side(number, other)];
        if (heard)
            break_pair(l, number, other, NEWS_DEAD, 0, 5 * NS_PER_MS);
        else
            break_pair(l, number, other, NEWS_DOWN, 100 * NS_PER_MS, 3 * NS_PER_S);
        p->ends[side(number, other)].believes = false;
    }
}

void links_block(struct links *l, unsigned from, unsigned to, bool blocked)
{
    struct pair *p = pair_of(l, from, to);
    bool *now = &p->blocked[side(from, to)];
    if (*now == blocked) return;
    if (blocked && !p->blocked[0] && !p->blocked[1]) p->blocked_since_ns = l->sim->now_ns;
    *now = blocked;
    if (blocked || !p->up) return;
    for (unsigned n = 0; n < LINK_LANES; n++)
        arrive(l, from, to, (enum transport_lane)n);
}

void links_latency(struct links *l, uint64_t low_ns, uint64_t high_ns)
{
    l->latency_low_ns = low_ns;
    l->latency_high_ns = high_ns;
}
