/* stream.c - see stream.h. */
#include "store/state/stream.h"

#include <stdlib.h>

#include "store/base/subject_match.h"
#include "store/state/apply.h"

static struct text consumer_name(const void *value)
{
    return ((const struct consumer *)value)->name;
}

struct stream *stream_new(struct state *state,
                          struct account *account,
                          uint32_t id,
                          struct stream_config *config,
                          int64_t created_ns)
{
    struct stream *s = check_alloc(sizeof *s);
    s->apply = check_alloc(sizeof *s->apply);
    s->state = state;
    s->id = id;
    s->account_id = account->id;
    s->account = account->name;
    s->created_ns = created_ns;
    s->apply->stream = s;
    s->apply->account = account;
    s->apply->due_ns = INT64_MAX;
    map_init(&s->consumers, 0, consumer_name);
    list_init(&s->consumer_list);
    list_init(&s->locals);
    dedup_init(&s->apply->dedup);
    stream_configure(s, config);
    return s;
}

void stream_free(struct stream *s)
{
    CHECK(list_empty(&s->consumer_list));
    list_remove(&s->apply->dirty);
    dedup_free(&s->apply->dedup);
    expiry_free(&s->apply->expiry);
    free(s->apply->last_msg_id);
    apply_copy_free(s->apply);
    transform_free(s->apply->transform);
    transform_free(s->apply->republish);
    free(s->apply);
    map_free(&s->consumers);
    stream_config_free(&s->config);
    free(s);
}

static struct transform *mapping(struct text src, struct text dest)
{
    struct transform *t;
    const char *why;
    bool in_source;
    /* Was checked when it came; a rule that changed since must not keep the stream from loading. */
    return dest.bytes == 0 || transform_new(src, dest, &t, &why, &in_source) != 0 ? NULL : t;
}

static void compile(struct stream *s)
{
    struct stream_apply *apply = s->apply;
    const struct stream_config *c = &s->config;
    transform_free(apply->transform);
    transform_free(apply->republish);
    apply->transform = apply->republish = NULL;
    if (c->transform_count != 0) apply->transform = mapping(c->transform->src, c->transform->dest);
    if (c->republish_count != 0) apply->republish = mapping(c->republish->src, c->republish->dest);
}

void stream_configure(struct stream *s, struct stream_config *config)
{
    struct stream_config was = s->config;
    s->config = *config;
    *config = (struct stream_config){0};
    apply_copy_configure(s, &was);
    stream_config_free(&was);
    compile(s);
    const struct stream_config *c = &s->config;
    bool counts = c->max_msgs > 0 || c->max_bytes > 0, subjects = c->max_msgs_per_subject > 0;
    uint32_t checks = 0;
    if (c->sealed) checks |= CHECK_SEALED;
    if (c->max_msg_size >= 0) checks |= CHECK_MSG_SIZE;
    if (c->discard == DISCARD_NEW && (counts || c->discard_new_per_subject))
        checks |= CHECK_DISCARD_NEW;
    if (subjects || counts) checks |= CHECK_LIMITS;
    if (c->retention == RETENTION_INTEREST) checks |= CHECK_INTEREST;
    if (c->max_age_ns > 0) checks |= CHECK_AGE;
    if (s->apply->account->counted) checks |= CHECK_ACCOUNT;
    if (s->apply->transform != NULL) checks |= CHECK_TRANSFORM;
    if (s->apply->republish != NULL) checks |= CHECK_REPUBLISH;
    s->apply->checks = checks;
}

struct store_counts stream_counts(const struct stream *s)
{
    return store_stream_counts(s->store);
}

struct consumer *stream_consumer(const struct stream *s, struct text name)
{
    return map_get(&s->consumers, name);
}

bool stream_captures(const struct stream *s, struct text subject)
{
    for (size_t i = 0; i < s->config.subject_count; i++) {
        if (subject_match(s->config.subjects[i], subject)) return true;
    }
    return false;
}
