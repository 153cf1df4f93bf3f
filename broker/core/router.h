/* router.h - subscriptions of one node, and messages to them. Each account has a trie of its own.
 *
 * Clients, the JetStream engine and other nodes subscribe alike: a subscription has a deliver function.
 * Peers' interest (per subject, queue, count) is here too, so one look-up finds all. Thread: loop. */
#pragma once

#include "broker/auth/account.h"
#include "store/base/list.h"
#include "store/base/slice.h"
#include "store/base/units.h"

struct router;
struct conn; /* broker/client/conn.h */
struct env;

/* A message on its way. Texts are borrowed for the call; owner, when set, is what header and body lie in: whoever
 * keeps them takes a reference. header: the whole block with NATS/1.0 and its blank line; empty: none. */
struct message {
    struct account *account;
    struct text subject, reply;
    struct text header, body;
    struct slice owner;
    struct conn *from;     /* publishing connection; NULL: inside */
    struct text deliver;   /* JetStream: route by this subject, show `subject`; empty: same */
};

/* Internal ones aren't told to peers and see nothing that a peer relays: every node has its own. A system
 * one is a service that each node runs and that all must hear ($SYS.REQ): told to peers like a client's. */
enum sub_kind { SUB_CLIENT, SUB_INTERNAL, SUB_SYSTEM };
struct sub {
    struct account *account;
    struct text subject, queue; /* owned by the subscriber; queue empty: none */
    enum sub_kind kind;
    struct conn *conn;          /* SUB_CLIENT */
    /* True: delivered. False: couldn't (closed, over its limit): a queue tries another member. It may
     * subscribe, unsubscribe (itself, others), publish and close connections. */
    bool (*deliver)(struct sub *s, const struct message *m);
    void *owner;
    struct list_node in_conn;
    uint64_t sid_msgs, max_msgs; /* delivered; UNSUB max, 0: none */
    void *trie; /* router's own */
    uint32_t trie_index;
};

struct router_options {
    struct env *env;
    node_id self;
    /* Interest of this node changed: (account, subject, queue) now has count members (0: gone). Without a queue
     * only coming (1) and going (0) are told. Called at once, before the change can cause a relayed message. */
    void (*interest)(void *ctx, struct account *a, struct text subject, struct text queue, uint32_t count);
    /* A message for a peer: once per peer. queues: the queue groups it must serve there (one member each); plain:
     * its plain subscriptions too. */
    void (*relay)(void *ctx, node_id peer, const struct message *m, bool plain, const struct text *queues, size_t count);
    void *ctx;
};
struct router *router_new(const struct router_options *o);
void router_free(struct router *r);

/* Subject rules are the caller's to check (subject_valid_sub). */
void router_subscribe(struct router *r, struct sub *s);
void router_unsubscribe(struct router *r, struct sub *s); /* harmless when not subscribed */

/* Delivers to all plain subscriptions and to one member of each queue group: local first, then one peer.
 * Returns the number of deliveries (peers included). 0 with a reply: the caller answers 503 (no responders). */
size_t router_publish(struct router *r, const struct message *m);
/* From a peer: local subscriptions only; never forwarded again. */
void router_publish_local(struct router *r, const struct message *m, bool plain, const struct text *queues, size_t count);

/* A peer's interest as it tells it. */
void router_peer_interest(struct router *r, node_id peer, struct account *a, struct text subject, struct text queue,
                          uint32_t count);
void router_peer_gone(struct router *r, node_id peer);

/* Who listens on a literal subject? queue empty: plain subscriptions (any, wildcards too); else members of that group.
 * For push consumers: nodes with interest, self included, and their member counts. Returns how many nodes. */
struct router_node {
    node_id node;
    uint32_t members;
};
size_t router_interest(struct router *r, struct account *a, struct text subject, struct text queue,
                       struct router_node *out, size_t max);
/* Calls changed (later, at the end of the turn) whenever interest in this literal subject may have come or gone, on any node. */
struct router_watch {
    struct list_node node;
    struct account *account;
    struct text subject;
    void (*changed)(struct router_watch *w);
    struct list_node due; /* router's own */
};
void router_watch(struct router *r, struct router_watch *w);
void router_unwatch(struct router *r, struct router_watch *w);
/* All client interest of this node, for a peer that just came up. */
void router_interest_each(struct router *r, void (*each)(void *ctx, struct account *a, struct text subject,
                                                         struct text queue, uint32_t count), void *ctx);

struct router_stats {
    uint64_t subs, cached, inserts, removes, matches, cache_hits, max_fanout;
    double avg_fanout;
};
/* Of all accounts. */
void router_stats(const struct router *r, struct router_stats *out);
/* Every local subscription of an account, in no useful order. Nothing may change meanwhile. */
void router_subs_each(struct router *r, struct account *a, void (*each)(void *ctx, struct sub *s), void *ctx);
