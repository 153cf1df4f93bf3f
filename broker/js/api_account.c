/* api_account.c - $JS.API.INFO (5.2). */
#include "broker/js/api.h"

static void account_limits(const struct account_limits *l, struct json_out *j)
{
    json_out_object(j, "limits");
    json_out_i64(j, "max_memory", l->max_memory);
    json_out_i64(j, "max_storage", l->max_storage);
    json_out_i64(j, "max_streams", l->max_streams);
    json_out_i64(j, "max_consumers", l->max_consumers);
    json_out_i64(j, "max_ack_pending", l->max_ack_pending);
    json_out_i64(j, "memory_max_stream_bytes", l->memory_max_stream_bytes);
    json_out_i64(j, "storage_max_stream_bytes", l->storage_max_stream_bytes);
    json_out_bool(j, "max_bytes_required", l->max_bytes_required);
    json_out_object_end(j);
}

void api_account_info(struct api_call *c)
{
    struct api_answer a;
    struct engine *e = c->engine;
    const struct account *account = c->account->account;
    struct state_account_counts n = state_account_counts(e->o.state, text_of(account->name));
    api_begin(c, &a);
    json_out_u64(&a.j, "memory", n.memory_bytes);
    json_out_u64(&a.j, "storage", n.storage_bytes);
    json_out_u64(&a.j, "reserved_memory", 0);
    json_out_u64(&a.j, "reserved_storage", 0);
    json_out_u64(&a.j, "streams", n.streams);
    json_out_u64(&a.j, "consumers", n.consumers);
    struct account_limits limits = state_account_limits(e->o.state, text_of(account->name));
    account_limits(&limits, &a.j);
    if (e->o.domain != NULL && e->o.domain[0] != '\0') json_out_string(&a.j, "domain", e->o.domain);
    json_out_object(&a.j, "api");
    json_out_u64(&a.j, "level", JS_API_LEVEL);
    json_out_u64(&a.j, "total", account->api_total);
    json_out_u64(&a.j, "errors", account->api_errors);
    json_out_object_end(&a.j);
    api_end(c, &a);
}
