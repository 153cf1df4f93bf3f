/* json_in.h - a JSON object into a struct, by a table of its fields; parsing by jansson. Names
 * match exactly or else without regard to case, null leaves a field as it is, a repeated name
 * counts last: as Go's decoder. All memory comes from the arena and lives as long as it. Thread:
 * any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "store/base/arena.h"
#include "store/base/slice.h"

enum json_in_kind {                 /* the member's type */
                    JSON_IN_TEXT,   /* struct text, with a NUL behind it */
                    JSON_IN_BOOL,   /* bool */
                    JSON_IN_I64,    /* int64_t */
                    JSON_IN_U64,    /* uint64_t */
                    JSON_IN_DOUBLE, /* double */
                    JSON_IN_NS,     /* int64_t: a duration in nanoseconds */
                    JSON_IN_TIME,   /* int64_t: RFC 3339 -> ns since 1970 */
                    JSON_IN_BASE64, /* struct text: the bytes */
                    JSON_IN_RAW,    /* struct text: any value, as compact JSON */
                    JSON_IN_TEXTS,  /* struct json_in_list of struct text */
                    JSON_IN_I64S,   /* struct json_in_list of int64_t */
                    JSON_IN_PAIRS,  /* struct json_in_list of struct json_in_pair, sorted by key: an
                                       object of strings */
                    JSON_IN_OBJECT, /* struct T *, from the arena; table says what it holds */
                    JSON_IN_OBJECTS, /* struct json_in_list of struct T */
                    JSON_IN_KINDS
};

struct json_in_list {
    void *at;
    size_t count;
};
struct json_in_pair {
    struct text key, value;
};

struct json_in_table;
struct json_in_field {
    const char *name;
    enum json_in_kind kind;
    size_t offset;
    uint64_t
        has; /* set in the struct's presence word when the member was there and not null; or 0 */
    const struct json_in_table *table; /* of OBJECT and OBJECTS */
};
struct json_in_table {
    const char *name; /* for error texts: "StreamConfig" */
    const struct json_in_field *fields;
    size_t count;
    size_t bytes;      /* sizeof the struct */
    size_t has_offset; /* of its uint64_t presence word; JSON_IN_NO_HAS: it has none */
};
#define JSON_IN_NO_HAS SIZE_MAX

struct json_in_result {
    const char *error;   /* Go's wording, e.g. `json: cannot unmarshal string into Go struct field
                            StreamConfig.max_msgs of type int64`; set with E_MALFORMED */
    const char *unknown; /* the first unknown field's name, or NULL; whether that is an error is the
                            caller's */
};

/* E_MALFORMED: not JSON, not an object, a value of the wrong type (members before it may be set).
 */
NODISCARD int json_in_decode(struct arena *a,
                             struct text json,
                             const struct json_in_table *table,
                             void *out,
                             struct json_in_result *result);

/* The parts that others need as well. false: malformed. */
bool json_in_time(struct text t, int64_t *ns);
bool json_in_base64(struct arena *a, struct text t, struct text *out);
