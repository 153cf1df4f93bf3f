/* state.h - the replicated state: accounts -> streams -> consumers, and the origins' last batch
 * numbers.
 *
 * A pure function of the entries applied: no clock, no random, no local config. What entries decide
 * comes out through the watcher, in order, while state_apply runs; the watcher must not change the
 * state. */
#pragma once

#include "store/base/map.h"
#include "store/base/units.h"
#include "store/state/consumer.h"
#include "store/state/entry.h"
#include "store/state/js_errors.h"
#include "store/state/stream.h"
#include "store/store.h"

struct state;

/* What one command came to. Valid for the call. */
struct apply_result {
    enum js_error error;
    const char *detail; /* for error texts with %s; "" otherwise */
    uint64_t seq;       /* publish: sequence (also of the original when duplicate) */
    uint64_t count;     /* purged, removed, acked */
    bool duplicate, created;
    struct stream *stream;     /* create, update */
    struct consumer *consumer; /* create, update */
};

struct state_item {
    stream_seq sseq;
    uint64_t cseq;
    uint32_t deliveries; /* 1: first time */
    uint64_t
        pending; /* consumer's num_pending behind this message: the last token of the ack subject */
};
struct state_delivery {
    node_id target;
    uint64_t request;
    const struct state_item *items;
    size_t count;
};

/* What a stream republishes when a message was stored. */
struct state_republish {
    struct text to;
    const struct store_msg *msg;
    stream_seq before; /* the subject's message before this one; 0: none */
};

/* All members are called on the loop, inside state_apply. */
struct state_watcher {
    /* A batch of this origin was applied (or refused as a repeat: then never). result per command,
     * in order. */
    void (*batch)(void *ctx, node_id origin, uint64_t incarnation, uint64_t number);
    void (*result)(void *ctx, const struct apply_result *r);
    void (*batch_done)(void *ctx);
    void *origin_ctx; /* the ctx of the three above: the proposer; the rest is the engine's */
    void (*stream_created)(void *ctx, struct stream *s);
    void (*stream_updated)(void *ctx, struct stream *s);
    void (*stream_deleted)(void *ctx,
                           struct stream *s); /* before its memory goes; consumers first */
    void (*appended)(void *ctx, struct stream *s, const struct store_msg *m);
    /* behind appended, for streams that republish */
    void (*republish)(void *ctx, struct stream *s, const struct state_republish *r);
    void (*removed)(void *ctx,
                    struct stream *s); /* some messages went: by limit, ack, delete or purge */
    void (*consumer_created)(void *ctx, struct consumer *c);
    void (*consumer_updated)(void *ctx, struct consumer *c);
    void (*consumer_deleted)(void *ctx, struct consumer *c);
    void (*delivered)(void *ctx, struct consumer *c, const struct state_delivery *d);
    void (*acked)(void *ctx, struct consumer *c, enum ack_kind kind, stream_seq seq);
    void (*terminated)(void *ctx,
                       struct consumer *c,
                       stream_seq seq,
                       uint64_t cseq,
                       uint32_t deliveries,
                       struct text reason);
    void *ctx;
};

struct state_options {
    struct env *env; /* only handed on to the store */
    struct store *store;
    struct store_at at;
    const struct state_watcher *watcher;
};
/* Loads all streams and consumers from the store's rows. E_CORRUPT with a log line. */
NODISCARD int state_open(const struct state_options *o, struct state **out);
void state_close(struct state *s);

/* Applies one committed entry. The bytes lie in payload, which is kept by reference where messages
 * need it. An entry that can't be decoded is FATAL. */
void state_apply(struct state *s, log_index index, log_term term, struct slice payload);
/* An entry without commands (barrier, configuration): only the applied index moves. */
void state_pass(struct state *s, log_index index, log_term term);
struct store_at state_at(const struct state *s);
/* Starts a flush of all that changed (store_flush). done on the loop. E_BUSY. */
NODISCARD int state_flush(struct state *s, void (*done)(void *ctx, struct store_at at), void *ctx);
/* A rolling digest of outcomes, equal on all replicas at the same index. */
uint64_t state_digest(const struct state *s);
/* The time of the last entry: JetStream's clock. */
struct entry_time state_now(const struct state *s);
/* The last batch number applied of an origin; 0: none. */
uint64_t state_origin_number(const struct state *s, node_id node, uint64_t incarnation);

/* ---- look-ups ---- */
struct stream *state_stream(struct state *s, struct text account, struct text name);
struct stream *state_stream_by_id(struct state *s, uint32_t id);
struct consumer *state_consumer_by_id(struct state *s, uint32_t id);
/* The stream whose subjects capture this literal subject; NULL. */
struct stream *state_stream_capturing(struct state *s, struct text account, struct text subject);
/* Streams of an account in name order. Start with at = NULL; NULL ends. */
struct stream *state_stream_next(struct state *s, struct text account, struct stream *at);
struct state_account_counts {
    uint64_t memory_bytes, storage_bytes, streams, consumers;
};
struct state_account_counts state_account_counts(struct state *s, struct text account);
/* The logged limits of an account; all -1 when none were. */
struct account_limits state_account_limits(const struct state *s, struct text account);
/* When the next message of any stream is due to expire by max_age, TTL; INT64_MAX: never. Leader
 * only asks. */
int64_t state_expiry_due(struct state *s, uint32_t *stream);
