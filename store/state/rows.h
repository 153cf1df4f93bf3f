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
/* A consumer's row behind its format byte; and one read and linked into the stream under that id
 * (0 in a row: never). E_CORRUPT: nothing was made. */
void rows_put_consumer(struct writer *w, const struct consumer *c);
NODISCARD int rows_get_consumer(struct stream *s, struct reader *r, uint32_t id);
