/* /accountz and /accstatz. */
#include <stdio.h>

#include "broker/monitor/monitor.h"

static void write_detail(struct monitor *m, const struct account *a, struct json_out *j)
{
    json_out_object(j, "account_detail");
    json_out_string(j, "account_name", a->name);
    monitor_member_now(m, j, "update_time");
    json_out_bool(j, "is_system", a->system);
    json_out_bool(j, "expired", false);
    json_out_bool(j, "complete", true);
    json_out_bool(j, "jetstream_enabled", a->jetstream);
    json_out_u64(j, "leafnode_connections", 0);
    json_out_u64(j, "client_connections", a->conns);
    json_out_u64(j, "subscriptions", a->subs);
    json_out_object_end(j);
}

int accountz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    const char *name = monitor_query_text(q, "acc");
    struct account *system = accounts_system(m->o->accounts), *a = NULL;
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    if (system != NULL) json_out_string(j, "system_account", system->name);
    if (name[0] != '\0') {
        a = accounts_get(m->o->accounts, text_of(name));
        if (a == NULL) {
            (void)snprintf(q->error, sizeof q->error, "Account %.100s does not exist", name);
            return 400;
        }
        write_detail(m, a, j);
        return 200;
    }
    json_out_array(j, "accounts");
    while ((a = accounts_next(m->o->accounts, a)) != NULL)
        json_out_string(j, NULL, a->name);
    json_out_array_end(j);
    return 200;
}

static void write_traffic(struct json_out *j, const char *key, uint64_t msgs, uint64_t bytes)
{
    json_out_object(j, key);
    json_out_u64(j, "msgs", msgs);
    json_out_u64(j, "bytes", bytes);
    json_out_object_end(j);
}

int accountz_stats(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    bool unused = monitor_query_flag(q, "unused");
    struct account *a = NULL;
    if (q->bad) return 400;
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    json_out_array(j, "account_statz");
    while ((a = accounts_next(m->o->accounts, a)) != NULL) {
        if (!unused && a->conns == 0) continue;
        json_out_object(j, NULL);
        json_out_string(j, "acc", a->name);
        json_out_string(j, "name", a->name);
        json_out_u64(j, "conns", a->conns);
        json_out_u64(j, "leafnodes", 0);
        json_out_u64(j, "total_conns", a->conns);
        json_out_u64(j, "num_subscriptions", a->subs);
        write_traffic(j, "sent", a->out_msgs, a->out_bytes);
        write_traffic(j, "received", a->in_msgs, a->in_bytes);
        json_out_u64(j, "slow_consumers", 0);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    return 200;
}
