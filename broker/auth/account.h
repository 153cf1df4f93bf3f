/* account.h - an account: a name, a subject space of its own, limits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/list.h"
#include "store/base/map.h"
#include "store/base/slice.h"

struct account {
    char name[256];
    struct list_node in_table;
    bool jetstream;         /* enabled for this account */
    bool system; /* system_account of the config, else $SYS; exactly one */
    int64_t max_conns, max_subs; /* -1: unlimited */
    uint64_t conns, subs;
    int64_t max_memory, max_storage, max_streams, max_consumers, max_ack_pending; /* JetStream; -1: unlimited */
    uint64_t api_total, api_errors;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
    void *router; /* its trie */
    void *engine; /* JetStream's subscriptions in it */
};

struct accounts;
struct accounts *accounts_new(void); /* with $G and $SYS */
void accounts_free(struct accounts *a);
struct account *accounts_get(struct accounts *a, struct text name); /* NULL: unknown */
struct account *accounts_add(struct accounts *a, struct text name); /* or the one that is there */
struct account *accounts_global(struct accounts *a);
struct account *accounts_system(struct accounts *a);
struct account *accounts_next(struct accounts *a, struct account *at); /* NULL: first; in creation order */
