/* /metrics: Prometheus text under the names of the usual exporter, so that its dashboards work
 * unchanged. Streams and consumers are bounded in number: beyond, a line says how many were left
 * out. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/monitor/monitor.h"

#define METRICS_ASSETS_MAX 2000

static void put(struct writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct writer *w, const char *fmt, ...)
{
    char line[2048];
    va_list args;
    va_start(args, fmt);
    int bytes = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (bytes > 0)
        writer_put(w, line, (size_t)bytes < sizeof line ? (size_t)bytes : sizeof line - 1);
}

static void put_value(struct writer *w, const struct monitor *m, const char *name, double value)
{
    put(w, "# TYPE nats_%s gauge\nnats_%s{server_id=\"%s\"} %.17g\n", name, name, m->o->server_id,
        value);
}

static uint64_t routes_up(const struct monitor *m)
{
    uint64_t up = 0;
    struct cluster_peer *p = NULL;
    while (m->parts->cluster != NULL && (p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
        up += p->up;
    }
    return up;
}

static void put_server(struct monitor *m, struct writer *w)
{
    const struct listener_stats *s = &m->listener->stats;
    struct router_stats r;
    router_stats(m->router, &r);
    const struct {
        const char *name;
        double value;
    } rows[] = {
        {"varz_connections", (double)m->listener->conn_count},
        {"varz_total_connections", (double)s->total_conns},
        {"varz_max_connections", m->o->max_connections},
        {"varz_routes", (double)routes_up(m)},
        {"varz_remotes", (double)routes_up(m)},
        {"varz_cpu", process_cpu(m)},
        {"varz_cores", process_cores()},
        {"varz_mem", (double)process_rss_bytes()},
        {"varz_in_msgs", (double)s->in_msgs},
        {"varz_out_msgs", (double)s->out_msgs},
        {"varz_in_bytes", (double)s->in_bytes},
        {"varz_out_bytes", (double)s->out_bytes},
        {"varz_slow_consumers", (double)s->slow_consumers},
        {"varz_stale_connections", (double)s->stale_conns},
        {"varz_stalled_clients", (double)s->stalls},
        {"varz_subscriptions", (double)r.subs},
        {"varz_max_payload", (double)m->o->max_payload},
        {"varz_max_pending", (double)m->o->max_pending},
        {"varz_jetstream_config_max_memory", (double)m->o->js_max_memory},
        {"varz_jetstream_config_max_storage", (double)m->o->js_max_file},
        {"connz_num_connections", (double)m->listener->conn_count},
        {"connz_total", (double)m->listener->conn_count},
        {"routez_num_routes", (double)routes_up(m)},
        {"subsz_num_subscriptions", (double)r.subs},
        {"subsz_num_cache", (double)r.cached},
        {"subsz_num_inserts", (double)r.inserts},
        {"subsz_num_removes", (double)r.removes},
        {"subsz_num_matches", (double)r.matches},
        {"subsz_cache_hit_rate", r.matches == 0 ? 0 : (double)r.cache_hits / (double)r.matches},
        {"subsz_max_fanout", (double)r.max_fanout},
        {"subsz_avg_fanout", r.avg_fanout},
        {"server_jetstream_disabled", m->parts->state == NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        put_value(w, m, rows[i].name, rows[i].value);
}

/* Gannet's own: what tells whether a cluster is well. */
static void put_group(struct monitor *m, struct writer *w)
{
    struct group *g = m->parts->group;
    if (g == NULL) return;
    put_value(w, m, "gannet_raft_leader", group_leads(g));
    put_value(w, m, "gannet_raft_leader_known", group_leader(g) != 0);
    put_value(w, m, "gannet_raft_term", (double)group_term(g));
    put_value(w, m, "gannet_raft_committed", (double)group_committed(g));
    put_value(w, m, "gannet_raft_applied", (double)group_applied(g));
    put_value(w, m, "gannet_raft_outstanding_bytes", (double)propose_outstanding(g));
    if (m->engine != NULL)
        put_value(w, m, "gannet_consumers_stuck", (double)engine_stuck(m->engine));
}

/* ---- streams and consumers ---- */

/* Label values: backslash, quote and line feed are escaped. */
static const char *label(struct text t, char *out, size_t bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < t.bytes && at + 3 < bytes; i++) {
        char c = t.at[i];
        if (c == '\\' || c == '"') out[at++] = '\\';
        if (c == '\n') {
            out[at++] = '\\';
            c = 'n';
        }
        out[at++] = c;
    }
    out[at] = '\0';
    return out;
}

static void asset_labels(const struct monitor *m,
                         const struct stream *s,
                         const struct consumer *c,
                         char *out,
                         size_t bytes)
{
    char stream[520], consumer[520], account[520], domain[128];
    bool leads = group_leads(m->parts->group);
    int used = snprintf(
        out, bytes,
        "server_id=\"%s\",server_name=\"%s\",cluster=\"%s\",domain=\"%s\",account=\"%s\","
        "stream_name=\"%s\",is_stream_leader=\"%s\"",
        m->o->server_id, m->o->server_name, m->o->cluster_name != NULL ? m->o->cluster_name : "",
        label(text_of(m->o->domain), domain, sizeof domain),
        label(s->account, account, sizeof account), label(s->config.name, stream, sizeof stream),
        leads ? "true" : "false");
    if (c == NULL || used < 0 || (size_t)used >= bytes) return;
    (void)snprintf(out + used, bytes - (size_t)used,
                   ",consumer_name=\"%s\",is_consumer_leader=\"%s\"",
                   label(c->name, consumer, sizeof consumer), leads ? "true" : "false");
}

static void put_stream(const struct monitor *m, struct writer *w, struct stream *s)
{
    char labels[1800];
    struct store_counts n = stream_counts(s);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"total_messages", n.msgs},    {"total_bytes", n.bytes},
        {"first_seq", n.first},        {"last_seq", n.last},
        {"subject_count", n.subjects}, {"consumer_count", s->consumers.count},
    };
    asset_labels(m, s, NULL, labels, sizeof labels);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        put(w, "nats_stream_%s{%s} %" PRIu64 "\n", rows[i].name, labels, rows[i].value);
    }
    put(w, "nats_stream_limit_messages{%s} %" PRId64 "\n", labels, s->config.max_msgs);
    put(w, "nats_stream_limit_bytes{%s} %" PRId64 "\n", labels, s->config.max_bytes);
}

static void put_consumer(const struct monitor *m, struct writer *w, const struct consumer *c)
{
    char labels[2000];
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"delivered_consumer_seq", c->delivered.cseq},
        {"delivered_stream_seq", c->delivered.sseq},
        {"ack_floor_consumer_seq", c->ack_floor.cseq},
        {"ack_floor_stream_seq", c->ack_floor.sseq},
        {"num_ack_pending", c->pending_count},
        {"num_redelivered", c->redelivered},
        {"num_pending", c->num_pending},
    };
    asset_labels(m, c->stream, c, labels, sizeof labels);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        put(w, "nats_consumer_%s{%s} %" PRIu64 "\n", rows[i].name, labels, rows[i].value);
    }
}

static void put_assets(struct monitor *m, struct writer *w)
{
    uint64_t streams = 0, consumers = 0, msgs = 0, bytes = 0, memory = 0, storage = 0;
    struct account *a = NULL;
    if (m->parts->state == NULL || m->parts->group == NULL) return;
    while ((a = accounts_next(m->o->accounts, a)) != NULL) {
        struct stream *s = NULL;
        struct state_account_counts n = state_account_counts(m->parts->state, text_of(a->name));
        memory += n.memory_bytes;
        storage += n.storage_bytes;
        if (!a->jetstream) continue;
        put(w, "nats_account_memory_used{account=\"%s\"} %" PRIu64 "\n", a->name, n.memory_bytes);
        put(w, "nats_account_storage_used{account=\"%s\"} %" PRIu64 "\n", a->name, n.storage_bytes);
        put(w, "nats_account_max_memory{account=\"%s\"} %" PRId64 "\n", a->name, a->max_memory);
        put(w, "nats_account_max_storage{account=\"%s\"} %" PRId64 "\n", a->name, a->max_storage);
        while ((s = state_stream_next(m->parts->state, text_of(a->name), s)) != NULL) {
            struct store_counts counts = stream_counts(s);
            msgs += counts.msgs;
            bytes += counts.bytes;
            if (streams++ < METRICS_ASSETS_MAX) put_stream(m, w, s);
            LIST_FOREACH (at, &s->consumer_list) {
                if (consumers++ >= METRICS_ASSETS_MAX) continue;
                put_consumer(m, w, CONTAINER_OF(at, struct consumer, in_stream));
            }
        }
    }
    const struct {
        const char *name;
        double value;
    } rows[] = {
        {"varz_jetstream_stats_memory", (double)memory},
        {"varz_jetstream_stats_storage", (double)storage},
        {"server_total_streams", (double)streams},
        {"server_total_consumers", (double)consumers},
        {"server_total_messages", (double)msgs},
        {"server_total_message_bytes", (double)bytes},
        {"server_max_memory", (double)m->o->js_max_memory},
        {"server_max_storage", (double)m->o->js_max_file},
        {"gannet_metrics_streams_left_out",
         streams > METRICS_ASSETS_MAX ? (double)(streams - METRICS_ASSETS_MAX) : 0},
        {"gannet_metrics_consumers_left_out",
         consumers > METRICS_ASSETS_MAX ? (double)(consumers - METRICS_ASSETS_MAX) : 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        put_value(w, m, rows[i].name, rows[i].value);
}

void metrics_text(struct monitor *m, struct writer *w)
{
    put_server(m, w);
    put_group(m, w);
    put_assets(m, w);
}
