/* backup.h - a stream as bytes outside of the store: what a snapshot sends and a restore brings.
 *
 *   backup: "GNTB", u32 version (1), then records: u8 kind, u32 bytes, that many bytes
 *   consumer  as its row (rows.c), behind the row's format byte
 *   message   u64 seq, i64 time, text16 subject, text32 header, text32 body; seqs ascend
 *   end       u64 last sequence of the stream, u64 messages before
 *
 * The config isn't among them: the client keeps it and gives it back. What comes back is input: it
 * passes through the log as it came, and apply checks it. Thread: loop. */
#pragma once

#include "store/base/reader.h"
#include "store/base/writer.h"
#include "store/state/stream.h"

#define BACKUP_HEAD_BYTES 8
#define BACKUP_RECORD_BYTES 5 /* kind, length */

struct consumer;
struct state;

enum backup_kind { BACKUP_CONSUMER = 1, BACKUP_MESSAGE, BACKUP_END };

void backup_put_head(struct writer *w);
void backup_put_consumer(struct writer *w, const struct consumer *c);
void backup_put_message(struct writer *w, const struct store_msg *m);
void backup_put_end(struct writer *w, stream_seq last, uint64_t messages);
/* Bytes of the whole record at the start of t; 0: not all there yet. E_MALFORMED: no record. */
NODISCARD int backup_record(struct text t, size_t *bytes, uint8_t *kind);
