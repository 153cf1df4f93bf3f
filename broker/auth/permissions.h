/* permissions.h - allow and deny: the one matcher, at subscribe, at publish and at delivery.
 *
 * Deny beats allow. A wildcard subscription that reaches further than what is denied is allowed;
 * the denied part is then held back at delivery (filtered). Filled by the config; read only
 * afterwards. Source: protocol reference, section 3.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/slice.h"

enum permissions_list {
    PERMISSIONS_PUB_ALLOW,
    PERMISSIONS_PUB_DENY,
    PERMISSIONS_SUB_ALLOW,
    PERMISSIONS_SUB_DENY,
    PERMISSIONS_LISTS
};

struct permissions_entry {
    struct text subject, queue; /* owned; queue may hold wildcards; empty: none */
};
struct permissions {
    struct {
        struct permissions_entry *entries;
        size_t count;
        bool given; /* an allow list that is given and empty allows nothing */
    } lists[PERMISSIONS_LISTS];
    bool responses;                /* may answer what it was sent, whatever the publish lists say */
    int64_t responses_max;         /* answers to one message; -1: any number */
    uint64_t responses_expires_ns; /* 0: never */
};

struct permissions *permissions_new(void);
void permissions_free(struct permissions *p); /* NULL is harmless */
/* One entry as the config has it: "subject" or "subject queue" (subscribe lists only). False: not
 * valid. */
bool permissions_add(struct permissions *p, enum permissions_list list, struct text entry);
/* The list is there, even when nothing is added. */
void permissions_give(struct permissions *p, enum permissions_list list);
struct permissions *permissions_copy(const struct permissions *p);

/* NULL: everything is allowed. */
bool permissions_publish(const struct permissions *p, struct text subject);
/* *filtered: some of what the subscription matches is denied: ask permissions_deliver for each
 * message. */
bool permissions_subscribe(const struct permissions *p,
                           struct text subject,
                           struct text queue,
                           bool *filtered);
bool permissions_deliver(const struct permissions *p, struct text subject);
