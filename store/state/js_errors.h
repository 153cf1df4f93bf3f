/* js_errors.h - JetStream's error codes: symbol, err_code, code, text. A text with %s takes a detail.
 * One row per code (protocol reference, section 19). */
#pragma once

#include <stdint.h>

enum js_error {
    JS_OK = 0,
#define JS_ERROR_ENUM(symbol, err_code, code, text) JS_##symbol = (err_code),
#define JS_ERROR_TABLE(X)                                                                          \
    X(ACCOUNT_RESOURCES_EXCEEDED, 10002, 400, "resource limits exceeded for account")               \
    X(BAD_REQUEST, 10003, 400, "bad request")                                                       \
    X(CLUSTER_NO_PEERS, 10005, 400, "%s")                                                           \
    X(CLUSTER_NOT_AVAILABLE, 10008, 503, "JetStream system temporarily unavailable")                \
    X(CLUSTER_REQUIRED, 10010, 503, "JetStream clustering support required")                        \
    X(CONSUMER_CREATE, 10012, 500, "%s")                                                            \
    X(CONSUMER_NAME_EXISTS, 10013, 400, "consumer name already in use")                             \
    X(CONSUMER_NOT_FOUND, 10014, 404, "consumer not found")                                         \
    X(STREAM_NOT_FOUND, 10059, 404, "stream not found")
    JS_ERROR_TABLE(JS_ERROR_ENUM)
};
