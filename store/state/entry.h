/* entry.h - a Raft entry's payload: batches of commands, each batch from one origin. Formats:
 * raft/FORMATS.md.
 *
 *   entry: u8 format (1), i64 time (leader's clock, ns), then batches until the end
 *   batch: u64 node, u64 incarnation, u64 number, u32 bytes, then that many bytes of commands
 *   command: u32 bytes, u8 type, fields
 *
 * raft/ makes entries and batches (raft/propose.c); here are the commands' bytes. Decoding is
 * bounded; what can't be decoded stops the node: it was committed, so every voter sees the same. */
#pragma once

#include "store/base/reader.h"
#include "store/base/units.h"
#include "store/base/writer.h"

#define ENTRY_FORMAT 1
#define ENTRY_HEAD_BYTES 9   /* format, time */
#define ENTRY_BATCH_BYTES 28 /* node, incarnation, number, bytes */

enum command_type {
    COMMAND_PUBLISH = 1,
    COMMAND_STREAM_CREATE,
    COMMAND_STREAM_UPDATE,
    COMMAND_STREAM_DELETE,
    COMMAND_STREAM_PURGE,
    COMMAND_MSG_DELETE,
    COMMAND_CONSUMER_CREATE, /* create or update, by action */
    COMMAND_CONSUMER_DELETE,
    COMMAND_CONSUMER_PAUSE,
    COMMAND_DELIVER,
    COMMAND_ACK,
    COMMAND_EXPIRE, /* leader: messages of a stream are past max_age, their TTL or a limit, at most
                       so many */
    COMMAND_ACCOUNT_LIMITS, /* what the configuration grants an account: it decides outcomes, so it
                               is logged */
    COMMAND_COPY,    /* leader: a mirror or source takes its next messages, at most so many */
    COMMAND_RESTORE, /* a stream begins, fills or is complete */
    COMMAND_TYPES
};

enum publish_flag {
    PUBLISH_MSG_ID = 1,
    PUBLISH_EXPECT_SEQ = 2, /* stream's last sequence */
    PUBLISH_EXPECT_SUBJECT_SEQ =
        4, /* last sequence of the subject, or of expect_subject when that is set */
    PUBLISH_EXPECT_MSG_ID = 8,
    PUBLISH_ROLLUP_SUBJECT = 16,
    PUBLISH_ROLLUP_ALL = 32,
    PUBLISH_TTL = 64,
    PUBLISH_FLAGS = 127,
};

/* The headers that decide an outcome are parsed once, by the node that proposes. */
struct command_publish {
    uint32_t stream; /* id */
    uint32_t flags;
    struct text subject, header, body; /* header: as stored, status line cleaned; empty: none */
    struct text msg_id, expect_msg_id, expect_subject;
    uint64_t expect_seq, expect_subject_seq;
    int64_t ttl_ns; /* -1: never */
};
struct command_stream {  /* create, update */
    struct text account; /* name */
    struct text config;  /* JSON, as stream_config_encode writes it, defaults set */
    bool pedantic;
};
struct command_stream_delete {
    uint32_t stream;
};
struct command_purge {
    uint32_t stream;
    struct text filter;   /* empty: all */
    uint64_t below, keep; /* 0: not set */
};
struct command_msg_delete {
    uint32_t stream;
    uint64_t seq;
    bool erase;
};
enum consumer_action { CONSUMER_CREATE_OR_UPDATE, CONSUMER_CREATE, CONSUMER_UPDATE };
struct command_consumer {
    uint32_t stream;
    uint8_t action;
    struct text config;    /* JSON, name set */
    bool deliver_interest; /* the existing deliver subject has interest somewhere (decided by the
                              proposer) */
    uint32_t seen; /* consumer of that name that deliver_interest speaks of; 0: the proposer knew
                      none, and one that is there when this is applied was created a moment ago: it
                      counts as having interest */
};
struct command_consumer_delete {
    uint32_t stream, consumer;
};
struct command_pause {
    uint32_t stream, consumer;
    int64_t until_ns; /* 0: resume */
};
/* What the leader wants sent. Sent by `target` when it applies this. `fresh` sequences must all lie
 * above the consumer's delivered stream sequence as of `expect_delivered`, or the command is
 * refused whole (another leader was faster). `again` sequences must be pending. */
struct command_deliver {
    uint32_t stream, consumer;
    node_id target;
    uint64_t request; /* pull request or push target on that node; opaque */
    uint64_t expect_delivered;
    uint64_t skip_to; /* delivered moves at least here: what lies between didn't match; 0: no */
    struct reader fresh, again; /* n x varint: first sequence, then distances (>= 1); counted by
                                   fresh_count/again_count */
    uint32_t fresh_count, again_count;
};
enum ack_kind {
    ACK_ACK,
    ACK_NAK,
    ACK_TERM,
    ACK_PROGRESS,
    ACK_ALL,
    ACK_EXHAUSTED /* leader: max_deliver reached */
};
struct command_ack {
    uint32_t stream, consumer;
    uint8_t kind;
    int64_t delay_ns;   /* NAK */
    struct text reason; /* TERM */
    struct reader seqs; /* stream sequences, as in command_deliver */
    uint32_t seq_count;
};
struct command_expire {
    uint32_t stream;
    uint64_t max; /* at most so many */
};
struct command_copy {
    uint32_t stream, source; /* index among the stream's sources; a mirror has one */
    uint64_t max;
};
enum restore_step { RESTORE_BEGIN, RESTORE_RECORDS, RESTORE_FINISH };
struct command_restore {
    uint8_t step;
    uint32_t stream;     /* 0 to begin */
    struct text account; /* to begin */
    struct text config;  /* to begin and finish */
    struct text records; /* whole ones (backup.h) */
};

/* -1: unlimited. */
struct account_limits {
    int64_t max_memory, max_storage, max_streams, max_consumers;
    int64_t memory_max_stream_bytes, storage_max_stream_bytes;
    int64_t max_ack_pending;
    bool max_bytes_required;
};
struct command_account_limits {
    struct text account; /* name */
    struct account_limits limits;
};

/* Writers append one whole command (length and type included). */
void entry_put_publish(struct writer *w, const struct command_publish *c);
size_t entry_publish_bytes(const struct command_publish *c); /* an upper bound */
void entry_put_stream(struct writer *w, enum command_type type, const struct command_stream *c);
void entry_put_stream_delete(struct writer *w, const struct command_stream_delete *c);
void entry_put_purge(struct writer *w, const struct command_purge *c);
void entry_put_msg_delete(struct writer *w, const struct command_msg_delete *c);
void entry_put_consumer(struct writer *w, const struct command_consumer *c);
void entry_put_consumer_delete(struct writer *w, const struct command_consumer_delete *c);
void entry_put_pause(struct writer *w, const struct command_pause *c);
/* seqs ascending */
void entry_put_deliver(struct writer *w,
                       const struct command_deliver *c,
                       const stream_seq *fresh,
                       const stream_seq *again);
void entry_put_ack(struct writer *w, const struct command_ack *c, const stream_seq *seqs);
void entry_put_expire(struct writer *w, const struct command_expire *c);
void entry_put_copy(struct writer *w, const struct command_copy *c);
void entry_put_restore(struct writer *w, const struct command_restore *c);
void entry_put_account_limits(struct writer *w, const struct command_account_limits *c);

/* The limits alone, as the account's row keeps them. */
void entry_put_limits(struct writer *w, const struct account_limits *l);
void entry_get_limits(struct reader *r, struct account_limits *out);

/* Decoders take the command's fields (behind the type). E_MALFORMED. */
NODISCARD int entry_get_publish(struct reader r, struct command_publish *out);
NODISCARD int entry_get_stream(struct reader r, struct command_stream *out);
NODISCARD int entry_get_stream_delete(struct reader r, struct command_stream_delete *out);
NODISCARD int entry_get_purge(struct reader r, struct command_purge *out);
NODISCARD int entry_get_msg_delete(struct reader r, struct command_msg_delete *out);
NODISCARD int entry_get_consumer(struct reader r, struct command_consumer *out);
NODISCARD int entry_get_consumer_delete(struct reader r, struct command_consumer_delete *out);
NODISCARD int entry_get_pause(struct reader r, struct command_pause *out);
NODISCARD int entry_get_deliver(struct reader r, struct command_deliver *out);
NODISCARD int entry_get_ack(struct reader r, struct command_ack *out);
NODISCARD int entry_get_expire(struct reader r, struct command_expire *out);
NODISCARD int entry_get_copy(struct reader r, struct command_copy *out);
NODISCARD int entry_get_restore(struct reader r, struct command_restore *out);
NODISCARD int entry_get_account_limits(struct reader r, struct command_account_limits *out);
/* Next of an encoded ascending list; *last starts at 0. 0 at the end. */
stream_seq entry_next_seq(struct reader *list, stream_seq *last);
