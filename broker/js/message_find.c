#include "broker/js/message_find.h"

#include "store/base/err.h"

#define FIND_SCAN                                                                                  \
    65536 /* messages looked at in one call; the whole search continues from there                 \
           */

static const struct json_in_field message_want_fields[] = {
    {"seq", JSON_IN_U64, offsetof(struct message_want, seq), 0, NULL},
    {"last_by_subj", JSON_IN_TEXT, offsetof(struct message_want, last_by), 0, NULL},
    {"next_by_subj", JSON_IN_TEXT, offsetof(struct message_want, next_by), 0, NULL},
    {"start_time", JSON_IN_TIME, offsetof(struct message_want, start_ns), 0, NULL},
    {"no_hdr", JSON_IN_BOOL, offsetof(struct message_want, no_headers), 0, NULL},
    {"batch", JSON_IN_U64, offsetof(struct message_want, batch), 0, NULL},
    {"max_bytes", JSON_IN_U64, offsetof(struct message_want, max_bytes), 0, NULL},
    {"multi_last", JSON_IN_TEXTS, offsetof(struct message_want, multi_last), 0, NULL},
    {"up_to_seq", JSON_IN_U64, offsetof(struct message_want, up_to_seq), 0, NULL},
    {"up_to_time", JSON_IN_TIME, offsetof(struct message_want, up_to_ns), 0, NULL},
};
const struct json_in_table message_want_table = JS_TABLE(message_want, message_want_fields);

bool message_want_valid(const struct message_want *w)
{
    bool timed = w->start_ns != MESSAGE_NO_TIME;
    if (w->multi_last.count != 0)
        return w->last_by.bytes == 0 && w->next_by.bytes == 0 && !timed &&
               (w->up_to_seq == 0 || w->up_to_ns == MESSAGE_NO_TIME);
    if (w->up_to_seq != 0 || w->up_to_ns != MESSAGE_NO_TIME) return false;
    if (w->last_by.bytes != 0)
        return w->seq == 0 && w->next_by.bytes == 0 && !timed && w->batch == 0;
    if (timed) return w->seq == 0;
    return w->seq != 0 || w->next_by.bytes != 0 || w->batch != 0;
}

int message_next(struct stream *s,
                 stream_seq from,
                 struct text filter,
                 struct store_cursor *c,
                 struct store_msg *m)
{
    size_t count = filter.bytes != 0 ? 1 : 0;
    int rc;
    do {
        rc = store_next(s->store, &from, &filter, count, FIND_SCAN, c, m);
    } while (rc == E_AGAIN);
    return rc;
}

int message_find(struct stream *s,
                 const struct message_want *w,
                 struct store_cursor *c,
                 struct store_msg *m)
{
    if (w->last_by.bytes != 0) return store_last(s->store, w->last_by, 0, c, m);
    stream_seq from = w->start_ns != MESSAGE_NO_TIME ? store_seq_at(s->store, w->start_ns) : w->seq;
    bool exact = w->next_by.bytes == 0 && w->batch == 0 && w->start_ns == MESSAGE_NO_TIME;
    if (exact) return store_get(s->store, w->seq, c, m);
    return message_next(s, from == 0 ? 1 : from, w->next_by, c, m);
}
