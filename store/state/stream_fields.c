/* stream_fields.c - JetStream's StreamConfig: the table of its fields and the rules between them.
 * Source: protocol reference 6.1, 6.2 and 6.4. */
#include <stdio.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/subject_match.h"
#include "store/state/fields.h"
#include "store/state/js_errors.h"
#include "store/state/stream.h"
#include "store/state/stream_rules.h"

#define SECOND_NS ((int64_t)NS_PER_S)
#define WINDOW_NS (120 * SECOND_NS)              /* duplicate_window when the client names none */
#define SPAN_NS_MIN ((int64_t)(100 * NS_PER_MS)) /* shortest max_age and duplicate_window */
#define DESCRIPTION_BYTES_MAX 4096
#define METADATA_BYTES_MAX 131072
#define REPLICAS_MAX 5

static const char *const retentions[] = {"limits", "interest", "workqueue", NULL};
static const char *const discards[] = {"old", "new", NULL};
static const char *const storages[] = {"file", "memory", NULL};
static const char *const persists[] = {"default", NULL};

#define AT(member) offsetof(struct stream_config, member)
#define UPDATE "stream configuration update can not "

/* clang-format off */
static const struct field limit_rows[] = {
    {"inactive_threshold", FIELD_I64, AT(limit_inactive_threshold_ns), .flags = FIELD_OMIT},
    {"max_ack_pending",    FIELD_I64, AT(limit_max_ack_pending),       .flags = FIELD_OMIT},
    {0},
};
#define TRANSFORM(member) offsetof(struct stream_transform, member)
static const struct field transform_rows[] = {
    {"src",  FIELD_TEXT, TRANSFORM(src),  .flags = 0},
    {"dest", FIELD_TEXT, TRANSFORM(dest), .flags = 0},
    {0},
};
#define REPUBLISH(member) offsetof(struct stream_republish, member)
static const struct field republish_rows[] = {
    {"src",          FIELD_TEXT, REPUBLISH(src),          .flags = FIELD_OMIT},
    {"dest",         FIELD_TEXT, REPUBLISH(dest),         .flags = 0},
    {"headers_only", FIELD_BOOL, REPUBLISH(headers_only), .flags = FIELD_OMIT},
    {0},
};
#define SOURCE(member) offsetof(struct stream_source, member)
static const struct field source_rows[] = {
    {"name",               FIELD_TEXT,    SOURCE(name),              .flags = 0},
    {"opt_start_seq",      FIELD_U64,     SOURCE(opt_start_seq),     .flags = FIELD_OMIT},
    {"opt_start_time",     FIELD_TIME,    SOURCE(opt_start_time_ns), .flags = FIELD_OMIT},
    {"filter_subject",     FIELD_TEXT,    SOURCE(filter_subject),    .flags = FIELD_OMIT},
    {"subject_transforms", FIELD_STRUCTS, SOURCE(transforms), SOURCE(transform_count), .flags = FIELD_OMIT, .sub = transform_rows, .bytes = sizeof(struct stream_transform)},
    {"external",           FIELD_JSON,    SOURCE(external),          .flags = FIELD_OMIT},
    {0},
};
/* The order is the order of JetStream's own encoder. */
static const struct field stream_rows[] = {
    {"name",                      FIELD_TEXT,     AT(name), .flags = FIELD_CONST, .text = "stream configuration name must match original"},
    {"description",               FIELD_TEXT,     AT(description), .flags = FIELD_OMIT},
    {"subjects",                  FIELD_TEXTS,    AT(subjects), AT(subject_count), .flags = FIELD_OMIT},
    {"retention",                 FIELD_ENUM,     AT(retention), .words = retentions},
    {"max_consumers",             FIELD_I64,      AT(max_consumers), .zero = -1},
    {"max_msgs",                  FIELD_I64,      AT(max_msgs), .zero = -1},
    {"max_bytes",                 FIELD_I64,      AT(max_bytes), .zero = -1},
    {"max_age",                   FIELD_I64,      AT(max_age_ns), .flags = 0},
    {"max_msgs_per_subject",      FIELD_I64,      AT(max_msgs_per_subject), .zero = -1},
    {"max_msg_size",              FIELD_I64,      AT(max_msg_size), .flags = FIELD_OMIT, .zero = -1},
    {"discard",                   FIELD_ENUM,     AT(discard), .words = discards},
    {"storage",                   FIELD_ENUM,     AT(storage), .flags = FIELD_CONST, .words = storages, .text = UPDATE "change storage type"},
    {"num_replicas",              FIELD_I64,      AT(num_replicas), .zero = 1},
    {"no_ack",                    FIELD_BOOL,     AT(no_ack), .flags = FIELD_OMIT},
    {"duplicate_window",          FIELD_I64,      AT(duplicate_window_ns), .flags = FIELD_OMIT},
    {"placement",                 FIELD_JSON,     AT(placement), .flags = FIELD_OMIT},
    {"mirror",                    FIELD_STRUCTS,  AT(mirror), AT(mirror_count), .flags = FIELD_OMIT | FIELD_ONE | FIELD_CONST, .code = JS_STREAM_MIRROR_NOT_UPDATABLE, .text = "", .sub = source_rows, .bytes = sizeof(struct stream_source)},
    {"sources",                   FIELD_STRUCTS,  AT(sources), AT(source_count), .flags = FIELD_OMIT, .sub = source_rows, .bytes = sizeof(struct stream_source)},
    {"compression",               FIELD_TEXT,     AT(compression), .flags = 0},
    {"first_seq",                 FIELD_U64,      AT(first_seq), .flags = FIELD_OMIT},
    {"subject_transform",         FIELD_STRUCTS,  AT(transform), AT(transform_count), .flags = FIELD_OMIT | FIELD_ONE, .sub = transform_rows, .bytes = sizeof(struct stream_transform)},
    {"republish",                 FIELD_STRUCTS,  AT(republish), AT(republish_count), .flags = FIELD_OMIT | FIELD_ONE, .sub = republish_rows, .bytes = sizeof(struct stream_republish)},
    {"allow_direct",              FIELD_BOOL,     AT(allow_direct), .flags = 0},
    {"mirror_direct",             FIELD_BOOL,     AT(mirror_direct), .flags = 0},
    {"discard_new_per_subject",   FIELD_BOOL,     AT(discard_new_per_subject), .flags = FIELD_OMIT},
    {"sealed",                    FIELD_BOOL,     AT(sealed), .flags = 0},
    {"deny_delete",               FIELD_BOOL,     AT(deny_delete), .flags = 0},
    {"deny_purge",                FIELD_BOOL,     AT(deny_purge), .flags = 0},
    {"allow_rollup_hdrs",         FIELD_BOOL,     AT(allow_rollup_hdrs), .flags = 0},
    {"consumer_limits",           FIELD_OBJECT,   .sub = limit_rows},
    {"allow_msg_ttl",             FIELD_BOOL,     AT(allow_msg_ttl), .flags = 0},
    {"subject_delete_marker_ttl", FIELD_I64,      AT(subject_delete_marker_ttl_ns), .flags = FIELD_OMIT},
    {"allow_msg_counter",         FIELD_REFUSED,  .text = "message counters are not supported by this server"},
    {"allow_atomic",              FIELD_REFUSED,  .text = "atomic batch publish is not supported by this server"},
    {"allow_msg_schedules",       FIELD_REFUSED,  .text = "message schedules are not supported by this server"},
    {"persist_mode",              FIELD_REFUSED,  .words = persists, .text = "async persist mode is not supported on replicated streams"},
    {"allow_batched",             FIELD_REFUSED,  .text = "batch publish is not supported by this server"},
    {"metadata",                  FIELD_METADATA, AT(metadata), .flags = FIELD_OMIT},
    {0},
};
/* clang-format on */
static const struct fields stream_table = {stream_rows, JS_STREAM_INVALID_CONFIG, AT(arena)};

/* ---- defaults that depend on other fields ---- */

static void set_defaults(struct stream_config *c)
{
    if (c->subject_count == 0 && c->mirror_count == 0 && c->source_count == 0) {
        c->subjects = fields_alloc(&c->arena, sizeof *c->subjects);
        c->subjects[0] = c->name;
        c->subject_count = 1;
    }
    if (c->duplicate_window_ns == 0 && c->subject_count != 0)
        c->duplicate_window_ns =
            c->max_age_ns > 0 && c->max_age_ns < WINDOW_NS ? c->max_age_ns : WINDOW_NS;
    if (c->compression.bytes == 0) c->compression = TEXT("none");
    if (c->subject_delete_marker_ttl_ns > 0) {
        /* A marker is a message with a TTL that rolls its subject up. */
        c->allow_msg_ttl = true;
        c->allow_rollup_hdrs = true;
    }
}

/* ---- rules of one config ---- */

#define RULE(name, expression)                                                                     \
    static bool name(const struct stream_config *c)                                                \
    {                                                                                              \
        return (expression);                                                                       \
    }
RULE(name_has_separator, fields_has_separator(c->name))
RULE(name_bad, !fields_name_valid(c->name))
RULE(name_long, c->name.bytes > LIMIT_NAME_BYTES)
RULE(description_long, c->description.bytes > DESCRIPTION_BYTES_MAX)
RULE(metadata_long, c->metadata.bytes > METADATA_BYTES_MAX)
RULE(compression_bad,
     !text_equal(c->compression, TEXT("none")) && !text_equal(c->compression, TEXT("s2")))
RULE(replicas_many, c->num_replicas > REPLICAS_MAX)
RULE(replicas_negative, c->num_replicas < 0)
RULE(msg_size_range, c->max_msg_size > INT32_MAX || c->max_msg_size < INT32_MIN)
RULE(age_negative, c->max_age_ns < 0)
RULE(age_short, c->max_age_ns > 0 && c->max_age_ns < SPAN_NS_MIN)
RULE(window_negative, c->duplicate_window_ns < 0)
RULE(window_long, c->max_age_ns > 0 && c->duplicate_window_ns > c->max_age_ns)
RULE(window_short,
     c->duplicate_window_ns < SPAN_NS_MIN && (c->duplicate_window_ns != 0 || c->subject_count != 0))
RULE(rollup_denied, c->deny_purge && c->allow_rollup_hdrs)
RULE(per_subject_policy, c->discard_new_per_subject && c->discard != DISCARD_NEW)
RULE(per_subject_limit, c->discard_new_per_subject && c->max_msgs_per_subject <= 0)
RULE(marker_negative, c->subject_delete_marker_ttl_ns < 0)
RULE(marker_short,
     c->subject_delete_marker_ttl_ns > 0 && c->subject_delete_marker_ttl_ns < SECOND_NS)
/* The text is compact JSON, so these quotes can't be those of a value. */
static bool placement_preferred(const struct stream_config *c)
{
    static const char member[] = "\"preferred\":\"";
    const char *at = c->placement.bytes == 0
                         ? NULL
                         : memmem(c->placement.at, c->placement.bytes, member, sizeof member - 1);
    return at != NULL && at[sizeof member - 1] != '"';
}

static const struct stream_rule {
    bool (*broken)(const struct stream_config *c);
    int code;
    const char *text;
} stream_rules[] = {
    /* clang-format off */
    {name_has_separator,    JS_STREAM_NAME_CONTAINS_PATH_SEPARATORS, ""},
    {name_bad,              JS_STREAM_INVALID_CONFIG, "stream name is required and can not contain '.', '*', '>', '\\', '/'"},
    {name_long,             JS_STREAM_INVALID_CONFIG, "stream name is too long, maximum allowed is 255"},
    {description_long,      JS_STREAM_INVALID_CONFIG, "stream description is too long, maximum allowed is 4096"},
    {metadata_long,         JS_STREAM_INVALID_CONFIG, "stream metadata exceeds maximum size of 131072 bytes"},
    {compression_bad,       JS_INVALID_JSON, "unsupported compression algorithm"},
    {replicas_many,         JS_STREAM_INVALID_CONFIG, "maximum replicas is 5"},
    {replicas_negative,     JS_REPLICAS_COUNT_CANNOT_BE_NEGATIVE, ""},
    {msg_size_range,        JS_INVALID_JSON, "json: cannot unmarshal number into field max_msg_size"},
    {age_negative,          JS_STREAM_INVALID_CONFIG, "max age can not be negative"},
    {age_short,             JS_STREAM_INVALID_CONFIG, "max age needs to be >= 100ms"},
    {window_negative,       JS_STREAM_INVALID_CONFIG, "duplicates window can not be negative"},
    {window_long,           JS_STREAM_INVALID_CONFIG, "duplicates window can not be larger then max age"},
    {window_short,          JS_STREAM_INVALID_CONFIG, "duplicates window needs to be >= 100ms"},
    {rollup_denied,         JS_STREAM_INVALID_CONFIG, "roll-ups require the purge permission"},
    {per_subject_policy,    JS_STREAM_INVALID_CONFIG, "discard new per subject requires discard new policy to be set"},
    {per_subject_limit,     JS_STREAM_INVALID_CONFIG, "discard new per subject requires max msgs per subject > 0"},
    {marker_negative,       JS_STREAM_INVALID_CONFIG, "subject delete marker TTL must not be negative"},
    {marker_short,          JS_STREAM_INVALID_CONFIG, "subject delete marker TTL must be at least 1 second"},
    {placement_preferred,   JS_STREAM_INVALID_CONFIG, "preferred server not permitted in placement"},
    /* clang-format on */
};

/* Subjects of the server's own traffic: a stream that answered there would answer itself. */
static int
check_reserved(const struct stream_config *c, struct text subject, struct config_error *error)
{
    static const struct {
        const char *space, *allowed, *text;
    } reserved[] = {
        {"$JS.>", "$JS.EVENT.>",
         "subjects that overlap with jetstream api require no-ack to be true"},
        {"$JSC.>", NULL, "subjects that overlap with jetstream api require no-ack to be true"},
        {"$NRG.>", NULL, "subjects that overlap with jetstream api require no-ack to be true"},
        {"$SYS.>", "$SYS.ACCOUNT.>",
         "subjects that overlap with system api require no-ack to be true"},
    };
    if (text_equal(subject, TEXT(">"))) {
        if (!c->no_ack)
            return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                               "capturing all subjects requires no-ack to be true");
        if (c->num_replicas > 1)
            return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                               "capturing all subjects requires replicas of 1");
    }
    for (size_t i = 0; i < ARRAY_COUNT(reserved) && !c->no_ack; i++) {
        if (!subject_overlap(subject, text_of(reserved[i].space))) continue;
        if (reserved[i].allowed != NULL && subject_subset(subject, text_of(reserved[i].allowed)))
            continue;
        return fields_fail(error, JS_STREAM_INVALID_CONFIG, "%s", reserved[i].text);
    }
    return 0;
}

static int check_subjects(const struct stream_config *c, struct config_error *error)
{
    for (size_t i = 0; i < c->subject_count; i++) {
        struct text a = c->subjects[i];
        if (!fields_subject_valid(a) || a.bytes > LIMIT_SUBJECT_BYTES)
            return fields_fail(error, JS_STREAM_INVALID_CONFIG, "invalid subject");
        int rc = check_reserved(c, a, error);
        if (rc != 0) return rc;
        for (size_t k = 0; k < i; k++) {
            struct text b = c->subjects[k];
            if (text_equal(a, b))
                return fields_fail(error, JS_STREAM_INVALID_CONFIG, "duplicate subjects detected");
            if (subject_overlap(a, b))
                return fields_fail(error, JS_STREAM_INVALID_CONFIG,
                                   "subject \"%.*s\" overlaps with \"%.*s\"", (int)a.bytes, a.at,
                                   (int)b.bytes, b.at);
        }
    }
    return 0;
}

static int check(const struct stream_config *c, struct config_error *error)
{
    for (const struct stream_rule *r = stream_rules; r < ARRAY_END(stream_rules); r++) {
        if (r->broken(c)) return fields_fail(error, r->code, "%s", r->text);
    }
    int rc = check_subjects(c, error);
    return rc == 0 ? stream_rules_check(c, error) : rc;
}

int stream_config_read(struct text json, struct stream_config *out)
{
    struct config_error error;
    *out = (struct stream_config){0};
    int rc = fields_decode(&stream_table, json, out, &error);
    if (rc != 0) stream_config_free(out);
    return rc;
}

int stream_config_decode(struct text json, struct stream_config *out, struct config_error *error)
{
    *out = (struct stream_config){0};
    *error = (struct config_error){0};
    int rc = fields_decode(&stream_table, json, out, error);
    if (rc == 0) {
        set_defaults(out);
        rc = check(out, error);
    }
    if (rc != 0) stream_config_free(out);
    return rc;
}

void stream_config_encode(const struct stream_config *c, struct json_out *j, const char *key)
{
    fields_encode(&stream_table, c, j, key, NULL);
}

void stream_config_show(const struct stream_config *c,
                        struct json_out *j,
                        const char *key,
                        const char *version,
                        int level)
{
    struct fields_show show = {.version = version, .level = level};
    show.required_level = c->allow_msg_ttl || c->subject_delete_marker_ttl_ns > 0 ? 1 : 0;
    fields_encode(&stream_table, c, j, key, &show);
}

bool stream_config_equal(const struct stream_config *a, const struct stream_config *b)
{
    return fields_equal(&stream_table, a, b, NULL);
}

void stream_config_free(struct stream_config *c)
{
    fields_free(&c->arena);
    *c = (struct stream_config){0};
}

/* ---- what an update may do ---- */

#define CHANGE(name, expression)                                                                   \
    static bool name(const struct stream_config *from, const struct stream_config *to)             \
    {                                                                                              \
        return (expression);                                                                       \
    }
CHANGE(leaves_workqueue,
       from->retention != to->retention &&
           (from->retention == RETENTION_WORKQUEUE || to->retention == RETENTION_WORKQUEUE))
CHANGE(unseals, from->sealed && !to->sealed)
CHANGE(allows_delete, from->deny_delete && !to->deny_delete)
CHANGE(allows_purge, from->deny_purge && !to->deny_purge)
CHANGE(ends_ttl, from->allow_msg_ttl && !to->allow_msg_ttl)

static const struct stream_change {
    bool (*refused)(const struct stream_config *from, const struct stream_config *to);
    const char *text;
} stream_changes[] = {
    {leaves_workqueue, UPDATE "change retention policy to/from workqueue"},
    {unseals, UPDATE "unseal a sealed stream"},
    {allows_delete, UPDATE "cancel deny message deletes"},
    {allows_purge, UPDATE "cancel deny purge"},
    {ends_ttl, "message TTL status can not be disabled"},
};

int stream_config_update_check(const struct stream_config *from,
                               const struct stream_config *to,
                               struct config_error *error)
{
    *error = (struct config_error){0};
    int rc = fields_update_check(&stream_table, from, to, error);
    if (rc != 0) return rc;
    for (const struct stream_change *c = stream_changes; c < ARRAY_END(stream_changes); c++) {
        if (c->refused(from, to))
            return fields_fail(error, JS_STREAM_INVALID_CONFIG, "%s", c->text);
    }
    return 0;
}

void stream_config_seal(struct stream_config *c)
{
    c->max_age_ns = 0;
    c->discard = DISCARD_NEW;
    c->deny_delete = true;
    c->deny_purge = true;
    c->allow_rollup_hdrs = false;
}
