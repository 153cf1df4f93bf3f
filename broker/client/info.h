/* info.h - the INFO line. Source: protocol reference, 1.5. */
#pragma once

#include "broker/client/conn.h"

/* Appends the whole line. */
void info_write(const struct conn *c, struct writer *w);
