/* log_record.c - see log_record.h. */
#include "raft/log_record.h"

#include <string.h>
#include <xxhash.h>

void log_record_encode(const struct log_record *record, uint8_t to[LOG_RECORD_BYTES])
{
    struct writer w = writer_over(to, LOG_RECORD_BYTES);
    writer_u8(&w, record->kind);
    writer_u8(&w, record->type);
    writer_u16(&w, 0);
    writer_u32(&w, record->bytes);
    writer_u64(&w, record->a);
    writer_u64(&w, record->b);
    writer_u64(&w, record->c);
}

void log_record_decode(struct reader *r, struct log_record *out)
{
    out->kind = reader_u8(r);
    out->type = reader_u8(r);
    (void)reader_u16(r);
    out->bytes = reader_u32(r);
    out->a = reader_u64(r);
    out->b = reader_u64(r);
    out->c = reader_u64(r);
}

uint64_t log_record_check(const struct log_record *entry, const void *payload)
{
    uint64_t mix[5] = {XXH3_64bits(payload, entry->bytes), entry->a, entry->b, entry->type,
                       entry->bytes};
    return XXH3_64bits(mix, sizeof mix);
}

bool log_record_fits(const struct log_record *record, const struct log_state *state)
{
    switch (record->kind) {
    case LOG_RECORD_ENTRY:
        return record->a == state->last + 1 && record->b != 0 && record->type >= LOG_COMMAND &&
               record->type <= LOG_CHANGE;
    case LOG_RECORD_VOTE:
        return record->bytes == 0 && record->a >= state->vote.term;
    case LOG_RECORD_TRUNCATE:
        return record->bytes == 0 && record->a >= state->first && record->a <= state->last + 1;
    case LOG_RECORD_FLOOR:
        return record->a >= state->first && record->a <= state->last + 1 &&
               record->bytes <= LOG_CONFIG_BYTES_MAX;
    case LOG_RECORD_RESET:
        return record->bytes == 0 && record->a + 1 >= state->first;
    default:
        return false;
    }
}

void log_record_apply(const struct log_record *record, const void *payload, struct log_state *state)
{
    switch ((enum log_record_kind)record->kind) {
    case LOG_RECORD_ENTRY:
        state->last = record->a;
        break;
    case LOG_RECORD_VOTE:
        state->vote = (struct log_vote){.term = record->a, .vote = record->b};
        break;
    case LOG_RECORD_TRUNCATE:
        state->last = record->a - 1;
        break;
    case LOG_RECORD_FLOOR:
        state->first = record->a;
        state->prev_term = record->b;
        if (record->bytes == 0) break;
        CHECK(record->bytes <= sizeof state->config);
        state->config_index = record->c;
        state->config_bytes = record->bytes;
        memcpy(state->config, payload, record->bytes);
        break;
    case LOG_RECORD_RESET:
        state->first = record->a + 1;
        state->last = record->a;
        state->prev_term = record->b;
        break;
    }
}

void log_record_put_state(struct writer *w, const struct log_state *state)
{
    writer_u64(w, state->first);
    writer_u64(w, state->last);
    writer_u64(w, state->prev_term);
    writer_u64(w, state->vote.term);
    writer_u64(w, state->vote.vote);
    writer_u64(w, state->config_index);
    writer_u32(w, state->config_bytes);
    writer_put(w, state->config, state->config_bytes);
}

void log_record_get_state(struct reader *r, struct log_state *out)
{
    *out = (struct log_state){0};
    out->first = reader_u64(r);
    out->last = reader_u64(r);
    out->prev_term = reader_u64(r);
    out->vote.term = reader_u64(r);
    out->vote.vote = reader_u64(r);
    out->config_index = reader_u64(r);
    out->config_bytes = reader_u32(r);
    if (out->config_bytes > sizeof out->config) r->bad = true;
    const uint8_t *config = reader_bytes(r, r->bad ? 0 : out->config_bytes);
    if (config != NULL) memcpy(out->config, config, out->config_bytes);
}
