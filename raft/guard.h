/* guard.h - what keeps libraft 0.15 safe and live: one function per case, its failing history above
 * it in guard.c (raft.md 2 and 6). Elsewhere, because there is nothing to decide: CRASHIO  log.h: a
 * failed write is fatal, the core never sees one (raft.md 2.9) SNAP     InstallSnapshot never
 * reaches the core (receive.c knows no such message) Thread: loop. */
#pragma once

#include "raft/group.h"
#include "raft/rpc.h"

struct conf;
struct peer;

struct guard {
    log_term match_term; /* MATCH: what the leader of this term is known to share with us */
    log_index match;
    bool leading; /* FIG8: in lead_term, whose first entry is barrier (UINT64_MAX: not yet) */
    log_term lead_term;
    log_index barrier;
    bool late; /* CAND: a TimeoutNow that waits for our writes */
    node_id late_from;
    struct rpc late_message;
    bool behind; /* our disk is slow: leadership was offered to others */
};
/* An AppendEntries on its way to the core; the checks cut it down. */
struct incoming {
    log_term term;
    log_index prev;
    log_term prev_term;
    log_index commit;
    bool quiet;
    struct rpc_entry *entries;
    size_t count;
};

/* ---- persistence ---- */
bool guard_hold(const struct group *g);
bool guard_solo(const struct group *g, const struct conf *c);

/* ---- an AppendEntries comes in, in this order ---- */
bool guard_drain(struct group *g, const struct incoming *a); /* true: drop it */
void guard_trim(struct group *g, struct incoming *a);
log_index guard_conf(struct group *g,
                     const struct incoming *a); /* where to cut and restart; 0: go on */
void guard_commit(struct incoming *a);
void guard_match(struct group *g, const struct incoming *a);
/* ---- results go out, and come in ---- */
void guard_match_result(const struct group *g, struct rpc *m);
void guard_back_result(const struct group *g, struct rpc *m);
bool guard_fig8(const struct group *g);                 /* true: results have to wait */
bool guard_delay(struct group *g, log_index last);      /* may the core hear of this append? */
void guard_delay_yield(struct group *g, log_term term); /* a higher term is about to be delivered */
/* ---- configurations ---- */
bool guard_conf_busy(const struct group *g); /* no snapshot now */
/* ---- elections ---- */
bool guard_xfer(const struct group *g, const struct rpc *vote); /* true: drop it */
void guard_age(struct group *g, const struct rpc *vote);
void guard_preterm(const struct group *g, struct rpc *result);
void guard_cand_tick(struct group *g);
bool guard_cand_late(struct group *g, struct peer *from, const struct rpc *m); /* true: kept */
bool guard_cand_due(struct group *g, struct rpc *out); /* a kept one is to be delivered now */
void guard_stall(struct group *g, uint64_t late_ns);
void guard_hint(struct group *g, node_id peer);
int guard_strata(struct group *g, int min, int max);
/* ---- leaders ---- */
node_id guard_leader(const struct group *g); /* of the present term; ourselves; 0: none known */
void guard_leadership(struct group *g);      /* notices that it was gained or lost */
void guard_contact_send(struct group *g);
void guard_contact(struct group *g, struct peer *p, const struct rpc *m);
void guard_grey(struct group *g);
