/* subjects.h - the subjects of one stream: rows in hash pages, by linear hashing over a seeded
 * XXH3. No directory on disk: the number of buckets is in the stream's row. A page that is not
 * resident is read with one get. Thread: loop. Source: store.md 6; Litwin, Linear hashing, 1980. */
#pragma once

#include "store/subject_page.h"

struct subjects {
    struct subject_page **dir; /* by bucket; NULL: not resident, or empty and never written */
    uint32_t dir_max, buckets;
    uint64_t count; /* rows */
    bool durable;   /* some page may have a row in KV_STATE */
};

/* The subject that was last looked up or appended: its next removal needs no block read. */
struct subject_hint {
    uint64_t hash;
    stream_seq seq; /* of a message of it whose size is known here; 0: none */
    uint32_t bytes;
    uint32_t subject_bytes, max;
    char *subject;
};

void subjects_init(struct subjects *s, uint32_t buckets, uint64_t count, bool durable);
/* Drops all pages, also from the budget. */
void subjects_close(struct store_stream *ss);
void subjects_install(struct store_stream *ss, uint32_t bucket, struct subject_page *p);
/* A page's row is durable. */
void subjects_settled(struct store_stream *ss);

uint64_t subjects_hash(const struct store_stream *ss, struct text subject);
/* The page will be needed soon. */
void subjects_prefetch(const struct store_stream *ss, uint64_t hash);
/* The row, to look at; NULL: no such subject. Valid until the next call here. */
const struct subject_row *
subjects_find(struct store_stream *ss, uint64_t hash, struct text subject);
void subjects_append(struct store_stream *ss,
                     uint64_t hash,
                     struct text subject,
                     stream_seq seq,
                     uint32_t bytes);
/* One message less. True: it was the last of several, and which one is now must be found by looking
 * back from seq (subjects_set_last). */
bool subjects_remove(struct store_stream *ss, uint64_t hash, struct text subject, stream_seq seq);
void subjects_set_last(struct store_stream *ss,
                       uint64_t hash,
                       struct text subject,
                       stream_seq last,
                       uint32_t bytes);
/* What a scan found: the exact first. */
void subjects_set_first(struct store_stream *ss,
                        uint64_t hash,
                        struct text subject,
                        stream_seq first);
/* The only subject of the stream has `count` messages less at its front; count is less than all. */
void subjects_shrink(struct store_stream *ss, uint64_t count);
/* All messages are gone. */
void subjects_clear(struct store_stream *ss);
/* Every row, in no order; pages that are not resident are read past the budget. */
void subjects_each(struct store_stream *ss,
                   void (*each)(void *ctx, const struct subject_row *row),
                   void *ctx);

/* Remembers a subject, and a message of it whose size is known (seq 0: none). */
void subjects_hint(struct store_stream *ss,
                   uint64_t hash,
                   struct text subject,
                   stream_seq seq,
                   uint32_t bytes);
/* Does the hint know subject and size of message seq? look: also by its subject's row. */
bool subjects_hinted(struct store_stream *ss, stream_seq seq, bool look, uint32_t *bytes);
static inline struct text subjects_hint_text(const struct subject_hint *h)
{
    return (struct text){.at = h->subject, .bytes = h->subject_bytes};
}
