/* js.h - what the files of this folder share: the engine, and what it keeps beside each account,
 * stream and consumer of the state. Nobody outside includes it. Thread: loop.
 *
 * Lives: a js_stream and a js_consumer hang on `engine` of the state's objects from created to
 * deleted; what is still in flight then (publishes, deliveries, acks) keeps them by a reference,
 * with stream or consumer NULL. */
#pragma once

#include "broker/auth/account.h"
#include "broker/core/router.h"
#include "broker/js/engine.h"
#include "store/base/env.h"
#include "store/base/limits.h"
#include "store/base/list.h"
#include "store/base/wheel.h"
#include "store/state/state.h"

#define JS_DELIVER_WINDOW 256 /* messages of one deliver command */
#define JS_DELIVER_FLIGHTS 8  /* deliver commands of one consumer that aren't applied yet */
#define JS_TURN_MESSAGES                                                                           \
    2048 /* local deliveries of one consumer and turn: a turn stays below 5 ms */
#define JS_TURN_BYTES MIB(1)
#define JS_PRESSURE_BYTES MIB(64) /* proposals outstanding before publishers are held */
#define JS_TICK_NS NS_PER_S       /* watchdog, re-registration */
#define JS_INACTIVE_NS (5 * (int64_t)NS_PER_S) /* ephemerals without a threshold of their own */
#define JS_NODES_MAX 16 /* nodes with interest that a push consumer looks at */
#define JS_API_LEVEL 1  /* 2.11, as cmd/version.h says */

struct js_account {
    struct engine *engine;
    struct account *account;
    struct list_node node;
    struct sub api, domain, ack, fc;
    char domain_subject[300];
};

struct js_subject {
    struct sub sub;
    struct js_stream *stream;
};
struct js_stream {
    struct engine *engine;
    struct stream *stream; /* NULL: deleted */
    struct account *account;
    uint32_t refs;
    struct list_node node, dirty;
    struct js_subject *subjects;
    size_t subject_count;
    char *subject_bytes; /* the subscriptions' own copy */
    char *name;
    struct text ack_head;  /* {"stream":"S","seq": of its PubAcks */
    struct list consumers; /* replicated ones: js_consumer.in_stream */
    bool copied;           /* another one mirrors it, or has it as a source */
    bool copying;          /* a copy into it is in flight */
    bool copy_blocked;     /* the last one was refused */
    size_t copy_at;        /* whose turn among its sources */
};

/* A deliver command that isn't applied yet. */
struct js_flight {
    struct proposal proposal;
    struct list_node node;
    struct js_consumer *consumer;
    uint64_t epoch;
    node_id target;
    uint64_t request;
    uint32_t fresh, again;
    int64_t bytes;
    stream_seq last; /* where delivered stands when it is applied */
};

/* Sequences acked in this turn, and who wants an answer. */
struct js_acks {
    stream_seq *seqs;
    size_t count, max;
    struct list replies; /* struct ack_reply */
};

/* Flow control of a push consumer, on the node that sends (9.4). */
struct js_flow {
    int64_t window, sent, asked; /* bytes; asked: what the outstanding request will free */
    uint64_t token;              /* 0: none outstanding */
};

#define JS_PIN_BYTES 22 /* of a pinned client's id */

/* The client that a consumer with pinned_client serves; id empty: none. The leader decides and
 * tells the others, who go on from there when they lead. */
struct js_pin {
    char id[JS_PIN_BYTES + 1];
    bool known;       /* there was one since this node started */
    int64_t since_ns; /* wall clock, to be shown */
    struct mono used; /* its last pull */
    struct wheel_entry timer;
};

struct js_consumer {
    struct engine *engine;
    struct consumer *consumer; /* NULL: deleted */
    struct js_stream *stream;
    uint32_t refs;
    struct list_node in_stream, dirty, in_acks;
    struct text ack_head; /* $JS.ACK.<stream>.<consumer>. */
    struct store_cursor cursor;
    bool push;

    /* who decides: the leader, or this node for a local consumer */
    struct list waiting; /* struct pull_waiting, first to be served first */
    size_t waiting_count;
    unsigned turn; /* all who wait are served once before anybody is again */
    struct list flights;
    unsigned flight_count;
    uint64_t fresh_in_flight;
    bool refused;        /* a command was refused: no picks until the others are back */
    stream_seq position; /* everything up to here is picked or passed over; 0: as delivered */
    stream_seq *again;   /* due for redelivery, ascending */
    size_t again_count, again_at, again_max;
    unsigned again_flights; /* commands with redeliveries that aren't applied yet */
    bool scan;
    struct wheel_entry redeliver, pause, idle, pace;
    struct js_pin pin;
    struct mono active;     /* last time somebody was there (inactive_threshold) */
    struct mono idle_since; /* watchdog: 0: fine */
    int64_t rate_budget;    /* bytes that rate_limit_bps allows now */
    struct mono rate_at;
    int64_t replay_ns;    /* replay original: time of the last message picked, 0: none */
    struct mono replayed; /* and when that was */
    uint32_t spread;      /* whose turn among nodes with members */

    /* this node's clients */
    struct list pulls; /* struct pull_request */
    struct js_acks acks;
    struct router_watch watch; /* push: deliver subject */
    char *watch_subject;
    bool bound; /* somebody listens, anywhere */
    struct wheel_entry heartbeat;
    struct mono sent_at;
    struct js_flow flow;
};

struct engine {
    struct engine_options o;
    struct state_watcher *watcher;
    struct list accounts, streams;
    struct wheel *wheel;
    struct env_defer turn;
    struct env_timer more, tick, expiry;
    struct list dirty_streams, dirty_consumers, dirty_acks;
    struct list again; /* consumers that ran out of their budget: next turn */
    bool started, leads, pressed, more_armed, expiry_dirty;
    bool copy_due;
    size_t copiers; /* streams with a mirror or sources */
    bool retrying;  /* a held message is being published again */
    node_id leader;
    uint64_t epoch; /* counts leaderships: flights of another one don't count any more */
    struct mono leads_since;
    int64_t clock_offset_ns; /* entry time minus our monotonic clock, as of the last entry */
    int64_t clock_seen_ns;
    uint64_t pull_last, boots;
    struct map pulls;    /* this node's pull requests by id */
    struct map waitings; /* leader: by node and id */
    struct list nodes;   /* struct engine_node: boots of peers */
    struct list publish_pool;
    size_t publish_pool_count;
    struct list reads; /* struct js_read gathered this turn */
    struct list calls; /* struct api_call in flight */
    struct list asks;  /* questions to peers in flight */
    uint64_t ask_last;
    struct list read_batches;
    struct list snapshots, restores;
    uint64_t expiry_at_ns; /* what the timer stands for; 0: not started */
    bool expiring;
    uint64_t stuck;
    uint64_t refs; /* ours, and one per proposal in flight: those may come back after engine_free */
};

/* ---- engine.c ---- */
/* Whoever has a proposal in flight holds the engine; engine_free only stops it then. */
void engine_hold(struct engine *e);
void engine_drop(struct engine *e);
/* Runs engine_turn at the end of this turn. */
void engine_wake(struct engine *e);
void engine_stream_dirty(struct js_stream *js);
void engine_consumer_dirty(struct js_consumer *jc);
/* As dirty, but in the next turn: what was cut by its budget lets I/O happen first. */
void engine_consumer_later(struct js_consumer *jc);
struct js_stream *engine_stream_ref(struct js_stream *js);
void engine_stream_release(struct js_stream *js);
struct js_consumer *engine_consumer_ref(struct js_consumer *jc);
void engine_consumer_release(struct js_consumer *jc);
/* Makes the engine's side of a consumer, replicated or local. */
struct js_consumer *engine_consumer_new(struct engine *e, struct consumer *c);
/* Ends it: statuses to waiting requests, timers off, the reference of the consumer given back. */
void engine_consumer_end(struct js_consumer *jc);
/* True when this node decides what the consumer gets. */
bool engine_decides(const struct js_consumer *jc);
/* JetStream's clock now, guessed from the last entry; and a moment of it on our own clock. */
int64_t engine_now(const struct engine *e);
struct mono engine_mono_of(const struct engine *e, int64_t entry_ns);
bool engine_clustered(const struct engine *e);
/* A message without a sender of ours: status and control messages, answers. Returns the deliveries.
 */
size_t engine_send(struct engine *e,
                   struct account *a,
                   struct text subject,
                   struct text reply,
                   struct text header,
                   struct text body);

/* A linearizable read: done runs when this node's state holds all that was acknowledged before. One
 * round serves all reads of a turn. */
struct js_read {
    struct list_node node;
    void (*done)(struct js_read *r);
};
void engine_read(struct engine *e, struct js_read *r);

/* ---- engine_accounts.c ---- */
/* All accounts that aren't yet: at the start, and when a reload brought new ones. */
void engine_accounts_open(struct engine *e);
void engine_accounts_open_one(struct engine *e, struct account *a);
void engine_accounts_close(struct js_account *ja);
/* The leader proposes what the configuration grants. */
void engine_accounts_limits(struct engine *e);

/* ---- publish.c ---- */
bool publish_deliver(struct sub *s, const struct message *m);
void publish_pool_free(struct engine *e);
void publish_pressure(struct engine *e);

/* ---- republish.c ---- */
void republish_send(struct js_stream *js, const struct state_republish *r);

/* ---- copy.c: mirrors and sources ---- */
void copy_turn(struct engine *e);
void copy_wake(struct engine *e);
void copy_tick(struct engine *e);
/* Streams came, changed or went. */
void copy_refresh(struct engine *e);

/* ---- snapshot_send.c, restore.c: the engine stops ---- */
void snapshot_send_free(struct engine *e);
void restore_free(struct engine *e);

/* ---- direct.c ---- */
/* A message to $JS.API.DIRECT.GET. False: no such stream, or it doesn't allow it: no responders. */
bool direct_deliver(struct js_account *ja, const struct message *m, struct text rest);

/* ---- pull.c: this node's clients ---- */
bool pull_deliver(struct js_account *ja, const struct message *m, struct text rest);
/* +NXT: a request like any other. */
void pull_request(struct js_consumer *jc, struct account *a, struct text inbox, struct text body);
void pull_end_all(struct js_consumer *jc, struct text status);
void pull_leader_changed(struct js_consumer *jc);
void pull_tick(struct js_consumer *jc);
struct pull_request *pull_find(struct engine *e, uint64_t id);
/* A picked message for this request is on its way to the client; inbox empty: nobody is there any
 * more. */
struct text pull_inbox(struct pull_request *p, struct account **account);
/* The id that a message for this request carries when its consumer pins clients; room of
 * JS_PIN_BYTES + 1. */
struct text pull_pin(const struct pull_request *p, char *room);
void pull_sent(struct pull_request *p, int64_t bytes, const struct state_item *item);
/* The leader ended the request, after `sent` messages in all. */
void pull_status(struct engine *e, uint64_t id, int code, uint64_t sent);

/* ---- pin.c: priority groups that pin one client ---- */
bool pin_used(const struct js_consumer *jc); /* does this consumer pin? */
/* The id that the client behind this request gets when it is pinned; room of JS_PIN_BYTES + 1. */
struct text pin_of(node_id node, uint64_t request, char *room);
void pin_set(struct js_consumer *jc, struct text id);
void pin_drop(struct js_consumer *jc, const char *reason);
void pin_touch(struct js_consumer *jc);
void pin_lead(struct js_consumer *jc);
/* The leader's word. */
void pin_told(struct js_consumer *jc, struct text id, int64_t since_ns);
void pin_timer(struct wheel_entry *w);

/* ---- push.c ---- */
void push_open(struct js_consumer *jc);
void push_close(struct js_consumer *jc);
/* The nodes that have somebody on the deliver subject. */
size_t push_nodes(const struct js_consumer *jc, struct router_node *out, size_t max);
bool push_bound(const struct js_consumer *jc);
/* Which node gets the next messages, and at most how many of `count`. 0: nobody. */
node_id push_target(struct js_consumer *jc, uint64_t count, uint64_t *share, uint64_t *request);
void push_sent(struct js_consumer *jc, int64_t bytes, const struct state_item *item);
bool push_stalled(const struct js_consumer *jc);
bool push_fc_deliver(struct js_account *ja, const struct message *m);
/* How many bytes rate_limit_bps allows now; INT64_MAX: no limit. When it is 0, jc is woken later.
 */
int64_t push_rate(struct js_consumer *jc);

/* ---- local_consumer.c ---- */
struct consumer_config;
/* True when a consumer like this lives on its client's node only. */
bool local_consumer_wanted(const struct stream *s, const struct consumer_config *config);
/* Takes over config. */
struct js_consumer *local_consumer_new(struct js_stream *js, struct consumer_config *config);
void local_consumer_delete(struct js_consumer *jc);
struct consumer *local_consumer_find(const struct stream *s, struct text name);
void local_consumer_end_all(struct js_stream *js);

/* ---- ack.c ---- */
bool ack_deliver(struct js_account *ja, const struct message *m);
void ack_flush(struct js_consumer *jc);
void ack_free(struct js_consumer *jc);
/* Messages that couldn't be handed to anybody come back soon. */
void ack_undeliverable(struct js_consumer *jc, const struct state_item *items, size_t count);

/* ---- redeliver.c ---- */
void redeliver_timer(struct wheel_entry *w);
/* Looks through pending for what is due; arms the timer for the next. */
void redeliver_scan(struct js_consumer *jc);
void redeliver_reset(struct js_consumer *jc);
void redeliver_delivered(struct js_consumer *jc, const struct state_item *items, size_t count);

/* ---- clockwork.c: the leader's clockwork ---- */
void clockwork_arm(struct engine *e);
void clockwork_timer(struct env_timer *t);
void clockwork_idle(struct wheel_entry *w);
/* Starts or moves the deadline after which a consumer that nobody uses is deleted. */
void clockwork_idle_arm(struct js_consumer *jc);

/* ---- advisory.c ---- */
void advisory_stream(struct engine *e,
                     const struct stream *s,
                     const char *subject,
                     const char *action);
void advisory_consumer(struct engine *e,
                       const struct consumer *c,
                       const char *subject,
                       const char *action);
void advisory_max_deliver(struct js_consumer *jc, stream_seq seq, uint32_t deliveries);
void advisory_nak(struct js_consumer *jc, const struct consumer_pending *p);
void advisory_terminated(struct js_consumer *jc,
                         stream_seq seq,
                         uint64_t cseq,
                         uint32_t deliveries,
                         struct text reason);
/* reason NULL: somebody was pinned. */
void advisory_pin(struct js_consumer *jc, const char *reason);
void advisory_pause(struct js_consumer *jc);
/* A sampled ack's figures (9.5). */
void advisory_ack(struct js_consumer *jc, const struct consumer_pending *p);
void advisory_api(struct engine *e,
                  struct account *a,
                  struct text subject,
                  struct text request,
                  struct text response);

/* ---- watchdog.c ---- */
void watchdog_check(struct engine *e);

/* ---- engine_frames.c: FRAME_ENGINE between nodes ---- */
struct pull_registration {
    uint32_t consumer;
    uint64_t id;
    int64_t batch, bytes; /* still to come; bytes 0: no limit */
    uint64_t sent;        /* so far */
    bool no_wait, has_expires, has_heartbeat;
    int64_t min_pending, min_ack_pending;
    uint8_t priority;
    struct text pin; /* the client's; empty: none */
};
void engine_frames_start(struct engine *e);
void engine_frames_free(struct engine *e);
void engine_frames_tick(struct engine *e);
void engine_frames_pull(struct engine *e, const struct pull_registration *r);
void engine_frames_pull_end(struct engine *e, uint32_t consumer, uint64_t id);
void engine_frames_status(struct engine *e, node_id node, uint64_t id, int code, uint64_t sent);
void engine_frames_stepdown(struct engine *e);
void engine_frames_leads(struct engine *e);
void engine_frames_pin(struct js_consumer *jc);   /* to all peers: who is pinned now */
void engine_frames_unpin(struct js_consumer *jc); /* to the leader */
/* An API request that concerns a local consumer somewhere else: all peers are asked, done once.
 * answer empty: nobody has it. */
struct engine_ask {
    struct list_node node;
    uint64_t id;
    unsigned missing;
    struct wheel_entry timeout;
    struct engine *engine;
    void (*done)(struct engine_ask *a, struct text answer);
};
void engine_frames_ask(struct engine *e,
                       struct engine_ask *a,
                       struct account *account,
                       struct text subject,
                       struct text body);
/* 0: not known, don't send there. */
uint64_t engine_frames_boots(const struct engine *e, node_id node);
