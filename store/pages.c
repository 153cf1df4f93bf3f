#include "store/pages.h"

#include "store/base/bug.h"

static struct page *page_of(struct list_node *n)
{
    return CONTAINER_OF(n, struct page, node);
}

void pages_init(struct pages *ps, uint64_t bytes_max)
{
    *ps = (struct pages){.bytes_max = bytes_max};
    list_init(&ps->clean);
    list_init(&ps->dirty);
    list_init(&ps->frozen);
}

static void free_all(struct list *l)
{
    for (struct list_node *n = list_pop_front(l); n != NULL; n = list_pop_front(l)) {
        struct page *p = page_of(n);
        p->class->free(p);
    }
}

void pages_close(struct pages *ps)
{
    free_all(&ps->clean);
    free_all(&ps->dirty);
    free_all(&ps->frozen);
    *ps = (struct pages){0};
}

void pages_add(struct pages *ps, struct page *p, bool dirty)
{
    p->dirty = dirty;
    p->epoch = ps->epoch;
    p->referenced = true;
    p->replaced = false;
    p->node = (struct list_node){0};
    list_push_back(dirty ? &ps->dirty : &ps->clean, &p->node);
    ps->bytes += p->bytes;
    if (dirty) ps->dirty_bytes += p->bytes;
}

struct page *pages_modify(struct pages *ps, struct page *p)
{
    p->referenced = true;
    if (p->dirty && p->epoch == ps->epoch) return p;
    if (p->dirty) {
        CHECK(!p->replaced);
        struct page *clone = p->class->clone(p);
        p->class->install(p, clone);
        p->replaced = true;
        pages_add(ps, clone, true);
        return clone;
    }
    list_remove(&p->node);
    list_push_back(&ps->dirty, &p->node);
    p->dirty = true;
    p->epoch = ps->epoch;
    ps->dirty_bytes += p->bytes;
    return p;
}

void pages_resized(struct pages *ps, struct page *p, uint64_t bytes)
{
    CHECK(p->dirty && p->epoch == ps->epoch);
    ps->bytes += bytes - p->bytes;
    ps->dirty_bytes += bytes - p->bytes;
    p->bytes = bytes;
}

/* Out of its list and of the sums, and freed. */
static void page_end(struct pages *ps, struct page *p)
{
    list_remove(&p->node);
    ps->bytes -= p->bytes;
    if (p->dirty) ps->dirty_bytes -= p->bytes;
    p->class->free(p);
}

void pages_drop(struct pages *ps, struct page *p)
{
    if (!pages_frozen(ps, p)) {
        page_end(ps, p);
        return;
    }
    p->replaced = true;
    p->of = NULL;
}

void pages_freeze(struct pages *ps)
{
    CHECK(list_empty(&ps->frozen));
    ps->epoch++;
    list_splice(&ps->frozen, &ps->dirty);
    ps->frozen_bytes = ps->dirty_bytes;
    ps->dirty_bytes = 0;
}

bool pages_thaw(struct pages *ps, size_t max)
{
    for (; max > 0 && !list_empty(&ps->frozen); max--) {
        struct page *p = page_of(list_pop_front(&ps->frozen));
        if (p->of != NULL) p->class->settled(p);
        if (p->replaced || p->class->empty(p)) {
            if (!p->replaced) p->class->install(p, NULL);
            ps->bytes -= p->bytes;
            p->class->free(p);
            continue;
        }
        p->dirty = false;
        list_push_back(&ps->clean, &p->node);
    }
    if (!list_empty(&ps->frozen)) return false;
    ps->frozen_bytes = 0;
    return true;
}

static void evict(struct pages *ps, struct page *p)
{
    p->class->install(p, NULL);
    page_end(ps, p);
}

void pages_trim(struct pages *ps)
{
    if (ps->bytes <= ps->bytes_max) return;
    while (ps->bytes > ps->bytes_max && !list_empty(&ps->clean)) {
        struct page *p = page_of(list_first(&ps->clean));
        if (!p->referenced) {
            evict(ps, p);
            continue;
        }
        p->referenced = false;
        list_remove(&p->node);
        list_push_back(&ps->clean, &p->node);
    }
    while (BUG_EVICT_DIRTY && ps->bytes > ps->bytes_max && !list_empty(&ps->dirty))
        evict(ps, page_of(list_first(&ps->dirty)));
}
