/* publish_headers.h - the headers of a published message that decide what becomes of it (7.3).
 * Parsed once, by the node that proposes; apply sees only the values. */
#pragma once

#include "store/base/slice.h"
#include "store/state/entry.h"

struct publish_headers {
    uint32_t flags; /* enum publish_flag */
    struct text msg_id, expect_msg_id, expect_subject, expect_stream;
    uint64_t expect_seq, expect_subject_seq, api_level;
    int64_t ttl_ns;
    struct text bad_rollup;                /* a value that is neither sub nor all */
    bool bad_ttl;                          /* malformed or below a second */
    bool counter, batch, schedule, source; /* a header of a feature that the stream can't have */
    bool api_level_given;
    size_t line_bytes; /* of the first line, CRLF included; more than NATS/1.0's 10: a status to
                          drop */
};

/* header: the whole block. Malformed lines are passed over, as they would be stored. The first of a
 * repeated header counts. */
void publish_headers_parse(struct text header, struct publish_headers *out);
/* The value of one header in a block; empty: absent (or empty). */
struct text publish_headers_find(struct text header, struct text key);
