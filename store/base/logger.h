/* logger.h - log lines in nats-server's form: [pid] 2006/01/02 15:04:05.000000 [INF] text
 * or one JSON object a line (the ocis profile). Warnings and errors end in a stable code. Never a
 * secret, never a payload. Thread: any; lines are written whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/logger_codes.h"

enum logger_level { LOGGER_FTL, LOGGER_ERR, LOGGER_WRN, LOGGER_INF, LOGGER_DBG, LOGGER_TRC };

struct logger_options {
    const char *file;     /* NULL: stderr */
    bool debug, trace;    /* [DBG], [TRC] lines */
    bool capped;          /* nothing below `least` */
    enum logger_level least;
    bool time, time_utc;  /* stamp; in UTC */
    bool json;            /* one object a line: level, service, time, message */
    uint64_t bytes_max;   /* the file is rotated beyond; 0: never */
    unsigned files_max;   /* rotated files kept; 0: all */
};

/* Opens the log; may be called again (reload). E_IO when the file can't be opened: the old one stays. */
NODISCARD int logger_open(const struct logger_options *options);
void logger_reopen(void); /* SIGUSR1: after a rotation by somebody else */
bool logger_wants(enum logger_level level);
void logger_line(enum logger_level level, enum logger_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Tests and the simulator: lines go there instead. NULL: back. */
void logger_redirect(void (*to)(enum logger_level level, const char *line));

#define LOG(level, ...)                                                                            \
    (logger_wants(LOGGER_##level) ? logger_line(LOGGER_##level, LOG_NONE, __VA_ARGS__) : (void)0)
#define LOG_CODE(level, code, ...)                                                                 \
    (logger_wants(LOGGER_##level) ? logger_line(LOGGER_##level, code, __VA_ARGS__) : (void)0)
