/* io.h - libraft's raft_io and raft_fsm: a thin switch. The disk half goes to our log, the network
 * half to streams and transport. Inside its methods we only note and enqueue; callbacks run in
 * later turns (raft.md 1.1). Thread: loop. */
#pragma once

#include "raft/group.h"
#include "raft/rpc.h"

struct peer;
struct raft_io;
struct raft_io_append;
struct raft_io_send;
struct raft_io_snapshot_get;
struct raft_io_snapshot_put;
struct raft_message;

struct io_append { /* an append of the core that it hasn't been told about yet */
    struct list_node node;
    struct raft_io_append *req;
    log_index last;
    struct mono since;
};
struct io {
    struct raft_io *raft_io;
    struct raft_fsm *raft_fsm;
    void (*tick)(struct raft_io *);
    void (*recv)(struct raft_io *, struct raft_message *);
    struct list writing; /* appends on their way to the disk */
    struct list held;    /* durable, kept from the core for a while (DELAY) */
    size_t unfinished;   /* both */
    struct log_vote vote;
    uint64_t vote_number, vote_durable; /* last stored, last durable */
    struct list outbox;                 /* messages that wait for a vote (HOLD) */
    struct raft_io_send **sent;         /* whose callbacks are due */
    size_t sent_count, sent_max;
    struct list gets;                 /* snapshots that the core wants to send */
    struct raft_io_snapshot_put *put; /* its own, to be finished */
};

void io_init(struct group *g);
void io_heap_install(void);
/* A core on the log as it is: init, settings, raft_start. */
void io_start(struct group *g);
/* Ends the core, completing all its requests; the log stays. */
void io_stop(struct group *g);
uint64_t io_now_ms(struct group *g);
/* Around every call into the core: nothing may call into it again from inside. */
void io_enter(struct group *g);
void io_leave(struct group *g);
/* Entries into the core; each is followed by group_after. */
void io_tick(struct group *g);
void io_recv(struct group *g, struct raft_message *m);
/* Tells the core that its oldest held append is done. */
void io_finish_append(struct group *g);
/* What became durable moves from writing to held. */
void io_durable(struct group *g, log_index index);
void io_vote_durable(struct group *g, uint64_t number);
/* Callbacks of sends and snapshots. */
void io_turn(struct group *g);
/* To a peer over the control lane; promise: only when term and vote are durable. */
void io_send(struct group *g, struct peer *p, const struct rpc *m, bool promise);
/* Queues io.vote for the log; stores a term before the core knows of it (CONF). */
void io_store_vote(struct group *g);
void io_store_term(struct group *g, log_term term);
/* Drops [from, last] of our log. */
void io_cut(struct group *g, log_index from);
/* An entry without content, the first of a leader. */
void io_barrier(struct group *g);
uint64_t io_oldest_write_ns(struct group *g); /* how long it has been under way; 0: none */
