/* subject_trie.h - all subscriptions of one account: local ones, and how many each peer has.
 *
 * One node per token, children in a hash map, `*` and `>` apart. A node's bag holds its plain
 * subscriptions and one bag for each queue group. A match is collected into flat arrays, so that
 * delivering needs the trie no more and a result can be kept (subject_cache.h).
 * Thread: loop. */
#pragma once

#include "broker/core/router.h"
#include "broker/core/subject.h"
#include "store/base/map.h"

struct trie_peer {
    node_id node;
    uint32_t count;
};
/* Subscribers of one subject and one queue name (or none). */
struct trie_bag {
    struct trie_node *node;
    struct text queue; /* owned; empty: plain */
    struct list_node in_node;
    struct sub **subs;
    struct trie_peer *peers;
    uint32_t sub_count, sub_max, peer_count, peer_max;
    uint32_t clients; /* those that peers are told of */
};
struct trie_node {
    struct list_node in_trie; /* parents before their children */
    struct trie_node *parent, *star, *rest;
    struct map children;
    struct trie_bag plain;
    struct list groups; /* trie_bag.in_node */
    struct text token;
    char token_bytes[];
};
struct subject_trie {
    uint64_t seed;
    struct trie_node *root;
    struct list nodes;
    uint64_t sub_count, node_count, insert_count, remove_count;
    struct trie_node **frontier, **frontier_next; /* scratch of subject_trie_match */
    struct trie_bag **found;
    size_t frontier_max, frontier_next_max, found_max;
};

struct match_group {
    struct text queue;                   /* lies in matches.names */
    uint32_t member_first, member_count; /* in members */
    uint32_t peer_first, peer_count;     /* in group_peers */
};
/* What one literal subject reaches. An entry of subs or members becomes NULL when its subscription
 * goes while the result is in use. */
struct matches {
    struct sub **subs;
    struct sub **members;
    struct match_group *groups;
    struct trie_peer *peers; /* with plain subscriptions */
    struct trie_peer *group_peers;
    char *names;
    size_t sub_count, member_count, group_count, peer_count, group_peer_count, name_bytes;
    size_t sub_max, member_max, group_max, peer_max, group_peer_max, name_max;
    uint32_t refs;
    struct list_node in_use; /* the router's */
};

void subject_trie_init(struct subject_trie *t, uint64_t seed);
/* Peers' interest goes with it; local subscriptions must be gone or are forgotten. */
void subject_trie_free(struct subject_trie *t);
/* The bag of a subject and queue, made when absent. */
struct trie_bag *subject_trie_bag(struct subject_trie *t, struct text subject, struct text queue);
/* NULL when absent. */
struct trie_bag *subject_trie_find(struct subject_trie *t, struct text subject, struct text queue);
void subject_trie_add(struct subject_trie *t, struct trie_bag *bag, struct sub *s);
/* The bag may be gone afterwards. */
void subject_trie_remove(struct subject_trie *t, struct sub *s);
/* count 0: gone; the bag may be gone afterwards. True when something changed. */
bool subject_trie_peer(struct subject_trie *t, struct trie_bag *bag, node_id peer, uint32_t count);
/* Every entry of this peer. */
void subject_trie_peer_gone(struct subject_trie *t, node_id peer);

struct matches *matches_new(void);
void matches_free(struct matches *m);
void matches_clear(struct matches *m); /* empty, memory kept */
/* Appends all that a literal subject reaches. */
void subject_trie_match(struct subject_trie *t, struct text subject, struct matches *out);
