/* /subsz: how the subject index does, and its subscriptions. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/client/conn.h"
#include "broker/core/subject.h"
#include "broker/monitor/monitor.h"

struct subsz {
    struct sub **subs;
    size_t count, max;
    struct text test; /* only what matches this literal subject; empty: all */
};

static void gather(void *ctx, struct sub *s)
{
    struct subsz *z = ctx;
    if (s->kind != SUB_CLIENT) return;
    if (z->test.bytes != 0 && !subject_match(s->subject, z->test)) return;
    if (z->count == z->max) {
        z->max = z->max == 0 ? 256 : z->max * 2;
        z->subs = check_realloc(z->subs, z->max * sizeof(struct sub *));
    }
    z->subs[z->count++] = s;
}

static void gather_accounts(struct monitor *m, struct monitor_query *q, struct subsz *z)
{
    const char *name = monitor_query_text(q, "acc");
    if (name[0] != '\0') {
        struct account *only = accounts_get(m->o->accounts, text_of(name));
        if (only != NULL) router_subs_each(m->router, only, gather, z);
        return;
    }
    struct account *a = NULL;
    while ((a = accounts_next(m->o->accounts, a)) != NULL)
        router_subs_each(m->router, a, gather, z);
}

static void write_sub(const struct sub *s, struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_string(j, "account", s->account->name);
    json_out_text(j, "subject", s->subject);
    if (s->queue.bytes != 0) json_out_text(j, "qgroup", s->queue);
    if (s->conn != NULL) json_out_text(j, "sid", ((const struct conn_sub *)(const void *)s)->sid);
    json_out_u64(j, "msgs", s->sid_msgs);
    if (s->max_msgs != 0) json_out_u64(j, "max", s->max_msgs);
    if (s->conn != NULL) json_out_u64(j, "cid", s->conn->cid);
    json_out_object_end(j);
}

int subsz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct subsz z = {.test = text_of(monitor_query_text(q, "test"))};
    uint64_t offset = monitor_query_number(q, "offset", 0);
    uint64_t limit = monitor_query_number(q, "limit", MONITOR_CONNS_MAX);
    bool list = monitor_query_flag(q, "subs");
    struct router_stats r;
    if (limit == 0) limit = MONITOR_CONNS_MAX;
    if (z.test.bytes != 0 && !subject_valid_literal(z.test)) {
        (void)snprintf(q->error, sizeof q->error,
                       "invalid test subject, must be publish subject: %.100s", z.test.at);
        return 400;
    }
    if (q->bad) return 400;
    router_stats(m->router, &r);
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    json_out_u64(j, "num_subscriptions", r.subs);
    json_out_u64(j, "num_cache", r.cached);
    json_out_u64(j, "num_inserts", r.inserts);
    json_out_u64(j, "num_removes", r.removes);
    json_out_u64(j, "num_matches", r.matches);
    json_out_double(j, "cache_hit_rate",
                    r.matches == 0 ? 0 : (double)r.cache_hits / (double)r.matches);
    json_out_u64(j, "max_fanout", r.max_fanout);
    json_out_double(j, "avg_fanout", r.avg_fanout);
    if (!list) return 200;
    gather_accounts(m, q, &z);
    size_t from = offset < z.count ? (size_t)offset : z.count;
    size_t page = limit < z.count - from ? (size_t)limit : z.count - from;
    json_out_u64(j, "total", z.count);
    json_out_u64(j, "offset", offset);
    json_out_u64(j, "limit", limit);
    json_out_array(j, "subscriptions_list");
    for (size_t i = 0; i < page; i++)
        write_sub(z.subs[from + i], j);
    json_out_array_end(j);
    free(z.subs);
    return 200;
}
