/* api_message.c - STREAM.MSG.GET and STREAM.MSG.DELETE. */
#include "broker/js/api.h"
#include "broker/js/message_find.h"
#include "store/base/err.h"

static void message_answer(struct api_call *c, const struct store_msg *m, bool no_headers)
{
    struct api_answer a;
    api_begin(c, &a);
    json_out_object(&a.j, "message");
    json_out_text(&a.j, "subject", m->subject);
    json_out_u64(&a.j, "seq", m->seq);
    if (m->header.bytes != 0 && !no_headers) json_out_base64(&a.j, "hdrs", m->header);
    if (m->body.bytes != 0) json_out_base64(&a.j, "data", m->body);
    json_out_time(&a.j, "time", m->time_ns);
    json_out_object_end(&a.j);
    api_end(c, &a);
}

void api_message_get(struct api_call *c)
{
    struct message_want want = MESSAGE_WANT_NOTHING;
    struct store_cursor cursor = {0};
    struct store_msg m;
    if (!api_decode(c, &message_want_table, &want)) return;
    bool batch = want.batch != 0 || want.max_bytes != 0 || want.multi_last.count != 0;
    if (batch || !message_want_valid(&want)) {
        api_fail(c, JS_BAD_REQUEST, "");
        return;
    }
    int rc = message_find(c->stream, &want, &cursor, &m);
    if (rc == 0) {
        message_answer(c, &m, want.no_headers);
    } else if (rc == E_NOTFOUND) {
        api_fail(c, JS_NO_MESSAGE_FOUND, "");
    } else { /* damaged: never as if it were absent */
        api_fail(c, JS_STREAM_STORE_FAILED, "message can't be read");
    }
    store_cursor_close(&cursor);
}

struct message_delete_body {
    uint64_t seq;
    bool no_erase;
};
static const struct json_in_field message_delete_fields[] = {
    JS_FIELD(message_delete_body, seq, JSON_IN_U64),
    JS_FIELD(message_delete_body, no_erase, JSON_IN_BOOL),
};
static const struct json_in_table message_delete_table =
    JS_TABLE(message_delete_body, message_delete_fields);

static void message_deleted(struct api_call *c, const struct apply_result *r)
{
    (void)r;
    api_success(c);
}

void api_message_delete(struct api_call *c)
{
    struct message_delete_body b = {0};
    if (!api_decode(c, &message_delete_table, &b)) return;
    struct command_msg_delete d = {.stream = c->stream->id, .seq = b.seq, .erase = !b.no_erase};
    entry_put_msg_delete(propose_open(c->engine->o.group, 64), &d);
    api_propose(c, message_deleted);
}
