/* pull_queue.h - the waiting pull requests of a consumer, where its deliveries are decided: on the
 * leader, or on the only node of a local consumer. First come first served, in turns. Thread: loop.
 * The client's own node holds the request itself (pull.c) and tells of it; a status goes back
 * there. */
#pragma once

#include "broker/js/js.h"

#define PULL_ID_BITS 40 /* a request's id: boots of its node above, a count below */

enum pull_end {
    PULL_GONE, /* nothing to tell: its node ended it */
    PULL_NO_MESSAGES,
    PULL_TOO_BIG,
    PULL_MAX_WAITING,
    PULL_PENDING,      /* no_wait, while earlier requests will take all there is */
    PULL_PIN_MISMATCH, /* another client is pinned */
    PULL_PIN_LOST,     /* its client isn't pinned any more */
    PULL_ENDS
};

struct pull_waiting {
    struct list_node node_in_consumer;
    struct js_consumer *consumer;
    node_id node;
    uint64_t id;
    int64_t batch, bytes;     /* left */
    uint64_t sent, in_flight; /* applied; picked and not yet applied */
    bool bytes_limited, no_wait, has_expires, has_heartbeat;
    unsigned turn; /* of the consumer, when it was last served */
    bool ended;    /* waits only for what is in flight */
    enum pull_end end;
    int64_t min_pending, min_ack_pending;
    uint8_t priority;
    char pin[JS_PIN_BYTES + 1]; /* the pinned client's id; empty: anybody */
    struct mono seen;           /* registered again by a remote node */
};

/* A node tells of a request of a client of its own; again after a change of leader and now and
 * then. */
void pull_queue_add(struct js_consumer *jc, node_id node, const struct pull_registration *r);
void pull_queue_remove(struct engine *e, node_id node, uint64_t id);
/* The next one to be served; *share: at most so many for it now. NULL: nobody waits. */
struct pull_waiting *pull_queue_next(struct js_consumer *jc, uint64_t available, uint64_t *share);
void pull_queue_picked(struct pull_waiting *w, uint64_t count, int64_t bytes);
/* Local: sent at once. May free w. */
void pull_queue_sent(struct pull_waiting *w, uint64_t count);
/* A deliver command is back. */
void pull_queue_result(struct engine *e, const struct js_flight *f, bool refused);
/* Ends it, with a status once what is in flight is applied. May free w. */
void pull_queue_finish(struct pull_waiting *w, enum pull_end end);
/* Nothing more can be served in this turn: no_wait requests end. */
void pull_queue_settle(struct js_consumer *jc);
/* Is somebody there who could be served now? */
bool pull_queue_wanted(const struct js_consumer *jc);
/* A request of the pinned client waits. */
bool pull_queue_pinned(const struct js_consumer *jc);
/* Nobody is pinned any more: requests of who was end. */
void pull_queue_unpin(struct js_consumer *jc);
void pull_queue_clear(struct js_consumer *jc);
void pull_queue_tick(struct js_consumer *jc);
/* Header of the status; NULL: none. Those with counts get theirs added by pull.c. */
const char *pull_queue_text(enum pull_end end);
