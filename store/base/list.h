/* list.h - intrusive doubly linked list; the link lives in the object. Init a node before it is tested
 * with list_linked; a zeroed node counts as unlinked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "store/base/check.h"

struct list_node {
    struct list_node *next, *prev;
};
struct list {
    struct list_node head;
};

static inline void list_init(struct list *l)
{
    l->head.next = l->head.prev = &l->head;
}
static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}
static inline bool list_linked(const struct list_node *n)
{
    return n->next != NULL;
}
static inline void list_insert_before(struct list_node *at, struct list_node *n)
{
    CHECK(n->next == NULL);
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}
static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_insert_before(&l->head, n);
}
static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_insert_before(l->head.next, n);
}
/* Unlinks n; harmless when it isn't linked. */
static inline void list_remove(struct list_node *n)
{
    if (n->next == NULL) return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = NULL;
}
static inline struct list_node *list_first(const struct list *l)
{
    return list_empty(l) ? NULL : l->head.next;
}
static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);
    if (n != NULL) list_remove(n);
    return n;
}
/* Moves all of from to the end of to. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) return;
    from->head.next->prev = to->head.prev;
    to->head.prev->next = from->head.next;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    list_init(from);
}

#define LIST_FOREACH(n, l) for (struct list_node *n = (l)->head.next; n != &(l)->head; n = n->next)
#define LIST_FOREACH_SAFE(n, tmp, l)                                                               \
    for (struct list_node *n = (l)->head.next, *tmp = n->next; n != &(l)->head; n = tmp, tmp = n->next)
