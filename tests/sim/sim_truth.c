/* sim_truth.c - see sim_truth.h. */
#include "tests/sim/sim_truth.h"

#include <stdlib.h>
#include <string.h>

#include "raft/rpc.h"

struct truth_index {
    log_term term; /* 0: nobody applied it yet */
    uint64_t entry, state;
    bool state_known;
};
struct truth_value {
    unsigned node;
    uint64_t incarnation;
    log_index index; /* 0: not applied */
    bool acked;
};
struct truth_leader {
    unsigned node; /* 0: none */
};
struct truth_vote {
    log_term term;
    unsigned voter;
    node_id candidate;
};

#define TRUTH_ROOM(at, count, max)                                                                 \
    do {                                                                                           \
        if ((count) < (max)) break;                                                                \
        size_t old_max = (max);                                                                    \
        (max) = (count)*2 + 64;                                                                    \
        (at) = check_realloc((at), (max) * sizeof *(at));                                          \
        memset((at) + old_max, 0, ((max)-old_max) * sizeof *(at));                                 \
    } while (0)

void truth_init(struct truth *t, struct sim *s)
{
    *t = (struct truth){.sim = s};
}

uint64_t truth_propose(struct truth *t, unsigned node, uint64_t incarnation)
{
    TRUTH_ROOM(t->values, t->values_count, t->values_max);
    t->values[t->values_count] = (struct truth_value){.node = node, .incarnation = incarnation};
    return t->values_count++;
}

void truth_acked(struct truth *t, uint64_t value, log_index index)
{
    struct truth_value *v = &t->values[value];
    if (v->acked) sim_fail(t->sim, "value %llu answered twice", (unsigned long long)value);
    if (v->index != index)
        sim_fail(t->sim, "value %llu answered at %llu, applied at %llu", (unsigned long long)value,
                 (unsigned long long)index, (unsigned long long)v->index);
    v->acked = true;
    t->acked++;
    if (index > t->acked_index) t->acked_index = index;
}

static struct truth_index *index_of(struct truth *t, log_index index)
{
    while (t->indexes_count <= index) {
        TRUTH_ROOM(t->indexes, t->indexes_count, t->indexes_max);
        t->indexes_count++;
    }
    return &t->indexes[index];
}

void truth_entry(struct truth *t, unsigned node, log_index index, log_term term, uint64_t digest)
{
    struct truth_index *i = index_of(t, index);
    if (i->term == 0) {
        i->term = term;
        i->entry = digest;
    }
    if (i->term != term || i->entry != digest)
        sim_fail(t->sim, "node %u applies another entry at %llu: term %llu, not %llu", node,
                 (unsigned long long)index, (unsigned long long)term, (unsigned long long)i->term);
}

void truth_applied(struct truth *t, unsigned node, log_index index, uint64_t value)
{
    if (value >= t->values_count)
        sim_fail(t->sim, "node %u applies what nobody proposed at %llu", node,
                 (unsigned long long)index);
    struct truth_value *v = &t->values[value];
    if (v->index == 0) v->index = index;
    if (v->index != index)
        sim_fail(t->sim, "node %u applies value %llu at %llu and at %llu", node,
                 (unsigned long long)value, (unsigned long long)v->index,
                 (unsigned long long)index);
}

void truth_state(struct truth *t, unsigned node, log_index index, uint64_t digest)
{
    struct truth_index *i = index_of(t, index);
    if (!i->state_known) {
        i->state_known = true;
        i->state = digest;
    }
    if (i->state != digest)
        sim_fail(t->sim, "node %u has another state at %llu", node, (unsigned long long)index);
}

void truth_leads(struct truth *t, unsigned node, log_term term)
{
    while (t->leaders_count <= term) {
        TRUTH_ROOM(t->leaders, t->leaders_count, t->leaders_max);
        t->leaders_count++;
    }
    struct truth_leader *l = &t->leaders[term];
    if (l->node == 0) l->node = node;
    if (l->node != node)
        sim_fail(t->sim, "nodes %u and %u lead in term %llu", l->node, node,
                 (unsigned long long)term);
}

static void vote_given(struct truth *t, unsigned voter, log_term term, node_id candidate)
{
    for (size_t i = t->votes_count; i-- > 0;) {
        const struct truth_vote *v = &t->votes[i];
        if (v->voter != voter || v->term != term) continue;
        if (v->candidate != candidate)
            sim_fail(t->sim, "node %u votes twice in term %llu", voter, (unsigned long long)term);
        return;
    }
    TRUTH_ROOM(t->votes, t->votes_count, t->votes_max);
    t->votes[t->votes_count++] =
        (struct truth_vote){.term = term, .voter = voter, .candidate = candidate};
}

static void promise(struct truth *t, unsigned node, log_term term)
{
    if (term > t->sent_term[node]) t->sent_term[node] = term;
}

void truth_sent(struct truth *t, unsigned from, node_id to, struct slice message)
{
    struct rpc m;
    struct rpc_append a;
    int type = rpc_type(message);
    if (type == RPC_APPEND && rpc_append_decode(message, &a) == 0) promise(t, from, a.term);
    if (type != RPC_VOTE && type != RPC_VOTE_RESULT && type != RPC_APPEND_RESULT) return;
    if (rpc_decode(message, &m) != 0 || (m.flags & RPC_PRE_VOTE) != 0) return;
    promise(t, from, m.term);
    if (type == RPC_VOTE) vote_given(t, from, m.term, from);
    if (type == RPC_VOTE_RESULT && (m.flags & RPC_GRANTED) != 0) vote_given(t, from, m.term, to);
}

void truth_started(struct truth *t, unsigned node, log_term term)
{
    if (term < t->sent_term[node])
        sim_fail(t->sim, "node %u starts in term %llu, promised something in %llu", node,
                 (unsigned long long)term, (unsigned long long)t->sent_term[node]);
}

bool truth_unanswered(const struct truth *t, unsigned node, uint64_t incarnation, uint64_t *value)
{
    for (size_t i = 0; i < t->values_count; i++) {
        const struct truth_value *v = &t->values[i];
        if (v->node != node || v->incarnation != incarnation || v->acked) continue;
        *value = i;
        return true;
    }
    return false;
}
