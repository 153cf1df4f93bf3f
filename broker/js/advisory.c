/* advisory.c - JetStream's events (section 11): published only when somebody listens. Those about
 * replicated things come from the leader alone, or each node would tell them. */
#include <stdio.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/js/duration.h"
#include "broker/js/js.h"
#include "store/base/json_out.h"

#define ADVISORY_ROOM (2 * LIMIT_NAME_BYTES + 128)

struct advisory {
    struct writer w;
    struct json_out j;
    struct engine *engine;
    struct account *account;
    char subject[ADVISORY_ROOM];
};

/* False: nobody listens. */
static bool
advisory_open(struct advisory *a, struct engine *e, struct account *account, const char *type)
{
    struct router_node nodes[1];
    char text[100];
    if (!e->started) return false;
    if (router_interest(e->o.router, account, text_of(a->subject), (struct text){0}, nodes, 1) == 0)
        return false;
    a->engine = e;
    a->account = account;
    writer_init(&a->w, 512);
    json_out_init(&a->j, &a->w, false);
    json_out_object(&a->j, NULL);
    const char *family = strchr(type, '.') == NULL ? "io.nats.jetstream.advisory.v1." : "";
    snprintf(text, sizeof text, "%s%s", family, type);
    json_out_string(&a->j, "type", text);
    api_nuid(e, text);
    json_out_string(&a->j, "id", text);
    json_out_time(&a->j, "timestamp", env_wall_ns(e->o.env));
    return true;
}

static void advisory_close(struct advisory *a)
{
    struct engine *e = a->engine;
    if (e->o.domain != NULL && e->o.domain[0] != '\0')
        json_out_string(&a->j, "domain", e->o.domain);
    json_out_object_end(&a->j);
    struct text body = {.at = (const char *)a->w.base, .bytes = a->w.bytes}, none = {0};
    (void)engine_send(e, a->account, text_of(a->subject), none, none, body);
    writer_free(&a->w);
}

static void
advisory_subject(struct advisory *a, const char *event, const char *stream, struct text consumer)
{
    if (consumer.bytes == 0) {
        snprintf(a->subject, sizeof a->subject, "$JS.EVENT.ADVISORY.%s.%s", event, stream);
        return;
    }
    snprintf(a->subject, sizeof a->subject, "$JS.EVENT.ADVISORY.%s.%s.%.*s", event, stream,
             (int)consumer.bytes, consumer.at);
}

void advisory_stream(struct engine *e,
                     const struct stream *s,
                     const char *subject,
                     const char *action)
{
    struct advisory a;
    struct js_stream *js = s->engine;
    char event[64];
    if (!e->leads) return;
    snprintf(event, sizeof event, "STREAM.%s", subject);
    advisory_subject(&a, event, js->name, (struct text){0});
    if (!advisory_open(&a, e, js->account, "stream_action")) return;
    json_out_string(&a.j, "stream", js->name);
    json_out_string(&a.j, "action", action);
    advisory_close(&a);
}

void advisory_consumer(struct engine *e,
                       const struct consumer *c,
                       const char *subject,
                       const char *action)
{
    struct advisory a;
    struct js_stream *js = c->stream->engine;
    char event[64];
    if (!e->leads && !c->local) return;
    snprintf(event, sizeof event, "CONSUMER.%s", subject);
    advisory_subject(&a, event, js->name, c->name);
    if (!advisory_open(&a, e, js->account, "consumer_action")) return;
    json_out_string(&a.j, "stream", js->name);
    json_out_text(&a.j, "consumer", c->name);
    json_out_string(&a.j, "action", action);
    advisory_close(&a);
}

/* The head that all events about one message share. */
static bool
advisory_message(struct advisory *a, struct js_consumer *jc, const char *event, const char *type)
{
    advisory_subject(a, event, jc->stream->name, jc->consumer->name);
    if (!advisory_open(a, jc->engine, jc->stream->account, type)) return false;
    json_out_string(&a->j, "stream", jc->stream->name);
    json_out_text(&a->j, "consumer", jc->consumer->name);
    return true;
}

void advisory_max_deliver(struct js_consumer *jc, stream_seq seq, uint32_t deliveries)
{
    struct advisory a;
    if (!jc->engine->leads) return;
    if (!advisory_message(&a, jc, "CONSUMER.MAX_DELIVERIES", "max_deliver")) return;
    json_out_u64(&a.j, "stream_seq", seq);
    json_out_u64(&a.j, "deliveries", deliveries);
    advisory_close(&a);
}

/* From the node that the client's NAK came to. */
void advisory_nak(struct js_consumer *jc, const struct consumer_pending *p)
{
    struct advisory a;
    if (!advisory_message(&a, jc, "CONSUMER.MSG_NAKED", "nak")) return;
    json_out_u64(&a.j, "consumer_seq", p->cseq);
    json_out_u64(&a.j, "stream_seq", p->sseq);
    json_out_u64(&a.j, "deliveries", p->deliveries);
    advisory_close(&a);
}

void advisory_terminated(struct js_consumer *jc,
                         stream_seq seq,
                         uint64_t cseq,
                         uint32_t deliveries,
                         struct text reason)
{
    struct advisory a;
    if (!jc->engine->leads) return;
    if (!advisory_message(&a, jc, "CONSUMER.MSG_TERMINATED", "terminated")) return;
    json_out_u64(&a.j, "consumer_seq", cseq);
    json_out_u64(&a.j, "stream_seq", seq);
    json_out_u64(&a.j, "deliveries", deliveries);
    if (reason.bytes != 0) json_out_text(&a.j, "reason", reason);
    advisory_close(&a);
}

static bool ack_sampled(struct js_consumer *jc)
{
    struct text freq = jc->consumer->config.sample_freq;
    uint64_t percent;
    if (freq.bytes != 0 && freq.at[freq.bytes - 1] == '%') freq.bytes--;
    if (freq.bytes == 0 || !duration_digits(freq, &percent)) return false;
    return env_random(jc->engine->o.env) % 100 < percent;
}

/* From the node that the client's ack came to. */
void advisory_ack(struct js_consumer *jc, const struct consumer_pending *p)
{
    struct advisory a;
    if (!ack_sampled(jc)) return;
    snprintf(a.subject, sizeof a.subject, "$JS.EVENT.METRIC.CONSUMER.ACK.%s.%.*s", jc->stream->name,
             (int)jc->consumer->name.bytes, jc->consumer->name.at);
    if (!advisory_open(&a, jc->engine, jc->stream->account,
                       "io.nats.jetstream.metric.v1.consumer_ack"))
        return;
    int64_t waited = engine_now(jc->engine) - p->time_ns;
    json_out_string(&a.j, "stream", jc->stream->name);
    json_out_text(&a.j, "consumer", jc->consumer->name);
    json_out_u64(&a.j, "consumer_seq", p->cseq);
    json_out_u64(&a.j, "stream_seq", p->sseq);
    json_out_i64(&a.j, "ack_time", waited > 0 ? waited : 0);
    json_out_u64(&a.j, "deliveries", p->deliveries);
    advisory_close(&a);
}

void advisory_pin(struct js_consumer *jc, const char *reason)
{
    struct advisory a;
    bool pinned = reason == NULL;
    if (!advisory_message(&a, jc, pinned ? "CONSUMER.PINNED" : "CONSUMER.UNPINNED",
                          pinned ? "consumer_group_pinned" : "consumer_group_unpinned"))
        return;
    json_out_text(&a.j, "group", jc->consumer->config.priority_groups[0]);
    if (pinned) {
        json_out_string(&a.j, "pinned_id", jc->pin.id);
    } else {
        json_out_string(&a.j, "reason", reason);
    }
    advisory_close(&a);
}

void advisory_pause(struct js_consumer *jc)
{
    struct advisory a;
    int64_t until = jc->consumer->config.pause_until_ns;
    if (!advisory_message(&a, jc, "CONSUMER.PAUSE", "consumer_pause")) return;
    json_out_bool(&a.j, "paused", until > env_wall_ns(jc->engine->o.env));
    json_out_time(&a.j, "pause_until", until > 0 ? until : INT64_MIN);
    advisory_close(&a);
}

void advisory_api(struct engine *e,
                  struct account *account,
                  struct text subject,
                  struct text request,
                  struct text response)
{
    struct advisory a;
    snprintf(a.subject, sizeof a.subject, "$JS.EVENT.ADVISORY.API");
    if (!advisory_open(&a, e, account, "api_audit")) return;
    json_out_string(&a.j, "server", e->o.server_name);
    json_out_object(&a.j, "client");
    json_out_string(&a.j, "acc", account->name);
    json_out_object_end(&a.j);
    json_out_text(&a.j, "subject", subject);
    if (request.bytes != 0) json_out_text(&a.j, "request", request);
    json_out_text(&a.j, "response", response);
    advisory_close(&a);
}
