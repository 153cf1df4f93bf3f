/* apply_copy.c - mirrors and sources: messages of one stream go into another.
 *
 * Every stream is on every node, so the leader only proposes `copy what is next from source i`, and
 * each node copies from its own state: no message passes the log twice. Where a source stands is
 * part of the state and moves here alone, so neither a repeated command nor a new leader copies
 * anything twice.
 *
 * A mirror keeps sequences and times. A source's messages get the stream's own, and a header line
 * that says where they came from. What a limit refuses stops the copying: the leader tries again
 * when something went, or after a while. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/state/apply.h"
#include "store/state/header.h"
#include "store/state/stream_rules.h"

#define COPY_MESSAGES_MAX 1000 /* of one command, whatever it says */
#define COPY_BYTES_MAX MIB(1)
#define COPY_SCAN_MAX 4096
#define SOURCE_HEADER "Nats-Stream-Source"
#define SOURCE_LINE_BYTES (LIMIT_NAME_BYTES + 3 * LIMIT_SUBJECT_BYTES + 64)

/* ---- a stream's sources ---- */

static const struct stream_source *config_of(const struct stream *s, size_t i)
{
    return s->config.mirror_count != 0 ? s->config.mirror : &s->config.sources[i];
}

static void source_compile(struct source_apply *a, const struct stream_source *c)
{
    const char *why;
    bool in_source;
    a->filter_count = c->transform_count != 0 ? c->transform_count : c->filter_subject.bytes != 0;
    a->filters = check_alloc((a->filter_count + 1) * sizeof *a->filters);
    a->transforms = check_alloc((c->transform_count + 1) * sizeof(struct transform *));
    a->transform_count = c->transform_count;
    if (c->filter_subject.bytes != 0) a->filters[0] = c->filter_subject;
    for (size_t i = 0; i < c->transform_count; i++) {
        const struct stream_transform *t = &c->transforms[i];
        a->filters[i] = t->src.bytes != 0 ? t->src : TEXT(">");
        if (t->dest.bytes == 0) continue;
        /* Was checked when it came. */
        if (transform_new(t->src, t->dest, &a->transforms[i], &why, &in_source) != 0)
            a->transforms[i] = NULL;
    }
}

static void source_free(struct source_apply *a)
{
    for (size_t i = 0; i < a->transform_count; i++)
        transform_free(a->transforms[i]);
    free(a->transforms);
    free(a->filters);
}

void apply_copy_free(struct stream_apply *apply)
{
    for (size_t i = 0; i < apply->source_count; i++)
        source_free(&apply->sources[i]);
    free(apply->sources);
    apply->sources = NULL;
    apply->source_count = 0;
}

/* A source that stays goes on where it stands, wherever it is in the list now. */
void apply_copy_configure(struct stream *s, const struct stream_config *was)
{
    struct stream_apply *apply = s->apply;
    size_t count = stream_source_count(s);
    struct source_apply *made = count == 0 ? NULL : check_alloc(count * sizeof *made);
    for (size_t i = 0; i < count; i++) {
        const struct stream_source *c = config_of(s, i);
        source_compile(&made[i], c);
        for (size_t k = 0; k < apply->source_count; k++) {
            const struct stream_source *old = was->mirror_count ? was->mirror : &was->sources[k];
            if (!stream_rules_same(c, old)) continue;
            made[i].origin = apply->sources[k].origin;
            made[i].seq = apply->sources[k].seq;
            made[i].active_ns = apply->sources[k].active_ns;
        }
    }
    apply_copy_free(apply);
    apply->sources = made;
    apply->source_count = count;
}

size_t stream_source_count(const struct stream *s)
{
    return s->config.mirror_count != 0 ? s->config.mirror_count : s->config.source_count;
}

struct stream_source_info stream_source_info(const struct stream *s, size_t i)
{
    const struct source_apply *a = &s->apply->sources[i];
    struct stream_source_info info = {.config = config_of(s, i), .active_ns = a->active_ns};
    const struct stream *origin = state_stream(s->state, s->account, info.config->name);
    if (origin == NULL) return info;
    stream_seq last = stream_counts(origin).last;
    stream_seq at = a->origin == origin->id ? a->seq : 0;
    info.found = true;
    info.lag = last > at ? last - at : 0;
    return info;
}

/* ---- one message ---- */

struct copy {
    struct apply *apply;
    struct stream *to, *from;
    const struct stream_source *config;
    struct source_apply *source;
    struct store_cursor cursor; /* of its own: apply's is used while the message is in hand */
    bool mirror;
    char subject[LIMIT_SUBJECT_BYTES];
    uint64_t bytes;
};

static struct text copy_subject(struct copy *c, struct text subject)
{
    for (size_t i = 0; i < c->source->transform_count; i++) {
        const struct transform *t = c->source->transforms[i];
        if (t == NULL || !transform_matches(t, subject)) continue;
        struct text mapped = transform_map(t, subject, c->subject, sizeof c->subject);
        return mapped.bytes != 0 ? mapped : subject;
    }
    return subject;
}

static const char *or_all(struct text t, int *bytes)
{
    *bytes = t.bytes == 0 ? 1 : (int)t.bytes;
    return t.bytes == 0 ? ">" : t.at;
}

/* The line that names the origin: stream, sequence, filter, destination, subject. */
static size_t source_line(const struct copy *c, const struct store_msg *m, char *room, size_t max)
{
    struct text filter = c->config->filter_subject, dest = {0};
    if (c->config->transform_count != 0) {
        filter = c->config->transforms[0].src;
        dest = c->config->transforms[0].dest;
    }
    int filter_bytes, dest_bytes;
    const char *filter_at = or_all(filter, &filter_bytes), *dest_at = or_all(dest, &dest_bytes);
    int n = snprintf(room, max, SOURCE_HEADER ": %.*s %" PRIu64 " %.*s %.*s %.*s\r\n\r\n",
                     (int)c->config->name.bytes, c->config->name.at, m->seq, filter_bytes,
                     filter_at, dest_bytes, dest_at, (int)m->subject.bytes, m->subject.at);
    CHECK(n > 0);
    CHECK((size_t)n < max);
    return (size_t)n;
}

/* Header and body in bytes of their own. A source's header loses the line of an earlier source, and
 * its blank line, if the client wrote one. */
static struct slice copy_bytes(const struct copy *c, const struct store_msg *m, size_t *header)
{
    char line[SOURCE_LINE_BYTES];
    struct writer w;
    writer_init(&w, m->header.bytes + m->body.bytes + 256);
    if (c->mirror) {
        writer_put(&w, m->header.at, m->header.bytes);
    } else {
        struct text head = m->header, old = header_line(m->header, SOURCE_HEADER);
        if (head.bytes < 12) head = TEXT("NATS/1.0\r\n\r\n");
        const char *end = head.at + head.bytes;
        if (memcmp(end - 4, "\r\n\r\n", 4) == 0) end -= 2;
        const char *stop = old.bytes != 0 ? old.at : end;
        const char *behind = old.bytes != 0 ? old.at + old.bytes : end;
        writer_put(&w, head.at, (size_t)(stop - head.at));
        if (behind < end) writer_put(&w, behind, (size_t)(end - behind));
        writer_put(&w, line, source_line(c, m, line, sizeof line));
    }
    *header = w.bytes;
    writer_put(&w, m->body.at, m->body.bytes);
    return writer_take(&w);
}

static void copy_rollup(struct stream *s, const struct store_msg *m)
{
    struct text what = header_find(m->header, "Nats-Rollup");
    if (what.bytes != 3 || !s->config.allow_rollup_hdrs || s->config.deny_purge) return;
    if (strncasecmp(what.at, "all", 3) == 0) apply_remove_below(s, m->seq);
    if (strncasecmp(what.at, "sub", 3) == 0) apply_publish_keep(s, m->subject, 1);
}

static void copy_store(struct copy *c, struct store_msg *m, struct slice owner)
{
    struct stream *s = c->to;
    bool timed = s->config.allow_msg_ttl && m->header.bytes != 0;
    int64_t ttl_ns = timed ? header_ttl(m->header) : 0;
    if (c->mirror) store_skip_to(s->store, m->seq - 1);
    stream_seq seq = apply_publish_store(s, m, owner, ttl_ns);
    c->apply->result.seq = seq;
    if (m->seq == 0) return; /* nobody is interested */
    if (!c->mirror && m->header.bytes != 0) copy_rollup(s, m);
    apply_publish_trim(s, m->subject);
}

/* False: a limit is in the way, and nothing behind it may go first. */
static bool copy_one(struct copy *c, const struct store_msg *m)
{
    struct stream *s = c->to;
    struct store_counts counts = stream_counts(s);
    if (c->mirror && m->seq <= counts.last) return true;
    size_t header_bytes;
    struct slice owner = copy_bytes(c, m, &header_bytes);
    struct text all = {.at = (const char *)owner.at, .bytes = owner.bytes};
    struct store_msg out = {
        .subject = copy_subject(c, m->subject),
        .header = {.at = all.at, .bytes = header_bytes},
        .body = {.at = all.at + header_bytes, .bytes = all.bytes - header_bytes},
    };
    bool go_on = true;
    int rc = apply_publish_fits(c->apply, s, &out);
    if (rc == 0) {
        if (c->mirror) {
            out.seq = m->seq;
            /* An origin made anew by a restore may be older than what came before. */
            out.time_ns = m->time_ns < counts.last_ns ? counts.last_ns : m->time_ns;
        }
        c->bytes += owner.bytes;
        copy_store(c, &out, owner);
        c->apply->result.count++;
    } else if (c->apply->result.error == JS_STREAM_MESSAGE_EXCEEDS_MAXIMUM ||
               c->apply->result.error == JS_STREAM_HEADER_EXCEEDS_MAXIMUM) {
        c->apply->result.error = JS_OK; /* it never fits: it is passed over */
    } else {
        go_on = false;
    }
    slice_release(&owner);
    return go_on;
}

/* ---- a command ---- */

/* A stream of that name, but another one than before: it is read from its start. */
static void copy_begin(struct copy *c)
{
    struct source_apply *a = c->source;
    if (a->origin == c->from->id) return;
    bool first = a->origin == 0;
    a->origin = c->from->id;
    a->seq = 0;
    if (!first) return;
    if (c->config->opt_start_seq != 0) a->seq = c->config->opt_start_seq - 1;
    if (c->config->opt_start_time_ns != INT64_MIN)
        a->seq = apply_clock_seq_at(c->from, c->config->opt_start_time_ns) - 1;
}

/* A work queue's message is done when it was copied. */
static void copied(struct copy *c, stream_seq seq)
{
    if (c->from->config.retention != RETENTION_WORKQUEUE) return;
    store_cursor_close(&c->cursor);
    apply_remove(c->from, seq, NULL);
}

static void copy_run(struct copy *c, uint64_t max)
{
    struct source_apply *a = c->source;
    stream_seq from = a->seq + 1;
    for (uint64_t n = 0; n < max && c->bytes < COPY_BYTES_MAX; n++) {
        struct store_msg m;
        int rc = store_next(c->from->store, &from, a->filters, a->filter_count, COPY_SCAN_MAX,
                            &c->cursor, &m);
        if (rc == E_AGAIN) {
            a->seq = from - 1;
            return;
        }
        apply_read(rc);
        if (rc != 0) {
            stream_seq last = stream_counts(c->from).last;
            if (last > a->seq) a->seq = last;
            return;
        }
        stream_seq seq = m.seq;
        if (!copy_one(c, &m)) return;
        a->seq = seq;
        copied(c, seq);
        from = seq + 1;
    }
}

void apply_copy(struct apply *a, struct reader fields)
{
    struct command_copy command;
    if (entry_get_copy(fields, &command) != 0) apply_undecodable(a->state, "a copy");
    struct stream *s = apply_stream(a, command.stream);
    if (s == NULL) return;
    if (command.source >= s->apply->source_count) {
        apply_refuse(a, JS_BAD_REQUEST); /* an update was faster */
        return;
    }
    struct copy c = {.apply = a,
                     .to = s,
                     .config = config_of(s, command.source),
                     .source = &s->apply->sources[command.source],
                     .mirror = s->config.mirror_count != 0};
    c.from = state_stream(a->state, s->account, c.config->name);
    if (c.from == NULL || c.from == s) {
        apply_refuse(a, JS_STREAM_NOT_FOUND);
    } else if (s->config.sealed) {
        apply_refuse(a, JS_STREAM_SEALED);
    } else {
        copy_begin(&c);
        copy_run(&c, command.max < COPY_MESSAGES_MAX ? command.max : COPY_MESSAGES_MAX);
        c.source->active_ns = a->state->now_ns;
        store_cursor_close(&c.cursor);
        apply_dirty_stream(s);
        if (c.from->apply->removed) {
            c.from->apply->removed = false;
            WATCH(a->state, removed, c.from);
        }
    }
}
