/* store.h - the messages of all streams, and rows of state, on RocksDB as store.md describes.
 *
 * What is applied lives in memory (tail, dirty pages) until a state flush makes it durable as of one
 * Raft index; after a crash the log replays from there. A store_stream behaves like one JetStream
 * stream's file: append, remove, look up by sequence or subject, count. It knows nothing of limits,
 * consumers or time: store/state/ does. Outcomes never depend on what is resident or where it lies.
 *
 * Thread: loop. Reads of what isn't in memory block for one RocksDB get (OS cache: about 10 us); reads on
 * the pool and the wait before apply (store.md 4, rule 8) come behind this same interface. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/env.h"
#include "store/base/slice.h"
#include "store/base/units.h"
#include "store/kv.h"

struct store;
struct store_stream;

struct store_options {
    struct env *env;
    struct kv *kv;               /* opened by the caller; closed by store_close, also when opening fails */
    uint64_t budget_bytes;       /* pages, tail, caches */
    uint64_t flush_bytes;        /* log bytes after which a state flush is due; default 128 MiB */
};

/* What the store is at, from its durable meta row; all zero when it is new. */
struct store_at {
    log_index index;
    log_term term;
};

/* One row of state/ (streams, consumers, origins, dedup chunks ...): opaque here. */
struct store_row_visitor {
    void (*row)(void *ctx, struct text key, struct text value);
    void *ctx;
};

/* E_CORRUPT, E_IO, E_VERSION: with a line in the log that names the place. */
NODISCARD int store_open(const struct store_options *o, struct store **out, struct store_at *at);
void store_close(struct store *s); /* no flush: a crash and a close are the same to the format */

/* ---- rows of state, by key prefix in key order; only during start-up ---- */
NODISCARD int store_rows(struct store *s, struct text prefix, struct store_row_visitor v);

/* ---- flush ----
 * Starts a state flush at (index, term), which must be what was applied last. `collect` is called before
 * this returns; it calls store_put/store_del for every row that changed since the last flush. done runs
 * on the loop when all of it is durable. Only one flush at a time: E_BUSY. The caller guarantees that its
 * own log is durable to index (store.md rule 4). */
NODISCARD int store_flush(struct store *s, struct store_at at, void (*collect)(void *ctx),
                          void (*done)(void *ctx, struct store_at at), void *ctx);
/* Rows of store/state/: keys begin with a..z. */
void store_put(struct store *s, struct text key, struct text value);
void store_del(struct store *s, struct text key);
/* True when a flush should start soon: bytes applied since the last one, dirty pages, or idle and dirty. */
bool store_flush_due(const struct store *s);
bool store_busy(const struct store *s); /* memory budget is full: hold publishers back */
/* Told after each applied entry, for store_flush_due. */
void store_applied(struct store *s, struct store_at at, uint64_t entry_bytes);

/* ---- one stream ---- */
struct store_msg {
    stream_seq seq;
    int64_t time_ns;
    struct text subject, header, body; /* borrowed; from a read: valid until the cursor moves or the next
                                          call that changes the stream */
};
struct store_counts {
    uint64_t msgs, bytes; /* bytes: JetStream's accounting, 22 + subject + (header ? 4 + header : 0) + body + 8 */
    stream_seq first, last; /* empty: first = last + 1; never used: first = 1 (or first_seq), last = first - 1 */
    int64_t first_ns, last_ns; /* 0: none */
    uint64_t subjects;
};
/* A subject's messages. */
struct store_subject {
    stream_seq first, last; /* first may be a lower bound when count > history */
    uint32_t count, last_bytes;
};
/* Keeps the block it read last: sequential reads decode once. Zero-initialise; store_cursor_close at the end. */
struct store_cursor {
    void *block;
    struct store_stream *of;
};

uint64_t store_msg_bytes(const struct store_msg *m);

/* Creates a stream's empty store whose first message gets `first`; ids are never reused. history:
 * max_msgs_per_subject (rows list their sequences up to 64); 0: unlimited. */
struct store_stream *store_stream_new(struct store *s, uint32_t account, uint32_t stream, stream_seq first,
                                      uint32_t history);
/* At start-up, for a stream that was flushed before. E_NOTFOUND, E_CORRUPT. */
NODISCARD int store_stream_open(struct store *s, uint32_t account, uint32_t stream, struct store_stream **out);
void store_stream_history(struct store_stream *ss, uint32_t history);
/* Drops all its messages; space comes back in the background. ss is gone. */
void store_stream_delete(struct store_stream *ss);
struct store_counts store_stream_counts(const struct store_stream *ss);

/* Appends as seq = last + 1. header and body must lie in owner, which is referenced, not copied. */
stream_seq store_append(struct store_stream *ss, const struct store_msg *m, struct slice owner);
/* Sets last (>= last): sequences that hold no message. An empty stream's first follows. */
void store_skip_to(struct store_stream *ss, stream_seq last);
/* E_NOTFOUND when seq holds no message. Nothing is read when the stream's last look-up or append was of its subject and
 * the row knows its size. A message that can't be read any more ends the node: replicas would differ. */
NODISCARD int store_remove(struct store_stream *ss, stream_seq seq);
/* Removes all below seq; as fast as whole blocks allow. Calls removed() per message only when it is not NULL. */
uint64_t store_remove_below(struct store_stream *ss, stream_seq seq,
                            void (*removed)(void *ctx, const struct store_msg *m), void *ctx);

void store_cursor_close(struct store_cursor *c);
/* E_NOTFOUND: no message there. E_CORRUPT: damaged; the caller must not answer as if it were absent. */
NODISCARD int store_get(struct store_stream *ss, stream_seq seq, struct store_cursor *c, struct store_msg *out);
/* The first message at or after `from` that matches one of the filters (count 0: any). Blocks whose
 * dictionary can't match are passed over. On 0, *from is the sequence behind it. Stops with E_AGAIN after examining
 * scan_max messages, *from then says where to go on; E_NOTFOUND at the end. */
NODISCARD int store_next(struct store_stream *ss, stream_seq *from, const struct text *filters, size_t count,
                         uint32_t scan_max, struct store_cursor *c, struct store_msg *out);
/* The newest message at or before `upto` (0: no bound) whose subject matches the filter. */
NODISCARD int store_last(struct store_stream *ss, struct text filter, stream_seq upto, struct store_cursor *c,
                         struct store_msg *out);
/* The first sequence whose time is >= ns; last + 1 when none. */
stream_seq store_seq_at(struct store_stream *ss, int64_t ns);
/* E_NOTFOUND: no message with that literal subject. */
NODISCARD int store_subject_get(struct store_stream *ss, struct text subject, struct store_subject *out);
/* The oldest message of a literal subject, exact. E_NOTFOUND. */
NODISCARD int store_subject_first(struct store_stream *ss, struct text subject, stream_seq *out);
/* All subjects that match the filter, in no order; the stream must not change meanwhile. */
void store_subjects(struct store_stream *ss, struct text filter,
                    void (*each)(void *ctx, struct text subject, const struct store_subject *row), void *ctx);
/* Messages at or after `from` that match one of the filters (count 0: any). */
uint64_t store_count(struct store_stream *ss, stream_seq from, const struct text *filters, size_t count);
/* Sequences missing between first and last: how many; each is called for all of them, or for none
 * when they are more than a million. */
uint64_t store_deleted(struct store_stream *ss, void (*each)(void *ctx, stream_seq seq), void *ctx);

/* Figures for monitoring. */
struct store_stats {
    uint64_t memory_bytes, disk_bytes, live_bytes, tail_bytes, page_bytes;
    uint64_t flushes, blocks_written, blocks_cleaned;
};
struct store_stats store_stats(const struct store *s);
