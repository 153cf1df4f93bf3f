#include "store/block_cache.h"

#include <stdlib.h>

#include "store/base/err.h"
#include "store/base/logger.h"

static struct cached_block *block_of(struct list_node *n)
{
    return CONTAINER_OF(n, struct cached_block, node);
}

void block_cache_init(struct block_cache *c, struct kv *kv, uint64_t bytes_max)
{
    *c = (struct block_cache){.kv = kv, .bytes_max = bytes_max};
    map_init(&c->by_number, 0, NULL);
    list_init(&c->unused);
}

static void forget(struct block_cache *c, struct cached_block *b)
{
    map_take_u64(&c->by_number, b->number);
    c->bytes -= b->bytes;
    block_view_free(&b->view);
    c->kv->ops->unpin(c->kv, &b->pin);
    free(b);
}

static void trim(struct block_cache *c, uint64_t bytes_max)
{
    while (c->unused_bytes > bytes_max) {
        struct cached_block *b = block_of(list_pop_front(&c->unused));
        c->unused_bytes -= b->bytes;
        forget(c, b);
    }
}

void block_cache_close(struct block_cache *c)
{
    trim(c, 0);
    CHECK_EQ(c->by_number.count, 0); /* a cursor was not closed */
    map_free(&c->by_number);
}

static int damaged(uint64_t number, const char *how)
{
    LOG_CODE(ERR, LOG_CORRUPT, "block %llu: %s; nothing of it is served",
             (unsigned long long)number, how);
    return E_CORRUPT;
}

static int read_block(struct block_cache *c, uint64_t number, struct cached_block *b)
{
    struct key key = keys_data(number);
    int rc = c->kv->ops->get(c->kv, KV_DATA, key_text(&key), &b->pin);
    if (rc == E_NOTFOUND) return damaged(number, "lost");
    if (rc != 0) return rc;
    rc = block_decode(b->pin.value, &b->view);
    if (rc == 0) return 0;
    c->kv->ops->unpin(c->kv, &b->pin);
    return damaged(number, "bad checksum or format");
}

int block_cache_get(struct block_cache *c, uint64_t number, struct cached_block **out)
{
    struct cached_block *b = map_get_u64(&c->by_number, number);
    if (b == NULL) {
        b = check_alloc(sizeof *b);
        int rc = read_block(c, number, b);
        if (rc != 0) {
            free(b);
            return rc;
        }
        b->number = number;
        b->bytes = b->pin.value.bytes + b->view.subjects * sizeof(void *) + sizeof *b;
        c->bytes += b->bytes;
        map_put_u64(&c->by_number, number, b);
    } else if (b->refs == 0) {
        list_remove(&b->node);
        c->unused_bytes -= b->bytes;
    }
    b->refs++;
    *out = b;
    return 0;
}

void block_cache_release(struct block_cache *c, struct cached_block *b)
{
    if (b == NULL) return;
    CHECK(b->refs > 0);
    if (--b->refs > 0) return;
    b->node = (struct list_node){0};
    list_push_back(&c->unused, &b->node);
    c->unused_bytes += b->bytes;
    trim(c, c->bytes_max);
}
