/* sim_log.c - see sim_log.h. */
#include "tests/sim/sim_log.h"

#include <stdlib.h>
#include <string.h>

#include "raft/log.h"
#include "store/base/err.h"
#include "tests/sim/sim_env.h"

#define ENTRIES_MAX 100000u
#define OPS_MAX 20000u
#define RUN_NS (60 * NS_PER_S)
#define IDENTITY 77

enum op_kind { OP_APPEND, OP_VOTE, OP_TRUNCATE, OP_TRIM, OP_RESET };
struct op {
    enum op_kind kind;
    log_index index;
    log_term term;
    uint64_t value; /* entry: seed of the payload; vote: for whom */
    uint32_t bytes;
};
/* What a sequence of calls makes of a log. */
struct model {
    log_index first, last;
    log_term prev_term;
    struct log_vote vote;
    struct op entries[ENTRIES_MAX];
};
struct world {
    struct sim *sim;
    struct sim_disk disk;
    struct sim_env *env;
    struct log *log;
    struct model *now, *then; /* as asked; as of the last start, moved on while searching */
    struct op ops[OPS_MAX];   /* since the last start */
    size_t ops_count;
    log_index durable; /* announced */
    uint64_t votes_announced, votes_asked;
    size_t vote_ops[OPS_MAX];
    log_term term;
    uint64_t boots;
    unsigned starts;
};

static void apply(struct model *m, const struct op *op)
{
    switch (op->kind) {
    case OP_APPEND:
        m->last = op->index;
        m->entries[op->index] = *op;
        break;
    case OP_VOTE:
        m->vote = (struct log_vote){.term = op->term, .vote = op->value};
        break;
    case OP_TRUNCATE:
        m->last = op->index - 1;
        break;
    case OP_TRIM:
        m->prev_term = op->index - 1 < m->first ? m->prev_term : m->entries[op->index - 1].term;
        m->first = op->index;
        break;
    case OP_RESET:
        m->first = op->index + 1;
        m->last = op->index;
        m->prev_term = op->term;
        break;
    }
}

static struct slice payload_of(uint64_t value, uint32_t bytes)
{
    struct slice s = slice_alloc(bytes);
    for (uint32_t b = 0; b < bytes; b++)
        s.at[b] = (uint8_t)(value * 31 + b * 7 + (b >> 9));
    return s;
}

/* ---- asking ---- */

static void ask(struct world *w, struct op op)
{
    CHECK(w->ops_count < OPS_MAX);
    w->ops[w->ops_count++] = op;
    apply(w->now, &op);
}

static void ask_append(struct world *w)
{
    struct sim *s = w->sim;
    uint32_t bytes = (uint32_t)sim_log_uniform(s, 1, sim_chance(s, 20) ? 300000 : 12000);
    struct op op = {.kind = OP_APPEND,
                    .index = w->now->last + 1,
                    .term = w->term,
                    .value = sim_random(s),
                    .bytes = bytes};
    if (op.index >= ENTRIES_MAX) return;
    log_append(w->log, op.term, LOG_COMMAND, payload_of(op.value, bytes));
    ask(w, op);
}

static void ask_vote(struct world *w)
{
    if (w->now->vote.term == w->term && w->now->vote.vote != 0) w->term++; /* one vote a term */
    struct op op = {.kind = OP_VOTE, .term = w->term, .value = sim_below(w->sim, 4)};
    w->votes_asked = log_vote_store(w->log, (struct log_vote){.term = op.term, .vote = op.value});
    w->vote_ops[w->votes_asked] = w->ops_count;
    ask(w, op);
}

static void ask_truncate(struct world *w)
{
    const struct model *m = w->now;
    if (m->last < m->first) return;
    log_index back = sim_below(w->sim, m->last - m->first + 1);
    struct op op = {.kind = OP_TRUNCATE, .index = m->last - (back < 20 ? back : back % 20)};
    log_truncate(w->log, op.index);
    if (w->durable >= op.index) w->durable = op.index - 1;
    w->term++;
    ask(w, op);
}

static void ask_trim(struct world *w)
{
    const struct model *m = w->now;
    if (m->last < m->first) return;
    struct op op = {.kind = OP_TRIM, .index = sim_between(w->sim, m->first, m->last + 1)};
    if (op.index == m->first) return;
    log_trim(w->log, op.index);
    ask(w, op);
}

static void ask_reset(struct world *w)
{
    struct op op = {
        .kind = OP_RESET, .index = w->now->last + sim_below(w->sim, 100), .term = w->term};
    if (op.index + 1 >= ENTRIES_MAX) return;
    log_reset(w->log, op.index, op.term);
    if (w->durable > op.index) w->durable = op.index;
    ask(w, op);
}

struct checked_read {
    struct log_read read;
    struct world *world;
    struct sim_env *env;
    struct op entry;
};

static void read_done(struct log_read *r, int rc, struct slice payload)
{
    struct checked_read *c = CONTAINER_OF(r, struct checked_read, read);
    const struct model *m = c->world->now;
    if (rc == E_NOTFOUND) {
        if (r->index >= m->first && r->index <= m->last &&
            m->entries[r->index].value == c->entry.value)
            sim_fail(c->world->sim, "entry %llu is not found", (unsigned long long)r->index);
    } else {
        struct slice want = payload_of(c->entry.value, c->entry.bytes);
        if (rc != 0 || payload.bytes != want.bytes || memcmp(payload.at, want.at, want.bytes) != 0)
            sim_fail(c->world->sim, "entry %llu reads wrong", (unsigned long long)r->index);
        slice_release(&want);
        slice_release(&payload);
    }
    free(c);
}

static void ask_read(struct world *w)
{
    const struct model *m = w->now;
    if (m->last < m->first) return;
    struct checked_read *c = check_alloc(sizeof *c);
    c->entry = m->entries[sim_between(w->sim, m->first, m->last)];
    c->world = w;
    c->read = (struct log_read){.index = c->entry.index, .term = c->entry.term, .done = read_done};
    log_read(w->log, &c->read);
}

static const struct {
    unsigned weight;
    void (*ask)(struct world *w);
} asks[] = {{60, ask_append}, {8, ask_vote},  {4, ask_truncate},
            {4, ask_trim},    {20, ask_read}, {1, ask_reset}};

static void ask_something(void *ctx)
{
    struct world *w = ctx;
    unsigned weights = 0;
    for (size_t i = 0; i < ARRAY_COUNT(asks); i++)
        weights += asks[i].weight;
    for (uint64_t n = 1 + sim_below(w->sim, 6); n > 0; n--) {
        uint64_t at = sim_below(w->sim, weights);
        size_t i = 0;
        for (; at >= asks[i].weight; i++)
            at -= asks[i].weight;
        asks[i].ask(w);
    }
}

/* ---- what was announced ---- */

static void on_durable(void *ctx, log_index index)
{
    struct world *w = ctx;
    if (index > w->now->last) sim_fail(w->sim, "announced more than was appended");
    w->durable = index;
}

static void on_vote_durable(void *ctx, uint64_t number)
{
    struct world *w = ctx;
    w->votes_announced = number;
}

/* ---- starting ---- */

static bool same(const struct world *w, const struct model *m)
{
    const struct log *l = w->log;
    struct log_vote vote = log_vote(l);
    if (log_first(l) != m->first || log_last(l) != m->last) return false;
    if (vote.term != m->vote.term || vote.vote != m->vote.vote) return false;
    if (log_term_at(l, m->first - 1) != m->prev_term) return false;
    for (log_index i = m->first; i <= m->last; i++) {
        if (log_term_at(l, i) != m->entries[i].term) return false;
        if (log_bytes_at(l, i) != m->entries[i].bytes) return false;
    }
    return true;
}

/* The calls up to the last announced vote are in every prefix that may be found. */
static size_t announced_ops(const struct world *w)
{
    return w->votes_announced == 0 ? 0 : w->vote_ops[w->votes_announced] + 1;
}

static void check_start(struct world *w)
{
    struct model *m = w->then;
    size_t shortest = announced_ops(w), k = 0;
    for (; k < shortest; k++)
        apply(m, &w->ops[k]);
    while (!same(w, m)) {
        if (k == w->ops_count)
            sim_fail(w->sim, "start %u: log %llu..%llu is no prefix of what was asked", w->starts,
                     (unsigned long long)log_first(w->log), (unsigned long long)log_last(w->log));
        apply(m, &w->ops[k++]);
    }
    if (log_last(w->log) < w->durable)
        sim_fail(w->sim, "start %u: log ends at %llu, %llu was announced", w->starts,
                 (unsigned long long)log_last(w->log), (unsigned long long)w->durable);
    if (log_facts(w->log)->boots < w->boots) sim_fail(w->sim, "boots went back");
    memcpy(w->now, m, sizeof *m);
}

static void start(void *ctx)
{
    struct world *w = ctx;
    struct log_options o = {.env = &w->env->env,
                            .dir = "log",
                            .identity = IDENTITY,
                            .cache_bytes = 30000,
                            .segment_bytes = 128 << 10,
                            .on_durable = on_durable,
                            .on_vote_durable = on_vote_durable,
                            .ctx = w};
    int rc = log_open(&o, &w->log);
    if (rc != 0) sim_fail(w->sim, "start %u: %s", w->starts, err_text(rc));
    check_start(w);
    w->ops_count = 0;
    w->votes_announced = w->votes_asked = 0;
    w->durable = log_durable(w->log);
    struct log_facts f = *log_facts(w->log);
    f.boots++;
    rc = log_facts_store(w->log, &f);
    if (rc != 0) sim_fail(w->sim, "start %u: facts: %s", w->starts, err_text(rc));
    w->boots = f.boots;
    w->starts++;
}

static void crash(struct world *w)
{
    enum sim_crash how = sim_chance(w->sim, 300) ? SIM_KILL : SIM_POWER;
    sim_trace(w->sim, "%s", how == SIM_KILL ? "kill" : "power failure");
    sim_env_crash(w->env);
    sim_disk_crash(&w->disk, how);
}

/* Until one start isn't cut itself. */
static void restart(struct world *w)
{
    for (;;) {
        w->env = sim_env_new(w->sim, &w->disk, 0);
        if (sim_chance(w->sim, 300)) w->disk.die_in = 1 + sim_below(w->sim, 12);
        if (sim_env_call(w->env, start, w)) break;
        sim_disk_crash(&w->disk, sim_chance(w->sim, 500) ? SIM_KILL : SIM_POWER);
    }
    w->disk.die_in = 0;
    sim_trace(w->sim, "start %u: %llu..%llu", w->starts, (unsigned long long)log_first(w->log),
              (unsigned long long)log_last(w->log));
}

void sim_log_run(struct sim *s, unsigned nodes)
{
    (void)nodes;
    struct world *w = check_alloc(sizeof *w);
    w->sim = s;
    w->now = check_alloc(sizeof *w->now);
    w->then = check_alloc(sizeof *w->then);
    w->now->first = w->then->first = 1;
    w->term = 1;
    sim_disk_init(&w->disk, s);
    w->disk.slow_per_mille = (unsigned)sim_below(s, 200);
    w->disk.slow_ns_max = sim_log_uniform(s, NS_PER_MS, 2 * NS_PER_S);
    uint64_t pause_ns = sim_log_uniform(s, 200 * NS_PER_US, 50 * NS_PER_MS);
    unsigned crash_per_mille = (unsigned)sim_log_uniform(s, 2, 100);
    restart(w);
    while (s->now_ns < RUN_NS && w->starts < 60 && w->now->last + 1000 < ENTRIES_MAX) {
        sim_run(s, s->now_ns + sim_below(s, pause_ns));
        bool died = !w->env->alive || !sim_env_call(w->env, ask_something, w);
        if (!died && !sim_chance(s, crash_per_mille) && w->ops_count + 10 < OPS_MAX) continue;
        crash(w);
        restart(w);
    }
}
