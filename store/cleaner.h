/* cleaner.h - rewrites what lives of the deadest segments once the store is under half full, so
 * that their files can go. Thread: loop; reading: the store's worker. Source: store.md 5. */
#pragma once

#include "store/store_types.h"

/* After a state flush: starts when there is something to gain and nothing is under way. */
void cleaner_kick(struct store *s);
/* Goes on after waiting for the writer. */
void cleaner_continue(struct store *s);
/* Frees one whose worker has ended. */
void cleaner_abandon(struct store *s);
