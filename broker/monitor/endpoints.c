/* The table of endpoints, queries, and pieces that several answers share. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/monitor/monitor.h"
#include "store/base/limits.h"

#define JSON_TYPE "application/json"

/* clang-format off */
const struct monitor_row monitor_rows[] = {
    /* path             answer            text          type                             compact sys */
    {"/varz",           varz_answer,      NULL,         JSON_TYPE,                       false,  "VARZ"},
    {"/connz",          connz_answer,     NULL,         JSON_TYPE,                       false,  "CONNZ"},
    {"/routez",         routez_answer,    NULL,         JSON_TYPE,                       false,  "ROUTEZ"},
    {"/subsz",          subsz_answer,     NULL,         JSON_TYPE,                       false,  "SUBSZ"},
    {"/subscriptionsz", subsz_answer,     NULL,         JSON_TYPE,                       false,  NULL},
    {"/accountz",       accountz_answer,  NULL,         JSON_TYPE,                       false,  "ACCOUNTZ"},
    {"/accstatz",       accountz_stats,   NULL,         JSON_TYPE,                       false,  NULL},
    {"/jsz",            jsz_answer,       NULL,         JSON_TYPE,                       false,  "JSZ"},
    {"/gatewayz",       routez_gateways,  NULL,         JSON_TYPE,                       false,  "GATEWAYZ"},
    {"/leafz",          routez_leafs,     NULL,         JSON_TYPE,                       false,  "LEAFZ"},
    {"/healthz",        healthz_answer,   NULL,         JSON_TYPE,                       true,   "HEALTHZ"},
    {"/livez",          healthz_live,     NULL,         JSON_TYPE,                       true,   NULL},
    {"/readyz",         healthz_ready,    NULL,         JSON_TYPE,                       true,   NULL},
    {"/startupz",       healthz_startup,  NULL,         JSON_TYPE,                       true,   NULL},
    {"/metrics",        NULL,             metrics_text, "text/plain; version=0.0.4",     false,  NULL},
    {"/",               NULL,             page_text,    "text/html; charset=utf-8",      false,  NULL},
};
/* clang-format on */
const size_t monitor_row_count = ARRAY_COUNT(monitor_rows);
static_assert(ARRAY_COUNT(monitor_rows) <= ARRAY_COUNT(((struct monitor *)0)->request_counts),
              "each endpoint is counted");

const struct monitor_row *monitor_find(struct text path)
{
    for (const struct monitor_row *row = monitor_rows; row < ARRAY_END(monitor_rows); row++) {
        if (text_equal(text_of(row->path), path)) return row;
    }
    return NULL;
}

const struct monitor_row *monitor_find_sys(struct text x)
{
    for (const struct monitor_row *row = monitor_rows; row < ARRAY_END(monitor_rows); row++) {
        if (row->sys != NULL && text_equal(text_of(row->sys), x)) return row;
    }
    return NULL;
}

/* ---- queries ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent and plus decoded; false when it doesn't fit or isn't well formed. */
static bool url_decode(struct text from, char *to, size_t bytes)
{
    size_t out = 0;
    for (size_t i = 0; i < from.bytes; i++) {
        char c = from.at[i];
        if (c == '%') {
            if (from.bytes - i < 3) return false;
            int high = hex_digit(from.at[i + 1]), low = hex_digit(from.at[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == '\0' || out + 1 >= bytes) return false;
        to[out++] = c;
    }
    to[out] = '\0';
    return true;
}

static void query_add(struct monitor_query *q, struct text name, struct text value)
{
    if (q->count == MONITOR_PARAMS_MAX) return;
    bool good = url_decode(name, q->params[q->count].name, sizeof q->params[0].name) &&
                url_decode(value, q->params[q->count].value, sizeof q->params[0].value);
    if (good) {
        q->count++;
    } else {
        q->bad = true;
    }
}

void monitor_query_url(struct monitor_query *q, struct text query)
{
    *q = (struct monitor_query){0};
    while (query.bytes != 0) {
        const char *amp = memchr(query.at, '&', query.bytes);
        struct text one = query;
        if (amp != NULL) one.bytes = (size_t)(amp - query.at);
        query.at += one.bytes + (amp != NULL);
        query.bytes -= one.bytes + (amp != NULL);
        if (one.bytes == 0) continue;
        const char *equals = memchr(one.at, '=', one.bytes);
        struct text name = one, value = {.at = "", .bytes = 0};
        if (equals != NULL) {
            name.bytes = (size_t)(equals - one.at);
            value = (struct text){.at = equals + 1, .bytes = one.bytes - name.bytes - 1};
        }
        query_add(q, name, value);
    }
}

/* Options whose names in a $SYS request differ from the URL's by more than a dash. */
static const struct option_alias {
    const char *json, *url, *value; /* value: instead of true */
} option_aliases[] = {
    {"subscriptions", "subs", "1"}, {"subscriptions_detail", "subs", "detail"},
    {"account", "acc", NULL},       {"consumer", "consumers", NULL},
    {"stream", "streams", NULL},    {"direct_consumer", "direct-consumers", NULL},
};

static bool named_alike(const char *name)
{
    static const char *const names[] = {"filter_subject", "server_name", "exact_match"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) return true;
    }
    return false;
}

static void option_set(struct monitor_query *q, const char *name, const json_t *value)
{
    char text[512] = "", dashed[32];
    const char *url = dashed, *truth = "true";
    (void)snprintf(dashed, sizeof dashed, "%s", name);
    for (char *c = dashed; *c != '\0'; c++) {
        if (*c == '_' && !named_alike(name)) *c = '-';
    }
    for (const struct option_alias *a = option_aliases; a < ARRAY_END(option_aliases); a++) {
        if (strcmp(a->json, name) != 0) continue;
        url = a->url;
        if (a->value != NULL) truth = a->value;
    }
    if (json_is_false(value) || json_is_null(value)) return;
    if (json_is_true(value)) {
        (void)snprintf(text, sizeof text, "%s", truth);
    } else if (json_is_integer(value)) {
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        (void)snprintf(text, sizeof text, "%s", json_string_value(value));
    } else {
        return; /* tags, accounts: not looked at */
    }
    monitor_query_add(q, url, text_of(text));
}

bool monitor_query_json(struct monitor_query *q, struct text json)
{
    *q = (struct monitor_query){0};
    if (json.bytes == 0) return true;
    json_t *root = json_loadb(json.at, json.bytes, 0, NULL);
    bool good = json_is_object(root);
    if (good) {
        const char *name;
        json_t *value;
        json_object_foreach(root, name, value)
        {
            option_set(q, name, value);
        }
    }
    json_decref(root);
    return good;
}

void monitor_query_add(struct monitor_query *q, const char *name, struct text value)
{
    if (q->count == MONITOR_PARAMS_MAX) return;
    (void)snprintf(q->params[q->count].name, sizeof q->params[0].name, "%s", name);
    (void)snprintf(q->params[q->count].value, sizeof q->params[0].value, "%.*s", (int)value.bytes,
                   value.at);
    q->count++;
}

const char *monitor_query_text(const struct monitor_query *q, const char *name)
{
    for (size_t i = q->count; i > 0; i--) {
        if (strcmp(q->params[i - 1].name, name) == 0) return q->params[i - 1].value;
    }
    return "";
}

bool monitor_query_flag(struct monitor_query *q, const char *name)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"", "0", "f", "F", "false", "FALSE", "False"};
    const char *value = monitor_query_text(q, name);
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(value, yes[i]) == 0) return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(no); i++) {
        if (strcmp(value, no[i]) == 0) return false;
    }
    q->bad = true;
    return false;
}

uint64_t monitor_query_number(struct monitor_query *q, const char *name, uint64_t absent)
{
    const char *value = monitor_query_text(q, name);
    if (value[0] == '\0') return absent;
    uint64_t n = 0;
    for (const char *c = value; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || c - value >= 18) {
            q->bad = true;
            return absent;
        }
        n = n * 10 + (uint64_t)(*c - '0');
    }
    return n;
}

/* ---- shared pieces ---- */

void monitor_member_now(struct monitor *m, struct json_out *j, const char *key)
{
    json_out_time(j, key, env_wall_ns(m->env));
}

void monitor_uptime(uint64_t ns, char *out, size_t bytes)
{
    uint64_t s = ns / NS_PER_S, minutes = s / 60, hours = minutes / 60, days = hours / 24;
    unsigned long long d = days, h = hours % 24, min = minutes % 60, sec = s % 60;
    if (days >= 365) {
        (void)snprintf(out, bytes, "%lluy%llud%lluh%llum%llus", d / 365, d % 365, h, min, sec);
    } else if (days != 0) {
        (void)snprintf(out, bytes, "%llud%lluh%llum%llus", d, h, min, sec);
    } else if (hours != 0) {
        (void)snprintf(out, bytes, "%lluh%llum%llus", h, min, sec);
    } else if (minutes != 0) {
        (void)snprintf(out, bytes, "%llum%llus", min, sec);
    } else {
        (void)snprintf(out, bytes, "%llus", sec);
    }
}

void monitor_duration(uint64_t ns, char *out, size_t bytes)
{
    static const struct {
        uint64_t ns;
        const char *unit;
    } units[] = {{NS_PER_S, "s"}, {NS_PER_MS, "ms"}, {NS_PER_US, "\xc2\xb5s"}, {1, "ns"}};
    size_t u = 0;
    while (u + 1 < ARRAY_COUNT(units) && ns < units[u].ns)
        u++;
    char number[32];
    int digits = snprintf(number, sizeof number, "%llu", (unsigned long long)(ns / units[u].ns));
    uint64_t rest = ns % units[u].ns;
    if (rest != 0) {
        char *end = number + digits;
        *end++ = '.';
        for (uint64_t unit = units[u].ns / 10; rest != 0; unit /= 10) {
            *end++ = (char)('0' + rest / unit);
            rest %= unit;
        }
        *end = '\0';
    }
    (void)snprintf(out, bytes, "%s%s", number, units[u].unit);
}
