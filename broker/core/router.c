/* A publish: the cached result of its subject, or a match in the trie, is a set of flat arrays. It
 * is walked while deliver() may do anything, unsubscribing included: results in use are on a list,
 * and router_unsubscribe makes the place of the subscription NULL in each. New subscriptions see
 * only later messages. Peers are told last, each once, with the groups that found no member here.
 */
#include "broker/core/router.h"

#include <stdlib.h>

#include "broker/core/subject.h"
#include "broker/core/subject_cache.h"
#include "store/base/env.h"

#define ROUTER_WATCH_LISTS 256 /* by hash: every SUB and UNSUB looks for who watches its subject   \
                                */
#define ROUTER_POOL_MAX 16     /* results kept for reuse: as deep as deliveries nest */

struct account_router {
    struct list_node in_router;
    struct account *account;
    struct subject_trie trie;
    struct subject_cache cache;
    struct list watches[ROUTER_WATCH_LISTS];
    size_t watch_count;
    uint64_t match_count, fanout_sum, fanout_max;
};
/* What one message still owes to a peer. */
struct router_target {
    node_id peer;
    bool plain;
};
struct router {
    struct router_options o;
    struct list accounts;
    struct list in_use; /* matches being walked */
    struct matches *pool[ROUTER_POOL_MAX];
    size_t pool_count;
    struct list due; /* watches to call */
    struct env_defer due_defer;
    uint64_t random;
    struct router_choice *choices; /* a stack: deliveries nest */
    size_t choice_count, choice_max;
    struct text *queues; /* scratch of one relay */
    size_t queue_max;
};
/* A queue group that goes to a peer. */
struct router_choice {
    node_id peer;
    uint32_t group;
};

/* ---- accounts ---- */

static void router_due(struct env_defer *d);

struct router *router_new(const struct router_options *o)
{
    struct router *r = check_alloc(sizeof *r);
    r->o = *o;
    r->random = env_random(o->env) | 1;
    list_init(&r->accounts);
    list_init(&r->in_use);
    list_init(&r->due);
    r->due_defer.cb = router_due;
    return r;
}

static struct account_router *router_of(struct router *r, struct account *a)
{
    if (a->router != NULL) return a->router;
    struct account_router *ar = check_alloc(sizeof *ar);
    ar->account = a;
    subject_trie_init(&ar->trie, env_random(r->o.env));
    subject_cache_init(&ar->cache, env_random(r->o.env));
    for (size_t i = 0; i < ROUTER_WATCH_LISTS; i++)
        list_init(&ar->watches[i]);
    list_push_back(&r->accounts, &ar->in_router);
    a->router = ar;
    return ar;
}

void router_free(struct router *r)
{
    if (r == NULL) return;
    CHECK(list_empty(&r->in_use));
    list_remove(&r->due_defer.node);
    struct list_node *at;
    while ((at = list_pop_front(&r->accounts)) != NULL) {
        struct account_router *ar = CONTAINER_OF(at, struct account_router, in_router);
        subject_cache_free(&ar->cache);
        subject_trie_free(&ar->trie);
        ar->account->router = NULL;
        free(ar);
    }
    while (r->pool_count != 0)
        matches_free(r->pool[--r->pool_count]);
    free(r->choices);
    free(r->queues);
    free(r);
}

/* xorshift64: which member of a group gets a message has to be spread, not secret. */
static uint32_t router_random(struct router *r, uint32_t below)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (uint32_t)((r->random >> 32) * below >> 32);
}

/* ---- subscriptions ---- */

static void router_due(struct env_defer *d)
{
    struct router *r = CONTAINER_OF(d, struct router, due_defer);
    struct list now;
    list_init(&now);
    list_splice(&now, &r->due);
    struct list_node *at;
    while ((at = list_pop_front(&now)) != NULL) {
        struct router_watch *w = CONTAINER_OF(at, struct router_watch, due);
        w->changed(w);
    }
}

static struct list *watch_list(struct account_router *ar, struct text subject)
{
    return &ar->watches[subject_cache_hash(&ar->cache, subject) % ROUTER_WATCH_LISTS];
}

/* subject empty: all of the list. */
static void watches_due(struct router *r, const struct list *watches, struct text subject)
{
    LIST_FOREACH (at, watches) {
        struct router_watch *w = CONTAINER_OF(at, struct router_watch, node);
        if (list_linked(&w->due)) continue;
        if (subject.bytes != 0 && !subject_match(subject, w->subject)) continue;
        list_push_back(&r->due, &w->due);
    }
    if (!list_empty(&r->due)) env_defer(r->o.env, &r->due_defer);
}

static void router_changed(struct router *r, struct account_router *ar, struct text subject)
{
    subject_cache_changed(&ar->cache, subject);
    if (ar->watch_count == 0) return;
    if (subject_valid_literal(subject)) {
        watches_due(r, watch_list(ar, subject), subject);
        return;
    }
    for (size_t i = 0; i < ROUTER_WATCH_LISTS; i++)
        watches_due(r, &ar->watches[i], subject);
}

static void router_tell(struct router *r, struct sub *s, uint32_t before, uint32_t after)
{
    if (r->o.interest == NULL || before == after) return;
    if (s->queue.bytes == 0 && before != 0 && after != 0) return;
    r->o.interest(r->o.ctx, s->account, s->subject, s->queue, after);
}

void router_subscribe(struct router *r, struct sub *s)
{
    struct account_router *ar = router_of(r, s->account);
    struct trie_bag *bag = subject_trie_bag(&ar->trie, s->subject, s->queue);
    uint32_t before = bag->clients;
    subject_trie_add(&ar->trie, bag, s);
    s->account->subs++;
    router_changed(r, ar, s->subject);
    router_tell(r, s, before, bag->clients);
}

static void matches_forget(struct matches *m, const struct sub *s)
{
    for (size_t i = 0; i < m->sub_count; i++) {
        if (m->subs[i] == s) m->subs[i] = NULL;
    }
    for (size_t i = 0; i < m->member_count; i++) {
        if (m->members[i] == s) m->members[i] = NULL;
    }
}

void router_unsubscribe(struct router *r, struct sub *s)
{
    if (s->trie == NULL) return;
    struct account_router *ar = router_of(r, s->account);
    struct trie_bag *bag = s->trie;
    uint32_t before = bag->clients, after = before - (s->kind != SUB_INTERNAL);
    subject_trie_remove(&ar->trie, s);
    s->account->subs--;
    LIST_FOREACH (at, &r->in_use) {
        matches_forget(CONTAINER_OF(at, struct matches, in_use), s);
    }
    router_changed(r, ar, s->subject);
    router_tell(r, s, before, after);
}

/* ---- publishing ---- */

static struct matches *router_fresh(struct router *r)
{
    struct matches *m = r->pool_count != 0 ? r->pool[--r->pool_count] : matches_new();
    m->refs = 1;
    return m;
}

/* Enters a result into the list of those in use; router_leave is its other half. A result that is
 * being walked already, by a delivery further up, isn't shared: its place on the list is taken. */
static struct matches *
router_enter(struct router *r, struct account_router *ar, struct text subject)
{
    uint64_t hash = subject_cache_hash(&ar->cache, subject);
    struct matches *m = subject_cache_get(&ar->cache, hash, subject);
    ar->match_count++;
    if (m == NULL || list_linked(&m->in_use)) {
        bool keep = m == NULL && subject_cache_wants(&ar->cache, hash);
        m = keep ? matches_new() : router_fresh(r);
        m->refs = keep ? 0 : 1;
        subject_trie_match(&ar->trie, subject, m);
        if (keep) {
            subject_cache_put(&ar->cache, hash, subject, m);
            m->refs++;
        }
    } else {
        m->refs++;
    }
    list_push_front(&r->in_use, &m->in_use);
    return m;
}

static void router_leave(struct router *r, struct matches *m)
{
    list_remove(&m->in_use);
    if (m->refs == 1 && r->pool_count < ROUTER_POOL_MAX) {
        m->refs = 0;
        matches_clear(m);
        r->pool[r->pool_count++] = m;
        return;
    }
    subject_cache_release(m);
}

static size_t router_plain(struct matches *m, const struct message *msg, bool routed)
{
    size_t delivered = 0;
    for (size_t i = 0; i < m->sub_count; i++) {
        struct sub *s = m->subs[i];
        if (s == NULL || (routed && s->kind == SUB_INTERNAL)) continue;
        if (s->deliver(s, msg)) delivered++;
    }
    return delivered;
}

/* One member of the group that takes it, beginning anywhere. */
static bool router_member(struct router *r,
                          struct matches *m,
                          const struct match_group *g,
                          const struct message *msg,
                          bool routed)
{
    if (g->member_count == 0) return false;
    uint32_t at = router_random(r, g->member_count), first = g->member_first;
    for (uint32_t i = 0; i < g->member_count; i++) {
        struct sub *s = m->members[first + at];
        if (++at == g->member_count) at = 0;
        if (s == NULL || (routed && s->kind == SUB_INTERNAL)) continue;
        if (s->deliver(s, msg)) return true;
    }
    return false;
}

/* A peer, by the number of members that it has. */
static node_id
router_pick_peer(struct router *r, const struct matches *m, const struct match_group *g)
{
    const struct trie_peer *peers = m->group_peers + g->peer_first;
    uint32_t total = 0;
    for (uint32_t i = 0; i < g->peer_count; i++)
        total += peers[i].count;
    uint32_t at = router_random(r, total);
    for (uint32_t i = 0; i < g->peer_count; i++) {
        if (at < peers[i].count) return peers[i].node;
        at -= peers[i].count;
    }
    return peers[0].node;
}

static void router_choose(struct router *r, node_id peer, uint32_t group)
{
    if (r->choice_count == r->choice_max) {
        r->choice_max = r->choice_max == 0 ? 16 : r->choice_max * 2;
        r->choices = check_realloc(r->choices, r->choice_max * sizeof *r->choices);
    }
    r->choices[r->choice_count++] = (struct router_choice){.peer = peer, .group = group};
}

/* All that one peer gets of this message, in one call; its choices are done then. */
static void router_relay(struct router *r,
                         const struct matches *m,
                         const struct message *msg,
                         struct router_target to,
                         size_t base)
{
    size_t count = 0;
    if (r->queue_max < m->group_count) {
        r->queue_max = m->group_count;
        r->queues = check_realloc(r->queues, r->queue_max * sizeof *r->queues);
    }
    for (size_t i = base; i < r->choice_count; i++) {
        if (r->choices[i].peer != to.peer) continue;
        r->queues[count++] = m->groups[r->choices[i].group].queue;
        r->choices[i].peer = 0;
    }
    r->o.relay(r->o.ctx, to.peer, msg, to.plain, r->queues, count);
}

static size_t
router_peers(struct router *r, const struct matches *m, const struct message *msg, size_t base)
{
    if (r->o.relay == NULL) return 0;
    size_t delivered = 0;
    for (size_t i = 0; i < m->peer_count; i++) {
        router_relay(r, m, msg, (struct router_target){m->peers[i].node, true}, base);
        delivered++;
    }
    for (size_t i = base; i < r->choice_count; i++) {
        if (r->choices[i].peer == 0) continue;
        router_relay(r, m, msg, (struct router_target){r->choices[i].peer, false}, base);
        delivered++;
    }
    return delivered;
}

static struct text message_route(const struct message *m)
{
    return m->deliver.bytes != 0 ? m->deliver : m->subject;
}

size_t router_publish(struct router *r, const struct message *msg)
{
    struct account_router *ar = msg->account->router;
    if (ar == NULL) return 0;
    struct matches *m = router_enter(r, ar, message_route(msg));
    size_t base = r->choice_count;
    size_t delivered = router_plain(m, msg, false);
    for (uint32_t i = 0; i < m->group_count; i++) {
        const struct match_group *g = &m->groups[i];
        if (router_member(r, m, g, msg, false)) {
            delivered++;
        } else if (g->peer_count != 0) {
            router_choose(r, router_pick_peer(r, m, g), i);
        }
    }
    if (m->peer_count != 0 || r->choice_count != base) delivered += router_peers(r, m, msg, base);
    r->choice_count = base;
    router_leave(r, m);
    ar->fanout_sum += delivered;
    if (delivered > ar->fanout_max) ar->fanout_max = delivered;
    return delivered;
}

void router_publish_local(struct router *r,
                          const struct message *msg,
                          bool plain,
                          const struct text *queues,
                          size_t count)
{
    struct account_router *ar = msg->account->router;
    if (ar == NULL) return;
    struct matches *m = router_enter(r, ar, message_route(msg));
    if (plain) (void)router_plain(m, msg, true);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < m->group_count; k++) {
            const struct match_group *g = &m->groups[k];
            if (text_equal(g->queue, queues[i])) (void)router_member(r, m, g, msg, true);
        }
    }
    router_leave(r, m);
}

/* ---- peers ---- */

void router_peer_interest(struct router *r,
                          node_id peer,
                          struct account *a,
                          struct text subject,
                          struct text queue,
                          uint32_t count)
{
    struct account_router *ar = router_of(r, a);
    struct trie_bag *bag = count != 0 ? subject_trie_bag(&ar->trie, subject, queue)
                                      : subject_trie_find(&ar->trie, subject, queue);
    if (bag == NULL) return;
    if (subject_trie_peer(&ar->trie, bag, peer, count)) router_changed(r, ar, subject);
}

void router_peer_gone(struct router *r, node_id peer)
{
    LIST_FOREACH (at, &r->accounts) {
        struct account_router *ar = CONTAINER_OF(at, struct account_router, in_router);
        subject_trie_peer_gone(&ar->trie, peer);
        subject_cache_drop_all(&ar->cache);
        for (size_t i = 0; ar->watch_count != 0 && i < ROUTER_WATCH_LISTS; i++)
            watches_due(r, &ar->watches[i], (struct text){0});
    }
}

void router_interest_each(struct router *r,
                          void (*each)(void *ctx,
                                       struct account *a,
                                       struct text subject,
                                       struct text queue,
                                       uint32_t count),
                          void *ctx)
{
    LIST_FOREACH (at, &r->accounts) {
        struct account_router *ar = CONTAINER_OF(at, struct account_router, in_router);
        LIST_FOREACH (node, &ar->trie.nodes) {
            struct trie_node *n = CONTAINER_OF(node, struct trie_node, in_trie);
            if (n->plain.clients != 0) {
                each(ctx, ar->account, n->plain.subs[0]->subject, (struct text){0}, 1);
            }
            LIST_FOREACH (group, &n->groups) {
                struct trie_bag *bag = CONTAINER_OF(group, struct trie_bag, in_node);
                if (bag->clients == 0) continue;
                each(ctx, ar->account, bag->subs[0]->subject, bag->queue, bag->clients);
            }
        }
    }
}

/* ---- who listens ---- */

static size_t interest_add(struct router_node *out, size_t count, size_t max, struct router_node n)
{
    for (size_t i = 0; i < count; i++) {
        if (out[i].node != n.node) continue;
        out[i].members += n.members;
        return count;
    }
    if (count == max || n.members == 0) return count;
    out[count] = n;
    return count + 1;
}

size_t router_interest(struct router *r,
                       struct account *a,
                       struct text subject,
                       struct text queue,
                       struct router_node *out,
                       size_t max)
{
    struct account_router *ar = a->router;
    if (ar == NULL) return 0;
    struct matches *m = router_enter(r, ar, subject);
    struct router_node self = {.node = r->o.self, .members = (uint32_t)m->sub_count};
    const struct trie_peer *peers = m->peers;
    size_t peer_count = m->peer_count, count = 0;
    if (queue.bytes != 0) {
        self.members = 0;
        peer_count = 0;
        for (size_t i = 0; i < m->group_count; i++) {
            if (!text_equal(m->groups[i].queue, queue)) continue;
            self.members = m->groups[i].member_count;
            peers = m->group_peers + m->groups[i].peer_first;
            peer_count = m->groups[i].peer_count;
        }
    }
    count = interest_add(out, count, max, self);
    for (size_t i = 0; i < peer_count; i++) {
        struct router_node n = {.node = peers[i].node, .members = peers[i].count};
        count = interest_add(out, count, max, n);
    }
    router_leave(r, m);
    return count;
}

void router_watch(struct router *r, struct router_watch *w)
{
    struct account_router *ar = router_of(r, w->account);
    w->due = (struct list_node){0};
    list_push_back(watch_list(ar, w->subject), &w->node);
    ar->watch_count++;
}

void router_unwatch(struct router *r, struct router_watch *w)
{
    if (list_linked(&w->node)) router_of(r, w->account)->watch_count--;
    list_remove(&w->node);
    list_remove(&w->due);
}

/* ---- for operators ---- */

void router_stats(const struct router *r, struct router_stats *out)
{
    *out = (struct router_stats){0};
    uint64_t fanout = 0;
    LIST_FOREACH (at, &r->accounts) {
        const struct account_router *ar = CONTAINER_OF(at, struct account_router, in_router);
        out->subs += ar->trie.sub_count;
        out->cached += ar->cache.count;
        out->inserts += ar->trie.insert_count;
        out->removes += ar->trie.remove_count;
        out->matches += ar->match_count;
        out->cache_hits += ar->cache.hits;
        if (ar->fanout_max > out->max_fanout) out->max_fanout = ar->fanout_max;
        fanout += ar->fanout_sum;
    }
    if (out->matches != 0) out->avg_fanout = (double)fanout / (double)out->matches;
}

void router_subs_each(struct router *r,
                      struct account *a,
                      void (*each)(void *ctx, struct sub *s),
                      void *ctx)
{
    (void)r;
    struct account_router *ar = a->router;
    if (ar == NULL) return;
    LIST_FOREACH (node, &ar->trie.nodes) {
        struct trie_node *n = CONTAINER_OF(node, struct trie_node, in_trie);
        for (uint32_t i = 0; i < n->plain.sub_count; i++)
            each(ctx, n->plain.subs[i]);
        LIST_FOREACH (group, &n->groups) {
            struct trie_bag *bag = CONTAINER_OF(group, struct trie_bag, in_node);
            for (uint32_t i = 0; i < bag->sub_count; i++)
                each(ctx, bag->subs[i]);
        }
    }
}
