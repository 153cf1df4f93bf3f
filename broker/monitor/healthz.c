/* /healthz in all its variants, and three answers with one meaning each:
 * /livez   the loop turns; never depends on peers, since a kubelet must not kill what is electing
 * /readyz  clients are accepted and requests are answered: a leader is known, this node is current
 * /startupz  what is on disk has been loaded */
#include <stdio.h>
#include <string.h>

#include "broker/monitor/monitor.h"

#define HEALTHZ_LAG_MAX 8192 /* entries committed and not applied: more is not current */

struct health {
    const char *type; /* of details */
    int status;       /* 200: well */
    char error[400];
};

static void unwell(struct health *h, int status, const char *type, const char *error)
{
    h->status = status;
    h->type = type;
    (void)snprintf(h->error, sizeof h->error, "%s", error);
}

static bool js_here(const struct monitor *m)
{
    return m->o->jetstream && m->parts->group != NULL && m->parts->state != NULL;
}

static void check_meta(const struct monitor *m, struct health *h)
{
    struct group *g = m->parts->group;
    if (group_leader(g) == 0) {
        unwell(h, 503, "JETSTREAM",
               m->parts->cluster != NULL
                   ? "JetStream has not established contact with a meta leader"
                   : "JetStream is still recovering meta layer");
        return;
    }
    if (group_committed(g) > group_applied(g) + HEALTHZ_LAG_MAX) {
        unwell(h, 503, "JETSTREAM", "JetStream is not current with the meta leader");
    }
}

static void check_asset(struct monitor *m, struct monitor_query *q, struct health *h)
{
    const char *account = monitor_query_text(q, "account");
    const char *stream = monitor_query_text(q, "stream");
    const char *consumer = monitor_query_text(q, "consumer");
    struct stream *s = NULL;
    struct account *a = accounts_get(m->o->accounts, text_of(account));
    if (a == NULL || !a->jetstream) {
        h->status = 404;
        h->type = "ACCOUNT";
        (void)snprintf(h->error, sizeof h->error, "JetStream account \"%.90s\" not found", account);
        return;
    }
    if (stream[0] == '\0') return;
    s = state_stream(m->parts->state, text_of(account), text_of(stream));
    if (s == NULL) {
        h->status = 404;
        h->type = "STREAM";
        (void)snprintf(h->error, sizeof h->error,
                       "JetStream stream \"%.90s\" not found on account \"%.90s\"", stream,
                       account);
        return;
    }
    if (consumer[0] == '\0' || stream_consumer(s, text_of(consumer)) != NULL) return;
    h->status = 404;
    h->type = "CONSUMER";
    (void)snprintf(
        h->error, sizeof h->error,
        "JetStream consumer \"%.90s\" not found for stream \"%.90s\" on account \"%.90s\"",
        consumer, stream, account);
}

static bool asks(struct monitor_query *q, const char *name)
{
    return monitor_query_text(q, name)[0] != '\0';
}

static void check_query(struct monitor_query *q, struct health *h)
{
    if (asks(q, "stream") && !asks(q, "account")) {
        unwell(h, 400, "BAD_REQUEST", "\"account\" must not be empty when checking stream health");
    } else if (asks(q, "consumer") && !asks(q, "stream")) {
        unwell(h, 400, "BAD_REQUEST", "\"stream\" must not be empty when checking consumer health");
    } else if (asks(q, "account") && (asks(q, "js-enabled-only") || asks(q, "js-server-only"))) {
        unwell(h, 400, "BAD_REQUEST", "\"account\" must be empty when checking server health only");
    }
}

static void check_all(struct monitor *m, struct monitor_query *q, struct health *h)
{
    bool enabled = monitor_query_flag(q, "js-enabled-only") || monitor_query_flag(q, "js-enabled");
    check_query(q, h);
    if (h->status != 200) return;
    if (!js_here(m)) {
        if (enabled || asks(q, "account")) unwell(h, 503, "JETSTREAM", "JetStream not enabled");
        return;
    }
    if (enabled) return;
    if (m->listener->sock == NULL && !m->listener->lame_duck) {
        unwell(h, 503, "CONNECTION", "clients are not accepted yet");
        return;
    }
    check_meta(m, h);
    /* All assets are replicated alike: they are current when the log is. */
    if (h->status == 200 && asks(q, "account")) check_asset(m, q, h);
}

static void write_details(struct monitor_query *q, const struct health *h, struct json_out *j)
{
    static const char *const names[] = {"account", "stream", "consumer"};
    json_out_string(j, "status", h->status == 200 ? "ok" : "error");
    if (h->status == 200) return;
    json_out_array(j, "errors");
    json_out_object(j, NULL);
    json_out_string(j, "type", h->type);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (asks(q, names[i])) json_out_string(j, names[i], monitor_query_text(q, names[i]));
    }
    json_out_string(j, "error", h->error);
    json_out_object_end(j);
    json_out_array_end(j);
}

static int health_write(struct monitor_query *q, const struct health *h, struct json_out *j)
{
    if (monitor_query_flag(q, "details")) {
        write_details(q, h, j);
        return h->status;
    }
    json_out_string(j, "status", h->status == 200 ? "ok" : "unavailable");
    if (h->status != 200) json_out_string(j, "error", h->error);
    return h->status;
}

int healthz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct health h = {.status = 200};
    check_all(m, q, &h);
    return health_write(q, &h, j);
}

int healthz_live(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct health h = {.status = 200};
    (void)m;
    return health_write(q, &h, j);
}

int healthz_accepts(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct health h = {.status = 200};
    if (m->listener->sock == NULL) unwell(&h, 503, "CONNECTION", "clients are not accepted");
    return health_write(q, &h, j);
}

int healthz_ready(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct health h = {.status = 200};
    if (m->listener->sock == NULL) {
        unwell(&h, 503, "CONNECTION",
               m->listener->lame_duck ? "lame duck: this server is leaving"
                                      : "clients are not accepted yet");
    } else if (js_here(m)) {
        check_meta(m, &h);
    }
    return health_write(q, &h, j);
}

int healthz_startup(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct health h = {.status = 200};
    if (m->o->jetstream && m->engine == NULL) {
        unwell(&h, 503, "JETSTREAM", "JetStream is still recovering meta layer");
    }
    return health_write(q, &h, j);
}
