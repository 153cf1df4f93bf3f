/* proto_errors.h - what a client is told when something is wrong, and why a connection ended.
 * A row of the first table: the text between the quotes of -ERR. Of the second: the reason that
 * /connz and the disconnect event show. Source: protocol reference, 1.7 and 1.8. */
#pragma once

/* clang-format off */
#define PROTO_ERROR_TABLE(X)                                                                       \
    X(NONE,               "")                                                                      \
    X(AUTH_VIOLATION,     "Authorization Violation")                                               \
    X(AUTH_TIMEOUT,       "Authentication Timeout")                                                \
    X(STALE,              "Stale Connection")                                                      \
    X(MAX_CONNECTIONS,    "maximum connections exceeded")                                          \
    X(MAX_ACCOUNT_CONNS,  "maximum account active connections exceeded")                           \
    X(MAX_PAYLOAD,        "Maximum Payload Violation")                                             \
    X(MAX_CONTROL_LINE,   "maximum control line exceeded")                                         \
    X(UNKNOWN_OP,         "Unknown Protocol Operation")                                            \
    X(BAD_PROTOCOL,       "invalid client protocol")                                               \
    X(NEEDS_HEADERS,      "no responders requires headers support")                                \
    X(TLS_REQUIRED,       "Secure Connection - TLS Required")                                      \
    X(INVALID_SUBJECT,    "Invalid Subject")                                                       \
    X(INVALID_PUBLISH,    "Invalid Publish Subject")                                               \
    X(MAX_SUBSCRIPTIONS,  "maximum subscriptions exceeded")

#define CLOSE_REASON_TABLE(X)                                                                      \
    X(NONE,               "")                                                                      \
    X(CLIENT_CLOSED,      "Client Closed")                                                         \
    X(AUTH_TIMEOUT,       "Authentication Timeout")                                                \
    X(AUTH_VIOLATION,     "Authentication Failure")                                                \
    X(TLS_HANDSHAKE,      "TLS Handshake Failure")                                                 \
    X(SLOW_PENDING,       "Slow Consumer (Pending Bytes)")                                         \
    X(SLOW_DEADLINE,      "Slow Consumer (Write Deadline)")                                        \
    X(WRITE_ERROR,        "Write Error")                                                           \
    X(READ_ERROR,         "Read Error")                                                            \
    X(PARSE_ERROR,        "Parse Error")                                                           \
    X(STALE,              "Stale Connection")                                                      \
    X(PROTOCOL,           "Protocol Violation")                                                    \
    X(BAD_VERSION,        "Bad Client Protocol Version")                                           \
    X(MAX_CONNECTIONS,    "Maximum Connections Exceeded")                                          \
    X(MAX_ACCOUNT_CONNS,  "Maximum Account Connections Exceeded")                                  \
    X(MAX_PAYLOAD,        "Maximum Message Payload Exceeded")                                      \
    X(MAX_CONTROL_LINE,   "Maximum Control Line Exceeded")                                         \
    X(SHUTDOWN,           "Server Shutdown")                                                       \
    X(MISSING_ACCOUNT,    "Missing Account")                                                       \
    X(REVOKED,            "Credentials Revoked")                                                   \
    X(HEADER_VIOLATION,   "Message Header Violation")                                              \
    X(NEEDS_HEADERS,      "No Responders Requires Headers")                                        \
    X(KICKED,             "Kicked")
/* clang-format on */

enum proto_error {
#define PROTO_ERROR_ROW(name, text) PROTO_##name,
    PROTO_ERROR_TABLE(PROTO_ERROR_ROW)
#undef PROTO_ERROR_ROW
        PROTO_ERRORS
};
enum close_reason {
#define CLOSE_REASON_ROW(name, text) CLOSE_##name,
    CLOSE_REASON_TABLE(CLOSE_REASON_ROW)
#undef CLOSE_REASON_ROW
        CLOSE_REASONS
};

const char *proto_error_text(enum proto_error e);
const char *close_reason_text(enum close_reason r);
