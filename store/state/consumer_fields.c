/* consumer_fields.c - JetStream's ConsumerConfig: the table of its fields and the rules between
 * them. Source: protocol reference 8.1, 8.2 and 8.4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/subject_match.h"
#include "store/state/consumer.h"
#include "store/state/fields.h"
#include "store/state/js_errors.h"

#define SECOND_NS ((int64_t)NS_PER_S)
#define ACK_WAIT_NS (30 * SECOND_NS)
#define EPHEMERAL_NS (5 * SECOND_NS) /* inactive_threshold of what isn't durable */
#define HEARTBEAT_NS_MIN ((int64_t)(100 * NS_PER_MS))
#define EXPIRES_NS_MIN ((int64_t)NS_PER_MS)
#define ACK_PENDING 1000
#define WAITING 512
#define PINNED_NS (120 * SECOND_NS) /* a pin without pulls */
#define GROUP_BYTES_MAX 16
#define DESCRIPTION_BYTES_MAX 4096
#define METADATA_BYTES_MAX 131072

static const char *const deliver_policies[] = {
    "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", NULL};
/* flow_control is known, so that refusing it can say why. */
enum { ACK_POLICY_FLOW_CONTROL = ACK_POLICY_EXPLICIT + 1 };
static const char *const ack_policies[] = {"none", "all", "explicit", "flow_control", NULL};
static const char *const replay_policies[] = {"instant", "original", NULL};
static const char *const priorities[] = {"none", "overflow", "pinned_client", "prioritized", NULL};

#define AT(member) offsetof(struct consumer_config, member)

/* clang-format off */
/* The order is the order of JetStream's own encoder. */
static const struct field consumer_rows[] = {
    {"durable_name",       FIELD_TEXT,     AT(durable_name), .flags = FIELD_OMIT},
    {"name",               FIELD_TEXT,     AT(name), .flags = FIELD_OMIT},
    {"description",        FIELD_TEXT,     AT(description), .flags = FIELD_OMIT},
    {"deliver_policy",     FIELD_ENUM,     AT(deliver_policy), .flags = FIELD_CONST, .words = deliver_policies, .text = "deliver policy can not be updated"},
    {"opt_start_seq",      FIELD_U64,      AT(opt_start_seq), .flags = FIELD_OMIT | FIELD_CONST, .text = "start sequence can not be updated"},
    {"opt_start_time",     FIELD_TIME,     AT(opt_start_time_ns), .flags = FIELD_OMIT | FIELD_CONST, .text = "start time can not be updated"},
    {"ack_policy",         FIELD_ENUM,     AT(ack_policy), .flags = FIELD_CONST, .words = ack_policies, .text = "ack policy can not be updated"},
    {"ack_wait",           FIELD_I64,      AT(ack_wait_ns), .flags = FIELD_OMIT},
    {"max_deliver",        FIELD_I64,      AT(max_deliver), .flags = FIELD_OMIT, .zero = -1},
    {"backoff",            FIELD_I64S,     AT(backoff_ns), AT(backoff_count), .flags = FIELD_OMIT},
    {"filter_subject",     FIELD_TEXT,     AT(filter_subject), .flags = FIELD_OMIT},
    {"filter_subjects",    FIELD_TEXTS,    AT(filter_subjects), AT(filter_subject_count), .flags = FIELD_OMIT},
    {"replay_policy",      FIELD_ENUM,     AT(replay_policy), .flags = FIELD_CONST, .words = replay_policies, .text = "replay policy can not be updated"},
    {"rate_limit_bps",     FIELD_I64,      AT(rate_limit_bps), .flags = FIELD_OMIT},
    {"sample_freq",        FIELD_TEXT,     AT(sample_freq), .flags = FIELD_OMIT},
    {"max_waiting",        FIELD_I64,      AT(max_waiting), .flags = FIELD_OMIT | FIELD_CONST, .text = "max waiting can not be updated"},
    {"max_ack_pending",    FIELD_I64,      AT(max_ack_pending), .flags = FIELD_OMIT},
    {"flow_control",       FIELD_BOOL,     AT(flow_control), .flags = FIELD_OMIT | FIELD_CONST, .text = "flow control can not be updated"},
    {"headers_only",       FIELD_BOOL,     AT(headers_only), .flags = FIELD_OMIT},
    {"max_batch",          FIELD_I64,      AT(max_batch), .flags = FIELD_OMIT},
    {"max_expires",        FIELD_I64,      AT(max_expires_ns), .flags = FIELD_OMIT},
    {"max_bytes",          FIELD_I64,      AT(max_bytes), .flags = FIELD_OMIT},
    {"deliver_subject",    FIELD_TEXT,     AT(deliver_subject), .flags = FIELD_OMIT},
    {"deliver_group",      FIELD_TEXT,     AT(deliver_group), .flags = FIELD_OMIT},
    {"idle_heartbeat",     FIELD_I64,      AT(idle_heartbeat_ns), .flags = FIELD_OMIT | FIELD_CONST, .text = "heart beats can not be updated"},
    {"inactive_threshold", FIELD_I64,      AT(inactive_threshold_ns), .flags = FIELD_OMIT},
    {"num_replicas",       FIELD_I64,      AT(num_replicas), .flags = 0},
    {"mem_storage",        FIELD_BOOL,     AT(mem_storage), .flags = FIELD_OMIT | FIELD_CONST, .text = "storage can not be updated"},
    {"direct",             FIELD_BOOL,     AT(direct), .flags = FIELD_OMIT},
    {"metadata",           FIELD_METADATA, AT(metadata), .flags = FIELD_OMIT},
    {"pause_until",        FIELD_TIME,     AT(pause_until_ns), .flags = FIELD_OMIT},
    {"priority_groups",    FIELD_TEXTS,    AT(priority_groups), AT(priority_group_count), .flags = FIELD_OMIT},
    {"priority_policy",    FIELD_ENUM,     AT(priority_policy), .flags = FIELD_OMIT, .words = priorities},
    {"priority_timeout",   FIELD_I64,      AT(priority_timeout_ns), .flags = FIELD_OMIT},
    {0},
};
/* clang-format on */
static const struct fields consumer_table = {consumer_rows, JS_CONSUMER_CREATE, AT(arena)};

/* ---- defaults ---- */

static void set_filters(struct consumer_config *c)
{
    c->filters = c->filter_subjects;
    c->filter_count = c->filter_subject_count;
    c->filters_plural = c->filter_count > 0;
    if (c->filters_plural || c->filter_subject.bytes == 0) return;
    c->filters = fields_alloc(&c->arena, sizeof *c->filters);
    c->filters[0] = c->filter_subject;
    c->filter_count = 1;
}

static void set_defaults(struct consumer_config *c, const struct stream_config *stream)
{
    if (c->deliver_subject.bytes == 0 && c->max_waiting == 0) c->max_waiting = WAITING;
    if (c->backoff_count > 0) c->ack_wait_ns = c->backoff_ns[0];
    if (c->ack_policy != ACK_POLICY_NONE && c->ack_wait_ns == 0) c->ack_wait_ns = ACK_WAIT_NS;
    if (c->ack_policy != ACK_POLICY_NONE && c->max_ack_pending == 0)
        c->max_ack_pending = stream != NULL && stream->limit_max_ack_pending > 0
                                 ? stream->limit_max_ack_pending
                                 : ACK_PENDING;
    if (c->priority_policy == PRIORITY_PINNED && c->priority_timeout_ns == 0)
        c->priority_timeout_ns = PINNED_NS;
    if (c->inactive_threshold_ns == 0 && stream != NULL)
        c->inactive_threshold_ns = stream->limit_inactive_threshold_ns;
    if (c->inactive_threshold_ns == 0 && c->durable_name.bytes == 0)
        c->inactive_threshold_ns = EPHEMERAL_NS;
}

/* ---- rules ---- */

#define RULE(name, expression)                                                                     \
    static bool name(const struct consumer_config *c, const struct stream_config *s)               \
    {                                                                                              \
        (void)s;                                                                                   \
        return (expression);                                                                       \
    }
#define PUSH (c->deliver_subject.bytes != 0)
#define PULL (c->deliver_subject.bytes == 0)

static bool deliver_cycle(const struct consumer_config *c, const struct stream_config *s)
{
    for (size_t i = 0; s != NULL && PUSH && i < s->subject_count; i++) {
        if (subject_overlap(c->deliver_subject, s->subjects[i])) return true;
    }
    return false;
}
static bool backoff_negative(const struct consumer_config *c, const struct stream_config *s)
{
    (void)s;
    for (size_t i = 0; i < c->backoff_count; i++) {
        if (c->backoff_ns[i] < 0) return true;
    }
    return false;
}
static bool filter_empty(const struct consumer_config *c, const struct stream_config *s)
{
    (void)s;
    for (size_t i = 0; i < c->filter_count; i++) {
        if (c->filters[i].bytes == 0) return true;
    }
    return false;
}
static bool filter_invalid(const struct consumer_config *c, const struct stream_config *s)
{
    (void)s;
    for (size_t i = 0; i < c->filter_count; i++) {
        if (!fields_subject_valid(c->filters[i])) return true;
    }
    return false;
}
static bool filters_overlap(const struct consumer_config *c, const struct stream_config *s)
{
    (void)s;
    for (size_t i = 0; i < c->filter_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (subject_overlap(c->filters[i], c->filters[k])) return true;
        }
    }
    return false;
}
static bool group_empty(const struct consumer_config *c, const struct stream_config *s)
{
    (void)s;
    for (size_t i = 0; i < c->priority_group_count; i++) {
        if (c->priority_groups[i].bytes == 0) return true;
    }
    return false;
}
static bool group_bad(const struct consumer_config *c, const struct stream_config *s)
{
    static const char more[] = "-_/=";
    (void)s;
    for (size_t i = 0; i < c->priority_group_count; i++) {
        struct text group = c->priority_groups[i];
        if (group.bytes > GROUP_BYTES_MAX) return true;
        for (size_t k = 0; k < group.bytes; k++) {
            char at = group.at[k];
            bool letter = (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z');
            if (!letter && !(at >= '0' && at <= '9') && memchr(more, at, sizeof more - 1) == NULL)
                return true;
        }
    }
    return false;
}
RULE(group_missing, c->priority_policy != PRIORITY_NONE && c->priority_group_count == 0)
RULE(group_push, PUSH && (c->priority_policy != PRIORITY_NONE || c->priority_group_count != 0))
RULE(group_without_policy, c->priority_policy == PRIORITY_NONE && c->priority_group_count != 0)
RULE(pin_without_policy, c->priority_policy == PRIORITY_NONE && c->priority_timeout_ns != 0)
RULE(name_missing, consumer_config_name(c).bytes == 0)
RULE(name_separator, fields_has_separator(c->name) || fields_has_separator(c->durable_name))
RULE(name_bad, !fields_name_valid(consumer_config_name(c)))
RULE(name_long, consumer_config_name(c).bytes > LIMIT_NAME_BYTES)
RULE(name_differs,
     c->name.bytes != 0 && c->durable_name.bytes != 0 && !text_equal(c->name, c->durable_name))
RULE(description_long, c->description.bytes > DESCRIPTION_BYTES_MAX)
RULE(metadata_long, c->metadata.bytes > METADATA_BYTES_MAX)
RULE(ack_flow_control, c->ack_policy == ACK_POLICY_FLOW_CONTROL)
RULE(replicas_negative, c->num_replicas < 0)
RULE(replicas_many, s != NULL && c->num_replicas > s->num_replicas)
RULE(replicas_differ,
     s != NULL && s->retention != RETENTION_LIMITS && c->num_replicas != 0 &&
         c->num_replicas != s->num_replicas)
RULE(ack_wait_negative, c->ack_wait_ns < 0)
RULE(backoff_long,
     c->backoff_count > 0 && c->max_deliver != -1 && (int64_t)c->backoff_count > c->max_deliver)
RULE(deliver_wildcard, PUSH && !subject_is_literal(c->deliver_subject))
RULE(deliver_invalid, PUSH && !fields_subject_valid(c->deliver_subject))
RULE(push_waiting, PUSH && c->max_waiting != 0)
RULE(push_pending, c->max_ack_pending > 0 && c->ack_policy == ACK_POLICY_NONE)
RULE(heartbeat_small, PUSH && c->idle_heartbeat_ns > 0 && c->idle_heartbeat_ns < HEARTBEAT_NS_MIN)
RULE(pull_rate, PULL && c->rate_limit_bps > 0)
RULE(pull_waiting, PULL && c->max_waiting < 0)
RULE(pull_heartbeat, PULL && c->idle_heartbeat_ns > 0)
RULE(pull_flow_control, PULL && c->flow_control)
RULE(pull_batch, PULL && c->max_batch < 0)
RULE(pull_expires, PULL && c->max_expires_ns != 0 && c->max_expires_ns < EXPIRES_NS_MIN)
RULE(pull_queue_ack,
     PULL &&s != NULL && s->retention == RETENTION_WORKQUEUE && c->ack_policy == ACK_POLICY_NONE)
RULE(direct_pull, c->direct &&PULL)
RULE(direct_durable, c->direct && c->durable_name.bytes != 0)
RULE(filters_both, c->filter_subject.bytes != 0 && c->filter_subject_count > 0)
RULE(flow_needs_heartbeat, c->flow_control && c->idle_heartbeat_ns == 0)
RULE(queue_explicit,
     s != NULL && s->retention == RETENTION_WORKQUEUE && c->ack_policy != ACK_POLICY_EXPLICIT)
RULE(queue_all,
     s != NULL && s->retention == RETENTION_WORKQUEUE && c->deliver_policy != DELIVER_ALL)

static const struct consumer_rule {
    bool (*broken)(const struct consumer_config *c, const struct stream_config *s);
    int code;
    const char *detail;
} consumer_rules[] = {
    /* clang-format off */
    {name_missing,         JS_CONSUMER_CREATE, "consumer name is required"},
    {name_separator,       JS_CONSUMER_NAME_CONTAINS_PATH_SEPARATORS, ""},
    {name_long,            JS_CONSUMER_NAME_TOO_LONG, "255"},
    {name_bad,             JS_CONSUMER_BAD_DURABLE_NAME, ""},
    {name_differs,         JS_CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH, ""},
    {ack_flow_control,     JS_CONSUMER_CREATE, "flow control ack policy is not supported by this server"},
    {ack_wait_negative,    JS_CONSUMER_ACK_WAIT_NEGATIVE, ""},
    {backoff_negative,     JS_CONSUMER_BACK_OFF_NEGATIVE, ""},
    {replicas_negative,    JS_REPLICAS_COUNT_CANNOT_BE_NEGATIVE, ""},
    {replicas_many,        JS_CONSUMER_REPLICAS_EXCEEDS_STREAM, ""},
    {replicas_differ,      JS_CONSUMER_REPLICAS_SHOULD_MATCH_STREAM, ""},
    {backoff_long,         JS_CONSUMER_MAX_DELIVER_BACKOFF, ""},
    {description_long,     JS_CONSUMER_DESCRIPTION_TOO_LONG, "4096"},
    {deliver_wildcard,     JS_CONSUMER_DELIVER_TO_WILDCARDS, ""},
    {deliver_invalid,      JS_CONSUMER_INVALID_DELIVER_SUBJECT, ""},
    {deliver_cycle,        JS_CONSUMER_DELIVER_CYCLE, ""},
    {push_waiting,         JS_CONSUMER_PUSH_MAX_WAITING, ""},
    {push_pending,         JS_CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED, ""},
    {heartbeat_small,      JS_CONSUMER_SMALL_HEARTBEAT, ""},
    {pull_queue_ack,       JS_CONSUMER_PULL_REQUIRES_ACK, ""},
    {pull_rate,            JS_CONSUMER_PULL_WITH_RATE_LIMIT, ""},
    {pull_waiting,         JS_CONSUMER_MAX_WAITING_NEGATIVE, ""},
    {pull_heartbeat,       JS_CONSUMER_HB_REQUIRES_PUSH, ""},
    {pull_flow_control,    JS_CONSUMER_FC_REQUIRES_PUSH, ""},
    {pull_batch,           JS_CONSUMER_MAX_REQUEST_BATCH_NEGATIVE, ""},
    {pull_expires,         JS_CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL, ""},
    {direct_pull,          JS_CONSUMER_DIRECT_REQUIRES_PUSH, ""},
    {direct_durable,       JS_CONSUMER_DIRECT_REQUIRES_EPHEMERAL, ""},
    {filters_both,         JS_CONSUMER_DUPLICATE_FILTER_SUBJECTS, ""},
    {filter_empty,         JS_CONSUMER_EMPTY_FILTER, ""},
    {filter_invalid,       JS_CONSUMER_CREATE, "consumer filter subject is not valid"},
    {filters_overlap,      JS_CONSUMER_OVERLAPPING_SUBJECT_FILTERS, ""},
    {flow_needs_heartbeat, JS_CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS, ""},
    {metadata_long,        JS_CONSUMER_METADATA_LENGTH, "131072"},
    {group_push,           JS_CONSUMER_PUSH_WITH_PRIORITY_GROUP, ""},
    {group_missing,        JS_CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP, ""},
    {group_empty,          JS_CONSUMER_EMPTY_GROUP_NAME, ""},
    {group_bad,            JS_CONSUMER_INVALID_GROUP_NAME, ""},
    {group_without_policy, JS_CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE, ""},
    {pin_without_policy,   JS_CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE, ""},
    {queue_explicit,       JS_CONSUMER_WQ_REQUIRES_EXPLICIT_ACK, ""},
    {queue_all,            JS_CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL, ""},
    /* clang-format on */
};

/* Which start options a deliver policy wants; the others must be absent. */
static int check_policy(const struct consumer_config *c, struct config_error *error)
{
    static const char *const names[] = {
        [DELIVER_ALL] = "all",
        [DELIVER_LAST] = "last",
        [DELIVER_NEW] = "new",
        [DELIVER_BY_START_SEQUENCE] = "by start sequence",
        [DELIVER_BY_START_TIME] = "by start time",
        [DELIVER_LAST_PER_SUBJECT] = "last per subject",
    };
    const char *what = NULL, *state = "but optional";
    bool by_seq = c->deliver_policy == DELIVER_BY_START_SEQUENCE;
    bool by_time = c->deliver_policy == DELIVER_BY_START_TIME;
    if (by_seq && c->opt_start_seq == 0)
        what = "start sequence is not set";
    else if (by_time && c->opt_start_time_ns == INT64_MIN)
        what = "start time is not set";
    else if (c->deliver_policy == DELIVER_LAST_PER_SUBJECT && c->filter_count == 0)
        what = "filter subject is not set";
    else if (!by_seq && c->opt_start_seq != 0)
        what = "start sequence is also set";
    else if (!by_time && c->opt_start_time_ns != INT64_MIN)
        what = "start time is also set";
    if (what == NULL) return 0;
    return fields_fail(error, JS_CONSUMER_INVALID_POLICY,
                       "consumer delivery policy is deliver %s, %s %s", names[c->deliver_policy],
                       state, what);
}

static int check_sampling(const struct consumer_config *c, struct config_error *error)
{
    struct text t = c->sample_freq;
    int percent = 0;
    if (t.bytes > 0 && t.at[t.bytes - 1] == '%') t.bytes--;
    bool good = t.bytes > 0 || c->sample_freq.bytes == 0;
    for (size_t i = 0; i < t.bytes && good; i++) {
        good = t.at[i] >= '0' && t.at[i] <= '9' && percent <= 100;
        percent = percent * 10 + (t.at[i] - '0');
    }
    if (good && percent <= 100) return 0;
    return fields_fail(error, JS_CONSUMER_INVALID_SAMPLING,
                       "strconv.Atoi: parsing \"%.*s\": invalid syntax", (int)t.bytes,
                       t.at == NULL ? "" : t.at);
}

static int check_stream_limits(const struct consumer_config *c,
                               const struct stream_config *s,
                               struct config_error *error)
{
    char text[FIELDS_DURATION_BYTES];
    if (s == NULL) return 0;
    if (s->limit_max_ack_pending > 0 && c->max_ack_pending > s->limit_max_ack_pending)
        return fields_fail(error, JS_CONSUMER_MAX_PENDING_ACK_EXCESS, "%lld",
                           (long long)s->limit_max_ack_pending);
    if (s->limit_inactive_threshold_ns > 0 &&
        c->inactive_threshold_ns > s->limit_inactive_threshold_ns)
        return fields_fail(error, JS_CONSUMER_INACTIVE_THRESHOLD_EXCESS, "%s",
                           fields_duration(s->limit_inactive_threshold_ns, text));
    return 0;
}

static int
check(const struct consumer_config *c, const struct stream_config *s, struct config_error *error)
{
    for (const struct consumer_rule *r = consumer_rules; r < ARRAY_END(consumer_rules); r++) {
        if (r->broken(c, s)) return fields_fail_code(error, r->code, r->detail);
    }
    int rc = check_policy(c, error);
    if (rc == 0) rc = check_sampling(c, error);
    return rc == 0 ? check_stream_limits(c, s, error) : rc;
}

int consumer_config_read(struct text json, struct consumer_config *out)
{
    struct config_error error;
    *out = (struct consumer_config){0};
    int rc = fields_decode(&consumer_table, json, out, &error);
    if (rc != 0)
        consumer_config_free(out);
    else
        set_filters(out);
    return rc;
}

int consumer_config_decode(struct text json,
                           const struct stream_config *stream,
                           struct consumer_config *out,
                           struct config_error *error)
{
    *out = (struct consumer_config){0};
    *error = (struct config_error){0};
    int rc = fields_decode(&consumer_table, json, out, error);
    if (rc == 0) {
        set_filters(out);
        set_defaults(out, stream);
        rc = check(out, stream, error);
    }
    if (rc != 0) consumer_config_free(out);
    return rc;
}

void consumer_config_encode(const struct consumer_config *c, struct json_out *j, const char *key)
{
    fields_encode(&consumer_table, c, j, key, NULL);
}

void consumer_config_show(const struct consumer_config *c,
                          struct json_out *j,
                          const char *key,
                          const char *version,
                          int level)
{
    struct fields_show show = {.version = version, .level = level};
    show.required_level = c->pause_until_ns != INT64_MIN || c->priority_policy != 0 ? 1 : 0;
    fields_encode(&consumer_table, c, j, key, &show);
}

/* A durable may be given with or without its name a second time: it is the same consumer. */
bool consumer_config_equal(const struct consumer_config *a, const struct consumer_config *b)
{
    const char *skip = a->durable_name.bytes != 0 && b->durable_name.bytes != 0 ? "name" : NULL;
    return fields_equal(&consumer_table, a, b, skip);
}

int consumer_config_update_check(const struct consumer_config *from,
                                 const struct consumer_config *to,
                                 struct config_error *error)
{
    *error = (struct config_error){0};
    bool pushed = from->deliver_subject.bytes != 0, pushes = to->deliver_subject.bytes != 0;
    if (pushed && !pushes)
        return fields_fail(error, JS_CONSUMER_CREATE, "can not update push consumer to pull based");
    if (!pushed && pushes)
        return fields_fail(error, JS_CONSUMER_CREATE, "can not update pull consumer to push based");
    return fields_update_check(&consumer_table, from, to, error);
}

void consumer_config_free(struct consumer_config *c)
{
    fields_free(&c->arena);
    *c = (struct consumer_config){0};
}
