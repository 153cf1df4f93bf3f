/* A request's head is read into a buffer of the connection's own; when it is complete the answer is
 * built, queued and written. Bodies are not asked for; one that comes ends the connection after the
 * answer. */
#include "broker/monitor/http.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "broker/client/outq.h"
#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/wheel.h"

#define HTTP_CONNS_MAX 128
#define HTTP_HEAD_BYTES_MAX KIB(8)
#define HTTP_URL_BYTES_MAX KIB(4)
#define HTTP_READ_BYTES KIB(2)
#define HTTP_IDLE_NS (30 * NS_PER_S)

struct http {
    struct monitor *m;
    struct net *net;
    struct sock_listener *sock;
    struct wheel *wheel;
    struct list conns;
    size_t conn_count;
    void (*gone)(void *ctx);
    void *gone_ctx;
};
struct http_conn {
    struct http *http;
    struct sock *sock;
    struct list_node node;
    struct wheel_entry idle;
    http_parser parser;
    struct outq out;
    size_t head_bytes, url_bytes;
    bool ending; /* closes when all is written */
    bool closed;
    bool in_value; /* the header's value has begun: the next field is another one */
    char url[HTTP_URL_BYTES_MAX];
    /* The header that is being read, and what was said under Authorization. */
    struct http_text {
        size_t bytes; /* more than fit are counted, not kept: such a text equals nothing */
        char at[288];
    } field, value;
    uint8_t in[HTTP_READ_BYTES];
};

/* ---- answers ---- */

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 414:
        return "URI Too Long";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

static void conn_close(struct http_conn *c)
{
    if (c->closed) return;
    c->closed = true;
    wheel_stop(c->http->wheel, &c->idle);
    c->sock->ops->close(c->sock);
}

static void conn_flush(struct http_conn *c)
{
    if (c->closed) return;
    if (outq_write(&c->out, c->sock) != 0) return;
    if (c->out.bytes == 0 && c->ending) conn_close(c);
}

static void conn_answer(struct http_conn *c, int status, const char *type, struct text body)
{
    char head[512], debug[200] = "";
    const char *version = c->http->m->o->debug_version;
    if (version != NULL)
        snprintf(debug, sizeof debug,
                 "X-NATS-VERSION: %.64s\r\nCache-Control: no-cache, no-store, max-age=0\r\n",
                 version);
    bool keep = http_should_keep_alive(&c->parser) != 0 && !c->ending;
    int bytes = snprintf(head, sizeof head,
                         "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                         "Access-Control-Allow-Origin: *\r\n%sConnection: %s\r\n\r\n",
                         status, status_text(status), type, body.bytes, debug,
                         keep ? "keep-alive" : "close");
    outq_put(&c->out, head, (size_t)bytes);
    if (c->parser.method != HTTP_HEAD) outq_put(&c->out, body.at, body.bytes);
    if (!keep) c->ending = true;
}

static void answer_plain(struct http_conn *c, int status, const char *text)
{
    char line[320];
    int bytes = snprintf(line, sizeof line, "%s\n", text);
    conn_answer(c, status, "text/plain; charset=utf-8",
                (struct text){.at = line, .bytes = (size_t)bytes});
}

/* health answers carry their own body whatever the status. */
static bool answers_itself(const struct monitor_row *row)
{
    return row->compact;
}

static void answer_json(struct http_conn *c, const struct monitor_row *row, struct text query)
{
    struct monitor_query *q = check_alloc(sizeof *q);
    struct json_out j;
    struct writer w;
    monitor_query_url(q, query);
    writer_init(&w, KIB(4));
    json_out_init(&j, &w, !row->compact);
    json_out_object(&j, NULL);
    int status = q->bad ? 400 : row->answer(c->http->m, q, &j);
    if (status == 200 && q->bad) status = 400;
    if (status == 200 || (answers_itself(row) && !q->bad)) {
        json_out_object_end(&j);
        conn_answer(c, status, row->content_type,
                    (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    } else {
        answer_plain(c, status, q->error[0] != '\0' ? q->error : "error decoding query");
    }
    writer_free(&w);
    free(q);
}

static void answer_text(struct http_conn *c, const struct monitor_row *row)
{
    struct writer w;
    writer_init(&w, KIB(8));
    row->text(c->http->m, &w);
    conn_answer(c, 200, row->content_type,
                (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    writer_free(&w);
}

static struct text strip_base(const struct monitor *m, struct text path)
{
    const char *base = m->o->http_base_path;
    size_t bytes = base == NULL ? 0 : strlen(base);
    while (bytes != 0 && base[bytes - 1] == '/')
        bytes--;
    if (bytes == 0 || path.bytes < bytes || memcmp(path.at, base, bytes) != 0) return path;
    if (path.bytes == bytes) return TEXT("/");
    if (path.at[bytes] != '/') return path;
    return (struct text){.at = path.at + bytes, .bytes = path.bytes - bytes};
}

/* ---- the debug port of an ocis service ---- */

static bool http_text_is(const struct http_text *t, struct text other)
{
    if (t->bytes != other.bytes || t->bytes > sizeof t->at) return false;
    unsigned differs = 0; /* as long for a wrong token as for the right one */
    for (size_t i = 0; i < t->bytes; i++)
        differs |= (unsigned)((uint8_t)t->at[i] ^ (uint8_t)other.at[i]);
    return differs == 0;
}

static void debug_health(struct http_conn *c,
                         int (*ask)(struct monitor *, struct monitor_query *, struct json_out *))
{
    struct monitor_query *q = check_alloc(sizeof *q);
    struct json_out j;
    struct writer w;
    writer_init(&w, 256);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    int status = ask(c->http->m, q, &j);
    writer_free(&w);
    free(q);
    conn_answer(c, status == 200 ? 200 : 500, "text/plain",
                status == 200 ? TEXT("OK") : TEXT("Internal Server Error"));
}

static void debug_metrics(struct http_conn *c)
{
    const char *token = c->http->m->o->debug_token;
    char wanted[sizeof c->value.at] = "";
    if (token != NULL) snprintf(wanted, sizeof wanted, "Bearer %s", token);
    if (token != NULL && !http_text_is(&c->value, text_of(wanted))) {
        conn_answer(
            c, 401, "application/json; charset=utf-8",
            TEXT("{\"error\":\"unauthorized\",\"message\":\"the token is missing or wrong\"}\n"));
        return;
    }
    struct writer w;
    writer_init(&w, KIB(8));
    metrics_text(c->http->m, &w);
    conn_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8",
                (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    writer_free(&w);
}

/* A kubelet kills what fails /healthz: it asks whether clients get in, as ocis does, and never
 * whether peers are there. */
static void conn_route_debug(struct http_conn *c, struct text path)
{
    if (text_equal(path, TEXT("/healthz")))
        debug_health(c, healthz_accepts);
    else if (text_equal(path, TEXT("/readyz")))
        debug_health(c, healthz_ready);
    else if (text_equal(path, TEXT("/metrics")))
        debug_metrics(c);
    else
        answer_plain(c, 404, "404 page not found");
}

static void conn_route(struct http_conn *c)
{
    struct http_parser_url url;
    http_parser_url_init(&url);
    if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD) {
        answer_plain(c, 405, "only GET is answered here");
        return;
    }
    if (http_parser_parse_url(c->url, c->url_bytes, 0, &url) != 0 ||
        (url.field_set & (1u << UF_PATH)) == 0) {
        answer_plain(c, 400, "bad request");
        return;
    }
    struct text path = {.at = c->url + url.field_data[UF_PATH].off,
                        .bytes = url.field_data[UF_PATH].len};
    struct text query = {0};
    if ((url.field_set & (1u << UF_QUERY)) != 0) {
        query = (struct text){.at = c->url + url.field_data[UF_QUERY].off,
                              .bytes = url.field_data[UF_QUERY].len};
    }
    if (c->http->m->o->debug_version != NULL) {
        conn_route_debug(c, path);
        return;
    }
    const struct monitor_row *row = monitor_find(strip_base(c->http->m, path));
    if (row == NULL) {
        answer_plain(c, 404, "404 page not found");
        return;
    }
    c->http->m->request_counts[row - monitor_rows]++;
    if (row->answer != NULL) {
        answer_json(c, row, query);
    } else {
        answer_text(c, row);
    }
}

/* ---- requests ---- */

static int on_begin(http_parser *p)
{
    struct http_conn *c = p->data;
    c->head_bytes = c->url_bytes = 0;
    c->field.bytes = c->value.bytes = 0;
    c->in_value = false;
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t bytes)
{
    struct http_conn *c = p->data;
    if (bytes > sizeof c->url - c->url_bytes) {
        c->ending = true;
        answer_plain(c, 414, "too long");
        return 1;
    }
    memcpy(c->url + c->url_bytes, at, bytes);
    c->url_bytes += bytes;
    return 0;
}

static void http_text_add(struct http_text *t, const char *at, size_t bytes)
{
    if (bytes <= sizeof t->at && t->bytes <= sizeof t->at - bytes)
        memcpy(t->at + t->bytes, at, bytes);
    t->bytes += bytes;
}

static int on_field(http_parser *p, const char *at, size_t bytes)
{
    struct http_conn *c = p->data;
    if (c->in_value) c->field.bytes = 0;
    c->in_value = false;
    http_text_add(&c->field, at, bytes);
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t bytes)
{
    static const char name[] = "authorization";
    struct http_conn *c = p->data;
    c->in_value = true;
    if (c->field.bytes == sizeof name - 1 && strncasecmp(c->field.at, name, sizeof name - 1) == 0)
        http_text_add(&c->value, at, bytes);
    return 0;
}

static int on_complete(http_parser *p)
{
    struct http_conn *c = p->data;
    if (!c->ending) conn_route(c);
    return 0;
}

static const http_parser_settings http_settings = {.on_message_begin = on_begin,
                                                   .on_url = on_url,
                                                   .on_header_field = on_field,
                                                   .on_header_value = on_value,
                                                   .on_message_complete = on_complete};

static void conn_idle_start(struct http_conn *c)
{
    struct mono due = env_mono(c->http->m->env);
    due.ns += HTTP_IDLE_NS;
    wheel_start(c->http->wheel, &c->idle, due);
}

static void on_idle(struct wheel_entry *e)
{
    conn_close(CONTAINER_OF(e, struct http_conn, idle));
}

/* ---- socket ---- */

static void *on_room(struct sock *s, size_t *bytes)
{
    struct http_conn *c = s->owner;
    *bytes = sizeof c->in;
    return c->in;
}

static void on_data(struct sock *s, size_t bytes)
{
    struct http_conn *c = s->owner;
    if (c->ending || c->closed) return;
    size_t done = http_parser_execute(&c->parser, &http_settings, (const char *)c->in, bytes);
    c->head_bytes += bytes;
    bool bad = done != bytes || c->parser.upgrade != 0 || c->head_bytes > HTTP_HEAD_BYTES_MAX;
    if (bad && !c->ending) {
        c->ending = true;
        answer_plain(c, 400, "bad request");
    }
    conn_idle_start(c);
    conn_flush(c);
}

static void on_drained(struct sock *s)
{
    conn_flush(s->owner);
}

static void http_gone(struct http *h)
{
    void (*gone)(void *) = h->gone;
    void *ctx = h->gone_ctx;
    wheel_free(h->wheel);
    free(h);
    gone(ctx);
}

static void on_closed(struct sock *s, int rc, bool reset)
{
    struct http_conn *c = s->owner;
    struct http *h = c->http;
    (void)rc;
    (void)reset;
    wheel_stop(h->wheel, &c->idle);
    outq_free(&c->out);
    list_remove(&c->node);
    free(c);
    if (--h->conn_count == 0 && h->gone != NULL) http_gone(h);
}

static const struct sock_events http_events = {.data = on_data,
                                               .room = on_room,
                                               .drained = on_drained,
                                               .closed = on_closed};

static void on_accepted(void *ctx, struct sock *s)
{
    struct http *h = ctx;
    struct http_conn *c = check_alloc(sizeof *c);
    c->http = h;
    c->sock = s;
    s->owner = c;
    s->events = &http_events;
    c->idle.cb = on_idle;
    http_parser_init(&c->parser, HTTP_REQUEST);
    c->parser.data = c;
    list_push_back(&h->conns, &c->node);
    h->conn_count++;
    if (h->conn_count > HTTP_CONNS_MAX) {
        conn_close(c);
        return;
    }
    conn_idle_start(c);
}

int http_open(struct monitor *m, struct net *net, struct http **out)
{
    const char *host = m->o->http_host != NULL ? m->o->http_host : m->o->host;
    struct http *h = check_alloc(sizeof *h);
    *h = (struct http){.m = m, .net = net};
    list_init(&h->conns);
    int port = m->o->http_port;
    int rc = net->ops->listen(net, host, &port, on_accepted, h, &h->sock);
    if (rc != 0) {
        free(h);
        return rc;
    }
    h->wheel = wheel_new(m->env);
    m->http_port = port;
    LOG(INF, "Starting http monitor on %s:%d", host, port);
    *out = h;
    return 0;
}

void http_close(struct http *h, void (*gone)(void *ctx), void *ctx)
{
    h->net->ops->unlisten(h->sock);
    h->gone = gone;
    h->gone_ctx = ctx;
    if (h->conn_count == 0) {
        http_gone(h);
        return;
    }
    LIST_FOREACH (at, &h->conns) {
        conn_close(CONTAINER_OF(at, struct http_conn, node));
    }
}
