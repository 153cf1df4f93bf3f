/* log.h - the Raft log on disk, with term and vote; group commit on a thread of its own.
 * Formats: raft/FORMATS.md. Design 3.2; raft.md 3.1 (our log index), 2.1 (HOLD).
 *
 * Happy path: log_append queues; while a write is in flight the next batch gathers; one batch is
 * one write and one sync; then on_durable. Batch n is written only when n - 1 is durable. Votes,
 * truncations and the floor are records in the same order. A failed write or sync is
 * FATAL(EXIT_DISK): never retried. */
#pragma once

#include "store/base/env.h"
#include "store/base/slice.h"
#include "store/base/units.h"

struct log;

enum log_type { LOG_COMMAND = 1, LOG_BARRIER = 2, LOG_CHANGE = 3 }; /* libraft's numbers */

struct log_vote {
    log_term term;
    node_id vote; /* 0: none in this term */
};
struct log_options {
    struct env *env;
    const char *dir;
    uint64_t identity; /* cluster and node: pages of another log are foreign, never read as ours */
    uint32_t group;    /* 0 */
    uint64_t cache_bytes;   /* payloads kept in memory; default 64 MiB */
    uint64_t segment_bytes; /* default 64 MiB, less on a volume below 16 GiB */
    /* Everything up to index is durable. On the loop, in order. */
    void (*on_durable)(void *ctx, log_index index);
    /* All votes stored up to this number are durable. */
    void (*on_vote_durable)(void *ctx, uint64_t number);
    void *ctx;
};

/* Loads. A torn tail (never acknowledged) is cut; anything else that is bad is E_CORRUPT, with a
 * line that names file and offset, and nothing is changed. E_FOREIGN: another node's log. */
NODISCARD int log_open(const struct log_options *o, struct log **out);
/* Waits for the write in flight; no callbacks afterwards. */
void log_close(struct log *l);

log_index log_first(const struct log *l); /* first retained; last + 1 when empty */
log_index log_last(const struct log *l);  /* appended, maybe not durable yet */
log_index log_durable(const struct log *l);
log_term log_term_at(const struct log *l,
                     log_index i); /* 0: not in the log (the entry before first is known too) */
enum log_type log_type_at(const struct log *l, log_index i);
uint32_t log_bytes_at(const struct log *l, log_index i);
struct log_vote log_vote(const struct log *l);
uint64_t log_total_bytes(const struct log *l); /* on disk, retained entries */
bool log_idle(const struct log *l);            /* nothing queued or in flight */

/* Appends at last + 1; takes over the reference of payload. */
void log_append(struct log *l, log_term term, enum log_type type, struct slice payload);
/* Drops [from, last]: a conflicting suffix. from >= log_first. The record goes before the entries
 * that follow; a crash in between leaves the log at from - 1, and log_durable is lowered at once.
 */
void log_truncate(struct log *l, log_index from);
/* Stores term and vote; the number returned is what on_vote_durable tells. */
uint64_t log_vote_store(struct log *l, struct log_vote v);
/* Everything below `first` (<= last + 1) may go: recorded durably, then space is reused. */
void log_trim(struct log *l, log_index first);
/* Empties the log: the next entry is index + 1, whose predecessor has `term` (a checkpoint was
 * adopted). */
void log_reset(struct log *l, log_index index, log_term term);

/* The payload of (i, term) by reference, if it is cached or pending; barriers and configurations
 * always are. E_NOTFOUND: no such entry; E_AGAIN: on disk, use log_read. */
NODISCARD int log_get(struct log *l, log_index i, log_term term, struct slice *out);
/* Reads from disk on the pool; done on the loop once. rc 0: payload is the caller's. E_NOTFOUND:
 * gone meanwhile. Damaged and still current: FATAL(EXIT_CORRUPT) until repair from peers is there.
 */
struct log_read {
    struct env_job job;
    struct log *log;
    log_index index;
    log_term term;
    void (*done)(struct log_read *, int rc, struct slice payload);
    void *impl;
};
void log_read(struct log *l, struct log_read *r);

/* Small durable facts beside term and vote (two slots, checksummed), read at open. */
struct log_facts {
    uint64_t boots;         /* process starts: this process's incarnation as an origin */
    uint64_t incarnation;   /* of the disk: part of the Raft id */
    log_index config_index; /* newest configuration entry below log_first; log_trim moves it */
    uint8_t config[512];    /* its bytes */
    uint32_t config_bytes;
};
const struct log_facts *log_facts(const struct log *l);
/* Blocking; only during start-up, and while the log is idle. boots is the caller's to raise. */
NODISCARD int log_facts_store(struct log *l, const struct log_facts *f);
