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
/* May this batch go into the log now? Notes it. The first one seen of an origin is taken as it
 * comes: its node starts with the oldest that isn't applied. */
bool origins_take(struct origins *o, node_id node, uint64_t incarnation, uint64_t number);
