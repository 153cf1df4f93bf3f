#include "broker/auth/account.h"

#include <stdlib.h>

#include "store/base/check.h"

struct accounts {
    struct list list; /* in creation order */
    struct map by_name;
};

static struct text account_key(const void *value)
{
    return text_of(((const struct account *)value)->name);
}

struct accounts *accounts_new(void)
{
    struct accounts *a = check_alloc(sizeof *a);
    list_init(&a->list);
    map_init(&a->by_name, 0,
             account_key); /* names come from the operator's config: no seed needed */
    accounts_add(a, TEXT("$G"));
    accounts_add(a, TEXT("$SYS"))->system = true;
    return a;
}

void accounts_free(struct accounts *a)
{
    if (a == NULL) return;
    struct list_node *at;
    while ((at = list_pop_front(&a->list)) != NULL)
        free(CONTAINER_OF(at, struct account, in_table));
    map_free(&a->by_name);
    free(a);
}

struct account *accounts_get(struct accounts *a, struct text name)
{
    return map_get(&a->by_name, name);
}

struct account *accounts_add(struct accounts *a, struct text name)
{
    struct account *found = accounts_get(a, name);
    if (found != NULL) return found;
    CHECK(name.bytes < sizeof found->name);
    struct account *account = check_alloc(sizeof *account);
    memcpy(account->name, name.at, name.bytes);
    account->max_memory = account->max_storage = account->max_streams = -1;
    account->max_consumers = account->max_ack_pending = -1;
    account->max_conns = account->max_subs = -1;
    list_push_back(&a->list, &account->in_table);
    map_put(&a->by_name, account);
    return account;
}

struct account *accounts_global(struct accounts *a)
{
    return accounts_get(a, TEXT("$G"));
}

struct account *accounts_system(struct accounts *a)
{
    LIST_FOREACH (at, &a->list) {
        struct account *account = CONTAINER_OF(at, struct account, in_table);
        if (account->system) return account;
    }
    return NULL;
}

struct account *accounts_next(struct accounts *a, struct account *at)
{
    struct list_node *next = at == NULL ? a->list.head.next : at->in_table.next;
    return next == &a->list.head ? NULL : CONTAINER_OF(next, struct account, in_table);
}
