/* sim_nats.c - see sim_nats.h. */
#include "tests/sim/sim_nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"

#define READ_BYTES KIB(64)
#define DIAL_NS (2 * NS_PER_S)

static void greeting_late(struct env_timer *t)
{
    nats_close(CONTAINER_OF(t, struct nats, greeting));
}

void nats_init(struct nats *c, struct env *env, struct net *net, unsigned number)
{
    c->env = env;
    c->net = net;
    c->number = number;
    writer_init(&c->in, READ_BYTES);
    writer_init(&c->out, KIB(4));
    list_init(&c->requests);
    env_timer_init(env, &c->greeting, greeting_late);
}

/* ---- out ---- */

static void flush(struct nats *c)
{
    if (c->sock == NULL || c->broken) return;
    while (c->out_sent < c->out.bytes) {
        struct sock_part part = {.at = c->out.base + c->out_sent,
                                 .bytes = c->out.bytes - c->out_sent};
        ptrdiff_t n = c->sock->ops->write(c->sock, &part, 1);
        if (n < 0 || (size_t)n < part.bytes) {
            if (n > 0) c->out_sent += (size_t)n;
            return;
        }
        c->out_sent += (size_t)n;
    }
    c->out.bytes = c->out_sent = 0;
}

static void put(struct nats *c, const char *text)
{
    writer_put(&c->out, text, strlen(text));
}

void nats_subscribe(struct nats *c, const char *subject)
{
    char line[512];
    snprintf(line, sizeof line, "SUB %s 1\r\n", subject);
    put(c, line);
    flush(c);
}

void nats_publish(struct nats *c,
                  const char *subject,
                  const char *reply,
                  const char *headers,
                  const void *payload,
                  size_t bytes)
{
    char line[1024], block[512] = "";
    if (headers != NULL) snprintf(block, sizeof block, "NATS/1.0\r\n%s\r\n", headers);
    size_t head = strlen(block);
    if (head == 0)
        snprintf(line, sizeof line, "PUB %s %s %zu\r\n", subject, reply == NULL ? "" : reply,
                 bytes);
    else
        snprintf(line, sizeof line, "HPUB %s %s %zu %zu\r\n", subject, reply == NULL ? "" : reply,
                 head, head + bytes);
    put(c, line);
    put(c, block);
    writer_put(&c->out, payload, bytes);
    put(c, "\r\n");
    flush(c);
}

/* ---- requests ---- */

static void request_end(struct nats_request *r, int rc, const struct nats_message *answer)
{
    env_timer_stop(&r->deadline);
    list_remove(&r->node);
    r->done(r, rc, answer);
}

static void request_late(struct env_timer *t)
{
    request_end(CONTAINER_OF(t, struct nats_request, deadline), E_AGAIN, NULL);
}

void nats_request(struct nats *c,
                  struct nats_request *r,
                  const char *subject,
                  const char *headers,
                  const void *payload,
                  size_t bytes,
                  uint64_t deadline_ns)
{
    char reply[64];
    r->client = c;
    r->id = ++c->request_next;
    r->node = (struct list_node){0};
    list_push_back(&c->requests, &r->node);
    env_timer_init(c->env, &r->deadline, request_late);
    env_timer_start(&r->deadline, deadline_ns);
    snprintf(reply, sizeof reply, "_I.%u.%llu", c->number, (unsigned long long)r->id);
    nats_publish(c, subject, reply, headers, payload, bytes);
}

static struct nats_request *request_of(struct nats *c, struct text subject)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "_I.%u.", c->number);
    size_t bytes = strlen(prefix);
    if (subject.bytes <= bytes || memcmp(subject.at, prefix, bytes) != 0) return NULL;
    uint64_t id = strtoull(subject.at + bytes, NULL, 10);
    LIST_FOREACH (n, &c->requests) {
        struct nats_request *r = CONTAINER_OF(n, struct nats_request, node);
        if (r->id == id) return r;
    }
    return NULL;
}

/* ---- in ---- */

static size_t split(char *line, char **words, size_t max)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *at = strtok_r(line, " \t", &rest); at != NULL && count < max;
         at = strtok_r(NULL, " \t", &rest))
        words[count++] = at;
    return count;
}

static bool is_inbox(struct nats *c, struct text subject)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "_I.%u.", c->number);
    return subject.bytes > strlen(prefix) && memcmp(subject.at, prefix, strlen(prefix)) == 0;
}

static void deliver(struct nats *c, const struct nats_message *m)
{
    struct nats_request *r = request_of(c, m->subject);
    if (r != NULL)
        request_end(r, 0, m);
    else if (!is_inbox(c, m->subject) && c->message != NULL)
        c->message(c, m);
}

/* MSG subject sid [reply] bytes; HMSG subject sid [reply] header bytes, all bytes. 0: more is
 * needed. */
static size_t take_message(struct nats *c, char *line, const char *at, size_t left)
{
    char *words[8];
    bool headers = line[0] == 'H';
    size_t count = split(line, words, 8), least = headers ? 5 : 4;
    if (count < least) return SIZE_MAX;
    size_t total = strtoull(words[count - 1], NULL, 10);
    size_t head = headers ? strtoull(words[count - 2], NULL, 10) : 0;
    if (left < total + 2) return 0;
    struct nats_message m = {.subject = text_of(words[1]),
                             .reply = count > least ? text_of(words[3]) : (struct text){0},
                             .header = {.at = at, .bytes = head},
                             .payload = {.at = at + head, .bytes = total - head}};
    deliver(c, &m);
    return total + 2;
}

static void greet(struct nats *c)
{
    char line[256];
    put(c, "CONNECT "
           "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n");
    snprintf(line, sizeof line, "SUB _I.%u.* 2\r\nPING\r\n", c->number);
    put(c, line);
    flush(c);
}

/* One line, and what belongs to it; the bytes taken, 0: more is needed. */
static size_t take_line(struct nats *c, const char *at, size_t bytes)
{
    char line[4096];
    const char *end = memchr(at, '\n', bytes);
    if (end == NULL) return 0;
    size_t length = (size_t)(end - at) + 1;
    snprintf(line, sizeof line, "%.*s", (int)(length < 2 ? 0 : length - 2), at);
    if (strncmp(line, "MSG ", 4) == 0 || strncmp(line, "HMSG ", 5) == 0) {
        size_t more = take_message(c, line, at + length, bytes - length);
        if (more == SIZE_MAX) sim_fail(CONTAINER_OF(c->env, struct sim_env, env)->sim, "bad line");
        return more == 0 ? 0 : length + more;
    }
    if (strncmp(line, "INFO ", 5) == 0 && !c->greeted) {
        c->greeted = true;
        greet(c);
    } else if (strcmp(line, "PING") == 0) {
        put(c, "PONG\r\n");
        flush(c);
    } else if (strcmp(line, "PONG") == 0) {
        env_timer_stop(&c->greeting);
        c->up(c);
    }
    return length;
}

static void *sock_room(struct sock *s, size_t *bytes)
{
    struct nats *c = s->owner;
    if (c->in.bytes_max - c->in.bytes < READ_BYTES) writer_grow(&c->in, READ_BYTES);
    *bytes = c->in.bytes_max - c->in.bytes;
    return c->in.base + c->in.bytes;
}

static void sock_data(struct sock *s, size_t bytes)
{
    struct nats *c = s->owner;
    size_t at = 0;
    c->in.bytes += bytes;
    while (at < c->in.bytes && !c->broken) {
        size_t taken = take_line(c, (const char *)c->in.base + at, c->in.bytes - at);
        if (taken == 0) break;
        at += taken;
    }
    memmove(c->in.base, c->in.base + at, c->in.bytes - at);
    c->in.bytes -= at;
}

static void sock_drained(struct sock *s)
{
    flush(s->owner);
}

static void ended(struct nats *c)
{
    c->sock = NULL;
    env_timer_stop(&c->greeting);
    c->dialling = c->greeted = c->broken = false;
    c->in.bytes = c->out.bytes = c->out_sent = 0;
    struct list requests;
    list_init(&requests);
    list_splice(&requests, &c->requests);
    for (struct list_node *n; (n = list_first(&requests)) != NULL;)
        request_end(CONTAINER_OF(n, struct nats_request, node), E_NET, NULL);
    c->down(c);
}

static void sock_over(struct sock *s, int rc, bool reset)
{
    (void)rc;
    (void)reset;
    ended(s->owner);
}

static const struct sock_events events = {.data = sock_data,
                                          .room = sock_room,
                                          .drained = sock_drained,
                                          .closed = sock_over};

static void connected(void *ctx, int rc, bool refused, struct sock *s)
{
    struct nats *c = ctx;
    (void)refused;
    if (rc != 0) {
        ended(c);
        return;
    }
    c->sock = s;
    s->events = &events;
    s->owner = c;
    env_timer_start(&c->greeting, DIAL_NS);
}

void nats_dial(struct nats *c, const char *host, int port)
{
    CHECK(c->sock == NULL && !c->dialling);
    c->dialling = true;
    c->net->ops->dial(c->net, host, port, DIAL_NS, connected, c);
}

void nats_close(struct nats *c)
{
    if (c->sock == NULL || c->broken) return;
    c->broken = true;
    c->sock->ops->close(c->sock);
}
