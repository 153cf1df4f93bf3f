/* raft_world.c - see raft_world.h. */
#include "tests/lib/raft_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/err.h"
#include "store/base/reader.h"

#define POLL_NS (1 * NS_PER_MS)

/* ---- the toy state machine ---- */

static uint64_t mix(uint64_t digest, uint64_t value)
{
    digest ^= value + UINT64_C(0x9e3779b97f4a7c15) + (digest << 6) + (digest >> 2);
    return digest * UINT64_C(0xff51afd7ed558ccd);
}

static struct toy_origin *origin_of(struct toy *t, node_id node)
{
    for (size_t i = 0; i < ARRAY_COUNT(t->origins); i++) {
        struct toy_origin *o = &t->origins[i];
        if (o->node == node) return o;
        if (o->node == 0) {
            o->node = node;
            return o;
        }
    }
    fail();
    return NULL;
}

static void apply_batch(struct raft_node *n, struct reader *entry)
{
    node_id node = reader_u64(entry);
    uint64_t incarnation = reader_u64(entry), number = reader_u64(entry);
    struct reader commands = reader_sub(entry, reader_u32(entry));
    struct toy_origin *o = origin_of(&n->toy, node);
    bool fresh = incarnation > o->incarnation ? number == 1 : number == o->number + 1;
    if (incarnation < o->incarnation || !fresh) return;
    o->incarnation = incarnation;
    o->number = number;
    bool ours = node == n->id && incarnation == propose_incarnation(n->group);
    propose_batch(n->group, ours ? number : 0);
    while (reader_left(&commands) != 0) {
        struct reader command = reader_sub(&commands, reader_u32(&commands));
        uint32_t value = reader_u32(&command);
        assert_false(command.bad);
        n->toy.digest = mix(n->toy.digest, value);
        n->toy.count++;
        uint64_t result = value;
        propose_result(n->group, &result);
    }
    assert_false(commands.bad);
}

static int toy_apply(void *ctx, log_index index, log_term term, struct slice payload)
{
    struct raft_node *n = ctx;
    struct toy *t = &n->toy;
    if (t->refuse != 0) {
        t->refuse--;
        return E_AGAIN;
    }
    assert_int_equal(index, t->index + 1);
    struct reader r = reader_of(payload.at, payload.bytes);
    assert_int_equal(reader_u8(&r), 1);
    int64_t time = reader_i64(&r);
    t->backwards |= time < t->time;
    t->time = time;
    while (reader_left(&r) != 0)
        apply_batch(n, &r);
    assert_false(r.bad);
    t->index = index;
    t->term = term;
    return 0;
}

static void toy_pass(void *ctx, log_index index, log_term term)
{
    struct raft_node *n = ctx;
    assert_int_equal(index, n->toy.index + 1);
    n->toy.index = index;
    n->toy.term = term;
}

static log_index toy_index(void *ctx, log_term *term)
{
    struct raft_node *n = ctx;
    *term = n->toy.term;
    return n->toy.index;
}

static void toy_log_durable(void *ctx, log_index index)
{
    struct raft_node *n = ctx;
    n->toy.log_durable = index;
}

/* ---- transport ---- */

static void
world_send(void *ctx, node_id peer, enum transport_lane lane, struct slice *parts, size_t count)
{
    struct raft_node *n = ctx;
    struct raft_world *w = n->w;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += parts[i].bytes;
    }
    struct raft_message_queued *q = check_alloc(sizeof *q);
    *q = (struct raft_message_queued){.from = n->id, .to = peer, .lane = lane};
    q->bytes = slice_alloc(bytes);
    bytes = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(q->bytes.at + bytes, parts[i].at, parts[i].bytes);
        bytes += parts[i].bytes;
        slice_release(&parts[i]);
    }
    w->sent++;
    w->bytes_sent += bytes;
    list_push_back(&w->queue, &q->node);
    env_defer(w->env, &w->deliver);
}

static bool linked(const struct raft_world *w, node_id a, node_id b)
{
    return !w->cut[a][b] && w->n[a].group != NULL && w->n[b].group != NULL;
}
static bool world_connected(void *ctx, node_id peer)
{
    struct raft_node *n = ctx;
    return linked(n->w, n->id, peer);
}
static size_t world_queued(void *ctx, node_id peer, enum transport_lane lane)
{
    (void)ctx;
    (void)peer;
    (void)lane;
    return 0;
}

static void deliver(struct env_defer *d)
{
    struct raft_world *w = CONTAINER_OF(d, struct raft_world, deliver);
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &w->queue);
    for (struct list_node *n; (n = list_pop_front(&batch)) != NULL;) {
        struct raft_message_queued *q = CONTAINER_OF(n, struct raft_message_queued, node);
        if (linked(w, q->from, q->to)) group_recv(w->n[q->to].group, q->from, q->lane, q->bytes);
        slice_release(&q->bytes);
        free(q);
    }
}

/* What is under way on a link that breaks is lost. */
static void link_drop(struct raft_world *w, node_id a, node_id b)
{
    LIST_FOREACH_SAFE (n, tmp, &w->queue) {
        struct raft_message_queued *q = CONTAINER_OF(n, struct raft_message_queued, node);
        bool on = (q->from == a && q->to == b) || (q->from == b && q->to == a);
        if (!on) continue;
        list_remove(n);
        slice_release(&q->bytes);
        free(q);
    }
}

/* ---- nodes ---- */

static void on_leader(void *ctx, node_id leader, log_term term, bool self)
{
    struct raft_node *n = ctx;
    (void)term;
    n->leader = leader;
    n->leads = self;
}

static void node_open(struct raft_world *w, unsigned id, bool bootstrap)
{
    struct raft_node *n = &w->n[id];
    struct group_options o = {
        .env = w->env,
        .dir = n->dir,
        .identity = id,
        .sm = {.ctx = n,
               .index = toy_index,
               .apply = toy_apply,
               .pass = toy_pass,
               .log_durable = toy_log_durable},
        .transport = {.ctx = n,
                      .send = world_send,
                      .connected = world_connected,
                      .queued = world_queued},
        .log_bytes_max = w->log_bytes_max,
        .cache_bytes = w->cache_bytes,
        .on_leader = on_leader,
        .ctx = n,
    };
    assert_int_equal(group_open(&o, &n->group), 0);
    struct log_facts facts = *group_facts(n->group);
    facts.boots++;
    assert_int_equal(group_facts_store(n->group, &facts), 0);
    assert_int_equal(group_is_empty(n->group), bootstrap);
    if (!bootstrap) return;
    struct group_member members[RAFT_NODES] = {0};
    for (unsigned k = 0; k < w->nodes; k++) {
        members[k].id = k + 1;
        members[k].voter = true;
        snprintf(members[k].name, sizeof members[k].name, "n%u", k + 1);
    }
    assert_int_equal(group_bootstrap(n->group, id, members, w->nodes), 0);
}

static void links_change(struct raft_world *w, unsigned a, unsigned b, bool up, bool dead)
{
    struct group *ga = w->n[a].group, *gb = w->n[b].group;
    if (ga != NULL && up) group_peer_up(ga, b);
    if (ga != NULL && !up) group_peer_down(ga, b, dead);
    if (gb != NULL && up) group_peer_up(gb, a);
    if (gb != NULL && !up) group_peer_down(gb, a, dead);
}

static void links_open(struct raft_world *w, unsigned id)
{
    for (unsigned k = 1; k <= w->nodes; k++) {
        if (k != id && linked(w, id, k)) links_change(w, id, k, true, false);
    }
}

static void polled(struct env_timer *t)
{
    struct raft_world *w = CONTAINER_OF(t, struct raft_world, poll);
    w->reached = w->until != NULL && w->until(w);
    if (w->reached || env_mono(w->env).ns >= w->end_ns) {
        env_uv_stop(w->env);
        return;
    }
    env_timer_start(t, POLL_NS);
}

void raft_world_open(struct raft_world *w, unsigned nodes)
{
    uint64_t log_bytes_max = w->log_bytes_max, cache_bytes = w->cache_bytes;
    *w = (struct raft_world){
        .nodes = nodes, .log_bytes_max = log_bytes_max, .cache_bytes = cache_bytes};
    w->env = env_uv_new();
    list_init(&w->queue);
    list_init(&w->calls);
    w->deliver.cb = deliver;
    env_timer_init(w->env, &w->poll, polled);
    snprintf(w->dir, sizeof w->dir, "/tmp/gannet-raft-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    for (unsigned k = 1; k <= nodes; k++) {
        struct raft_node *n = &w->n[k];
        n->w = w;
        n->id = k;
        snprintf(n->dir, sizeof n->dir, "%s/%u", w->dir, k);
        assert_int_equal(w->env->ops->mkdir(w->env, n->dir), 0);
        node_open(w, k, true);
    }
    for (unsigned k = 1; k <= nodes; k++) {
        links_open(w, k);
        assert_int_equal(group_start(w->n[k].group, k), 0);
    }
}

void raft_world_start(struct raft_world *w, unsigned id)
{
    struct raft_node *n = &w->n[id];
    assert_null(n->group);
    struct toy *t = &n->toy;
    t->index = t->durable_index;
    t->term = t->durable_term;
    t->digest = t->durable_digest;
    t->count = t->durable_count;
    memcpy(t->origins, t->durable_origins, sizeof t->origins);
    t->time = 0;
    node_open(w, id, false);
    links_open(w, id);
    assert_int_equal(group_start(n->group, id), 0);
}

void raft_world_stop(struct raft_world *w, unsigned id)
{
    struct raft_node *n = &w->n[id];
    group_close(n->group);
    n->group = NULL;
    n->leads = false;
    for (unsigned k = 1; k <= w->nodes; k++) {
        if (k == id) continue;
        link_drop(w, id, k);
        if (!w->cut[id][k]) links_change(w, id, k, false, true);
    }
}

void raft_world_part(struct raft_world *w, unsigned a, unsigned b, bool cut)
{
    w->cut[a][b] = w->cut[b][a] = cut;
    if (cut) link_drop(w, a, b);
    links_change(w, a, b, !cut, false);
}

static void remove_entry(void *ctx, const char *name)
{
    struct raft_node *n = ctx;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", n->dir, name);
    unlink(path);
}

void raft_world_close(struct raft_world *w)
{
    env_timer_stop(&w->poll);
    for (unsigned k = 1; k <= w->nodes; k++) {
        if (w->n[k].group != NULL) raft_world_stop(w, k);
        assert_int_equal(w->env->ops->dir_list(w->env, w->n[k].dir, remove_entry, &w->n[k]), 0);
        rmdir(w->n[k].dir);
    }
    rmdir(w->dir);
    for (struct list_node *n; (n = list_pop_front(&w->calls)) != NULL;) {
        free(n);
    }
    list_remove(&w->deliver.node);
    env_uv_free(w->env);
}

static void run_until(struct raft_world *w, bool (*until)(struct raft_world *), uint64_t ns)
{
    w->until = until;
    w->reached = false;
    w->end_ns = env_mono(w->env).ns + ns;
    env_timer_start(&w->poll, 0);
    env_uv_run(w->env);
}

void raft_world_wait(struct raft_world *w, bool (*until)(struct raft_world *), const char *what)
{
    run_until(w, until, RAFT_DEADLINE_NS);
    if (!w->reached) fail_msg("never: %s", what);
}

void raft_world_run(struct raft_world *w, uint64_t ns)
{
    run_until(w, NULL, ns);
}

/* ---- users ---- */

struct toy_proposal {
    struct list_node node; /* first: in calls */
    struct proposal proposal;
    struct raft_node *n;
    uint32_t value;
};

static void acked(struct proposal *p, const void *result)
{
    struct toy_proposal *t = CONTAINER_OF(p, struct toy_proposal, proposal);
    assert_int_equal(*(const uint64_t *)result, t->value);
    t->n->acked++;
    t->n->last_result = t->value;
    list_remove(&t->node);
    free(t);
}

void raft_world_propose(struct raft_world *w, unsigned id, uint32_t value)
{
    struct toy_proposal *t = check_alloc(sizeof *t);
    t->n = &w->n[id];
    t->value = value;
    t->proposal.done = acked;
    list_push_back(&w->calls, &t->node);
    struct writer *out = propose_open(t->n->group, 8);
    writer_u32(out, 4);
    writer_u32(out, value);
    propose_close(t->n->group, &t->proposal);
}

struct toy_read {
    struct list_node node; /* first: in calls */
    struct read_index read;
    struct raft_node *n;
    uint64_t must; /* commands that had been applied somewhere */
};

static void read_done(struct read_index *r)
{
    struct toy_read *t = CONTAINER_OF(r, struct toy_read, read);
    t->n->reads++;
    t->n->reads_stale += t->n->toy.count < t->must;
    list_remove(&t->node);
    free(t);
}

void raft_world_read(struct raft_world *w, unsigned id)
{
    struct toy_read *t = check_alloc(sizeof *t);
    t->n = &w->n[id];
    for (unsigned k = 1; k <= w->nodes; k++) {
        if (w->n[k].toy.count > t->must) t->must = w->n[k].toy.count;
    }
    t->read.done = read_done;
    list_push_back(&w->calls, &t->node);
    read_index_start(t->n->group, &t->read);
}

unsigned raft_world_leader(const struct raft_world *w)
{
    for (unsigned k = 1; k <= w->nodes; k++) {
        if (w->n[k].group != NULL && w->n[k].leads && group_leads(w->n[k].group)) return k;
    }
    return 0;
}

bool raft_world_has_leader(struct raft_world *w)
{
    return raft_world_leader(w) != 0;
}

bool raft_world_all_equal(struct raft_world *w)
{
    const struct toy *first = NULL;
    for (unsigned k = 1; k <= w->nodes; k++) {
        const struct raft_node *n = &w->n[k];
        if (n->group == NULL) continue;
        if (propose_outstanding(n->group) != 0) return false;
        if (first == NULL) first = &n->toy;
        if (n->toy.index != first->index || n->toy.digest != first->digest) return false;
    }
    return true;
}
