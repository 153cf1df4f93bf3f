/* json_in.c - see json_in.h. Nested objects wait on a list, not on the C stack: a decoder of input
 * does not recurse. jansson bounds the depth of what it parses itself. */
#include "store/base/json_in.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "store/base/err.h"
#include "store/base/units.h"

/* An object that is still to be decoded. */
struct work {
    struct work *next;
    const json_t *object;
    const struct json_in_table *table;
    uint8_t *out;
};

struct decoder {
    struct arena *arena;
    struct json_in_result *result;
    struct work *todo, **last;
    bool reals; /* integers were read as doubles: one was too large for int64 */
};

static const struct kind_row {
    const char *go_type;
    bool (*decode)(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to);
} kind_rows[JSON_IN_KINDS];

static void
todo(struct decoder *d, const json_t *object, const struct json_in_table *table, void *out)
{
    struct work *w = arena_alloc(d->arena, sizeof *w);
    *w = (struct work){.object = object, .table = table, .out = out};
    *d->last = w;
    d->last = &w->next;
}

/* ---- one value each ---- */

static struct text text_value(struct decoder *d, const json_t *v)
{
    struct text t = {.at = json_string_value(v), .bytes = json_string_length(v)};
    return arena_text(d->arena, t);
}

static bool decode_text(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)f;
    if (!json_is_string(v)) return false;
    *(struct text *)to = text_value(d, v);
    return true;
}

static bool decode_bool(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)d;
    (void)f;
    if (!json_is_boolean(v)) return false;
    *(bool *)to = json_is_true(v);
    return true;
}

/* 2^63, the first double beyond int64_t. */
#define TWO_63 9223372036854775808.0

static bool i64_value(const struct decoder *d, const json_t *v, int64_t *out)
{
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    if (!d->reals || !json_is_real(v)) return false;
    double value = json_real_value(v);
    if (!(value >= -TWO_63 && value < TWO_63) || floor(value) != value) return false;
    *out = (int64_t)value;
    return true;
}

static bool decode_i64(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)f;
    return i64_value(d, v, to);
}

/* jansson has no unsigned integers: what is beyond int64_t comes as a double, and loses its last
 * digits. */
static bool decode_u64(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    int64_t value;
    (void)f;
    if (i64_value(d, v, &value)) {
        *(uint64_t *)to = (uint64_t)value;
        return value >= 0;
    }
    if (!d->reals || !json_is_real(v)) return false;
    double large = json_real_value(v);
    if (!(large >= TWO_63 && large <= 2 * TWO_63)) return false;
    *(uint64_t *)to = large >= 2 * TWO_63 ? UINT64_MAX : (uint64_t)large;
    return true;
}

static bool
decode_double(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)d;
    (void)f;
    if (!json_is_number(v)) return false;
    *(double *)to = json_number_value(v);
    return true;
}

static bool decode_time(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)d;
    (void)f;
    struct text t = {.at = json_string_value(v), .bytes = json_string_length(v)};
    return json_is_string(v) && json_in_time(t, to);
}

static bool
decode_base64(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)f;
    struct text t = {.at = json_string_value(v), .bytes = json_string_length(v)};
    return json_is_string(v) && json_in_base64(d->arena, t, to);
}

static bool decode_raw(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    (void)f;
    char *json = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (json == NULL) return false;
    *(struct text *)to = arena_text(d->arena, text_of(json));
    free(json);
    return true;
}

static void *list_room(struct decoder *d, struct json_in_list *list, size_t count, size_t bytes)
{
    list->count = count;
    list->at = arena_alloc(d->arena, count * bytes);
    return list->at;
}

static bool
decode_texts(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    size_t i;
    json_t *item;
    (void)f;
    if (!json_is_array(v)) return false;
    struct text *out = list_room(d, to, json_array_size(v), sizeof *out);
    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        if (!json_is_string(item)) return false;
        out[i] = text_value(d, item);
    }
    return true;
}

static bool decode_i64s(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    size_t i;
    json_t *item;
    (void)f;
    if (!json_is_array(v)) return false;
    int64_t *out = list_room(d, to, json_array_size(v), sizeof *out);
    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        if (!i64_value(d, item, &out[i])) return false;
    }
    return true;
}

static int pair_order(const void *a, const void *b)
{
    const struct json_in_pair *x = a, *y = b;
    size_t bytes = x->key.bytes < y->key.bytes ? x->key.bytes : y->key.bytes;
    int order = memcmp(x->key.at, y->key.at, bytes);
    return order != 0 ? order : (x->key.bytes > y->key.bytes) - (x->key.bytes < y->key.bytes);
}

static bool
decode_pairs(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    const char *key;
    json_t *item;
    size_t count = 0;
    (void)f;
    if (!json_is_object(v)) return false;
    struct json_in_pair *out = list_room(d, to, json_object_size(v), sizeof *out);
    json_object_foreach((json_t *)(uintptr_t)v, key, item)
    {
        if (!json_is_string(item)) return false;
        out[count].key = arena_text(d->arena, text_of(key));
        out[count++].value = text_value(d, item);
    }
    if (count > 1) qsort(out, count, sizeof *out, pair_order);
    return true;
}

static bool
decode_object(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    if (!json_is_object(v)) return false;
    void *out = arena_alloc(d->arena, f->table->bytes);
    *(void **)to = out;
    todo(d, v, f->table, out);
    return true;
}

static bool
decode_objects(struct decoder *d, const json_t *v, const struct json_in_field *f, void *to)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v)) return false;
    uint8_t *out = list_room(d, to, json_array_size(v), f->table->bytes);
    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        if (!json_is_object(item)) return false;
        todo(d, item, f->table, out + i * f->table->bytes);
    }
    return true;
}

static const struct kind_row kind_rows[JSON_IN_KINDS] = {
    [JSON_IN_TEXT] = {"string", decode_text},
    [JSON_IN_BOOL] = {"bool", decode_bool},
    [JSON_IN_I64] = {"int64", decode_i64},
    [JSON_IN_U64] = {"uint64", decode_u64},
    [JSON_IN_DOUBLE] = {"float64", decode_double},
    [JSON_IN_NS] = {"time.Duration", decode_i64},
    [JSON_IN_TIME] = {"time.Time", decode_time},
    [JSON_IN_BASE64] = {"[]uint8", decode_base64},
    [JSON_IN_RAW] = {"json.RawMessage", decode_raw},
    [JSON_IN_TEXTS] = {"[]string", decode_texts},
    [JSON_IN_I64S] = {"[]int64", decode_i64s},
    [JSON_IN_PAIRS] = {"map[string]string", decode_pairs},
    [JSON_IN_OBJECT] = {"object", decode_object},
    [JSON_IN_OBJECTS] = {"[]object", decode_objects},
};

/* ---- objects ---- */

static const struct json_in_field *field_of(const struct json_in_table *table, const char *name)
{
    const struct json_in_field *end = table->fields + table->count;
    for (const struct json_in_field *f = table->fields; f < end; f++) {
        if (strcmp(f->name, name) == 0) return f;
    }
    for (const struct json_in_field *f = table->fields; f < end; f++) {
        if (strcasecmp(f->name, name) == 0) return f;
    }
    return NULL;
}

static const char *type_text(const json_t *v)
{
    static const char *const texts[] = {
        [JSON_OBJECT] = "object",  [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "bool",
        [JSON_FALSE] = "bool",     [JSON_NULL] = "null",
    };
    return texts[json_typeof(v)];
}

static int decode_work(struct decoder *d, const struct work *w)
{
    const char *name;
    json_t *value;
    uint64_t has = 0;
    json_object_foreach((json_t *)(uintptr_t)w->object, name, value)
    {
        const struct json_in_field *f = field_of(w->table, name);
        if (f == NULL) {
            if (d->result->unknown == NULL)
                d->result->unknown = arena_string(d->arena, text_of(name));
            continue;
        }
        if (json_is_null(value)) continue;
        const struct kind_row *row = &kind_rows[f->kind];
        if (!row->decode(d, value, f, w->out + f->offset)) {
            d->result->error = arena_print(
                d->arena, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                type_text(value), w->table->name, f->name, row->go_type);
            return E_MALFORMED;
        }
        has |= f->has;
    }
    if (w->table->has_offset != JSON_IN_NO_HAS) {
        uint64_t *word = (uint64_t *)(void *)(w->out + w->table->has_offset);
        *word |= has;
    }
    return 0;
}

static json_t *parse(struct decoder *d, struct text json)
{
    json_error_t error;
    const char *at = json.at == NULL ? "" : json.at;
    json_t *root = json_loadb(at, json.bytes, JSON_DECODE_ANY, &error);
    if (root == NULL && json_error_code(&error) == json_error_numeric_overflow) {
        d->reals = true;
        root = json_loadb(at, json.bytes, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
    }
    if (root == NULL)
        d->result->error =
            arena_print(d->arena, "json: %s, at byte %d", error.text, error.position);
    return root;
}

int json_in_decode(struct arena *a,
                   struct text json,
                   const struct json_in_table *table,
                   void *out,
                   struct json_in_result *result)
{
    struct decoder d = {.arena = a, .result = result};
    int rc = 0;
    *result = (struct json_in_result){0};
    d.last = &d.todo;
    json_t *root = parse(&d, json);
    if (root == NULL) return E_MALFORMED;
    if (!json_is_object(root)) {
        result->error = arena_print(a, "json: cannot unmarshal %s into Go value of type server.%s",
                                    type_text(root), table->name);
        rc = E_MALFORMED;
    } else {
        todo(&d, root, table, out);
    }
    for (struct work *w = d.todo; w != NULL && rc == 0; w = w->next)
        rc = decode_work(&d, w);
    json_decref(root);
    return rc;
}

/* ---- times and base64 ---- */

/* `count` digits at *at. -1: there are fewer. */
static int64_t digits(struct text *t, size_t count)
{
    int64_t value = 0;
    if (t->bytes < count) return -1;
    for (size_t i = 0; i < count; i++) {
        if (t->at[i] < '0' || t->at[i] > '9') return -1;
        value = value * 10 + (t->at[i] - '0');
    }
    t->at += count;
    t->bytes -= count;
    return value;
}

static bool take(struct text *t, char c)
{
    if (t->bytes == 0 || t->at[0] != c) return false;
    t->at++;
    t->bytes--;
    return true;
}

/* .123456789, of which nine digits count. */
static bool take_fraction(struct text *t, int64_t *ns)
{
    int64_t unit = 100000000;
    size_t count = 0;
    for (*ns = 0; t->bytes > 0 && t->at[0] >= '0' && t->at[0] <= '9';
         t->at++, t->bytes--, count++) {
        *ns += (t->at[0] - '0') * unit;
        unit /= 10;
    }
    return count > 0;
}

/* Z, +02:00, -02:00, in seconds east. */
static bool take_zone(struct text *t, int64_t *east_s)
{
    *east_s = 0;
    if (take(t, 'Z') || take(t, 'z')) return true;
    bool minus = t->bytes > 0 && t->at[0] == '-';
    if (!take(t, '-') && !take(t, '+')) return false;
    int64_t hours = digits(t, 2);
    bool colon = take(t, ':');
    int64_t minutes = digits(t, 2);
    if (!colon || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
    *east_s = (hours * 60 + minutes) * (minus ? -60 : 60);
    return true;
}

bool json_in_time(struct text t, int64_t *ns)
{
    int64_t part = 0, east = 0;
    int64_t year = digits(&t, 4);
    bool ok = take(&t, '-');
    int64_t month = digits(&t, 2);
    ok = ok && take(&t, '-');
    int64_t day = digits(&t, 2);
    ok = ok && (take(&t, 'T') || take(&t, 't') || take(&t, ' '));
    int64_t hour = digits(&t, 2);
    ok = ok && take(&t, ':');
    int64_t minute = digits(&t, 2);
    ok = ok && take(&t, ':');
    int64_t second = digits(&t, 2);
    if (!ok || year < 0 || month < 1 || month > 12 || day < 1 || day > 31) return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    if (take(&t, '.') && !take_fraction(&t, &part)) return false;
    if (!take_zone(&t, &east) || t.bytes != 0) return false;
    struct tm tm = {.tm_year = (int)year - 1900,
                    .tm_mon = (int)month - 1,
                    .tm_mday = (int)day,
                    .tm_hour = (int)hour,
                    .tm_min = (int)minute,
                    .tm_sec = (int)second};
    int64_t seconds = (int64_t)timegm(&tm) - east;
    if (tm.tm_mday != (int)day) return false; /* the month is shorter */
    /* What 64 bits of nanoseconds can't hold (before 1678, after 2261) is Go's zero time, and
     * INT64_MIN. */
    if (seconds < -9223372036 || seconds > 9223372035)
        *ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    else
        *ns = seconds * (int64_t)NS_PER_S + part;
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool json_in_base64(struct arena *a, struct text t, struct text *out)
{
    size_t pad = 0, bytes = 0;
    if (t.bytes % 4 != 0) return false;
    while (pad < 2 && pad < t.bytes && t.at[t.bytes - 1 - pad] == '=')
        pad++;
    char *to = arena_alloc(a, t.bytes / 4 * 3 + 1);
    uint32_t bits = 0;
    for (size_t i = 0; i < t.bytes; i++) {
        int digit = i < t.bytes - pad ? base64_digit(t.at[i]) : 0;
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 3) continue;
        to[bytes++] = (char)(bits >> 16 & 255);
        to[bytes++] = (char)(bits >> 8 & 255);
        to[bytes++] = (char)(bits & 255);
    }
    bytes -= pad;
    to[bytes] = 0;
    *out = (struct text){.at = to, .bytes = bytes};
    return true;
}
