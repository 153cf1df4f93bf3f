/* segment.h - one file of the log: fixed size, zeroed before its first use, used again and again.
 * Page 0 is the segment's head: what came before it. Batches follow; a sealed segment's last batch
 * is the index of its entries. A file's name never changes; its place in the log is `seq`, in the
 * head. Thread: blocking calls; a worker, or the loop while the log opens. */
#pragma once

#include "raft/log_page.h"
#include "raft/log_record.h"
#include "raft/log_run.h"
#include "store/base/env.h"

struct segment {
    struct env *env;
    struct env_file *file;
    char *path;
    uint32_t number; /* in the file's name */
    uint32_t pages;
    uint32_t seq;   /* 0: free */
    unsigned reads; /* reads under way: the file stays open */
};
struct segment_head {
    struct log_state state;           /* as the segment begins */
    uint32_t pages;                   /* of this file */
    uint32_t index_page, index_pages; /* of the segment before; 0: there is none */
};

/* The number in a file's name; false: not a segment. */
bool segment_parse_name(const char *name, uint32_t *number);
NODISCARD int segment_open(struct env *env, const char *dir, uint32_t number, struct segment **out);
/* A new file of zeros, durable with its name. */
NODISCARD int segment_create(struct env *env,
                             const char *dir,
                             uint32_t number,
                             uint32_t pages,
                             struct segment **out);
void segment_close(struct segment *s);           /* NULL is harmless */
NODISCARD int segment_remove(struct segment *s); /* closes and deletes */
NODISCARD int segment_read(struct segment *s, uint64_t page, uint8_t *to, size_t pages);
/* Written and synced. */
NODISCARD int segment_write(struct segment *s, uint64_t page, const uint8_t *from, size_t pages);

/* Takes the segment in use: its head, stamped, written and synced. */
NODISCARD int segment_write_head(struct segment *s,
                                 const struct log_page_owner *owner,
                                 const struct segment_head *head,
                                 uint64_t stamp,
                                 uint64_t *chain);
NODISCARD int segment_get_head(struct reader r, struct segment_head *out);
/* The index of a run, all of it in one segment. */
size_t segment_index_bytes(const struct log_run *run, size_t more_entries, size_t more_kept_bytes);
void segment_put_index(struct writer *w, const struct log_run *run);
/* Into an initialised run. E_CORRUPT. */
NODISCARD int segment_get_index(struct reader r, const struct segment *s, struct log_run *out);
