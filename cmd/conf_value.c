/* conf_value.c - see conf_value.h. Sections wait on a list and are walked one after another: a
 * config never makes the loader recurse. */
#include "cmd/conf_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/conf_lex.h"
#include "cmd/conf_load.h"
#include "store/base/units.h"

#define ERRORS_MAX 20 /* shown; the rest would only be noise */

static const char *const kind_texts[] = {
    [CONF_MAP] = "a map",    [CONF_ARRAY] = "an array", [CONF_STRING] = "a string",
    [CONF_INT] = "a number", [CONF_FLOAT] = "a number", [CONF_BOOL] = "a boolean",
    [CONF_TIME] = "a date",
};

/* ---- reports ---- */

static void place_text(const struct conf_node *n, char *to, size_t bytes)
{
    to[0] = 0;
    if (n == NULL) return;
    if (n->line == 0) /* a flag or an environment variable */
        snprintf(to, bytes, "%s: ", n->file);
    else
        snprintf(to, bytes, "%s:%d:%d: ", n->file, n->line, n->column);
}

void conf_value_error(struct conf_loader *l, const struct conf_node *n, const char *fmt, ...)
{
    struct conf *c = l->conf;
    char place[512];
    size_t at = strlen(c->error);
    if (++c->errors > ERRORS_MAX) return;
    place_text(n, place, sizeof place);
    const char *newline = at == 0 ? "" : "\n";
    int used = snprintf(c->error + at, sizeof c->error - at, "%s%s", newline, place);
    if (used < 0 || (size_t)used >= sizeof c->error - at) return;
    at += (size_t)used;
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->error + at, sizeof c->error - at, fmt, args);
    va_end(args);
}

static void texts_add(struct arena *a, struct conf_texts *t, const char *text)
{
    const char **grown = arena_alloc(a, (t->count + 1) * sizeof *grown);
    if (t->count != 0) memcpy(grown, t->at, t->count * sizeof *grown);
    grown[t->count] = text;
    t->at = grown;
    t->count++;
}

void conf_value_warn(struct conf_loader *l, const struct conf_node *n, const char *fmt, ...)
{
    char place[512], text[512];
    va_list args;
    if (l->conf->warnings.count >= ERRORS_MAX) return;
    place_text(n, place, sizeof place);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    texts_add(&l->conf->arena, &l->conf->warnings,
              arena_print(&l->conf->arena, "%s%s", place, text));
}

void conf_value_unknown(struct conf_loader *l, const char *section, const struct conf_node *n)
{
    char near[128];
    if (n->used) return;
    if (conf_keys_nearest(section, n->key, near, sizeof near) == NULL)
        conf_value_error(l, n, "unknown field \"%s\"", n->key);
    else
        conf_value_error(l, n, "unknown field \"%s\", did you mean \"%s\"?", n->key, near);
}

static bool wrong_kind(struct conf_loader *l, const struct conf_node *n, const char *expected)
{
    conf_value_error(l, n, "%s: expected %s, but got %s", n->key == NULL ? "value" : n->key,
                     expected, kind_texts[n->kind]);
    return false;
}

/* ---- parts ---- */

bool conf_value_text(struct conf_loader *l, const struct conf_node *n, const char **out)
{
    if (n->kind == CONF_MAP || n->kind == CONF_ARRAY) return wrong_kind(l, n, "a string");
    *out = n->text;
    return true;
}

bool conf_value_bool(struct conf_loader *l, const struct conf_node *n, bool *out)
{
    struct conf_node word = *n;
    if (n->kind == CONF_STRING && conf_lex_classify(&word) != NULL)
        return wrong_kind(l, n, "a boolean");
    if (word.kind != CONF_BOOL) return wrong_kind(l, n, "a boolean");
    *out = word.number != 0;
    return true;
}

bool conf_value_i64(struct conf_loader *l, const struct conf_node *n, int64_t *out)
{
    struct conf_node word = *n;
    if (n->kind == CONF_STRING && conf_lex_classify(&word) != NULL)
        return wrong_kind(l, n, "a number");
    if (word.kind != CONF_INT) return wrong_kind(l, n, "a number");
    *out = word.number;
    return true;
}

/* JetStream's sizes in quotes: "10G" is 10 GiB, as nats-server has it. */
static bool quoted_size(const char *text, int64_t *out)
{
    static const char letters[] = "KMGT";
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    long long value = strtoll(text, &end, 10);
    char letter = (char)(*end >= 'a' && *end <= 'z' ? *end - 32 : *end);
    const char *at = *end == 0 || end[1] != 0 ? NULL : strchr(letters, letter);
    if (at == NULL) return false;
    return !__builtin_mul_overflow(value, INT64_C(1) << (10 * (at - letters + 1)), out);
}

static bool value_size(struct conf_loader *l, const struct conf_node *n, int64_t *out)
{
    if (n->quoted && quoted_size(n->text, out)) return true;
    return conf_value_i64(l, n, out);
}

static const struct unit_row {
    const char *name;
    double ns;
} unit_rows[] = {
    {"ns", 1}, {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9},
};

bool conf_value_duration(const char *text, int64_t *ns)
{
    double total = 0;
    if (*text == 0) return false;
    while (*text != 0) {
        char *end;
        if ((*text < '0' || *text > '9') && *text != '.') return false;
        double value = strtod(text, &end);
        const struct unit_row *unit = NULL;
        for (const struct unit_row *row = unit_rows; row < ARRAY_END(unit_rows); row++) {
            size_t bytes = strlen(row->name);
            if (strncmp(end, row->name, bytes) != 0) continue;
            /* "m" must not take the start of "ms". */
            if (unit == NULL || bytes > strlen(unit->name)) unit = row;
        }
        if (end == text || unit == NULL) return false;
        total += value * unit->ns;
        text = end + strlen(unit->name);
    }
    if (!(total < 9.2e18)) return false;
    *ns = (int64_t)(total + 0.5);
    return true;
}

bool conf_value_ns(struct conf_loader *l, const struct conf_node *n, int64_t *out)
{
    double seconds;
    struct conf_node word = *n;
    bool scalar = n->kind != CONF_MAP && n->kind != CONF_ARRAY;
    /* By its text: a bare 2m is two minutes, not two million seconds. */
    if (scalar && conf_value_duration(n->text, out)) return true;
    if (n->kind == CONF_STRING && conf_lex_classify(&word) != NULL) word.kind = CONF_STRING;
    if (word.kind == CONF_INT)
        seconds = (double)word.number;
    else if (word.kind == CONF_FLOAT)
        seconds = word.real;
    else
        return wrong_kind(l, n, "a duration like \"2s\"");
    if (!(seconds > -9e9 && seconds < 9e9)) return wrong_kind(l, n, "a duration like \"2s\"");
    *out = (int64_t)(seconds * 1e9);
    return true;
}

bool conf_value_texts(struct conf_loader *l, const struct conf_node *n, struct conf_texts *out)
{
    struct conf_texts t = {0};
    if (n->kind == CONF_MAP) return wrong_kind(l, n, "a string or a list of strings");
    const struct conf_node *item = n->kind == CONF_ARRAY ? n->first : n;
    size_t count = n->kind == CONF_ARRAY ? n->count : 1;
    t.at = arena_alloc(&l->conf->arena, count * sizeof *t.at);
    for (; t.count < count; item = item->next) {
        if (!conf_value_text(l, item, &t.at[t.count])) return false;
        t.count++;
    }
    *out = t;
    return true;
}

/* A whole number from -1 to 65535. */
static bool port_number(const char *text, int64_t *port)
{
    char *end;
    if (*text == 0) return false;
    long value = strtol(text, &end, 10);
    *port = value;
    return *end == 0 && value >= -1 && value <= UINT16_MAX;
}

bool conf_value_host_port(struct arena *a, const char *text, const char **host, int64_t *port)
{
    *host = NULL;
    if (port_number(text, port)) return true;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !port_number(colon + 1, port)) return false;
    struct text name = {.at = text, .bytes = (size_t)(colon - text)};
    if (name.bytes >= 2 && text[0] == '[' && colon[-1] == ']') {
        name.at++;
        name.bytes -= 2;
    } else if (memchr(name.at, ':', name.bytes) != NULL) {
        return false; /* IPv6 without brackets: which of the colons is the port's? */
    }
    if (name.bytes != 0) *host = arena_string(a, name);
    return true;
}

static bool value_listen(struct conf_loader *l, const struct conf_node *n, struct conf_listen *out)
{
    const char *text, *host = NULL;
    if (!conf_value_text(l, n, &text)) return false;
    if (!conf_value_host_port(&l->conf->arena, text, &host, &out->port)) {
        conf_value_error(l, n, "%s: could not parse address string \"%s\"", n->key, text);
        return false;
    }
    if (host != NULL) out->host = host;
    return true;
}

/* ---- one value ---- */

static void check_bounds(struct conf_loader *l,
                         const struct conf_key *k,
                         const struct conf_node *n,
                         int64_t value)
{
    if ((k->min == 0 && k->max == 0) || (value >= k->min && value <= k->max)) return;
    if (k->type == CONF_T_NS)
        conf_value_error(l, n, "%s: must be from %gs to %gs", n->key, (double)k->min / 1e9,
                         (double)k->max / 1e9);
    else
        conf_value_error(l, n, "%s: must be from %lld to %lld", n->key, (long long)k->min,
                         (long long)k->max);
}

void conf_value_set(struct conf_loader *l,
                    const struct conf_key *k,
                    const struct conf_node *n,
                    void *to)
{
    switch (k->type) {
    case CONF_T_BOOL:
        conf_value_bool(l, n, to);
        break;
    case CONF_T_INT:
        if (conf_value_i64(l, n, to)) check_bounds(l, k, n, *(int64_t *)to);
        break;
    case CONF_T_SIZE:
        if (value_size(l, n, to)) check_bounds(l, k, n, *(int64_t *)to);
        break;
    case CONF_T_NS:
        if (conf_value_ns(l, n, to)) check_bounds(l, k, n, *(int64_t *)to);
        break;
    case CONF_T_TEXT:
        conf_value_text(l, n, to);
        break;
    case CONF_T_TEXTS:
        conf_value_texts(l, n, to);
        break;
    case CONF_T_LISTEN:
        value_listen(l, n, to);
        break;
    case CONF_T_NODE:
        *(const struct conf_node **)to = n;
        break;
    case CONF_T_SECTION:
        conf_value_section(l, n, k->note, to);
        break;
    case CONF_T_CUSTOM:
        k->parse(l, n, to);
        break;
    case CONF_T_NONE:
        break;
    }
}

/* ---- sections ---- */

void conf_value_section(struct conf_loader *l,
                        const struct conf_node *n,
                        const char *section,
                        void *base)
{
    if (n->kind != CONF_MAP) {
        wrong_kind(l, n, "a map");
        return;
    }
    *(bool *)base = true; /* `given` */
    struct conf_section_work *w = arena_alloc(&l->conf->arena, sizeof *w);
    *w = (struct conf_section_work){.node = n, .section = section, .base = base};
    *l->last = w;
    l->last = &w->next;
}

void conf_value_defaults(struct conf_loader *l, const char *section, void *base)
{
    /* A section lies in the struct of its parent: depth is bounded by the table. */
    struct {
        const char *section;
        uint8_t *base;
    } todo[32] = {{section, base}};
    for (size_t at = 0, count = 1; at < count; at++) {
        for (size_t i = 0; i < conf_keys_count; i++) {
            const struct conf_key *k = &conf_keys[i];
            if (strcmp(k->section, todo[at].section) != 0 || k->effect >= CONF_ACCEPTED) continue;
            uint8_t *to = todo[at].base + k->offset;
            if (k->type == CONF_T_SECTION) {
                CHECK(count < ARRAY_COUNT(todo));
                todo[count].section = k->note;
                todo[count++].base = to;
            } else if (k->initial != NULL) {
                struct conf_node n = {.kind = CONF_STRING, .text = k->initial, .file = "default"};
                n.key = k->names;
                const char *wrong = conf_lex_classify(&n);
                CHECK(wrong == NULL);
                conf_value_set(l, k, &n, to);
            }
        }
    }
}
