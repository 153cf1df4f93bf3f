/* local_consumer.c - consumers that hold no replicated state: no acks, on a stream with limits
 * retention (ordered consumers, key-value watchers). They live on their client's node only, read
 * its own state, and cost no log entry and no leader. When their node dies the client notices by
 * the missing heartbeat and makes another; that is what such clients are built for. */
#include <stdlib.h>

#include "broker/js/api.h"
#include "broker/js/deliver.h"
#include "broker/js/js.h"

/* Ids of local consumers have no meaning outside this node: 0 is none of the state's. */
#define LOCAL_ID 0

bool local_consumer_wanted(const struct stream *s, const struct consumer_config *config)
{
    return s->config.retention == RETENTION_LIMITS && config->ack_policy == ACK_POLICY_NONE &&
           config->durable_name.bytes == 0;
}

struct consumer *local_consumer_find(const struct stream *s, struct text name)
{
    LIST_FOREACH (n, &s->locals) {
        struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
        if (text_equal(c->name, name)) return c;
    }
    return NULL;
}

struct js_consumer *local_consumer_new(struct js_stream *js, struct consumer_config *config)
{
    struct engine *e = js->engine;
    struct consumer *c = consumer_new(js->stream, config, env_wall_ns(e->o.env));
    c->id = LOCAL_ID;
    c->local = true;
    consumer_place(c);
    list_push_back(&js->stream->locals, &c->in_stream);
    struct js_consumer *jc = engine_consumer_new(e, c);
    advisory_consumer(e, c, "CREATED", "create");
    return jc;
}

void local_consumer_delete(struct js_consumer *jc)
{
    struct consumer *c = jc->consumer;
    advisory_consumer(jc->engine, c, "DELETED", "delete");
    engine_consumer_end(jc);
    list_remove(&c->in_stream);
    consumer_free(c);
}

void local_consumer_end_all(struct js_stream *js)
{
    LIST_FOREACH_SAFE (n, next, &js->stream->locals) {
        local_consumer_delete(CONTAINER_OF(n, struct consumer, in_stream)->engine);
    }
}
