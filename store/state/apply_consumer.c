/* apply_consumer.c - consumers are made, changed and deleted; deliveries and acks are recorded.
 *
 * A delivery is decided by the leader and becomes true here: the consumer's numbers move, and the
 * node that the command names sends the messages. It is refused whole when the consumer doesn't
 * stand where the leader thought it did; the leader picks again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/subject_match.h"
#include "store/state/apply.h"
#include "store/state/fields.h"
#include "store/state/rows.h"

/* ---- rules between a consumer and its stream ---- */

/* Each message of a work queue has one consumer: filters must not overlap. */
static int check_unique(struct apply *a,
                        const struct stream *s,
                        const struct consumer_config *config,
                        const struct consumer *self)
{
    if (s->config.retention != RETENTION_WORKQUEUE) return 0;
    LIST_FOREACH (n, &s->consumer_list) {
        const struct consumer *other = CONTAINER_OF(n, struct consumer, in_stream);
        const struct consumer_config *theirs = &other->config;
        if (other == self) continue;
        if (config->filter_count == 0) return apply_refuse(a, JS_CONSUMER_WQ_MULTIPLE_UNFILTERED);
        if (theirs->filter_count == 0) return apply_refuse(a, JS_CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
        for (size_t i = 0; i < config->filter_count; i++) {
            for (size_t k = 0; k < theirs->filter_count; k++) {
                if (subject_overlap(config->filters[i], theirs->filters[k]))
                    return apply_refuse(a, JS_CONSUMER_WQ_CONSUMER_NOT_UNIQUE);
            }
        }
    }
    return 0;
}

static int check_room(struct apply *a, const struct stream *s, const struct consumer_config *config)
{
    const struct account *account = s->apply->account;
    const struct account_limits *l = &account->limits;
    bool full =
        s->config.max_consumers > 0 && s->consumers.count >= (uint64_t)s->config.max_consumers;
    if (full || (l->max_consumers >= 0 && account->consumers >= (uint64_t)l->max_consumers))
        return apply_refuse(a, JS_MAXIMUM_CONSUMERS_LIMIT);
    if (l->max_ack_pending > 0 && config->max_ack_pending > l->max_ack_pending)
        return apply_fail(a, JS_CONSUMER_MAX_PENDING_ACK_EXCESS, "%" PRId64, l->max_ack_pending);
    return 0;
}

/* ---- create, update ---- */

static void create(struct apply *a, struct stream *s, struct consumer_config *config)
{
    struct state *state = a->state;
    if (check_unique(a, s, config, NULL) != 0 || check_room(a, s, config) != 0) return;
    struct consumer *c = consumer_new(s, config, state->now_ns);
    c->id = state->next_consumer++;
    state_link_consumer(state, c);
    consumer_place(c);
    apply_dirty_consumer(c);
    a->result.consumer = c;
    a->result.created = true;
    a->result.seq = c->delivered.sseq;
    a->result.count = c->num_pending;
    WATCH(state, consumer_created, c);
}

static bool same_filters(const struct consumer_config *a, const struct consumer_config *b)
{
    if (a->filter_count != b->filter_count) return false;
    for (size_t i = 0; i < a->filter_count; i++) {
        if (!text_equal(a->filters[i], b->filters[i])) return false;
    }
    return true;
}

/* What an update can't name stays: the pause has a request of its own, the name may be left out. */
static void keep_unnamed(const struct consumer_config *from, struct consumer_config *to)
{
    to->pause_until_ns = from->pause_until_ns;
    if (to->name.bytes == 0) to->name = fields_copy(&to->arena, from->name);
    if (to->durable_name.bytes == 0) to->durable_name = fields_copy(&to->arena, from->durable_name);
}

static int check_update(struct apply *a,
                        const struct consumer *c,
                        const struct command_consumer *command,
                        const struct consumer_config *to)
{
    struct config_error error;
    if (consumer_config_update_check(&c->config, to, &error) != 0) {
        apply_config_error(a, &error);
        return E_INVAL;
    }
    bool interest = command->deliver_interest || command->seen != c->id;
    if (interest && !text_equal(c->config.deliver_subject, to->deliver_subject))
        return apply_refuse(a, JS_CONSUMER_NAME_EXISTS);
    return check_unique(a, c->stream, to, c);
}

static void update(struct apply *a,
                   struct consumer *c,
                   const struct command_consumer *command,
                   struct consumer_config *to)
{
    keep_unnamed(&c->config, to);
    if (check_update(a, c, command, to) != 0) return;
    bool refilter = !same_filters(&c->config, to);
    consumer_config_free(&c->config);
    c->config = *to;
    *to = (struct consumer_config){0};
    c->name = consumer_config_name(&c->config);
    if (refilter) {
        consumer_recount(c);
        apply_release_range(c->stream, stream_counts(c->stream).first, NULL, 0);
    }
    apply_dirty_consumer(c);
    a->result.consumer = c;
    WATCH(a->state, consumer_updated, c);
}

static void create_or_update(struct apply *a,
                             struct stream *s,
                             const struct command_consumer *command,
                             struct consumer_config *config)
{
    struct consumer *c = stream_consumer(s, consumer_config_name(config));
    if (c == NULL) {
        if (command->action == CONSUMER_UPDATE)
            apply_refuse(a, JS_CONSUMER_DOES_NOT_EXIST);
        else
            create(a, s, config);
    } else if (command->action != CONSUMER_CREATE) {
        update(a, c, command, config);
    } else if (consumer_config_equal(&c->config, config)) {
        a->result.consumer = c;
    } else {
        apply_refuse(a, JS_CONSUMER_ALREADY_EXISTS);
    }
}

void apply_consumer_create(struct apply *a, struct reader fields)
{
    struct command_consumer c;
    struct consumer_config config;
    struct config_error error;
    if (entry_get_consumer(fields, &c) != 0) apply_undecodable(a->state, "a consumer create");
    struct stream *s = apply_stream(a, c.stream);
    if (s == NULL) return;
    if (consumer_config_decode(c.config, &s->config, &config, &error) != 0) {
        apply_config_error(a, &error);
        return;
    }
    create_or_update(a, s, &c, &config);
    consumer_config_free(&config);
}

/* ---- delete, pause ---- */

void apply_consumer_drop(struct state *s, struct consumer *c)
{
    WATCH(s, consumer_deleted, c);
    rows_drop_consumer(c);
    state_unlink_consumer(s, c);
    consumer_free(c);
}

void apply_consumer_delete(struct apply *a, struct reader fields)
{
    struct command_consumer_delete command;
    if (entry_get_consumer_delete(fields, &command) != 0)
        apply_undecodable(a->state, "a consumer delete");
    struct consumer *c = apply_consumer(a, command.stream, command.consumer);
    if (c == NULL) return;
    struct stream *s = c->stream;
    apply_consumer_drop(a->state, c);
    apply_release_range(s, stream_counts(s).first, NULL, 0);
}

void apply_consumer_pause(struct apply *a, struct reader fields)
{
    struct command_pause command;
    if (entry_get_pause(fields, &command) != 0) apply_undecodable(a->state, "a pause");
    struct consumer *c = apply_consumer(a, command.stream, command.consumer);
    if (c == NULL) return;
    bool paused = command.until_ns > a->state->now_ns;
    c->config.pause_until_ns = paused ? command.until_ns : INT64_MIN;
    apply_dirty_consumer(c);
    a->result.consumer = c;
    WATCH(a->state, consumer_updated, c);
}

/* ---- deliver ---- */

static bool stored(struct stream *s, stream_seq seq)
{
    struct store_counts counts = stream_counts(s);
    struct store_msg m;
    if (seq < counts.first || seq > counts.last) return false;
    if (counts.msgs == counts.last + 1 - counts.first) return true; /* no holes */
    int rc = store_get(s->store, seq, &s->state->cursor, &m);
    apply_read(rc);
    return rc == 0;
}

static void add_item(struct state *s, size_t *count, struct state_item item)
{
    if (*count == s->items_max) {
        s->items_max = s->items_max == 0 ? 64 : s->items_max * 2;
        s->items = check_realloc(s->items, s->items_max * sizeof *s->items);
    }
    s->items[(*count)++] = item;
}

static size_t deliver_again(struct state *s, struct consumer *c, struct reader list, size_t count)
{
    stream_seq last = 0;
    for (stream_seq seq = entry_next_seq(&list, &last); seq != 0;
         seq = entry_next_seq(&list, &last)) {
        struct consumer_pending *p = consumer_find(c, seq);
        if (p == NULL) continue; /* acked or removed meanwhile */
        uint64_t cseq = consumer_redeliver(c, p, s->now_ns);
        add_item(s, &count, (struct state_item){seq, cseq, p->deliveries, c->num_pending});
    }
    return count;
}

static size_t deliver_fresh(struct state *s, struct consumer *c, struct reader list, size_t count)
{
    stream_seq last = 0;
    for (stream_seq seq = entry_next_seq(&list, &last); seq != 0;
         seq = entry_next_seq(&list, &last)) {
        if (!stored(c->stream, seq)) {
            consumer_skip(c, seq); /* removed meanwhile */
            continue;
        }
        uint64_t cseq = consumer_deliver(c, seq, s->now_ns);
        add_item(s, &count, (struct state_item){seq, cseq, 1, c->num_pending});
    }
    return count;
}

/* The sequences that come first and last in the list; false: it is empty. */
static bool list_ends(struct reader list, stream_seq *first, stream_seq *last)
{
    stream_seq at = 0;
    *first = entry_next_seq(&list, &at);
    *last = *first;
    for (stream_seq seq = *first; seq != 0; seq = entry_next_seq(&list, &at))
        *last = seq;
    return *first != 0;
}

static bool deliver_stands(const struct consumer *c, const struct command_deliver *command)
{
    stream_seq first, last;
    if (command->expect_delivered != c->delivered.sseq) return false;
    if (!list_ends(command->fresh, &first, &last)) return true;
    return first > c->delivered.sseq && last <= stream_counts(c->stream).last;
}

void apply_consumer_deliver(struct apply *a, struct reader fields)
{
    struct state *s = a->state;
    struct command_deliver command;
    if (entry_get_deliver(fields, &command) != 0) apply_undecodable(s, "a delivery");
    struct consumer *c = apply_consumer(a, command.stream, command.consumer);
    if (c == NULL) return;
    if (!deliver_stands(c, &command)) {
        apply_refuse(a, JS_STREAM_SEQUENCE_NOT_MATCH);
        return;
    }
    size_t again = deliver_again(s, c, command.again, 0);
    size_t count = deliver_fresh(s, c, command.fresh, again);
    stream_seq end = stream_counts(c->stream).last;
    consumer_skip(c, command.skip_to < end ? command.skip_to : end);
    apply_dirty_consumer(c);
    a->result.consumer = c;
    a->result.count = count;
    a->result.seq = c->delivered.cseq;
    struct state_delivery d = {command.target, command.request, s->items, count};
    if (count > 0) WATCH(s, delivered, c, &d);
    if (c->config.ack_policy != ACK_POLICY_NONE || c->stream->config.retention == RETENTION_LIMITS)
        return;
    for (size_t i = again; i < count; i++) /* delivered is as good as acked */
        apply_release(c->stream, s->items[i].sseq);
}

/* ---- acks ---- */

/* Not pending: acked before, or given up at max_deliver. What was given up may still be acked late;
 * the subject is checked, since the sequence comes from the client. */
static uint64_t ack_late(struct consumer *c, stream_seq seq)
{
    struct stream *s = c->stream;
    struct store_msg m;
    if (s->config.retention == RETENTION_LIMITS || seq > c->delivered.sseq) return 0;
    int rc = store_get(s->store, seq, &s->state->cursor, &m);
    apply_read(rc);
    if (rc == 0 && consumer_matches(c, m.subject)) apply_release(s, seq);
    return 0;
}

static uint64_t ack_one(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    (void)command;
    if (!consumer_settle(c, seq)) return ack_late(c, seq);
    apply_release(c->stream, seq);
    return 1;
}

static uint64_t ack_term(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    const struct consumer_pending *p = consumer_find(c, seq);
    if (p == NULL) return 0;
    struct consumer_pending was = *p;
    consumer_settle(c, seq);
    WATCH(c->stream->state, terminated, c, seq, was.cseq, was.deliveries, command->reason);
    apply_release(c->stream, seq);
    return 1;
}

static uint64_t ack_nak(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    struct consumer_pending *p = consumer_find(c, seq);
    if (p == NULL) return 0;
    p->time_ns = c->stream->state->now_ns;
    p->delay_ns = command->delay_ns > 0 ? command->delay_ns : 0;
    return 1;
}

static uint64_t ack_progress(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    struct consumer_pending *p = consumer_find(c, seq);
    (void)command;
    if (p == NULL) return 0;
    p->time_ns = c->stream->state->now_ns;
    p->delay_ns = -1;
    return 1;
}

/* Only what is pending is released: what lies between didn't match or is gone. */
static uint64_t ack_upto(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    (void)command;
    if (c->stream->config.retention == RETENTION_LIMITS) return consumer_settle_upto(c, seq);
    uint64_t count = 0;
    while (c->pending_count > 0 && c->pending[0].sseq <= seq) {
        stream_seq first = c->pending[0].sseq;
        consumer_settle(c, first);
        apply_release(c->stream, first);
        count++;
    }
    return count;
}

/* The message stays in the stream, whatever the retention: it was never acked. */
static uint64_t ack_exhausted(struct consumer *c, const struct command_ack *command, stream_seq seq)
{
    (void)command;
    return consumer_settle(c, seq);
}

/* What each kind does to one sequence; returns how many it settled or changed. */
static uint64_t (*const ack_kinds[])(struct consumer *, const struct command_ack *, stream_seq) = {
    [ACK_ACK] = ack_one,           [ACK_NAK] = ack_nak,  [ACK_TERM] = ack_term,
    [ACK_PROGRESS] = ack_progress, [ACK_ALL] = ack_upto, [ACK_EXHAUSTED] = ack_exhausted,
};

void apply_consumer_ack(struct apply *a, struct reader fields)
{
    struct state *s = a->state;
    struct command_ack command;
    if (entry_get_ack(fields, &command) != 0) apply_undecodable(s, "an ack");
    struct consumer *c = apply_consumer(a, command.stream, command.consumer);
    if (c == NULL) return;
    enum ack_kind kind = (enum ack_kind)command.kind;
    if (kind == ACK_ACK && c->config.ack_policy == ACK_POLICY_ALL) kind = ACK_ALL;
    stream_seq last = 0;
    for (stream_seq seq = entry_next_seq(&command.seqs, &last); seq != 0;
         seq = entry_next_seq(&command.seqs, &last)) {
        uint64_t count = ack_kinds[kind](c, &command, seq);
        if (count == 0) continue;
        a->result.count += count;
        if (kind != ACK_NAK) c->ack_floor.last_ns = s->now_ns;
        WATCH(s, acked, c, kind, seq);
    }
    if (a->result.count > 0) apply_dirty_consumer(c);
    a->result.consumer = c;
    a->result.seq = c->ack_floor.sseq;
}
