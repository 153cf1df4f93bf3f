/* rpc.c - see rpc.h. */
#include "raft/rpc.h"

#include "raft/log.h"
#include "store/base/bug.h"
#include "store/base/check.h"
#include "store/base/err.h"
#include "store/base/limits.h"

enum rpc_field {
    TERM = 1,
    NUMBER = 2,
    INDEX = 4,
    INDEX_TERM = 8,
    REJECTED = 16,
    CANDIDATE = 32,
    FLAGS = 64,
};

#define RPC_HEAD_BYTES 2
/* No election gets near it. A term is adopted and stored: behind the highest there is no next. */
#define RPC_TERM_MAX (UINT64_MAX / 2)
#define RPC_SMALL_BYTES_MAX (RPC_HEAD_BYTES + 6 * 8 + 1)

/* clang-format off */
static const uint8_t rpc_fields[RPC_TYPES] = {
    [RPC_APPEND_RESULT]  = TERM | INDEX | REJECTED,
    [RPC_VOTE]           = TERM | INDEX | INDEX_TERM | CANDIDATE | FLAGS,
    [RPC_VOTE_RESULT]    = TERM | FLAGS,
    [RPC_TIMEOUT_NOW]    = TERM | INDEX | INDEX_TERM,
    [RPC_KEEPALIVE]      = TERM,
    [RPC_KEEPALIVE_ECHO] = TERM,
    [RPC_READ_PROBE]     = TERM | NUMBER,
    [RPC_READ_ANSWER]    = TERM | NUMBER | FLAGS,
    [RPC_READ_ASK]       = NUMBER,
    [RPC_READ_INDEX]     = NUMBER | INDEX,
};
/* clang-format on */

static void head_put(struct writer *w, enum rpc_type type)
{
    writer_u8(w, RPC_VERSION);
    writer_u8(w, (uint8_t)type);
}

struct slice rpc_encode(const struct rpc *m)
{
    CHECK(m->type > 0 && m->type < RPC_TYPES);
    uint8_t fields = rpc_fields[m->type];
    CHECK(fields != 0);
    struct slice s = slice_alloc(RPC_SMALL_BYTES_MAX);
    struct writer w = writer_over(s.at, s.bytes);
    head_put(&w, m->type);
    if (fields & TERM) writer_u64(&w, m->term);
    if (fields & NUMBER) writer_u64(&w, m->number);
    if (fields & INDEX) writer_u64(&w, m->index);
    if (fields & INDEX_TERM) writer_u64(&w, m->index_term);
    if (fields & REJECTED) writer_u64(&w, m->rejected);
    if (fields & CANDIDATE) writer_u64(&w, m->candidate);
    if (fields & FLAGS) writer_u8(&w, m->flags);
    s.bytes = w.bytes;
    return s;
}

static int head_get(struct reader *r)
{
    uint8_t version = reader_u8(r);
    uint8_t type = reader_u8(r);
    if (r->bad) return E_MALFORMED;
    if (version != RPC_VERSION) return E_VERSION;
    return type == 0 || type >= RPC_TYPES ? E_MALFORMED : type;
}

int rpc_type(struct slice message)
{
    struct reader r = reader_of(message.at, message.bytes);
    return head_get(&r);
}

int rpc_decode(struct slice message, struct rpc *out)
{
    struct reader r = reader_of(message.at, message.bytes);
    int type = head_get(&r);
    if (type < 0) return type;
    uint8_t fields = rpc_fields[type];
    if (fields == 0) return E_MALFORMED;
    *out = (struct rpc){.type = (enum rpc_type)type};
    if (fields & TERM) out->term = reader_u64(&r);
    if (fields & NUMBER) out->number = reader_u64(&r);
    if (fields & INDEX) out->index = reader_u64(&r);
    if (fields & INDEX_TERM) out->index_term = reader_u64(&r);
    if (fields & REJECTED) out->rejected = reader_u64(&r);
    if (fields & CANDIDATE) out->candidate = reader_u64(&r);
    if (fields & FLAGS) out->flags = reader_u8(&r);
    if ((fields & TERM) && (out->term == 0 || out->term > RPC_TERM_MAX)) return E_MALFORMED;
    return r.bad || reader_left(&r) != 0 ? E_MALFORMED : 0;
}

/* ---- AppendEntries ---- */

void rpc_append_head(struct writer *w, const struct rpc_append *a)
{
    /* COMMIT (raft.md 2.13), checked once more where it leaves us. */
    CHECK(BUG_COMMIT_CLAMP_OFF || a->commit <= a->prev + a->count);
    head_put(w, RPC_APPEND);
    writer_u64(w, a->term);
    writer_u64(w, a->prev);
    writer_u64(w, a->prev_term);
    writer_u64(w, a->commit);
    writer_u8(w, a->flags);
    writer_u32(w, a->count);
}

void rpc_entry_head(struct writer *w, log_term term, uint8_t type, uint32_t bytes)
{
    writer_u64(w, term);
    writer_u8(w, type);
    writer_u32(w, bytes);
}

/* A leader's log has terms that never fall, none above its own; libraft trusts that. */
static int entries_check(const struct rpc_append *a)
{
    struct reader r = a->entries;
    uint64_t bytes = 0;
    log_term last = a->prev_term;
    for (uint32_t k = 0; k < a->count; k++) {
        log_term term = reader_u64(&r);
        uint8_t type = reader_u8(&r);
        uint32_t payload_bytes = reader_u32(&r);
        if (r.bad || type < LOG_COMMAND || type > LOG_CHANGE) return E_MALFORMED;
        if (term == 0 || term < last || term > a->term) return E_MALFORMED;
        if (payload_bytes > LIMIT_ENTRY_BYTES) return E_TOOBIG;
        last = term;
        bytes += payload_bytes;
    }
    return bytes == reader_left(&a->payloads) ? 0 : E_MALFORMED;
}

int rpc_append_decode(struct slice message, struct rpc_append *out)
{
    struct reader r = reader_of(message.at, message.bytes);
    int type = head_get(&r);
    if (type != RPC_APPEND) return type < 0 ? type : E_MALFORMED;
    out->term = reader_u64(&r);
    out->prev = reader_u64(&r);
    out->prev_term = reader_u64(&r);
    out->commit = reader_u64(&r);
    out->flags = reader_u8(&r);
    out->count = reader_u32(&r);
    if (r.bad || out->count > reader_left(&r) / RPC_ENTRY_HEAD_BYTES) return E_MALFORMED;
    if (out->term == 0 || out->term > RPC_TERM_MAX) return E_MALFORMED;
    if (out->prev_term > out->term) return E_MALFORMED;
    if ((out->prev == 0) != (out->prev_term == 0)) return E_MALFORMED;
    if (out->prev > UINT64_MAX / 2) return E_MALFORMED;
    out->entries = reader_sub(&r, (size_t)out->count * RPC_ENTRY_HEAD_BYTES);
    out->payloads = r;
    return entries_check(out);
}

struct rpc_entry rpc_append_next(struct rpc_append *a, struct slice message)
{
    struct rpc_entry e = {0};
    e.term = reader_u64(&a->entries);
    e.type = reader_u8(&a->entries);
    uint32_t bytes = reader_u32(&a->entries);
    const uint8_t *at = reader_bytes(&a->payloads, bytes);
    CHECK(at != NULL); /* entries_check has counted */
    e.payload = slice_part(message, (size_t)(at - message.at), bytes);
    return e;
}

/* ---- batches ---- */

struct slice rpc_batch_head(log_term term, uint64_t first)
{
    struct slice s = slice_alloc(RPC_HEAD_BYTES + sizeof term + sizeof first);
    struct writer w = writer_over(s.at, s.bytes);
    head_put(&w, RPC_BATCH);
    writer_u64(&w, term);
    writer_u64(&w, first);
    return s;
}

int rpc_batch_decode(struct slice message, log_term *term, uint64_t *first, struct slice *batch)
{
    struct reader r = reader_of(message.at, message.bytes);
    int type = head_get(&r);
    *term = reader_u64(&r);
    *first = reader_u64(&r);
    if (type != RPC_BATCH || r.bad) return E_MALFORMED;
    *batch = slice_part(message, (size_t)(r.at - message.at), reader_left(&r));
    return 0;
}
