/* checkpoint.h - a copy of the store as of its last state flush, by hard links. Source: store.md,
 * rule 10. */
#pragma once

#include "store/store.h"

/* Makes the copy in dir, which must not exist, on the store's worker. The copy is at *at. Call it
 * from a flush's done(). E_BUSY: a state flush is in progress (no callback). done on the loop, with
 * E_IO when it failed. */
NODISCARD int checkpoint_make(struct store *s,
                              const char *dir,
                              struct store_at *at,
                              void (*done)(void *ctx, int rc),
                              void *ctx);
/* Frees one whose worker has ended. */
void checkpoint_abandon(struct store *s);
