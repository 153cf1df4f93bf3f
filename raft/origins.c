/* origins.c - see origins.h. A row per node ever seen in this term: few. */
#include "raft/origins.h"

#include <stdlib.h>

#include "store/base/check.h"

void origins_clear(struct origins *o)
{
    o->count = 0;
}

void origins_free(struct origins *o)
{
    free(o->rows);
    *o = (struct origins){0};
}

static struct origin *row_of(struct origins *o, node_id node)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->rows[i].node == node) return &o->rows[i];
    }
    if (o->count == o->max) {
        o->max = o->max == 0 ? 8 : o->max * 2;
        o->rows = check_realloc(o->rows, o->max * sizeof *o->rows);
    }
    o->rows[o->count] = (struct origin){.node = node};
    return &o->rows[o->count++];
}

bool origins_take(struct origins *o,
                  node_id node,
                  uint64_t incarnation,
                  uint64_t number,
                  uint64_t first)
{
    struct origin *row = row_of(o, node);
    if (incarnation < row->incarnation) return false; /* of a process that is gone */
    uint64_t last = incarnation == row->incarnation ? row->number : 0;
    uint64_t next = last + 1 > first ? last + 1 : first;
    if (number != next) return false;
    row->incarnation = incarnation;
    row->number = number;
    return true;
}
