/* rows.h - what the state keeps in the store between two runs: one row per account, stream,
 * consumer and origin, chunks of message ids, entries with a TTL. Only what changed is written, at
 * a flush. */
#pragma once

#include "store/state/apply.h"

/* Inside store_flush's collect. */
void rows_save(struct state *s);
/* At start-up. E_CORRUPT with a line in the log. */
NODISCARD int rows_load(struct state *s);
/* The object is about to go: its rows must too. */
void rows_drop_stream(struct stream *s);
void rows_drop_consumer(struct consumer *c);
