/* consumer.h - one consumer: config, what was delivered, what is pending.
 *
 * Two kinds share this struct: replicated consumers, changed by apply only; and consumers of this
 * node's clients that hold no replicated state (ack none on a limits stream: ordered consumers,
 * watchers), changed by broker/js/local_consumer.c through the same functions. */
#pragma once

#include "store/base/json_out.h"
#include "store/base/list.h"
#include "store/base/slice.h"
#include "store/base/units.h"
#include "store/state/stream.h"

enum deliver_policy {
    DELIVER_ALL,
    DELIVER_LAST,
    DELIVER_NEW,
    DELIVER_BY_START_SEQUENCE,
    DELIVER_BY_START_TIME,
    DELIVER_LAST_PER_SUBJECT
};
enum ack_policy { ACK_POLICY_NONE, ACK_POLICY_ALL, ACK_POLICY_EXPLICIT };
/* Priority groups: who among the waiting requests is served. */
enum priority_policy { PRIORITY_NONE, PRIORITY_OVERFLOW, PRIORITY_PINNED, PRIORITY_PRIORITIZED };
enum replay_policy { REPLAY_INSTANT, REPLAY_ORIGINAL };

/* JetStream's ConsumerConfig, section 8.1; consumer_fields.c holds its table. */
struct consumer_config {
    struct text durable_name, name, description, deliver_subject, deliver_group, sample_freq;
    int deliver_policy, ack_policy, replay_policy;
    uint64_t opt_start_seq;
    int64_t opt_start_time_ns; /* INT64_MIN: not set */
    int64_t ack_wait_ns, max_deliver, max_ack_pending, max_waiting, rate_limit_bps;
    int64_t idle_heartbeat_ns, inactive_threshold_ns, num_replicas;
    int64_t max_batch, max_expires_ns, max_bytes, pause_until_ns;
    int64_t *backoff_ns;
    size_t backoff_count;
    struct text *filters; /* filter_subject or filter_subjects */
    size_t filter_count;
    bool filters_plural;        /* given as filter_subjects */
    struct text filter_subject; /* as given; readers use filters */
    struct text *filter_subjects;
    size_t filter_subject_count;
    bool flow_control, headers_only, mem_storage, direct;
    struct text metadata; /* JSON as given, "" when absent */
    int priority_policy;
    struct text *priority_groups;
    size_t priority_group_count;
    int64_t priority_timeout_ns;
    void *arena;
};

struct consumer_pending {
    stream_seq sseq;
    uint64_t cseq;       /* of the latest delivery */
    uint64_t first_cseq; /* of the first: what the ack floor counts by */
    uint32_t deliveries;
    int64_t time_ns;  /* entry time of the latest delivery, NAK or progress */
    int64_t delay_ns; /* NAK with delay: due at time + delay; -1: ack_wait or backoff applies; 0: at
                         once */
};

struct consumer {
    uint32_t id;
    bool local;
    struct stream *stream;
    struct list_node in_stream;
    struct text name;
    struct consumer_config config;
    int64_t created_ns;
    struct {
        uint64_t cseq;
        stream_seq sseq;
        int64_t last_ns; /* 0: never */
    } delivered, ack_floor;
    uint64_t num_pending;             /* matching, not delivered for the first time */
    uint64_t redelivered;             /* pending ones with deliveries > 1 */
    struct consumer_pending *pending; /* ascending by sseq, dense array */
    size_t pending_count, pending_max;
    struct consumer_pending
        *pending_base; /* where the array was allocated; pending moves through it */
    stream_seq
        *last_per_subject; /* still to be delivered before live messages, ascending; then resume */
    size_t last_count, last_at;
    stream_seq resume;
    bool dirty;      /* apply's: its row must be written */
    bool list_saved; /* apply's: last_per_subject has its row */
    struct list_node dirty_node;
    void *engine; /* the watcher's */
};

/* ---- config (consumer_fields.c): as stream_config_* ---- */
NODISCARD int consumer_config_decode(struct text json,
                                     const struct stream_config *stream,
                                     struct consumer_config *out,
                                     struct config_error *error);
NODISCARD int consumer_config_read(struct text json, struct consumer_config *out);
void consumer_config_encode(const struct consumer_config *c, struct json_out *j, const char *key);
void consumer_config_show(const struct consumer_config *c,
                          struct json_out *j,
                          const char *key,
                          const char *version,
                          int level);
/* The name it has: name, else durable_name. */
static inline struct text consumer_config_name(const struct consumer_config *c)
{
    return c->name.bytes != 0 ? c->name : c->durable_name;
}
bool consumer_config_equal(const struct consumer_config *a, const struct consumer_config *b);
NODISCARD int consumer_config_update_check(const struct consumer_config *from,
                                           const struct consumer_config *to,
                                           struct config_error *error);
void consumer_config_free(struct consumer_config *c);

/* ---- life: for apply, and for consumers of this node only ---- */
/* Takes the config. The caller sets id, links it into a list of the stream and places it. */
struct consumer *consumer_new(struct stream *s, struct consumer_config *config, int64_t now_ns);
void consumer_free(struct consumer *c);

/* ---- position and pending ----
 * apply tells all consumers of a stream, also the local ones, what was appended and removed, before
 * the watcher hears of it; a local consumer's owner calls only what deals with deliveries. */
/* Places a new consumer at its start (deliver policy) and counts num_pending. */
void consumer_place(struct consumer *c);
/* Counts num_pending anew: after its filters changed. */
void consumer_recount(struct consumer *c);
bool consumer_matches(const struct consumer *c, struct text subject);
/* The next message for a first delivery, not changing anything. `after` continues behind a message
 * that was picked but isn't applied yet (0: behind delivered). E_NOTFOUND: none now; E_AGAIN:
 * scanned enough, call again with after = *scanned; *scanned: all up to there is passed over.
 * E_CORRUPT: a block is damaged. */
NODISCARD int consumer_next(struct consumer *c,
                            stream_seq after,
                            struct store_cursor *cursor,
                            stream_seq *scanned,
                            struct store_msg *out);
/* Records a first delivery; with ack none nothing becomes pending. Returns its consumer sequence.
 */
uint64_t consumer_deliver(struct consumer *c, stream_seq sseq, int64_t now_ns);
/* What lies up to `to` is passed over: nothing of it matches, or it is gone. */
void consumer_skip(struct consumer *c, stream_seq to);
/* Records another delivery of a pending message. */
uint64_t consumer_redeliver(struct consumer *c, struct consumer_pending *p, int64_t now_ns);
struct consumer_pending *consumer_find(struct consumer *c, stream_seq sseq); /* NULL: not pending */
/* Was acked, given up or left the stream: leaves pending, moves the floor. True if it was pending.
 */
bool consumer_settle(struct consumer *c, stream_seq sseq);
/* The same for all up to sseq; how many were pending. */
size_t consumer_settle_upto(struct consumer *c, stream_seq sseq);
/* Does it still want this message: not delivered yet, or pending? */
bool consumer_needs(struct consumer *c, stream_seq sseq, struct text subject);
/* Would consumer_removed need the subject to count right? */
bool consumer_needs_subject(const struct consumer *c, stream_seq sseq);
/* Accounting for a message that was appended to or removed from the stream (settled, if it was
 * pending). True when the consumer changed. */
bool consumer_appended(struct consumer *c, struct text subject);
bool consumer_removed(struct consumer *c, stream_seq sseq, struct text subject);
