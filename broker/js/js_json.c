#include "broker/js/js_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/js/duration.h"
#include "store/base/err.h"
#include "store/state/js_errors.h"

#define JS_JSON_INVALID 10025
#define JS_JSON_FLAGS (JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES)

struct js_block {
    struct js_block *next;
};

static void *js_block_new(struct js_json *j, size_t bytes)
{
    struct js_block *b = check_alloc(sizeof *b + bytes);
    b->next = j->blocks;
    j->blocks = b;
    return b + 1;
}

static struct text js_string(const json_t *v)
{
    return (struct text){.at = json_string_value(v), .bytes = json_string_length(v)};
}

static const char *js_kind(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        return "null";
    }
    return "value";
}

/* A value's own JSON, as a text that lives in j. */
static struct text js_dump(struct js_json *j, const json_t *v)
{
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t bytes = json_dumpb(v, NULL, 0, flags);
    char *at = js_block_new(j, bytes);
    (void)json_dumpb(v, at, bytes, flags);
    return (struct text){.at = at, .bytes = bytes};
}

static bool js_texts(struct js_json *j, const json_t *v, struct js_texts *out)
{
    if (!json_is_array(v)) return false;
    out->count = json_array_size(v);
    out->at = js_block_new(j, out->count * sizeof *out->at);
    for (size_t i = 0; i < out->count; i++) {
        const json_t *each = json_array_get(v, i);
        if (!json_is_string(each)) return false;
        out->at[i] = js_string(each);
    }
    return true;
}

static bool js_field(struct js_json *j, const struct js_json_field *f, const json_t *v, void *out)
{
    void *to = (char *)out + f->offset;
    switch (f->type) {
    case JS_JSON_TEXT:
        *(struct text *)to = js_string(v);
        return json_is_string(v);
    case JS_JSON_I64:
        *(int64_t *)to = json_integer_value(v);
        return json_is_integer(v);
    case JS_JSON_U64:
        *(uint64_t *)to = (uint64_t)json_integer_value(v);
        return json_is_integer(v) && json_integer_value(v) >= 0;
    case JS_JSON_BOOL:
        *(bool *)to = json_is_true(v);
        return json_is_boolean(v);
    case JS_JSON_TIME:
        return json_is_string(v) && duration_time(js_string(v), to);
    case JS_JSON_OBJECT:
        *(struct text *)to = js_dump(j, v);
        return json_is_object(v);
    case JS_JSON_TEXTS:
        return js_texts(j, v, to);
    case JS_JSON_SKIP:
        return true;
    }
    return false;
}

static int js_error(struct config_error *error, const char *what, const char *name)
{
    error->code = JS_JSON_INVALID;
    snprintf(error->text, sizeof error->text, "invalid JSON: json: %s\"%s\"", what, name);
    return E_INVAL;
}

static const struct js_json_field *
js_find(const struct js_json_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    }
    return NULL;
}

static int js_load(struct js_json *j, struct text json, struct config_error *error)
{
    json_error_t e;
    j->root = json_loadb(json.at, json.bytes, JS_JSON_FLAGS, &e);
    if (json_is_object((json_t *)j->root)) return 0;
    error->code = JS_JSON_INVALID;
    snprintf(error->text, sizeof error->text, "invalid JSON: %.200s",
             j->root == NULL ? e.text : "json: cannot unmarshal value into an object");
    return E_INVAL;
}

int js_json_decode(struct js_json *j,
                   struct text json,
                   const struct js_json_field *fields,
                   size_t count,
                   void *out,
                   struct config_error *error)
{
    CHECK(j->root == NULL);
    int rc = js_load(j, json, error);
    if (rc != 0) return rc;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)j->root, name, value)
    {
        const struct js_json_field *f = js_find(fields, count, name);
        if (f == NULL) return js_error(error, "unknown field ", name);
        if (json_is_null(value)) continue;
        if (js_field(j, f, value, out)) continue;
        char what[80];
        snprintf(what, sizeof what, "cannot unmarshal %s into Go struct field ", js_kind(value));
        return js_error(error, what, name);
    }
    return 0;
}

void js_json_free(struct js_json *j)
{
    json_decref(j->root);
    struct js_block *b = j->blocks;
    while (b != NULL) {
        struct js_block *next = b->next;
        free(b);
        b = next;
    }
    *j = (struct js_json){0};
}

struct text js_json_without(struct js_json *j, struct text json, const char *member)
{
    json_t *root = json_loadb(json.at, json.bytes, JS_JSON_FLAGS, NULL);
    struct text out = json;
    if (json_is_object(root) && json_object_del(root, member) == 0) out = js_dump(j, root);
    json_decref(root);
    return out;
}
