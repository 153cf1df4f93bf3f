/* A connection's bytes. In: the socket reads into the listener's shared buffer, behind what was
 * left of the last read; operations are taken off, and what remains is kept in `rest`. A message
 * that is large, or longer than the shared buffer, is read straight into a `rest` of its size. Out:
 * outq, written when the turn ends, or earlier once much has gathered.
 *
 * How it ends: conn_end puts the last words into the queue, drops the subscriptions and moves to
 * ENDING; when the kernel has all, we go on reading (and ignoring) for a moment, since closing a
 * socket with unread bytes in it resets the connection, and the client would lose the words; then
 * sock_close, and the socket's closed() frees all. A slow consumer and a broken connection skip the
 * words. */
#include "broker/client/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client/info.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define CONN_DIRECT_BYTES                                                                          \
    KIB(32) /* incomplete operations above it are read into memory of their own */
#define CONN_ROOM_BYTES_MIN KIB(64)     /* for one read */
#define CONN_EAGER_BYTES KIB(256)       /* pending: written at once, not at the end of the turn */
#define CONN_LINGER_NS (20 * NS_PER_MS) /* ENDING: reads on after the last words */
#define CONN_ENDING_NS_MAX (2 * NS_PER_S)
#define CONN_COMPLAINTS_MAX                                                                        \
    20 /* log lines of one second: a client must not fill the disk with them */
#define CONN_STALL_NS (4 * NS_PER_MS) /* a publisher that fills somebody's queue waits so long */

static const struct conn_state_row {
    const char *name;
    uint32_t next;
} conn_state_rows[CONN_STATES] = {
#define TO(state) (1u << CONN_##state)
    [CONN_NEW] = {"new", TO(CHECKING) | TO(OPEN) | TO(ENDING) | TO(CLOSED)},
    [CONN_CHECKING] = {"checking", TO(OPEN) | TO(ENDING) | TO(CLOSED)},
    [CONN_OPEN] = {"open", TO(CHECKING) | TO(ENDING) | TO(CLOSED)},
    [CONN_ENDING] = {"ending", TO(CLOSED)},
    [CONN_CLOSED] = {"closed", 0},
#undef TO
};

void conn_move(struct conn *c, enum conn_state next)
{
    CHECK(conn_state_rows[c->state].next & (1u << next));
    c->state = next;
}

static struct env *conn_env(const struct conn *c)
{
    return c->listener->o.env;
}

static bool conn_reads(const struct conn *c)
{
    return !c->paused && c->state != CONN_CHECKING && c->state < CONN_ENDING;
}

/* ---- out ---- */

static void conn_written(struct conn *c);

void conn_flush(struct conn *c)
{
    if (c->sock == NULL || c->state == CONN_CLOSED) return;
    size_t before = c->out.bytes;
    if (before != 0 && outq_write(&c->out, c->sock) != 0) {
        c->reason = c->reason == CLOSE_NONE ? CLOSE_WRITE_ERROR : c->reason;
        return; /* the socket closes itself */
    }
    if (c->out.bytes == 0) {
        c->blocked = false;
        if (c->state != CONN_ENDING) wheel_stop(c->listener->wheel, &c->deadline);
        conn_written(c);
        return;
    }
    bool moved = c->out.bytes != before;
    if (c->state != CONN_ENDING && (moved || !c->blocked)) {
        struct mono due = env_mono(conn_env(c));
        due.ns += c->listener->o.broker->write_deadline_ns;
        wheel_start(c->listener->wheel, &c->deadline, due);
    }
    c->blocked = true;
}

/* Bytes were added: they go out at the end of the turn. */
void conn_dirty(struct conn *c)
{
    struct listener *l = c->listener;
    if (c->blocked) return;
    if (c->out.bytes >= CONN_EAGER_BYTES) {
        conn_flush(c);
        return;
    }
    if (list_linked(&c->in_flush)) return;
    if (list_empty(&l->flush)) env_defer(l->o.env, &l->flush_defer);
    list_push_back(&l->flush, &c->in_flush);
}

void conn_send(struct conn *c, struct text bytes)
{
    if (c->state >= CONN_ENDING) return;
    outq_put(&c->out, bytes.at, bytes.bytes);
    conn_dirty(c);
}

void conn_error(struct conn *c, const char *text)
{
    if (c->state >= CONN_ENDING) return;
    LOG(DBG, "%s - cid:%llu - ->> [-ERR '%s']", c->address, (unsigned long long)c->cid, text);
    outq_put(&c->out, "-ERR '", 6);
    outq_put(&c->out, text, strlen(text));
    outq_put(&c->out, "'\r\n", 3);
    conn_dirty(c);
}

void conn_complain(struct conn *c, const char *text)
{
    struct listener *l = c->listener;
    uint64_t second = env_mono(conn_env(c)).ns / NS_PER_S;
    if (second != l->complaints.second) {
        if (l->complaints.swallowed != 0) {
            LOG(ERR, "%llu more complaints about clients were not logged",
                (unsigned long long)l->complaints.swallowed);
        }
        l->complaints.second = second;
        l->complaints.count = l->complaints.swallowed = 0;
    }
    if (++l->complaints.count > CONN_COMPLAINTS_MAX) {
        l->complaints.swallowed++;
        return;
    }
    LOG(ERR, "%s - cid:%llu - %s", c->address, (unsigned long long)c->cid, text);
}

void conn_send_info(struct conn *c)
{
    if (c->state >= CONN_ENDING) return;
    struct writer w;
    writer_init(&w, 512);
    info_write(c, &w);
    conn_send(c, (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    writer_free(&w);
}

/* ---- ending ---- */

static void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED) return;
    conn_move(c, CONN_CLOSED);
    wheel_stop(c->listener->wheel, &c->timer);
    wheel_stop(c->listener->wheel, &c->deadline);
    wheel_stop(c->listener->wheel, &c->stall);
    list_remove(&c->in_flush);
    list_remove(&c->in_held);
    if (c->sock != NULL) c->sock->ops->close(c->sock);
}

static void conn_deadline_due(struct wheel_entry *e)
{
    struct conn *c = CONTAINER_OF(e, struct conn, deadline);
    if (c->state == CONN_ENDING) {
        conn_close(c);
        return;
    }
    c->listener->stats.slow_consumers++;
    LOG_CODE(WRN, LOG_CLIENT_SLOW,
             "%s - cid:%llu - Slow Consumer Detected: WriteDeadline of %.3fs exceeded with %zu "
             "bytes pending",
             c->address, (unsigned long long)c->cid,
             (double)c->listener->o.broker->write_deadline_ns / 1e9, c->out.bytes);
    conn_end(c, PROTO_NONE, CLOSE_SLOW_DEADLINE);
}

/* The queue is empty. */
static void conn_written(struct conn *c)
{
    if (c->state != CONN_ENDING) return;
    struct mono due = env_mono(conn_env(c));
    due.ns += CONN_LINGER_NS;
    wheel_start(c->listener->wheel, &c->deadline, due);
}

static bool reason_is_slow(enum close_reason reason)
{
    return reason == CLOSE_SLOW_PENDING || reason == CLOSE_SLOW_DEADLINE;
}

void conn_end(struct conn *c, enum proto_error error, enum close_reason reason)
{
    if (c->state >= CONN_ENDING) return;
    if (error != PROTO_NONE) conn_error(c, proto_error_text(error));
    c->reason = reason;
    LOG(DBG, "%s - cid:%llu - Client connection closed: %s", c->address, (unsigned long long)c->cid,
        close_reason_text(reason));
    if (reason_is_slow(reason)) {
        conn_subs_clear(c);
        conn_close(c);
        return;
    }
    conn_move(c, CONN_ENDING);
    wheel_stop(c->listener->wheel, &c->timer);
    wheel_stop(c->listener->wheel, &c->stall);
    list_remove(&c->in_held);
    conn_subs_clear(c);
    struct mono due = env_mono(conn_env(c));
    due.ns += CONN_ENDING_NS_MAX;
    wheel_start(c->listener->wheel, &c->deadline, due);
    c->paused = false;
    c->sock->ops->resume(c->sock);
    /* Not from here: the caller may be in the middle of reading, or of a delivery. */
    c->blocked = false;
    if (!list_linked(&c->in_flush)) {
        if (list_empty(&c->listener->flush)) env_defer(conn_env(c), &c->listener->flush_defer);
        list_push_back(&c->listener->flush, &c->in_flush);
    }
}

static void conn_remember(struct conn *c)
{
    int64_t now_ns = env_wall_ns(conn_env(c));
    struct mono now = env_mono(conn_env(c));
    struct closed_conn closed = {
        .cid = c->cid,
        .start_ns = c->start_wall_ns,
        .stop_ns = now_ns,
        .last_ns = now_ns - (int64_t)(now.ns - c->last.ns),
        .rtt_ns = c->rtt_ns,
        .in_msgs = c->in_msgs,
        .in_bytes = c->in_bytes,
        .out_msgs = c->out_msgs,
        .out_bytes = c->out_bytes,
        .subs = c->sub_count != 0 ? c->sub_count : c->sub_count_last,
        .reason = c->reason,
    };
    (void)snprintf(closed.address, sizeof closed.address, "%s", c->address);
    (void)snprintf(closed.name, sizeof closed.name, "%s", c->name);
    (void)snprintf(closed.lang, sizeof closed.lang, "%s", c->lang);
    (void)snprintf(closed.version, sizeof closed.version, "%s", c->version);
    (void)snprintf(closed.user, sizeof closed.user, "%s", c->user);
    if (c->account != NULL) {
        (void)snprintf(closed.account, sizeof closed.account, "%.63s", c->account->name);
    }
    listener_closed_add(c->listener, &closed);
}

void conn_free(struct conn *c)
{
    struct listener *l = c->listener;
    outq_free(&c->out);
    slice_release(&c->rest);
    map_free(&c->by_sid);
    reply_grants_free(c->grants);
    free(c->name);
    free(c->lang);
    free(c->version);
    free(c->user);
    free(c);
    if (--l->conn_count == 0 && l->empty != NULL) l->empty(l->empty_ctx);
}

/* The socket is gone; the connection too, unless a worker still looks at its password. */
static void on_closed(struct sock *s, int rc, bool reset)
{
    (void)reset;
    struct conn *c = s->owner;
    bool checking = c->state == CONN_CHECKING || c->auth.given != NULL;
    if (c->reason == CLOSE_NONE) {
        c->reason = rc == 0 ? CLOSE_CLIENT_CLOSED : CLOSE_READ_ERROR;
        LOG(DBG, "%s - cid:%llu - Client connection closed: %s", c->address,
            (unsigned long long)c->cid, close_reason_text(c->reason));
    }
    conn_close(c);
    c->sock = NULL;
    conn_remember(c);
    if (c->connected && c->listener->o.client != NULL) {
        c->listener->o.client(c->listener->o.ctx, c, false);
    }
    conn_subs_clear(c);
    list_remove(&c->in_listener);
    (void)map_take_u64(&c->listener->by_cid, c->cid);
    if (c->account != NULL && c->connected) c->account->conns--;
    if (checking) {
        c->checking_freed = true; /* auth's done frees it */
        return;
    }
    conn_free(c);
}

/* ---- in ---- */

static void *on_room(struct sock *s, size_t *bytes)
{
    struct conn *c = s->owner;
    if (c->state >= CONN_ENDING) {
        return listener_read_room(c->listener, CONN_ROOM_BYTES_MIN, bytes);
    }
    if (!conn_reads(c)) {
        *bytes = 0;
        return NULL;
    }
    if (c->need > CONN_DIRECT_BYTES && c->rest.bytes != 0) {
        uint8_t *end = c->rest.at + c->rest.bytes;
        *bytes = (size_t)(c->rest.chunk->data + c->rest.chunk->bytes - end);
        return end;
    }
    size_t room_bytes;
    uint8_t *room =
        listener_read_room(c->listener, c->rest.bytes + CONN_ROOM_BYTES_MIN, &room_bytes);
    if (c->rest.bytes != 0) memcpy(room, c->rest.at, c->rest.bytes);
    *bytes = room_bytes - c->rest.bytes;
    return room + c->rest.bytes;
}

struct refusal {
    enum proto_error error;
    enum close_reason reason;
};
static const struct refusal refusals[] = {
    [PARSER_UNKNOWN] = {PROTO_UNKNOWN_OP, CLOSE_PARSE_ERROR},
    [PARSER_LONG_LINE] = {PROTO_MAX_CONTROL_LINE, CLOSE_MAX_CONTROL_LINE},
    [PARSER_ARGUMENTS] = {PROTO_NONE, CLOSE_PROTOCOL},
    [PARSER_PAYLOAD] = {PROTO_MAX_PAYLOAD, CLOSE_MAX_PAYLOAD},
    [PARSER_AUTH] = {PROTO_AUTH_VIOLATION, CLOSE_AUTH_VIOLATION},
};

/* Somebody's queue is three quarters full of what this client sends: that somebody gets time to
 * read. */
static void conn_stall(struct conn *c)
{
    c->paused = true;
    c->stalls++;
    c->listener->stats.stalls++;
    struct mono due = env_mono(conn_env(c));
    due.ns += CONN_STALL_NS;
    wheel_start(c->listener->wheel, &c->stall, due);
}

static void conn_stall_due(struct wheel_entry *e)
{
    struct conn *c = CONTAINER_OF(e, struct conn, stall);
    if (!list_linked(&c->in_held)) conn_resume(c);
}

/* Takes off all operations that are complete; returns the bytes done with. */
static size_t conn_parse(struct conn *c, struct text in, struct slice owner)
{
    size_t done = 0;
    c->parsing = true;
    c->need = 1;
    while (done < in.bytes && conn_reads(c)) {
        struct parser_op op;
        struct text left = {.at = in.at + done, .bytes = in.bytes - done};
        enum parser_result result = parser_next(&c->limits, left, &op);
        if (result == PARSER_MORE) {
            c->need = op.need;
            break;
        }
        if (result != PARSER_OP) {
            conn_end(c, refusals[result].error, refusals[result].reason);
            break;
        }
        conn_op(c, &op, owner);
        done += op.bytes;
    }
    c->parsing = false;
    if (c->stalled && conn_reads(c)) conn_stall(c);
    return c->state >= CONN_ENDING ? in.bytes : done;
}

/* Keeps what is left, with room for the rest of a large message. */
static void conn_keep(struct conn *c, struct text left)
{
    struct slice old = c->rest;
    c->rest = (struct slice){0};
    if (left.bytes != 0) {
        size_t bytes = left.bytes;
        if (c->need > CONN_DIRECT_BYTES && c->need + 2 > bytes) bytes = c->need + 2;
        c->rest = slice_alloc(bytes);
        c->rest.bytes = left.bytes;
        memcpy(c->rest.at, left.at, left.bytes);
    }
    slice_release(&old);
}

/* Parses what lies in `rest`, and keeps what remains of it where it is, if it has room there. */
static void conn_parse_rest(struct conn *c)
{
    struct slice whole = slice_ref(c->rest);
    struct text in = {.at = (const char *)whole.at, .bytes = whole.bytes};
    size_t done = conn_parse(c, in, whole);
    size_t left = in.bytes - done;
    if (done != 0 || (left != 0 && c->need > CONN_DIRECT_BYTES &&
                      c->need > (size_t)(whole.chunk->data + whole.chunk->bytes - whole.at))) {
        conn_keep(c, (struct text){.at = in.at + done, .bytes = left});
    }
    slice_release(&whole);
}

static void on_data(struct sock *s, size_t bytes)
{
    struct conn *c = s->owner;
    struct listener *l = c->listener;
    if (c->state >= CONN_ENDING) return;
    c->last = env_mono(conn_env(c));
    if (c->need > CONN_DIRECT_BYTES && c->rest.bytes != 0) {
        c->rest.bytes += bytes;
        if (c->rest.bytes >= c->need) conn_parse_rest(c);
        return;
    }
    struct text in = {.at = (const char *)l->read.at + l->read_used,
                      .bytes = c->rest.bytes + bytes};
    struct slice owner = slice_ref(l->read);
    size_t done = conn_parse(c, in, owner);
    conn_keep(c, (struct text){.at = in.at + done, .bytes = in.bytes - done});
    slice_release(&owner);
    /* Referenced by somebody's queue: the bytes must stay, the next read goes behind them. */
    l->read_used = l->read.chunk->refs == 1 ? 0 : l->read_used + in.bytes;
}

void conn_resume(struct conn *c)
{
    if (c->parsing || c->state >= CONN_ENDING) return;
    list_remove(&c->in_held);
    c->paused = false;
    c->stalled = false;
    if (!conn_reads(c)) return;
    if (c->rest.bytes >= c->need && c->rest.bytes != 0) conn_parse_rest(c);
    if (conn_reads(c) && c->sock != NULL) c->sock->ops->resume(c->sock);
}

static void on_drained(struct sock *s)
{
    conn_flush(s->owner);
}

static const struct sock_events conn_events = {.data = on_data,
                                               .room = on_room,
                                               .drained = on_drained,
                                               .closed = on_closed};

/* ---- timers ---- */

static uint64_t conn_jitter(struct conn *c, uint64_t ns)
{
    return ns + (ns < 5 ? 0 : env_random(conn_env(c)) % (ns / 5));
}

void conn_timer_start(struct conn *c, uint64_t delay_ns)
{
    struct mono due = env_mono(conn_env(c));
    due.ns += delay_ns;
    wheel_start(c->listener->wheel, &c->timer, due);
}

void conn_first_ping(struct conn *c)
{
    uint64_t delay_ns = c->listener->o.broker->ping_interval_ns;
    if (delay_ns > 2 * NS_PER_S) delay_ns = 2 * NS_PER_S;
    conn_timer_start(c, conn_jitter(c, delay_ns));
}

static void conn_ping(struct conn *c)
{
    const struct broker_options *o = c->listener->o.broker;
    struct mono now = env_mono(conn_env(c));
    bool quiet = now.ns - c->last.ns >= o->ping_interval_ns;
    if (quiet || (c->rtt_ns == 0 && c->pings_out == 0)) {
        if (c->pings_out + 1 > o->ping_max) {
            c->listener->stats.stale_conns++;
            conn_end(c, PROTO_STALE, CLOSE_STALE);
            return;
        }
        c->pings_out++;
        c->ping_sent = now;
        conn_send(c, TEXT("PING\r\n"));
    }
    conn_timer_start(c, o->ping_interval_ns);
}

static void conn_timer_due(struct wheel_entry *e)
{
    struct conn *c = CONTAINER_OF(e, struct conn, timer);
    if (c->state == CONN_NEW && c->limits.auth_pending) {
        conn_end(c, PROTO_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT);
        return;
    }
    if (c->denied) {
        conn_end(c, PROTO_AUTH_VIOLATION, CLOSE_AUTH_VIOLATION);
        return;
    }
    if (c->state == CONN_CHECKING) {
        conn_timer_start(c, c->listener->o.broker->auth_timeout_ns);
        return;
    }
    conn_ping(c);
}

/* ---- birth ---- */

static void conn_init(struct conn *c, struct listener *l, struct sock *s)
{
    const struct broker_options *o = l->o.broker;
    c->listener = l;
    c->sock = s;
    c->cid = ++l->cid_last;
    c->verbose = c->pedantic = c->echo = true;
    c->limits = (struct parser_limits){.control_line_bytes = o->max_control_line,
                                       .payload_bytes = o->max_payload};
    c->name = check_strdup("");
    c->lang = check_strdup("");
    c->version = check_strdup("");
    c->user = check_strdup("");
    list_init(&c->subs);
    c->start = c->last = env_mono(l->o.env);
    c->start_wall_ns = env_wall_ns(l->o.env);
    c->timer.cb = conn_timer_due;
    c->deadline.cb = conn_deadline_due;
    c->stall.cb = conn_stall_due;
    s->ops->peer_text(s, c->address, sizeof c->address);
    s->owner = c;
    s->events = &conn_events;
    list_push_back(&l->conns, &c->in_listener);
    map_put_u64(&l->by_cid, c->cid, c);
    l->conn_count++;
    l->stats.total_conns++;
}

/* What a client is before it says who it is: nobody, or the one that needs no credentials. */
static void conn_nobody(struct conn *c)
{
    struct auth_request nobody = {0};
    if (auth_check(c->listener->auth, &nobody) == AUTH_OK) {
        c->account = nobody.identity.account;
        c->permissions = nobody.identity.permissions;
        conn_first_ping(c);
        return;
    }
    c->limits.auth_pending = true;
    conn_timer_start(c, c->listener->o.broker->auth_timeout_ns);
}

void conn_accept(struct listener *l, struct sock *s)
{
    struct conn *c = check_alloc(sizeof *c);
    conn_init(c, l, s);
    conn_subs_init(c);
    LOG(DBG, "%s - cid:%llu - Client connection created", c->address, (unsigned long long)c->cid);
    conn_nobody(c);
    conn_send_info(c);
    if (l->conn_count > l->o.broker->max_connections) {
        conn_end(c, PROTO_MAX_CONNECTIONS, CLOSE_MAX_CONNECTIONS);
        return;
    }
    conn_flush(c);
}

const char *conn_address_host(const struct conn *c, char *out, size_t bytes)
{
    (void)snprintf(out, bytes, "%s", c->address);
    char *colon = strrchr(out, ':');
    if (colon != NULL) *colon = '\0';
    size_t length = strlen(out);
    if (out[0] == '[' && length > 1 && out[length - 1] == ']') {
        out[length - 1] = '\0';
        return out + 1;
    }
    return out;
}
