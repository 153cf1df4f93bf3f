#include "broker/core/subject_trie.h"

#include <stdlib.h>

/* Doubles an array until `need` elements fit. */
static void *array_grow(void *base, size_t *max, size_t need, size_t element_bytes)
{
    size_t next = *max == 0 ? 4 : *max;
    while (next < need)
        next *= 2;
    *max = next;
    return check_realloc(base, next * element_bytes);
}

#define ARRAY_ROOM(array, max, need)                                                               \
    do {                                                                                           \
        if ((size_t)(need) > (max)) {                                                              \
            size_t grown_max = (max);                                                              \
            (array) = array_grow((array), &grown_max, (need), sizeof *(array));                    \
            (max) = (__typeof__(max))grown_max;                                                    \
        }                                                                                          \
    } while (0)

/* ---- nodes and bags ---- */

static struct text node_key(const void *value)
{
    return ((const struct trie_node *)value)->token;
}

static struct trie_node *
node_new(struct subject_trie *t, struct trie_node *parent, struct text token)
{
    struct trie_node *n = check_alloc(sizeof *n + token.bytes);
    n->parent = parent;
    if (token.bytes != 0) memcpy(n->token_bytes, token.at, token.bytes);
    n->token = (struct text){.at = n->token_bytes, .bytes = token.bytes};
    map_init(&n->children, t->seed, node_key);
    n->plain.node = n;
    list_init(&n->groups);
    list_push_back(&t->nodes, &n->in_trie);
    t->node_count++;
    return n;
}

static bool bag_is_empty(const struct trie_bag *bag)
{
    return bag->sub_count == 0 && bag->peer_count == 0;
}

static bool node_is_empty(const struct trie_node *n)
{
    return bag_is_empty(&n->plain) && list_empty(&n->groups) && n->children.count == 0 &&
           n->star == NULL && n->rest == NULL;
}

/* Frees n alone; its parent may be empty then. */
static void node_free(struct subject_trie *t, struct trie_node *n)
{
    struct trie_node *parent = n->parent;
    if (parent->star == n) {
        parent->star = NULL;
    } else if (parent->rest == n) {
        parent->rest = NULL;
    } else {
        map_take(&parent->children, n->token);
    }
    list_remove(&n->in_trie);
    map_free(&n->children);
    free(n->plain.subs);
    free(n->plain.peers);
    free(n);
    t->node_count--;
}

static void node_prune(struct subject_trie *t, struct trie_node *n)
{
    while (n != t->root && node_is_empty(n)) {
        struct trie_node *parent = n->parent;
        node_free(t, n);
        n = parent;
    }
}

static void bag_free(struct trie_bag *bag)
{
    list_remove(&bag->in_node);
    free(bag->subs);
    free(bag->peers);
    free(bag);
}

/* A queue's bag goes when it is empty; a plain one is part of its node. */
static void bag_shrink(struct trie_bag *bag)
{
    if (bag->queue.bytes != 0 && bag_is_empty(bag)) bag_free(bag);
}

static struct trie_bag *node_group(struct trie_node *n, struct text queue)
{
    LIST_FOREACH (at, &n->groups) {
        struct trie_bag *bag = CONTAINER_OF(at, struct trie_bag, in_node);
        if (text_equal(bag->queue, queue)) return bag;
    }
    return NULL;
}

static struct trie_bag *node_group_new(struct trie_node *n, struct text queue)
{
    struct trie_bag *bag = check_alloc(sizeof *bag + queue.bytes);
    char *name = (char *)(bag + 1);
    memcpy(name, queue.at, queue.bytes);
    bag->queue = (struct text){.at = name, .bytes = queue.bytes};
    bag->node = n;
    list_push_back(&n->groups, &bag->in_node);
    return bag;
}

/* ---- the trie ---- */

void subject_trie_init(struct subject_trie *t, uint64_t seed)
{
    *t = (struct subject_trie){.seed = seed};
    list_init(&t->nodes);
    t->root = node_new(t, NULL, (struct text){0});
}

void subject_trie_free(struct subject_trie *t)
{
    struct list_node *at;
    while ((at = list_pop_front(&t->nodes)) != NULL) {
        struct trie_node *n = CONTAINER_OF(at, struct trie_node, in_trie);
        struct list_node *group;
        while ((group = list_first(&n->groups)) != NULL) {
            bag_free(CONTAINER_OF(group, struct trie_bag, in_node));
        }
        map_free(&n->children);
        free(n->plain.subs);
        free(n->plain.peers);
        free(n);
    }
    free(t->frontier);
    free(t->frontier_next);
    free(t->found);
    *t = (struct subject_trie){0};
}

static struct trie_node **node_wild_child(struct trie_node *n, struct text token)
{
    if (subject_is_star(token)) return &n->star;
    return subject_is_rest(token) ? &n->rest : NULL;
}

struct trie_bag *subject_trie_bag(struct subject_trie *t, struct text subject, struct text queue)
{
    struct trie_node *n = t->root;
    struct text rest = subject, token;
    while (subject_token(&rest, &token)) {
        struct trie_node **wild = node_wild_child(n, token);
        struct trie_node *child = wild != NULL ? *wild : map_get(&n->children, token);
        if (child == NULL) {
            child = node_new(t, n, token);
            if (wild != NULL) {
                *wild = child;
            } else {
                map_put(&n->children, child);
            }
        }
        n = child;
    }
    if (queue.bytes == 0) return &n->plain;
    struct trie_bag *bag = node_group(n, queue);
    return bag != NULL ? bag : node_group_new(n, queue);
}

struct trie_bag *subject_trie_find(struct subject_trie *t, struct text subject, struct text queue)
{
    struct trie_node *n = t->root;
    struct text rest = subject, token;
    while (subject_token(&rest, &token)) {
        struct trie_node **wild = node_wild_child(n, token);
        n = wild != NULL ? *wild : map_get(&n->children, token);
        if (n == NULL) return NULL;
    }
    return queue.bytes == 0 ? &n->plain : node_group(n, queue);
}

void subject_trie_add(struct subject_trie *t, struct trie_bag *bag, struct sub *s)
{
    CHECK(s->trie == NULL);
    ARRAY_ROOM(bag->subs, bag->sub_max, bag->sub_count + 1);
    s->trie = bag;
    s->trie_index = bag->sub_count;
    bag->subs[bag->sub_count++] = s;
    if (s->kind != SUB_INTERNAL) bag->clients++;
    t->sub_count++;
    t->insert_count++;
}

void subject_trie_remove(struct subject_trie *t, struct sub *s)
{
    struct trie_bag *bag = s->trie;
    CHECK(bag->subs[s->trie_index] == s);
    struct sub *last = bag->subs[--bag->sub_count];
    bag->subs[s->trie_index] = last;
    last->trie_index = s->trie_index;
    s->trie = NULL;
    if (s->kind != SUB_INTERNAL) bag->clients--;
    t->sub_count--;
    t->remove_count++;
    struct trie_node *n = bag->node;
    bag_shrink(bag);
    node_prune(t, n);
}

static struct trie_peer *bag_peer(struct trie_bag *bag, node_id peer)
{
    for (uint32_t i = 0; i < bag->peer_count; i++) {
        if (bag->peers[i].node == peer) return &bag->peers[i];
    }
    return NULL;
}

bool subject_trie_peer(struct subject_trie *t, struct trie_bag *bag, node_id peer, uint32_t count)
{
    struct trie_peer *p = bag_peer(bag, peer);
    bool changed = p == NULL ? count != 0 : p->count != count;
    if (p == NULL && count != 0) {
        ARRAY_ROOM(bag->peers, bag->peer_max, bag->peer_count + 1);
        bag->peers[bag->peer_count++] = (struct trie_peer){.node = peer, .count = count};
    } else if (p != NULL && count != 0) {
        p->count = count;
    } else if (p != NULL) {
        *p = bag->peers[--bag->peer_count];
    }
    struct trie_node *n = bag->node;
    bag_shrink(bag);
    node_prune(t, n);
    return changed;
}

static void node_forget_peer(struct trie_node *n, node_id peer)
{
    struct trie_peer *p = bag_peer(&n->plain, peer);
    if (p != NULL) *p = n->plain.peers[--n->plain.peer_count];
    LIST_FOREACH_SAFE (at, next, &n->groups) {
        struct trie_bag *bag = CONTAINER_OF(at, struct trie_bag, in_node);
        p = bag_peer(bag, peer);
        if (p != NULL) *p = bag->peers[--bag->peer_count];
        bag_shrink(bag);
    }
}

void subject_trie_peer_gone(struct subject_trie *t, node_id peer)
{
    /* From the end: children come before their parents, and only the node at hand is ever freed. */
    struct list_node *at = t->nodes.head.prev;
    while (at != &t->nodes.head) {
        struct trie_node *n = CONTAINER_OF(at, struct trie_node, in_trie);
        at = at->prev;
        node_forget_peer(n, peer);
        if (n != t->root && node_is_empty(n)) node_free(t, n);
    }
}

/* ---- matching ---- */

struct matches *matches_new(void)
{
    return check_alloc(sizeof(struct matches));
}

void matches_free(struct matches *m)
{
    CHECK(m->refs == 0);
    free(m->subs);
    free(m->members);
    free(m->groups);
    free(m->peers);
    free(m->group_peers);
    free(m->names);
    free(m);
}

void matches_clear(struct matches *m)
{
    m->sub_count = m->member_count = m->group_count = 0;
    m->peer_count = m->group_peer_count = m->name_bytes = 0;
}

static void matches_plain(struct matches *m, const struct trie_bag *bag)
{
    ARRAY_ROOM(m->subs, m->sub_max, m->sub_count + bag->sub_count);
    if (bag->sub_count != 0) {
        memcpy(m->subs + m->sub_count, bag->subs, bag->sub_count * sizeof *bag->subs);
        m->sub_count += bag->sub_count;
    }
    for (uint32_t i = 0; i < bag->peer_count; i++) {
        bool known = false;
        for (size_t k = 0; k < m->peer_count && !known; k++) {
            known = m->peers[k].node == bag->peers[i].node;
            if (known) m->peers[k].count += bag->peers[i].count;
        }
        if (known) continue;
        ARRAY_ROOM(m->peers, m->peer_max, m->peer_count + 1);
        m->peers[m->peer_count++] = bag->peers[i];
    }
}

static void matches_member_bag(struct matches *m, struct match_group *g, const struct trie_bag *bag)
{
    if (bag->sub_count != 0) {
        ARRAY_ROOM(m->members, m->member_max, m->member_count + bag->sub_count);
        memcpy(m->members + m->member_count, bag->subs, bag->sub_count * sizeof *bag->subs);
        m->member_count += bag->sub_count;
        g->member_count += bag->sub_count;
    }
    for (uint32_t i = 0; i < bag->peer_count; i++) {
        ARRAY_ROOM(m->group_peers, m->group_peer_max, m->group_peer_count + 1);
        m->group_peers[m->group_peer_count++] = bag->peers[i];
        g->peer_count++;
    }
}

/* One group for all bags of the same queue name, wherever in the trie they lie; done ones become
 * NULL. */
static void matches_group(struct matches *m, struct trie_bag **found, size_t count)
{
    struct text queue = found[0]->queue;
    ARRAY_ROOM(m->groups, m->group_max, m->group_count + 1);
    struct match_group g = {.member_first = (uint32_t)m->member_count,
                            .peer_first = (uint32_t)m->group_peer_count};
    for (size_t i = 0; i < count; i++) {
        if (found[i] == NULL || !text_equal(found[i]->queue, queue)) continue;
        matches_member_bag(m, &g, found[i]);
        found[i] = NULL;
    }
    ARRAY_ROOM(m->names, m->name_max, m->name_bytes + queue.bytes);
    memcpy(m->names + m->name_bytes, queue.at, queue.bytes);
    g.queue.bytes = queue.bytes; /* at is set when names stays where it is */
    m->name_bytes += queue.bytes;
    m->groups[m->group_count++] = g;
}

static void trie_collect(struct subject_trie *t,
                         const struct trie_node *n,
                         struct matches *out,
                         size_t *found_count)
{
    matches_plain(out, &n->plain);
    LIST_FOREACH (at, &n->groups) {
        ARRAY_ROOM(t->found, t->found_max, *found_count + 1);
        t->found[(*found_count)++] = CONTAINER_OF(at, struct trie_bag, in_node);
    }
}

/* Level by level: all nodes that the tokens so far lead to. */
static size_t trie_step(struct subject_trie *t,
                        size_t count,
                        struct text token,
                        struct matches *out,
                        size_t *found_count)
{
    size_t next_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct trie_node *n = t->frontier[i];
        if (n->rest != NULL) trie_collect(t, n->rest, out, found_count);
        ARRAY_ROOM(t->frontier_next, t->frontier_next_max, next_count + 2);
        struct trie_node *child = n->children.count == 0 ? NULL : map_get(&n->children, token);
        if (child != NULL) t->frontier_next[next_count++] = child;
        if (n->star != NULL) t->frontier_next[next_count++] = n->star;
    }
    struct trie_node **nodes = t->frontier;
    size_t nodes_max = t->frontier_max;
    t->frontier = t->frontier_next;
    t->frontier_max = t->frontier_next_max;
    t->frontier_next = nodes;
    t->frontier_next_max = nodes_max;
    return next_count;
}

void subject_trie_match(struct subject_trie *t, struct text subject, struct matches *out)
{
    size_t found_count = 0, count = 1;
    ARRAY_ROOM(t->frontier, t->frontier_max, 1);
    t->frontier[0] = t->root;
    struct text rest = subject, token;
    while (count != 0 && subject_token(&rest, &token)) {
        count = trie_step(t, count, token, out, &found_count);
    }
    for (size_t i = 0; i < count; i++)
        trie_collect(t, t->frontier[i], out, &found_count);
    for (size_t i = 0; i < found_count; i++) {
        if (t->found[i] != NULL) matches_group(out, t->found + i, found_count - i);
    }
    char *name = out->names;
    for (size_t i = 0; i < out->group_count; i++) {
        out->groups[i].queue.at = name;
        name += out->groups[i].queue.bytes;
    }
}
