/* message_find.h - which message a get asks for: by sequence, last or next of a subject, from a
 * time. One body for STREAM.MSG.GET and DIRECT.GET (sections 5, 10). */
#pragma once

#include "broker/js/js_json.h"
#include "store/state/stream.h"

#define MESSAGE_NO_TIME INT64_MAX

struct message_want {
    uint64_t seq, batch, max_bytes, up_to_seq;
    struct text last_by, next_by;
    int64_t start_ns, up_to_ns; /* MESSAGE_NO_TIME: not given */
    bool no_headers;
    struct json_in_list multi_last;
};
#define MESSAGE_WANT_NOTHING                                                                       \
    {                                                                                              \
        .start_ns = MESSAGE_NO_TIME, .up_to_ns = MESSAGE_NO_TIME                                   \
    }
extern const struct json_in_table message_want_table;

/* Exactly one way of asking, and none that excludes it. */
bool message_want_valid(const struct message_want *w);
/* One message (no batch, no multi_last). E_NOTFOUND, E_CORRUPT. */
NODISCARD int message_find(struct stream *s,
                           const struct message_want *w,
                           struct store_cursor *c,
                           struct store_msg *m);
/* The first message at or after `from` that the filter matches (empty: any). */
NODISCARD int message_next(struct stream *s,
                           stream_seq from,
                           struct text filter,
                           struct store_cursor *c,
                           struct store_msg *m);
