/* log_impl.h - what the log's own files share. Everything belongs to the loop, except what a flight
 * lends to the writer thread (until writer_done) and a read to the reader thread. */
#pragma once

#include "raft/log.h"
#include "raft/meta.h"
#include "raft/segment.h"
#include "store/base/bug.h"
#include "store/base/limits.h"
#include "store/base/list.h"

#define LOG_BATCH_BYTES_MAX MIB(4) /* more would only add latency: a disk streams at this size */
#define LOG_SEGMENT_BYTES_DEFAULT MIB(64)
#define LOG_SEGMENT_BYTES_MIN KIB(64)
#define LOG_FREE_SEGMENTS_MAX 4u /* zeroed or recycled, waiting; what is more is deleted */

/* One record on its way to the disk. */
struct log_op {
    struct log_record record;
    struct slice payload;
    uint32_t number;   /* entries: what the slot shows until the record has a place */
    uint32_t keep_seq; /* floor, reset: segments below it are free once this is durable */
};
struct log_ops {
    struct log_op *ops;
    size_t head, count, ops_max;
};

/* One batch under way on the writer thread. */
struct log_flight {
    struct env_job job;
    bool busy;
    struct log_op *ops;
    size_t count, ops_max;
    struct segment *segment; /* where the batch goes */
    uint64_t batch;          /* its number */
    uint32_t page, pages, content;
    /* A roll goes before it: the old segment's index, then the new one's head. */
    struct segment *sealed; /* NULL: no roll */
    uint32_t index_page, index_pages;
    struct writer index; /* empty: it was written before a crash */
    struct segment_head head;
    uint8_t *buffer;
    size_t buffer_pages;
    /* What its end announces. */
    log_index last;
    uint64_t vote_number;
    uint32_t keep_seq;
};

/* A segment made ready in the background. */
struct log_prepare {
    struct env_job job;
    bool busy;
    uint32_t number, pages;
    struct segment *segment, *remove; /* made; to be deleted */
};

/* The newest payloads, one slot per index from first on. */
struct log_cache {
    struct slice *slots;
    size_t head, count, slots_max; /* ring, a power of two */
    log_index first;
    uint64_t bytes, bytes_max;
};

/* What the reader thread has read last; its own. */
struct log_ahead {
    uint8_t *pages;
    size_t pages_max, count;
    uint64_t first;
    uint32_t seq; /* 0: nothing */
};

struct log {
    struct log_options options;
    struct env *env;
    char *dir;
    struct log_page_owner owner;
    struct env_worker *writer, *reader, *preparer;
    struct env_defer defer;
    bool closing;

    /* As the callers see it, maybe not written yet. */
    struct log_run index;
    log_term prev_term; /* of index.first - 1 */
    log_index last, durable;
    struct log_vote vote;
    uint64_t vote_number, vote_durable;
    uint32_t op_number;
    struct log_cache cache;
    struct log_ops queue;
    unsigned cuts_queued; /* truncations and resets in the queue */

    /* As of the newest batch handed to the writer. */
    struct log_state written;
    struct log_run open_run; /* entries of the open segment */
    struct segment *open;
    uint32_t open_page; /* the next batch goes there */
    bool open_sealed;   /* its index is written: the next batch rolls */
    uint32_t index_page, index_pages;
    uint64_t next_batch;
    uint64_t chain; /* the writer's, once the log is open */
    uint32_t segment_pages;

    struct segment **segments; /* in use, ascending and without gaps; the last is open */
    size_t segments_count, segments_max;
    struct segment **free;
    size_t free_count, free_max;
    uint32_t number_next;
    struct log_flight flight;
    struct log_prepare prepare;

    struct list reads;
    struct log_ahead ahead;
    struct meta meta;
};

/* log.c */
void log_add_segment(struct log *l, struct segment *s);
void log_add_free(struct log *l, struct segment *s);
void log_cache_push(struct log *l,
                    log_index i,
                    struct slice payload); /* takes the reference over */
void log_cache_cut(struct log *l, log_index from);
void log_cache_trim(struct log *l, log_index first);

/* log_writer.c */
void log_writer_init(struct log *l);
void log_writer_free(struct log *l);
void log_writer_queue(struct log *l, const struct log_op *op);
void log_writer_recycle(struct log *l, uint32_t keep_seq);

/* log_load.c: the log's state from its files, or the first files of a new one. */
NODISCARD int log_load(struct log *l);

/* log_read.c */
void log_read_cancel_all(struct log *l);
