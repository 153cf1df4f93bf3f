/* scrub.h - reads all blocks again and again, slowly, and checks them: damage is found while other
 * nodes still have the bytes, not when they are needed. Thread: loop; reading: the store's worker.
 */
#pragma once

#include "store/store.h"

struct scrub_stats {
    uint64_t rounds;  /* times that all blocks were read */
    uint64_t blocks;  /* read so far */
    uint64_t damaged; /* found so far; each is logged */
};

/* Reads so many bytes a second from now on; 0: not any more. */
void scrub_start(struct store *s, uint64_t bytes_per_second);
struct scrub_stats scrub_stats(const struct store *s);
/* Frees what the ended worker left. */
void scrub_abandon(struct store *s);
