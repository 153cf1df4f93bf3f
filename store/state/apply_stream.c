/* apply_stream.c - streams are made, changed, purged and deleted. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/apply.h"
#include "store/state/rows.h"

#define ENFORCE_MAX                                                                                \
    100000 /* messages that a lowered limit removes at once; the rest by the clock */

/* ---- rules between streams ---- */

static struct text account_name(const struct account *account)
{
    return account == NULL ? (struct text){0} : account->name;
}

static bool overlaps(const struct stream_config *a, const struct stream_config *b)
{
    for (size_t i = 0; i < a->subject_count; i++) {
        for (size_t k = 0; k < b->subject_count; k++) {
            if (subject_overlap(a->subjects[i], b->subjects[k])) return true;
        }
    }
    return false;
}

static int
check_overlap(struct apply *a, const struct account *account, const struct stream_config *c)
{
    for (size_t i = 0; account != NULL && i < account->stream_count; i++) {
        const struct stream_config *other = &account->streams[i]->config;
        if (text_equal(other->name, c->name)) continue;
        if (overlaps(c, other)) return apply_refuse(a, JS_STREAM_SUBJECT_OVERLAP);
    }
    return 0;
}

/* Bytes that streams of that storage have reserved by max_bytes, but for the one of this name; at
 * most INT64_MAX, which no limit allows more than. */
static uint64_t reserved(const struct account *account, const struct stream_config *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < account->stream_count; i++) {
        const struct stream_config *other = &account->streams[i]->config;
        if (other->storage != c->storage || other->max_bytes <= 0) continue;
        if (!text_equal(other->name, c->name)) bytes += (uint64_t)other->max_bytes;
        if (bytes > INT64_MAX) bytes = INT64_MAX;
    }
    return bytes;
}

static int
check_account(struct apply *a, const struct account *account, const struct stream_config *c)
{
    if (account == NULL) return 0;
    const struct account_limits *l = &account->limits;
    bool memory = c->storage == STORAGE_MEMORY;
    int64_t one = memory ? l->memory_max_stream_bytes : l->storage_max_stream_bytes;
    int64_t all = memory ? l->max_memory : l->max_storage;
    if (l->max_bytes_required && c->max_bytes <= 0)
        return apply_refuse(a, JS_STREAM_MAX_BYTES_REQUIRED);
    if (one > 0 && c->max_bytes > one) return apply_refuse(a, JS_STREAM_MAX_STREAM_BYTES_EXCEEDED);
    if (all >= 0 && c->max_bytes > 0 &&
        reserved(account, c) + (uint64_t)c->max_bytes > (uint64_t)all)
        return apply_refuse(a,
                            memory ? JS_MEMORY_RESOURCES_EXCEEDED : JS_STORAGE_RESOURCES_EXCEEDED);
    return 0;
}

/* ---- create ---- */

static uint32_t history_of(const struct stream_config *c)
{
    if (c->max_msgs_per_subject <= 0) return 0;
    return c->max_msgs_per_subject > UINT32_MAX ? UINT32_MAX : (uint32_t)c->max_msgs_per_subject;
}

struct stream *
apply_stream_make(struct state *state, struct text account_name, struct stream_config *config)
{
    struct account *account = state_account(state, account_name);
    if (account == NULL) {
        account = state_account_new(state, state->next_account++, account_name);
        apply_dirty_account(state, account);
    }
    struct stream *s = stream_new(state, account, state->next_stream++, config, state->now_ns);
    stream_seq first = s->config.first_seq > 0 ? s->config.first_seq : 1;
    s->store = store_stream_new(state->store, account->id, s->id, first, history_of(&s->config));
    state_link_stream(state, s);
    apply_dirty_stream(s);
    return s;
}

/* A stream's mirror and sources, and theirs, must not lead back to it. Each step goes to a stream
 * not seen yet, so it ends. */
static int
check_cycle(struct apply *a, const struct account *account, const struct stream_config *c)
{
    size_t count = account == NULL ? 0 : account->stream_count, open = 0, done = 0;
    if (c->mirror_count + c->source_count == 0) return 0;
    const struct stream_config **walk = check_alloc((count + 2) * sizeof(struct stream_config *));
    int rc = 0;
    walk[open++] = c;
    while (done < open && rc == 0) {
        const struct stream_config *at = walk[done++];
        const struct stream_source *all = at->mirror_count != 0 ? at->mirror : at->sources;
        for (size_t i = 0; i < at->mirror_count + at->source_count && rc == 0; i++) {
            const struct stream *next = state_stream(a->state, account_name(account), all[i].name);
            bool seen = next == NULL;
            if (text_equal(all[i].name, c->name))
                rc = apply_fail(a, JS_STREAM_INVALID_CONFIG, "detected cycle");
            for (size_t k = 0; k < open && !seen; k++)
                seen = walk[k] == &next->config;
            if (!seen && open < count + 2) walk[open++] = &next->config;
        }
    }
    free(walk);
    return rc;
}

/* What a mirror or source would bring must fit. */
static int
check_origins(struct apply *a, const struct account *account, const struct stream_config *c)
{
    const struct stream_source *all = c->mirror_count != 0 ? c->mirror : c->sources;
    for (size_t i = 0; i < c->mirror_count + c->source_count; i++) {
        const struct stream *origin = state_stream(a->state, account_name(account), all[i].name);
        if (origin == NULL || c->max_msg_size <= 0) continue;
        if (origin->config.max_msg_size > 0 && c->max_msg_size >= origin->config.max_msg_size)
            continue;
        if (origin->config.max_msg_size <= 0) continue;
        return apply_refuse(a, c->mirror_count != 0 ? JS_MIRROR_MAX_MESSAGE_SIZE_TOO_BIG
                                                    : JS_SOURCE_MAX_MESSAGE_SIZE_TOO_BIG);
    }
    return check_cycle(a, account, c);
}

/* A mirror answers direct gets when its origin does. */
static void inherit(struct apply *a, struct text account, struct stream_config *c)
{
    if (c->mirror_count == 0) return;
    const struct stream *origin = state_stream(a->state, account, c->mirror->name);
    if (origin != NULL && origin->config.allow_direct) c->mirror_direct = true;
}

int apply_stream_check(struct apply *a,
                       struct text account_name,
                       const struct stream_config *config)
{
    const struct account *account = state_account(a->state, account_name);
    if (config->sealed)
        return apply_fail(a, JS_STREAM_INVALID_CONFIG,
                          "stream configuration for create can not be sealed");
    int rc = check_overlap(a, account, config);
    if (rc == 0) rc = check_origins(a, account, config);
    if (rc == 0) rc = check_account(a, account, config);
    bool another =
        state_stream(a->state, account_name, config->name) == NULL; /* or a restore ends */
    if (rc == 0 && another && account != NULL && account->limits.max_streams >= 0 &&
        account->stream_count >= (uint64_t)account->limits.max_streams)
        rc = apply_refuse(a, JS_MAXIMUM_STREAMS_LIMIT);
    return rc;
}

void apply_stream_create(struct apply *a, struct reader fields)
{
    struct command_stream c;
    struct stream_config config;
    struct config_error error;
    if (entry_get_stream(fields, &c) != 0) apply_undecodable(a->state, "a stream create");
    if (stream_config_decode(c.config, &config, &error) != 0) {
        apply_config_error(a, &error);
        return;
    }
    inherit(a, c.account, &config);
    struct stream *s = state_stream(a->state, c.account, config.name);
    if (s != NULL) {
        a->stream = s->id;
        if (stream_config_equal(&s->config, &config))
            a->result.stream = s;
        else
            apply_refuse(a, JS_STREAM_NAME_EXISTS);
    } else if (apply_stream_check(a, c.account, &config) == 0) {
        s = apply_stream_make(a->state, c.account, &config);
        a->stream = s->id;
        a->result.stream = s;
        a->result.created = true;
        WATCH(a->state, stream_created, s);
    }
    stream_config_free(&config);
}

/* ---- update ---- */

static int check_consumers(struct apply *a, const struct stream *s, const struct stream_config *to)
{
    LIST_FOREACH (n, &s->consumer_list) {
        const struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
        bool waits = to->limit_inactive_threshold_ns > 0 &&
                     c->config.inactive_threshold_ns > to->limit_inactive_threshold_ns;
        bool holds =
            to->limit_max_ack_pending > 0 && c->config.max_ack_pending > to->limit_max_ack_pending;
        if (waits || holds)
            return apply_fail(a, JS_STREAM_INVALID_CONFIG,
                              "change to limits violates consumers: %.*s", (int)c->name.bytes,
                              c->name.at);
    }
    return 0;
}

struct crowded {
    uint32_t max;
    struct text *subjects; /* owned copies: rows go while they are worked off */
    size_t count, room;
};

static void note_crowded(void *ctx, struct text subject, const struct store_subject *row)
{
    struct crowded *crowded = ctx;
    if (row->count <= crowded->max) return;
    if (crowded->count == crowded->room) {
        crowded->room = crowded->room == 0 ? 64 : crowded->room * 2;
        crowded->subjects =
            check_realloc(crowded->subjects, crowded->room * sizeof *crowded->subjects);
    }
    char *copy = check_alloc(subject.bytes);
    memcpy(copy, subject.at, subject.bytes);
    crowded->subjects[crowded->count++] = (struct text){.at = copy, .bytes = subject.bytes};
}

/* Which subject is worked off first makes no difference to what is left. */
static void enforce_subjects(struct stream *s)
{
    struct crowded crowded = {.max = history_of(&s->config)};
    store_subjects(s->store, TEXT(">"), note_crowded, &crowded);
    for (size_t i = 0; i < crowded.count; i++) {
        apply_publish_enforce_subject(s, crowded.subjects[i]);
        free((char *)(uintptr_t)crowded.subjects[i].at);
    }
    free(crowded.subjects);
}

void apply_stream_change(struct stream *s, struct stream_config *config)
{
    int64_t per_subject = s->config.max_msgs_per_subject;
    bool was_limits = s->config.retention == RETENTION_LIMITS;
    stream_configure(s, config);
    apply_dirty_stream(s);
    if (s->config.max_msgs_per_subject != per_subject) {
        bool less = s->config.max_msgs_per_subject > 0 &&
                    (per_subject <= 0 || s->config.max_msgs_per_subject < per_subject);
        if (less) enforce_subjects(s);
        store_stream_history(s->store, history_of(&s->config));
    }
    apply_publish_enforce(s, ENFORCE_MAX);
    if (was_limits && !list_empty(&s->consumer_list))
        apply_release_range(s, stream_counts(s).first, NULL, 0);
    apply_clock_refresh(s);
}

static int check_update(struct apply *a, struct stream *s, struct stream_config *to)
{
    struct config_error error;
    if (to->sealed) stream_config_seal(to);
    if (stream_config_update_check(&s->config, to, &error) != 0) {
        apply_config_error(a, &error);
        return E_INVAL;
    }
    const struct account *account = s->apply->account;
    int rc = check_overlap(a, account, to);
    if (rc == 0) rc = check_origins(a, account, to);
    if (rc == 0 && to->max_bytes != s->config.max_bytes) rc = check_account(a, account, to);
    return rc == 0 ? check_consumers(a, s, to) : rc;
}

void apply_stream_update(struct apply *a, struct reader fields)
{
    struct command_stream c;
    struct stream_config config;
    struct config_error error;
    if (entry_get_stream(fields, &c) != 0) apply_undecodable(a->state, "a stream update");
    if (stream_config_decode(c.config, &config, &error) != 0) {
        apply_config_error(a, &error);
        return;
    }
    inherit(a, c.account, &config);
    struct stream *s = state_stream(a->state, c.account, config.name);
    if (s == NULL) {
        apply_refuse(a, JS_STREAM_NOT_FOUND);
    } else if (check_update(a, s, &config) == 0) {
        a->stream = s->id;
        apply_stream_change(s, &config);
        a->result.stream = s;
        WATCH(a->state, stream_updated, s);
    }
    stream_config_free(&config);
}

/* ---- delete ---- */

void apply_stream_drop(struct state *state, struct stream *s)
{
    while (!list_empty(&s->consumer_list))
        apply_consumer_drop(
            state, CONTAINER_OF(list_first(&s->consumer_list), struct consumer, in_stream));
    WATCH(state, stream_deleted, s);
    while (!list_empty(&s->locals)) /* their owner has let go of them by now, or they are its own */
        list_pop_front(&s->locals);
    apply_counted(s, s->apply->account->counted ? stream_counts(s).bytes : 0, 0);
    rows_drop_stream(s);
    if (state->cursor.of == s->store) store_cursor_close(&state->cursor);
    store_stream_delete(s->store);
    state_unlink_stream(state, s);
    stream_free(s);
}

void apply_stream_delete(struct apply *a, struct reader fields)
{
    struct command_stream_delete c;
    if (entry_get_stream_delete(fields, &c) != 0) apply_undecodable(a->state, "a stream delete");
    struct stream *s = apply_stream(a, c.stream);
    if (s != NULL) apply_stream_drop(a->state, s);
}

/* ---- purge and single messages ---- */

/* The first sequence of the newest `keep` messages. With holes it is searched, as the store counts
 * from a sequence on. */
static stream_seq keep_from(struct stream *s, uint64_t keep)
{
    struct store_counts counts = stream_counts(s);
    if (counts.msgs <= keep) return counts.first;
    stream_seq low = counts.first, high = counts.last + 1 - keep;
    if (counts.msgs == counts.last + 1 - counts.first) return high;
    /* high keeps at most `keep`; the lowest such place keeps exactly that many. */
    while (low < high) {
        stream_seq middle = low + (high - low) / 2;
        if (store_count(s->store, middle, NULL, 0) <= keep)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A purge puts every consumer behind what is gone, also those that had pending messages there. */
static void consumers_jump(struct stream *s)
{
    stream_seq first = stream_counts(s).first;
    LIST_FOREACH (n, &s->consumer_list) {
        struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
        if (c->delivered.sseq + 1 >= first) continue;
        consumer_skip(c, first - 1);
        apply_dirty_consumer(c);
    }
    LIST_FOREACH (n, &s->locals) {
        consumer_skip(CONTAINER_OF(n, struct consumer, in_stream), first - 1);
    }
}

static uint64_t purge_all(struct stream *s, const struct command_purge *c)
{
    stream_seq below = stream_counts(s).last + 1;
    if (c->below != 0 && c->below < below) below = c->below;
    if (c->keep != 0) below = keep_from(s, c->keep);
    uint64_t count = apply_remove_below(s, below);
    consumers_jump(s);
    return count;
}

static uint64_t purge_filtered(struct stream *s, const struct command_purge *c)
{
    struct store_counts counts = stream_counts(s);
    stream_seq below = counts.last + 1;
    uint64_t max = UINT64_MAX;
    if (c->below != 0 && c->below < below) below = c->below;
    if (c->keep != 0) {
        uint64_t matching = store_count(s->store, counts.first, &c->filter, 1);
        max = matching > c->keep ? matching - c->keep : 0;
    }
    return apply_remove_matching(s, c->filter, counts.first, below, max);
}

void apply_stream_purge(struct apply *a, struct reader fields)
{
    struct command_purge c;
    if (entry_get_purge(fields, &c) != 0) apply_undecodable(a->state, "a purge");
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    if (s->config.sealed) {
        apply_refuse(a, JS_STREAM_SEALED);
    } else if (s->config.deny_purge) {
        (void)apply_fail(a, JS_STREAM_PURGE_FAILED, "stream purge not permitted");
    } else if (c.below != 0 && c.keep != 0) {
        apply_refuse(a, JS_BAD_REQUEST);
    } else {
        bool all = c.filter.bytes == 0 || text_equal(c.filter, TEXT(">"));
        a->result.count = all ? purge_all(s, &c) : purge_filtered(s, &c);
    }
}

void apply_stream_msg_delete(struct apply *a, struct reader fields)
{
    struct command_msg_delete c;
    if (entry_get_msg_delete(fields, &c) != 0) apply_undecodable(a->state, "a message delete");
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    a->result.seq = c.seq;
    if (s->config.sealed) {
        apply_refuse(a, JS_STREAM_SEALED);
    } else if (s->config.deny_delete) {
        (void)apply_fail(a, JS_STREAM_MSG_DELETE_FAILED, "message delete not permitted");
    } else if (apply_remove(s, c.seq, NULL)) {
        a->result.count = 1;
    } else {
        (void)apply_fail(a, JS_SEQUENCE_NOT_FOUND, "%" PRIu64, c.seq);
    }
}

/* ---- accounts ---- */

void apply_stream_recount(struct account *account)
{
    account->counted = account->limits.max_memory >= 0 || account->limits.max_storage >= 0;
    account->memory_bytes = account->storage_bytes = 0;
    for (size_t i = 0; i < account->stream_count; i++) {
        struct stream *s = account->streams[i];
        if (account->counted)
            s->apply->checks |= CHECK_ACCOUNT;
        else
            s->apply->checks &= ~(uint32_t)CHECK_ACCOUNT;
        apply_counted(s, 0, stream_counts(s).bytes);
    }
}

void apply_stream_account_limits(struct apply *a, struct reader fields)
{
    struct command_account_limits c;
    if (entry_get_account_limits(fields, &c) != 0) apply_undecodable(a->state, "account limits");
    struct account *account = state_account(a->state, c.account);
    if (account == NULL) account = state_account_new(a->state, a->state->next_account++, c.account);
    account->limits = c.limits;
    apply_dirty_account(a->state, account);
    apply_stream_recount(account);
}
