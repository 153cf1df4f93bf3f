/* engine_accounts.c - the engine's own subscriptions in each account, and the limits that accounts
 * have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/js/js.h"

static bool domain_deliver(struct sub *s, const struct message *m)
{
    struct js_account *ja = s->owner;
    struct engine *e = ja->engine;
    size_t head = strlen(ja->domain_subject) - 1;
    char subject[LIMIT_CONTROL_LINE_BYTES / 8];
    if (m->subject.bytes < head || m->subject.bytes - head + 8 > sizeof subject) return false;
    memcpy(subject, "$JS.API.", 8);
    memcpy(subject + 8, m->subject.at + head, m->subject.bytes - head);
    struct message to = *m;
    to.subject = (struct text){.at = subject, .bytes = m->subject.bytes - head + 8};
    return router_publish(e->o.router, &to) != 0;
}

/* A delivery's subject is the message's own, not the one that led here: it is no request, whatever
 * subject a client named as its inbox. */
static bool is_request(const struct message *m)
{
    return m->deliver.bytes == 0;
}

static bool domain_request(struct sub *s, const struct message *m)
{
    return is_request(m) && domain_deliver(s, m);
}
static bool fc_deliver(struct sub *s, const struct message *m)
{
    return is_request(m) && push_fc_deliver(s->owner, m);
}
static bool acks_deliver(struct sub *s, const struct message *m)
{
    return is_request(m) && ack_deliver(s->owner, m);
}
static bool calls_deliver(struct sub *s, const struct message *m)
{
    return is_request(m) && api_deliver(s->owner, m);
}

static void account_sub(struct js_account *ja,
                        struct sub *s,
                        struct text subject,
                        bool (*deliver)(struct sub *, const struct message *))
{
    *s = (struct sub){.account = ja->account,
                      .subject = subject,
                      .kind = SUB_INTERNAL,
                      .deliver = deliver,
                      .owner = ja};
    router_subscribe(ja->engine->o.router, s);
}

void engine_accounts_open_one(struct engine *e, struct account *a)
{
    struct js_account *ja = check_alloc(sizeof *ja);
    ja->engine = e;
    ja->account = a;
    a->engine = ja;
    list_push_back(&e->accounts, &ja->node);
    account_sub(ja, &ja->api, TEXT("$JS.API.>"), calls_deliver);
    account_sub(ja, &ja->ack, TEXT("$JS.ACK.>"), acks_deliver);
    account_sub(ja, &ja->fc, TEXT("$JS.FC.>"), fc_deliver);
    if (e->o.domain == NULL || e->o.domain[0] == '\0') return;
    snprintf(ja->domain_subject, sizeof ja->domain_subject, "$JS.%s.API.>", e->o.domain);
    account_sub(ja, &ja->domain, text_of(ja->domain_subject), domain_request);
}

void engine_accounts_close(struct js_account *ja)
{
    struct sub *subs[] = {&ja->api, &ja->domain, &ja->ack, &ja->fc};
    for (size_t i = 0; i < ARRAY_COUNT(subs); i++)
        router_unsubscribe(ja->engine->o.router, subs[i]);
    ja->account->engine = NULL;
    list_remove(&ja->node);
    free(ja);
}

/* A reload may have brought new ones. */
void engine_accounts_open(struct engine *e)
{
    for (struct account *a = accounts_next(e->o.accounts, NULL); a != NULL;
         a = accounts_next(e->o.accounts, a)) {
        if (a->engine == NULL) engine_accounts_open_one(e, a);
    }
}

/* What the configuration grants decides outcomes, so it goes through the log. */
void engine_accounts_limits(struct engine *e)
{
    LIST_FOREACH (n, &e->accounts) {
        struct account *a = CONTAINER_OF(n, struct js_account, node)->account;
        if (!a->jetstream) continue;
        struct command_account_limits c = {.account = text_of(a->name),
                                           .limits = {.max_memory = a->max_memory,
                                                      .max_storage = a->max_storage,
                                                      .max_streams = a->max_streams,
                                                      .max_consumers = a->max_consumers,
                                                      .max_ack_pending = a->max_ack_pending,
                                                      .memory_max_stream_bytes = -1,
                                                      .storage_max_stream_bytes = -1}};
        entry_put_account_limits(propose_open(e->o.group, c.account.bytes + 128), &c);
        propose_close(e->o.group, NULL);
    }
}
