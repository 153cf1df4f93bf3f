/* origins.h - as leader: the last batch of each origin that went into an entry in this term. Apply
 * takes only last + 1, so a gap or a repeat that is let into the log would be refused there
 * (design 4.2). Thread: loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "store/base/units.h"

struct origins {
    struct origin {
        node_id node;
        uint64_t incarnation, number;
    } * rows;
    size_t count, max;
};

void origins_clear(struct origins *o); /* a new term */
void origins_free(struct origins *o);
/* May this batch go into the log now? Notes it. It must be next, or, when entries of earlier terms
 * brought more of its origin's batches than we were given in this one, the first that isn't applied
 * at its origin. */
bool origins_take(struct origins *o,
                  node_id node,
                  uint64_t incarnation,
                  uint64_t number,
                  uint64_t first);
