#include "broker/client/parser.h"

#include <string.h>

#include "store/base/check.h"

#define PARSER_ARGS_MAX 4    /* one more than any operation takes */
#define PARSER_SIZE_DIGITS 9 /* longer numbers are no sizes */
#define PARSER_MORE_BYTES 1  /* a control line may end with any next byte */

enum verb_args {
    ARGS_NONE,   /* whatever follows is ignored */
    ARGS_JSON,   /* the rest of the line, blank before it or not */
    ARGS_TEXT,   /* a blank, then the rest of the line */
    ARGS_TOKENS, /* a blank, then tokens */
};

struct verb_row {
    const char *name;
    size_t bytes;
    enum verb_args args;
};
static const struct verb_row verb_rows[PARSER_VERBS] = {
    [PARSER_CONNECT] = {"CONNECT", 7, ARGS_JSON}, [PARSER_PUB] = {"PUB", 3, ARGS_TOKENS},
    [PARSER_HPUB] = {"HPUB", 4, ARGS_TOKENS},     [PARSER_SUB] = {"SUB", 3, ARGS_TOKENS},
    [PARSER_UNSUB] = {"UNSUB", 5, ARGS_TOKENS},   [PARSER_PING] = {"PING", 4, ARGS_NONE},
    [PARSER_PONG] = {"PONG", 4, ARGS_NONE},       [PARSER_INFO] = {"INFO", 4, ARGS_TEXT},
    [PARSER_PLUS_OK] = {"+OK", 3, ARGS_NONE},     [PARSER_MINUS_ERR] = {"-ERR", 4, ARGS_TEXT},
};

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first `bytes` of the verb are at `in`. */
static bool verb_begins(const struct verb_row *row, const char *in, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (upper(in[i]) != row->name[i]) return false;
    }
    return true;
}

/* The verb whose name the range begins with; *partial: more bytes may make it one. */
static const struct verb_row *verb_find(struct text in, bool *partial)
{
    *partial = false;
    for (const struct verb_row *row = verb_rows; row < ARRAY_END(verb_rows); row++) {
        size_t bytes = in.bytes < row->bytes ? in.bytes : row->bytes;
        if (!verb_begins(row, in.at, bytes)) continue;
        if (bytes == row->bytes) return row;
        *partial = true;
    }
    return NULL;
}

/* A hot path of its own: nearly everything that a busy connection sends is PUB or HPUB. */
static const struct verb_row *verb_quick(struct text in)
{
    if (in.bytes < 5) return NULL;
    if (memcmp(in.at, "PUB ", 4) == 0) return &verb_rows[PARSER_PUB];
    if (memcmp(in.at, "HPUB ", 5) == 0) return &verb_rows[PARSER_HPUB];
    return NULL;
}

struct args {
    struct text at[PARSER_ARGS_MAX];
    size_t count;
};

static void args_split(struct text line, struct args *out)
{
    const char *at = line.at, *end = line.at + line.bytes;
    out->count = 0;
    for (;;) {
        while (at < end && is_blank(*at))
            at++;
        if (at == end || out->count == PARSER_ARGS_MAX) return;
        const char *from = at;
        while (at < end && !is_blank(*at))
            at++;
        out->at[out->count++] = (struct text){.at = from, .bytes = (size_t)(at - from)};
    }
}

static bool number(struct text t, uint64_t *out)
{
    if (t.bytes == 0 || t.bytes > PARSER_SIZE_DIGITS) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < t.bytes; i++) {
        if (t.at[i] < '0' || t.at[i] > '9') return false;
        value = value * 10 + (uint64_t)(t.at[i] - '0');
    }
    *out = value;
    return true;
}

/* ---- operations ---- */

/* The control line is complete and `line_bytes` long with its end; the payload follows. */
static enum parser_result parse_payload(struct text in,
                                        size_t line_bytes,
                                        size_t header_bytes,
                                        size_t total_bytes,
                                        struct parser_op *op)
{
    size_t end = line_bytes + total_bytes;
    if (in.bytes > end && in.at[end] != '\r') return PARSER_UNKNOWN;
    if (in.bytes < end + 2) {
        /* One byte behind the payload can show already that it isn't one. */
        op->need = in.bytes <= end ? end + 1 : end + 2;
        return PARSER_MORE;
    }
    if (in.at[end + 1] != '\n') return PARSER_UNKNOWN;
    op->header = (struct text){.at = in.at + line_bytes, .bytes = header_bytes};
    op->body =
        (struct text){.at = in.at + line_bytes + header_bytes, .bytes = total_bytes - header_bytes};
    op->bytes = end + 2;
    return PARSER_OP;
}

static enum parser_result parse_pub(const struct parser_limits *l,
                                    struct text in,
                                    size_t line_bytes,
                                    const struct args *args,
                                    struct parser_op *op)
{
    bool headers = op->verb == PARSER_HPUB;
    size_t sizes = headers ? 2 : 1;
    uint64_t header_bytes = 0, total_bytes = 0;
    if (headers && !l->headers) return PARSER_ARGUMENTS;
    if (args->count < sizes + 1 || args->count > sizes + 2) return PARSER_ARGUMENTS;
    op->subject = args->at[0];
    op->reply = args->count == sizes + 2 ? args->at[1] : (struct text){0};
    if (!number(args->at[args->count - 1], &total_bytes)) return PARSER_ARGUMENTS;
    if (headers && !number(args->at[args->count - 2], &header_bytes)) return PARSER_ARGUMENTS;
    if (header_bytes > total_bytes) return PARSER_ARGUMENTS;
    if (total_bytes > l->payload_bytes) return PARSER_PAYLOAD;
    return parse_payload(in, line_bytes, (size_t)header_bytes, (size_t)total_bytes, op);
}

static enum parser_result parse_sub(const struct args *args, struct parser_op *op)
{
    if (args->count < 2 || args->count > 3) return PARSER_ARGUMENTS;
    op->subject = args->at[0];
    op->queue = args->count == 3 ? args->at[1] : (struct text){0};
    op->sid = args->at[args->count - 1];
    return PARSER_OP;
}

static enum parser_result parse_unsub(const struct args *args, struct parser_op *op)
{
    if (args->count < 1 || args->count > 2) return PARSER_ARGUMENTS;
    op->sid = args->at[0];
    op->max = 0;
    if (args->count == 2 && !number(args->at[1], &op->max)) return PARSER_ARGUMENTS;
    return PARSER_OP;
}

static enum parser_result
parse_line(const struct parser_limits *l, struct text in, struct text line, struct parser_op *op)
{
    struct args args;
    args_split(line, &args);
    switch (op->verb) {
    case PARSER_PUB:
    case PARSER_HPUB:
        return parse_pub(l, in, op->bytes, &args, op);
    case PARSER_SUB:
        return parse_sub(&args, op);
    case PARSER_UNSUB:
        return parse_unsub(&args, op);
    case PARSER_CONNECT:
        op->json = line;
        return PARSER_OP;
    case PARSER_PING:
    case PARSER_PONG:
    case PARSER_INFO:
    case PARSER_PLUS_OK:
    case PARSER_MINUS_ERR:
    case PARSER_VERBS:
        break;
    }
    return PARSER_OP;
}

/* The blank that must follow a verb with arguments. */
static bool separated(const struct verb_row *row, struct text in)
{
    if (row->args != ARGS_TOKENS && row->args != ARGS_TEXT) return true;
    return in.bytes == row->bytes || is_blank(in.at[row->bytes]);
}

static enum parser_result more(size_t need, struct parser_op *op)
{
    op->need = need;
    return PARSER_MORE;
}

enum parser_result parser_next(const struct parser_limits *l, struct text in, struct parser_op *op)
{
    if (in.bytes == 0) return more(1, op);
    if (l->auth_pending && upper(in.at[0]) != 'C') return PARSER_AUTH;
    const struct verb_row *row = verb_quick(in);
    if (row == NULL) {
        bool partial;
        row = verb_find(in, &partial);
        if (row == NULL) return partial ? more(in.bytes + 1, op) : PARSER_UNKNOWN;
    }
    if (!separated(row, in)) return PARSER_UNKNOWN;
    const char *at = in.at + row->bytes, *end = in.at + in.bytes;
    while (at < end && is_blank(*at))
        at++;
    size_t limit = (size_t)l->control_line_bytes, left = (size_t)(end - at);
    /* Room for the limit, a carriage return and the line feed. */
    size_t scan = left < limit + 2 ? left : limit + 2;
    const char *feed = scan == 0 ? NULL : memchr(at, '\n', scan);
    if (feed == NULL) {
        bool full = scan > limit && !(scan == limit + 1 && at[limit] == '\r');
        if ((size_t)(at - in.at) > limit + row->bytes) full = true; /* of blanks */
        return full ? PARSER_LONG_LINE : more(in.bytes + PARSER_MORE_BYTES, op);
    }
    struct text line = {.at = at, .bytes = (size_t)(feed - at)};
    if (line.bytes != 0 && line.at[line.bytes - 1] == '\r') line.bytes--;
    if (line.bytes > l->control_line_bytes) return PARSER_LONG_LINE;
    op->verb = (enum parser_verb)(row - verb_rows);
    op->line = (struct text){.at = in.at, .bytes = (size_t)(line.at + line.bytes - in.at)};
    op->bytes = (size_t)(feed - in.at) + 1;
    return parse_line(l, in, line, op);
}
