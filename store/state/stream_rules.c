/* stream_rules.c - see stream_rules.h. */
#include "store/state/stream_rules.h"

#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/fields.h"
#include "store/state/js_errors.h"
#include "store/state/transform.h"

/* The codes of a mirror and of a source differ, the rules hardly. */
static const struct origin_codes {
    int name, both_starts, filter_and_transforms, filter, destination, overlap;
} mirror_codes = {JS_MIRROR_INVALID_STREAM_NAME,           JS_MIRROR_WITH_START_SEQ_AND_TIME,
                  JS_MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED,  JS_MIRROR_INVALID_SUBJECT_FILTER,
                  JS_MIRROR_INVALID_TRANSFORM_DESTINATION, JS_MIRROR_OVERLAPPING_SUBJECT_FILTERS},
  source_codes = {JS_SOURCE_INVALID_STREAM_NAME,           0,
                  JS_SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED,  JS_SOURCE_INVALID_SUBJECT_FILTER,
                  JS_SOURCE_INVALID_TRANSFORM_DESTINATION, JS_SOURCE_OVERLAPPING_SUBJECT_FILTERS};

static int check_transform(const struct stream_transform *t,
                           int source_code,
                           int destination_code,
                           struct config_error *error)
{
    struct transform *made;
    const char *why;
    bool in_source;
    if (t->dest.bytes == 0) {
        if (t->src.bytes == 0 || fields_subject_valid(t->src)) return 0;
        return fields_fail(error, source_code, "invalid subject");
    }
    if (transform_new(t->src, t->dest, &made, &why, &in_source) != 0)
        return fields_fail(error, in_source ? source_code : destination_code, "%s", why);
    transform_free(made);
    return 0;
}

static int check_filters(const struct stream_source *s,
                         const struct origin_codes *codes,
                         struct config_error *error)
{
    for (size_t i = 0; i < s->transform_count; i++) {
        int rc = check_transform(&s->transforms[i], codes->filter, codes->destination, error);
        if (rc != 0) return rc;
        for (size_t k = 0; k < i; k++) {
            if (subject_overlap(s->transforms[i].src, s->transforms[k].src))
                return fields_fail_code(error, codes->overlap, "");
        }
    }
    if (s->filter_subject.bytes != 0 && !fields_subject_valid(s->filter_subject))
        return fields_fail(error, codes->filter, "invalid subject");
    return 0;
}

static int check_origin(const struct stream_source *s,
                        const struct origin_codes *codes,
                        struct config_error *error)
{
    bool timed = s->opt_start_time_ns != INT64_MIN;
    if (!fields_name_valid(s->name) || fields_has_separator(s->name))
        return fields_fail_code(error, codes->name, "");
    if (s->external.bytes > 2)
        return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                           "streams of other domains and accounts are not supported by this "
                           "server");
    if (s->opt_start_seq != 0 && timed) {
        if (codes->both_starts != 0) return fields_fail_code(error, codes->both_starts, "");
        return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                           "stream sources can not have both start seq and start time configured");
    }
    if (s->filter_subject.bytes != 0 && s->transform_count != 0)
        return fields_fail_code(error, codes->filter_and_transforms, "");
    return check_filters(s, codes, error);
}

static int check_mirror(const struct stream_config *c, struct config_error *error)
{
    int code = 0;
    if (c->mirror_count == 0) {
        if (!c->mirror_direct) return 0;
        return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                           "stream has no mirror but does have mirror direct");
    }
    if (c->subject_count != 0)
        code = JS_MIRROR_WITH_SUBJECTS;
    else if (c->source_count != 0)
        code = JS_MIRROR_WITH_SOURCES;
    else if (c->first_seq != 0)
        code = JS_MIRROR_WITH_FIRST_SEQ;
    else if (text_equal(c->mirror->name, c->name))
        code = JS_MIRROR_INVALID_STREAM_NAME;
    if (code != 0) return fields_fail_code(error, code, "");
    if (c->subject_delete_marker_ttl_ns > 0)
        return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                           "subject delete markers forbidden on mirrors");
    return check_origin(c->mirror, &mirror_codes, error);
}

bool stream_rules_same(const struct stream_source *a, const struct stream_source *b)
{
    if (!text_equal(a->name, b->name) || !text_equal(a->filter_subject, b->filter_subject))
        return false;
    if (a->transform_count != b->transform_count) return false;
    for (size_t i = 0; i < a->transform_count; i++) {
        if (!text_equal(a->transforms[i].src, b->transforms[i].src) ||
            !text_equal(a->transforms[i].dest, b->transforms[i].dest))
            return false;
    }
    return true;
}

static int check_sources(const struct stream_config *c, struct config_error *error)
{
    for (size_t i = 0; i < c->source_count; i++) {
        int rc = check_origin(&c->sources[i], &source_codes, error);
        if (rc != 0) return rc;
        for (size_t k = 0; k < i; k++) {
            if (stream_rules_same(&c->sources[i], &c->sources[k]))
                return fields_fail_code(error, JS_SOURCE_DUPLICATE_DETECTED, "");
        }
    }
    return 0;
}

/* Where a subject could come back in: what is republished would be stored and republished again. */
static int check_republish(const struct stream_config *c, struct config_error *error)
{
    struct transform *made;
    const char *why;
    bool in_source;
    if (c->republish_count == 0) return 0;
    struct text src = c->republish->src.bytes != 0 ? c->republish->src : TEXT(">");
    struct text dest = c->republish->dest;
    if (dest.bytes == 0 || transform_new(src, dest, &made, &why, &in_source) != 0)
        return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                           "stream configuration for republish with transform from '%.*s' to "
                           "'%.*s' not valid",
                           (int)src.bytes, src.at, (int)dest.bytes, dest.bytes == 0 ? "" : dest.at);
    struct text all = transform_cover(made);
    int rc = 0;
    for (size_t i = 0; i < c->subject_count && rc == 0; i++) {
        if (subject_overlap(all, c->subjects[i]))
            rc = fields_fail(error, JS_STREAM_INVALID_CONFIG,
                             "stream configuration for republish destination forms a cycle");
    }
    transform_free(made);
    return rc;
}

int stream_rules_check(const struct stream_config *c, struct config_error *error)
{
    int rc = check_mirror(c, error);
    if (rc == 0) rc = check_sources(c, error);
    if (rc == 0 && c->transform_count != 0) {
        if (c->mirror_count != 0)
            return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                               "stream mirrors can not also have a subject transform");
        rc = check_transform(c->transform, JS_STREAM_TRANSFORM_INVALID_SOURCE,
                             JS_STREAM_TRANSFORM_INVALID_DESTINATION, error);
    }
    return rc == 0 ? check_republish(c, error) : rc;
}
