/* state_world.h - a state machine on a store in memory, driven command by command: each call is one
 * entry with one batch, and says what it came to. All entries are kept, so that a crash can be
 * followed by a replay. */
#pragma once

#include "store/state/state.h"
#include "tests/lib/mem_kv.h"

#define WORLD_ENTRIES_MAX 20000

struct state_world {
    struct env *env;
    struct mem_kv *kv;
    struct store *store;
    struct state *state;
    struct state_watcher watcher;
    int64_t now_ns;
    uint64_t number;                             /* of the origin's last batch */
    struct slice entries[WORLD_ENTRIES_MAX + 1]; /* by index */
    log_index last;
    bool flushing;
    /* the last result, and what the watcher heard since state_world_forget */
    struct apply_result result;
    char detail[512];
    uint32_t created_stream, created_consumer;
    uint64_t batches, results, appended, removed, deleted, delivered, acked, terminated;
    struct state_item items[1000];
    size_t item_count;
    node_id target;
    uint64_t request;
};

void state_world_open(struct state_world *w);
void state_world_close(struct state_world *w);
void state_world_forget(struct state_world *w);
/* Makes all that was applied durable. */
void state_world_flush(struct state_world *w);
/* Loses what wasn't flushed, opens again and applies the entries since. */
void state_world_crash(struct state_world *w);

/* One entry from commands written with entry_put_*. */
void state_world_apply(struct state_world *w, struct writer *commands);
/* The same as a batch of another origin, not necessarily its next. */
void state_world_apply_as(struct state_world *w,
                          node_id node,
                          uint64_t incarnation,
                          uint64_t number,
                          struct writer *commands);

/* ---- commands, with account "A"; the result is in w->result ---- */
struct stream *state_world_stream(struct state_world *w, const char *json);
enum js_error state_world_update(struct state_world *w, const char *json);
enum js_error
state_world_publish(struct state_world *w, struct stream *s, struct command_publish c);
/* Subject and body only. Returns the sequence; 0 when refused. */
stream_seq
state_world_put(struct state_world *w, struct stream *s, const char *subject, const char *body);
uint64_t state_world_purge(struct state_world *w, struct stream *s, struct command_purge c);
enum js_error state_world_delete(struct state_world *w, struct stream *s, stream_seq seq);
/* NULL when refused. */
struct consumer *state_world_consumer(struct state_world *w, struct stream *s, const char *json);
enum js_error
state_world_consumer_as(struct state_world *w, struct stream *s, struct command_consumer c);
/* Fresh deliveries from..to. */
enum js_error
state_world_deliver(struct state_world *w, struct consumer *c, stream_seq from, stream_seq to);
enum js_error state_world_redeliver(struct state_world *w, struct consumer *c, stream_seq seq);
uint64_t
state_world_ack(struct state_world *w, struct consumer *c, enum ack_kind kind, stream_seq seq);
uint64_t state_world_expire(struct state_world *w, struct stream *s, uint64_t max);
