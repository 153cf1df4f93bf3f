/* propose.c - see propose.h.
 *
 * Origin: commands of a turn -> the open batch -> sealed: it gets its number, and is kept until our
 * own apply passes it -> given to the leader, in order of numbers: over LANE_DATA, or to `pack`
 * when we lead. Another leader, a new link to it, no progress for seconds: everything kept goes out
 * again in order, under the same numbers; apply skips what it has had. Leader: batches of the turn,
 * its own and forwarded ones, checked by origins.h -> one entry of at most 1 MiB -> raft_apply.
 * What the core says of an entry's fate is not asked: LEADERSHIPLOST only means unknown. An own
 * batch that makes an entry alone isn't copied: its chunk has room for the entry's head.
 *
 * Under load batches grow by themselves: with enough of them unapplied the open one stays open
 * until it is large, and with enough entries uncommitted batches gather in `pack`. */
#include "raft/propose.h"

#include <raft.h>
#include <stdlib.h>

#include "raft/core.h"
#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

/* As in store/state/entry.h, which raft/ may not include. */
#define ENTRY_FORMAT 1
#define ENTRY_HEAD_BYTES 9   /* format, time */
#define ENTRY_BATCH_BYTES 28 /* node, incarnation, number, bytes */

#define HEADS_BYTES (ENTRY_HEAD_BYTES + ENTRY_BATCH_BYTES)
#define OPEN_BYTES_FIRST KIB(4)
#define GATHER_BATCHES 32u /* so many unapplied: wait for a larger one */
#define GATHER_BYTES KIB(64)
#define UNCOMMITTED_ENTRIES 16u /* beyond it entries are made only when they are full */
#define AHEAD_ENTRIES_MAX 4096u /* appended and not applied */
#define AHEAD_BYTES_MAX MIB(64)
#define LINK_BYTES_MAX MIB(8)  /* queued to the leader */
#define LOST_NS (5 * NS_PER_S) /* no progress for so long: the oldest batch goes out again */

struct batch {
    struct list_node node;
    uint64_t number;
    struct slice bytes; /* with ENTRY_HEAD_BYTES of room in front */
    struct list proposals;
    bool stamped; /* the room is given away: an entry that may still lie in the log has its head
                     there */
};
struct packed {
    struct list_node node;
    struct slice bytes; /* one batch */
    bool room;          /* with ENTRY_HEAD_BYTES of room in front, to be used */
};
struct entry_req {
    struct raft_apply req;
};

static struct propose *of(struct group *g)
{
    return &g->propose;
}

void propose_init(struct group *g)
{
    struct propose *p = of(g);
    p->group = g;
    writer_init(&p->writer, 0);
    list_init(&p->open);
    list_init(&p->kept);
    list_init(&p->pack);
    p->unsent = &p->kept.head;
    p->number_next = 1;
}

static void proposals_unlink(struct list *l)
{
    while (list_pop_front(l) != NULL)
        continue; /* the callers' memory, which they free as they like */
}

static void batch_free(struct batch *b)
{
    proposals_unlink(&b->proposals);
    slice_release(&b->bytes);
    free(b);
}

static void pack_clear(struct propose *p)
{
    for (struct list_node *n; (n = list_pop_front(&p->pack)) != NULL;) {
        struct packed *k = CONTAINER_OF(n, struct packed, node);
        slice_release(&k->bytes);
        free(k);
    }
    p->pack_bytes = 0;
}

void propose_free(struct group *g)
{
    struct propose *p = of(g);
    pack_clear(p);
    for (struct list_node *n; (n = list_pop_front(&p->kept)) != NULL;) {
        batch_free(CONTAINER_OF(n, struct batch, node));
    }
    proposals_unlink(&p->open);
    writer_free(&p->writer);
    origins_free(&p->origins);
}

/* ---- the open batch ---- */

static struct batch *seal(struct group *g)
{
    struct propose *p = of(g);
    if (p->commands == 0) return NULL;
    struct batch *b = check_alloc(sizeof *b);
    b->number = p->number_next++;
    list_init(&b->proposals);
    list_splice(&b->proposals, &p->open);
    b->bytes = writer_take(&p->writer);
    struct writer w = writer_over(b->bytes.at + ENTRY_HEAD_BYTES, ENTRY_BATCH_BYTES);
    writer_u64(&w, g->self);
    writer_u64(&w, propose_incarnation(g));
    writer_u64(&w, b->number);
    writer_u32(&w, (uint32_t)(b->bytes.bytes - HEADS_BYTES));
    p->commands = 0;
    list_push_back(&p->kept, &b->node);
    if (p->unsent == &p->kept.head) p->unsent = &b->node;
    if (p->kept_count++ == 0) p->sent_at = env_mono(g->env);
    p->kept_bytes += b->bytes.bytes;
    return b;
}

struct writer *propose_open(struct group *g, size_t bytes_max)
{
    struct propose *p = of(g);
    struct writer *w = &p->writer;
    if (p->commands != 0 && w->bytes + bytes_max > LIMIT_BATCH_BYTES) (void)seal(g);
    if (w->bytes == 0) {
        size_t first = HEADS_BYTES + bytes_max;
        writer_grow(w, first < OPEN_BYTES_FIRST ? OPEN_BYTES_FIRST : first);
        (void)writer_room(w, HEADS_BYTES);
    }
    if (w->bytes_max - w->bytes < bytes_max) writer_grow(w, bytes_max);
    return w;
}

void propose_close(struct group *g, struct proposal *proposal)
{
    struct propose *p = of(g);
    if (proposal != NULL) {
        proposal->command = p->commands;
        list_push_back(&p->open, &proposal->node);
    }
    p->commands++;
    group_wake(g);
}

uint64_t propose_outstanding(const struct group *g)
{
    return g->propose.kept_bytes + g->propose.writer.bytes;
}

uint64_t propose_incarnation(const struct group *g)
{
    return log_facts(g->log)->boots;
}

/* ---- results ---- */

static void applying_end(struct propose *p)
{
    struct batch *b = p->applying;
    p->applying = NULL;
    if (b != NULL) batch_free(b);
}

void propose_batch(struct group *g, uint64_t number)
{
    struct propose *p = of(g);
    applying_end(p);
    if (number == 0) return;
    struct list_node *n = list_first(&p->kept);
    if (BUG_RESEND_RENUMBERS &&
        (n == NULL || CONTAINER_OF(n, struct batch, node)->number != number))
        return;
    CHECK(n != NULL);
    struct batch *b = CONTAINER_OF(n, struct batch, node);
    CHECK_EQ(b->number, number); /* apply takes them in order, and tells no repeat */
    if (p->unsent == n) p->unsent = n->next;
    list_remove(n);
    p->kept_count--;
    p->kept_bytes -= b->bytes.bytes;
    p->sent_at = env_mono(g->env);
    p->applying = b;
    p->command = 0;
}

void propose_result(struct group *g, const void *result)
{
    struct propose *p = of(g);
    if (p->applying == NULL) return;
    uint32_t command = p->command++;
    struct list_node *n = list_first(&p->applying->proposals);
    if (n == NULL) return;
    struct proposal *proposal = CONTAINER_OF(n, struct proposal, node);
    if (proposal->command != command) return;
    list_remove(n);
    proposal->done(proposal, result);
}

void propose_entry_applied(struct group *g)
{
    applying_end(of(g));
}

/* ---- as origin: to the leader ---- */

/* All that isn't applied goes out again, in order. */
static void resend(struct group *g)
{
    struct propose *p = of(g);
    p->unsent = p->kept.head.next;
    p->sent_at = env_mono(g->env);
    group_wake(g);
}

void propose_link(struct group *g, node_id peer)
{
    if (of(g)->sent_to == peer) of(g)->sent_to = 0;
}

/* All below it are applied. */
static uint64_t kept_first(const struct propose *p)
{
    struct list_node *n = list_first(&p->kept);
    return n == NULL ? p->number_next : CONTAINER_OF(n, struct batch, node)->number;
}

static void renumber(struct group *g, struct batch *b)
{
    b->number = of(g)->number_next++;
    memcpy(b->bytes.at + ENTRY_HEAD_BYTES + 16, &b->number, sizeof b->number);
}

static struct text body_of(const struct packed *k)
{
    size_t skip = k->room ? ENTRY_HEAD_BYTES : 0;
    return (struct text){.at = (const char *)k->bytes.at + skip, .bytes = k->bytes.bytes - skip};
}

static void pack_add(struct group *g, struct slice bytes, bool room)
{
    struct propose *p = of(g);
    struct packed *k = check_alloc(sizeof *k);
    k->bytes = bytes;
    k->room = room;
    list_push_back(&p->pack, &k->node);
    p->pack_bytes += body_of(k).bytes;
}

static void pack_remove(struct propose *p, struct packed *k)
{
    p->pack_bytes -= body_of(k).bytes;
    list_remove(&k->node);
    slice_release(&k->bytes);
    free(k);
}

static void give_to_self(struct group *g, struct batch *b)
{
    struct propose *p = of(g);
    uint64_t incarnation = propose_incarnation(g);
    if (!origins_take(&p->origins, g->self, incarnation, b->number, kept_first(p))) return;
    if (!b->stamped) {
        b->stamped = true;
        pack_add(g, slice_ref(b->bytes), true);
        return;
    }
    pack_add(g, slice_part(b->bytes, ENTRY_HEAD_BYTES, b->bytes.bytes - ENTRY_HEAD_BYTES), false);
}

static bool give_to_peer(struct group *g, struct batch *b, node_id leader)
{
    const struct transport *t = &g->o.transport;
    struct peer *peer = group_peer(g, leader);
    if (peer == NULL || !peer->up) return false;
    if (t->queued(t->ctx, leader, LANE_DATA) > LINK_BYTES_MAX) return false;
    struct slice parts[2] = {
        rpc_batch_head(core_peek_term(g->raft), kept_first(of(g))),
        slice_part(b->bytes, ENTRY_HEAD_BYTES, b->bytes.bytes - ENTRY_HEAD_BYTES)};
    t->send(t->ctx, leader, LANE_DATA, parts, 2);
    return true;
}

static void give_to_leader(struct group *g)
{
    struct propose *p = of(g);
    node_id leader = guard_leader(g);
    log_term term = core_peek_term(g->raft);
    if (leader == 0) return;
    bool again = leader != p->sent_to || term != p->sent_term;
    if (again) {
        p->sent_to = leader;
        p->sent_term = term;
        resend(g);
    }
    while (p->unsent != &p->kept.head) {
        struct batch *b = CONTAINER_OF(p->unsent, struct batch, node);
        if (BUG_RESEND_RENUMBERS && again) renumber(g, b);
        if (leader == g->self)
            give_to_self(g, b);
        else if (!give_to_peer(g, b, leader))
            return;
        p->unsent = p->unsent->next;
    }
}

void propose_check(struct group *g)
{
    struct propose *p = of(g);
    if (p->kept_count == 0 || guard_leader(g) == 0) return;
    if (env_mono(g->env).ns - p->sent_at.ns > LOST_NS) resend(g);
}

/* ---- as leader: into entries ---- */

/* Only in the term that its node meant: what it gave to us while we didn't lead is lost, and it
 * would go on behind that. With the term it sees that we lead now, and starts with its oldest. */
int propose_forwarded(struct group *g,
                      node_id from,
                      log_term term,
                      uint64_t first,
                      struct slice batch)
{
    struct reader r = reader_of(batch.at, batch.bytes);
    node_id node = reader_u64(&r);
    uint64_t incarnation = reader_u64(&r), number = reader_u64(&r);
    uint32_t bytes = reader_u32(&r);
    if (r.bad || node != from || number == 0 || bytes == 0 || bytes != reader_left(&r))
        return E_MALFORMED;
    if (batch.bytes > LIMIT_ENTRY_BYTES - ENTRY_HEAD_BYTES) return E_TOOBIG;
    /* What is in an entry is applied by all: nobody outside may put something there. */
    if (!core_peek_voter(g->raft, from)) return E_DENIED;
    if (!core_peek_leads(g->raft) || term != core_peek_term(g->raft)) return 0;
    if (!origins_take(&of(g)->origins, node, incarnation, number, first)) return 0;
    pack_add(g, slice_ref(batch), false);
    return 0;
}

void propose_leadership(struct group *g)
{
    struct propose *p = of(g);
    pack_clear(p); /* forwarded ones come again from their nodes, ours are kept */
    origins_clear(&p->origins);
    p->sent_to = 0;
    p->stamped_at.ns = 0; /* of an earlier term, or of none: time since then isn't ours to add */
}

int64_t propose_entry_time(struct slice payload)
{
    struct reader r = reader_of(payload.at, payload.bytes);
    uint8_t format = reader_u8(&r);
    int64_t time = reader_i64(&r);
    return r.bad || format != ENTRY_FORMAT ? 0 : time;
}

/* Never backwards, also across leaders: the newest entry's time counts. When the wall clock is
 * behind it, time goes on at half speed until that catches up. */
static int64_t entry_time_next(struct group *g)
{
    struct pump *pump = &g->pump;
    struct propose *p = of(g);
    uint64_t now = env_mono(g->env).ns;
    int64_t wall = env_wall_ns(g->env);
    uint64_t passed = p->stamped_at.ns != 0 && now > p->stamped_at.ns ? now - p->stamped_at.ns : 0;
    p->stamped_at.ns = now;
    if (wall < pump->entry_time) wall = pump->entry_time + (int64_t)(passed / 2);
    return wall;
}

static void head_put(struct slice to, int64_t time)
{
    struct writer w = writer_over(to.at, ENTRY_HEAD_BYTES);
    writer_u8(&w, ENTRY_FORMAT);
    writer_i64(&w, time);
}

/* As many batches as one entry takes, at least one. */
static struct slice entry_build(struct group *g)
{
    struct propose *p = of(g);
    struct packed *first = CONTAINER_OF(list_first(&p->pack), struct packed, node);
    bool alone = first->node.next == &p->pack.head;
    if (alone && first->room) {
        struct slice whole = slice_ref(first->bytes);
        pack_remove(p, first);
        head_put(whole, entry_time_next(g));
        return whole;
    }
    size_t bytes = ENTRY_HEAD_BYTES;
    size_t room = bytes + p->pack_bytes;
    if (room > LIMIT_BATCH_BYTES) room = LIMIT_BATCH_BYTES;
    if (room < bytes + body_of(first).bytes) room = bytes + body_of(first).bytes;
    struct slice payload = slice_alloc(room);
    for (struct list_node *n; (n = list_first(&p->pack)) != NULL;) {
        struct packed *k = CONTAINER_OF(n, struct packed, node);
        struct text body = body_of(k);
        if (bytes + body.bytes > room) break;
        memcpy(payload.at + bytes, body.at, body.bytes);
        bytes += body.bytes;
        pack_remove(p, k);
    }
    payload.bytes = bytes;
    head_put(payload, entry_time_next(g));
    return payload;
}

static void entry_done(struct raft_apply *req, int status, void *result)
{
    (void)status;
    (void)result;
    free(CONTAINER_OF(req, struct entry_req, req));
}

static void entry_propose(struct group *g, struct slice payload)
{
    struct entry_req *e = check_alloc(sizeof *e);
    struct raft_buffer buf = {.base = raft_malloc(HANDLE_BYTES), .len = HANDLE_BYTES};
    handles_stage(&g->handles, core_peek_last(g->raft) + 1, payload, buf.base);
    io_enter(g);
    int rc = raft_apply(g->raft, &e->req, &buf, 1, entry_done);
    io_leave(g);
    CHECK(rc == 0); /* may_propose has looked */
    handles_drop(&g->handles);
}

static bool may_propose(struct group *g)
{
    struct propose *p = of(g);
    if (!core_peek_leads(g->raft) || !g->guard.leading || g->handover.active) return false;
    if (core_peek_transfer(g->raft) != 0) return false;
    log_index last = core_peek_last(g->raft);
    bool unread = g->pump.index < p->unread && g->pump.index + 1 < g->guard.barrier;
    if (unread) return false; /* one of these entries may have a later time than our clock */
    if (last - g->pump.index >= AHEAD_ENTRIES_MAX || p->ahead_bytes >= AHEAD_BYTES_MAX)
        return false;
    return last - core_peek_commit(g->raft) < UNCOMMITTED_ENTRIES ||
           p->pack_bytes >= LIMIT_BATCH_BYTES;
}

void propose_turn(struct group *g)
{
    struct propose *p = of(g);
    bool gather = p->kept_count >= GATHER_BATCHES && p->writer.bytes < GATHER_BYTES;
    if (!gather) (void)seal(g);
    give_to_leader(g);
    while (!list_empty(&p->pack) && may_propose(g)) {
        entry_propose(g, entry_build(g));
        group_after(g);
    }
}
