/* Random histories on a store and on arrays that do the same naively, with flushes, crashes at any
 * call that changes the map below, and replays; then every answer is compared. The same history
 * under a tiny budget and a large one must give equal answers (store.md, rules 7, 8, 9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/subject_match.h"
#include "store/store.h"
#include "tests/lib/mem_kv.h"
#include "tests/lib/step_env.h"

#define STREAMS 4
#define SEQ_MAX 40000
#define OPS_MAX 40000

enum kind { OP_APPEND, OP_REMOVE, OP_BELOW, OP_SKIP, OP_NEW, OP_DELETE };
struct op {
    enum kind kind;
    uint32_t stream, subject, bytes;
    uint64_t seq;
    bool told; /* remove_below with a callback */
};
struct model_msg {
    bool live;
    uint32_t subject, bytes;
    int64_t time;
};
struct model_stream {
    bool exists;
    uint32_t id, history, subjects;
    uint64_t first, last;
    int64_t last_ns;
    struct model_msg *msgs; /* by sequence */
};
struct world {
    struct env *env;
    struct mem_kv *kv;
    struct store *store;
    struct store_stream *streams[STREAMS];
    struct model_stream models[STREAMS];
    struct op *ops;
    uint64_t op_count, applied, flushed;
    uint64_t random, budget, burst;
    uint32_t id_next;
    bool flushing;
    struct store_cursor cursor;
};

static uint64_t rnd(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % below;
}

static struct text subject_name(char *buf, size_t bytes, uint32_t subject)
{
    int n = snprintf(buf, bytes, "s.%u.%u%s", subject % 3, subject,
                     subject % 7 == 0 ? ".with.a.longer.tail.than.the.others" : "");
    return (struct text){.at = buf, .bytes = (size_t)n};
}

static uint8_t body_byte(uint32_t id, uint64_t seq, uint32_t at)
{
    return (uint8_t)(id * 31 + seq * 7 + at);
}

static uint64_t model_bytes(const struct model_msg *m)
{
    char name[64];
    uint64_t header = m->bytes % 3 == 0 ? 4 + m->bytes / 2 : 0;
    uint64_t body = m->bytes % 3 == 0 ? m->bytes - m->bytes / 2 : m->bytes;
    if (header == 4) header = 0;
    return 30 + subject_name(name, sizeof name, m->subject).bytes + header + body;
}

/* ---- the model ---- */

static void model_first(struct model_stream *m)
{
    while (m->first <= m->last && !m->msgs[m->first].live)
        m->first++;
}

static void model_apply(struct model_stream *m, const struct op *op, int64_t now)
{
    switch (op->kind) {
    case OP_APPEND:
        m->last++;
        m->msgs[m->last] = (struct model_msg){
            .live = true, .subject = op->subject, .bytes = op->bytes, .time = now};
        m->last_ns = now;
        break;
    case OP_REMOVE:
        m->msgs[op->seq].live = false;
        break;
    case OP_BELOW:
        for (uint64_t seq = m->first; seq < op->seq && seq <= m->last; seq++)
            m->msgs[seq].live = false;
        break;
    case OP_SKIP:
        for (uint64_t seq = m->last + 1; seq <= op->seq; seq++)
            m->msgs[seq].live = false;
        m->last = op->seq;
        break;
    case OP_NEW:
        m->exists = true;
        m->id = op->subject;
        m->history = op->bytes;
        m->subjects = 1 + op->subject % 2 * 200;
        m->first = op->seq;
        m->last = op->seq - 1;
        m->last_ns = 0;
        break;
    case OP_DELETE:
        m->exists = false;
        break;
    }
    model_first(m);
}

static uint64_t model_oldest(const struct model_stream *m, uint32_t subject, uint32_t *count)
{
    uint64_t oldest = 0;
    *count = 0;
    for (uint64_t seq = m->first; seq <= m->last; seq++) {
        if (!m->msgs[seq].live || m->msgs[seq].subject != subject) continue;
        if (oldest == 0) oldest = seq;
        ++*count;
    }
    return oldest;
}

/* ---- the store does the same ---- */

static void count_removed(void *ctx, const struct store_msg *m)
{
    (void)m;
    ++*(uint64_t *)ctx;
}

static void store_append_op(struct world *w, const struct op *op, int64_t now)
{
    struct store_stream *ss = w->streams[op->stream];
    char name[64];
    uint64_t seq = store_stream_counts(ss).last + 1;
    uint32_t header = op->bytes % 3 == 0 ? op->bytes / 2 : 0;
    struct slice owner = slice_alloc(op->bytes + 64);
    struct store_msg m = {.time_ns = now};
    m.subject = subject_name(name, sizeof name, op->subject);
    if (op->bytes % 2 == 0) { /* the subject lies in the entry, too */
        memcpy(owner.at + op->bytes, m.subject.at, m.subject.bytes);
        m.subject.at = (const char *)owner.at + op->bytes;
    }
    for (uint32_t i = 0; i < op->bytes; i++)
        owner.at[i] = body_byte(w->models[op->stream].id, seq, i);
    m.header = (struct text){.at = (const char *)owner.at, .bytes = header};
    m.body = (struct text){.at = (const char *)owner.at + header, .bytes = op->bytes - header};
    assert_int_equal(store_append(ss, &m, owner), seq);
    slice_release(&owner);
}

static void store_op(struct world *w, const struct op *op, int64_t now)
{
    struct store_stream **ss = &w->streams[op->stream];
    uint64_t told = 0;
    switch (op->kind) {
    case OP_APPEND:
        store_append_op(w, op, now);
        break;
    case OP_REMOVE:
        assert_int_equal(store_remove(*ss, op->seq), 0);
        assert_int_equal(store_remove(*ss, op->seq), E_NOTFOUND);
        break;
    case OP_BELOW: {
        uint64_t removed = store_remove_below(*ss, op->seq, op->told ? count_removed : NULL, &told);
        if (op->told) assert_int_equal(told, removed);
        break;
    }
    case OP_SKIP:
        store_skip_to(*ss, op->seq);
        break;
    case OP_NEW:
        *ss = store_stream_new(w->store, 7, op->subject, op->seq, op->bytes);
        break;
    case OP_DELETE:
        store_stream_delete(*ss);
        *ss = NULL;
        break;
    }
}

static int64_t op_time(uint64_t index)
{
    return (int64_t)index * 1000 + 5;
}

static void apply_store(struct world *w, const struct op *op)
{
    w->applied++;
    store_op(w, op, op_time(w->applied));
    store_applied(w->store, (struct store_at){.index = w->applied, .term = 3}, op->bytes + 50);
}

static void apply(struct world *w, struct op op)
{
    assert_true(w->op_count < OPS_MAX);
    w->ops[w->op_count++] = op;
    model_apply(&w->models[op.stream], &op, op_time(w->op_count));
    apply_store(w, &op);
}

/* ---- flush, crash, open ---- */

static void collect(void *ctx)
{
    struct world *w = ctx;
    for (uint32_t i = 0; i < STREAMS; i++) {
        char key[16], value[16];
        int n = snprintf(key, sizeof key, "s%u", i);
        struct text k = {.at = key, .bytes = (size_t)n};
        if (w->streams[i] == NULL) {
            store_del(w->store, k);
            continue;
        }
        n = snprintf(value, sizeof value, "%u", w->models[i].id);
        store_put(w->store, k, (struct text){.at = value, .bytes = (size_t)n});
    }
}

static void flushed(void *ctx, struct store_at at)
{
    struct world *w = ctx;
    w->flushing = false;
    if (!mem_kv_dead(w->kv)) w->flushed = at.index;
}

static void flush_start(struct world *w)
{
    if (w->flushing) return;
    struct store_at at = {.index = w->applied, .term = 3};
    assert_int_equal(store_flush(w->store, at, collect, flushed, w), 0);
    w->flushing = true;
}

static void open_row(void *ctx, struct text key, struct text value)
{
    struct world *w = ctx;
    char id[16] = {0};
    assert_true(key.bytes == 2 && value.bytes < sizeof id);
    memcpy(id, value.at, value.bytes);
    int rc = store_stream_open(w->store, 7, (uint32_t)strtoul(id, NULL, 10),
                               &w->streams[key.at[1] - '0']);
    assert_int_equal(rc, 0);
}

static void open_store(struct world *w)
{
    struct store_options o = {.env = w->env, .kv = mem_kv_open(w->kv), .budget_bytes = w->budget};
    struct store_at at;
    memset(w->streams, 0, sizeof w->streams);
    assert_int_equal(store_open(&o, &w->store, &at), 0);
    w->applied = at.index;
    w->flushing = false;
    struct store_row_visitor v = {.row = open_row, .ctx = w};
    assert_int_equal(store_rows(w->store, TEXT("s"), v), 0);
}

static void reopen(struct world *w)
{
    store_cursor_close(&w->cursor);
    store_close(w->store);
    mem_kv_crash(w->kv);
    open_store(w);
    assert_true(w->applied >= w->flushed);
    while (w->applied < w->op_count)
        apply_store(w, &w->ops[w->applied]);
}

/* ---- comparing ---- */

static void
check_msg(const struct world *w, uint32_t stream, const struct store_msg *m, uint64_t seq)
{
    char name[64];
    const struct model_stream *ms = &w->models[stream];
    const struct model_msg *mm = &ms->msgs[seq];
    assert_int_equal(m->seq, seq);
    assert_int_equal(m->time_ns, mm->time);
    assert_true(text_equal(m->subject, subject_name(name, sizeof name, mm->subject)));
    assert_int_equal(m->header.bytes + m->body.bytes, mm->bytes);
    assert_int_equal(store_msg_bytes(m), model_bytes(mm));
    for (uint32_t i = 0; i < mm->bytes; i++) {
        const char *at =
            i < m->header.bytes ? m->header.at + i : m->body.at + (i - m->header.bytes);
        if ((uint8_t)*at != body_byte(ms->id, seq, i)) fail_msg("byte %u of %lu", i, seq);
    }
}

static void check_counts(struct world *w, uint32_t stream)
{
    const struct model_stream *ms = &w->models[stream];
    uint64_t msgs = 0, bytes = 0, subjects = 0;
    static bool seen[512];
    memset(seen, 0, sizeof seen);
    for (uint64_t seq = ms->first; seq <= ms->last; seq++) {
        const struct model_msg *m = &ms->msgs[seq];
        if (!m->live) continue;
        msgs++;
        bytes += model_bytes(m);
        if (!seen[m->subject]) subjects++;
        seen[m->subject] = true;
    }
    struct store_counts c = store_stream_counts(w->streams[stream]);
    assert_int_equal(c.first, ms->first);
    assert_int_equal(c.last, ms->last);
    assert_int_equal(c.msgs, msgs);
    assert_int_equal(c.bytes, bytes);
    assert_int_equal(c.subjects, subjects);
    assert_int_equal(c.first_ns, msgs == 0 ? 0 : ms->msgs[ms->first].time);
    assert_int_equal(c.last_ns, ms->last_ns);
}

static void check_every_sequence(struct world *w, uint32_t stream)
{
    const struct model_stream *ms = &w->models[stream];
    struct store_msg m;
    uint64_t low = ms->first > 3 ? ms->first - 3 : 0;
    for (uint64_t seq = low; seq <= ms->last + 2; seq++) {
        bool live = seq >= ms->first && seq <= ms->last && ms->msgs[seq].live;
        int rc = store_get(w->streams[stream], seq, &w->cursor, &m);
        if (rc != (live ? 0 : E_NOTFOUND)) fail_msg("get %lu gave %d", seq, rc);
        if (live) check_msg(w, stream, &m, seq);
    }
}

struct gaps {
    const struct model_stream *ms;
    uint64_t at, count;
};
static void gap_seen(void *ctx, stream_seq seq)
{
    struct gaps *g = ctx;
    while (g->at < seq && g->ms->msgs[g->at].live)
        g->at++;
    assert_int_equal(g->at, seq);
    g->at++;
    g->count++;
}

static void check_deleted(struct world *w, uint32_t stream)
{
    const struct model_stream *ms = &w->models[stream];
    struct gaps g = {.ms = ms, .at = ms->first};
    uint64_t want = 0;
    for (uint64_t seq = ms->first; seq <= ms->last; seq++)
        if (!ms->msgs[seq].live) want++;
    assert_int_equal(store_deleted(w->streams[stream], NULL, NULL), want);
    assert_int_equal(store_deleted(w->streams[stream], gap_seen, &g), want);
    assert_int_equal(g.count, want);
}

static bool model_match(const struct model_msg *m, const struct text *filters, size_t count)
{
    char name[64];
    struct text subject = subject_name(name, sizeof name, m->subject);
    for (size_t i = 0; i < count; i++)
        if (subject_match(filters[i], subject)) return true;
    return count == 0;
}

static void check_next(struct world *w, uint32_t stream, const struct text *filters, size_t count)
{
    const struct model_stream *ms = &w->models[stream];
    stream_seq from = rnd(w, 4) == 0 ? 1 : ms->first + rnd(w, ms->last - ms->first + 2);
    uint64_t at = from < ms->first ? ms->first : from, want = 0;
    uint64_t counted = store_count(w->streams[stream], from, filters, count);
    for (;;) {
        struct store_msg m;
        uint32_t scan = 1 + (uint32_t)rnd(w, 500);
        int rc = store_next(w->streams[stream], &from, filters, count, scan, &w->cursor, &m);
        if (rc == E_AGAIN) continue;
        while (at <= ms->last && !(ms->msgs[at].live && model_match(&ms->msgs[at], filters, count)))
            at++;
        if (rc == E_NOTFOUND) break;
        assert_int_equal(rc, 0);
        check_msg(w, stream, &m, at);
        assert_int_equal(from, at + 1);
        at++;
        want++;
    }
    assert_int_equal(at, ms->last + 1);
    assert_int_equal(counted, want);
}

static void check_last(struct world *w, uint32_t stream, struct text filter)
{
    const struct model_stream *ms = &w->models[stream];
    uint64_t upto = rnd(w, 3) == 0 ? 0 : ms->first + rnd(w, ms->last - ms->first + 2);
    uint64_t want = upto == 0 || upto > ms->last ? ms->last : upto;
    while (want >= ms->first && !(ms->msgs[want].live && model_match(&ms->msgs[want], &filter, 1)))
        want--;
    struct store_msg m;
    int rc = store_last(w->streams[stream], filter, upto, &w->cursor, &m);
    assert_int_equal(rc, want < ms->first ? E_NOTFOUND : 0);
    if (rc == 0) check_msg(w, stream, &m, want);
}

static void check_subject(struct world *w, uint32_t stream, uint32_t subject)
{
    const struct model_stream *ms = &w->models[stream];
    char name[64];
    struct text text = subject_name(name, sizeof name, subject);
    uint32_t count;
    uint64_t first = model_oldest(ms, subject, &count), last = ms->last;
    struct store_subject row;
    stream_seq exact;
    int rc = store_subject_get(w->streams[stream], text, &row);
    assert_int_equal(rc, count == 0 ? E_NOTFOUND : 0);
    assert_int_equal(store_subject_first(w->streams[stream], text, &exact), rc);
    if (count == 0) return;
    while (!ms->msgs[last].live || ms->msgs[last].subject != subject)
        last--;
    assert_int_equal(row.count, count);
    assert_int_equal(row.last, last);
    assert_int_equal(row.last_bytes, model_bytes(&ms->msgs[last]));
    assert_int_equal(exact, first);
    assert_true(row.first <= first && row.first >= ms->first);
    if (ms->history > 1) assert_int_equal(row.first, first);
}

struct listing {
    struct world *w;
    uint32_t stream;
    uint64_t count;
};
static void listed(void *ctx, struct text subject, const struct store_subject *row)
{
    struct listing *l = ctx;
    char name[64];
    const struct model_msg *m = &l->w->models[l->stream].msgs[row->last];
    assert_true(m->live);
    assert_true(text_equal(subject, subject_name(name, sizeof name, m->subject)));
    l->count++;
}

static void check_seq_at(struct world *w, uint32_t stream)
{
    const struct model_stream *ms = &w->models[stream];
    int64_t ns = (int64_t)rnd(w, (uint64_t)op_time(w->op_count) + 2000);
    uint64_t want = ms->first;
    while (want <= ms->last && !(ms->msgs[want].live && ms->msgs[want].time >= ns))
        want++;
    assert_int_equal(store_seq_at(w->streams[stream], ns), want);
}

static void check_stream(struct world *w, uint32_t stream)
{
    static const char *const filters[] = {"s.>", "s.1.*", "s.2.>", "s.*.14.>", "s.0.3", "x.>"};
    if (!w->models[stream].exists) {
        assert_null(w->streams[stream]);
        return;
    }
    check_counts(w, stream);
    check_every_sequence(w, stream);
    check_deleted(w, stream);
    check_next(w, stream, NULL, 0);
    for (size_t i = 0; i < ARRAY_COUNT(filters); i++) {
        struct text two[2] = {text_of(filters[i]), TEXT("s.2.17")};
        check_next(w, stream, two, 1 + rnd(w, 2));
        check_last(w, stream, two[0]);
    }
    check_last(w, stream, TEXT(">"));
    for (uint32_t i = 0; i < 10; i++) {
        char name[64];
        uint32_t subject = (uint32_t)rnd(w, w->models[stream].subjects);
        struct text text = subject_name(name, sizeof name, subject);
        check_subject(w, stream, subject);
        check_last(w, stream, text);
        check_next(w, stream, &text, 1);
        check_seq_at(w, stream);
    }
    struct listing l = {.w = w, .stream = stream};
    store_subjects(w->streams[stream], TEXT(">"), listed, &l);
    assert_int_equal(l.count, store_stream_counts(w->streams[stream]).subjects);
}

static void check_all(struct world *w)
{
    for (uint32_t i = 0; i < STREAMS; i++)
        check_stream(w, i);
}

/* ---- random histories ---- */

static uint64_t random_live(struct world *w, const struct model_stream *m)
{
    if (m->first > m->last) return 0;
    for (int i = 0; i < 20; i++) {
        uint64_t seq = m->first + rnd(w, m->last - m->first + 1);
        if (m->msgs[seq].live) return seq;
    }
    return m->first;
}

static void append_op(struct world *w, uint32_t stream)
{
    struct model_stream *m = &w->models[stream];
    uint32_t bytes = (uint32_t)rnd(w, 200);
    if (rnd(w, 4) == 0) bytes = 1000 + (uint32_t)rnd(w, 3000);
    if (rnd(w, 300) == 0) bytes = 1000 + (uint32_t)rnd(w, 80000);
    struct op op = {.kind = OP_APPEND, .stream = stream, .bytes = bytes};
    op.subject = (uint32_t)rnd(w, m->subjects);
    apply(w, op);
    uint32_t count;
    uint64_t oldest = model_oldest(m, op.subject, &count);
    if (m->history > 0 && count > m->history)
        apply(w, (struct op){.kind = OP_REMOVE, .stream = stream, .seq = oldest});
}

static void random_op(struct world *w)
{
    uint32_t stream = (uint32_t)rnd(w, STREAMS);
    struct model_stream *m = &w->models[stream];
    uint64_t dice = rnd(w, 1000);
    if (!m->exists) {
        static const uint32_t histories[] = {0, 1, 5, 0};
        apply(w, (struct op){.kind = OP_NEW,
                             .stream = stream,
                             .subject = ++w->id_next,
                             .bytes = histories[rnd(w, 4)],
                             .seq = 1 + rnd(w, 3) * 50});
    } else if (dice < 1 && rnd(w, 4) == 0) {
        apply(w, (struct op){.kind = OP_DELETE, .stream = stream});
    } else if (dice < 6) {
        uint64_t last = m->last + 1 + rnd(w, rnd(w, 2) == 0 ? 10 : 500);
        if (last < SEQ_MAX) apply(w, (struct op){.kind = OP_SKIP, .stream = stream, .seq = last});
    } else if (dice < 20) {
        uint64_t below = m->first + rnd(w, rnd(w, 8) == 0 ? m->last - m->first + 3 : 60);
        apply(w, (struct op){
                     .kind = OP_BELOW, .stream = stream, .seq = below, .told = rnd(w, 2) == 0});
    } else if (dice < 250) {
        uint64_t seq = rnd(w, 3) == 0 ? random_live(w, m) : m->first <= m->last ? m->first : 0;
        if (seq != 0) apply(w, (struct op){.kind = OP_REMOVE, .stream = stream, .seq = seq});
    } else {
        for (uint64_t n = rnd(w, w->burst); n > 0 && m->last + 2 < SEQ_MAX; n--)
            append_op(w, stream);
    }
}

static void world_open(struct world *w, uint64_t seed, uint64_t budget)
{
    *w = (struct world){.random = seed * 1000003 + 1, .budget = budget, .burst = 3 + seed % 4};
    w->env = step_env_new(seed);
    w->kv = mem_kv_new();
    w->ops = check_alloc(OPS_MAX * sizeof *w->ops);
    for (uint32_t i = 0; i < STREAMS; i++)
        w->models[i].msgs = check_alloc((SEQ_MAX + 8) * sizeof(struct model_msg));
    open_store(w);
}

static void world_close(struct world *w)
{
    store_cursor_close(&w->cursor);
    store_close(w->store);
    mem_kv_free(w->kv);
    step_env_free(w->env);
    for (uint32_t i = 0; i < STREAMS; i++)
        free(w->models[i].msgs);
    free(w->ops);
}

static uint64_t search_from, search_to;

static void history(uint64_t seed, uint64_t budget, bool crashes, uint64_t ops)
{
    struct world w;
    world_open(&w, seed, budget);
    while (w.op_count < ops) {
        for (uint64_t n = rnd(&w, 400); n > 0 && w.op_count < ops; n--)
            random_op(&w);
        if (rnd(&w, 3) == 0) flush_start(&w);
        for (uint64_t n = rnd(&w, 5); n > 0; n--)
            step_env_run(w.env);
        if (rnd(&w, 4) == 0) step_env_run_all(w.env);
        if (rnd(&w, 8) == 0) check_stream(&w, (uint32_t)rnd(&w, STREAMS));
        if (!crashes || rnd(&w, 3) != 0) continue;
        mem_kv_fuse(w.kv, rnd(&w, 12));
        while (!mem_kv_dead(w.kv) && step_env_run(w.env))
            continue;
        reopen(&w);
        if (rnd(&w, 2) == 0) check_all(&w);
    }
    check_all(&w);
    flush_start(&w);
    step_env_run_all(w.env);
    check_all(&w);
    reopen(&w);
    assert_int_equal(w.applied, w.op_count);
    check_all(&w);
    if (search_to != 0) {
        struct store_stats st = store_stats(w.store);
        printf("  live %lu of rows %zu files %zu\n", st.live_bytes, mem_kv_rows(w.kv, KV_DATA),
               mem_kv_files(w.kv));
    }
    world_close(&w);
}

static void random_histories_agree_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        history(seed, GIB(1), false, 6000);
}

static void random_histories_agree_under_a_tiny_budget(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        history(seed, 1, false, 6000);
}

static void a_kill_anywhere_loses_nothing_that_replay_does_not_bring_back(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed <= 40; seed++)
        history(seed, seed % 2 == 0 ? 1 : GIB(1), true, 4000);
}

static void search(void **state)
{
    (void)state;
    for (uint64_t seed = search_from; seed < search_to; seed++) {
        printf("seed %lu\n", seed);
        history(seed, seed % 3 == 0 ? GIB(1) : seed % 3, seed % 4 != 0, 4000);
    }
}

/* Without arguments the tests; with two, a search over seeds from the first to before the second.
 */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_agree_with_the_model),
        cmocka_unit_test(random_histories_agree_under_a_tiny_budget),
        cmocka_unit_test(a_kill_anywhere_loses_nothing_that_replay_does_not_bring_back),
    };
    const struct CMUnitTest searches[] = {cmocka_unit_test(search)};
    if (argc != 3) return cmocka_run_group_tests(tests, NULL, NULL);
    search_from = strtoull(argv[1], NULL, 10);
    search_to = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(searches, NULL, NULL);
}
