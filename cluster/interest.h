/* interest.h - what nodes listen to, told to each other: (account, subject, queue) has so many
 * members. A peer that comes up gets all of it; then changes, gathered per turn of the loop. Counts
 * are absolute, so a row told twice does no harm. Thread: loop. */
#pragma once

#include "cluster/cluster.h"

struct interest;
struct interest_row {
    struct text account, subject, queue; /* queue empty: plain subscriptions */
    uint32_t count;                      /* 0: gone */
};
struct interest_options {
    struct env *env;
    struct cluster *cluster;
    /* A peer is to be told everything: call interest_tell for each row of this node, now. */
    void (*each)(void *ctx, struct interest *i);
    /* A peer's row. Texts are borrowed. */
    void (*row)(void *ctx, node_id peer, const struct interest_row *row);
    /* Forget all rows of this peer: it is gone, or tells them anew. */
    void (*forget)(void *ctx, node_id peer);
    void *ctx;
};
/* Registers FRAME_INTEREST and watches peers; those that are up are told at once. */
struct interest *interest_new(const struct interest_options *o);
/* Before cluster_close. Harmless on NULL. */
void interest_free(struct interest *i);
/* Outside of `each`: a change, for all peers, at the end of the turn. Rows that don't fit a frame
 * are left out. */
void interest_tell(struct interest *i, const struct interest_row *row);
/* Changes of this turn go now: a message that follows may be answered to an inbox among them. */
void interest_flush(struct interest *i);
