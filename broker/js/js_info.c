/* js_info.c - StreamInfo and ConsumerInfo (6.5, 8.5), cluster members (16.4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/js/deliver.h"

#define INFO_SUBJECTS_PAGE 100000
#define INFO_DELETED_MAX 100000

/* ---- cluster ---- */

/* Eight characters that stand for a server's name. */
static void info_peer_id(const char *name, char *out)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t hash = map_hash(0, text_of(name));
    for (size_t i = 0; i < 8; i++) {
        out[i] = digits[hash % 62];
        hash /= 62;
    }
    out[8] = '\0';
}

static const struct group_peer_status *
info_status(const struct group_peer_status *peers, size_t count, node_id id)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id == id) return &peers[i];
    }
    return NULL;
}

/* Only the leader knows how far the others are; a follower tells who is connected. */
static void info_replica(struct engine *e,
                         const struct group_member *m,
                         const struct group_peer_status *status,
                         struct json_out *j)
{
    char id[9];
    log_index committed = group_committed(e->o.group);
    const struct cluster_peer *peer = m->id == e->o.self ? NULL : cluster_peer(e->o.cluster, m->id);
    bool up = m->id == e->o.self || (peer != NULL && peer->up);
    bool current = up;
    uint64_t lag = 0, silent = 0;
    if (status != NULL) {
        up = status->up;
        lag = status->match < committed ? committed - status->match : 0;
        silent = status->silent_ns;
        current = up && lag < 1024;
    }
    json_out_object(j, NULL);
    json_out_string(j, "name", m->name);
    json_out_bool(j, "current", current);
    if (!up) json_out_bool(j, "offline", true);
    json_out_u64(j, "active", silent);
    if (lag != 0) json_out_u64(j, "lag", lag);
    info_peer_id(m->name, id);
    json_out_string(j, "peer", id);
    json_out_object_end(j);
}

void js_info_cluster(struct engine *e, struct json_out *j)
{
    struct group_member members[LIMIT_VOTERS * 2];
    struct group_peer_status peers[LIMIT_VOTERS * 2];
    if (e->o.cluster_name == NULL || e->o.cluster_name[0] == '\0') return;
    json_out_object(j, "cluster");
    json_out_string(j, "name", e->o.cluster_name);
    if (e->o.cluster == NULL) {
        json_out_string(j, "leader", e->o.server_name);
        json_out_object_end(j);
        return;
    }
    size_t count = group_members(e->o.group, members, ARRAY_COUNT(members));
    size_t known = e->leads ? group_peers(e->o.group, peers, ARRAY_COUNT(peers)) : 0;
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == e->leader && e->leader != 0)
            json_out_string(j, "leader", members[i].name);
    }
    json_out_array(j, "replicas");
    for (size_t i = 0; i < count; i++) {
        if (members[i].id != e->leader || e->leader == 0)
            info_replica(e, &members[i], info_status(peers, known, members[i].id), j);
    }
    json_out_array_end(j);
    json_out_object_end(j);
}

/* ---- stream ---- */

struct info_deleted {
    struct json_out *j;
    uint64_t count;
};
static void info_deleted(void *ctx, stream_seq seq)
{
    struct info_deleted *d = ctx;
    if (d->count++ < INFO_DELETED_MAX) json_out_u64(d->j, NULL, seq);
}

struct info_subject {
    char *name;
    size_t bytes;
    uint64_t count;
};
struct info_subjects {
    struct info_subject *at;
    size_t count, max;
};
static void info_subject(void *ctx, struct text subject, const struct store_subject *row)
{
    struct info_subjects *s = ctx;
    if (s->count == s->max) {
        s->max = s->max == 0 ? 64 : s->max * 2;
        s->at = check_realloc(s->at, s->max * sizeof *s->at);
    }
    struct info_subject *each = &s->at[s->count++];
    *each = (struct info_subject){
        .name = check_alloc(subject.bytes + 1), .bytes = subject.bytes, .count = row->count};
    memcpy(each->name, subject.at, subject.bytes);
}
static int info_compare(const void *a, const void *b)
{
    return strcmp(((const struct info_subject *)a)->name, ((const struct info_subject *)b)->name);
}

/* Returns how many match in all. */
static uint64_t info_subjects(struct stream *s, struct json_out *j, const struct js_info_state *how)
{
    struct info_subjects found = {0};
    store_subjects(s->store, how->subjects_filter, info_subject, &found);
    if (found.count != 0) qsort(found.at, found.count, sizeof *found.at, info_compare);
    json_out_object(j, "subjects");
    for (size_t i = how->offset; i < found.count && i - how->offset < INFO_SUBJECTS_PAGE; i++)
        json_out_u64(j, found.at[i].name, found.at[i].count);
    json_out_object_end(j);
    for (size_t i = 0; i < found.count; i++)
        free(found.at[i].name);
    free(found.at);
    return found.count;
}

static uint64_t info_consumers(const struct stream *s)
{
    uint64_t n = s->consumers.count;
    LIST_FOREACH (each, &s->locals) {
        n++;
    }
    return n;
}

static uint64_t info_state(struct stream *s, struct json_out *j, const struct js_info_state *how)
{
    struct store_counts c = stream_counts(s);
    uint64_t total = 0, span = c.msgs == 0 ? 0 : c.last - c.first + 1;
    json_out_object(j, "state");
    json_out_u64(j, "messages", c.msgs);
    json_out_u64(j, "bytes", c.bytes);
    json_out_u64(j, "first_seq", c.last == 0 ? 0 : c.first);
    json_out_time(j, "first_ts", c.msgs == 0 ? INT64_MIN : c.first_ns);
    json_out_u64(j, "last_seq", c.last);
    json_out_time(j, "last_ts", c.last_ns == 0 ? INT64_MIN : c.last_ns);
    if (c.subjects != 0) json_out_u64(j, "num_subjects", c.subjects);
    if (how != NULL && how->subjects_filter.bytes != 0) total = info_subjects(s, j, how);
    if (span > c.msgs) json_out_u64(j, "num_deleted", span - c.msgs);
    if (how != NULL && how->deleted && span > c.msgs) {
        struct info_deleted d = {.j = j};
        json_out_array(j, "deleted");
        (void)store_deleted(s->store, info_deleted, &d);
        json_out_array_end(j);
    }
    json_out_u64(j, "consumer_count", info_consumers(s));
    json_out_object_end(j);
    return total;
}

/* ---- mirror, sources, alternates ---- */

static void
info_source(struct engine *e, struct stream *s, size_t i, struct json_out *j, const char *key)
{
    struct stream_source_info info = stream_source_info(s, i);
    const struct stream_source *c = info.config;
    int64_t idle = engine_now(e) - info.active_ns;
    json_out_object(j, key);
    json_out_text(j, "name", c->name);
    json_out_u64(j, "lag", info.lag);
    json_out_i64(j, "active", info.active_ns == 0 ? -1 : idle < 0 ? 0 : idle);
    if (c->filter_subject.bytes != 0) json_out_text(j, "filter_subject", c->filter_subject);
    if (c->transform_count != 0) json_out_array(j, "subject_transforms");
    for (size_t k = 0; k < c->transform_count; k++) {
        json_out_object(j, NULL);
        json_out_text(j, "src", c->transforms[k].src);
        json_out_text(j, "dest", c->transforms[k].dest);
        json_out_object_end(j);
    }
    if (c->transform_count != 0) json_out_array_end(j);
    if (!info.found) {
        json_out_object(j, "error");
        json_out_i64(j, "code", 404);
        json_out_i64(j, "err_code", JS_STREAM_NOT_FOUND);
        json_out_string(j, "description", "stream not found");
        json_out_object_end(j);
    }
    json_out_object_end(j);
}

static void info_sources(struct engine *e, struct stream *s, struct json_out *j)
{
    if (s->config.mirror_count != 0) info_source(e, s, 0, j, "mirror");
    if (s->config.source_count == 0) return;
    json_out_array(j, "sources");
    for (size_t i = 0; i < s->config.source_count; i++)
        info_source(e, s, i, j, NULL);
    json_out_array_end(j);
}

static bool info_mirrors(const struct stream *s, struct text name)
{
    return s->config.mirror_count != 0 && text_equal(s->config.mirror->name, name);
}

static void info_alternate(struct engine *e, const struct stream *s, struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_text(j, "name", s->config.name);
    if (e->o.domain != NULL && e->o.domain[0] != '\0') json_out_string(j, "domain", e->o.domain);
    json_out_string(j, "cluster", e->o.cluster_name);
    json_out_object_end(j);
}

/* The stream and those that mirror it; only clusters tell. */
static void info_alternates(struct engine *e, struct stream *s, struct json_out *j)
{
    struct stream *origin = s, *at = NULL;
    bool any = false;
    if (e->copiers == 0 || e->o.cluster_name == NULL || e->o.cluster_name[0] == '\0') return;
    if (s->config.mirror_count != 0)
        origin = state_stream(e->o.state, s->account, s->config.mirror->name);
    if (origin == NULL) return;
    while ((at = state_stream_next(e->o.state, s->account, at)) != NULL) {
        if (!info_mirrors(at, origin->config.name)) continue;
        if (!any) {
            json_out_array(j, "alternates");
            info_alternate(e, origin, j);
        }
        any = true;
        info_alternate(e, at, j);
    }
    if (any) json_out_array_end(j);
}

void js_info_stream_members(struct engine *e,
                            struct stream *s,
                            struct json_out *j,
                            const struct js_info_state *how)
{
    stream_config_show(&s->config, j, "config", e->o.version, JS_API_LEVEL);
    json_out_time(j, "created", s->created_ns);
    uint64_t total = info_state(s, j, how);
    if (e->o.domain != NULL && e->o.domain[0] != '\0') json_out_string(j, "domain", e->o.domain);
    js_info_cluster(e, j);
    info_sources(e, s, j);
    if (how != NULL) info_alternates(e, s, j);
    json_out_time(j, "ts", env_wall_ns(e->o.env));
    if (how == NULL) return;
    json_out_u64(j, "total", total);
    json_out_u64(j, "offset", how->offset < total ? how->offset : total);
    json_out_u64(j, "limit", INFO_SUBJECTS_PAGE);
}

void js_info_stream(struct engine *e, struct stream *s, struct json_out *j, const char *key)
{
    json_out_object(j, key);
    js_info_stream_members(e, s, j, NULL);
    json_out_object_end(j);
}

/* ---- consumer ---- */

static void
info_sequence(struct json_out *j, const char *key, uint64_t cseq, uint64_t sseq, int64_t last_ns)
{
    json_out_object(j, key);
    json_out_u64(j, "consumer_seq", cseq);
    json_out_u64(j, "stream_seq", sseq);
    if (last_ns != 0) json_out_time(j, "last_active", last_ns);
    json_out_object_end(j);
}

/* The leader knows all who wait, another node those of its own clients. */
static uint64_t info_waiting(const struct js_consumer *jc)
{
    uint64_t n = 0;
    if (jc == NULL) return 0;
    if (engine_decides(jc)) return jc->waiting_count;
    LIST_FOREACH (each, &jc->pulls) {
        n++;
    }
    return n;
}

static void info_groups(const struct consumer *c, struct json_out *j)
{
    const struct js_consumer *jc = c->engine;
    json_out_array(j, "priority_groups");
    for (size_t i = 0; i < c->config.priority_group_count; i++) {
        json_out_object(j, NULL);
        json_out_text(j, "group", c->config.priority_groups[i]);
        if (jc != NULL && jc->pin.id[0] != '\0') {
            json_out_string(j, "pinned_client_id", jc->pin.id);
            json_out_time(j, "pinned_ts", jc->pin.since_ns);
        }
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

void js_info_consumer_members(struct engine *e, struct consumer *c, struct json_out *j)
{
    const struct js_consumer *jc = c->engine;
    int64_t now = env_wall_ns(e->o.env);
    json_out_text(j, "stream_name", c->stream->config.name);
    json_out_text(j, "name", c->name);
    json_out_time(j, "created", c->created_ns);
    consumer_config_show(&c->config, j, "config", e->o.version, JS_API_LEVEL);
    info_sequence(j, "delivered", c->delivered.cseq, c->delivered.sseq, c->delivered.last_ns);
    info_sequence(j, "ack_floor", c->ack_floor.cseq, c->ack_floor.sseq, c->ack_floor.last_ns);
    json_out_u64(j, "num_ack_pending", c->pending_count);
    json_out_u64(j, "num_redelivered", c->redelivered);
    json_out_u64(j, "num_waiting", info_waiting(jc));
    json_out_u64(j, "num_pending", c->num_pending);
    js_info_cluster(e, j);
    if (jc != NULL && push_bound(jc)) json_out_bool(j, "push_bound", true);
    if (c->config.pause_until_ns > now) {
        json_out_bool(j, "paused", true);
        json_out_i64(j, "pause_remaining", c->config.pause_until_ns - now);
    }
    if (c->config.priority_group_count != 0) info_groups(c, j);
    json_out_time(j, "ts", now);
}

void js_info_consumer(struct engine *e, struct consumer *c, struct json_out *j, const char *key)
{
    json_out_object(j, key);
    js_info_consumer_members(e, c, j);
    json_out_object_end(j);
}
