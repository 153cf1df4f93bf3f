#include "broker/js/js_json.h"

#include <jansson.h>
#include <stdio.h>

#include "store/base/err.h"
#include "store/state/js_errors.h"

int js_json_decode(struct arena *a,
                   struct text json,
                   const struct json_in_table *table,
                   void *out,
                   struct config_error *error)
{
    struct json_in_result result = {0};
    int rc = json_in_decode(a, json, table, out, &result);
    if (rc == 0 && result.unknown == NULL) return 0;
    error->code = JS_INVALID_JSON;
    if (rc != 0) {
        snprintf(error->detail, sizeof error->detail, "%s", result.error);
    } else {
        snprintf(error->detail, sizeof error->detail, "json: unknown field \"%s\"", result.unknown);
    }
    (void)js_errors_text(error->code, error->detail, error->text, sizeof error->text);
    return E_INVAL;
}

static struct text js_dump(struct arena *a, const json_t *root)
{
    size_t bytes = json_dumpb(root, NULL, 0, JSON_COMPACT);
    char *at = arena_alloc(a, bytes + 1);
    (void)json_dumpb(root, at, bytes, JSON_COMPACT);
    return (struct text){.at = at, .bytes = bytes};
}

struct text js_json_without(struct arena *a, struct text json, const char *member)
{
    json_t *root = json_loadb(json.at, json.bytes, JSON_ALLOW_NUL, NULL);
    struct text out = json;
    if (json_is_object(root) && json_object_del(root, member) == 0) out = js_dump(a, root);
    json_decref(root);
    return out;
}

struct text js_json_with(struct arena *a, struct text json, const char *member, struct text value)
{
    json_t *root = json_loadb(json.at, json.bytes, JSON_ALLOW_NUL, NULL);
    struct text out = json;
    bool has = json_string_length(json_object_get(root, member)) != 0;
    if (json_is_object(root) && !has &&
        json_object_set_new(root, member, json_stringn(value.at, value.bytes)) == 0)
        out = js_dump(a, root);
    json_decref(root);
    return out;
}
