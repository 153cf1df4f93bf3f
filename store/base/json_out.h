/* json_out.h - append-only JSON. The caller opens, adds members in order, closes; commas are ours.
 * `<`, `>`, `&` are escaped as \u003c..., as Go's encoder does; bytes that aren't UTF-8 become U+FFFD.
 * Depth at most 32 (CHECK). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/writer.h"

struct json_out {
    struct writer *w;
    uint32_t comma;   /* bit d: depth d has a member already */
    unsigned depth;
    bool indent;      /* two spaces a level, as the monitoring endpoints print */
};

void json_out_init(struct json_out *j, struct writer *w, bool indent);
/* key == NULL inside arrays and at the top. */
void json_out_object(struct json_out *j, const char *key);
void json_out_object_end(struct json_out *j);
void json_out_array(struct json_out *j, const char *key);
void json_out_array_end(struct json_out *j);
void json_out_text(struct json_out *j, const char *key, struct text value);
void json_out_string(struct json_out *j, const char *key, const char *value);
void json_out_i64(struct json_out *j, const char *key, int64_t value);
void json_out_u64(struct json_out *j, const char *key, uint64_t value);
void json_out_double(struct json_out *j, const char *key, double value);
void json_out_bool(struct json_out *j, const char *key, bool value);
void json_out_null(struct json_out *j, const char *key);
/* RFC 3339, UTC, up to 9 fractional digits, trailing zeros cut, as Go prints; INT64_MIN: year 1. */
void json_out_time(struct json_out *j, const char *key, int64_t ns);
void json_out_base64(struct json_out *j, const char *key, struct text bytes);
/* Already valid JSON, e.g. a sub-object encoded before. */
void json_out_raw(struct json_out *j, const char *key, struct text json);
