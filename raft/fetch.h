/* fetch.h - payloads of the log in order, with a few disk reads ahead where the cache misses. One
 * fetch belongs to one reader of the log: the pump, or the stream to a peer. Thread: loop. */
#pragma once

#include "raft/log.h"

#define FETCH_SLOTS 16

struct fetch;
struct fetch_slot {
    struct log_read read;
    struct fetch *fetch;
    log_index index;
    log_term term;
    struct slice payload;
    enum fetch_state { FETCH_FREE, FETCH_READING, FETCH_READY, FETCH_GONE } state;
    bool forgotten; /* while reading: nobody wants it any more */
};
struct fetch {
    struct log *log;
    void (*ready)(struct fetch *); /* something came: ask again */
    size_t reading;
    struct fetch_slot slots[FETCH_SLOTS];
};

void fetch_init(struct fetch *f, struct log *log, void (*ready)(struct fetch *));
/* The payload of (i, term), its reference the caller's. E_AGAIN: being read, with others up to
 * `until`; ready tells. E_NOTFOUND: not in the log any more. Indexes asked for never fall, but
 * after a forget. */
NODISCARD int
fetch_get(struct fetch *f, log_index i, log_term term, log_index until, struct slice *out);
/* Drops what was read ahead. */
void fetch_forget(struct fetch *f);
/* After log_close, which ends all reads. */
void fetch_close(struct fetch *f);
