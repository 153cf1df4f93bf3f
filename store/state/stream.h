/* stream.h - one stream: config, messages, consumers, dedup window. Changed by apply only. */
#pragma once

#include "store/base/json_out.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/base/slice.h"
#include "store/base/units.h"
#include "store/store.h"

enum stream_retention { RETENTION_LIMITS, RETENTION_INTEREST, RETENTION_WORKQUEUE };
enum stream_discard { DISCARD_OLD, DISCARD_NEW };
enum stream_storage { STORAGE_FILE, STORAGE_MEMORY };

/* dest empty: src is only a filter. */
struct stream_transform {
    struct text src, dest;
};
struct stream_republish {
    struct text src, dest;
    bool headers_only;
};
/* Another stream whose messages come here: the mirrored one, or one of several sources. */
struct stream_source {
    struct text name, filter_subject;
    uint64_t opt_start_seq;
    int64_t opt_start_time_ns; /* INT64_MIN: not set */
    struct stream_transform *transforms;
    size_t transform_count;
    struct text external; /* JSON as given; refused unless empty */
};

/* JetStream's StreamConfig, section 6.1 of the protocol reference; stream_fields.c holds its table.
 * All text is owned by the config (one arena). -1: unlimited where JetStream says so. */
struct stream_config {
    struct text name, description;
    struct text *subjects;
    size_t subject_count;
    int retention, discard, storage; /* enums above */
    int64_t max_consumers, max_msgs, max_bytes, max_age_ns, max_msgs_per_subject, max_msg_size;
    int64_t num_replicas, duplicate_window_ns, subject_delete_marker_ttl_ns;
    uint64_t first_seq;
    struct text compression; /* "none" or "s2": kept and shown; how bytes lie on disk is ours */
    bool no_ack, allow_direct, mirror_direct, discard_new_per_subject, sealed, deny_delete,
        deny_purge;
    bool allow_rollup_hdrs, allow_msg_ttl;
    int64_t limit_inactive_threshold_ns, limit_max_ack_pending; /* consumer_limits */
    struct text metadata, placement;                            /* JSON as given, "" when absent */
    struct stream_transform *transform; /* subject_transform; count 0 or 1, also below */
    struct stream_republish *republish;
    struct stream_source *mirror, *sources;
    size_t transform_count, republish_count, mirror_count, source_count;
    void *arena;
};

struct stream {
    struct state *state;
    uint32_t id, account_id;
    struct text account; /* name */
    struct stream_config config;
    int64_t created_ns;
    struct store_stream *store;
    struct map consumers;      /* replicated ones, by name */
    struct list consumer_list; /* the same in creation order (struct consumer.in_stream) */
    struct list locals;        /* consumers of this node only (broker/js/local_consumer.c) */
    void *engine;              /* the watcher's */
    /* apply's own below */
    struct stream_apply *apply;
};

/* How far what it copies from others has come. */
struct stream_source_info {
    const struct stream_source *config;
    bool found; /* there is a stream of that name */
    uint64_t lag;
    int64_t active_ns; /* when something was copied last; 0: never */
};
size_t stream_source_count(const struct stream *s); /* mirror and sources */
struct stream_source_info stream_source_info(const struct stream *s, size_t i);

struct store_counts stream_counts(const struct stream *s);
struct consumer *stream_consumer(const struct stream *s, struct text name);
/* True when this literal subject is one of the stream's. */
bool stream_captures(const struct stream *s, struct text subject);

/* ---- config (stream_fields.c) ---- */
struct config_error {
    int code;         /* enum js_error */
    char text[512];   /* the whole description */
    char detail[512]; /* what stands in the code's text for %s */
};
/* From a client's JSON, with defaults set and validated alone (not against other streams). On
 * error: rc E_INVAL and the protocol's own error. Owner of the result: the caller
 * (stream_config_free). */
NODISCARD int
stream_config_decode(struct text json, struct stream_config *out, struct config_error *error);
/* What stream_config_encode wrote, as it is: no defaults, no rules, which may have changed since.
 */
NODISCARD int stream_config_read(struct text json, struct stream_config *out);
/* JSON in JetStream's member order; what is absent there is absent here. */
void stream_config_encode(const struct stream_config *c, struct json_out *j, const char *key);
/* The same as servers since 2.11 show it: with `_nats.*` keys in the metadata. */
void stream_config_show(const struct stream_config *c,
                        struct json_out *j,
                        const char *key,
                        const char *version,
                        int level);
/* What sealing implies; for an update whose config is sealed, before anything compares it. */
void stream_config_seal(struct stream_config *c);
bool stream_config_equal(const struct stream_config *a, const struct stream_config *b);
/* May `from` become `to`? E_INVAL with the protocol's text. */
NODISCARD int stream_config_update_check(const struct stream_config *from,
                                         const struct stream_config *to,
                                         struct config_error *error);
void stream_config_free(struct stream_config *c);
