/* log_run.c - see log_run.h. */
#include "raft/log_run.h"

#include <stdlib.h>
#include <string.h>

#include "raft/log_record.h"
#include "store/base/check.h"

void log_run_init(struct log_run *run, log_index first)
{
    *run = (struct log_run){.first = first};
}

static void kept_cut(struct log_run *run, size_t count)
{
    while (run->kept_count > count) {
        struct log_kept *k = &run->kept[--run->kept_count];
        run->kept_bytes -= k->payload.bytes;
        slice_release(&k->payload);
    }
}

void log_run_free(struct log_run *run)
{
    kept_cut(run, 0);
    free(run->kept);
    free(run->slots);
    *run = (struct log_run){.first = run->first};
}

struct log_slot *log_run_slot(const struct log_run *run, log_index i)
{
    if (i < run->first || i - run->first >= run->count) return NULL;
    return &run->slots[run->head + (size_t)(i - run->first)];
}

static void make_room(struct log_run *run)
{
    if (run->head + run->count < run->slots_max) return;
    /* Moving down costs count; worth it only when at least as many were trimmed since the last
     * time. */
    if (run->head >= run->count && run->head > 0) {
        memcpy(run->slots, run->slots + run->head, run->count * sizeof *run->slots);
        run->head = 0;
        return;
    }
    run->slots_max = run->slots_max == 0 ? 64 : run->slots_max * 2;
    run->slots = check_realloc(run->slots, run->slots_max * sizeof *run->slots);
}

void log_run_push(struct log_run *run, const struct log_slot *slot, const struct slice *payload)
{
    make_room(run);
    run->slots[run->head + run->count++] = *slot;
    run->bytes += slot->bytes + LOG_RECORD_BYTES;
    if (slot->type == LOG_COMMAND) return;
    CHECK(payload != NULL);
    CHECK_EQ(payload->bytes, slot->bytes);
    if (run->kept_count == run->kept_max) {
        run->kept_max = run->kept_max == 0 ? 8 : run->kept_max * 2;
        run->kept = check_realloc(run->kept, run->kept_max * sizeof *run->kept);
    }
    run->kept[run->kept_count++] =
        (struct log_kept){.index = log_run_last(run), .payload = slice_ref(*payload)};
    run->kept_bytes += payload->bytes;
}

void log_run_cut(struct log_run *run, log_index from)
{
    while (run->count > 0 && log_run_last(run) >= from) {
        run->bytes -= run->slots[run->head + run->count - 1].bytes + LOG_RECORD_BYTES;
        run->count--;
    }
    size_t kept = run->kept_count;
    while (kept > 0 && run->kept[kept - 1].index >= from)
        kept--;
    kept_cut(run, kept);
}

void log_run_trim(struct log_run *run, log_index first)
{
    if (first <= run->first) return;
    if (first - run->first > run->count) {
        log_run_reset(run, first);
        return;
    }
    for (; run->first < first; run->first++, run->head++, run->count--)
        run->bytes -= run->slots[run->head].bytes + LOG_RECORD_BYTES;
    size_t gone = 0;
    for (; gone < run->kept_count && run->kept[gone].index < first; gone++) {
        run->kept_bytes -= run->kept[gone].payload.bytes;
        slice_release(&run->kept[gone].payload);
    }
    if (gone == 0) return;
    run->kept_count -= gone;
    memmove(run->kept, run->kept + gone, run->kept_count * sizeof *run->kept);
}

void log_run_reset(struct log_run *run, log_index first)
{
    kept_cut(run, 0);
    run->head = run->count = 0;
    run->bytes = 0;
    run->first = first;
}

const struct log_kept *log_run_config(const struct log_run *run, log_index below)
{
    for (size_t k = run->kept_count; k-- > 0;) {
        const struct log_kept *kept = &run->kept[k];
        if (kept->index >= below) continue;
        if (log_run_slot(run, kept->index)->type == LOG_CHANGE) return kept;
    }
    return NULL;
}

const struct log_kept *log_run_kept(const struct log_run *run, log_index i)
{
    for (size_t k = run->kept_count; k-- > 0;) {
        if (run->kept[k].index == i) return &run->kept[k];
        if (run->kept[k].index < i) return NULL;
    }
    return NULL;
}
