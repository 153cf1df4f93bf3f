/* /varz: this server, its options, its counts. */
#include <string.h>

#include "broker/monitor/monitor.h"

static void varz_identity(struct monitor *m, struct json_out *j)
{
    const struct broker_options *o = m->o;
    json_out_string(j, "server_id", o->server_id);
    json_out_string(j, "server_name", o->server_name);
    json_out_string(j, "version", o->version);
    json_out_i64(j, "proto", 1);
    json_out_string(j, "go", "c17");
    json_out_string(j, "host", o->host);
    json_out_i64(j, "port", m->listener->port);
    if (auth_required(m->listener->auth)) json_out_bool(j, "auth_required", true);
    struct text urls = m->listener->o.urls(m->listener->o.ctx);
    if (urls.bytes != 0) json_out_raw(j, "connect_urls", urls);
}

static void varz_limits(struct monitor *m, struct json_out *j)
{
    const struct broker_options *o = m->o;
    json_out_u64(j, "max_connections", o->max_connections);
    if (o->max_subscriptions != 0) json_out_u64(j, "max_subscriptions", o->max_subscriptions);
    json_out_u64(j, "ping_interval", o->ping_interval_ns);
    json_out_u64(j, "ping_max", o->ping_max);
    json_out_string(j, "http_host", o->http_host != NULL ? o->http_host : o->host);
    json_out_i64(j, "http_port", m->http_port);
    json_out_string(j, "http_base_path", o->http_base_path != NULL ? o->http_base_path : "");
    json_out_i64(j, "https_port", 0);
    json_out_double(j, "auth_timeout", (double)o->auth_timeout_ns / 1e9);
    json_out_u64(j, "max_control_line", o->max_control_line);
    json_out_u64(j, "max_payload", o->max_payload);
    json_out_u64(j, "max_pending", o->max_pending);
}

static void varz_cluster(struct monitor *m, struct json_out *j)
{
    json_out_object(j, "cluster");
    if (m->parts->cluster != NULL) {
        json_out_string(j, "name", m->o->cluster_name != NULL ? m->o->cluster_name : "");
        json_out_string(j, "addr", m->o->host);
        json_out_i64(j, "cluster_port", cluster_port(m->parts->cluster));
        json_out_double(j, "auth_timeout", 2);
        json_out_array(j, "urls");
        struct cluster_peer *p = NULL;
        while ((p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
            if (p->up) json_out_string(j, NULL, p->name);
        }
        json_out_array_end(j);
        json_out_double(j, "tls_timeout", 2);
    }
    json_out_object_end(j);
    static const char *const absent[] = {"gateway", "leaf", "mqtt", "websocket"};
    for (size_t i = 0; i < ARRAY_COUNT(absent); i++) {
        json_out_object(j, absent[i]);
        json_out_object_end(j);
    }
}

static void varz_jetstream(struct monitor *m, struct json_out *j)
{
    json_out_object(j, "jetstream");
    if (m->parts->state != NULL) {
        monitor_js_config(m, j, "config");
        json_out_object(j, "stats");
        monitor_js_stats(m, j);
        json_out_object_end(j);
        if (m->parts->cluster != NULL) monitor_js_meta(m, j, "meta");
    }
    json_out_object_end(j);
}

static void varz_process(struct monitor *m, struct json_out *j)
{
    char uptime[64];
    json_out_double(j, "tls_timeout", 2);
    json_out_u64(j, "write_deadline", m->o->write_deadline_ns);
    json_out_time(j, "start", m->start_ns);
    monitor_member_now(m, j, "now");
    monitor_uptime(env_mono(m->env).ns - m->start.ns, uptime, sizeof uptime);
    json_out_string(j, "uptime", uptime);
    json_out_u64(j, "mem", process_rss_bytes());
    json_out_i64(j, "cores", process_cores());
    json_out_i64(j, "gomaxprocs", process_cores());
    json_out_double(j, "cpu", process_cpu(m));
}

static uint64_t varz_routes(const struct monitor *m)
{
    uint64_t up = 0;
    struct cluster_peer *p = NULL;
    while (m->parts->cluster != NULL && (p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
        up += p->up;
    }
    return up;
}

static void varz_counts(struct monitor *m, struct json_out *j)
{
    const struct listener_stats *s = &m->listener->stats;
    struct router_stats r;
    router_stats(m->router, &r);
    json_out_u64(j, "connections", m->listener->conn_count);
    json_out_u64(j, "total_connections", s->total_conns);
    json_out_u64(j, "routes", varz_routes(m));
    json_out_u64(j, "remotes", varz_routes(m));
    json_out_u64(j, "leafnodes", 0);
    json_out_u64(j, "in_msgs", s->in_msgs);
    json_out_u64(j, "out_msgs", s->out_msgs);
    json_out_u64(j, "in_bytes", s->in_bytes);
    json_out_u64(j, "out_bytes", s->out_bytes);
    json_out_u64(j, "in_client_msgs", s->in_msgs);
    json_out_u64(j, "out_client_msgs", s->out_msgs);
    json_out_u64(j, "in_client_bytes", s->in_bytes);
    json_out_u64(j, "out_client_bytes", s->out_bytes);
    json_out_u64(j, "slow_consumers", s->slow_consumers);
    json_out_u64(j, "stale_connections", s->stale_conns);
    json_out_u64(j, "stalled_clients", s->stalls);
    json_out_u64(j, "subscriptions", r.subs);
}

static void varz_rest(struct monitor *m, struct json_out *j)
{
    json_out_object(j, "http_req_stats");
    for (size_t i = 0; i < monitor_row_count; i++) {
        if (m->request_counts[i] == 0) continue;
        json_out_u64(j, monitor_rows[i].path, m->request_counts[i]);
    }
    json_out_object_end(j);
    json_out_time(j, "config_load_time", m->start_ns);
    json_out_string(j, "config_digest", "");
    if (m->o->tag_count != 0) {
        json_out_array(j, "tags");
        for (size_t i = 0; i < m->o->tag_count; i++)
            json_out_string(j, NULL, m->o->tags[i]);
        json_out_array_end(j);
    }
    struct account *system = accounts_system(m->o->accounts);
    if (system != NULL) json_out_string(j, "system_account", system->name);
    json_out_object(j, "slow_consumer_stats");
    json_out_u64(j, "clients", m->listener->stats.slow_consumers);
    json_out_u64(j, "routes", 0);
    json_out_u64(j, "gateways", 0);
    json_out_u64(j, "leafs", 0);
    json_out_object_end(j);
}

int varz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    (void)q;
    varz_identity(m, j);
    varz_limits(m, j);
    varz_cluster(m, j);
    varz_jetstream(m, j);
    varz_process(m, j);
    varz_counts(m, j);
    varz_rest(m, j);
    return 200;
}
