/* state_flush.h - all that changed up to one applied index becomes durable. Thread: loop. The story
 * is in state_flush.c. Source: store.md 3, rules 1-7. */
#pragma once

#include "store/store_types.h"

/* See store_flush. */
NODISCARD int state_flush_start(struct store *s,
                                struct store_at at,
                                void (*collect)(void *ctx),
                                void (*done)(void *ctx, struct store_at at),
                                void *ctx);
/* Rows of store/state/, only inside collect. */
void state_flush_put(struct store *s, struct text key, struct text value);
void state_flush_del(struct store *s, struct text key);
/* Frees one whose worker has ended. */
void state_flush_abandon(struct store *s);
