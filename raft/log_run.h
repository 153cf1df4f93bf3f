/* log_run.h - a run of consecutive entries in memory: where each lies, and the payloads that are
 * kept however old they are (configurations, barriers: few and small). The log's index is one; so
 * is the part of it that lies in the open segment, as far as it has been written. */
#pragma once

#include "raft/log.h"

struct log_slot {
    log_term term;
    uint32_t seq;    /* segment; 0: not written yet, offset is then its operation's number */
    uint32_t offset; /* of the record's head in the segment's file */
    uint32_t bytes;  /* of the payload */
    uint8_t type;
};
struct log_kept {
    log_index index;
    struct slice payload;
};
struct log_run {
    log_index first; /* of slots[head] */
    struct log_slot *slots;
    size_t head, count, slots_max;
    struct log_kept *kept; /* ascending */
    size_t kept_count, kept_max;
    uint64_t bytes;      /* payloads and record heads of all entries */
    uint64_t kept_bytes; /* payloads of kept */
};

void log_run_init(struct log_run *run, log_index first);
void log_run_free(struct log_run *run);
static inline log_index log_run_last(const struct log_run *run)
{
    return run->first + run->count - 1;
}
/* NULL: not in the run. The pointer is good until the run changes. */
struct log_slot *log_run_slot(const struct log_run *run, log_index i);
/* Appends at last + 1; takes a reference of its own of a payload that is to be kept (other than
 * commands). */
void log_run_push(struct log_run *run, const struct log_slot *slot, const struct slice *payload);
void log_run_cut(struct log_run *run,
                 log_index from); /* drops from.., harmless when there is nothing */
void log_run_trim(struct log_run *run, log_index first); /* drops what lies below */
void log_run_reset(struct log_run *run, log_index first);
/* The newest configuration below `below`, or NULL. */
const struct log_kept *log_run_config(const struct log_run *run, log_index below);
const struct log_kept *log_run_kept(const struct log_run *run, log_index i);
