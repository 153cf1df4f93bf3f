/* conf_lex.c - see conf_lex.h. A bare word is collected first and classified then, so
 * `127.0.0.1:4222`, `1k` and `2020-01-01T00:00:00Z` need no look-ahead. */
#include "cmd/conf_lex.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/conf_tree.h"
#include "store/base/json_in.h"

int conf_lex_peek(const struct conf_lex *l)
{
    return l->at < l->end ? (unsigned char)*l->at : -1;
}

int conf_lex_peek_second(const struct conf_lex *l)
{
    return l->end - l->at > 1 ? (unsigned char)l->at[1] : -1;
}

int conf_lex_next(struct conf_lex *l)
{
    int c = conf_lex_peek(l);
    if (c < 0) return c;
    l->at++;
    if (c == '\n') {
        l->line++;
        l->line_start = l->at;
    }
    return c;
}

int conf_lex_column(const struct conf_lex *l)
{
    return (int)(l->at - l->line_start) + 1;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

void conf_lex_skip_blanks(struct conf_lex *l)
{
    while (is_blank(conf_lex_peek(l)))
        conf_lex_next(l);
}

bool conf_lex_at_comment(const struct conf_lex *l)
{
    int c = conf_lex_peek(l);
    return c == '#' || (c == '/' && conf_lex_peek_second(l) == '/');
}

void conf_lex_skip_all(struct conf_lex *l, const char *separators)
{
    for (;;) {
        int c = conf_lex_peek(l);
        if (c > 0 && (is_blank(c) || c == '\n' || strchr(separators, c) != NULL)) {
            conf_lex_next(l);
        } else if (conf_lex_at_comment(l)) {
            while (conf_lex_peek(l) >= 0 && conf_lex_peek(l) != '\n')
                conf_lex_next(l);
        } else {
            return;
        }
    }
}

/* ---- strings ---- */

static const char *take_raw(struct conf_lex *l, struct arena *a, const char **out)
{
    conf_lex_next(l);
    const char *from = l->at;
    while (conf_lex_peek(l) != '\'') {
        if (conf_lex_next(l) < 0) return "a string isn't closed: ' is missing";
    }
    *out = arena_string(a, (struct text){.at = from, .bytes = (size_t)(l->at - from)});
    conf_lex_next(l);
    return NULL;
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `count` hex digits; -1: there are fewer. */
static int take_hex(struct conf_lex *l, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        int digit = hex_digit(conf_lex_peek(l));
        if (digit < 0) return -1;
        value = value << 4 | digit;
        conf_lex_next(l);
    }
    return value;
}

/* JSON's \uXXXX: to[] takes up to three bytes. */
static size_t put_utf8(char *to, int point)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xc0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | point >> 12);
    to[1] = (char)(0x80 | (point >> 6 & 0x3f));
    to[2] = (char)(0x80 | (point & 0x3f));
    return 3;
}

/* What follows a backslash; an escape is never shorter than the bytes it stands for. */
static const char *take_escape(struct conf_lex *l, char *to, size_t *bytes)
{
    static const char from[] = "tnrbf\"\\/'$", into[] = "\t\n\r\b\f\"\\/'$";
    int c = conf_lex_next(l);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    if (known != NULL) {
        to[(*bytes)++] = into[known - from];
        return NULL;
    }
    int value = c == 'x' ? take_hex(l, 2) : c == 'u' ? take_hex(l, 4) : -1;
    if (value < 0) return "invalid escape: known are \\t \\n \\r \\\" \\\\ \\xHH \\uHHHH";
    if (value == 0) return "a NUL byte isn't allowed in a string";
    if (c == 'x')
        to[(*bytes)++] = (char)value;
    else
        *bytes += put_utf8(to + *bytes, value);
    return NULL;
}

static const char *take_escaped(struct conf_lex *l, struct arena *a, const char **out)
{
    conf_lex_next(l);
    /* First its end, so that the room is right and one allocation does. */
    const char *end = l->at;
    while (end < l->end && *end != '"')
        end += *end == '\\' && end + 1 < l->end ? 2 : 1;
    if (end >= l->end) return "a string isn't closed: \" is missing";
    char *to = arena_alloc(a, (size_t)(end - l->at) + 1);
    size_t bytes = 0;
    while (l->at < end) {
        int c = conf_lex_next(l);
        if (c != '\\') {
            to[bytes++] = (char)c;
            continue;
        }
        const char *wrong = take_escape(l, to, &bytes);
        if (wrong != NULL) return wrong;
    }
    conf_lex_next(l);
    *out = to;
    return NULL;
}

/* From ( to a line that holds nothing but ). */
static const char *take_block(struct conf_lex *l, struct arena *a, const char **out)
{
    conf_lex_next(l);
    const char *from = l->at;
    for (;;) {
        int c = conf_lex_peek(l);
        if (c < 0) return "a block isn't closed: a line with only ) is missing";
        if (c == ')') {
            const char *line = l->line_start > from ? l->line_start : from;
            const char *start = line, *behind = l->at + 1;
            while (start < l->at && is_blank((unsigned char)*start))
                start++;
            while (behind < l->end && is_blank((unsigned char)*behind))
                behind++;
            if (start == l->at && line != from && (behind == l->end || *behind == '\n')) {
                *out = arena_string(a, (struct text){.at = from, .bytes = (size_t)(line - from)});
                conf_lex_next(l);
                return NULL;
            }
        }
        conf_lex_next(l);
    }
}

static bool ends_word(int c)
{
    return c < 0 || is_blank(c) || c == '\n' || c == ',' || c == ';' || c == ']' || c == '}';
}

static const char *take_word(struct conf_lex *l, struct arena *a, const char **out)
{
    const char *end = l->at;
    while (end < l->end && !ends_word((unsigned char)*end))
        end++;
    char *to = arena_alloc(a, (size_t)(end - l->at) + 1);
    size_t bytes = 0;
    while (l->at < end) {
        int c = conf_lex_next(l);
        if (c != '\\' || l->at >= end) {
            to[bytes++] = (char)c;
            continue;
        }
        const char *wrong = take_escape(l, to, &bytes);
        if (wrong != NULL) return wrong;
    }
    *out = to;
    return NULL;
}

const char *conf_lex_key(struct conf_lex *l, struct arena *a, const char **key)
{
    int c = conf_lex_peek(l);
    if (c == '"') return take_escaped(l, a, key);
    if (c == '\'') return take_raw(l, a, key);
    const char *from = l->at;
    for (; (c = conf_lex_peek(l)) >= 0 && c != ':' && c != '='; conf_lex_next(l)) {
        if (ends_word(c) || c == '{' || c == '[') break;
    }
    if (l->at == from) return "a key is missing";
    *key = arena_string(a, (struct text){.at = from, .bytes = (size_t)(l->at - from)});
    return NULL;
}

const char *conf_lex_scalar(struct conf_lex *l, struct arena *a, struct conf_node *out)
{
    int c = conf_lex_peek(l);
    out->kind = CONF_STRING;
    out->quoted = c == '"' || c == '\'' || c == '(';
    if (c == '"') return take_escaped(l, a, &out->text);
    if (c == '\'') return take_raw(l, a, &out->text);
    if (c == '(') return take_block(l, a, &out->text);
    const char *wrong = take_word(l, a, &out->text);
    return wrong != NULL ? wrong : conf_lex_classify(out);
}

/* ---- what a bare word means ---- */

static const struct suffix_row {
    const char *text;
    int64_t factor;
} suffix_rows[] = {
    {"", 1},
    {"k", 1000},
    {"m", 1000000},
    {"g", 1000000000},
    {"t", 1000000000000},
    {"p", 1000000000000000},
    {"e", 1000000000000000000},
    {"kb", INT64_C(1) << 10},
    {"mb", INT64_C(1) << 20},
    {"gb", INT64_C(1) << 30},
    {"tb", INT64_C(1) << 40},
    {"pb", INT64_C(1) << 50},
    {"eb", INT64_C(1) << 60},
    {"ki", INT64_C(1) << 10},
    {"mi", INT64_C(1) << 20},
    {"gi", INT64_C(1) << 30},
    {"ti", INT64_C(1) << 40},
    {"pi", INT64_C(1) << 50},
    {"ei", INT64_C(1) << 60},
    {"kib", INT64_C(1) << 10},
    {"mib", INT64_C(1) << 20},
    {"gib", INT64_C(1) << 30},
    {"tib", INT64_C(1) << 40},
    {"pib", INT64_C(1) << 50},
    {"eib", INT64_C(1) << 60},
};

static const struct bool_row {
    const char *text;
    int64_t value;
} bool_rows[] = {
    {"true", 1}, {"yes", 1}, {"on", 1}, {"false", 0}, {"no", 0}, {"off", 0},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* NULL and *done: it is a number. NULL alone: it is none. */
static const char *classify_number(struct conf_node *out, bool *done)
{
    const char *at = out->text + (out->text[0] == '-');
    bool minus = at != out->text, over = false;
    int64_t value = 0;
    *done = false;
    if (!is_digit(*at)) return NULL;
    for (; is_digit(*at); at++) {
        over = over || __builtin_mul_overflow(value, 10, &value) ||
               __builtin_add_overflow(value, *at - '0', &value);
    }
    for (const struct suffix_row *row = suffix_rows; row < ARRAY_END(suffix_rows); row++) {
        if (strcasecmp(at, row->text) != 0) continue;
        over = over || __builtin_mul_overflow(value, row->factor, &value);
        if (over) return "a number is out of range";
        out->kind = CONF_INT;
        out->number = minus ? -value : value;
        *done = true;
        return NULL;
    }
    return NULL;
}

static bool classify_float(struct conf_node *out)
{
    const char *at = out->text + (out->text[0] == '-');
    if (!is_digit(*at)) return false;
    while (is_digit(*at))
        at++;
    if (*at++ != '.' || !is_digit(*at)) return false;
    while (is_digit(*at))
        at++;
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') at++;
        if (!is_digit(*at)) return false;
        while (is_digit(*at))
            at++;
    }
    if (*at != 0) return false;
    out->kind = CONF_FLOAT;
    out->real = strtod(out->text, NULL);
    return true;
}

const char *conf_lex_classify(struct conf_node *out)
{
    bool done;
    struct text text = text_of(out->text);
    const char *wrong = classify_number(out, &done);
    if (wrong != NULL || done || classify_float(out)) return wrong;
    for (const struct bool_row *row = bool_rows; row < ARRAY_END(bool_rows); row++) {
        if (strcasecmp(out->text, row->text) != 0) continue;
        out->kind = CONF_BOOL;
        out->number = row->value;
        return NULL;
    }
    /* A date begins with its year and ends in Z; anything else of that shape stays a string. */
    if (text.bytes >= 20 && text.at[4] == '-' && text.at[text.bytes - 1] == 'Z' &&
        json_in_time(text, &out->number))
        out->kind = CONF_TIME;
    return NULL;
}
