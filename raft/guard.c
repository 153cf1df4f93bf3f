/* guard.c - see guard.h. Each guard tells the history that goes wrong without it; figures are
 * failing seeds of simulations with only that guard off (raft.md 2). */
#include "raft/guard.h"

#include <raft.h>

#include "raft/core.h"
#include "store/base/bug.h"
#include "store/base/logger.h"

#define STALL_NS (60 * NS_PER_MS)
#define HINT_MS_MIN 2u
#define HINT_MS_MAX 60u
#define GREY_HANDOVER_NS (1 * NS_PER_S)
#define GREY_SILENT_NS (5 * NS_PER_S)

/* ---- persistence ---- */

/* HOLD. The core takes term and vote for stored when set_term and set_vote return; ours only queue
 * a record. A vote that leaves us, and then is forgotten in a crash, can be given again: two
 * leaders in one term (7 of 400). So every message waits for the newest of these records; also
 * AppendEntries, whose term is a promise too. */
bool guard_hold(const struct group *g)
{
    return !BUG_HOLD_OFF && g->io.vote_number > g->io.vote_durable;
}

/* SOLO. The only voter leads as soon as raft_start returns, in the term it had: libraft leaves out
 * term and vote. After a crash it could write another entry at an (index, term) that a standby has
 * already. So its start is a new term. */
bool guard_solo(const struct group *g, const struct conf *c)
{
    return members_sole_voter(c, g->self);
}

/* ---- an AppendEntries comes in ---- */

static void hand_over_all(struct group *g)
{
    while (!list_empty(&g->io.held))
        io_finish_append(g);
}

/* DRAIN. Entries of a new leader cut a suffix whose writes are still under way. When a later leader
 * brings back the same (index, term), libraft has two reference counters under one key and frees
 * the entry under the writer; and it counts what was stored instead of comparing indexes. So the
 * first message of a term waits until nothing of ours is in flight: it is dropped, the leader tries
 * again. */
bool guard_drain(struct group *g, const struct incoming *a)
{
    if (a->term < core_peek_term(g->raft) || a->term == g->guard.match_term) return false;
    if (g->io.unfinished == 0) return false;
    hand_over_all(g);
    if (!core_peek_leads(g->raft)) core_peek_timer_restart(g->raft, io_now_ms(g));
    return true;
}

/* TRIM. libraft's term of an index is 0 both for "not yet" and "trimmed away": entries below our
 * log's start would be appended again at its end, the more so with prev = 0, which isn't checked. A
 * leader has everything that we committed, so what lies below our commit index is cut off the
 * message. */
void guard_trim(struct group *g, struct incoming *a)
{
    log_index commit = core_peek_commit(g->raft);
    if (a->term < core_peek_term(g->raft) || a->prev >= commit) return;
    log_term term = core_peek_term_at(g->raft, commit);
    if (term == 0) return;
    size_t skip = commit - a->prev < a->count ? (size_t)(commit - a->prev) : a->count;
    for (size_t k = 0; k < skip; k++) {
        slice_release(&a->entries[k].payload);
    }
    a->entries += skip;
    a->count -= skip;
    a->prev = commit;
    a->prev_term = term;
}

static bool prev_matches(const struct group *g, const struct incoming *a)
{
    return a->prev == 0 || core_peek_term_at(g->raft, a->prev) == a->prev_term;
}

static log_index first_conflict(const struct group *g, const struct incoming *a)
{
    for (size_t k = 0; k < a->count; k++) {
        log_index i = a->prev + 1 + k;
        log_term term = core_peek_term_at(g->raft, i);
        if (i > core_peek_offset(g->raft) && term != 0 && term != a->entries[k].term) return i;
    }
    return 0;
}

/* CONF. When a suffix with a configuration in it is cut, libraft looks for the one before in its
 * log, where it may no longer be (NULL dereference, 153 crashes of 2000); after a restart it never
 * rolls back at all, since it takes what it loads for committed. So we cut the log ourselves and
 * start the core again from it. */
log_index guard_conf(struct group *g, const struct incoming *a)
{
    if (a->term < core_peek_term(g->raft) || !prev_matches(g, a)) return 0;
    log_index cut = first_conflict(g, a);
    if (cut == 0) return 0;
    for (log_index i = cut; i <= core_peek_last(g->raft); i++) {
        if (core_peek_type_at(g->raft, i) == RAFT_CHANGE) return cut;
    }
    return 0;
}

/* CONF, the other half: libraft puts its present configuration into a snapshot, committed or not.
 */
bool guard_conf_busy(const struct group *g)
{
    return core_peek_change_pending(g->raft);
}

/* COMMIT. A follower of 0.15 commits up to min(leader's commit, its own last entry), which is right
 * only because 0.15 sends everything up to the leader's end. We cut messages into chunks: a stale
 * suffix behind the chunk would be committed (26 of 400). Both ends clamp. */
void guard_commit(struct incoming *a)
{
    if (BUG_COMMIT_CLAMP_OFF) return;
    if (a->commit > a->prev + a->count) a->commit = a->prev + a->count;
}

/* MATCH. A follower answers a heartbeat with the end of its log, also when what lies behind prev is
 * stale: the leader then commits an entry that only it has (13 of 2000). So we remember up to where
 * the leader of this term is known to have what we have, and no result claims more. */
void guard_match(struct group *g, const struct incoming *a)
{
    struct guard *gd = &g->guard;
    if (a->term < core_peek_term(g->raft)) return;
    if (gd->match_term != a->term) {
        gd->match_term = a->term;
        gd->match = 0;
    }
    log_index shared = a->prev + a->count;
    if (prev_matches(g, a) && shared > gd->match) gd->match = shared;
}

void guard_match_result(const struct group *g, struct rpc *m)
{
    if (BUG_MATCH_OFF || m->rejected != 0) return;
    log_index match = g->guard.match_term == m->term ? g->guard.match : 0;
    if (m->index > match) m->index = match;
}

/* BACK. After a mismatch a leader steps back one entry per heartbeat: a deposed leader with
 * thousands of stale entries isn't reached for minutes. A rejection names the start of our run of
 * the term instead. */
void guard_back_result(const struct group *g, struct rpc *m)
{
    if (m->rejected == 0) return;
    log_index i = m->rejected;
    log_term term = core_peek_term_at(g->raft, i);
    if (term == 0) return;
    while (i - 1 > core_peek_commit(g->raft) && core_peek_term_at(g->raft, i - 1) == term)
        i--;
    if (m->index > i - 1) m->index = i - 1;
}

/* FIG8. libraft counts replicas of an entry of an older term and commits it; a third node may still
 * overwrite it (figure 8 of the Raft paper). It only ever commits at exactly what it has stored, so
 * results wait until that is of our own term: each leadership begins with a barrier. */
bool guard_fig8(const struct group *g)
{
    if (!core_peek_leads(g->raft)) return false;
    log_index stored = core_peek_stored(g->raft);
    return core_peek_term_at(g->raft, stored) != core_peek_term(g->raft);
}

/* DELAY. The quorum is looked for only at the leader's last stored entry. While its disk is ahead
 * of the followers', they never have that one, and nothing commits. So each of its own completions
 * is handed over only when a majority has the entries. */
bool guard_delay(struct group *g, log_index last)
{
    if (!core_peek_leads(g->raft) || guard_fig8(g)) return true;
    size_t have = 0, voters = 0, others = 0;
    for (size_t k = 0; k < core_peek_servers(g->raft); k++) {
        struct core_server s = core_peek_server(g->raft, k);
        if (s.role != CORE_VOTER && !BUG_DELAY_COUNTS_STANDBY) continue;
        voters += s.role == CORE_VOTER;
        if (s.id == g->self) {
            have++;
            continue;
        }
        others++;
        struct peer *p = group_peer(g, s.id);
        if (p != NULL && p->acked >= last) have++;
    }
    return others == 0 || have > voters / 2;
}

void guard_delay_yield(struct group *g, log_term term)
{
    if (core_peek_leads(g->raft) && term > core_peek_term(g->raft)) hand_over_all(g);
}

/* ---- elections ---- */

/* XFER. The target of a transfer may be voted for although we voted for another in this term: two
 * leaders in one term. */
bool guard_xfer(const struct group *g, const struct rpc *vote)
{
    node_id voted = core_peek_vote(g->raft);
    return core_peek_transfer(g->raft) == vote->candidate &&
           vote->term == core_peek_term(g->raft) && voted != 0 && voted != vote->candidate;
}

/* AGE: a leader that we haven't heard of for the baseline timeout is none (thesis, 9.6); libraft
 * waits for its own, longer timer, so that a failover needs the second timer to run out. FIRST:
 * asked for a pre-vote by a node with a shorter log, which can't win: our own timer runs out at
 * once. The strata keep two of us from doing that to each other. */
void guard_age(struct group *g, const struct rpc *vote)
{
    struct raft *r = g->raft;
    uint64_t now = io_now_ms(g);
    if (core_peek_state(r) != CORE_FOLLOWER) return;
    if (core_peek_timer_age_ms(r, now) < core_peek_election_ms(r)) return;
    core_peek_forget_leader(r);
    log_index last = core_peek_last(r);
    log_term term = core_peek_term_at(r, last);
    bool shorter = vote->index_term < term || (vote->index_term == term && vote->index < last);
    if ((vote->flags & RPC_PRE_VOTE) && shorter) core_peek_timer_shorten(r, now, 0);
}

/* PRETERM. A refused pre-vote carries the requester's own term back; three candidates with
 * different terms and logs refuse each other for ever. With ours in it the one behind catches up.
 */
void guard_preterm(const struct group *g, struct rpc *result)
{
    if (!(result->flags & RPC_PRE_VOTE) || (result->flags & RPC_GRANTED)) return;
    if (core_peek_term(g->raft) > result->term) result->term = core_peek_term(g->raft);
}

/* CAND. A follower with writes under way that stands for election advertises what it hasn't stored,
 * and when it wins, libraft forgets the configurations among them (the callback asks for state
 * FOLLOWER). */
void guard_cand_tick(struct group *g)
{
    if (g->io.unfinished > 0 && core_peek_state(g->raft) == CORE_FOLLOWER)
        core_peek_timer_restart(g->raft, io_now_ms(g));
}

bool guard_cand_late(struct group *g, struct peer *from, const struct rpc *m)
{
    if (g->io.unfinished == 0) return false;
    g->guard.late = true;
    g->guard.late_from = from->id;
    g->guard.late_message = *m;
    return true;
}

bool guard_cand_due(struct group *g, struct rpc *out)
{
    struct guard *gd = &g->guard;
    if (!gd->late || g->io.unfinished > 0) return false;
    gd->late = false;
    *out = gd->late_message;
    log_term term = core_peek_term(g->raft);
    if (BUG_TIMEOUT_NOW_KEPT) {
        out->term = term;
        out->index = core_peek_last(g->raft);
        out->index_term = core_peek_term_at(g->raft, out->index);
        gd->late_from = core_peek_leader(g->raft, g->self);
        return gd->late_from != 0;
    }
    return out->term == term && core_peek_leader(g->raft, g->self) == gd->late_from;
}

/* STALL. A process that didn't run for a while knows nothing of the others' silence: what the
 * timers say is about itself (29 elections instead of 41). */
void guard_stall(struct group *g, uint64_t late_ns)
{
    if (late_ns > STALL_NS) core_peek_timer_restart(g->raft, io_now_ms(g));
}

/* HINT. The leader's kernel closed its connection: its process is gone, and nobody has to wait for
 * a timeout to know it (46 ms to the next commit instead of 390). A wrong hint costs one refused
 * pre-vote. */
void guard_hint(struct group *g, node_id peer)
{
    if (core_peek_state(g->raft) != CORE_FOLLOWER) return;
    if (core_peek_leader(g->raft, g->self) != peer) return;
    size_t rank = core_peek_rank(g->raft, g->self);
    if (rank == SIZE_MAX) return;
    core_peek_forget_leader(g->raft);
    uint64_t slot = (HINT_MS_MAX - HINT_MS_MIN) / core_peek_voters(g->raft);
    uint64_t left = HINT_MS_MIN + rank * slot + env_random(g->env) % (slot * 3 / 4 + 1);
    core_peek_timer_shorten(g->raft, io_now_ms(g), left);
}

/* STRATA. Two nodes that drew alike collide, and draw again only after a whole timeout. Each voter
 * draws from a slot of its own; the rank may be stale, which costs a tie at worst. */
int guard_strata(struct group *g, int min, int max)
{
    size_t rank = core_peek_rank(g->raft, g->self);
    uint64_t range = (uint64_t)(max - min);
    if (rank == SIZE_MAX) return min + (int)(env_random(g->env) % (range + 1));
    uint64_t slot = range / core_peek_voters(g->raft);
    return min + (int)(rank * slot + env_random(g->env) % (slot * 3 / 4 + 1));
}

/* ---- leaders ---- */

/* A higher term that comes with a request for a vote leaves a follower's leader as it was: a node
 * would take the old leader for the new term's. What it gave to that one before it led, or if it
 * never does, is lost. Only a leader that sent entries in this term is one. */
node_id guard_leader(const struct group *g)
{
    if (core_peek_leads(g->raft)) return g->self;
    if (g->guard.match_term != core_peek_term(g->raft)) return 0;
    return core_peek_leader(g->raft, g->self);
}

static void leadership_gained(struct group *g)
{
    struct guard *gd = &g->guard;
    gd->leading = true;
    gd->lead_term = core_peek_term(g->raft);
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        p->acked = p->stashed = 0; /* the streams hold the new term's first messages already */
    }
    gd->barrier = UINT64_MAX;
    LOG(INF, "Raft: leader in term %llu", (unsigned long long)gd->lead_term);
}

static void leadership_lost(struct group *g)
{
    g->guard.leading = false;
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        p->stashed = 0;
        peer_stream_reset(p);
    }
    LOG(INF, "Raft: no longer leader, term %llu", (unsigned long long)core_peek_term(g->raft));
}

/* A transfer of an earlier leadership that still runs, up to an election timeout, keeps a new
 * leader from appending anything: its barrier has to wait as well. */
static void barrier_place(struct group *g)
{
    struct guard *gd = &g->guard;
    if (!gd->leading || gd->barrier != UINT64_MAX || core_peek_transfer(g->raft) != 0) return;
    gd->barrier = core_peek_last(g->raft) + 1;
    io_barrier(g);
}

/* libraft tells nobody when it becomes leader, or ceases to be: looked at after each call into it.
 */
void guard_leadership(struct group *g)
{
    struct guard *gd = &g->guard;
    bool leads = core_peek_leads(g->raft);
    bool same = leads == gd->leading && (!leads || gd->lead_term == core_peek_term(g->raft));
    if (!same) {
        if (gd->leading) leadership_lost(g);
        if (leads) leadership_gained(g);
        propose_leadership(g);
        read_index_restart(g);
    }
    barrier_place(g);
}

/* CONTACT. A leader steps down when no majority answered within a timeout; but answers wait for the
 * followers' disks, and heartbeats are left out under load: leadership flaps without any fault (230
 * elections instead of 25). So keepalives go over the control lane and are answered from memory. */
void guard_contact_send(struct group *g)
{
    struct mono now = env_mono(g->env);
    if (!core_peek_leads(g->raft) || now.ns < g->keepalive_due.ns) return;
    g->keepalive_due.ns = now.ns + CORE_HEARTBEAT_MS * NS_PER_MS;
    if (g->guard.behind && io_oldest_write_ns(g) > GREY_SILENT_NS) return;
    struct rpc m = {.type = RPC_KEEPALIVE, .term = core_peek_term(g->raft)};
    for (size_t k = 0; k < core_peek_servers(g->raft); k++) {
        struct core_server s = core_peek_server(g->raft, k);
        if (s.id == g->self || s.role == CORE_SPARE) continue;
        io_send(g, group_peer_make(g, s.id), &m, false);
    }
}

void guard_contact(struct group *g, struct peer *p, const struct rpc *m)
{
    log_term term = core_peek_term(g->raft);
    if (m->type == RPC_KEEPALIVE_ECHO) {
        if (core_peek_leads(g->raft) && m->term == term) core_peek_heard(g->raft, p->id);
        return;
    }
    bool ours = core_peek_state(g->raft) == CORE_FOLLOWER && m->term == term &&
                core_peek_leader(g->raft, g->self) == p->id;
    if (ours) core_peek_timer_restart(g->raft, io_now_ms(g));
    struct rpc echo = {.type = RPC_KEEPALIVE_ECHO, .term = term};
    if (term != 0) io_send(g, p, &echo, false);
}

/* Grey failure: 0.15 never commits beyond the leader's own disk, and CONTACT would keep such a
 * leader for ever. When its oldest write hangs for a second while a follower has got further, it
 * hands over; when nobody takes over, it falls silent. */
void guard_grey(struct group *g)
{
    struct guard *gd = &g->guard;
    bool behind = core_peek_leads(g->raft) && io_oldest_write_ns(g) > GREY_HANDOVER_NS;
    bool further = false;
    LIST_FOREACH (n, &g->peers) {
        struct peer *p = CONTAINER_OF(n, struct peer, node);
        further |= p->acked > log_durable(g->log) && core_peek_voter(g->raft, p->id);
    }
    if (!behind || !further) {
        gd->behind = false;
        return;
    }
    if (gd->behind) return;
    gd->behind = true;
    LOG_CODE(WRN, LOG_DISK,
             "Raft log: a write hangs for more than a second; handing leadership over");
    if (!g->handover.active) handover_start(g, NULL, NULL);
}
