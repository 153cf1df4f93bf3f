/* pool.c - see pool.h. */
#include "store/base/pool.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEPS 0
#else
#define POOL_KEEPS 1
#endif

void pool_init(struct pool *p, size_t object_bytes, size_t free_max)
{
    if (object_bytes < sizeof(void *)) object_bytes = sizeof(void *);
    *p = (struct pool){.object_bytes = object_bytes, .free_max = POOL_KEEPS ? free_max : 0};
}

void pool_free(struct pool *p)
{
    CHECK_EQ(p->used, 0);
    while (p->free_list != NULL) {
        void *object = p->free_list;
        memcpy(&p->free_list, object, sizeof p->free_list);
        free(object);
    }
    p->free_count = 0;
}

void *pool_take(struct pool *p)
{
    if (++p->used > p->used_max) p->used_max = p->used;
    void *object = p->free_list;
    if (object == NULL) return check_alloc(p->object_bytes);
    memcpy(&p->free_list, object, sizeof p->free_list);
    p->free_count--;
    return memset(object, 0, p->object_bytes);
}

void pool_give(struct pool *p, void *object)
{
    if (object == NULL) return;
    CHECK(p->used > 0);
    p->used--;
    if (p->free_count >= p->free_max) {
        free(object);
        return;
    }
    memcpy(object, &p->free_list, sizeof p->free_list);
    p->free_list = object;
    p->free_count++;
}
