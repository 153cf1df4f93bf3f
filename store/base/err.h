/* err.h - operating errors: 0, or one of these. Foreign codes (errno, libuv, RocksDB, libraft) become
 * one of them where they enter. */
#pragma once

#define ERR_TABLE(X)                                                                               \
    X(IO, 1, "input/output error")                                                                 \
    X(CORRUPT, 2, "data is damaged")                                                               \
    X(MALFORMED, 3, "malformed input")                                                             \
    X(BUSY, 4, "busy")                                                                             \
    X(CANCELED, 5, "canceled")                                                                     \
    X(NOTFOUND, 6, "not found")                                                                    \
    X(EXISTS, 7, "exists already")                                                                 \
    X(FULL, 8, "no space or budget left")                                                          \
    X(AGAIN, 9, "not at hand yet")                                                                 \
    X(NOTLEADER, 10, "not the leader")                                                             \
    X(INVAL, 11, "invalid argument")                                                               \
    X(TOOBIG, 12, "larger than the limit")                                                         \
    X(CLOSED, 13, "closed")                                                                        \
    X(FOREIGN, 14, "belongs to somebody else")                                                     \
    X(VERSION, 15, "version not supported")                                                        \
    X(DENIED, 16, "permission denied")                                                             \
    X(ADDRINUSE, 17, "address in use")                                                             \
    X(NET, 18, "network error")

enum {
#define ERR_ROW(name, number, text) E_##name = -(number),
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

const char *err_text(int rc);
int err_from_errno(int number);
