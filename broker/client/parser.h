/* parser.h - the client protocol: one operation at a time from a range of bytes.
 *
 * There is no state between calls: an operation that isn't complete is asked for again with more
 * bytes behind it, so a split anywhere can't make a difference. `need` says how many bytes make it
 * worth the while; a message's size is known as soon as its control line is. Texts of an operation
 * lie in the range. Source: protocol reference, 1.1 and 1.2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/slice.h"

enum parser_verb {
    PARSER_CONNECT,
    PARSER_PUB,
    PARSER_HPUB,
    PARSER_SUB,
    PARSER_UNSUB,
    PARSER_PING,
    PARSER_PONG,
    PARSER_INFO,
    PARSER_PLUS_OK,
    PARSER_MINUS_ERR,
    PARSER_VERBS
};
enum parser_result {
    PARSER_OP,        /* op is complete; `bytes` of the range are done with */
    PARSER_MORE,      /* at least op->need bytes, from the start of the range */
    PARSER_UNKNOWN,   /* 'Unknown Protocol Operation' */
    PARSER_LONG_LINE, /* 'maximum control line exceeded' */
    PARSER_ARGUMENTS, /* closed without a word */
    PARSER_PAYLOAD,   /* 'Maximum Payload Violation' */
    PARSER_AUTH,      /* anything but CONNECT while auth is pending */
};

struct parser_limits {
    uint64_t control_line_bytes, payload_bytes;
    bool auth_pending;
    bool headers; /* HPUB is allowed */
};
struct parser_op {
    enum parser_verb verb;
    struct text line; /* verb and arguments, for the trace log */
    struct text subject, reply, queue, sid;
    struct text json;         /* CONNECT */
    struct text header, body; /* PUB, HPUB; header: the block with its blank line */
    uint64_t max;             /* UNSUB; 0: not given */
    size_t bytes;             /* of the whole operation */
    size_t need;              /* PARSER_MORE */
};

enum parser_result parser_next(const struct parser_limits *l, struct text in, struct parser_op *op);
