/* link.c - reading: the socket fills the frame reader's chunk, whole frames go to ops. Writing:
 * lanes, gathered into one vectored write; a full kernel buffer is waited for with `drained`.
 *
 * Ends: the socket's own (ops->gone), bytes that are no frames or silence (ops->failed, whose
 * handler closes), link_close. Whichever is first counts; the struct goes with the socket's
 * closed(). */
#include "cluster/link.h"

#include <stdlib.h>

#include "cluster/peer.h"
#include "store/base/err.h"
#include "store/base/limits.h"

#define LINK_PARTS 64 /* of one vectored write */

static struct link *link_of(struct sock *s)
{
    return s->owner;
}

static void link_fail(struct link *l, int rc)
{
    if (l->state != LINK_CLOSED) l->ops->failed(l, rc);
}

/* ---- reading ---- */

static void link_piece(struct link *l, const struct frame *f)
{
    if (!l->piecing) {
        writer_init(&l->pieces, f->body.bytes * 2);
        l->piecing = true;
        l->pieces_type = f->type;
    }
    bool same = f->type == l->pieces_type && f->lane == CLUSTER_DATA;
    if (!same || l->pieces.bytes + f->body.bytes > LIMIT_FRAME_BYTES) {
        link_fail(l, same ? E_TOOBIG : E_MALFORMED);
        return;
    }
    writer_put(&l->pieces, f->body.at, f->body.bytes);
    if (f->more) return;
    struct frame whole = *f;
    whole.body = writer_take(&l->pieces);
    l->piecing = false;
    l->ops->frame(l, &whole);
    slice_release(&whole.body);
}

/* Each lane has its link. What holds the data link back (peer_hold) relies on it: a message that
 * came by the other one would have nothing to wait behind. A last word goes over either. */
static bool link_carries(const struct link *l, const struct frame *f)
{
    if (f->lane >= LANES) return false;
    if (l->state != LINK_OPEN) return !f->more;
    bool control = f->lane == CLUSTER_CONTROL;
    return f->type == FRAME_HELLO || control == (l->kind == HELLO_CONTROL);
}

static void link_frame(struct link *l, const struct frame *f)
{
    bool pieces = f->more || (l->piecing && f->lane == CLUSTER_DATA);
    if (!link_carries(l, f)) {
        link_fail(l, E_MALFORMED);
    } else if (pieces) {
        link_piece(l, f);
    } else if (f->type != FRAME_PING) {
        l->ops->frame(l, f);
    }
}

/* The frame that was held goes first; it may have to wait again. */
static void link_unhold(struct link *l)
{
    struct frame f = {.type = l->held_type, .lane = CLUSTER_DATA, .body = l->held};
    l->holding = false;
    l->held = (struct slice){0};
    l->ops->frame(l, &f);
    slice_release(&f.body);
}

static void link_pump(struct link *l)
{
    while (l->state != LINK_CLOSED && l->ops->ready(l)) {
        struct frame f;
        int rc = frame_reader_next(&l->reader, &f);
        if (rc == 0) return;
        if (rc < 0) {
            link_fail(l, rc);
            return;
        }
        link_frame(l, &f);
    }
}

static void *link_room(struct sock *s, size_t *bytes)
{
    struct link *l = link_of(s);
    *bytes = 0;
    if (l->state == LINK_CLOSED || !l->ops->ready(l)) return NULL;
    return frame_reader_room(&l->reader, bytes);
}

static void link_data(struct sock *s, size_t bytes)
{
    struct link *l = link_of(s);
    if (l->state == LINK_CLOSED) return;
    l->heard = env_mono(l->env);
    frame_reader_took(&l->reader, bytes);
    link_pump(l);
}

void link_resume(struct link *l)
{
    bool due = l->holding && l->held_after <= l->peer->interest_applied;
    if (l->state != LINK_CLOSED && due) link_unhold(l);
    if (l->holding) return;
    link_pump(l);
    if (l->state == LINK_CLOSED) return;
    l->heard = env_mono(l->env);
    l->sock->ops->resume(l->sock);
}

/* ---- writing ---- */

void link_flush(struct link *l)
{
    l->dirty = false;
    while (l->state != LINK_CLOSED && !l->blocked && !lanes_empty(&l->lanes)) {
        struct sock_part parts[LINK_PARTS];
        size_t count = lanes_gather(&l->lanes, parts, LINK_PARTS), total = 0;
        for (size_t i = 0; i < count; i++)
            total += parts[i].bytes;
        ptrdiff_t took = l->sock->ops->write(l->sock, parts, count);
        if (took < 0) { /* its end is on the way */
            l->blocked = true;
            return;
        }
        lanes_took(&l->lanes, (size_t)took);
        if (took > 0) l->sent = env_mono(l->env);
        l->blocked = (size_t)took < total;
    }
}

static void link_drained(struct sock *s)
{
    struct link *l = link_of(s);
    l->blocked = false;
    link_flush(l);
}

void link_send(struct link *l,
               enum cluster_lane lane,
               enum frame_type type,
               struct slice *parts,
               size_t count)
{
    struct frame f = {.type = (uint8_t)type, .lane = (uint8_t)lane};
    lanes_push(&l->lanes, &f, parts, count);
    if (lane == CLUSTER_CONTROL) link_flush(l);
}

static struct slice hello_body(const struct hello *h)
{
    struct writer w;
    writer_init(&w, 256);
    handshake_encode(&w, h);
    return writer_take(&w);
}

void link_hello(struct link *l, const struct hello *h)
{
    struct slice body = hello_body(h);
    link_send(l, CLUSTER_CONTROL, FRAME_HELLO, &body, 1);
}

/* ---- life ---- */

static void link_over(struct sock *s, int rc, bool reset)
{
    struct link *l = link_of(s);
    enum link_state was = l->state;
    l->state = LINK_CLOSED; /* the socket takes no more calls */
    if (was != LINK_CLOSED) l->ops->gone(l, was, rc == 0 || reset);
    lanes_close(&l->lanes);
    frame_reader_close(&l->reader);
    slice_release(&l->held);
    if (l->piecing) writer_free(&l->pieces);
    list_remove(&l->node);
    l->ops->freed(l->cluster);
    free(l);
}

static const struct sock_events link_events = {
    .data = link_data,
    .room = link_room,
    .drained = link_drained,
    .closed = link_over,
};

struct link *
link_new(struct cluster *c, struct env *env, struct sock *s, const struct link_ops *ops)
{
    struct link *l = check_alloc(sizeof *l);
    l->cluster = c;
    l->env = env;
    l->sock = s;
    l->ops = ops;
    l->state = LINK_GREETING;
    l->opened = l->heard = l->sent = env_mono(env);
    frame_reader_init(&l->reader, HANDSHAKE_BYTES_MAX);
    lanes_init(&l->lanes);
    s->ops->peer_text(s, l->remote, sizeof l->remote);
    s->events = &link_events;
    s->owner = l;
    return l;
}

void link_open(struct link *l)
{
    CHECK(l->state == LINK_GREETING);
    l->state = LINK_OPEN;
    l->reader.body_bytes_max = LIMIT_FRAME_BYTES;
}

static void link_end(struct link *l, const void *last, size_t bytes)
{
    struct sock_part part = {.at = last, .bytes = bytes};
    l->state = LINK_CLOSED;
    if (lanes_at_edge(&l->lanes) && bytes != 0) (void)l->sock->ops->write(l->sock, &part, 1);
    lanes_close(&l->lanes);
    l->sock->ops->close(l->sock);
}

void link_close(struct link *l, enum hello_kind kind, enum hello_reason reason)
{
    if (l->state == LINK_CLOSED) return;
    struct hello h = {.kind = kind, .reason = reason};
    struct slice body = hello_body(&h);
    struct frame f = {.type = FRAME_HELLO, .lane = CLUSTER_CONTROL};
    uint8_t bytes[FRAME_HEADER_BYTES + 64];
    CHECK(body.bytes <= sizeof bytes - FRAME_HEADER_BYTES);
    frame_header(bytes, &f, &body, 1);
    memcpy(bytes + FRAME_HEADER_BYTES, body.at, body.bytes);
    link_end(l, bytes, FRAME_HEADER_BYTES + body.bytes);
    slice_release(&body);
}

void link_close_text(struct link *l, const char *text)
{
    if (l->state != LINK_CLOSED) link_end(l, text, strlen(text));
}

void link_sweep(struct link *l, struct mono now)
{
    if (l->state == LINK_GREETING && now.ns - l->opened.ns > LINK_GREETING_NS)
        link_fail(l, E_AGAIN);
    if (l->state != LINK_OPEN) return;
    if (now.ns - l->heard.ns > LINK_SILENCE_NS) {
        link_fail(l, E_AGAIN);
        return;
    }
    if (now.ns - l->sent.ns < LINK_PING_NS || !lanes_empty(&l->lanes)) return;
    struct frame ping = {.type = FRAME_PING,
                         .lane = l->kind == HELLO_DATA ? CLUSTER_DATA : CLUSTER_CONTROL};
    lanes_push(&l->lanes, &ping, NULL, 0);
    link_flush(l);
}
