#include "store/keys.h"

#include <string.h>

#include "store/base/check.h"

static void put_u32(struct key *k, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(k->at + k->bytes, &v, sizeof v);
    k->bytes = (uint8_t)(k->bytes + sizeof v);
}

static void put_u64(struct key *k, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(k->at + k->bytes, &v, sizeof v);
    k->bytes = (uint8_t)(k->bytes + sizeof v);
}

static uint32_t get_u32(const char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap32(v);
}

static uint64_t get_u64(const char *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap64(v);
}

struct key keys_data(uint64_t number)
{
    struct key k = {.bytes = 0};
    put_u64(&k, number);
    return k;
}

struct key keys_meta(void)
{
    return (struct key){.at = "M", .bytes = 1};
}

struct key keys_segments(uint32_t page)
{
    struct key k = {.at = "G", .bytes = 1};
    put_u32(&k, page);
    return k;
}

struct key keys_stream(char kind, struct key_stream s)
{
    struct key k = {.at = {(uint8_t)kind}, .bytes = 1};
    put_u32(&k, s.account);
    put_u32(&k, s.stream);
    return k;
}

struct key keys_leaf(struct key_stream s, uint64_t first)
{
    struct key k = keys_stream('B', s);
    put_u64(&k, first);
    return k;
}

struct key keys_bucket(struct key_stream s, uint32_t bucket)
{
    struct key k = keys_stream('S', s);
    put_u32(&k, bucket);
    return k;
}

bool keys_data_read(struct text key, uint64_t *number)
{
    if (key.bytes != 8) return false;
    *number = get_u64(key.at);
    return true;
}

bool keys_segments_read(struct text key, uint32_t *page)
{
    if (key.bytes != 5 || key.at[0] != 'G') return false;
    *page = get_u32(key.at + 1);
    return true;
}

bool keys_stream_read(struct text key, char kind, struct key_stream *s)
{
    if (key.bytes != 9 || key.at[0] != kind) return false;
    *s = (struct key_stream){.account = get_u32(key.at + 1), .stream = get_u32(key.at + 5)};
    return true;
}

static bool of_stream(struct text key, char kind, struct key_stream s)
{
    struct key prefix = keys_stream(kind, s);
    return key.bytes > prefix.bytes && memcmp(key.at, prefix.at, prefix.bytes) == 0;
}

bool keys_leaf_read(struct text key, struct key_stream s, uint64_t *first)
{
    if (key.bytes != 17 || !of_stream(key, 'B', s)) return false;
    *first = get_u64(key.at + 9);
    return true;
}

bool keys_bucket_read(struct text key, struct key_stream s, uint32_t *bucket)
{
    if (key.bytes != 13 || !of_stream(key, 'S', s)) return false;
    *bucket = get_u32(key.at + 9);
    return true;
}

bool keys_foreign(struct text key)
{
    return key.bytes > 0 && key.at[0] >= 'a' && key.at[0] <= 'z';
}
