/* backup.c - see backup.h. */
#include "store/state/backup.h"

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/state/apply.h"
#include "store/state/rows.h"

#define VERSION 1
#define RECORD_BYTES_MAX (LIMIT_PAYLOAD_BYTES + LIMIT_HEADER_BYTES + LIMIT_SUBJECT_BYTES + 64)

static size_t begin(struct writer *w, enum backup_kind kind)
{
    writer_u8(w, (uint8_t)kind);
    writer_u32(w, 0);
    return w->bytes;
}

static void finish(struct writer *w, size_t at)
{
    uint32_t bytes = (uint32_t)(w->bytes - at);
    memcpy(w->base + at - sizeof bytes, &bytes, sizeof bytes);
}

void backup_put_head(struct writer *w)
{
    writer_put(w, "GNTB", 4);
    writer_u32(w, VERSION);
}

void backup_put_consumer(struct writer *w, const struct consumer *c)
{
    size_t at = begin(w, BACKUP_CONSUMER);
    rows_put_consumer(w, c);
    finish(w, at);
}

void backup_put_message(struct writer *w, const struct store_msg *m)
{
    size_t at = begin(w, BACKUP_MESSAGE);
    writer_u64(w, m->seq);
    writer_i64(w, m->time_ns);
    writer_text16(w, m->subject);
    writer_text32(w, m->header);
    writer_text32(w, m->body);
    finish(w, at);
}

void backup_put_end(struct writer *w, stream_seq last, uint64_t messages)
{
    size_t at = begin(w, BACKUP_END);
    writer_u64(w, last);
    writer_u64(w, messages);
    finish(w, at);
}

int backup_record(struct text t, size_t *bytes, uint8_t *kind)
{
    struct reader r = reader_of(t.at, t.bytes);
    *bytes = 0;
    if (t.bytes < BACKUP_RECORD_BYTES) return 0;
    *kind = reader_u8(&r);
    uint32_t length = reader_u32(&r);
    if (*kind < BACKUP_CONSUMER || *kind > BACKUP_END || length > RECORD_BYTES_MAX)
        return E_MALFORMED;
    if (reader_left(&r) >= length) *bytes = BACKUP_RECORD_BYTES + length;
    return 0;
}
