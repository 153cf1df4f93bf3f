/* receive.c - see receive.h.
 *
 * An AppendEntries (raft.md 2.14): decode with bounds -> DRAIN -> TRIM -> CONF -> COMMIT ->
 * payloads staged, handles built in one batch -> MATCH -> a higher term ends our leadership:
 * completions handed over -> the core -> what it did not append is dropped. group_after follows
 * each call into the core. */
#include "raft/receive.h"

#include <raft.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"
#include "store/base/err.h"
#include "store/base/logger.h"

/* ---- to the core ---- */

static void message_of(const struct rpc *m, struct raft_message *out)
{
    switch (m->type) {
    case RPC_APPEND_RESULT:
        out->type = RAFT_IO_APPEND_ENTRIES_RESULT;
        out->append_entries_result = (struct raft_append_entries_result){
            .term = m->term, .rejected = m->rejected, .last_log_index = m->index};
        break;
    case RPC_VOTE:
        out->type = RAFT_IO_REQUEST_VOTE;
        out->request_vote =
            (struct raft_request_vote){.term = m->term,
                                       .candidate_id = m->candidate,
                                       .last_log_index = m->index,
                                       .last_log_term = m->index_term,
                                       .disrupt_leader = (m->flags & RPC_DISRUPT) != 0,
                                       .pre_vote = (m->flags & RPC_PRE_VOTE) != 0};
        break;
    case RPC_VOTE_RESULT:
        out->type = RAFT_IO_REQUEST_VOTE_RESULT;
        out->request_vote_result = (struct raft_request_vote_result){
            .term = m->term,
            .vote_granted = (m->flags & RPC_GRANTED) != 0,
            .pre_vote = m->flags & RPC_PRE_VOTE ? raft_tribool_true : raft_tribool_false};
        break;
    case RPC_TIMEOUT_NOW:
        out->type = RAFT_IO_TIMEOUT_NOW;
        out->timeout_now = (struct raft_timeout_now){
            .term = m->term, .last_log_index = m->index, .last_log_term = m->index_term};
        break;
    default:
        CHECK(false);
    }
}

void receive_deliver(struct group *g, struct peer *p, const struct rpc *m)
{
    struct raft_message message = {.server_id = p->id, .server_address = p->address};
    message_of(m, &message);
    io_recv(g, &message);
}

/* ---- AppendEntries ---- */

static size_t handle_bytes(const struct rpc_entry *e)
{
    return e->type == LOG_COMMAND ? HANDLE_BYTES : (e->payload.bytes + 7) / 8 * 8;
}

/* libraft frees the first entry's batch, and wants each entry to have it. */
static void entries_build(struct group *g, struct incoming *a, struct raft_append_entries *out)
{
    out->entries = NULL;
    out->n_entries = (unsigned)a->count;
    if (a->count == 0) return;
    size_t bytes = 8;
    for (size_t k = 0; k < a->count; k++) {
        bytes += handle_bytes(&a->entries[k]);
    }
    uint8_t *batch = raft_malloc(bytes), *at = batch;
    out->entries = raft_calloc(a->count, sizeof *out->entries);
    for (size_t k = 0; k < a->count; k++) {
        struct rpc_entry *from = &a->entries[k];
        struct raft_entry *e = &out->entries[k];
        *e = (struct raft_entry){.term = from->term, .type = from->type, .batch = batch};
        e->buf.base = at;
        e->buf.len = from->type == LOG_COMMAND ? HANDLE_BYTES : from->payload.bytes;
        at += handle_bytes(from);
        if (from->type == LOG_COMMAND) {
            handles_stage(&g->handles, a->prev + 1 + k, from->payload, e->buf.base);
            from->payload = (struct slice){0};
        } else if (from->payload.bytes != 0) {
            memcpy(e->buf.base, from->payload.at, from->payload.bytes);
        }
    }
}

/* libraft decodes configurations without looking at their length. */
static int changes_check(const struct incoming *a)
{
    for (size_t k = 0; k < a->count; k++) {
        const struct rpc_entry *e = &a->entries[k];
        struct conf conf;
        if (e->type != LOG_CHANGE) continue;
        int rc = members_decode(e->payload.at, e->payload.bytes, a->prev + 1 + k, &conf);
        if (rc != 0) return rc;
    }
    return 0;
}

/* With writes of ours under way the message is dropped: the leader comes again. */
static void cut_and_restart(struct group *g, const struct incoming *a, log_index from)
{
    guard_delay_yield(g, a->term);
    if (g->io.unfinished != 0) return;
    io_cut(g, from);
    if (a->term > g->io.vote.term) io_store_term(g, a->term);
    group_restart_core(g);
}

static void append_deliver(struct group *g, struct peer *p, struct incoming *a)
{
    if (guard_drain(g, a)) return;
    guard_trim(g, a);
    log_index cut = guard_conf(g, a);
    if (cut != 0) {
        cut_and_restart(g, a, cut);
        return;
    }
    guard_commit(a);
    struct raft_message m = {
        .type = RAFT_IO_APPEND_ENTRIES, .server_id = p->id, .server_address = p->address};
    m.append_entries = (struct raft_append_entries){.term = a->term,
                                                    .prev_log_index = a->prev,
                                                    .prev_log_term = a->prev_term,
                                                    .leader_commit = a->commit};
    entries_build(g, a, &m.append_entries);
    guard_match(g, a);
    guard_delay_yield(g, a->term);
    g->quiet = a->quiet;
    io_recv(g, &m);
    g->quiet = false;
    handles_drop(&g->handles);
}

static int receive_append(struct group *g, struct peer *p, struct slice message)
{
    struct rpc_append head;
    int rc = rpc_append_decode(message, &head);
    if (rc != 0) return rc;
    struct rpc_entry *entries = NULL;
    if (head.count != 0) entries = check_alloc(head.count * sizeof *entries);
    for (uint32_t k = 0; k < head.count; k++) {
        entries[k] = rpc_append_next(&head, message);
    }
    struct incoming a = {.term = head.term,
                         .prev = head.prev,
                         .prev_term = head.prev_term,
                         .commit = head.commit,
                         .quiet = (head.flags & RPC_QUIET) && head.count == 0,
                         .entries = entries,
                         .count = head.count};
    rc = changes_check(&a);
    if (rc == 0) append_deliver(g, p, &a);
    for (uint32_t k = 0; k < head.count; k++) {
        slice_release(&entries[k].payload);
    }
    free(entries);
    return rc;
}

/* ---- the rest ---- */

static void receive_result(struct group *g, struct peer *p, const struct rpc *m)
{
    bool leads = core_peek_leads(g->raft);
    if (leads && m->term == core_peek_term(g->raft) && m->rejected == 0) {
        log_index last = core_peek_last(g->raft);
        log_index acked = m->index < last ? m->index : last;
        if (acked > p->acked) p->acked = acked;
        peer_stream_acked(p, acked);
        group_after(g); /* what the core may hear of its own appends now (DELAY) comes first */
        if (guard_fig8(g) || p->stashed != 0) {
            if (acked > p->stashed) p->stashed = acked;
            return;
        }
    }
    guard_delay_yield(g, m->term);
    receive_deliver(g, p, m);
}

static void receive_vote(struct group *g, struct peer *p, const struct rpc *m)
{
    if (m->candidate != p->id || guard_xfer(g, m)) return;
    guard_age(g, m);
    if (m->flags & RPC_DISRUPT) guard_delay_yield(g, m->term);
    receive_deliver(g, p, m);
}

static void receive_timeout_now(struct group *g, struct peer *p, const struct rpc *m)
{
    if (!guard_cand_late(g, p, m)) receive_deliver(g, p, m);
}

static void receive_keepalive(struct group *g, struct peer *p, const struct rpc *m)
{
    guard_contact(g, p, m);
}

static void receive_read(struct group *g, struct peer *p, const struct rpc *m)
{
    read_index_recv(g, p, m);
}

static void (*const receivers[RPC_TYPES])(struct group *, struct peer *, const struct rpc *) = {
    [RPC_APPEND_RESULT] = receive_result, [RPC_VOTE] = receive_vote,
    [RPC_VOTE_RESULT] = receive_deliver,  [RPC_TIMEOUT_NOW] = receive_timeout_now,
    [RPC_KEEPALIVE] = receive_keepalive,  [RPC_KEEPALIVE_ECHO] = receive_keepalive,
    [RPC_READ_PROBE] = receive_read,      [RPC_READ_ANSWER] = receive_read,
    [RPC_READ_ASK] = receive_read,        [RPC_READ_INDEX] = receive_read,
};

static int receive_small(struct group *g, struct peer *p, struct slice message)
{
    struct rpc m;
    int rc = rpc_decode(message, &m);
    if (rc != 0) return rc;
    receivers[m.type](g, p, &m);
    return 0;
}

static int receive_batch(struct group *g, struct peer *p, struct slice message)
{
    struct slice batch;
    log_term term;
    uint64_t first;
    int rc = rpc_batch_decode(message, &term, &first, &batch);
    if (rc != 0) return rc;
    rc = propose_forwarded(g, p->id, term, first, batch);
    slice_release(&batch);
    return rc;
}

void receive_message(struct group *g,
                     struct peer *p,
                     enum transport_lane lane,
                     struct slice message)
{
    (void)lane;
    /* Parts of it are kept by reference: bytes that only live for this call are copied. */
    struct slice owned =
        message.chunk == NULL ? slice_copy(message.at, message.bytes) : slice_ref(message);
    int type = rpc_type(owned);
    int rc = type;
    if (type == RPC_APPEND)
        rc = receive_append(g, p, owned);
    else if (type == RPC_BATCH)
        rc = receive_batch(g, p, owned);
    else if (type > 0)
        rc = receive_small(g, p, owned);
    slice_release(&owned);
    if (rc < 0 && !p->malformed_told) {
        p->malformed_told = true;
        LOG_CODE(ERR, LOG_PEER, "Raft: a message of peer %016llx was dropped: %s",
                 (unsigned long long)p->id, err_text(rc));
    }
}
