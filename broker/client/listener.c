#include "broker/client/listener.h"

#include <stdlib.h>
#include <string.h>

#include "broker/client/conn.h"
#include "store/base/logger.h"

#define LISTENER_READ_BYTES KIB(256)
#define LISTENER_CLOSED_MAX 10000

const char *proto_error_text(enum proto_error e)
{
    static const char *const texts[PROTO_ERRORS] = {
#define ROW(name, text) text,
        PROTO_ERROR_TABLE(ROW)
#undef ROW
    };
    return texts[e];
}

const char *close_reason_text(enum close_reason r)
{
    static const char *const texts[CLOSE_REASONS] = {
#define ROW(name, text) text,
        CLOSE_REASON_TABLE(ROW)
#undef ROW
    };
    return texts[r];
}

static void listener_flush(struct env_defer *d)
{
    struct listener *l = CONTAINER_OF(d, struct listener, flush_defer);
    struct list now;
    list_init(&now);
    list_splice(&now, &l->flush);
    struct list_node *at;
    while ((at = list_pop_front(&now)) != NULL) {
        conn_flush(CONTAINER_OF(at, struct conn, in_flush));
    }
}

struct listener *listener_new(const struct listener_options *o)
{
    struct listener *l = check_alloc(sizeof *l);
    l->o = *o;
    l->auth = auth_new(o->env, o->broker);
    throttle_init(&l->throttle, env_random(o->env));
    l->wheel = wheel_new(o->env);
    map_init(&l->by_cid, env_random(o->env), NULL);
    list_init(&l->conns);
    list_init(&l->flush);
    list_init(&l->held);
    l->flush_defer.cb = listener_flush;
    l->port = o->broker->port;
    l->closed_max = o->broker->max_closed_clients;
    if (l->closed_max == 0) l->closed_max = LISTENER_CLOSED_MAX;
    return l;
}

static void on_accepted(void *ctx, struct sock *s)
{
    conn_accept(ctx, s);
}

int listener_open(struct listener *l)
{
    const struct broker_options *o = l->o.broker;
    int rc = l->o.net->ops->listen(l->o.net, o->host, &l->port, on_accepted, l, &l->sock);
    if (rc != 0) return rc;
    LOG(INF, "Listening for client connections on %s:%d", o->host, l->port);
    return 0;
}

void listener_shut(struct listener *l)
{
    if (l->sock == NULL) return;
    l->o.net->ops->unlisten(l->sock);
    l->sock = NULL;
}

void listener_close(struct listener *l, void (*empty)(void *ctx), void *ctx)
{
    listener_shut(l);
    l->closing = true;
    if (l->conn_count == 0) {
        empty(ctx);
        return;
    }
    l->empty = empty;
    l->empty_ctx = ctx;
    LIST_FOREACH_SAFE (at, next, &l->conns) {
        conn_end(CONTAINER_OF(at, struct conn, in_listener), PROTO_NONE, CLOSE_SHUTDOWN);
    }
}

void listener_free(struct listener *l)
{
    if (l == NULL) return;
    CHECK(l->conn_count == 0);
    auth_free(l->auth);
    wheel_free(l->wheel);
    map_free(&l->by_cid);
    list_remove(&l->flush_defer.node);
    slice_release(&l->read);
    free(l->closed);
    free(l);
}

void listener_hold(struct listener *l, bool hold)
{
    l->hold = hold;
    struct list_node *at;
    while (!l->hold && (at = list_pop_front(&l->held)) != NULL) {
        conn_resume(CONTAINER_OF(at, struct conn, in_held));
    }
}

void listener_tell_info(struct listener *l)
{
    LIST_FOREACH_SAFE (at, next, &l->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, in_listener);
        if (c->protocol < 1) continue;
        if (c->greeted) {
            conn_send_info(c);
        } else {
            c->info_due = true;
        }
    }
}

void listener_reload(struct listener *l)
{
    LIST_FOREACH_SAFE (at, next, &l->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, in_listener);
        c->limits.payload_bytes = l->o.broker->max_payload;
        c->limits.control_line_bytes = l->o.broker->max_control_line;
        conn_login_again(c);
    }
    listener_tell_info(l);
}

uint8_t *listener_read_room(struct listener *l, size_t bytes, size_t *room_bytes)
{
    if (l->read.chunk != NULL && l->read.chunk->refs == 1) l->read_used = 0;
    if (l->read.chunk == NULL || l->read.bytes - l->read_used < bytes) {
        slice_release(&l->read);
        l->read = slice_alloc(bytes > LISTENER_READ_BYTES ? bytes : LISTENER_READ_BYTES);
        l->read_used = 0;
    }
    *room_bytes = l->read.bytes - l->read_used;
    return l->read.at + l->read_used;
}

void listener_closed_add(struct listener *l, const struct closed_conn *c)
{
    if (l->closed_count == l->closed_max) {
        l->closed[l->closed_next] = *c;
        l->closed_next = (l->closed_next + 1) % l->closed_max;
        return;
    }
    if (l->closed_count == l->closed_room) {
        l->closed_room = l->closed_room == 0 ? 16 : l->closed_room * 2;
        if (l->closed_room > l->closed_max) l->closed_room = l->closed_max;
        l->closed = check_realloc(l->closed, l->closed_room * sizeof *l->closed);
    }
    l->closed[l->closed_count++] = *c;
}
