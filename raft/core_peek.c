/* core_peek.c - see core_peek.h.
 *
 * The layout is checked when we are compiled; that the library we run with has it too, by what it
 * exports: later releases keep the soversion for a while, but name their version. */
#include "raft/core_peek.h"

#include <dlfcn.h>
#include <raft.h>

#include "store/base/check.h"
#include "store/base/limits.h"

static_assert(sizeof(struct raft) == 656, "libraft 0.15");
static_assert(sizeof(struct raft_log) == 72, "libraft 0.15");
static_assert(sizeof(struct raft_progress) == 56, "libraft 0.15");
static_assert(sizeof(struct raft_entry) == 40, "libraft 0.15");
static_assert(sizeof(struct raft_message) == 88, "libraft 0.15");
static_assert(sizeof(struct raft_server) == 24, "libraft 0.15");
static_assert(sizeof(struct raft_io) == 408, "libraft 0.15");
static_assert(offsetof(struct raft, current_term) == 48, "libraft 0.15");
static_assert(offsetof(struct raft, log) == 64, "libraft 0.15");
static_assert(offsetof(struct raft, configuration) == 136, "libraft 0.15");
static_assert(offsetof(struct raft, commit_index) == 184, "libraft 0.15");
static_assert(offsetof(struct raft, state) == 208, "libraft 0.15");
static_assert(offsetof(struct raft, leader_state.progress) == 216, "libraft 0.15");
static_assert(offsetof(struct raft, election_timer_start) == 280, "libraft 0.15");
static_assert(offsetof(struct raft, snapshot.threshold) == 296, "libraft 0.15");

#define PROGRESS_PROBE 0 /* libraft's, not in its header */
#define PROGRESS_PIPELINE 1

bool core_peek_version_fits(void)
{
    return dlsym(RTLD_DEFAULT, "raft_version_number") == NULL; /* 0.16 brought it */
}

enum core_state core_peek_state(const struct raft *r)
{
    return (enum core_state)r->state;
}
bool core_peek_leads(const struct raft *r)
{
    return r->state == RAFT_LEADER;
}
log_term core_peek_term(const struct raft *r)
{
    return r->current_term;
}
node_id core_peek_vote(const struct raft *r)
{
    return r->voted_for;
}
log_index core_peek_commit(const struct raft *r)
{
    return r->commit_index;
}
log_index core_peek_applied(const struct raft *r)
{
    return r->last_applied;
}
log_index core_peek_stored(const struct raft *r)
{
    return r->last_stored;
}

log_index core_peek_last(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    size_t count = l->front <= l->back ? l->back - l->front : l->size - l->front + l->back;
    return l->offset + count;
}
log_index core_peek_offset(const struct raft *r)
{
    return r->log.offset;
}

static const struct raft_entry *entry_at(const struct raft *r, log_index i)
{
    const struct raft_log *l = &r->log;
    if (i <= l->offset || i > core_peek_last(r)) return NULL;
    return &l->entries[(l->front + (i - l->offset - 1)) % l->size];
}

log_term core_peek_term_at(const struct raft *r, log_index i)
{
    const struct raft_entry *e = entry_at(r, i);
    if (e != NULL) return e->term;
    return i != 0 && i == r->log.snapshot.last_index ? r->log.snapshot.last_term : 0;
}
int core_peek_type_at(const struct raft *r, log_index i)
{
    const struct raft_entry *e = entry_at(r, i);
    return e == NULL ? 0 : e->type;
}
log_index core_peek_snapshot(const struct raft *r, log_term *term)
{
    *term = r->log.snapshot.last_term;
    return r->log.snapshot.last_index;
}

node_id core_peek_leader(const struct raft *r, node_id self)
{
    if (r->state == RAFT_LEADER) return self;
    return r->state == RAFT_FOLLOWER ? r->follower_state.current_leader.id : 0;
}
const char *core_peek_error(const struct raft *r)
{
    return r->errmsg;
}

/* ---- configuration ---- */

size_t core_peek_servers(const struct raft *r)
{
    return r->configuration.n;
}
struct core_server core_peek_server(const struct raft *r, size_t k)
{
    CHECK(k < r->configuration.n);
    const struct raft_server *s = &r->configuration.servers[k];
    return (struct core_server){
        .id = s->id, .role = (enum core_role)s->role, .address = s->address};
}

static const struct raft_server *server_of(const struct raft *r, node_id id, size_t *at)
{
    for (size_t k = 0; k < r->configuration.n; k++) {
        if (r->configuration.servers[k].id != id) continue;
        if (at != NULL) *at = k;
        return &r->configuration.servers[k];
    }
    return NULL;
}

bool core_peek_voter(const struct raft *r, node_id id)
{
    const struct raft_server *s = server_of(r, id, NULL);
    return s != NULL && s->role == RAFT_VOTER;
}
size_t core_peek_voters(const struct raft *r)
{
    size_t count = 0;
    for (size_t k = 0; k < r->configuration.n; k++) {
        count += r->configuration.servers[k].role == RAFT_VOTER;
    }
    return count;
}
size_t core_peek_rank(const struct raft *r, node_id id)
{
    if (!core_peek_voter(r, id)) return SIZE_MAX;
    size_t rank = 0;
    for (size_t k = 0; k < r->configuration.n; k++) {
        const struct raft_server *s = &r->configuration.servers[k];
        rank += s->role == RAFT_VOTER && s->id < id;
    }
    return rank;
}
bool core_peek_change_pending(const struct raft *r)
{
    return r->configuration_uncommitted_index != 0 || r->configuration_index > r->last_applied;
}

/* ---- what a leader believes ---- */

static struct raft_progress *progress_of(const struct raft *r, node_id peer)
{
    size_t k;
    if (r->state != RAFT_LEADER || server_of(r, peer, &k) == NULL) return NULL;
    return &r->leader_state.progress[k];
}

bool core_peek_probes(const struct raft *r, node_id peer)
{
    const struct raft_progress *p = progress_of(r, peer);
    return p != NULL && p->state == PROGRESS_PROBE;
}
bool core_peek_pipelines(const struct raft *r, node_id peer)
{
    const struct raft_progress *p = progress_of(r, peer);
    return p != NULL && p->state == PROGRESS_PIPELINE;
}
bool core_peek_promotes(const struct raft *r)
{
    return r->state == RAFT_LEADER && r->leader_state.promotee_id != 0;
}
node_id core_peek_transfer(const struct raft *r)
{
    return r->transfer == NULL ? 0 : r->transfer->id;
}

/* ---- timers and other things that we write ---- */

uint64_t core_peek_timer_age_ms(const struct raft *r, uint64_t now_ms)
{
    return now_ms > r->election_timer_start ? now_ms - r->election_timer_start : 0;
}
uint64_t core_peek_election_ms(const struct raft *r)
{
    return r->election_timeout;
}
void core_peek_timer_restart(struct raft *r, uint64_t now_ms)
{
    r->election_timer_start = now_ms;
}
void core_peek_timer_shorten(struct raft *r, uint64_t now_ms, uint64_t left_ms)
{
    if (r->state != RAFT_FOLLOWER) return;
    uint64_t timeout = r->follower_state.randomized_election_timeout;
    CHECK(now_ms > timeout); /* io.c starts the core's clock far from 0 */
    if (r->election_timer_start + timeout > now_ms + left_ms)
        r->election_timer_start = now_ms + left_ms - timeout;
}
void core_peek_forget_leader(struct raft *r)
{
    if (r->state == RAFT_FOLLOWER) r->follower_state.current_leader.id = 0;
}
void core_peek_heard(struct raft *r, node_id peer)
{
    struct raft_progress *p = progress_of(r, peer);
    if (p != NULL) p->recent_recv = true;
}
void core_peek_snapshot_arm(struct raft *r, bool armed)
{
    r->snapshot.threshold = armed ? 1 : 1u << 31;
}
void core_peek_snapshot_trailing(struct raft *r, log_index entries)
{
    CHECK(entries >= 1); /* 0 would mean an installed snapshot */
    CHECK(entries <= UINT32_MAX);
    r->snapshot.trailing = (unsigned)entries;
}
bool core_peek_snapshot_pending(const struct raft *r)
{
    return r->snapshot.pending.term != 0;
}
