/* fields.c - see fields.h. JSON is parsed by jansson; what is kept is copied into the config's
 * arena. */
#include "store/state/fields.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/arena.h"
#include "store/base/err.h"
#include "store/base/json_in.h"
#include "store/base/limits.h"
#include "store/state/js_errors.h"

#define RESERVED_PREFIX "_nats."

static void *place(const void *config, size_t at)
{
    /* Rows describe structs that their callers own and may change. */
    return (void *)((uintptr_t)config + at);
}

int fields_fail_code(struct config_error *error, int code, const char *detail)
{
    error->code = code;
    js_errors_text(code, detail, error->text, sizeof error->text);
    snprintf(error->detail, sizeof error->detail, "%s", detail);
    return E_INVAL;
}

int fields_fail(struct config_error *error, int code, const char *fmt, ...)
{
    va_list args;
    char detail[sizeof error->detail];
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    return fields_fail_code(error, code, detail);
}

/* ---- decoding one value ---- */

struct decode {
    void *config;
    void **arena;
    const struct fields *table;
    struct config_error *error;
};

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "object",  [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "bool",
        [JSON_FALSE] = "bool",     [JSON_NULL] = "null",
    };
    return names[json_typeof(v)];
}

static int wrong_type(const struct decode *d, const struct field *f, const json_t *v)
{
    return fields_fail(d->error, JS_INVALID_JSON, "json: cannot unmarshal %s into field %s",
                       type_name(v), f->name);
}

static struct text string_of(const json_t *v)
{
    return (struct text){.at = json_string_value(v), .bytes = json_string_length(v)};
}

static int get_text(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_string(v)) return wrong_type(d, f, v);
    *(struct text *)place(d->config, f->at) = fields_copy(d->arena, string_of(v));
    return 0;
}

static int get_bool(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_boolean(v)) return wrong_type(d, f, v);
    *(bool *)place(d->config, f->at) = json_is_true(v);
    return 0;
}

static int get_i64(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_integer(v)) return wrong_type(d, f, v);
    *(int64_t *)place(d->config, f->at) = json_integer_value(v);
    return 0;
}

static int get_u64(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) return wrong_type(d, f, v);
    *(uint64_t *)place(d->config, f->at) = (uint64_t)json_integer_value(v);
    return 0;
}

static int get_time(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_string(v)) return wrong_type(d, f, v);
    struct text t = string_of(v);
    int64_t *ns = place(d->config, f->at);
    if (text_equal(t, TEXT("0001-01-01T00:00:00Z"))) return 0; /* Go's zero: not set */
    if (json_in_time(t, ns)) return 0;
    return fields_fail(d->error, JS_INVALID_JSON,
                       "parsing time \"%s\" as \"2006-01-02T15:04:05Z07:00\"",
                       json_string_value(v));
}

static int get_enum(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_string(v)) return wrong_type(d, f, v);
    for (int i = 0; f->words[i] != NULL; i++) {
        if (strcmp(f->words[i], json_string_value(v)) != 0) continue;
        *(int *)place(d->config, f->at) = i;
        return 0;
    }
    return fields_fail(d->error, JS_INVALID_JSON, "can not unmarshal \"%s\"", json_string_value(v));
}

static int get_texts(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_array(v)) return wrong_type(d, f, v);
    size_t count = json_array_size(v);
    struct text *all = count == 0 ? NULL : fields_alloc(d->arena, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(v, i);
        if (!json_is_string(one)) return wrong_type(d, f, one);
        all[i] = fields_copy(d->arena, string_of(one));
    }
    *(struct text **)place(d->config, f->at) = all;
    *(size_t *)place(d->config, f->count_at) = count;
    return 0;
}

static int get_i64s(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_array(v)) return wrong_type(d, f, v);
    size_t count = json_array_size(v);
    int64_t *all = count == 0 ? NULL : fields_alloc(d->arena, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(v, i);
        if (!json_is_integer(one)) return wrong_type(d, f, one);
        all[i] = json_integer_value(one);
    }
    *(int64_t **)place(d->config, f->at) = all;
    *(size_t *)place(d->config, f->count_at) = count;
    return 0;
}

static int get_json(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) return wrong_type(d, f, v);
    char *text = json_dumps(v, JSON_COMPACT | JSON_PRESERVE_ORDER);
    CHECK(text != NULL);
    *(struct text *)place(d->config, f->at) = fields_copy(d->arena, text_of(text));
    free(text);
    return 0;
}

/* Keys that servers inject are dropped: a client that sends back what it was shown means the same
 * config. Sorted, as Go marshals a map. */
static int get_metadata(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) return wrong_type(d, f, v);
    json_t *kept = json_object();
    const char *key;
    json_t *value;
    int rc = 0;
    /* The iterators want a mutable object though they change nothing. */
    for (void *at = json_object_iter((json_t *)(uintptr_t)v); at != NULL && rc == 0;
         at = json_object_iter_next((json_t *)(uintptr_t)v, at)) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        if (!json_is_string(value)) {
            rc = wrong_type(d, f, value);
        } else if (strncmp(key, RESERVED_PREFIX, sizeof RESERVED_PREFIX - 1) != 0) {
            CHECK(json_object_set(kept, key, value) == 0);
        }
    }
    if (rc == 0 && json_object_size(kept) > 0) {
        char *text = json_dumps(kept, JSON_COMPACT | JSON_SORT_KEYS);
        CHECK(text != NULL);
        *(struct text *)place(d->config, f->at) = fields_copy(d->arena, text_of(text));
        free(text);
    }
    json_decref(kept);
    return rc;
}

static bool harmless(const struct field *f, const json_t *v)
{
    if (json_is_false(v)) return true;
    if (json_is_integer(v)) return json_integer_value(v) == 0;
    if (json_is_array(v)) return json_array_size(v) == 0;
    if (json_is_object(v)) return json_object_size(v) == 0;
    if (!json_is_string(v)) return false;
    return json_string_length(v) == 0 ||
           (f->words != NULL && strcmp(json_string_value(v), f->words[0]) == 0);
}

static int get_refused(const struct decode *d, const struct field *f, const json_t *v)
{
    return harmless(f, v) ? 0 : fields_fail(d->error, d->table->code, "%s", f->text);
}

static int get_object(const struct decode *d, const struct field *f, const json_t *v);
static int get_structs(const struct decode *d, const struct field *f, const json_t *v);

static int (*const getters[])(const struct decode *, const struct field *, const json_t *) = {
    [FIELD_TEXT] = get_text,       [FIELD_BOOL] = get_bool,         [FIELD_I64] = get_i64,
    [FIELD_U64] = get_u64,         [FIELD_TIME] = get_time,         [FIELD_ENUM] = get_enum,
    [FIELD_TEXTS] = get_texts,     [FIELD_I64S] = get_i64s,         [FIELD_JSON] = get_json,
    [FIELD_OBJECT] = get_object,   [FIELD_METADATA] = get_metadata, [FIELD_REFUSED] = get_refused,
    [FIELD_STRUCTS] = get_structs,
};

/* Tables nest twice at the most, so this ends. Members that no row names are ignored: clients are
 * newer or older. */
static int get_rows(const struct decode *d, const struct field *rows, const json_t *object)
{
    for (const struct field *f = rows; f->name != NULL; f++) {
        const json_t *v = json_object_get(object, f->name);
        if (f->type == FIELD_TIME) *(int64_t *)place(d->config, f->at) = INT64_MIN;
        int rc = v == NULL || json_is_null(v) ? 0 : getters[f->type](d, f, v);
        if (rc != 0) return rc;
        if (f->zero == 0 || f->type != FIELD_I64) continue;
        int64_t *number = place(d->config, f->at);
        if (*number == 0) *number = f->zero;
    }
    return 0;
}

static int get_object(const struct decode *d, const struct field *f, const json_t *v)
{
    if (!json_is_object(v)) return wrong_type(d, f, v);
    return get_rows(d, f->sub, v);
}

/* An empty object is none: clients write one where they mean nothing. */
static int get_structs(const struct decode *d, const struct field *f, const json_t *v)
{
    bool one = (f->flags & FIELD_ONE) != 0;
    if (one ? !json_is_object(v) : !json_is_array(v)) return wrong_type(d, f, v);
    size_t count = one ? json_object_size(v) != 0 : json_array_size(v);
    char *all = count == 0 ? NULL : fields_alloc(d->arena, count * f->bytes);
    if (all != NULL) memset(all, 0, count * f->bytes);
    for (size_t i = 0; i < count; i++) {
        const json_t *each = one ? v : json_array_get(v, i);
        struct decode inner = *d;
        inner.config = all + i * f->bytes;
        int rc = json_is_object(each) ? get_rows(&inner, f->sub, each) : wrong_type(d, f, each);
        if (rc != 0) return rc;
    }
    *(void **)place(d->config, f->at) = all;
    *(size_t *)place(d->config, f->count_at) = count;
    return 0;
}

int fields_decode(const struct fields *t,
                  struct text json,
                  void *config,
                  struct config_error *error)
{
    json_error_t at;
    json_t *object = json_loadb(json.at == NULL ? "" : json.at, json.bytes, 0, &at);
    struct decode d = {
        .config = config, .arena = place(config, t->arena_at), .table = t, .error = error};
    int rc = 0;
    if (object == NULL) {
        rc = fields_fail(error, JS_INVALID_JSON, "%s", at.text);
    } else if (!json_is_object(object)) {
        rc = fields_fail(error, JS_INVALID_JSON, "json: cannot unmarshal %s into an object",
                         type_name(object));
    } else {
        rc = get_rows(&d, t->rows, object);
    }
    json_decref(object);
    return rc;
}

/* ---- encoding ---- */

static bool is_zero(const struct field *f, const void *config)
{
    const void *at = place(config, f->at);
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_JSON:
    case FIELD_METADATA:
        return ((const struct text *)at)->bytes == 0;
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_I64:
        return *(const int64_t *)at == 0;
    case FIELD_U64:
        return *(const uint64_t *)at == 0;
    case FIELD_TIME:
        return *(const int64_t *)at == INT64_MIN;
    case FIELD_ENUM:
        return *(const int *)at == 0;
    case FIELD_TEXTS:
    case FIELD_I64S:
    case FIELD_STRUCTS:
        return *(const size_t *)place(config, f->count_at) == 0;
    case FIELD_OBJECT:
        return false;
    case FIELD_REFUSED:
        return true;
    }
    return false;
}

static void put_array(const struct field *f, const void *config, struct json_out *j)
{
    size_t count = *(const size_t *)place(config, f->count_at);
    json_out_array(j, f->name);
    for (size_t i = 0; i < count; i++) {
        if (f->type == FIELD_TEXTS) {
            json_out_text(j, NULL, (*(struct text *const *)place(config, f->at))[i]);
        } else {
            json_out_i64(j, NULL, (*(int64_t *const *)place(config, f->at))[i]);
        }
    }
    json_out_array_end(j);
}

/* An injected key sorts where Go would put it; keys of ours start with '_', which may lie anywhere
 * among the client's. */
static void put_metadata(const struct field *f,
                         const void *config,
                         struct json_out *j,
                         const struct fields_show *show)
{
    const struct text *kept = place(config, f->at);
    if (show->version == NULL) {
        json_out_raw(j, f->name, *kept);
        return;
    }
    json_t *all = kept->bytes == 0 ? json_object() : json_loadb(kept->at, kept->bytes, 0, NULL);
    char number[16];
    CHECK(all != NULL);
    snprintf(number, sizeof number, "%d", show->level);
    CHECK(json_object_set_new(all, RESERVED_PREFIX "level", json_string(number)) == 0);
    snprintf(number, sizeof number, "%d", show->required_level);
    CHECK(json_object_set_new(all, RESERVED_PREFIX "req.level", json_string(number)) == 0);
    CHECK(json_object_set_new(all, RESERVED_PREFIX "ver", json_string(show->version)) == 0);
    char *text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK(text != NULL);
    json_out_raw(j, f->name, text_of(text));
    free(text);
    json_decref(all);
}

static void put_rows(const struct field *rows,
                     const void *config,
                     struct json_out *j,
                     const struct fields_show *show);

static void put_structs(const struct field *f,
                        const void *config,
                        struct json_out *j,
                        const struct fields_show *show)
{
    size_t count = *(const size_t *)place(config, f->count_at);
    const char *all = *(char *const *)place(config, f->at);
    bool one = (f->flags & FIELD_ONE) != 0;
    if (!one) json_out_array(j, f->name);
    for (size_t i = 0; i < count; i++) {
        json_out_object(j, one ? f->name : NULL);
        put_rows(f->sub, all + i * f->bytes, j, show);
        json_out_object_end(j);
    }
    if (!one) json_out_array_end(j);
}

static void put_value(const struct field *f,
                      const void *config,
                      struct json_out *j,
                      const struct fields_show *show)
{
    const void *at = place(config, f->at);
    switch (f->type) {
    case FIELD_TEXT:
        json_out_text(j, f->name, *(const struct text *)at);
        break;
    case FIELD_BOOL:
        json_out_bool(j, f->name, *(const bool *)at);
        break;
    case FIELD_I64:
        json_out_i64(j, f->name, *(const int64_t *)at);
        break;
    case FIELD_U64:
        json_out_u64(j, f->name, *(const uint64_t *)at);
        break;
    case FIELD_TIME:
        json_out_time(j, f->name, *(const int64_t *)at);
        break;
    case FIELD_ENUM:
        json_out_string(j, f->name, f->words[*(const int *)at]);
        break;
    case FIELD_TEXTS:
    case FIELD_I64S:
        put_array(f, config, j);
        break;
    case FIELD_JSON:
        json_out_raw(j, f->name, *(const struct text *)at);
        break;
    case FIELD_METADATA:
        put_metadata(f, config, j, show);
        break;
    case FIELD_OBJECT:
        json_out_object(j, f->name);
        put_rows(f->sub, config, j, show);
        json_out_object_end(j);
        break;
    case FIELD_STRUCTS:
        put_structs(f, config, j, show);
        break;
    case FIELD_REFUSED:
        break;
    }
}

static void put_rows(const struct field *rows,
                     const void *config,
                     struct json_out *j,
                     const struct fields_show *show)
{
    for (const struct field *f = rows; f->name != NULL; f++) {
        bool zero = is_zero(f, config);
        if (f->type == FIELD_METADATA && show->version != NULL) zero = false;
        if (zero && ((f->flags & FIELD_OMIT) != 0 || f->type == FIELD_REFUSED)) continue;
        if (show->skip != NULL && strcmp(show->skip, f->name) == 0) continue;
        put_value(f, config, j, show);
    }
}

void fields_encode(const struct fields *t,
                   const void *config,
                   struct json_out *j,
                   const char *key,
                   const struct fields_show *show)
{
    static const struct fields_show plain = {0};
    json_out_object(j, key);
    put_rows(t->rows, config, j, show == NULL ? &plain : show);
    json_out_object_end(j);
}

/* ---- comparing ---- */

static struct slice encoded(const struct field *rows, const void *config, const char *skip)
{
    struct writer w;
    struct json_out j;
    struct fields_show show = {.skip = skip};
    writer_init(&w, 1024);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    put_rows(rows, config, &j, &show);
    json_out_object_end(&j);
    return writer_take(&w);
}

static bool rows_equal(const struct field *rows, const void *a, const void *b, const char *skip)
{
    struct slice x = encoded(rows, a, skip), y = encoded(rows, b, skip);
    bool equal = x.bytes == y.bytes && memcmp(x.at, y.at, x.bytes) == 0;
    slice_release(&x);
    slice_release(&y);
    return equal;
}

bool fields_equal(const struct fields *t, const void *a, const void *b, const char *skip)
{
    return rows_equal(t->rows, a, b, skip);
}

int fields_update_check(const struct fields *t,
                        const void *from,
                        const void *to,
                        struct config_error *error)
{
    for (const struct field *f = t->rows; f->name != NULL; f++) {
        if ((f->flags & FIELD_CONST) == 0) continue;
        struct field one[] = {*f, {0}};
        if (!rows_equal(one, from, to, NULL))
            return fields_fail(error, f->code != 0 ? f->code : t->code, "%s", f->text);
    }
    return 0;
}

/* ---- memory ---- */

void *fields_alloc(void **arena, size_t bytes)
{
    if (*arena == NULL) *arena = check_alloc(sizeof(struct arena));
    return arena_alloc(*arena, bytes);
}

struct text fields_copy(void **arena, struct text t)
{
    if (t.bytes == 0) return (struct text){.at = "", .bytes = 0};
    char *to = fields_alloc(arena, t.bytes);
    memcpy(to, t.at, t.bytes);
    return (struct text){.at = to, .bytes = t.bytes};
}

void fields_free(void **arena)
{
    if (*arena != NULL) arena_free(*arena);
    free(*arena);
    *arena = NULL;
}

/* ---- small rules ---- */

bool fields_subject_valid(struct text subject)
{
    bool first = true;
    for (size_t i = 0, start = 0; i <= subject.bytes; i++) {
        if (i < subject.bytes && subject.at[i] != '.') {
            if (strchr(" \t\r\n\f", subject.at[i]) != NULL) return false; /* also NUL */
            continue;
        }
        if (i == start) return false;
        if (i - start == 1 && subject.at[start] == '>' && i < subject.bytes) return false;
        start = i + 1;
        first = false;
    }
    return !first;
}

bool fields_name_valid(struct text name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        if (strchr(" \t\r\n\f.*>", name.at[i]) != NULL) return false;
    }
    return name.bytes > 0;
}

bool fields_has_separator(struct text name)
{
    return name.bytes != 0 &&
           (memchr(name.at, '/', name.bytes) != NULL || memchr(name.at, '\\', name.bytes) != NULL);
}

/* The fraction without trailing zeros: 1.5s, 20ms, 1.000000001s. */
static int put_fraction(char *to, size_t bytes, uint64_t value, uint64_t unit, const char *name)
{
    uint64_t part = value % unit;
    int at = snprintf(to, bytes, "%llu", (unsigned long long)(value / unit));
    if (part != 0) {
        int digits = 0;
        for (uint64_t u = unit; u > 1; u /= 10)
            digits++;
        at += snprintf(to + at, bytes - (size_t)at, ".%0*llu", digits, (unsigned long long)part);
        while (to[at - 1] == '0')
            at--;
    }
    return at + snprintf(to + at, bytes - (size_t)at, "%s", name);
}

const char *fields_duration(int64_t ns, char to[FIELDS_DURATION_BYTES])
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    int at = 0;
    if (ns < 0) to[at++] = '-';
    if (left == 0) {
        snprintf(to, FIELDS_DURATION_BYTES, "0s");
    } else if (left < NS_PER_US) {
        put_fraction(to + at, FIELDS_DURATION_BYTES - (size_t)at, left, 1, "ns");
    } else if (left < NS_PER_MS) {
        put_fraction(to + at, FIELDS_DURATION_BYTES - (size_t)at, left, NS_PER_US, "\u00b5s");
    } else if (left < NS_PER_S) {
        put_fraction(to + at, FIELDS_DURATION_BYTES - (size_t)at, left, NS_PER_MS, "ms");
    } else {
        uint64_t minutes = left / (60 * NS_PER_S), hours = minutes / 60;
        if (hours > 0)
            at += snprintf(to + at, FIELDS_DURATION_BYTES - (size_t)at, "%lluh",
                           (unsigned long long)hours);
        if (minutes > 0)
            at += snprintf(to + at, FIELDS_DURATION_BYTES - (size_t)at, "%llum",
                           (unsigned long long)(minutes % 60));
        put_fraction(to + at, FIELDS_DURATION_BYTES - (size_t)at, left % (60 * NS_PER_S), NS_PER_S,
                     "s");
    }
    return to;
}
