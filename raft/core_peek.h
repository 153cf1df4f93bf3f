/* core_peek.h - the one place that looks into libraft's structs, public in 0.15, and that writes
 * the few fields of them that we may (raft.md 10), only between calls into the core. Others pass
 * `struct raft *` on. Thread: loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/units.h"

struct raft;

enum core_state { CORE_UNAVAILABLE, CORE_FOLLOWER, CORE_CANDIDATE, CORE_LEADER };
enum core_role { CORE_STANDBY, CORE_VOTER, CORE_SPARE };
struct core_server {
    node_id id;
    enum core_role role;
    const char *address; /* libraft's; valid until the configuration changes */
};

/* Another version has other bugs and another layout: the node must not start with it. */
bool core_peek_version_fits(void);

enum core_state core_peek_state(const struct raft *r);
bool core_peek_leads(const struct raft *r);
log_term core_peek_term(const struct raft *r);
node_id core_peek_vote(const struct raft *r);
log_index core_peek_commit(const struct raft *r);
log_index core_peek_applied(const struct raft *r);
log_index core_peek_stored(const struct raft *r);
log_index core_peek_last(const struct raft *r);
log_index core_peek_offset(const struct raft *r);
/* Terms and types as libraft's own log has them; 0: not there. */
log_term core_peek_term_at(const struct raft *r, log_index i);
int core_peek_type_at(const struct raft *r, log_index i);
log_index core_peek_snapshot(const struct raft *r, log_term *term);
/* The leader a follower believes in; ourselves when we lead; 0: none. */
node_id core_peek_leader(const struct raft *r, node_id self);
const char *core_peek_error(const struct raft *r);

/* The configuration in force, committed or not. */
size_t core_peek_servers(const struct raft *r);
struct core_server core_peek_server(const struct raft *r, size_t k);
bool core_peek_voter(const struct raft *r, node_id id);
size_t core_peek_voters(const struct raft *r);
/* Position among the voters in order of their ids; SIZE_MAX: none of them. */
size_t core_peek_rank(const struct raft *r, node_id id);
bool core_peek_change_pending(
    const struct raft *r); /* uncommitted, or newer than what is applied */

/* As leader: what the core believes of a peer. Inside send as well. */
bool core_peek_probes(const struct raft *r, node_id peer);
bool core_peek_pipelines(const struct raft *r, node_id peer);
bool core_peek_promotes(const struct raft *r);
node_id core_peek_transfer(const struct raft *r); /* whom leadership is being given to; 0: nobody */

/* Timers, in the core's milliseconds. */
uint64_t core_peek_timer_age_ms(const struct raft *r, uint64_t now_ms);
uint64_t core_peek_election_ms(const struct raft *r);
void core_peek_timer_restart(struct raft *r, uint64_t now_ms);
/* A follower's timer expires in left_ms at the latest. */
void core_peek_timer_shorten(struct raft *r, uint64_t now_ms, uint64_t left_ms);
void core_peek_forget_leader(struct raft *r); /* only a follower has one to forget */
void core_peek_heard(struct raft *r, node_id peer);
/* Asks for a snapshot after the next apply, or no more. */
void core_peek_snapshot_arm(struct raft *r, bool armed);
void core_peek_snapshot_trailing(struct raft *r, log_index entries);
bool core_peek_snapshot_pending(const struct raft *r);
