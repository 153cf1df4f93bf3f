/* log_record.h - a record in a batch: 32 bytes of head, then its payload; and the state that a
 * sequence of records makes, which each segment's first page repeats so that older segments aren't
 * needed for it. */
#pragma once

#include "raft/log.h"
#include "store/base/reader.h"
#include "store/base/writer.h"

#define LOG_RECORD_BYTES 32u
#define LOG_CONFIG_BYTES_MAX 512u /* five voters and as many learners, with room */

enum log_record_kind {
    LOG_RECORD_ENTRY = 1,    /* type; a index, b term, c checksum of all; the payload follows */
    LOG_RECORD_VOTE = 2,     /* a term, b vote */
    LOG_RECORD_TRUNCATE = 3, /* a first index that goes */
    LOG_RECORD_FLOOR = 4,    /* a first index that stays, b term before it, c index of the
                                configuration behind (no bytes: the one known stays) */
    LOG_RECORD_RESET = 5,    /* a last index of the checkpoint, b its term */
};
struct log_record {
    uint8_t kind, type;
    uint32_t bytes; /* behind the head */
    uint64_t a, b, c;
};
struct log_state {
    log_index first, last;
    log_term prev_term; /* of first - 1 */
    struct log_vote vote;
    log_index config_index;
    uint32_t config_bytes;
    uint8_t config[LOG_CONFIG_BYTES_MAX];
};

void log_record_encode(const struct log_record *record, uint8_t to[LOG_RECORD_BYTES]);
void log_record_decode(struct reader *r, struct log_record *out);
/* c of an entry. */
uint64_t log_record_check(const struct log_record *entry, const void *payload);
/* Does the record follow from the state? What comes from a disk is asked before it is applied. */
bool log_record_fits(const struct log_record *record, const struct log_state *state);
void log_record_apply(const struct log_record *record,
                      const void *payload,
                      struct log_state *state);
void log_record_put_state(struct writer *w, const struct log_state *state);
void log_record_get_state(struct reader *r, struct log_state *out);
