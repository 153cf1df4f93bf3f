/* state_world.c - see state_world.h. */
#include "tests/lib/state_world.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/step_env.h"

#define BUDGET_BYTES MIB(8)
#define NODE 7
#define INCARNATION 1

/* ---- what the watcher hears ---- */

static void on_batch(void *ctx, node_id node, uint64_t incarnation, uint64_t number)
{
    (void)node;
    (void)incarnation;
    (void)number;
    ((struct state_world *)ctx)->batches++;
}
static void on_result(void *ctx, const struct apply_result *r)
{
    struct state_world *w = ctx;
    w->results++;
    w->result = *r;
    snprintf(w->detail, sizeof w->detail, "%s", r->detail);
    w->result.detail = w->detail;
}
static void on_stream_created(void *ctx, struct stream *s)
{
    ((struct state_world *)ctx)->created_stream = s->id;
}
static void on_consumer_created(void *ctx, struct consumer *c)
{
    ((struct state_world *)ctx)->created_consumer = c->id;
}
static void on_consumer_deleted(void *ctx, struct consumer *c)
{
    (void)c;
    ((struct state_world *)ctx)->deleted++;
}
static void on_stream_deleted(void *ctx, struct stream *s)
{
    (void)s;
    ((struct state_world *)ctx)->deleted++;
}
static void on_appended(void *ctx, struct stream *s, const struct store_msg *m)
{
    (void)s;
    (void)m;
    ((struct state_world *)ctx)->appended++;
}
static void on_removed(void *ctx, struct stream *s)
{
    (void)s;
    ((struct state_world *)ctx)->removed++;
}
static void on_delivered(void *ctx, struct consumer *c, const struct state_delivery *d)
{
    struct state_world *w = ctx;
    (void)c;
    w->delivered++;
    w->target = d->target;
    w->request = d->request;
    w->item_count = d->count;
    CHECK(d->count <= ARRAY_COUNT(w->items));
    memcpy(w->items, d->items, d->count * sizeof *d->items);
}
static void on_acked(void *ctx, struct consumer *c, enum ack_kind kind, stream_seq seq)
{
    (void)c;
    (void)kind;
    (void)seq;
    ((struct state_world *)ctx)->acked++;
}
static void on_terminated(void *ctx,
                          struct consumer *c,
                          stream_seq seq,
                          uint64_t cseq,
                          uint32_t deliveries,
                          struct text reason)
{
    (void)c;
    (void)seq;
    (void)cseq;
    (void)deliveries;
    (void)reason;
    ((struct state_world *)ctx)->terminated++;
}

/* ---- life ---- */

static void open_state(struct state_world *w)
{
    struct store_options so = {
        .env = w->env, .kv = mem_kv_open(w->kv), .budget_bytes = BUDGET_BYTES};
    struct store_at at;
    int rc = store_open(&so, &w->store, &at);
    CHECK_EQ(rc, 0);
    struct state_options o = {.env = w->env, .store = w->store, .at = at, .watcher = &w->watcher};
    rc = state_open(&o, &w->state);
    CHECK_EQ(rc, 0);
}

void state_world_open(struct state_world *w)
{
    *w = (struct state_world){.env = step_env_new(1), .kv = mem_kv_new()};
    w->now_ns = INT64_C(1700000000) * (int64_t)NS_PER_S;
    w->watcher = (struct state_watcher){
        .batch = on_batch,
        .result = on_result,
        .stream_created = on_stream_created,
        .stream_deleted = on_stream_deleted,
        .consumer_created = on_consumer_created,
        .consumer_deleted = on_consumer_deleted,
        .appended = on_appended,
        .removed = on_removed,
        .delivered = on_delivered,
        .acked = on_acked,
        .terminated = on_terminated,
        .origin_ctx = w,
        .ctx = w,
    };
    open_state(w);
}

void state_world_close(struct state_world *w)
{
    state_close(w->state);
    store_close(w->store);
    step_env_run_all(w->env);
    for (log_index i = 1; i <= w->last; i++)
        slice_release(&w->entries[i]);
    mem_kv_free(w->kv);
    step_env_free(w->env);
}

void state_world_forget(struct state_world *w)
{
    w->batches = w->results = w->appended = w->removed = w->deleted = 0;
    w->delivered = w->acked = w->terminated = 0;
    w->item_count = 0;
}

static void flushed(void *ctx, struct store_at at)
{
    struct state_world *w = ctx;
    CHECK_EQ(at.index, w->last);
    w->flushing = false;
}

void state_world_flush(struct state_world *w)
{
    w->flushing = true;
    int rc = state_flush(w->state, flushed, w);
    CHECK_EQ(rc, 0);
    step_env_run_all(w->env);
    CHECK(!w->flushing);
}

void state_world_crash(struct state_world *w)
{
    state_close(w->state);
    store_close(w->store);
    step_env_run_all(w->env);
    mem_kv_crash(w->kv);
    open_state(w);
    for (log_index i = state_at(w->state).index + 1; i <= w->last; i++)
        state_apply(w->state, i, 1, w->entries[i]);
}

/* ---- entries ---- */

void state_world_apply_as(struct state_world *w,
                          node_id node,
                          uint64_t incarnation,
                          uint64_t number,
                          struct writer *commands)
{
    struct writer e;
    CHECK(w->last < WORLD_ENTRIES_MAX);
    writer_init(&e, ENTRY_HEAD_BYTES + ENTRY_BATCH_BYTES + commands->bytes);
    writer_u8(&e, ENTRY_FORMAT);
    writer_i64(&e, w->now_ns);
    writer_u64(&e, node);
    writer_u64(&e, incarnation);
    writer_u64(&e, number);
    writer_u32(&e, (uint32_t)commands->bytes);
    writer_put(&e, commands->base, commands->bytes);
    writer_free(commands);
    w->entries[++w->last] = writer_take(&e);
    state_apply(w->state, w->last, 1, w->entries[w->last]);
    store_applied(w->store, state_at(w->state), w->entries[w->last].bytes);
}

void state_world_apply(struct state_world *w, struct writer *commands)
{
    state_world_apply_as(w, NODE, INCARNATION, ++w->number, commands);
}

/* ---- commands ---- */

static void put_stream(struct state_world *w, enum command_type type, const char *json)
{
    struct writer c;
    writer_init(&c, 0);
    entry_put_stream(&c, type,
                     &(struct command_stream){.account = TEXT("A"), .config = text_of(json)});
    state_world_apply(w, &c);
}

struct stream *state_world_stream(struct state_world *w, const char *json)
{
    put_stream(w, COMMAND_STREAM_CREATE, json);
    return w->result.stream;
}

enum js_error state_world_update(struct state_world *w, const char *json)
{
    put_stream(w, COMMAND_STREAM_UPDATE, json);
    return w->result.error;
}

enum js_error state_world_publish(struct state_world *w, struct stream *s, struct command_publish c)
{
    struct writer commands;
    writer_init(&commands, 0);
    c.stream = s->id;
    entry_put_publish(&commands, &c);
    state_world_apply(w, &commands);
    return w->result.error;
}

stream_seq
state_world_put(struct state_world *w, struct stream *s, const char *subject, const char *body)
{
    struct command_publish c = {.subject = text_of(subject), .body = text_of(body)};
    return state_world_publish(w, s, c) == JS_OK ? w->result.seq : 0;
}

uint64_t state_world_purge(struct state_world *w, struct stream *s, struct command_purge c)
{
    struct writer commands;
    writer_init(&commands, 0);
    c.stream = s->id;
    entry_put_purge(&commands, &c);
    state_world_apply(w, &commands);
    return w->result.count;
}

enum js_error state_world_delete(struct state_world *w, struct stream *s, stream_seq seq)
{
    struct writer commands;
    writer_init(&commands, 0);
    entry_put_msg_delete(&commands, &(struct command_msg_delete){.stream = s->id, .seq = seq});
    state_world_apply(w, &commands);
    return w->result.error;
}

enum js_error
state_world_consumer_as(struct state_world *w, struct stream *s, struct command_consumer c)
{
    struct writer commands;
    writer_init(&commands, 0);
    c.stream = s->id;
    entry_put_consumer(&commands, &c);
    state_world_apply(w, &commands);
    return w->result.error;
}

struct consumer *state_world_consumer(struct state_world *w, struct stream *s, const char *json)
{
    state_world_consumer_as(w, s, (struct command_consumer){.config = text_of(json)});
    return w->result.consumer;
}

static enum js_error deliver(struct state_world *w,
                             struct consumer *c,
                             const stream_seq *fresh,
                             uint32_t fresh_count,
                             const stream_seq *again,
                             uint32_t again_count)
{
    struct writer commands;
    writer_init(&commands, 0);
    struct command_deliver d = {.stream = c->stream->id,
                                .consumer = c->id,
                                .target = 3,
                                .request = 44,
                                .expect_delivered = c->delivered.sseq,
                                .fresh_count = fresh_count,
                                .again_count = again_count};
    entry_put_deliver(&commands, &d, fresh, again);
    state_world_apply(w, &commands);
    return w->result.error;
}

enum js_error
state_world_deliver(struct state_world *w, struct consumer *c, stream_seq from, stream_seq to)
{
    stream_seq seqs[1000];
    uint32_t count = 0;
    for (stream_seq seq = from; seq <= to; seq++)
        seqs[count++] = seq;
    return deliver(w, c, seqs, count, NULL, 0);
}

enum js_error state_world_redeliver(struct state_world *w, struct consumer *c, stream_seq seq)
{
    return deliver(w, c, NULL, 0, &seq, 1);
}

uint64_t
state_world_ack(struct state_world *w, struct consumer *c, enum ack_kind kind, stream_seq seq)
{
    struct writer commands;
    writer_init(&commands, 0);
    struct command_ack a = {
        .stream = c->stream->id, .consumer = c->id, .kind = (uint8_t)kind, .seq_count = 1};
    entry_put_ack(&commands, &a, &seq);
    state_world_apply(w, &commands);
    return w->result.count;
}

uint64_t state_world_expire(struct state_world *w, struct stream *s, uint64_t max)
{
    struct writer commands;
    writer_init(&commands, 0);
    entry_put_expire(&commands, &(struct command_expire){.stream = s->id, .max = max});
    state_world_apply(w, &commands);
    return w->result.count;
}
