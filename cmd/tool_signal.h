/* tool_signal.h - `--signal cmd[=pid]`: a word for a signal, sent to a running server. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "store/base/check.h"

/* text: "ldm", "reload=123", "stop=/run/nats.pid", "quit=*". Without a pid the server is looked for
 * by the name of its process; several are an error that lists them. Errors: E_INVAL, E_NOTFOUND,
 * with a text in error. */
NODISCARD int tool_signal_send(const char *text, char *error, size_t error_bytes);
/* The parts, for tests. 0: no such word. */
int tool_signal_number(const char *word);
