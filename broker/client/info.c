#include "broker/client/info.h"

#include "store/base/json_out.h"

/* With no_auth_user nobody must show credentials, whatever is configured. */
static bool info_auth_required(const struct listener *l)
{
    return auth_required(l->auth) && l->o.broker->no_auth_user == NULL;
}

static void info_server(const struct listener *l, struct json_out *j)
{
    const struct broker_options *o = l->o.broker;
    json_out_string(j, "server_id", o->server_id);
    json_out_string(j, "server_name", o->server_name);
    json_out_string(j, "version", o->version);
    json_out_i64(j, "proto", 1);
    json_out_string(j, "go", "c17");
    json_out_string(j, "host", o->host);
    json_out_i64(j, "port", l->port);
    json_out_bool(j, "headers", true);
    if (info_auth_required(l)) json_out_bool(j, "auth_required", true);
    json_out_u64(j, "max_payload", o->max_payload);
    if (o->jetstream) json_out_bool(j, "jetstream", true);
}

static void info_client(const struct conn *c, struct json_out *j)
{
    const struct listener *l = c->listener;
    char host[64];
    json_out_u64(j, "client_id", c->cid);
    json_out_string(j, "client_ip", conn_address_host(c, host, sizeof host));
    if (l->o.broker->cluster_name != NULL) json_out_string(j, "cluster", l->o.broker->cluster_name);
    if (l->o.broker->domain != NULL) json_out_string(j, "domain", l->o.broker->domain);
    struct text urls = l->o.urls(l->o.ctx);
    if (urls.bytes != 0) json_out_raw(j, "connect_urls", urls);
    if (l->lame_duck) json_out_bool(j, "ldm", true);
}

void info_write(const struct conn *c, struct writer *w)
{
    struct json_out j;
    writer_put(w, "INFO ", 5);
    json_out_init(&j, w, false);
    json_out_object(&j, NULL);
    info_server(c->listener, &j);
    info_client(c, &j);
    json_out_object_end(&j);
    writer_put(w, " \r\n", 3);
}
