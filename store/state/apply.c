/* apply.c - an entry's batches and commands, in order; results and wake-ups out.
 *
 * The happy path: state_apply reads the entry's time, takes each batch whose number is its origin's
 * next, runs its commands through the table and reports one result each. A batch that isn't the
 * next was applied before (its results were given then) or came before its turn (its origin sends
 * it again): it is passed over, and nobody is told. What can't be decoded was committed all the
 * same, so the node stops. */
#include "store/state/apply.h"

#include <stdarg.h>
#include <stdio.h>

#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/state/digest.h"

static const struct apply_command {
    const char *name;
    void (*run)(struct apply *a, struct reader fields);
} commands[COMMAND_TYPES] = {
    /* clang-format off */
    [COMMAND_PUBLISH]         = {"publish",         apply_publish},
    [COMMAND_STREAM_CREATE]   = {"stream create",   apply_stream_create},
    [COMMAND_STREAM_UPDATE]   = {"stream update",   apply_stream_update},
    [COMMAND_STREAM_DELETE]   = {"stream delete",   apply_stream_delete},
    [COMMAND_STREAM_PURGE]    = {"stream purge",    apply_stream_purge},
    [COMMAND_MSG_DELETE]      = {"message delete",  apply_stream_msg_delete},
    [COMMAND_CONSUMER_CREATE] = {"consumer create", apply_consumer_create},
    [COMMAND_CONSUMER_DELETE] = {"consumer delete", apply_consumer_delete},
    [COMMAND_CONSUMER_PAUSE]  = {"consumer pause",  apply_consumer_pause},
    [COMMAND_DELIVER]         = {"deliver",         apply_consumer_deliver},
    [COMMAND_ACK]             = {"ack",             apply_consumer_ack},
    [COMMAND_EXPIRE]          = {"expire",          apply_clock_expire},
    [COMMAND_ACCOUNT_LIMITS]  = {"account limits",  apply_stream_account_limits},
    [COMMAND_COPY]            = {"copy",            apply_copy},
    [COMMAND_RESTORE]         = {"restore",         apply_restore},
    /* clang-format on */
};

void apply_undecodable(const struct state *s, const char *what)
{
    FATAL(EXIT_CORRUPT, "entry %llu: %s can't be decoded: it is damaged, or of a later version",
          (unsigned long long)s->at.index + 1, what);
}

void apply_read(int rc)
{
    if (rc != 0 && rc != E_NOTFOUND)
        FATAL(EXIT_CORRUPT, "a stored message can't be read: %s", err_text(rc));
}

/* ---- results ---- */

int apply_fail(struct apply *a, enum js_error error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(a->state->detail, sizeof a->state->detail, fmt, args);
    va_end(args);
    a->result.error = error;
    a->result.detail = a->state->detail;
    return E_INVAL;
}

int apply_refuse(struct apply *a, enum js_error error)
{
    a->result.error = error;
    return E_INVAL;
}

void apply_config_error(struct apply *a, const struct config_error *error)
{
    (void)apply_fail(a, (enum js_error)error->code, "%s", error->detail);
}

struct stream *apply_stream(struct apply *a, uint32_t id)
{
    struct stream *s = state_stream_by_id(a->state, id);
    a->stream = id;
    if (s == NULL) a->result.error = JS_STREAM_NOT_FOUND;
    return s;
}

struct consumer *apply_consumer(struct apply *a, uint32_t stream, uint32_t id)
{
    struct stream *s = apply_stream(a, stream);
    if (s == NULL) return NULL;
    struct consumer *c = state_consumer_by_id(a->state, id);
    if (c != NULL && c->stream == s) return c;
    a->result.error = JS_CONSUMER_NOT_FOUND;
    return NULL;
}

/* ---- what a flush must write ---- */

void apply_dirty_stream(struct stream *s)
{
    if (!list_linked(&s->apply->dirty)) list_push_back(&s->state->dirty_streams, &s->apply->dirty);
}

void apply_dirty_consumer(struct consumer *c)
{
    if (c->dirty || c->local) return;
    c->dirty = true;
    list_push_back(&c->stream->state->dirty_consumers, &c->dirty_node);
}

void apply_dirty_account(struct state *s, struct account *account)
{
    if (!list_linked(&account->dirty)) list_push_back(&s->dirty_accounts, &account->dirty);
}

static void dirty_origin(struct state *s, struct origin *o)
{
    if (!list_linked(&o->dirty)) list_push_back(&s->dirty_origins, &o->dirty);
}

void apply_counted(struct stream *s, uint64_t bytes_before, uint64_t bytes_after)
{
    struct account *account = s->apply->account;
    if (!account->counted) return;
    uint64_t *bytes =
        s->config.storage == STORAGE_MEMORY ? &account->memory_bytes : &account->storage_bytes;
    *bytes += bytes_after - bytes_before; /* modulo 2^64: also downwards */
}

/* ---- one command ---- */

static void tell_removed(struct state *s, struct stream *stream)
{
    if (stream == NULL || !stream->apply->removed) return;
    stream->apply->removed = false;
    WATCH(s, removed, stream);
}

static void finish_command(struct apply *a, uint8_t type)
{
    struct state *s = a->state;
    const struct apply_result *r = &a->result;
    const uint64_t outcome[] = {
        (uint64_t)type << 32 | a->stream,
        (uint64_t)r->error << 2 | (uint64_t)r->duplicate << 1 | r->created,
        r->seq,
        r->count,
    };
    s->digest = digest_add(s->digest, outcome, ARRAY_COUNT(outcome));
    WATCH_ORIGIN(s, result, r);
    if (a->stream != 0) tell_removed(s, state_stream_by_id(s, a->stream));
}

static void run_command(struct state *s, struct slice payload, uint8_t type, struct reader fields)
{
    struct apply a = {.state = s, .payload = payload, .result = {.detail = ""}};
    if (type >= COMMAND_TYPES || commands[type].run == NULL)
        apply_undecodable(s, "a command's type");
    commands[type].run(&a, fields);
    finish_command(&a, type);
}

static void run_batch(struct state *s, struct slice payload, struct reader batch)
{
    while (reader_left(&batch) > 0) {
        uint32_t bytes = reader_u32(&batch);
        struct reader fields = reader_sub(&batch, bytes);
        uint8_t type = reader_u8(&fields);
        if (batch.bad || fields.bad) apply_undecodable(s, "a command's length");
        run_command(s, payload, type, fields);
    }
}

/* ---- batches ---- */

/* An origin's batches are numbered from 1 in each incarnation. A later incarnation retires the
 * earlier one, whose batches may still come out of the log behind it: they are refused. */
static bool take_batch(struct state *s, node_id node, uint64_t incarnation, uint64_t number)
{
    struct origin *o = map_get_u64(&s->origins, node);
    if (o == NULL) {
        if (number != 1) return false;
        o = check_alloc(sizeof *o);
        o->node = node;
        map_put_u64(&s->origins, node, o);
    } else if (incarnation == o->incarnation) {
        bool repeat = number <= o->number;
        if (number != o->number + 1 && !(BUG_ORIGIN_REPEAT && repeat)) return false;
    } else if (incarnation < o->incarnation || number != 1) {
        return false;
    }
    o->incarnation = incarnation;
    o->number = number;
    dirty_origin(s, o);
    return true;
}

static void apply_batch(struct state *s, struct slice payload, struct reader *r)
{
    node_id node = reader_u64(r);
    uint64_t incarnation = reader_u64(r), number = reader_u64(r);
    uint32_t bytes = reader_u32(r);
    struct reader batch = reader_sub(r, bytes);
    if (r->bad || batch.bad) apply_undecodable(s, "a batch");
    if (!take_batch(s, node, incarnation, number)) return;
    WATCH_ORIGIN(s, batch, node, incarnation, number);
    run_batch(s, payload, batch);
    WATCH_ORIGIN(s, batch_done);
}

void state_apply(struct state *s, log_index index, log_term term, struct slice payload)
{
    CHECK(index > s->at.index);
    struct reader r = reader_of(payload.at, payload.bytes);
    uint8_t format = reader_u8(&r);
    int64_t time_ns = reader_i64(&r);
    if (r.bad || format != ENTRY_FORMAT) apply_undecodable(s, "the head");
    /* Leaders don't stamp backwards, but a stream's times must ascend whatever they do. */
    if (time_ns > s->now_ns) s->now_ns = time_ns;
    while (reader_left(&r) > 0)
        apply_batch(s, payload, &r);
    if (r.bad) apply_undecodable(s, "a batch");
    s->at = (struct store_at){.index = index, .term = term};
}

void state_pass(struct state *s, log_index index, log_term term)
{
    CHECK(index > s->at.index);
    s->at = (struct store_at){.index = index, .term = term};
}
