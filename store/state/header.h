/* header.h - lines of a stored message's header block that apply must understand. Names are
 * compared as they are: servers and clients write them so. Thread: loop. */
#pragma once

#include <stdint.h>

#include "store/base/slice.h"

/* The value of a line, empty when it isn't there. */
struct text header_find(struct text header, const char *name);
/* Nats-TTL in ns: -1 never, 0 none or not understood. */
int64_t header_ttl(struct text header);
/* Bytes of the line with this name, its CRLF included; empty: none. */
struct text header_line(struct text header, const char *name);
