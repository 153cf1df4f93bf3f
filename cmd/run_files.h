/* run_files.h - what a running node leaves for scripts: a pid file (the number alone, no newline)
 * and a ports file, <dir>/<name of the program>_<pid>.ports. Both are written whole or not at all.
 * Source: protocol reference, section 14.5. */
#pragma once

#include <stddef.h>

#include "store/base/check.h"

struct run_files_port {
    const char *list;   /* "nats", "monitoring", "cluster", "websocket" */
    const char *scheme; /* "nats", "http", "ws" */
    const char *host;   /* as listened on; any address is shown as 127.0.0.1 */
    int port;           /* the real one; 0: leave it out */
};

/* E_IO, E_NOTFOUND, E_DENIED, E_FULL. */
NODISCARD int run_files_write_pid(const char *path);
/* program: argv[0]. path gets the file's name, for run_files_remove. */
NODISCARD int run_files_write_ports(const char *dir,
                                    const char *program,
                                    const struct run_files_port *ports,
                                    size_t count,
                                    char *path,
                                    size_t path_bytes);
/* Harmless when it isn't there, or path is NULL or empty. */
void run_files_remove(const char *path);
