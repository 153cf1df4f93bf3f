/* apply.h - the inside of the state machine: what only store/state/ sees. state.h is its face.
 *
 * An entry comes in at state_apply, apply_batch takes its commands one by one through a table, and
 * each family has its file. What a command changes is marked dirty and written by rows.c at the
 * next flush. */
#pragma once

#include "store/state/dedup.h"
#include "store/state/expiry.h"
#include "store/state/state.h"
#include "store/state/transform.h"

struct account {
    uint32_t id;
    struct text name; /* owned */
    struct account_limits limits;
    struct stream **streams; /* by name */
    size_t stream_count, stream_max;
    uint64_t consumers;
    /* Kept up to date only while `counted`: a byte limit needs it at each publish. */
    uint64_t memory_bytes, storage_bytes;
    bool counted;
    struct list_node dirty;
};

struct origin {
    node_id node;
    uint64_t incarnation, number;
    struct list_node dirty;
};

/* What a publish must look at, so that a stream without it pays nothing. */
enum stream_check {
    CHECK_SEALED = 1,
    CHECK_MSG_SIZE = 2,
    CHECK_DISCARD_NEW = 4,
    CHECK_LIMITS = 8, /* remove what is too much afterwards */
    CHECK_INTEREST = 16,
    CHECK_AGE = 32,
    CHECK_ACCOUNT = 64,
    CHECK_TRANSFORM = 128,
    CHECK_REPUBLISH = 256,
};

/* A mirror's or a source's place in its origin. */
struct source_apply {
    uint32_t origin;   /* id of the stream that seq belongs to; 0: none yet */
    stream_seq seq;    /* all up to here is copied or passed over */
    int64_t active_ns; /* of the last copy; 0: never */
    struct text *filters;
    struct transform **transforms; /* NULL in it: only a filter */
    size_t filter_count, transform_count;
};

struct stream_apply {
    struct stream *stream;
    struct account *account;
    uint32_t checks; /* enum stream_check */
    struct dedup dedup;
    struct expiry expiry;
    stream_seq age_from; /* all below never expires by age: gone, or with a TTL of never */
    int64_t due_ns;      /* earliest expiry, perhaps too early */
    size_t due_at;       /* place in the queue + 1; 0: not in it */
    char *last_msg_id;   /* of the last message; last_msg_id_bytes 0: it had none */
    size_t last_msg_id_bytes, last_msg_id_max;
    struct transform *transform, *republish;
    struct source_apply *sources;
    size_t source_count;
    bool restoring; /* fills from a backup */
    bool removed;   /* tell the watcher behind this command */
    struct list_node dirty;
};

struct state {
    struct store *store;
    const struct state_watcher *watcher;
    struct store_at at;
    int64_t now_ns;
    uint64_t digest;
    uint32_t next_account, next_stream, next_consumer;
    struct map accounts;  /* by name */
    struct map streams;   /* by id */
    struct map consumers; /* by id */
    struct map origins;   /* by node */
    struct list dirty_accounts, dirty_streams, dirty_consumers, dirty_origins;
    struct writer gone_rows; /* keys to delete: u16 length, bytes */
    struct expiry_queue due;
    struct store_cursor cursor; /* apply's own reads */
    struct state_item *items;   /* of a delivery */
    size_t items_max;
    char detail[512]; /* of the result at hand */
    bool flushing;
    void (*flush_done)(void *ctx, struct store_at at);
    void *flush_ctx;
};

/* One entry's command on its way through apply. */
struct apply {
    struct state *state;
    struct slice payload; /* the whole entry: what messages refer to */
    uint32_t stream;      /* id of the one stream that a command touches; 0: none yet */
    struct apply_result result;
};

/* ---- apply.c ---- */
/* Ends the node: the log holds what this version can't understand, or the disk lost what it needs.
 */
_Noreturn void apply_undecodable(const struct state *s, const char *what);
void apply_read(int rc); /* a read in apply may say 0 or E_NOTFOUND; else the disk is damaged */
int apply_fail(struct apply *a, enum js_error error, const char *fmt, ...) PRINTF_LIKE(3, 4);
int apply_refuse(struct apply *a, enum js_error error); /* its text takes no detail */
void apply_config_error(struct apply *a, const struct config_error *error);
/* The command's stream; NULL: the result says so already. */
struct stream *apply_stream(struct apply *a, uint32_t id);
struct consumer *apply_consumer(struct apply *a, uint32_t stream, uint32_t id);
void apply_dirty_stream(struct stream *s);
void apply_dirty_consumer(struct consumer *c);
void apply_dirty_account(struct state *s, struct account *account);
void apply_counted(struct stream *s, uint64_t bytes_before, uint64_t bytes_after);

/* ---- apply_remove.c: messages that leave a stream ---- */
/* False: it wasn't there. subject NULL: read when a consumer needs it. */
bool apply_remove(struct stream *s, stream_seq seq, const struct text *subject);
/* All below seq; how many. */
uint64_t apply_remove_below(struct stream *s, stream_seq seq);
/* All that matches the filter in [from, below), at most max. */
uint64_t apply_remove_matching(struct stream *s,
                               struct text filter,
                               stream_seq from,
                               stream_seq below,
                               uint64_t max);
/* Acked by one consumer, or no longer of interest to one that is gone: work queues drop it,
 * interest streams do when nobody else needs it. */
void apply_release(struct stream *s, stream_seq seq);
/* The same for all that lies in [from, last] and matches a filter (count 0: any). */
void apply_release_range(struct stream *s,
                         stream_seq from,
                         const struct text *filters,
                         size_t count);

/* ---- commands ---- */
void apply_publish(struct apply *a, struct reader fields);
void apply_stream_create(struct apply *a, struct reader fields);
void apply_stream_update(struct apply *a, struct reader fields);
void apply_stream_delete(struct apply *a, struct reader fields);
void apply_stream_purge(struct apply *a, struct reader fields);
void apply_stream_msg_delete(struct apply *a, struct reader fields);
void apply_stream_account_limits(struct apply *a, struct reader fields);
void apply_consumer_create(struct apply *a, struct reader fields);
void apply_consumer_delete(struct apply *a, struct reader fields);
void apply_consumer_pause(struct apply *a, struct reader fields);
void apply_consumer_deliver(struct apply *a, struct reader fields);
void apply_consumer_ack(struct apply *a, struct reader fields);
void apply_clock_expire(struct apply *a, struct reader fields);
void apply_copy(struct apply *a, struct reader fields);
void apply_restore(struct apply *a, struct reader fields);

/* ---- apply_stream.c ---- */
/* May it be made? Else the result says why not. */
int apply_stream_check(struct apply *a, struct text account, const struct stream_config *config);
/* Takes the config. The watcher hears of it from the caller. */
struct stream *
apply_stream_make(struct state *state, struct text account, struct stream_config *config);
/* With its consumers and messages; s is gone. */
void apply_stream_drop(struct state *state, struct stream *s);
/* Takes the config, and removes what it doesn't allow. */
void apply_stream_change(struct stream *s, struct stream_config *config);
/* Counts the account's bytes anew: when its limits came, and at start-up. */
void apply_stream_recount(struct account *account);
/* ---- apply_publish.c ---- */
/* Removes what the stream's limits don't allow, at most max messages; how many. */
uint64_t apply_publish_enforce(struct stream *s, uint64_t max);
bool apply_publish_over_limits(struct stream *s);
/* The limit per subject alone. */
void apply_publish_enforce_subject(struct stream *s, struct text subject);
/* The oldest messages of a literal subject go until at most `keep` are left. */
void apply_publish_keep(struct stream *s, struct text subject, uint64_t keep);
/* Whatever the limits don't allow once a message of this subject came. */
void apply_publish_trim(struct stream *s, struct text subject);
/* May a message of that size come? Else the result says why not. */
int apply_publish_fits(struct apply *a, struct stream *s, const struct store_msg *m);
/* Stores a message (m->seq is set, and m->time_ns when it was 0; seq stays 0 when nobody is
 * interested) and tells everybody. Returns the sequence that was used. */
stream_seq
apply_publish_store(struct stream *s, struct store_msg *m, struct slice owner, int64_t ttl_ns);
/* ---- apply_copy.c ---- */
/* The config changed: places in sources that stay are kept. */
void apply_copy_configure(struct stream *s, const struct stream_config *was);
void apply_copy_free(struct stream_apply *apply);
/* ---- apply_consumer.c ---- */
void apply_consumer_drop(struct state *s, struct consumer *c);
/* ---- apply_clock.c ---- */
/* When a span of at least 0 that began at time_ns is over; a client's config may ask for 292 years,
 * so what lies beyond the last time that can be told is never: INT64_MAX. */
int64_t apply_clock_after(int64_t time_ns, int64_t span_ns);
/* As store_seq_at, but damage at that place ends the node: replicas must find the same. */
stream_seq apply_clock_seq_at(struct stream *s, int64_t ns);
/* The stream's deadline may have come nearer. */
void apply_clock_due(struct stream *s, int64_t due_ns);
/* Works its deadline out anew. */
void apply_clock_refresh(struct stream *s);

/* ---- stream.c ---- */
/* Takes the config. store is set by the caller. */
struct stream *stream_new(struct state *state,
                          struct account *account,
                          uint32_t id,
                          struct stream_config *config,
                          int64_t created_ns);
void stream_free(struct stream *s);
/* Takes the config; works out what a publish must check. */
void stream_configure(struct stream *s, struct stream_config *config);

/* ---- state.c ---- */
struct account *state_account(const struct state *s, struct text name);
struct account *state_account_new(struct state *s, uint32_t id, struct text name);
void state_link_stream(struct state *s, struct stream *stream);
void state_unlink_stream(struct state *s, struct stream *stream);
void state_link_consumer(struct state *s, struct consumer *c);
void state_unlink_consumer(struct state *s, struct consumer *c);

#define WATCH(state, member, ...)                                                                  \
    do {                                                                                           \
        const struct state_watcher *watcher_ = (state)->watcher;                                   \
        if (watcher_ != NULL && watcher_->member != NULL)                                          \
            watcher_->member(watcher_->ctx, ##__VA_ARGS__);                                        \
    } while (0)
/* The three that tell the proposer. */
#define WATCH_ORIGIN(state, member, ...)                                                           \
    do {                                                                                           \
        const struct state_watcher *watcher_ = (state)->watcher;                                   \
        if (watcher_ != NULL && watcher_->member != NULL)                                          \
            watcher_->member(watcher_->origin_ctx, ##__VA_ARGS__);                                 \
    } while (0)
