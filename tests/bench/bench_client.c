/* bench_client.c - load for any server that speaks NATS, on bare sockets, so that the server is the
 * limit.
 *
 *   bench_client HOST:PORT[,HOST:PORT..] publish MSGS BYTES REPLICAS WINDOW SUBJECTS
 *   bench_client HOST:PORT[,HOST:PORT..] fan     MSGS BYTES REPLICAS WINDOW GROUPS MEMBERS
 *
 * publish: at most WINDOW unacknowledged; with WINDOW 1 it times each. fan: the event bus of ocis,
 * GROUPS durable push consumers of MEMBERS each, every event to every group, each acknowledged.
 * Prints one JSON line. Exit status 1 when anything was refused, missing or given twice. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES (1 << 20)
#define QUIET_S 30.0 /* nothing came for so long: stalled */
#define PEERS_MAX 8

struct link {
    int fd, group; /* group -1: publisher */
    char *in, *out;
    size_t in_bytes, out_bytes, out_max;
};
struct run {
    const char *hosts[PEERS_MAX];
    int host_count;
    long msgs, bytes, replicas, window, subjects, groups, members;
    long sent, acked, refused, delivered, duplicates, redelivered;
    uint8_t *seen; /* groups x msgs */
    double *sent_at, *took;
    struct link *links;
    int link_count, epoll;
    double last_seen_s;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_client: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void link_put(struct link *l, const char *at, size_t bytes)
{
    if (l->out_bytes + bytes > l->out_max) {
        l->out_max = (l->out_bytes + bytes) * 2;
        l->out = realloc(l->out, l->out_max);
        if (l->out == NULL) die("memory");
    }
    memcpy(l->out + l->out_bytes, at, bytes);
    l->out_bytes += bytes;
}
static void link_flush(struct link *l)
{
    size_t done = 0;
    while (done < l->out_bytes) {
        ssize_t n = send(l->fd, l->out + done, l->out_bytes - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0) break;
        done += (size_t)n;
    }
    memmove(l->out, l->out + done, l->out_bytes - done);
    l->out_bytes -= done;
}

static void link_dial(struct link *l, const char *host_port, const char *subscribe)
{
    char host[64], hello[512];
    int port = 0, one = 1;
    if (sscanf(host_port, "%63[^:]:%d", host, &port) != 2) die("HOST:PORT expected");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    l->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(l->fd, (struct sockaddr *)&to, sizeof to) != 0) die(host_port);
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    l->in = malloc(IN_BYTES);
    if (l->in == NULL || read(l->fd, l->in, IN_BYTES) <= 0) die("no INFO");
    int n = snprintf(
        hello, sizeof hello,
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,"
        "\"lang\":\"c\",\"version\":\"1\"}\r\n%sPING\r\n",
        subscribe);
    if (write(l->fd, hello, (size_t)n) != n) die("write");
    size_t have = 0;
    do {
        ssize_t got = read(l->fd, l->in + have, IN_BYTES - have - 1);
        if (got <= 0) die("no PONG");
        have += (size_t)got;
        l->in[have] = 0;
    } while (strstr(l->in, "PONG\r\n") == NULL);
}

/* One request on a connection of its own; the answer's payload in out. */
static void
request(const char *host, const char *subject, const char *body, char *out, size_t out_max)
{
    struct link l = {.group = -1};
    link_dial(&l, host, "SUB _INBOX.req 1\r\n");
    char frame[2048];
    int n = snprintf(frame, sizeof frame, "PUB %s _INBOX.req %zu\r\n%s\r\n", subject, strlen(body),
                     body);
    if (write(l.fd, frame, (size_t)n) != n) die("write");
    size_t have = 0;
    out[0] = 0;
    for (;;) {
        ssize_t got = read(l.fd, l.in + have, IN_BYTES - have - 1);
        if (got <= 0) die("request");
        have += (size_t)got;
        l.in[have] = 0;
        char *msg = strstr(l.in, "MSG _INBOX.req");
        char *line = msg == NULL ? NULL : strstr(msg, "\r\n");
        char *end = line == NULL ? NULL : strstr(line + 2, "\r\n");
        if (end == NULL) continue;
        *end = 0;
        snprintf(out, out_max, "%s", line + 2);
        break;
    }
    close(l.fd);
    free(l.in);
}
static void api(struct run *r, const char *subject, const char *body)
{
    char answer[4096];
    request(r->hosts[0], subject, body, answer, sizeof answer);
    if (strstr(answer, "\"error\"") != NULL && strstr(subject, "DELETE") == NULL) {
        fprintf(stderr, "%s: %s\n", subject, answer);
        exit(2);
    }
}

static void take_ack(struct run *r, char kind, const char *payload, size_t bytes)
{
    if (kind == 'H' || memmem(payload, bytes, "\"error\"", 7) != NULL) {
        if (r->refused++ < 3) fprintf(stderr, "refused: %.*s\n", (int)bytes, payload);
    }
    if (r->took != NULL) r->took[r->acked] = now_s() - r->sent_at[r->acked];
    r->acked++;
}
/* reply: $JS.ACK.stream.consumer.deliveries.sseq...., or the longer form with domain and account in
 * front. */
static void take_event(struct run *r, struct link *l, char *reply)
{
    char ack[512];
    int n = snprintf(ack, sizeof ack, "PUB %s 4\r\n+ACK\r\n", reply);
    link_put(l, ack, (size_t)n);
    char *tokens[16], *save = NULL;
    int count = 0;
    for (char *t = strtok_r(reply, ".", &save); t != NULL && count < 16;
         t = strtok_r(NULL, ".", &save)) {
        tokens[count++] = t;
    }
    int base = count >= 11 ? 6 : 4;
    if (count < base + 2) return;
    if (strtol(tokens[base], NULL, 10) > 1) r->redelivered++;
    long i = strtol(tokens[base + 1], NULL, 10) - 1;
    if (i < 0 || i >= r->msgs) return;
    uint8_t *times = &r->seen[l->group * r->msgs + i];
    if ((*times)++ == 0)
        r->delivered++;
    else
        r->duplicates++;
}

/* The frames that came whole; the rest stays. */
static void link_parse(struct run *r, struct link *l)
{
    size_t at = 0;
    for (;;) {
        char *nl = memchr(l->in + at, '\n', l->in_bytes - at);
        if (nl == NULL) break;
        char kind = l->in[at];
        if (kind == 'P' && l->in[at + 1] == 'I') link_put(l, "PONG\r\n", 6);
        if (kind != 'M' && kind != 'H') {
            at = (size_t)(nl + 1 - l->in);
            continue;
        }
        char *size = nl;
        while (*size != ' ')
            size--;
        size_t bytes = strtoul(size + 1, NULL, 10), head = (size_t)(nl + 1 - l->in);
        if (head + bytes + 2 > l->in_bytes) break;
        *nl = 0;
        char *field[6], *save = NULL;
        int count = 0;
        for (char *t = strtok_r(l->in + at, " \r", &save); t != NULL && count < 6;
             t = strtok_r(NULL, " \r", &save)) {
            field[count++] = t;
        }
        if (l->group < 0)
            take_ack(r, kind, l->in + head, bytes);
        else if (count >= 5 && strncmp(field[3], "$JS.ACK.", 8) == 0)
            take_event(r, l, field[3]);
        else
            r->delivered++;
        at = head + bytes + 2;
    }
    memmove(l->in, l->in + at, l->in_bytes - at);
    l->in_bytes -= at;
}
static void poll_links(struct run *r, int wait_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(r->epoll, events, 64, wait_ms);
    for (int i = 0; i < n; i++) {
        struct link *l = events[i].data.ptr;
        ssize_t got = recv(l->fd, l->in + l->in_bytes, IN_BYTES - l->in_bytes, MSG_DONTWAIT);
        if (got == 0) die("the server closed the connection");
        if (got < 0) continue;
        l->in_bytes += (size_t)got;
        r->last_seen_s = now_s();
        link_parse(r, l);
        link_flush(l);
    }
}
static void link_watch(struct run *r, struct link *l)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, l->fd, &e) != 0) die("epoll");
}

static void send_some(struct run *r, struct link *l, const char *payload, const char *reply)
{
    char head[128];
    while (r->sent < r->msgs && (r->window == 0 || r->sent - r->acked < r->window) &&
           l->out_bytes < 1 << 18) {
        int n = r->subjects > 1
                    ? snprintf(head, sizeof head, "PUB bench.s%ld %s %ld\r\n",
                               r->sent % r->subjects, reply, r->bytes)
                    : snprintf(head, sizeof head, "PUB bench.s %s %ld\r\n", reply, r->bytes);
        link_put(l, head, (size_t)n);
        link_put(l, payload, (size_t)r->bytes + 2);
        if (r->sent_at != NULL) r->sent_at[r->sent] = now_s();
        r->sent++;
    }
    link_flush(l);
}
static bool finished(const struct run *r)
{
    if (r->groups > 0) return r->delivered >= r->groups * r->msgs;
    return r->acked >= r->msgs;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static void drive(struct run *r, const char *name, const char *reply)
{
    char *payload = malloc((size_t)r->bytes + 2);
    if (payload == NULL) die("memory");
    memset(payload, 'x', (size_t)r->bytes);
    memcpy(payload + r->bytes, "\r\n", 2);
    double start = now_s();
    r->last_seen_s = start;
    while (!finished(r) && now_s() - r->last_seen_s < QUIET_S) {
        send_some(r, &r->links[0], payload, reply);
        poll_links(r, r->links[0].out_bytes != 0 ? 0 : 100);
    }
    double took = now_s() - start;
    long want = r->groups > 0 ? r->groups * r->msgs : r->msgs;
    long have = r->groups > 0 ? r->delivered : r->acked;
    printf("{\"workload\":\"%s\",\"msgs\":%ld,\"bytes\":%ld,\"seconds\":%.3f,\"rate\":%.0f", name,
           r->msgs, r->bytes, took, (double)r->msgs / took);
    if (r->groups > 0)
        printf(",\"deliveries_s\":%.0f,\"redelivered\":%ld", (double)have / took, r->redelivered);
    if (r->took != NULL) {
        qsort(r->took, (size_t)r->acked, sizeof *r->took, by_size);
        printf(",\"p50_us\":%.0f,\"p99_us\":%.0f", r->took[r->acked / 2] * 1e6,
               r->took[r->acked * 99 / 100] * 1e6);
    }
    printf(",\"missing\":%ld,\"duplicates\":%ld,\"refused\":%ld}\n", want - have, r->duplicates,
           r->refused);
    free(payload);
    exit(want != have || r->duplicates != 0 || r->refused != 0);
}

static void create_stream(struct run *r)
{
    char body[256];
    api(r, "$JS.API.STREAM.DELETE.BENCH", "");
    snprintf(body, sizeof body,
             "{\"name\":\"BENCH\",\"subjects\":[\"bench.>\"],\"retention\":\"limits\",\"storage\":"
             "\"file\","
             "\"num_replicas\":%ld,\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1}",
             r->replicas);
    api(r, "$JS.API.STREAM.CREATE.BENCH", body);
}
static void add_links(struct run *r, int count)
{
    r->links = calloc((size_t)count, sizeof *r->links);
    if (r->links == NULL) die("memory");
    r->link_count = count;
    r->epoll = epoll_create1(0);
}
static void run_publish(struct run *r)
{
    create_stream(r);
    if (r->window == 1) {
        r->sent_at = calloc((size_t)r->msgs, sizeof(double));
        r->took = calloc((size_t)r->msgs, sizeof(double));
    }
    add_links(r, 1);
    r->links[0].group = -1;
    link_dial(&r->links[0], r->hosts[0], "SUB _INBOX.b.* 1\r\n");
    link_watch(r, &r->links[0]);
    drive(r, "publish", "_INBOX.b.1");
}
static void run_fan(struct run *r)
{
    create_stream(r);
    r->seen = calloc((size_t)(r->groups * r->msgs), 1);
    if (r->seen == NULL) die("memory");
    add_links(r, (int)(r->groups * r->members) + 1);
    r->links[0].group = -1;
    link_dial(&r->links[0], r->hosts[0], "SUB _INBOX.b.* 1\r\n");
    link_watch(r, &r->links[0]);
    for (int i = 1; i < r->link_count; i++) {
        char subscribe[64];
        r->links[i].group = (i - 1) % (int)r->groups;
        snprintf(subscribe, sizeof subscribe, "SUB _INBOX.d%d g%d 1\r\n", r->links[i].group,
                 r->links[i].group);
        link_dial(&r->links[i], r->hosts[i % r->host_count], subscribe);
        link_watch(r, &r->links[i]);
    }
    usleep(300000); /* interest reaches the other nodes */
    for (long g = 0; g < r->groups; g++) {
        char subject[64], body[512];
        snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DURABLE.CREATE.BENCH.g%ld", g);
        snprintf(body, sizeof body,
                 "{\"stream_name\":\"BENCH\",\"config\":{\"durable_name\":\"g%ld\",\"deliver_"
                 "policy\":\"new\",\"ack_policy\":"
                 "\"explicit\",\"filter_subject\":\"bench.s\",\"deliver_subject\":\"_INBOX.d%ld\","
                 "\"deliver_group\":\"g%ld\"}}",
                 g, g, g);
        api(r, subject, body);
    }
    usleep(300000);
    drive(r, "fan", "_INBOX.b.1");
}

static long number(int argc, char **argv, int i, long otherwise)
{
    return i < argc ? strtol(argv[i], NULL, 10) : otherwise;
}
int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr,
                "usage: bench_client HOST:PORT[,..] publish|fan MSGS BYTES REPLICAS WINDOW ...\n");
        return 2;
    }
    struct run r = {.msgs = number(argc, argv, 3, 0),
                    .bytes = number(argc, argv, 4, 0),
                    .replicas = number(argc, argv, 5, 1),
                    .window = number(argc, argv, 6, 4000)};
    char *save = NULL;
    for (char *t = strtok_r(argv[1], ",", &save); t != NULL && r.host_count < PEERS_MAX;
         t = strtok_r(NULL, ",", &save)) {
        r.hosts[r.host_count++] = t;
    }
    if (strcmp(argv[2], "publish") == 0) {
        r.subjects = number(argc, argv, 7, 1);
        run_publish(&r);
    } else if (strcmp(argv[2], "fan") == 0) {
        r.groups = number(argc, argv, 7, 12);
        r.members = number(argc, argv, 8, 3);
        run_fan(&r);
    }
    fprintf(stderr, "unknown workload: %s\n", argv[2]);
    return 2;
}
