#include "broker/client/reply_grants.h"

#include <stdlib.h>

#include "store/base/check.h"
#include "store/base/list.h"
#include "store/base/map.h"

struct grant {
    struct list_node in_order; /* oldest first */
    uint64_t expires_ns;       /* mono; 0: never */
    int64_t left;              /* -1: any number */
    size_t bytes;
    char subject[];
};
struct reply_grants {
    struct map by_subject;
    struct list order;
};

static struct text grant_key(const void *value)
{
    const struct grant *g = value;
    return (struct text){.at = g->subject, .bytes = g->bytes};
}

struct reply_grants *reply_grants_new(void)
{
    struct reply_grants *g = check_alloc(sizeof *g);
    map_init(&g->by_subject, (uint64_t)(uintptr_t)g, grant_key);
    list_init(&g->order);
    return g;
}

static void grant_drop(struct reply_grants *g, struct grant *grant)
{
    (void)map_take(&g->by_subject, grant_key(grant));
    list_remove(&grant->in_order);
    free(grant);
}

static struct grant *grant_oldest(struct reply_grants *g)
{
    struct list_node *at = list_first(&g->order);
    return at == NULL ? NULL : CONTAINER_OF(at, struct grant, in_order);
}

void reply_grants_free(struct reply_grants *g)
{
    if (g == NULL) return;
    struct grant *grant;
    while ((grant = grant_oldest(g)) != NULL)
        grant_drop(g, grant);
    map_free(&g->by_subject);
    free(g);
}

void reply_grants_add(struct reply_grants *g,
                      struct text reply,
                      const struct permissions *p,
                      struct mono now)
{
    struct grant *grant = map_get(&g->by_subject, reply);
    if (grant != NULL) grant_drop(g, grant);
    while ((grant = grant_oldest(g)) != NULL) {
        bool expired = grant->expires_ns != 0 && grant->expires_ns <= now.ns;
        if (!expired && g->by_subject.count < REPLY_GRANTS_MAX) break;
        grant_drop(g, grant);
    }
    grant = check_alloc(sizeof *grant + reply.bytes);
    grant->left = p->responses_max;
    grant->expires_ns = p->responses_expires_ns == 0 ? 0 : now.ns + p->responses_expires_ns;
    grant->bytes = reply.bytes;
    memcpy(grant->subject, reply.at, reply.bytes);
    map_put(&g->by_subject, grant);
    list_push_back(&g->order, &grant->in_order);
}

bool reply_grants_use(struct reply_grants *g, struct text subject, struct mono now)
{
    struct grant *grant = g == NULL ? NULL : map_get(&g->by_subject, subject);
    if (grant == NULL) return false;
    if (grant->expires_ns != 0 && grant->expires_ns <= now.ns) {
        grant_drop(g, grant);
        return false;
    }
    if (grant->left > 0 && --grant->left == 0) grant_drop(g, grant);
    return true;
}
