/* /routez, and the empty answers of what Gannet does not have: gateways, leaf nodes. */
#include "broker/monitor/monitor.h"

static void
write_route(struct monitor *m, const struct cluster_peer *p, uint64_t rid, struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_u64(j, "rid", rid);
    json_out_string(j, "remote_id", p->name);
    json_out_string(j, "remote_name", p->name);
    json_out_bool(j, "did_solicit", true);
    json_out_bool(j, "is_configured", true);
    json_out_string(j, "ip", "");
    json_out_i64(j, "port", 0);
    json_out_u64(j, "pending_size",
                 cluster_queued(m->parts->cluster, p->id, CLUSTER_CONTROL) +
                     cluster_queued(m->parts->cluster, p->id, CLUSTER_STREAM) +
                     cluster_queued(m->parts->cluster, p->id, CLUSTER_DATA));
    json_out_u64(j, "in_msgs", 0);
    json_out_u64(j, "out_msgs", 0);
    json_out_u64(j, "in_bytes", 0);
    json_out_u64(j, "out_bytes", 0);
    json_out_u64(j, "subscriptions", 0);
    json_out_object_end(j);
}

int routez_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    (void)q;
    uint64_t count = 0;
    struct cluster_peer *p = NULL;
    while (m->parts->cluster != NULL && (p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
        count += p->up;
    }
    json_out_string(j, "server_id", m->o->server_id);
    json_out_string(j, "server_name", m->o->server_name);
    monitor_member_now(m, j, "now");
    json_out_u64(j, "num_routes", count);
    json_out_array(j, "routes");
    uint64_t rid = 0;
    p = NULL;
    while (m->parts->cluster != NULL && (p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
        if (p->up) write_route(m, p, ++rid, j);
    }
    json_out_array_end(j);
    return 200;
}

int routez_gateways(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    (void)q;
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    json_out_object(j, "outbound_gateways");
    json_out_object_end(j);
    json_out_object(j, "inbound_gateways");
    json_out_object_end(j);
    return 200;
}

int routez_leafs(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    (void)q;
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    json_out_u64(j, "leafnodes", 0);
    json_out_array(j, "leafs");
    json_out_array_end(j);
    return 200;
}
