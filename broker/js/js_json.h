/* js_json.h - bodies of API requests into structs: json_in.h, strict as JetStream is since 2.12: an
 * unknown member is an error with its own text (section 5). */
#pragma once

#include "store/base/arena.h"
#include "store/base/check.h"
#include "store/base/json_in.h"
#include "store/state/stream.h"

#define JS_FIELD(type, member, kind)                                                               \
    {                                                                                              \
#member, kind, offsetof(struct type, member), 0, NULL                                      \
    }
#define JS_TABLE(type, fields)                                                                     \
    {                                                                                              \
#type, fields, ARRAY_COUNT(fields), sizeof(struct type), JSON_IN_NO_HAS                    \
    }

/* Members that are absent leave the struct as it is. E_INVAL: error holds 10025 and its text. */
NODISCARD int js_json_decode(struct arena *a,
                             struct text json,
                             const struct json_in_table *table,
                             void *out,
                             struct config_error *error);
/* Copies `json` without one member. When it isn't an object, json itself. */
struct text js_json_without(struct arena *a, struct text json, const char *member);
/* A copy that has this member, unless it has it already and not empty. When it isn't an object,
 * json itself. */
struct text js_json_with(struct arena *a, struct text json, const char *member, struct text value);
