/* io.c - see io.h.
 *
 * Append: the core calls append -> the log queues the entries -> durable (log.h) -> held (DELAY) ->
 * the core's callback, always with status 0: a failed write ends the process (CRASHIO). Send:
 * AppendEntries and TimeoutNow go to the peer's stream, which looks payloads up when it sends;
 * votes and results go to the control lane at once, or wait in the outbox until the vote that they
 * rest on is durable (HOLD). The core's callback comes in the next turn, with status 0: an error
 * would make the core copy its whole lag again at each proposal. Closing: every request is
 * completed, then the core is freed. */
#include "raft/io.h"

#include <raft.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core.h"
#include "raft/io_load.h"
#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define CLOCK_START_MS                                                                             \
    3600000u /* far from 0: timers are set back, libraft's zeros are long ago                      \
              */

struct held_message {
    struct list_node node;
    node_id peer;
    uint64_t vote_number;
    struct slice bytes;
};
struct snapshot_get {
    struct list_node node;
    struct raft_io_snapshot_get *req;
};
struct barrier {
    struct raft_barrier req;
};

static struct group *group_of(struct raft_io *io)
{
    return io->impl;
}

uint64_t io_now_ms(struct group *g)
{
    return CLOCK_START_MS + env_mono(g->env).ns / NS_PER_MS;
}

/* ---- calls into the core ---- */

void io_enter(struct group *g)
{
    CHECK(!g->inside);
    CHECK(g->raft != NULL);
    g->inside = true;
}
void io_leave(struct group *g)
{
    g->inside = false;
}

void io_tick(struct group *g)
{
    io_enter(g);
    g->io.tick(g->io.raft_io);
    io_leave(g);
}

void io_recv(struct group *g, struct raft_message *m)
{
    io_enter(g);
    g->io.recv(g->io.raft_io, m);
    io_leave(g);
}

void io_finish_append(struct group *g)
{
    struct list_node *n = list_pop_front(&g->io.held);
    CHECK(n != NULL);
    struct io_append *a = CONTAINER_OF(n, struct io_append, node);
    struct raft_io_append *req = a->req;
    free(a);
    g->io.unfinished--;
    io_enter(g);
    req->cb(req, 0);
    io_leave(g);
}

static void barrier_done(struct raft_barrier *req, int status)
{
    (void)status;
    free(CONTAINER_OF(req, struct barrier, req));
}

void io_barrier(struct group *g)
{
    struct barrier *b = check_alloc(sizeof *b);
    io_enter(g);
    int rc = raft_barrier(g->raft, &b->req, barrier_done);
    io_leave(g);
    CHECK(rc == 0); /* we lead, and no transfer can be pending yet */
}

/* ---- disk ---- */

void io_durable(struct group *g, log_index index)
{
    for (struct list_node *n; (n = list_first(&g->io.writing)) != NULL;) {
        struct io_append *a = CONTAINER_OF(n, struct io_append, node);
        if (a->last > index) break;
        list_remove(n);
        list_push_back(&g->io.held, n);
    }
}

uint64_t io_oldest_write_ns(struct group *g)
{
    struct list_node *n = list_first(&g->io.writing);
    if (n == NULL) return 0;
    uint64_t since = CONTAINER_OF(n, struct io_append, node)->since.ns;
    uint64_t now = env_mono(g->env).ns;
    return now > since ? now - since : 0;
}

void io_store_vote(struct group *g)
{
    g->io.vote_number = log_vote_store(g->log, g->io.vote);
}

void io_store_term(struct group *g, log_term term)
{
    CHECK(term > g->io.vote.term);
    g->io.vote = (struct log_vote){.term = term};
    io_store_vote(g);
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct group *g = group_of(io);
    CHECK(term >= g->io.vote.term);
    g->io.vote = (struct log_vote){.term = term};
    io_store_vote(g);
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    struct group *g = group_of(io);
    g->io.vote.vote = id;
    io_store_vote(g);
    return 0;
}

static void append_entry(struct group *g, const struct raft_entry *e)
{
    log_index index = log_last(g->log) + 1;
    struct slice payload;
    if (e->type == RAFT_COMMAND) {
        payload = handles_take(&g->handles, e->buf.base, e->buf.len, index);
        int64_t time = propose_entry_time(payload);
        if (time > g->pump.entry_time) g->pump.entry_time = time;
    } else if (e->type == RAFT_BARRIER) {
        payload = slice_alloc(e->buf.len); /* libraft leaves these bytes as they were in memory */
        memset(payload.at, 0, payload.bytes);
    } else {
        payload = slice_copy(e->buf.base, e->buf.len);
    }
    g->propose.ahead_bytes += payload.bytes;
    log_append(g->log, e->term, (enum log_type)e->type, payload);
}

static int io_append(struct raft_io *io,
                     struct raft_io_append *req,
                     const struct raft_entry entries[],
                     unsigned n,
                     raft_io_append_cb cb)
{
    struct group *g = group_of(io);
    CHECK(n > 0);
    for (unsigned k = 0; k < n; k++) {
        append_entry(g, &entries[k]);
    }
    req->cb = cb;
    struct io_append *a = check_alloc(sizeof *a);
    a->req = req;
    a->last = log_last(g->log);
    a->since = env_mono(g->env);
    list_push_back(&g->io.writing, &a->node);
    g->io.unfinished++;
    return 0;
}

void io_cut(struct group *g, log_index from)
{
    CHECK(list_empty(&g->io.writing)); /* DRAIN */
    CHECK(from > g->pump.index);
    for (log_index i = from; i <= log_last(g->log); i++) {
        g->propose.ahead_bytes -= log_bytes_at(g->log, i);
    }
    log_truncate(g->log, from);
}

static int io_truncate(struct raft_io *io, raft_index from)
{
    io_cut(group_of(io), from);
    return 0;
}

/* ---- network ---- */

static void message_send(struct group *g, node_id peer, struct slice bytes)
{
    g->o.transport.send(g->o.transport.ctx, peer, LANE_CONTROL, &bytes, 1);
}

void io_send(struct group *g, struct peer *p, const struct rpc *m, bool promise)
{
    struct slice bytes = rpc_encode(m);
    if (!promise || !guard_hold(g)) {
        message_send(g, p->id, bytes);
        return;
    }
    struct held_message *h = check_alloc(sizeof *h);
    h->peer = p->id;
    h->vote_number = g->io.vote_number;
    h->bytes = bytes;
    list_push_back(&g->io.outbox, &h->node);
}

void io_vote_durable(struct group *g, uint64_t number)
{
    g->io.vote_durable = number;
    for (struct list_node *n; (n = list_first(&g->io.outbox)) != NULL;) {
        struct held_message *h = CONTAINER_OF(n, struct held_message, node);
        if (h->vote_number > number) break;
        list_remove(n);
        message_send(g, h->peer, h->bytes);
        free(h);
    }
}

static void outbox_drop(struct group *g)
{
    for (struct list_node *n; (n = list_pop_front(&g->io.outbox)) != NULL;) {
        struct held_message *h = CONTAINER_OF(n, struct held_message, node);
        slice_release(&h->bytes);
        free(h);
    }
}

static void result_send(struct group *g, struct peer *p, const struct raft_append_entries_result *r)
{
    struct rpc m = {.type = RPC_APPEND_RESULT,
                    .term = r->term,
                    .index = r->last_log_index,
                    .rejected = r->rejected};
    if (g->quiet && r->rejected == 0) return;
    guard_match_result(g, &m);
    guard_back_result(g, &m);
    io_send(g, p, &m, true);
}

static void vote_send(struct group *g, struct peer *p, const struct raft_request_vote *v)
{
    struct rpc m = {.type = RPC_VOTE,
                    .term = v->term,
                    .candidate = v->candidate_id,
                    .index = v->last_log_index,
                    .index_term = v->last_log_term};
    if (v->pre_vote) m.flags |= RPC_PRE_VOTE;
    if (v->disrupt_leader) m.flags |= RPC_DISRUPT;
    io_send(g, p, &m, true);
}

static void
vote_result_send(struct group *g, struct peer *p, const struct raft_request_vote_result *v)
{
    struct rpc m = {.type = RPC_VOTE_RESULT, .term = v->term};
    if (v->pre_vote == raft_tribool_true) m.flags |= RPC_PRE_VOTE;
    if (v->vote_granted) m.flags |= RPC_GRANTED;
    guard_preterm(g, &m);
    io_send(g, p, &m, true);
}

/* A checkpoint is what this peer needs. Nobody can fetch one yet: said once, then the core asks
 * again each time its own timeout ran out. */
static void snapshot_send(struct group *g, struct peer *p, const struct raft_install_snapshot *s)
{
    if (p->behind_told) return;
    p->behind_told = true;
    LOG_CODE(WRN, LOG_PEER,
             "Raft: peer %016llx needs a checkpoint at index %llu: our log begins at %llu",
             (unsigned long long)p->id, (unsigned long long)s->last_index,
             (unsigned long long)log_first(g->log));
}

/* The id may be garbage: sendAppendEntriesResult reads a union member of another state. Only ids
 * that we know are sent to; the address is never looked at. */
static struct peer *destination(struct group *g, node_id id)
{
    if (id == 0 || id == g->self) return NULL;
    for (size_t k = 0; k < core_peek_servers(g->raft); k++) {
        if (core_peek_server(g->raft, k).id == id) return group_peer_make(g, id);
    }
    return group_peer(g, id);
}

static void sent_note(struct group *g, struct raft_io_send *req)
{
    struct io *io = &g->io;
    if (io->sent_count == io->sent_max) {
        io->sent_max = io->sent_max == 0 ? 64 : io->sent_max * 2;
        io->sent = check_realloc(io->sent, io->sent_max * sizeof *io->sent);
    }
    io->sent[io->sent_count++] = req;
}

static int io_core_send(struct raft_io *io,
                        struct raft_io_send *req,
                        const struct raft_message *m,
                        raft_io_send_cb cb)
{
    struct group *g = group_of(io);
    if (cb != NULL) { /* TimeoutNow has none, and its request doesn't live long */
        req->cb = cb;
        sent_note(g, req);
        group_wake(g);
    }
    struct peer *p = destination(g, m->server_id);
    if (p == NULL) return 0;
    switch (m->type) {
    case RAFT_IO_APPEND_ENTRIES:
        peer_stream_append(p, &m->append_entries);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        result_send(g, p, &m->append_entries_result);
        break;
    case RAFT_IO_REQUEST_VOTE:
        vote_send(g, p, &m->request_vote);
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        vote_result_send(g, p, &m->request_vote_result);
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        snapshot_send(g, p, &m->install_snapshot);
        break;
    case RAFT_IO_TIMEOUT_NOW:
        peer_stream_timeout_now(p, &m->timeout_now);
        break;
    default:
        break;
    }
    return 0;
}

/* ---- snapshots ---- */

static int io_snapshot_put(struct raft_io *io,
                           unsigned trailing,
                           struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot,
                           raft_io_snapshot_put_cb cb)
{
    struct group *g = group_of(io);
    (void)snapshot;
    CHECK(trailing != 0); /* 0: an installed one, which never reaches the core */
    CHECK(g->io.put == NULL);
    req->cb = cb;
    g->io.put = req;
    group_wake(g);
    return 0;
}

static int
io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct group *g = group_of(io);
    struct snapshot_get *get = check_alloc(sizeof *get);
    req->cb = cb;
    get->req = req;
    list_push_back(&g->io.gets, &get->node);
    group_wake(g);
    return 0;
}

/* Callbacks may call send again: those are for the next turn. */
static void sent_finish(struct group *g)
{
    struct io *io = &g->io;
    size_t count = io->sent_count;
    if (count == 0) return;
    for (size_t k = 0; k < count; k++) {
        struct raft_io_send *req = io->sent[k];
        req->cb(req, 0);
    }
    memmove(io->sent, io->sent + count, (io->sent_count - count) * sizeof *io->sent);
    io->sent_count -= count;
}

static void snapshots_finish(struct group *g)
{
    struct raft_io_snapshot_put *put = g->io.put;
    g->io.put = NULL;
    if (put != NULL) snapshot_finish_put(g, put);
    struct list gets;
    list_init(&gets);
    list_splice(&gets, &g->io.gets);
    for (struct list_node *n; (n = list_pop_front(&gets)) != NULL;) {
        struct snapshot_get *get = CONTAINER_OF(n, struct snapshot_get, node);
        snapshot_finish_get(g, get->req);
        free(get);
    }
}

void io_turn(struct group *g)
{
    io_enter(g);
    sent_finish(g);
    snapshots_finish(g);
    io_leave(g);
}

/* ---- start and close ---- */

static int io_init_core(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static int
io_core_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct group *g = group_of(io);
    (void)ms; /* ticks come every CORE_TICK_MS */
    g->io.tick = tick;
    g->io.recv = recv;
    return 0;
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    return RAFT_CANTBOOTSTRAP; /* group_bootstrap does it without the core */
}

static raft_time io_time(struct raft_io *io)
{
    return io_now_ms(group_of(io));
}
static int io_random(struct raft_io *io, int min, int max)
{
    return guard_strata(group_of(io), min, max);
}

/* Completes everything, with success where it can no longer mean anything: the core is UNAVAILABLE.
 */
static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct group *g = group_of(io);
    list_splice(&g->io.held, &g->io.writing);
    for (struct list_node *n; (n = list_pop_front(&g->io.held)) != NULL;) {
        struct io_append *a = CONTAINER_OF(n, struct io_append, node);
        a->req->cb(a->req, 0);
        free(a);
    }
    g->io.unfinished = 0;
    sent_finish(g);
    if (g->io.put != NULL) g->io.put->cb(g->io.put, RAFT_CANCELED);
    g->io.put = NULL;
    for (struct list_node *n; (n = list_pop_front(&g->io.gets)) != NULL;) {
        struct snapshot_get *get = CONTAINER_OF(n, struct snapshot_get, node);
        get->req->cb(get->req, NULL, RAFT_CANCELED);
        free(get);
    }
    outbox_drop(g);
    cb(io);
}

/* ---- raft_fsm ---- */

/* Gets no index: 0.15 raises last_applied after the call. It can't wait and must not fail, so the
 * pump does the work, outside of the core; here our index of the log is held against libraft's. */
static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct group *g = fsm->data;
    log_index i = core_peek_applied(g->raft) + 1;
    *result = NULL;
    CHECK_EQ(log_type_at(g->log, i), LOG_COMMAND);
    CHECK_EQ(log_term_at(g->log, i), core_peek_term_at(g->raft, i));
    CHECK_EQ(log_bytes_at(g->log, i), handles_bytes(buf->base, buf->len));
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n)
{
    return snapshot_take(fsm->data, bufs, n);
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm; /* only from raft_start: the store is open already */
    raft_free(buf->base);
    return 0;
}

/* ---- the core's life ---- */

static void io_make(struct group *g)
{
    struct io *io = &g->io;
    io->raft_io = check_alloc(sizeof *io->raft_io);
    io->raft_fsm = check_alloc(sizeof *io->raft_fsm);
    *io->raft_io = (struct raft_io){
        .version = 2,
        .impl = g,
        .init = io_init_core,
        .close = io_close,
        .load = io_load_all,
        .start = io_core_start,
        .bootstrap = io_bootstrap,
        .set_term = io_set_term,
        .set_vote = io_set_vote,
        .send = io_core_send,
        .append = io_append,
        .truncate = io_truncate,
        .snapshot_put = io_snapshot_put,
        .snapshot_get = io_snapshot_get,
        .time = io_time,
        .random = io_random,
    };
    *io->raft_fsm = (struct raft_fsm){.version = 1,
                                      .data = g,
                                      .apply = fsm_apply,
                                      .snapshot = fsm_snapshot,
                                      .restore = fsm_restore};
}

void io_init(struct group *g)
{
    list_init(&g->io.writing);
    list_init(&g->io.held);
    list_init(&g->io.outbox);
    list_init(&g->io.gets);
}

void io_start(struct group *g)
{
    struct io *io = &g->io;
    io_heap_install();
    io_make(g);
    g->raft = check_alloc(sizeof *g->raft);
    char address[CONF_ADDRESS_BYTES];
    members_address(g->self, "", address);
    int rc = raft_init(g->raft, io->raft_io, io->raft_fsm, g->self, address);
    CHECK(rc == 0);
    raft_set_pre_vote(g->raft, true);
    raft_set_election_timeout(g->raft, CORE_ELECTION_MS);
    raft_set_heartbeat_timeout(g->raft, CORE_HEARTBEAT_MS);
    raft_set_install_snapshot_timeout(g->raft, CORE_SNAPSHOT_MS);
    core_peek_snapshot_arm(g->raft, false);
    io_enter(g);
    rc = raft_start(g->raft);
    io_leave(g);
    if (rc != 0) FATAL(EXIT_RAFT, "the consensus core can't start: %s", raft_errmsg(g->raft));
}

static void core_closed(struct raft *r)
{
    (void)r;
}

static void io_free(struct group *g)
{
    free(g->io.raft_io);
    free(g->io.raft_fsm);
    free(g->io.sent);
    g->io.raft_io = NULL;
    g->io.raft_fsm = NULL;
    g->io.sent = NULL;
    g->io.sent_count = g->io.sent_max = 0;
}

void io_stop(struct group *g)
{
    if (g->raft == NULL) return;
    io_enter(g);
    raft_close(g->raft, core_closed);
    io_leave(g);
    free(g->raft);
    g->raft = NULL;
    io_free(g);
}
