/* direct.c - DIRECT.GET: messages of a stream as messages (section 10).
 *
 * Any node answers from its own state after a linearizable read, which all requests of a turn
 * share. A batch ends with a status that says where to go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/api.h"
#include "broker/js/duration.h"
#include "broker/js/message_find.h"
#include "broker/js/publish_headers.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define DIRECT_BATCH_BYTES                                                                         \
    MIB(8) /* of one answer without max_bytes: well below a connection's max_pending */
#define DIRECT_MULTI_MAX 1024

struct direct_call {
    struct js_read read;
    struct js_account *account;
    struct account *reply_account;
    struct text stream, subject, reply, body;
};
/* One answer being sent. */
struct direct_answer {
    struct direct_call *call;
    struct stream *stream;
    struct message_want want;
    struct store_cursor cursor;
    struct writer header;
    uint64_t pending, bytes;
    stream_seq last;
    bool batch;
};

/* ---- headers ---- */

static void put_text(struct writer *w, const char *z)
{
    writer_put(w, z, strlen(z));
}
static void put_number(struct writer *w, const char *key, uint64_t v)
{
    char digits[20];
    put_text(w, key);
    writer_put(w, digits, duration_put_u64(digits, v));
    put_text(w, "\r\n");
}
static void put_time(struct writer *w, int64_t ns)
{
    char room[64];
    struct writer t = writer_over(room, sizeof room);
    struct json_out j;
    json_out_init(&j, &t, false);
    json_out_time(&j, NULL, ns);
    put_text(w, "Nats-Time-Stamp: ");
    writer_put(w, room + 1, t.bytes - 2); /* without its quotes */
    put_text(w, "\r\n");
}

static void direct_status(struct direct_call *d, const char *status)
{
    char header[300];
    int n = snprintf(header, sizeof header, "NATS/1.0 %s\r\n\r\n", status);
    (void)engine_send(d->account->engine, d->reply_account, d->reply, (struct text){0},
                      (struct text){header, (size_t)n}, (struct text){0});
}

/* The stored headers, then where the message comes from. */
static void direct_header(struct direct_answer *a, const struct store_msg *m)
{
    struct writer *w = &a->header;
    w->bytes = 0;
    if (m->header.bytes > 2 && !a->want.no_headers) {
        writer_put(w, m->header.at, m->header.bytes - 2);
    } else {
        put_text(w, "NATS/1.0\r\n");
    }
    put_text(w, "Nats-Stream: ");
    writer_put(w, a->stream->config.name.at, a->stream->config.name.bytes);
    put_text(w, "\r\nNats-Subject: ");
    writer_put(w, m->subject.at, m->subject.bytes);
    put_text(w, "\r\n");
    put_number(w, "Nats-Sequence: ", m->seq);
    put_time(w, m->time_ns);
    if (a->batch) {
        put_number(w, "Nats-Num-Pending: ", a->pending);
        put_number(w, "Nats-Last-Sequence: ", a->last);
    }
    put_text(w, "\r\n");
}

static void direct_send(struct direct_answer *a, const struct store_msg *m)
{
    struct direct_call *d = a->call;
    if (a->batch && a->pending != 0) a->pending--;
    direct_header(a, m);
    struct text header = {.at = (const char *)a->header.base, .bytes = a->header.bytes};
    a->bytes += header.bytes + m->subject.bytes + m->body.bytes;
    a->last = m->seq;
    (void)engine_send(d->account->engine, d->reply_account, d->reply, (struct text){0}, header,
                      m->body);
}

static void direct_end(struct direct_answer *a, stream_seq up_to)
{
    char status[200];
    int n = snprintf(status, sizeof status,
                     "204 EOB\r\nNats-Num-Pending: %llu\r\nNats-Last-Sequence: %llu",
                     (unsigned long long)a->pending, (unsigned long long)a->last);
    if (up_to != 0)
        snprintf(status + n, sizeof status - (size_t)n, "\r\nNats-UpTo-Sequence: %llu",
                 (unsigned long long)up_to);
    direct_status(a->call, status);
}

static bool direct_full(const struct direct_answer *a)
{
    uint64_t max = a->want.max_bytes != 0 ? a->want.max_bytes : DIRECT_BATCH_BYTES;
    return a->bytes >= max;
}

/* ---- one, a batch ---- */

/* Damaged: never as if it were absent. False: rc is no such error. */
static bool direct_unreadable(struct direct_answer *a, int rc)
{
    if (rc == 0 || rc == E_NOTFOUND) return false;
    LOG_CODE(ERR, LOG_CORRUPT, "stream %.*s: a message behind %llu can't be read: a get failed",
             (int)a->stream->config.name.bytes, a->stream->config.name.at,
             (unsigned long long)a->last);
    direct_status(a->call, "500 Message Unreadable");
    return true;
}

static void direct_one(struct direct_answer *a)
{
    struct store_msg m;
    int rc = message_find(a->stream, &a->want, &a->cursor, &m);
    if (rc == 0) {
        direct_send(a, &m);
    } else if (!direct_unreadable(a, rc)) {
        direct_status(a->call, "404 Message Not Found");
    }
}

static void direct_batch(struct direct_answer *a)
{
    struct message_want *w = &a->want;
    struct store_msg m;
    bool timed = w->start_ns != MESSAGE_NO_TIME;
    stream_seq from = timed ? store_seq_at(a->stream->store, w->start_ns) : w->seq;
    uint64_t sent = 0;
    int rc = 0;
    if (from == 0) from = 1;
    a->batch = true;
    a->pending = store_count(a->stream->store, from, &w->next_by, w->next_by.bytes != 0 ? 1 : 0);
    while (sent < w->batch && !direct_full(a)) {
        rc = message_next(a->stream, from, w->next_by, &a->cursor, &m);
        if (rc != 0) break;
        from = m.seq + 1;
        direct_send(a, &m);
        sent++;
    }
    if (direct_unreadable(a, rc)) return;
    if (sent == 0) {
        direct_status(a->call, "404 Message Not Found");
        return;
    }
    direct_end(a, 0);
}

/* ---- the last of each of several subjects ---- */

struct direct_found {
    struct direct_answer *answer;
    stream_seq up_to;
    stream_seq *seqs;
    size_t count, max;
    int rc; /* the first failure to read */
};

static void found_add(struct direct_found *f, stream_seq seq)
{
    if (f->count == f->max) {
        f->max = f->max == 0 ? 64 : f->max * 2;
        f->seqs = check_realloc(f->seqs, f->max * sizeof *f->seqs);
    }
    f->seqs[f->count++] = seq;
}

static void found_subject(void *ctx, struct text subject, const struct store_subject *row)
{
    struct direct_found *f = ctx;
    struct store_msg m;
    if (f->count > 2 * DIRECT_MULTI_MAX || f->rc != 0) return;
    if (row->last <= f->up_to) {
        found_add(f, row->last);
        return;
    }
    int rc = store_last(f->answer->stream->store, subject, f->up_to, &f->answer->cursor, &m);
    if (rc == 0) {
        found_add(f, m.seq);
    } else if (rc != E_NOTFOUND) {
        f->rc = rc;
    }
}

static int seq_compare(const void *a, const void *b)
{
    stream_seq x = *(const stream_seq *)a, y = *(const stream_seq *)b;
    return x < y ? -1 : x > y;
}

/* Ascending, each once, from where the client goes on. */
static void found_order(struct direct_found *f, stream_seq from)
{
    size_t kept = 0;
    if (f->count != 0) qsort(f->seqs, f->count, sizeof *f->seqs, seq_compare);
    for (size_t i = 0; i < f->count; i++) {
        if (f->seqs[i] < from || (kept != 0 && f->seqs[kept - 1] == f->seqs[i])) continue;
        f->seqs[kept++] = f->seqs[i];
    }
    f->count = kept;
}

static stream_seq multi_up_to(const struct direct_answer *a)
{
    stream_seq last = stream_counts(a->stream).last;
    if (a->want.up_to_seq != 0 && a->want.up_to_seq < last) return a->want.up_to_seq;
    if (a->want.up_to_ns == MESSAGE_NO_TIME) return last;
    stream_seq behind = store_seq_at(a->stream->store, a->want.up_to_ns + 1);
    return behind == 0 ? 0 : behind - 1;
}

static void multi_send(struct direct_answer *a, const struct direct_found *f)
{
    uint64_t most = a->want.batch != 0 ? a->want.batch : f->count;
    a->batch = true;
    a->pending = f->count;
    for (size_t i = 0; i < f->count && i < most && !direct_full(a); i++) {
        struct store_msg m;
        int rc = store_get(a->stream->store, f->seqs[i], &a->cursor, &m);
        if (direct_unreadable(a, rc)) return;
        if (rc == 0) direct_send(a, &m);
    }
    direct_end(a, f->up_to);
}

static void direct_multi(struct direct_answer *a)
{
    struct message_want *w = &a->want;
    struct direct_found f = {.answer = a, .up_to = multi_up_to(a)};
    for (size_t i = 0; i < w->multi_last.count; i++)
        store_subjects(a->stream->store, ((const struct text *)w->multi_last.at)[i], found_subject,
                       &f);
    found_order(&f, w->seq);
    if (f.count > DIRECT_MULTI_MAX) {
        direct_status(a->call, "413 Too Many Results");
    } else if (!direct_unreadable(a, f.rc)) {
        if (f.count != 0)
            multi_send(a, &f);
        else
            direct_status(a->call, "404 No Results");
    }
    free(f.seqs);
}

/* ---- a request ---- */

static void direct_answer(struct direct_call *d, struct stream *s)
{
    struct direct_answer a = {.call = d, .stream = s, .want = MESSAGE_WANT_NOTHING};
    struct arena j = {0};
    struct config_error error;
    const char *refused = NULL;
    writer_init(&a.header, 512);
    if (d->subject.bytes != 0) {
        a.want.last_by = d->subject;
    } else if (d->body.bytes == 0) {
        refused = "408 Empty Request";
    } else if (js_json_decode(&j, d->body, &message_want_table, &a.want, &error) != 0) {
        refused = "408 Malformed Request";
    }
    if (refused == NULL && !message_want_valid(&a.want)) refused = "408 Bad Request";
    if (refused != NULL) {
        direct_status(d, refused);
    } else if (a.want.multi_last.count != 0) {
        direct_multi(&a);
    } else if (a.want.batch != 0) {
        direct_batch(&a);
    } else {
        direct_one(&a);
    }
    store_cursor_close(&a.cursor);
    writer_free(&a.header);
    arena_free(&j);
}

/* A mirror may answer for its origin, also when that is gone or doesn't answer itself. */
static struct stream *direct_mirror(struct js_account *ja, struct text origin)
{
    struct text account = text_of(ja->account->name);
    struct stream *s = NULL;
    while ((s = state_stream_next(ja->engine->o.state, account, s)) != NULL) {
        if (s->config.mirror_direct && s->config.mirror_count != 0 &&
            text_equal(s->config.mirror->name, origin))
            return s;
    }
    return NULL;
}

static struct stream *direct_stream(struct js_account *ja, struct text name)
{
    struct stream *s = state_stream(ja->engine->o.state, text_of(ja->account->name), name);
    if (s != NULL && (s->config.allow_direct || s->config.mirror_direct)) return s;
    return ja->engine->copiers == 0 ? NULL : direct_mirror(ja, name);
}

static void direct_read_done(struct js_read *r)
{
    struct direct_call *d = CONTAINER_OF(r, struct direct_call, read);
    if (d->account->engine->started) {
        struct stream *s = direct_stream(d->account, d->stream);
        if (s == NULL) {
            direct_status(d, "503");
        } else {
            direct_answer(d, s);
        }
    }
    free(d);
}

static struct text copied(char **at, struct text t)
{
    struct text out = {.at = *at, .bytes = t.bytes};
    if (t.bytes != 0) memcpy(*at, t.at, t.bytes);
    *at += t.bytes;
    return out;
}

bool direct_deliver(struct js_account *ja, const struct message *m, struct text rest)
{
    struct text name;
    if (!subject_token(&rest, &name) || direct_stream(ja, name) == NULL) return false;
    if (m->reply.bytes == 0) return true;
    struct direct_call *d =
        check_alloc(sizeof *d + name.bytes + rest.bytes + m->reply.bytes + m->body.bytes + 1);
    char *at = (char *)(d + 1);
    d->account = ja;
    d->reply_account = m->account;
    d->stream = copied(&at, name);
    d->subject = copied(&at, rest);
    d->reply = copied(&at, m->reply);
    d->body = copied(&at, m->body);
    d->read.done = direct_read_done;
    if (m->header.bytes != 0) {
        struct publish_headers h;
        publish_headers_parse(m->header, &h);
        if (h.api_level_given && h.api_level > JS_API_LEVEL) {
            direct_status(d, "412 Required Api Level");
            free(d);
            return true;
        }
    }
    engine_read(ja->engine, &d->read);
    return true;
}
