/* snapshot_send.c - STREAM.SNAPSHOT: a stream's messages and consumers to a subject, in chunks
 * (5.3).
 *
 * Read from this node's own state after a linearizable read, so any node serves it. Consumers are
 * noted when it begins and sent behind the messages: what was pending then is delivered again after
 * a restore, rather than lost. Messages that go meanwhile are left out. The receiver answers each
 * chunk; at most a window of bytes is unanswered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/subject.h"
#include "broker/js/api.h"
#include "broker/js/duration.h"
#include "store/base/err.h"
#include "store/state/backup.h"

#define CHUNK_BYTES KIB(128)
#define CHUNK_BYTES_MIN KIB(1)
#define CHUNK_BYTES_MAX MIB(1)
#define WINDOW_BYTES MIB(8)
#define WINDOW_BYTES_MAX MIB(32)
#define TURN_BYTES MIB(1) /* sent at once; answers bring the next */
#define SILENT_NS (5 * NS_PER_S)
#define SNAPSHOT_ID_CHARS 8

struct snapshot {
    struct list_node node;
    struct engine *engine;
    struct js_stream *stream;
    struct account *account;
    struct sub acks;
    struct wheel_entry silent;
    struct store_cursor cursor;
    stream_seq next, last; /* last: of the stream when it began */
    uint64_t messages, index;
    struct writer ready, consumers; /* not sent yet; to come behind the messages */
    size_t sent, unanswered, chunk, window;
    bool complete; /* all is in ready */
    char deliver[LIMIT_SUBJECT_BYTES + 1], ack_subject[2 * LIMIT_NAME_BYTES + 64];
    size_t ack_head; /* of ack_subject without its > */
};

static void snapshot_end(struct snapshot *s, const char *status)
{
    struct engine *e = s->engine;
    struct text none = {0};
    if (status != NULL)
        (void)engine_send(e, s->account, text_of(s->deliver), none, text_of(status), none);
    router_unsubscribe(e->o.router, &s->acks);
    wheel_stop(e->wheel, &s->silent);
    store_cursor_close(&s->cursor);
    writer_free(&s->ready);
    writer_free(&s->consumers);
    list_remove(&s->node);
    engine_stream_release(s->stream);
    free(s);
}

void snapshot_send_free(struct engine *e)
{
    struct list_node *n;
    while ((n = list_first(&e->snapshots)) != NULL)
        snapshot_end(CONTAINER_OF(n, struct snapshot, node), NULL);
}

/* False: a message can't be read. */
static bool snapshot_fill(struct snapshot *s)
{
    struct stream *stream = s->stream->stream;
    while (!s->complete && s->ready.bytes - s->sent < s->chunk) {
        struct store_msg m;
        int rc = s->next > s->last
                     ? E_NOTFOUND
                     : store_next(stream->store, &s->next, NULL, 0, 4096, &s->cursor, &m);
        if (rc == E_AGAIN) continue;
        if (rc != 0 && rc != E_NOTFOUND) return false;
        if (rc == 0 && m.seq <= s->last) {
            s->next = m.seq + 1;
            backup_put_message(&s->ready, &m);
            s->messages++;
            continue;
        }
        writer_put(&s->ready, s->consumers.base, s->consumers.bytes);
        backup_put_end(&s->ready, s->last, s->messages);
        s->complete = true;
    }
    return true;
}

static bool snapshot_chunk(struct snapshot *s)
{
    struct text none = {0};
    size_t left = s->ready.bytes - s->sent, bytes = left < s->chunk ? left : s->chunk;
    char reply[sizeof s->ack_subject + 48];
    int n = snprintf(reply, sizeof reply, "%.*s%zu.%llu", (int)s->ack_head, s->ack_subject, bytes,
                     (unsigned long long)++s->index);
    struct text body = {.at = (const char *)s->ready.base + s->sent, .bytes = bytes};
    size_t heard = engine_send(s->engine, s->account, text_of(s->deliver),
                               (struct text){.at = reply, .bytes = (size_t)n}, none, body);
    s->sent += bytes;
    s->unanswered += bytes;
    if (s->sent * 2 >= s->ready.bytes) { /* what is left is moved at most as often as it is sent */
        s->ready.bytes -= s->sent;
        memmove(s->ready.base, s->ready.base + s->sent, s->ready.bytes);
        s->sent = 0;
    }
    return heard != 0;
}

/* s may be gone behind it. */
static void snapshot_run(struct snapshot *s)
{
    size_t turn = 0;
    if (s->stream->stream == NULL) {
        snapshot_end(s, "NATS/1.0 500 stream not found\r\n\r\n");
        return;
    }
    while (s->unanswered < s->window && turn < TURN_BYTES) {
        if (!snapshot_fill(s)) {
            snapshot_end(s, "NATS/1.0 500 message unreadable\r\n\r\n");
            return;
        }
        size_t before = s->unanswered;
        if (s->ready.bytes == s->sent) break;
        if (!snapshot_chunk(s)) {
            snapshot_end(s, "NATS/1.0 408 No Interest\r\n\r\n");
            return;
        }
        turn += s->unanswered - before;
    }
    if (s->complete && s->ready.bytes == 0) {
        snapshot_end(s, "NATS/1.0 204\r\n\r\n");
        return;
    }
    wheel_start(s->engine->wheel, &s->silent,
                (struct mono){env_mono(s->engine->o.env).ns + SILENT_NS});
}

static void snapshot_silent(struct wheel_entry *w)
{
    snapshot_end(CONTAINER_OF(w, struct snapshot, silent), "NATS/1.0 408 No Flow Response\r\n\r\n");
}

static bool snapshot_acked(struct sub *sub, const struct message *m)
{
    struct snapshot *s = sub->owner;
    uint64_t bytes;
    if (m->deliver.bytes != 0) return false; /* a delivery, whose subject is its own: no answer */
    struct text rest = {.at = m->subject.at + s->ack_head, .bytes = m->subject.bytes - s->ack_head},
                token;
    if (!subject_token(&rest, &token) || !duration_digits(token, &bytes)) return true;
    s->unanswered = bytes < s->unanswered ? s->unanswered - bytes : 0;
    snapshot_run(s);
    return true;
}

/* ---- the request ---- */

struct snapshot_body {
    struct text deliver_subject;
    bool no_consumers, jsck;
    int64_t chunk_size, window_size;
};
static const struct json_in_field snapshot_fields[] = {
    JS_FIELD(snapshot_body, deliver_subject, JSON_IN_TEXT),
    JS_FIELD(snapshot_body, no_consumers, JSON_IN_BOOL),
    JS_FIELD(snapshot_body, jsck, JSON_IN_BOOL),
    JS_FIELD(snapshot_body, chunk_size, JSON_IN_I64),
    JS_FIELD(snapshot_body, window_size, JSON_IN_I64),
};
static const struct json_in_table snapshot_table = JS_TABLE(snapshot_body, snapshot_fields);

static size_t within(int64_t asked, size_t otherwise, size_t least, size_t most)
{
    if (asked <= 0) return otherwise;
    if ((uint64_t)asked < least) return least;
    return (uint64_t)asked > most ? most : (size_t)asked;
}

static struct snapshot *snapshot_new(struct api_call *c, const struct snapshot_body *b)
{
    struct engine *e = c->engine;
    struct stream *stream = c->stream;
    struct snapshot *s = check_alloc(sizeof *s);
    char id[24];
    s->engine = e;
    s->stream = engine_stream_ref(stream->engine);
    s->account = c->reply_account;
    s->silent.cb = snapshot_silent;
    s->last = stream_counts(stream).last;
    s->next = stream_counts(stream).first;
    s->chunk = within(b->chunk_size, CHUNK_BYTES, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    s->window = within(b->window_size, WINDOW_BYTES, s->chunk, WINDOW_BYTES_MAX);
    memcpy(s->deliver, b->deliver_subject.at, b->deliver_subject.bytes);
    writer_init(&s->ready, s->chunk);
    writer_init(&s->consumers, 256);
    backup_put_head(&s->ready);
    LIST_FOREACH (n, &stream->consumer_list) {
        if (!b->no_consumers)
            backup_put_consumer(&s->consumers, CONTAINER_OF(n, struct consumer, in_stream));
    }
    api_nuid(e, id);
    int n = snprintf(s->ack_subject, sizeof s->ack_subject, "$JS.SNAPSHOT.ACK.%s.%.*s.>",
                     s->stream->name, SNAPSHOT_ID_CHARS, id);
    s->ack_head = (size_t)n - 1;
    s->acks = (struct sub){.account = s->account,
                           .subject = text_of(s->ack_subject),
                           .kind = SUB_INTERNAL,
                           .deliver = snapshot_acked,
                           .owner = s};
    router_subscribe(e->o.router, &s->acks);
    list_push_back(&e->snapshots, &s->node);
    return s;
}

void api_stream_snapshot(struct api_call *c)
{
    struct snapshot_body b = {0};
    struct api_answer a;
    if (!api_decode(c, &snapshot_table, &b)) return;
    if (b.deliver_subject.bytes == 0 || b.deliver_subject.bytes > LIMIT_SUBJECT_BYTES ||
        !subject_valid_literal(b.deliver_subject)) {
        api_fail(c, JS_SNAPSHOT_DELIVER_SUBJECT_INVALID, "");
        return;
    }
    struct snapshot *s = snapshot_new(c, &b);
    api_begin(c, &a);
    js_info_stream_members(c->engine, c->stream, &a.j, NULL);
    api_end(c, &a); /* the answer goes before the first chunk */
    snapshot_run(s);
}
