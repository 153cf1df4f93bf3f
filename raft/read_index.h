/* read_index.h - linearizable reads: ReadIndex from outside the core (raft.md 5; group.h has the
 * users' side). Reads that queue up during a round are served by the next one. Thread: loop. */
#pragma once

#include "raft/group.h"
#include "raft/rpc.h"

struct peer;

struct reads {
    struct list waiting;  /* for a round, or for the leader to be asked */
    struct list asked;    /* in the round, or in the question to the leader */
    struct list applying; /* their index is known: for our own apply to get there */
    bool round;           /* under way, as leader */
    uint64_t number;      /* of the newest round or question; never used again */
    log_term term;
    log_index index; /* what the round will have confirmed */
    node_id leader;  /* who was asked; 0: nobody */
    struct mono since;
};
/* In struct peer: its question to us. */
struct read_ask {
    uint64_t number;
    enum read_ask_state { READ_ASK_NONE, READ_ASK_WAITS, READ_ASK_ASKED } state;
    bool yes; /* this peer's answer to our round */
};

void read_index_init(struct group *g);
void read_index_free(struct group *g);
void read_index_turn(struct group *g);
/* State or term changed: no round survives it. */
void read_index_restart(struct group *g);
void read_index_applied(struct group *g);
void read_index_recv(struct group *g, struct peer *p, const struct rpc *m);
