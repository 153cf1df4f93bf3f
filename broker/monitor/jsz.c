/* /jsz: JetStream of this node, and what every node holds alike: streams and consumers. The objects
 * are the API's own (broker/js/js_info.c), so both always say the same. */
#include <stdio.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/monitor/monitor.h"

/* ---- pieces for /varz and /jsz ---- */

void monitor_js_config(struct monitor *m, struct json_out *j, const char *key)
{
    const struct broker_options *o = m->o;
    char dir[1200];
    json_out_object(j, key);
    if (m->parts->state != NULL) {
        (void)snprintf(dir, sizeof dir, "%s/jetstream", o->store_dir != NULL ? o->store_dir : "");
        json_out_i64(j, "max_memory", o->js_max_memory);
        json_out_i64(j, "max_storage", o->js_max_file);
        json_out_string(j, "store_dir", dir);
        json_out_u64(j, "sync_interval", 0); /* each write is synced before it is acknowledged */
        json_out_bool(j, "sync_always", true);
        if (o->domain != NULL) json_out_string(j, "domain", o->domain);
    }
    json_out_object_end(j);
}

struct js_totals {
    uint64_t memory, storage, accounts, streams, consumers, msgs, bytes, api_total, api_errors;
};

static struct js_totals totals_of(struct monitor *m)
{
    struct js_totals t = {0};
    struct account *a = NULL;
    if (m->parts->state == NULL) return t;
    while ((a = accounts_next(m->o->accounts, a)) != NULL) {
        if (!a->jetstream) continue;
        struct state_account_counts n = state_account_counts(m->parts->state, text_of(a->name));
        struct stream *s = NULL;
        t.accounts++;
        t.memory += n.memory_bytes;
        t.storage += n.storage_bytes;
        t.streams += n.streams;
        t.consumers += n.consumers;
        t.api_total += a->api_total;
        t.api_errors += a->api_errors;
        while ((s = state_stream_next(m->parts->state, text_of(a->name), s)) != NULL) {
            struct store_counts counts = stream_counts(s);
            t.msgs += counts.msgs;
            t.bytes += counts.bytes;
        }
    }
    return t;
}

static void write_stats(const struct js_totals *t, struct json_out *j)
{
    json_out_u64(j, "memory", t->memory);
    json_out_u64(j, "storage", t->storage);
    json_out_u64(j, "reserved_memory", 0);
    json_out_u64(j, "reserved_storage", 0);
    json_out_u64(j, "accounts", t->accounts);
    json_out_u64(j, "ha_assets", t->streams + t->consumers);
    json_out_object(j, "api");
    json_out_u64(j, "level", JS_API_LEVEL);
    json_out_u64(j, "total", t->api_total);
    json_out_u64(j, "errors", t->api_errors);
    json_out_object_end(j);
}

void monitor_js_stats(struct monitor *m, struct json_out *j)
{
    struct js_totals t = totals_of(m);
    write_stats(&t, j);
}

static void write_replica(const struct group_member *member,
                          const struct group_peer_status *status,
                          bool up,
                          struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_string(j, "name", member->name);
    json_out_bool(j, "current", status != NULL ? status->up : up);
    if (!up) json_out_bool(j, "offline", true);
    json_out_u64(j, "active", status != NULL ? status->silent_ns : 0);
    json_out_string(j, "peer", member->name);
    json_out_object_end(j);
}

static void write_replicas(struct monitor *m,
                           const struct group_member *members,
                           size_t count,
                           struct json_out *j)
{
    struct group *g = m->parts->group;
    struct group_peer_status peers[LIMIT_VOTERS * 2];
    size_t known = group_leads(g) ? group_peers(g, peers, ARRAY_COUNT(peers)) : 0;
    json_out_array(j, "replicas");
    for (size_t i = 0; i < count; i++) {
        const struct group_peer_status *status = NULL;
        if (members[i].id == group_leader(g)) continue;
        for (size_t k = 0; k < known; k++) {
            if (peers[k].id == members[i].id) status = &peers[k];
        }
        const struct cluster_peer *peer =
            m->parts->cluster == NULL ? NULL : cluster_peer(m->parts->cluster, members[i].id);
        bool up = members[i].id == m->parts->self || (peer != NULL && peer->up);
        write_replica(&members[i], status, up, j);
    }
    json_out_array_end(j);
}

void monitor_js_meta(struct monitor *m, struct json_out *j, const char *key)
{
    struct group *g = m->parts->group;
    struct group_member members[LIMIT_VOTERS * 2];
    if (g == NULL) return;
    size_t count = group_members(g, members, ARRAY_COUNT(members));
    json_out_object(j, key);
    json_out_string(j, "name", m->o->cluster_name != NULL ? m->o->cluster_name : "");
    for (size_t i = 0; i < count; i++) {
        if (members[i].id != group_leader(g)) continue;
        json_out_string(j, "leader", members[i].name);
        json_out_string(j, "peer", members[i].name);
    }
    write_replicas(m, members, count, j);
    json_out_u64(j, "cluster_size", count);
    json_out_u64(j, "quorum_needed", count / 2 + 1);
    json_out_u64(j, "pending", 0);
    json_out_object_end(j);
}

/* ---- details ---- */

enum jsz_depth { JSZ_SUMS, JSZ_ACCOUNTS, JSZ_STREAMS, JSZ_CONSUMERS };
struct jsz {
    struct monitor *m;
    enum jsz_depth depth;
    const char *account;
    bool leader_only;
    uint64_t offset, limit;
};

static void write_stream(const struct jsz *z, struct stream *s, struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_text(j, "name", s->config.name);
    js_info_stream_members(z->m->engine, s, j, NULL);
    if (z->depth >= JSZ_CONSUMERS) {
        json_out_array(j, "consumer_detail");
        LIST_FOREACH (at, &s->consumer_list) {
            struct consumer *c = CONTAINER_OF(at, struct consumer, in_stream);
            js_info_consumer(z->m->engine, c, j, NULL);
        }
        json_out_array_end(j);
    }
    json_out_object_end(j);
}

static void write_account(const struct jsz *z, struct account *a, struct json_out *j)
{
    struct state_account_counts n = state_account_counts(z->m->parts->state, text_of(a->name));
    json_out_object(j, NULL);
    json_out_string(j, "name", a->name);
    json_out_string(j, "id", a->name);
    json_out_u64(j, "memory", n.memory_bytes);
    json_out_u64(j, "storage", n.storage_bytes);
    json_out_i64(j, "reserved_memory", a->max_memory);
    json_out_i64(j, "reserved_storage", a->max_storage);
    json_out_u64(j, "accounts", 0);
    json_out_u64(j, "ha_assets", 0);
    json_out_object(j, "api");
    json_out_u64(j, "level", JS_API_LEVEL);
    json_out_u64(j, "total", a->api_total);
    json_out_u64(j, "errors", a->api_errors);
    json_out_object_end(j);
    if (z->depth >= JSZ_STREAMS) {
        struct stream *s = NULL;
        json_out_array(j, "stream_detail");
        while ((s = state_stream_next(z->m->parts->state, text_of(a->name), s)) != NULL) {
            write_stream(z, s, j);
        }
        json_out_array_end(j);
    }
    json_out_object_end(j);
}

static void write_accounts(const struct jsz *z, struct json_out *j)
{
    struct account *a = NULL;
    uint64_t seen = 0;
    json_out_array(j, "account_details");
    while ((a = accounts_next(z->m->o->accounts, a)) != NULL) {
        if (!a->jetstream) continue;
        if (z->account[0] != '\0' && strcmp(a->name, z->account) != 0) continue;
        if (seen++ < z->offset || seen > z->offset + z->limit) continue;
        write_account(z, a, j);
    }
    json_out_array_end(j);
    json_out_u64(j, "total", seen);
}

static int read_query(struct jsz *z, struct monitor_query *q)
{
    z->account = monitor_query_text(q, "acc");
    z->leader_only = monitor_query_flag(q, "leader-only");
    z->offset = monitor_query_number(q, "offset", 0);
    z->limit = monitor_query_number(q, "limit", MONITOR_CONNS_MAX);
    if (z->limit == 0) z->limit = MONITOR_CONNS_MAX;
    bool consumers = monitor_query_flag(q, "consumers"), streams = monitor_query_flag(q, "streams");
    bool accounts = monitor_query_flag(q, "accounts");
    (void)monitor_query_flag(q, "config");
    if (q->bad) return 400;
    z->depth = consumers                           ? JSZ_CONSUMERS
               : streams                           ? JSZ_STREAMS
               : accounts || z->account[0] != '\0' ? JSZ_ACCOUNTS
                                                   : JSZ_SUMS;
    if (z->account[0] == '\0') return 0;
    struct account *a = accounts_get(z->m->o->accounts, text_of(z->account));
    if (a != NULL && a->jetstream) return 0;
    (void)snprintf(q->error, sizeof q->error, "account \"%.100s\" not jetstream enabled",
                   z->account);
    return 400;
}

int jsz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct jsz z = {.m = m};
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    if (m->parts->state == NULL || m->engine == NULL) {
        json_out_bool(j, "disabled", true);
        monitor_js_config(m, j, "config");
        return 200;
    }
    int status = read_query(&z, q);
    if (status != 0) return status;
    struct js_totals t = totals_of(m);
    monitor_js_config(m, j, "config");
    write_stats(&t, j);
    json_out_u64(j, "streams", t.streams);
    json_out_u64(j, "consumers", t.consumers);
    json_out_u64(j, "messages", t.msgs);
    json_out_u64(j, "bytes", t.bytes);
    bool leads = group_leads(m->parts->group);
    if (leads) {
        json_out_u64(j, "streams_leader", t.streams);
        json_out_u64(j, "consumers_leader", t.consumers);
    }
    if (m->parts->cluster != NULL) monitor_js_meta(m, j, "meta_cluster");
    if (z.depth != JSZ_SUMS && (leads || !z.leader_only)) write_accounts(&z, j);
    return 200;
}
