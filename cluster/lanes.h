/* lanes.h - what waits to be written to one connection, in lanes: a lower one goes first.
 * A frame that was begun is finished before any other. Bodies are kept by reference, small ones are
 * copied behind their header (one part for the kernel instead of several). A large body of the data
 * lane goes as several frames, so that the log stream gets in between. Thread: loop. */
#pragma once

#include "cluster/frame.h"
#include "cluster/net/sock.h"
#include "store/base/list.h"

#define LANES 3 /* enum cluster_lane */

struct lane_item;
struct lanes {
    struct list items[LANES];
    size_t bytes[LANES];       /* waiting, headers included */
    struct lane_item *current; /* partly written, still in its list */
};

void lanes_init(struct lanes *l);
/* Drops everything. */
void lanes_close(struct lanes *l);
/* Takes over one reference of each part; f->body isn't used. */
void lanes_push(struct lanes *l, const struct frame *f, struct slice *parts, size_t count);
/* The next bytes to write, at most max parts; valid until lanes_push or lanes_took. */
size_t lanes_gather(const struct lanes *l, struct sock_part *out, size_t max);
/* So many of the gathered bytes are written. */
void lanes_took(struct lanes *l, size_t bytes);
bool lanes_empty(const struct lanes *l);
/* Between two frames: something else may be written. */
bool lanes_at_edge(const struct lanes *l);
