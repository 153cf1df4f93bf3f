/* interest.c - body of a FRAME_INTEREST: u8 first (1: forget what was told before), then rows:
 * account, subject, queue, each u16 bytes and text, u32 count. Large states go as several frames.
 */
#include "cluster/interest.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_impl.h"
#include "store/base/limits.h"
#include "store/base/writer.h"

#define INTEREST_FRAME_BYTES KIB(64)
#define INTEREST_ROW_BYTES 10 /* lengths and count */

struct interest {
    struct interest_options o;
    struct cluster_watcher watcher;
    struct env_defer turn;
    struct writer rows; /* of the frame that is being filled; its first byte is `first` */
    node_id to;         /* inside each: the peer that is told; 0: all */
};

static void rows_begin(struct interest *i, bool first)
{
    writer_init(&i->rows, 256);
    writer_u8(&i->rows, first);
}

static bool rows_any(const struct interest *i)
{
    return i->rows.bytes > 1;
}

/* One body, shared by all who get it. */
static void rows_send(struct interest *i, node_id to)
{
    struct slice body = writer_take(&i->rows);
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(i->o.cluster, p)) != NULL) {
        if (!p->up || (to != 0 && p->id != to)) continue;
        struct slice part = slice_ref(body);
        cluster_send(i->o.cluster, p->id, CLUSTER_CONTROL, FRAME_INTEREST, &part, 1);
    }
    slice_release(&body);
    rows_begin(i, false);
}

static void interest_turn(struct env_defer *d)
{
    struct interest *i = CONTAINER_OF(d, struct interest, turn);
    if (rows_any(i)) rows_send(i, 0);
}

void interest_flush(struct interest *i)
{
    if (i != NULL && i->to == 0 && rows_any(i)) rows_send(i, 0);
}

void interest_tell(struct interest *i, const struct interest_row *row)
{
    size_t bytes = row->account.bytes + row->subject.bytes + row->queue.bytes + INTEREST_ROW_BYTES;
    if (bytes > INTEREST_FRAME_BYTES / 2) return;
    if (i->rows.bytes + bytes > INTEREST_FRAME_BYTES) rows_send(i, i->to);
    writer_text16(&i->rows, row->account);
    writer_text16(&i->rows, row->subject);
    writer_text16(&i->rows, row->queue);
    writer_u32(&i->rows, row->count);
    if (i->to == 0) env_defer(i->o.env, &i->turn);
}

static void interest_up(struct cluster_watcher *w, struct cluster_peer *p)
{
    struct interest *i = CONTAINER_OF(w, struct interest, watcher);
    if (rows_any(i)) rows_send(i, 0); /* this turn's changes; the new peer forgets them below */
    i->to = p->id;
    writer_free(&i->rows);
    rows_begin(i, true);
    i->o.each(i->o.ctx, i);
    rows_send(i, p->id);
    i->to = 0;
}

static void interest_down(struct cluster_watcher *w, struct cluster_peer *p, bool dead)
{
    struct interest *i = CONTAINER_OF(w, struct interest, watcher);
    (void)dead;
    i->o.forget(i->o.ctx, p->id);
}

/* A 0 would make a name look like another one in every C string. */
static bool row_fits(const struct interest_row *row)
{
    const struct text texts[] = {row->account, row->subject, row->queue};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (texts[i].bytes != 0 && memchr(texts[i].at, 0, texts[i].bytes) != NULL) return false;
    }
    return row->subject.bytes <= LIMIT_SUBJECT_BYTES;
}

static void
interest_frame(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    struct interest *i = ctx;
    struct reader r = reader_of(body.at, body.bytes);
    (void)lane;
    if (reader_u8(&r) == 1) i->o.forget(i->o.ctx, from->id);
    while (reader_left(&r) > 0) {
        struct interest_row row = {0};
        row.account = reader_text16(&r);
        row.subject = reader_text16(&r);
        row.queue = reader_text16(&r);
        row.count = reader_u32(&r);
        if (r.bad || !row_fits(&row)) return;
        i->o.row(i->o.ctx, from->id, &row);
    }
}

struct interest *interest_new(const struct interest_options *o)
{
    struct interest *i = check_alloc(sizeof *i);
    i->o = *o;
    i->turn.cb = interest_turn;
    i->watcher = (struct cluster_watcher){.up = interest_up, .down = interest_down};
    rows_begin(i, false);
    cluster_on(o->cluster, FRAME_INTEREST, interest_frame, i);
    cluster_watch(o->cluster, &i->watcher);
    o->cluster->interest = i;
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(o->cluster, p)) != NULL) {
        if (p->up) interest_up(&i->watcher, p);
    }
    return i;
}

void interest_free(struct interest *i)
{
    if (i == NULL) return;
    cluster_on(i->o.cluster, FRAME_INTEREST, NULL, NULL);
    i->o.cluster->interest = NULL;
    cluster_unwatch(&i->watcher);
    list_remove(&i->turn.node);
    writer_free(&i->rows);
    free(i);
}
