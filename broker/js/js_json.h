/* js_json.h - bodies of API requests: a JSON object into a struct, by a table of fields.
 * Strict, as JetStream is since 2.12: an unknown member is an error with its own text (section 5).
 */
#pragma once

#include <stddef.h>

#include "store/base/check.h"
#include "store/base/slice.h"
#include "store/state/stream.h"

enum js_json_type {
    JS_JSON_TEXT,   /* struct text */
    JS_JSON_I64,    /* int64_t */
    JS_JSON_U64,    /* uint64_t */
    JS_JSON_BOOL,   /* bool */
    JS_JSON_TIME,   /* int64_t ns; INT64_MIN: year 1 */
    JS_JSON_OBJECT, /* struct text: the member's own JSON */
    JS_JSON_TEXTS,  /* struct js_texts */
    JS_JSON_SKIP,   /* known, of no use here */
};
struct js_texts {
    struct text *at;
    size_t count;
};
struct js_json_field {
    const char *name;
    enum js_json_type type;
    size_t offset;
};
#define JS_FIELD(type, member, kind)                                                               \
    {                                                                                              \
#member, kind, offsetof(struct type, member)                                               \
    }

/* What texts point into; free it when the struct isn't used any more. Zero-initialise. */
struct js_json {
    void *root;
    void *blocks; /* own allocations, linked */
};
/* Members that are absent leave the struct as it is. E_INVAL: error holds 10025 and its text. */
NODISCARD int js_json_decode(struct js_json *j,
                             struct text json,
                             const struct js_json_field *fields,
                             size_t count,
                             void *out,
                             struct config_error *error);
void js_json_free(struct js_json *j);
/* Copies `json` without one member; text lives in j. When it isn't an object, json itself. */
struct text js_json_without(struct js_json *j, struct text json, const char *member);
