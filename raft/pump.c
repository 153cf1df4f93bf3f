/* pump.c - see pump.h.
 *
 * In the steady state payloads are in the log's cache and everything committed is applied in the
 * same turn. Where one must be read, others are read ahead; where the state machine can't go on
 * (E_AGAIN), the payload is kept and group_sm_ready goes on. An entry is applied only when our own
 * disk has it. */
#include "raft/pump.h"

#include "raft/core.h"
#include "store/base/bug.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"

#define TURN_BYTES MIB(2) /* of payload, then the loop has its say */

static struct group *group_of(struct fetch *f)
{
    struct pump *pump = CONTAINER_OF(f, struct pump, fetch);
    return CONTAINER_OF(pump, struct group, pump);
}

static void fetched(struct fetch *f)
{
    group_wake(group_of(f));
}

void pump_init(struct group *g)
{
    struct pump *p = &g->pump;
    p->index = g->durable_index;
    p->term = g->durable_term;
    if (g->o.sm.time != NULL) p->entry_time = g->o.sm.time(g->o.sm.ctx);
    fetch_init(&p->fetch, g->log, fetched);
}

void pump_free(struct group *g)
{
    slice_release(&g->pump.pending);
    fetch_close(&g->pump.fetch);
}

static log_index limit_of(const struct group *g)
{
    log_index durable = log_durable(g->log);
    if (BUG_APPLY_AT_APPEND && core_peek_leads(g->raft)) return durable;
    log_index applied = core_peek_applied(g->raft);
    return applied < durable ? applied : durable;
}

static void pass_change(struct group *g, log_index i, struct slice bytes)
{
    int rc = members_decode(bytes.at, bytes.bytes, i, &g->pump.conf);
    if (rc != 0)
        FATAL(EXIT_CORRUPT, "Raft log: the configuration at %llu can't be read",
              (unsigned long long)i);
}

static int apply_command(struct group *g, log_index i, log_term term, struct slice payload)
{
    int rc = g->o.sm.apply(g->o.sm.ctx, i, term, payload);
    if (rc == E_AGAIN) return rc;
    if (rc != 0) FATAL(EXIT_BUG, "apply of %llu: %s", (unsigned long long)i, err_text(rc));
    int64_t time = propose_entry_time(payload);
    if (time > g->pump.entry_time) g->pump.entry_time = time;
    propose_entry_applied(g);
    return 0;
}

static int pump_one(struct group *g, log_index limit, size_t *bytes)
{
    struct pump *p = &g->pump;
    log_index i = p->index + 1;
    log_term term = log_term_at(g->log, i);
    CHECK(term != 0);
    struct slice payload = p->pending;
    p->pending = (struct slice){0};
    int rc = payload.at != NULL ? 0 : fetch_get(&p->fetch, i, term, limit, &payload);
    if (rc == E_AGAIN) return rc;
    if (rc != 0) FATAL(EXIT_BUG, "the payload of %llu is gone", (unsigned long long)i);
    if (log_type_at(g->log, i) == LOG_COMMAND) {
        rc = apply_command(g, i, term, payload);
        if (rc == E_AGAIN) {
            p->pending = payload;
            p->refused = true;
            return rc;
        }
    } else {
        if (log_type_at(g->log, i) == LOG_CHANGE) pass_change(g, i, payload);
        g->o.sm.pass(g->o.sm.ctx, i, term);
    }
    *bytes += payload.bytes;
    g->propose.ahead_bytes -= payload.bytes;
    slice_release(&payload);
    p->index = i;
    p->term = term;
    return 0;
}

void pump_run(struct group *g)
{
    struct pump *p = &g->pump;
    log_index limit = limit_of(g);
    if (p->index >= limit || p->refused) return;
    CHECK(!p->running);
    p->running = true;
    size_t bytes = 0;
    while (p->index < limit && bytes < TURN_BYTES) {
        if (pump_one(g, limit, &bytes) != 0) break;
    }
    p->running = false;
    if (p->index < limit && bytes >= TURN_BYTES) group_wake(g);
    read_index_applied(g);
}
