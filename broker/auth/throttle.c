#include "broker/auth/throttle.h"

#include <stddef.h>

#include "store/base/map.h"

void throttle_init(struct throttle *t, uint64_t seed)
{
    *t = (struct throttle){.seed = seed};
}

static uint64_t address_hash(const struct throttle *t, struct text address)
{
    const char *colon = address.bytes == 0 ? NULL : memrchr(address.at, ':', address.bytes);
    if (colon != NULL) address.bytes = (size_t)(colon - address.at);
    return map_hash(t->seed, address) | 1;
}

static const struct throttle_slot *throttle_find(const struct throttle *t, uint64_t hash)
{
    const struct throttle_slot *set = &t->slots[(hash >> 8) % THROTTLE_SETS * THROTTLE_WAYS];
    for (size_t i = 0; i < THROTTLE_WAYS; i++) {
        if (set[i].hash == hash) return &set[i];
    }
    return NULL;
}

/* Its own slot, else the one that failed longest ago. */
static struct throttle_slot *throttle_place(struct throttle *t, uint64_t hash)
{
    struct throttle_slot *set = &t->slots[(hash >> 8) % THROTTLE_SETS * THROTTLE_WAYS];
    struct throttle_slot *oldest = set;
    for (size_t i = 0; i < THROTTLE_WAYS; i++) {
        if (set[i].hash == hash) return &set[i];
        if (set[i].last_ns < oldest->last_ns) oldest = &set[i];
    }
    *oldest = (struct throttle_slot){.hash = hash};
    return oldest;
}

void throttle_failed(struct throttle *t, struct text address, struct mono now)
{
    struct throttle_slot *slot = throttle_place(t, address_hash(t, address));
    if (now.ns - slot->last_ns > THROTTLE_FORGET_NS) slot->failures = 0;
    slot->last_ns = now.ns;
    slot->failures++;
}

uint64_t throttle_delay_ns(const struct throttle *t, struct text address, struct mono now)
{
    const struct throttle_slot *slot = throttle_find(t, address_hash(t, address));
    if (slot == NULL || slot->failures <= THROTTLE_FREE) return 0;
    if (now.ns - slot->last_ns > THROTTLE_FORGET_NS) return 0;
    uint64_t delay_ns = (slot->failures - THROTTLE_FREE) * THROTTLE_STEP_NS;
    return delay_ns < THROTTLE_DELAY_NS_MAX ? delay_ns : THROTTLE_DELAY_NS_MAX;
}
