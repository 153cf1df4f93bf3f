/* json_fuzz.c - JSON into a struct with a member of every kind; and any bytes through the encoder,
 * whose output must always be JSON. sources: store/base/check.c store/base/err.c store/base/slice.c
 * store/base/writer.c store/base/logger.c store/base/json_out.c store/base/json_in.c
 * store/base/arena.c
 */
#include <jansson.h>
#include <string.h>

#include "store/base/json_in.h"
#include "store/base/json_out.h"

struct inner {
    struct text n;
    int64_t w;
    struct inner *p;
    struct json_in_list os;
};
struct outer {
    struct text t, raw, b;
    bool f;
    int64_t i, when;
    uint64_t u, has;
    double d;
    struct json_in_list ts, is, ps, os;
    struct inner *p;
};

static const struct json_in_table inner_table;
static const struct json_in_field inner_fields[] = {
    {"n", JSON_IN_TEXT, offsetof(struct inner, n), 0, NULL},
    {"w", JSON_IN_I64, offsetof(struct inner, w), 0, NULL},
    {"p", JSON_IN_OBJECT, offsetof(struct inner, p), 0, &inner_table},
    {"os", JSON_IN_OBJECTS, offsetof(struct inner, os), 0, &inner_table},
};
static const struct json_in_table inner_table = {"Inner", inner_fields, ARRAY_COUNT(inner_fields),
                                                 sizeof(struct inner), JSON_IN_NO_HAS};
static const struct json_in_field outer_fields[] = {
    {"t", JSON_IN_TEXT, offsetof(struct outer, t), 1, NULL},
    {"raw", JSON_IN_RAW, offsetof(struct outer, raw), 2, NULL},
    {"b", JSON_IN_BASE64, offsetof(struct outer, b), 0, NULL},
    {"f", JSON_IN_BOOL, offsetof(struct outer, f), 0, NULL},
    {"i", JSON_IN_I64, offsetof(struct outer, i), 0, NULL},
    {"when", JSON_IN_TIME, offsetof(struct outer, when), 0, NULL},
    {"u", JSON_IN_U64, offsetof(struct outer, u), 0, NULL},
    {"d", JSON_IN_DOUBLE, offsetof(struct outer, d), 0, NULL},
    {"ts", JSON_IN_TEXTS, offsetof(struct outer, ts), 0, NULL},
    {"is", JSON_IN_I64S, offsetof(struct outer, is), 0, NULL},
    {"ps", JSON_IN_PAIRS, offsetof(struct outer, ps), 0, NULL},
    {"p", JSON_IN_OBJECT, offsetof(struct outer, p), 0, &inner_table},
    {"os", JSON_IN_OBJECTS, offsetof(struct outer, os), 0, &inner_table},
};
static const struct json_in_table outer_table = {"Outer", outer_fields, ARRAY_COUNT(outer_fields),
                                                 sizeof(struct outer), offsetof(struct outer, has)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct arena arena = {0};
    struct json_in_result result;
    struct outer out;
    struct writer w;
    struct json_out j;
    struct text any = {.at = (const char *)data, .bytes = bytes};
    memset(&out, 0, sizeof out);
    int rc = json_in_decode(&arena, any, &outer_table, &out, &result);
    CHECK((rc != 0) == (result.error != NULL));
    writer_init(&w, 64);
    json_out_init(&j, &w, (bytes & 1) != 0);
    json_out_object(&j, NULL);
    json_out_text(&j, "any", any);
    json_out_base64(&j, "base64", any);
    json_out_time(&j, "time", out.when);
    json_out_double(&j, "double", out.d);
    json_out_object_end(&j);
    json_error_t error;
    json_t *back = json_loadb((const char *)w.base, w.bytes, JSON_ALLOW_NUL, &error);
    CHECK(back != NULL);
    json_decref(back);
    writer_free(&w);
    arena_free(&arena);
    return 0;
}
