/* meta.h - small durable facts in two slots, written in turn; the one with the higher generation
 * counts. A slot that was cut in the middle of its first write is passed over; a damaged one is
 * E_CORRUPT, never 'nothing was ever stored'. Term and vote live in the log's batches; the copy
 * here says how old a log may look at most. Thread: the loop while the log opens; blocking. */
#pragma once

#include "raft/log.h"
#include "raft/log_page.h"
#include "store/base/env.h"

struct meta {
    struct log_facts facts;
    struct log_vote vote; /* the log's is at least this */
    uint64_t seq;         /* the log's newest segment is at least this */
    uint64_t generation;  /* 0: never stored */
};

/* E_NOTFOUND: no meta file. E_FOREIGN, E_VERSION, E_CORRUPT. */
NODISCARD int
meta_load(struct env *env, const char *dir, const struct log_page_owner *owner, struct meta *out);
/* Durable when it returns 0; raises the generation. */
NODISCARD int
meta_store(struct env *env, const char *dir, const struct log_page_owner *owner, struct meta *m);
