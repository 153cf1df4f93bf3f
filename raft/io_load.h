/* io_load.h - raft_io's load. libraft's integer types are written out here, since its header stays
 * in .c files. */
#pragma once

#include <stddef.h>

struct raft_entry;
struct raft_io;
struct raft_snapshot;

/* The log must hold what group_open has checked. */
int io_load_all(struct raft_io *io,
                unsigned long long *term,
                unsigned long long *vote,
                struct raft_snapshot **snapshot,
                unsigned long long *start,
                struct raft_entry *entries[],
                size_t *count);
