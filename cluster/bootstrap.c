/* bootstrap.c - the first configuration: formed once, by all, or not at all (design 3.5,
 * raft.md 7.6).
 *
 * Each empty node tells its peers its view: itself and whoever is up, by name, and whether every
 * route of its own is accounted for. When all views are one, complete and empty, the lowest name
 * proposes it; each confirms what equals its own view; with all confirmations the proposer commits.
 * Every one writes the same first entry: an empty node can neither vote nor be elected.
 *
 * A node that crashes in between confirms nothing. One that missed the commit is told again by
 * whoever has it, as long as that one runs: its id is the digest of its disk's incarnation, so the
 * same id on the same list means that it never held anything else. A node that isn't empty never
 * takes part; an empty one that meets it doesn't either: it has lost its disk, or is new, and is to
 * be added (joining). */
#include <stdlib.h>
#include <xxhash.h>

#include "cluster/cluster_impl.h"
#include "cluster/peer.h"
#include "cluster/routes.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define BOOTSTRAP_TICK_NS (100 * NS_PER_MS)
#define BOOTSTRAP_TICKS_TELL                                                                       \
    10                          /* views are repeated: a route may have turned out to be complete  \
                                 */
#define BOOTSTRAP_TICKS_LOG 100 /* what is waited for */

enum bootstrap_kind { BOOTSTRAP_VIEW = 1, BOOTSTRAP_PROPOSE, BOOTSTRAP_CONFIRM, BOOTSTRAP_COMMIT };

struct view {
    size_t count; /* above LIMIT_VOTERS: too many, the rest isn't here */
    struct cluster_member {
        node_id id;
        char name[256];
    } members[LIMIT_VOTERS];
};
struct heard { /* the last view of one peer */
    node_id id;
    bool empty, complete, confirmed;
    uint64_t digest;
};
struct bootstrap {
    struct cluster_bootstrap_options o;
    struct cluster *cluster;
    struct cluster_watcher watcher;
    struct env_timer timer;
    unsigned ticks;
    bool empty;        /* and nothing agreed */
    bool joining;      /* told */
    uint64_t proposed; /* digest that confirmations are gathered for; 0: none */
    uint64_t told;     /* digest and completeness last told to all */
    struct view agreed;
    struct heard heard[PEER_COUNT_MAX];
    size_t heard_count;
};

/* ---- views ---- */

static void view_add(struct view *v, node_id id, const char *name)
{
    size_t at = v->count++;
    if (v->count > LIMIT_VOTERS) return;
    while (at > 0 && strcmp(v->members[at - 1].name, name) > 0) {
        v->members[at] = v->members[at - 1];
        at--;
    }
    v->members[at].id = id;
    size_t bytes = strlen(name);
    CHECK(bytes < sizeof v->members[at].name);
    memcpy(v->members[at].name, name, bytes + 1);
}

static void view_now(const struct bootstrap *b, struct view *v)
{
    *v = (struct view){0};
    view_add(v, b->cluster->o.id, b->cluster->o.node_name);
    if (routes_expected(b->cluster) == 0) return;
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(b->cluster, p)) != NULL) {
        if (p->up) view_add(v, p->id, p->name);
    }
}

static uint64_t view_digest(const struct view *v)
{
    uint64_t digest = v->count;
    for (size_t i = 0; i < v->count && i < LIMIT_VOTERS; i++) {
        const struct cluster_member *m = &v->members[i];
        digest = XXH3_64bits_withSeed(m->name, strlen(m->name), digest ^ m->id);
    }
    return digest == 0 ? 1 : digest;
}

static bool view_has(const struct view *v, node_id id)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->members[i].id == id) return true;
    }
    return false;
}

static void view_encode(struct writer *w, const struct view *v)
{
    writer_u8(w, (uint8_t)v->count);
    for (size_t i = 0; i < v->count; i++) {
        writer_u64(w, v->members[i].id);
        writer_text16(w, text_of(v->members[i].name));
    }
}

/* Names in order and without repeats, as view_add makes them. */
static bool view_decode(struct reader *r, struct view *v)
{
    *v = (struct view){.count = reader_u8(r)};
    if (r->bad || v->count == 0 || v->count > LIMIT_VOTERS) return false;
    for (size_t i = 0; i < v->count; i++) {
        struct cluster_member *m = &v->members[i];
        m->id = reader_u64(r);
        struct text name = reader_text16(r);
        bool fits = !r->bad && name.bytes > 0 && name.bytes < sizeof m->name && m->id != 0;
        if (!fits || memchr(name.at, 0, name.bytes) != NULL) return false;
        memcpy(m->name, name.at, name.bytes);
        m->name[name.bytes] = 0;
        if (i > 0 && strcmp(v->members[i - 1].name, m->name) >= 0) return false;
    }
    return true;
}

/* ---- sending ---- */

static void tell(struct bootstrap *b, node_id peer, struct writer *w)
{
    struct slice body = writer_take(w);
    cluster_send(b->cluster, peer, CLUSTER_CONTROL, FRAME_BOOTSTRAP, &body, 1);
}

static void
tell_list(struct bootstrap *b, node_id peer, enum bootstrap_kind kind, const struct view *v)
{
    struct writer w;
    writer_init(&w, 256);
    writer_u8(&w, (uint8_t)kind);
    view_encode(&w, v);
    tell(b, peer, &w);
}

static void tell_view(struct bootstrap *b, node_id peer, uint64_t digest, bool complete)
{
    /* Before it can take us for a cluster that it isn't in: it may have missed the commit. */
    if (!b->empty && view_has(&b->agreed, peer)) tell_list(b, peer, BOOTSTRAP_COMMIT, &b->agreed);
    struct writer w;
    writer_init(&w, 32);
    writer_u8(&w, BOOTSTRAP_VIEW);
    writer_u8(&w, b->empty);
    writer_u8(&w, complete);
    writer_u64(&w, digest);
    tell(b, peer, &w);
}

static void tell_members(struct bootstrap *b, enum bootstrap_kind kind, const struct view *v)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->members[i].id != b->cluster->o.id) tell_list(b, v->members[i].id, kind, v);
    }
}

static void tell_all(struct bootstrap *b, uint64_t digest, bool complete)
{
    struct cluster_peer *p = NULL;
    while ((p = cluster_peer_next(b->cluster, p)) != NULL) {
        if (p->up) tell_view(b, p->id, digest, complete);
    }
}

/* ---- deciding ---- */

static struct heard *heard_of(struct bootstrap *b, node_id id)
{
    for (size_t i = 0; i < b->heard_count; i++) {
        if (b->heard[i].id == id) return &b->heard[i];
    }
    return NULL;
}

static void agree(struct bootstrap *b, const struct view *v)
{
    node_id ids[LIMIT_VOTERS];
    const char *names[LIMIT_VOTERS];
    b->agreed = *v;
    b->empty = false;
    for (size_t i = 0; i < v->count; i++) {
        ids[i] = b->agreed.members[i].id;
        names[i] = b->agreed.members[i].name;
    }
    LOG(INF, "Cluster formed: %zu nodes, first is %s", v->count, names[0]);
    b->o.agreed(b->o.ctx, ids, names, v->count);
}

/* The peer that keeps our view from being everybody's; NULL: none. */
static const char *view_hindrance(struct bootstrap *b, const struct view *v, uint64_t digest)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->members[i].id == b->cluster->o.id) continue;
        const struct heard *h = heard_of(b, v->members[i].id);
        if (h == NULL || !h->empty || !h->complete || h->digest != digest)
            return v->members[i].name;
    }
    return NULL;
}

static void propose(struct bootstrap *b, const struct view *v, uint64_t digest)
{
    if (b->proposed == digest) return;
    b->proposed = digest;
    for (size_t i = 0; i < b->heard_count; i++)
        b->heard[i].confirmed = false;
    tell_members(b, BOOTSTRAP_PROPOSE, v);
}

static bool confirmed_by_all(struct bootstrap *b, const struct view *v)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->members[i].id == b->cluster->o.id) continue;
        const struct heard *h = heard_of(b, v->members[i].id);
        if (h == NULL || !h->confirmed) return false;
    }
    return true;
}

static void decide(struct bootstrap *b)
{
    struct view v;
    view_now(b, &v);
    uint64_t digest = view_digest(&v);
    bool complete = routes_complete(b->cluster);
    if (b->told != digest + complete) {
        b->told = digest + complete;
        tell_all(b, digest, complete);
    }
    if (!b->empty || b->joining) return;
    bool ready = complete && v.count <= LIMIT_VOTERS && view_hindrance(b, &v, digest) == NULL;
    if (!ready) {
        b->proposed = 0;
    } else if (v.members[0].id == b->cluster->o.id) {
        propose(b, &v, digest);
        if (!confirmed_by_all(b, &v)) return;
        tell_members(b, BOOTSTRAP_COMMIT, &v);
        agree(b, &v);
    }
}

/* ---- hearing ---- */

static void join(struct bootstrap *b, const struct cluster_peer *from)
{
    if (b->joining) return;
    b->joining = true;
    LOG(INF,
        "This node's store is empty, but %s has data: no cluster is formed here, this node waits "
        "to be added to theirs",
        from->name);
    if (b->o.joining != NULL) b->o.joining(b->o.ctx, from);
}

static void on_view(struct bootstrap *b, struct cluster_peer *from, struct reader *r)
{
    bool empty = reader_u8(r) != 0;
    bool complete = reader_u8(r) != 0;
    uint64_t digest = reader_u64(r);
    if (r->bad) return;
    struct heard *h = heard_of(b, from->id);
    if (h == NULL && b->heard_count == PEER_COUNT_MAX) return;
    if (h == NULL) h = &b->heard[b->heard_count++];
    bool confirmed = h->confirmed && h->digest == digest;
    *h = (struct heard){.id = from->id,
                        .empty = empty,
                        .complete = complete,
                        .digest = digest,
                        .confirmed = confirmed};
    if (!empty && b->empty) join(b, from);
    decide(b);
}

static void on_propose(struct bootstrap *b, struct cluster_peer *from, struct reader *r)
{
    struct view theirs, ours;
    if (!view_decode(r, &theirs) || !b->empty || b->joining) return;
    view_now(b, &ours);
    bool same = ours.count <= LIMIT_VOTERS && view_digest(&ours) == view_digest(&theirs);
    if (!same || theirs.members[0].id != from->id || !routes_complete(b->cluster)) return;
    struct writer w;
    writer_init(&w, 16);
    writer_u8(&w, BOOTSTRAP_CONFIRM);
    writer_u64(&w, view_digest(&theirs));
    tell(b, from->id, &w);
}

static void on_confirm(struct bootstrap *b, struct cluster_peer *from, struct reader *r)
{
    uint64_t digest = reader_u64(r);
    struct heard *h = heard_of(b, from->id);
    if (r->bad || h == NULL || digest != b->proposed) return;
    h->confirmed = true;
    decide(b);
}

static void on_commit(struct bootstrap *b, struct cluster_peer *from, struct reader *r)
{
    struct view v;
    if (!view_decode(r, &v) || !b->empty || b->joining) return;
    if (view_has(&v, b->cluster->o.id) && view_has(&v, from->id)) agree(b, &v);
}

static void
bootstrap_frame(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body)
{
    static void (*const rows[])(struct bootstrap *, struct cluster_peer *, struct reader *) = {
        [BOOTSTRAP_VIEW] = on_view,
        [BOOTSTRAP_PROPOSE] = on_propose,
        [BOOTSTRAP_CONFIRM] = on_confirm,
        [BOOTSTRAP_COMMIT] = on_commit,
    };
    (void)lane;
    struct reader r = reader_of(body.at, body.bytes);
    uint8_t kind = reader_u8(&r);
    if (kind < ARRAY_COUNT(rows) && rows[kind] != NULL) rows[kind](ctx, from, &r);
}

static void bootstrap_up(struct cluster_watcher *w, struct cluster_peer *p)
{
    struct bootstrap *b = CONTAINER_OF(w, struct bootstrap, watcher);
    struct view v;
    view_now(b, &v);
    tell_view(b, p->id, view_digest(&v), routes_complete(b->cluster));
    decide(b);
}

static void bootstrap_down(struct cluster_watcher *w, struct cluster_peer *p, bool dead)
{
    struct bootstrap *b = CONTAINER_OF(w, struct bootstrap, watcher);
    struct heard *h = heard_of(b, p->id);
    (void)dead;
    if (h != NULL) *h = b->heard[--b->heard_count];
    decide(b);
}

static void log_waiting(struct bootstrap *b)
{
    struct view v;
    view_now(b, &v);
    const struct route *missing = routes_missing(b->cluster);
    const char *hindrance = NULL;
    if (v.count <= LIMIT_VOTERS) hindrance = view_hindrance(b, &v, view_digest(&v));
    if (v.count > LIMIT_VOTERS)
        LOG(INF, "Waiting to form a cluster: %zu nodes are here, at most %d can vote", v.count,
            LIMIT_VOTERS);
    else if (missing != NULL)
        LOG(INF, "Waiting to form a cluster: route %s:%d isn't up", missing->host, missing->port);
    else if (hindrance != NULL)
        LOG(INF, "Waiting to form a cluster: %s doesn't see the same empty nodes", hindrance);
}

static void bootstrap_tick(struct env_timer *t)
{
    struct bootstrap *b = CONTAINER_OF(t, struct bootstrap, timer);
    if (!b->empty || b->cluster->closing) return;
    b->ticks++;
    if (b->ticks % BOOTSTRAP_TICKS_TELL == 0) b->told = 0;
    if (b->ticks % BOOTSTRAP_TICKS_LOG == 0 && !b->joining) log_waiting(b);
    env_timer_start(t, BOOTSTRAP_TICK_NS);
    decide(b);
}

void cluster_bootstrap(const struct cluster_bootstrap_options *o)
{
    struct cluster *c = o->cluster;
    CHECK(c->bootstrap == NULL);
    struct bootstrap *b = check_alloc(sizeof *b);
    b->o = *o;
    b->cluster = c;
    b->empty = o->empty;
    b->watcher = (struct cluster_watcher){.up = bootstrap_up, .down = bootstrap_down};
    c->bootstrap = b;
    cluster_on(c, FRAME_BOOTSTRAP, bootstrap_frame, b);
    cluster_watch(c, &b->watcher);
    env_timer_init(c->o.env, &b->timer, bootstrap_tick);
    if (b->empty) env_timer_start(&b->timer, 0);
}

void bootstrap_free(struct bootstrap *b)
{
    if (b == NULL) return;
    env_timer_stop(&b->timer);
    free(b);
}
