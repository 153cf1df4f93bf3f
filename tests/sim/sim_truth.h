/* sim_truth.h - what the simulated nodes did, seen from outside, and what must be true of it
 * (raft.md 8). Every call either notes or ends the run with sim_fail. */
#pragma once

#include "raft/transport.h"
#include "store/base/slice.h"
#include "store/base/units.h"
#include "tests/sim/sim_sched.h"

struct truth_value;
struct truth_index;
struct truth_leader;
struct truth_vote;
struct truth {
    struct sim *sim;
    struct truth_index *indexes; /* by index */
    size_t indexes_count, indexes_max;
    struct truth_value *values; /* by number */
    size_t values_count, values_max;
    struct truth_leader *leaders; /* by term */
    size_t leaders_count, leaders_max;
    struct truth_vote *votes;
    size_t votes_count, votes_max;
    log_index acked_index; /* the newest entry with an answer to anyone */
    size_t acked;
    log_term sent_term[8]; /* by node: the newest that a promise was made in */
};

void truth_init(struct truth *t, struct sim *s);
/* A new value; its number is never given again. */
uint64_t truth_propose(struct truth *t, unsigned node, uint64_t incarnation);
/* Its node got the answer. Once, and only if it was applied there. */
void truth_acked(struct truth *t, uint64_t value, log_index index);
/* A node applied an entry: the same term and bytes at this index on each; each value once, and
 * proposed. */
void truth_entry(struct truth *t, unsigned node, log_index index, log_term term, uint64_t digest);
void truth_applied(struct truth *t, unsigned node, log_index index, uint64_t value);
/* The state's digest behind an index. */
void truth_state(struct truth *t, unsigned node, log_index index, uint64_t digest);
/* One leader in a term. */
void truth_leads(struct truth *t, unsigned node, log_term term);
/* A message left: notes its promise; one vote in a term. */
void truth_sent(struct truth *t, unsigned from, node_id to, struct slice message);
/* A node started: its term is at least that of any promise. */
void truth_started(struct truth *t, unsigned node, log_term term);
/* A value of this node and incarnation that has no answer; false: there is none. */
bool truth_unanswered(const struct truth *t, unsigned node, uint64_t incarnation, uint64_t *value);
