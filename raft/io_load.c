/* io_load.c - raft_io's load: the core's start from our log and the store's state.
 *
 * The snapshot is a descriptor of what the store holds durably; the entries are those of the log.
 * libraft takes the last configuration among them for committed; a conflict that cuts it restarts
 * the core (CONF). term = the higher of the stored one and the last entry's, which has no vote
 * then. */
#include "raft/io_load.h"

#include <raft.h>
#include <string.h>

#include "raft/core.h"
#include "store/base/logger.h"

/* The newest configuration at or below index. The log keeps those of its entries in memory, and the
 * one below its start among its facts. */
static void members_at(struct group *g, log_index index, struct conf *out)
{
    for (log_index i = index; i >= log_first(g->log) && i > 0; i--) {
        if (log_type_at(g->log, i) != LOG_CHANGE) continue;
        struct slice bytes;
        int rc = log_get(g->log, i, log_term_at(g->log, i), &bytes);
        CHECK(rc == 0);
        rc = members_decode(bytes.at, bytes.bytes, i, out);
        slice_release(&bytes);
        if (rc != 0)
            FATAL(EXIT_CORRUPT, "Raft log: the configuration at %llu is unreadable",
                  (unsigned long long)i);
        return;
    }
    const struct log_facts *f = log_facts(g->log);
    if (f->config_bytes == 0 || members_decode(f->config, f->config_bytes, f->config_index, out) != 0)
        FATAL(EXIT_CORRUPT, "Raft log: no readable configuration below its start");
}

static void load_entry(struct group *g, log_index i, struct raft_entry *e)
{
    /* One allocation each: a batch that the log no longer references would be freed under a send.
     */
    e->term = log_term_at(g->log, i);
    e->type = (unsigned short)log_type_at(g->log, i);
    e->batch = NULL;
    if (e->type == RAFT_COMMAND) {
        e->buf.len = HANDLE_BYTES;
        e->buf.base = raft_malloc(HANDLE_BYTES);
        handles_stored(log_bytes_at(g->log, i), e->buf.base);
        return;
    }
    struct slice bytes;
    int rc = log_get(g->log, i, e->term, &bytes);
    CHECK(rc == 0);
    e->buf.len = bytes.bytes;
    e->buf.base = raft_malloc(bytes.bytes == 0 ? 1 : bytes.bytes);
    memcpy(e->buf.base, bytes.at, bytes.bytes);
    slice_release(&bytes);
}

/* What the store holds is our snapshot: a descriptor, its one buffer only there because libraft
 * wants one. */
static struct raft_snapshot *load_snapshot(struct group *g, struct conf *conf)
{
    members_at(g, g->durable_index, conf);
    struct raft_snapshot *s = raft_calloc(1, sizeof *s);
    s->index = g->durable_index;
    s->term = g->durable_term;
    members_fill(conf, &s->configuration);
    s->configuration_index = conf->index;
    s->n_bufs = 1;
    s->bufs = raft_calloc(1, sizeof *s->bufs);
    s->bufs[0].len = 8;
    s->bufs[0].base = raft_calloc(1, 8);
    return s;
}

static void load_vote(struct group *g, raft_term *term, raft_id *vote)
{
    struct log_vote v = log_vote(g->log);
    log_term last = log_term_at(g->log, log_last(g->log));
    if (g->io.vote.term > v.term) v = g->io.vote; /* a restart of the core: queued before */
    if (last > v.term) v = (struct log_vote){.term = last};
    g->io.vote = v;
    struct conf newest = {0};
    if (!group_is_empty(g)) members_at(g, log_last(g->log), &newest);
    if (guard_solo(g, &newest)) {
        g->io.vote = (struct log_vote){.term = v.term + 1, .vote = g->self};
        io_store_vote(g);
    }
    *term = g->io.vote.term;
    *vote = g->io.vote.vote;
}

int io_load_all(struct raft_io *io,
                raft_term *term,
                raft_id *vote,
                struct raft_snapshot **snapshot,
                raft_index *start,
                struct raft_entry *entries[],
                size_t *count)
{
    struct group *g = io->impl;
    load_vote(g, term, vote);
    *snapshot = NULL;
    *entries = NULL;
    struct conf conf;
    if (g->durable_index != 0) *snapshot = load_snapshot(g, &conf);
    *start = log_first(g->log);
    *count = (size_t)(log_last(g->log) + 1 - log_first(g->log));
    if (*count == 0) return 0;
    *entries = raft_calloc(*count, sizeof **entries);
    for (size_t k = 0; k < *count; k++) {
        load_entry(g, *start + k, &(*entries)[k]);
    }
    return 0;
}
