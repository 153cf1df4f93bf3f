#include "broker/client/connect.h"

#include <jansson.h>

#include "store/base/err.h"

enum option_type { OPTION_BOOL, OPTION_NUMBER, OPTION_TEXT };
struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;
};
#define FIELD(member) offsetof(struct connect_options, member)
/* clang-format off */
static const struct option_row option_rows[] = {
    {"verbose",       OPTION_BOOL,   FIELD(verbose)},
    {"pedantic",      OPTION_BOOL,   FIELD(pedantic)},
    {"echo",          OPTION_BOOL,   FIELD(echo)},
    {"headers",       OPTION_BOOL,   FIELD(headers)},
    {"no_responders", OPTION_BOOL,   FIELD(no_responders)},
    {"tls_required",  OPTION_BOOL,   FIELD(tls_required)},
    {"protocol",      OPTION_NUMBER, FIELD(protocol)},
    {"lang",          OPTION_TEXT,   FIELD(lang)},
    {"version",       OPTION_TEXT,   FIELD(version)},
    {"name",          OPTION_TEXT,   FIELD(name)},
    {"user",          OPTION_TEXT,   FIELD(user)},
    {"pass",          OPTION_TEXT,   FIELD(pass)},
    {"auth_token",    OPTION_TEXT,   FIELD(auth_token)},
    {"nkey",          OPTION_TEXT,   FIELD(nkey)},
    {"sig",           OPTION_TEXT,   FIELD(sig)},
    {"jwt",           OPTION_TEXT,   FIELD(jwt)},
    {"account",       OPTION_TEXT,   FIELD(account)},
};
/* clang-format on */

/* A null is an option that wasn't given. */
static bool
option_set(const struct option_row *row, const json_t *value, struct connect_options *out)
{
    if (value == NULL || json_is_null(value)) return true;
    void *field = (char *)out + row->offset;
    switch (row->type) {
    case OPTION_BOOL:
        if (!json_is_boolean(value)) return false;
        *(bool *)field = json_is_true(value);
        return true;
    case OPTION_NUMBER:
        if (!json_is_integer(value)) return false;
        *(int64_t *)field = json_integer_value(value);
        return true;
    case OPTION_TEXT:
        if (!json_is_string(value)) return false;
        *(struct text *)field =
            (struct text){.at = json_string_value(value), .bytes = json_string_length(value)};
        return true;
    }
    return false;
}

int connect_decode(struct text json, struct connect_options *out)
{
    *out = (struct connect_options){.verbose = true, .pedantic = true, .echo = true};
    json_t *root = json_loadb(json.at, json.bytes, 0, NULL);
    if (root == NULL) return E_MALFORMED;
    out->json = root;
    if (!json_is_object(root)) return E_MALFORMED;
    for (const struct option_row *row = option_rows; row < ARRAY_END(option_rows); row++) {
        if (!option_set(row, json_object_get(root, row->name), out)) return E_MALFORMED;
    }
    return 0;
}

void connect_free(struct connect_options *o)
{
    struct text secrets[] = {o->pass, o->auth_token, o->jwt};
    for (size_t i = 0; i < ARRAY_COUNT(secrets); i++) {
        if (secrets[i].at != NULL)
            explicit_bzero((void *)(uintptr_t)secrets[i].at, secrets[i].bytes);
    }
    if (o->json != NULL) json_decref(o->json);
    *o = (struct connect_options){0};
}
