/* transform.c - see transform.h. Both sides are cut into tokens once; mapping walks the
 * destination's parts and looks tokens of the subject up by number. */
#include "store/state/transform.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/fields.h"

#define NUMBER_MAX INT32_MAX
#define FNV_OFFSET UINT32_C(2166136261)
#define FNV_PRIME UINT32_C(16777619)

enum part_kind {
    PART_TEXT,
    PART_REST,
    PART_WILDCARD,
    PART_PARTITION,
    PART_SPLIT,
    PART_SPLIT_FROM_LEFT,
    PART_SPLIT_FROM_RIGHT,
    PART_SLICE_FROM_LEFT,
    PART_SLICE_FROM_RIGHT,
    PART_LEFT,
    PART_RIGHT
};

/* One token of the destination. */
struct part {
    enum part_kind kind;
    struct text text; /* PART_TEXT; the delimiter of PART_SPLIT */
    uint32_t token;   /* index of the subject's token that it takes */
    uint32_t number;  /* the function's own */
    uint8_t *tokens;  /* PART_PARTITION: indexes of what is hashed; none: all */
    size_t token_count;
};

struct transform {
    char *bytes; /* copies of both sides, then the cover */
    struct text cover;
    struct text src;
    uint32_t wildcards[TRANSFORM_TOKENS_MAX]; /* indexes of the source's `*` */
    size_t wildcard_count, rest;              /* rest: index of its `>`, or of the end */
    struct part parts[TRANSFORM_TOKENS_MAX];
    size_t part_count;
};

struct tokens {
    struct text at[TRANSFORM_TOKENS_MAX];
    size_t count;
    bool more; /* than fit: the last one holds the rest */
};

/* A dot inside of {{...}} separates nothing. */
static void cut(struct text t, bool braces, struct tokens *out)
{
    size_t from = 0;
    bool inside = false;
    out->count = 0;
    out->more = false;
    for (size_t i = 0; i <= t.bytes; i++) {
        if (braces && i + 1 < t.bytes && t.at[i] == '{' && t.at[i + 1] == '{') inside = true;
        if (braces && i + 1 < t.bytes && t.at[i] == '}' && t.at[i + 1] == '}') inside = false;
        if (i < t.bytes && (t.at[i] != '.' || inside)) continue;
        if (out->count == TRANSFORM_TOKENS_MAX) {
            out->more = true;
            out->at[out->count - 1].bytes = t.bytes - (size_t)(out->at[out->count - 1].at - t.at);
            return;
        }
        out->at[out->count++] = (struct text){.at = t.at + from, .bytes = i - from};
        from = i + 1;
    }
}

static struct text trimmed(struct text t)
{
    while (t.bytes != 0 && t.at[0] == ' ') {
        t.at++;
        t.bytes--;
    }
    while (t.bytes != 0 && t.at[t.bytes - 1] == ' ')
        t.bytes--;
    return t;
}

static bool number_of(struct text t, uint32_t *out)
{
    uint64_t value = 0;
    t = trimmed(t);
    for (size_t i = 0; i < t.bytes; i++) {
        if (t.at[i] < '0' || t.at[i] > '9') return false;
        value = value * 10 + (uint64_t)(t.at[i] - '0');
        if (value > NUMBER_MAX) return false;
    }
    *out = (uint32_t)value;
    return t.bytes != 0;
}

/* ---- reading the destination ---- */

static const struct function_row {
    const char *name;
    enum part_kind kind;
    size_t args_min, args_max;
} functions[] = {
    {"wildcard", PART_WILDCARD, 1, 1},
    {"partition", PART_PARTITION, 1, TRANSFORM_TOKENS_MAX},
    {"split", PART_SPLIT, 2, 2},
    {"splitfromleft", PART_SPLIT_FROM_LEFT, 2, 2},
    {"splitfromright", PART_SPLIT_FROM_RIGHT, 2, 2},
    {"slicefromleft", PART_SLICE_FROM_LEFT, 2, 2},
    {"slicefromright", PART_SLICE_FROM_RIGHT, 2, 2},
    {"left", PART_LEFT, 2, 2},
    {"right", PART_RIGHT, 2, 2},
};

static const struct function_row *function_of(struct text name)
{
    for (const struct function_row *f = functions; f < ARRAY_END(functions); f++) {
        if (strlen(f->name) == name.bytes && strncasecmp(f->name, name.at, name.bytes) == 0)
            return f;
    }
    return NULL;
}

static bool wildcard_of(const struct transform *t, struct text arg, uint32_t *token)
{
    uint32_t n;
    if (!number_of(arg, &n) || n == 0 || n > t->wildcard_count) return false;
    *token = t->wildcards[n - 1];
    return true;
}

static size_t arguments(struct text list, struct text *out)
{
    size_t count = 0, from = 0;
    for (size_t i = 0; i <= list.bytes; i++) {
        if (i < list.bytes && list.at[i] != ',') continue;
        if (count == TRANSFORM_TOKENS_MAX) return count + 1;
        out[count++] = trimmed((struct text){.at = list.at + from, .bytes = i - from});
        from = i + 1;
    }
    return count;
}

static const char *read_partition(struct transform *t, struct part *p, struct text *args, size_t n)
{
    if (!number_of(args[0], &p->number) || p->number == 0)
        return "invalid mapping destination: partition needs a number of partitions";
    p->tokens = check_alloc(n);
    for (size_t i = 1; i < n; i++) {
        uint32_t token;
        if (!wildcard_of(t, args[i], &token))
            return "invalid mapping destination: wildcard index out of range";
        p->tokens[p->token_count++] = (uint8_t)token;
    }
    return NULL;
}

static const char *read_function(struct transform *t, struct part *p, struct text call)
{
    struct text args[TRANSFORM_TOKENS_MAX];
    const char *open = call.bytes == 0 ? NULL : memchr(call.at, '(', call.bytes);
    if (open == NULL || call.at[call.bytes - 1] != ')')
        return "invalid mapping destination: unknown function";
    size_t head = (size_t)(open - call.at);
    const struct function_row *f = function_of(trimmed((struct text){call.at, head}));
    if (f == NULL) return "invalid mapping destination: unknown function";
    size_t n = arguments((struct text){.at = open + 1, .bytes = call.bytes - head - 2}, args);
    if (n < f->args_min) return "invalid mapping destination: not enough arguments";
    if (n > f->args_max) return "invalid mapping destination: too many arguments";
    p->kind = f->kind;
    if (f->kind == PART_PARTITION) return read_partition(t, p, args, n);
    if (!wildcard_of(t, args[0], &p->token))
        return "invalid mapping destination: wildcard index out of range";
    if (n == 1) return NULL;
    if (f->kind == PART_SPLIT) {
        p->text = args[1];
        if (p->text.bytes == 0 || memchr(p->text.at, '.', p->text.bytes) != NULL ||
            memchr(p->text.at, ' ', p->text.bytes) != NULL)
            return "invalid mapping destination: bad delimiter";
        return NULL;
    }
    return number_of(args[1], &p->number) ? NULL : "invalid mapping destination: invalid argument";
}

static const char *read_part(struct transform *t, struct part *p, struct text token)
{
    if (token.bytes > 4 && memcmp(token.at, "{{", 2) == 0 &&
        memcmp(token.at + token.bytes - 2, "}}", 2) == 0)
        return read_function(t, p,
                             trimmed((struct text){.at = token.at + 2, .bytes = token.bytes - 4}));
    uint32_t n;
    if (token.bytes > 1 && token.at[0] == '$' &&
        number_of((struct text){.at = token.at + 1, .bytes = token.bytes - 1}, &n)) {
        p->kind = PART_WILDCARD;
        return wildcard_of(t, (struct text){.at = token.at + 1, .bytes = token.bytes - 1},
                           &p->token)
                   ? NULL
                   : "invalid mapping destination: wildcard index out of range";
    }
    if (text_equal(token, TEXT("*"))) return "invalid mapping destination: wildcard in destination";
    p->kind = text_equal(token, TEXT(">")) ? PART_REST : PART_TEXT;
    p->text = token;
    return NULL;
}

static const char *read_source(struct transform *t)
{
    struct tokens tokens;
    cut(t->src, false, &tokens);
    if (!fields_subject_valid(t->src) || tokens.more) return "invalid subject";
    t->rest = tokens.count;
    for (size_t i = 0; i < tokens.count; i++) {
        if (text_equal(tokens.at[i], TEXT("*"))) t->wildcards[t->wildcard_count++] = (uint32_t)i;
        if (text_equal(tokens.at[i], TEXT(">"))) t->rest = i;
    }
    return NULL;
}

/* The token spaces of a destination's functions may hold blanks, so its tokens are checked one by
 * one. */
static const char *read_destination(struct transform *t, struct text dest)
{
    struct tokens tokens;
    bool rest = false;
    cut(dest, true, &tokens);
    if (tokens.more) return "invalid subject";
    for (size_t i = 0; i < tokens.count; i++) {
        struct part *p = &t->parts[t->part_count++];
        if (tokens.at[i].bytes == 0) return "invalid subject";
        const char *why = read_part(t, p, tokens.at[i]);
        if (why != NULL) return why;
        if (p->kind == PART_TEXT && !fields_subject_valid(p->text)) return "invalid subject";
        if (p->kind == PART_REST && i + 1 != tokens.count) return "invalid subject";
        rest = p->kind == PART_REST;
    }
    bool source_rest = t->src.at[t->src.bytes - 1] == '>' &&
                       (t->src.bytes == 1 || t->src.at[t->src.bytes - 2] == '.');
    return rest == source_rest ? NULL : "invalid subject";
}

/* The destination with `*` for what takes one token; a function that may give several ends it. */
static void make_cover(struct transform *t, char *room)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->part_count; i++) {
        const struct part *p = &t->parts[i];
        bool one = p->kind == PART_TEXT || p->kind == PART_WILDCARD || p->kind == PART_PARTITION ||
                   p->kind == PART_LEFT || p->kind == PART_RIGHT;
        if (i != 0) room[bytes++] = '.';
        if (p->kind == PART_TEXT) {
            memcpy(room + bytes, p->text.at, p->text.bytes);
            bytes += p->text.bytes;
        } else {
            room[bytes++] = one ? '*' : '>';
        }
        if (!one) break;
    }
    t->cover = (struct text){.at = room, .bytes = bytes};
}

int transform_new(struct text src,
                  struct text dest,
                  struct transform **out,
                  const char **why,
                  bool *in_source)
{
    if (src.bytes == 0) src = TEXT(">");
    struct transform *t = check_alloc(sizeof *t);
    t->bytes = check_alloc(src.bytes + 2 * dest.bytes + 1);
    memcpy(t->bytes, src.at, src.bytes);
    if (dest.bytes != 0) memcpy(t->bytes + src.bytes, dest.at, dest.bytes);
    t->src = (struct text){.at = t->bytes, .bytes = src.bytes};
    *why = read_source(t);
    *in_source = *why != NULL;
    if (*why == NULL)
        *why = read_destination(t, (struct text){.at = t->bytes + src.bytes, .bytes = dest.bytes});
    if (*why == NULL) {
        make_cover(t, t->bytes + src.bytes + dest.bytes);
        *out = t;
        return 0;
    }
    transform_free(t);
    return E_INVAL;
}

void transform_free(struct transform *t)
{
    if (t == NULL) return;
    for (size_t i = 0; i < t->part_count; i++)
        free(t->parts[i].tokens);
    free(t->bytes);
    free(t);
}

/* ---- mapping ---- */

struct output {
    char *at;
    size_t bytes, max;
    bool full;
};

static void put(struct output *o, struct text t)
{
    if (t.bytes > o->max - o->bytes) {
        o->full = true;
        return;
    }
    if (t.bytes != 0) memcpy(o->at + o->bytes, t.at, t.bytes);
    o->bytes += t.bytes;
}

static void put_partition(struct output *o, const struct part *p, const struct tokens *tokens)
{
    uint32_t hash = FNV_OFFSET;
    size_t count = p->token_count == 0 ? tokens->count : p->token_count;
    char digits[12];
    size_t at = sizeof digits;
    for (size_t i = 0; i < count; i++) {
        struct text t = tokens->at[p->token_count == 0 ? i : p->tokens[i]];
        for (size_t k = 0; k < t.bytes; k++)
            hash = (hash ^ (uint8_t)t.at[k]) * FNV_PRIME;
    }
    hash %= p->number;
    do {
        digits[--at] = (char)('0' + hash % 10);
        hash /= 10;
    } while (hash != 0);
    put(o, (struct text){.at = digits + at, .bytes = sizeof digits - at});
}

/* The pieces between delimiters, as tokens; empty ones are passed over. */
static void put_split(struct output *o, struct text t, struct text delimiter)
{
    bool first = true;
    while (t.bytes != 0) {
        const char *found = memmem(t.at, t.bytes, delimiter.at, delimiter.bytes);
        size_t bytes = found == NULL ? t.bytes : (size_t)(found - t.at);
        if (bytes != 0) {
            if (!first) put(o, TEXT("."));
            put(o, (struct text){.at = t.at, .bytes = bytes});
            first = false;
        }
        if (found == NULL) return;
        t.at += bytes + delimiter.bytes;
        t.bytes -= bytes + delimiter.bytes;
    }
}

static void put_cut(struct output *o, struct text t, size_t at)
{
    if (at > 0 && at < t.bytes) {
        put(o, (struct text){.at = t.at, .bytes = at});
        put(o, TEXT("."));
        t.at += at;
        t.bytes -= at;
    }
    put(o, t);
}

/* Slices of `bytes`, the first one `head` long when that isn't 0. */
static void put_slices(struct output *o, struct text t, size_t head, size_t bytes)
{
    if (bytes == 0) bytes = t.bytes;
    for (size_t take = head == 0 ? bytes : head; t.bytes > take && take != 0; take = bytes) {
        put(o, (struct text){.at = t.at, .bytes = take});
        put(o, TEXT("."));
        t.at += take;
        t.bytes -= take;
    }
    put(o, t);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void put_part(struct output *o,
                     const struct transform *t,
                     const struct part *p,
                     const struct tokens *tokens,
                     struct text subject)
{
    struct text token = tokens->at[p->token < tokens->count ? p->token : 0];
    size_t n = p->number;
    switch (p->kind) {
    case PART_TEXT:
        put(o, p->text);
        return;
    case PART_REST: {
        size_t from = (size_t)(tokens->at[t->rest].at - subject.at);
        put(o, (struct text){.at = subject.at + from, .bytes = subject.bytes - from});
        return;
    }
    case PART_WILDCARD:
        put(o, token);
        return;
    case PART_PARTITION:
        put_partition(o, p, tokens);
        return;
    case PART_SPLIT:
        put_split(o, token, p->text);
        return;
    case PART_SPLIT_FROM_LEFT:
        put_cut(o, token, n);
        return;
    case PART_SPLIT_FROM_RIGHT:
        put_cut(o, token, n < token.bytes ? token.bytes - n : 0);
        return;
    case PART_SLICE_FROM_LEFT:
        put_slices(o, token, 0, n);
        return;
    case PART_SLICE_FROM_RIGHT:
        put_slices(o, token, n == 0 ? 0 : token.bytes % n, n);
        return;
    case PART_LEFT:
        put(o, (struct text){.at = token.at, .bytes = least(n, token.bytes)});
        return;
    case PART_RIGHT:
        n = least(n, token.bytes);
        put(o, (struct text){.at = token.at + token.bytes - n, .bytes = n});
        return;
    }
}

struct text transform_cover(const struct transform *t)
{
    return t->cover;
}

bool transform_matches(const struct transform *t, struct text subject)
{
    return subject_match(t->src, subject);
}

struct text
transform_map(const struct transform *t, struct text subject, char *room, size_t room_bytes)
{
    struct output o = {.at = room, .max = room_bytes};
    struct tokens tokens;
    struct text none = {0};
    if (!transform_matches(t, subject)) return none;
    cut(subject, false, &tokens);
    for (size_t i = 0; i < t->part_count; i++) {
        if (i != 0) put(&o, TEXT("."));
        put_part(&o, t, &t->parts[i], &tokens, subject);
    }
    struct text out = {.at = room, .bytes = o.bytes};
    return o.full || !fields_subject_valid(out) ? none : out;
}
