/* engine.c - what apply woke, who leads, and one turn of the loop.
 *
 * The state's watcher only marks: streams that got messages, consumers that something happened to.
 * At the end of the loop's turn engine_turn proposes the acks that gathered, lets each marked
 * consumer pick what it may send next (deliver.c), and starts one linearizable read for all
 * requests that wait for one. What is cut by a budget continues in the next turn, after I/O. */
#include "broker/js/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/js/api.h"
#include "broker/js/deliver.h"
#include "broker/js/js.h"
#include "broker/js/pull_queue.h"
#include "store/base/json_out.h"
#include "store/base/logger.h"

/* ---- clock ---- */

static void clock_seen(struct engine *e)
{
    int64_t now = state_now(e->o.state).ns;
    if (now == e->clock_seen_ns) return;
    e->clock_seen_ns = now;
    e->clock_offset_ns = now - (int64_t)env_mono(e->o.env).ns;
}
int64_t engine_now(const struct engine *e)
{
    if (e->clock_seen_ns == 0) return env_wall_ns(e->o.env);
    return (int64_t)env_mono(e->o.env).ns + e->clock_offset_ns;
}
struct mono engine_mono_of(const struct engine *e, int64_t entry_ns)
{
    int64_t ns = entry_ns - e->clock_offset_ns;
    return (struct mono){ns < 0 ? 0 : (uint64_t)ns};
}

bool engine_clustered(const struct engine *e)
{
    struct group_member members[2];
    return e->o.cluster != NULL && group_members(e->o.group, members, 2) > 1;
}

size_t engine_send(struct engine *e,
                   struct account *a,
                   struct text subject,
                   struct text reply,
                   struct text header,
                   struct text body)
{
    struct message m = {
        .account = a, .subject = subject, .reply = reply, .header = header, .body = body};
    return router_publish(e->o.router, &m);
}

/* ---- what waits for the end of the turn ---- */

void engine_wake(struct engine *e)
{
    if (e->started) env_defer(e->o.env, &e->turn);
}
void engine_stream_dirty(struct js_stream *js)
{
    if (list_linked(&js->dirty)) return;
    list_push_back(&js->engine->dirty_streams, &js->dirty);
    engine_wake(js->engine);
}
void engine_consumer_dirty(struct js_consumer *jc)
{
    if (list_linked(&jc->dirty)) return;
    list_push_back(&jc->engine->dirty_consumers, &jc->dirty);
    engine_wake(jc->engine);
}
void engine_consumer_later(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    if (list_linked(&jc->dirty)) return;
    list_push_back(&e->again, &jc->dirty);
    if (!e->more_armed) env_timer_start(&e->more, 0);
    e->more_armed = true;
}

static void more_timer(struct env_timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, more);
    e->more_armed = false;
    list_splice(&e->dirty_consumers, &e->again);
    engine_wake(e);
}

static void turn_streams(struct engine *e)
{
    struct list_node *at;
    while ((at = list_pop_front(&e->dirty_streams)) != NULL) {
        struct js_stream *js = CONTAINER_OF(at, struct js_stream, dirty);
        LIST_FOREACH_SAFE (n, next, &js->consumers) {
            struct js_consumer *jc = CONTAINER_OF(n, struct js_consumer, in_stream);
            if (jc->consumer->num_pending != 0 || deliver_again(jc)) deliver_turn(jc);
        }
    }
}

struct read_batch {
    struct read_index read;
    struct list_node node;
    struct engine *engine;
    struct list reads;
};

static void read_batch_done(struct read_index *r)
{
    struct read_batch *b = CONTAINER_OF(r, struct read_batch, read);
    list_remove(&b->node);
    struct list_node *at;
    while ((at = list_pop_front(&b->reads)) != NULL) {
        struct js_read *each = CONTAINER_OF(at, struct js_read, node);
        each->done(each);
    }
    free(b);
}

static void turn_reads(struct engine *e)
{
    if (list_empty(&e->reads)) return;
    struct read_batch *b = check_alloc(sizeof *b);
    b->engine = e;
    b->read.done = read_batch_done;
    list_init(&b->reads);
    list_splice(&b->reads, &e->reads);
    list_push_back(&e->read_batches, &b->node);
    read_index_start(e->o.group, &b->read);
}

void engine_read(struct engine *e, struct js_read *r)
{
    list_push_back(&e->reads, &r->node);
    engine_wake(e);
}

static void engine_turn(struct env_defer *d)
{
    struct engine *e = CONTAINER_OF(d, struct engine, turn);
    struct list_node *at;
    while ((at = list_pop_front(&e->dirty_acks)) != NULL)
        ack_flush(CONTAINER_OF(at, struct js_consumer, in_acks));
    turn_streams(e);
    while ((at = list_pop_front(&e->dirty_consumers)) != NULL)
        deliver_turn(CONTAINER_OF(at, struct js_consumer, dirty));
    if (e->copy_due) copy_turn(e);
    turn_reads(e);
    if (e->expiry_dirty) clockwork_arm(e);
    publish_pressure(e);
}

/* ---- streams ---- */

struct js_stream *engine_stream_ref(struct js_stream *js)
{
    js->refs++;
    return js;
}
void engine_stream_release(struct js_stream *js)
{
    if (--js->refs != 0) return;
    CHECK(list_empty(&js->consumers));
    free((void *)(uintptr_t)js->ack_head.at);
    free(js->name);
    free(js);
}

static void stream_unsubscribe(struct js_stream *js)
{
    for (size_t i = 0; i < js->subject_count; i++)
        router_unsubscribe(js->engine->o.router, &js->subjects[i].sub);
    free(js->subjects);
    free(js->subject_bytes);
    js->subjects = NULL;
    js->subject_bytes = NULL;
    js->subject_count = 0;
}

static void stream_subscribe(struct js_stream *js)
{
    const struct stream_config *c = &js->stream->config;
    size_t bytes = 1;
    for (size_t i = 0; i < c->subject_count; i++)
        bytes += c->subjects[i].bytes;
    js->subjects = check_alloc((c->subject_count + 1) * sizeof *js->subjects);
    js->subject_bytes = check_alloc(bytes);
    js->subject_count = c->subject_count;
    char *at = js->subject_bytes;
    for (size_t i = 0; i < c->subject_count; i++) {
        struct js_subject *s = &js->subjects[i];
        memcpy(at, c->subjects[i].at, c->subjects[i].bytes);
        s->stream = js;
        s->sub = (struct sub){.account = js->account,
                              .subject = {.at = at, .bytes = c->subjects[i].bytes},
                              .kind = SUB_INTERNAL,
                              .deliver = publish_deliver,
                              .owner = js};
        at += c->subjects[i].bytes;
        router_subscribe(js->engine->o.router, &s->sub);
    }
}

/* {"stream":"S","seq": with the domain between when there is one; the name is escaped once, here.
 */
static struct text stream_ack_head(struct engine *e, struct text name)
{
    struct writer w;
    struct json_out j;
    writer_init(&w, 128);
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    json_out_text(&j, "stream", name);
    if (e->o.domain != NULL && e->o.domain[0] != '\0') json_out_string(&j, "domain", e->o.domain);
    writer_put(&w, ",\"seq\":", 7);
    char *at = check_alloc(w.bytes);
    memcpy(at, w.base, w.bytes);
    struct text out = {.at = at, .bytes = w.bytes};
    writer_free(&w);
    return out;
}

static struct js_stream *stream_open(struct engine *e, struct stream *s)
{
    struct js_stream *js = check_alloc(sizeof *js);
    js->engine = e;
    js->stream = s;
    js->refs = 1;
    js->account = accounts_add(e->o.accounts, s->account);
    js->name = check_alloc(s->config.name.bytes + 1);
    memcpy(js->name, s->config.name.at, s->config.name.bytes);
    js->ack_head = stream_ack_head(e, s->config.name);
    list_init(&js->consumers);
    list_push_back(&e->streams, &js->node);
    s->engine = js;
    if (js->account->engine == NULL) engine_accounts_open_one(e, js->account);
    stream_subscribe(js);
    return js;
}

static void stream_close(struct js_stream *js)
{
    local_consumer_end_all(js);
    stream_unsubscribe(js);
    LIST_FOREACH_SAFE (n, next, &js->consumers) {
        engine_consumer_end(CONTAINER_OF(n, struct js_consumer, in_stream));
    }
    js->stream->engine = NULL;
    js->stream = NULL;
    list_remove(&js->node);
    list_remove(&js->dirty);
    engine_stream_release(js);
}

/* ---- consumers ---- */

struct js_consumer *engine_consumer_ref(struct js_consumer *jc)
{
    jc->refs++;
    return jc;
}
void engine_consumer_release(struct js_consumer *jc)
{
    if (--jc->refs != 0) return;
    free((void *)(uintptr_t)jc->ack_head.at);
    free(jc->again);
    engine_stream_release(jc->stream);
    free(jc);
}

bool engine_decides(const struct js_consumer *jc)
{
    return jc->consumer != NULL && (jc->consumer->local || jc->engine->leads);
}

static struct text consumer_ack_head(const struct js_stream *js, const struct consumer *c)
{
    size_t bytes = strlen(js->name) + c->name.bytes + 10;
    char *at = check_alloc(bytes + 1);
    int n = snprintf(at, bytes + 1, "$JS.ACK.%s.%.*s.", js->name, (int)c->name.bytes, c->name.at);
    CHECK_EQ(n, bytes);
    return (struct text){.at = at, .bytes = bytes};
}

struct js_consumer *engine_consumer_new(struct engine *e, struct consumer *c)
{
    struct js_stream *js = c->stream->engine;
    struct js_consumer *jc = check_alloc(sizeof *jc);
    jc->engine = e;
    jc->consumer = c;
    jc->stream = engine_stream_ref(js);
    jc->refs = 1;
    jc->push = c->config.deliver_subject.bytes != 0;
    jc->ack_head = consumer_ack_head(js, c);
    jc->active = env_mono(e->o.env);
    list_init(&jc->waiting);
    list_init(&jc->flights);
    list_init(&jc->pulls);
    list_init(&jc->acks.replies);
    jc->redeliver.cb = redeliver_timer;
    jc->pause.cb = deliver_timer;
    jc->pace.cb = deliver_pace_timer;
    jc->idle.cb = clockwork_idle;
    jc->pin.timer.cb = pin_timer;
    list_push_back(&js->consumers, &jc->in_stream);
    c->engine = jc;
    if (jc->push) push_open(jc);
    clockwork_idle_arm(jc);
    if (engine_decides(jc)) redeliver_reset(jc);
    engine_consumer_dirty(jc);
    return jc;
}

void engine_consumer_end(struct js_consumer *jc)
{
    struct engine *e = jc->engine;
    /* When the node stops, the consumer lives on: its clients ask another node. */
    struct text gone = TEXT("NATS/1.0 409 Consumer Deleted\r\n\r\n");
    pull_end_all(jc, e->started ? gone : (struct text){0});
    if (jc->push) push_close(jc);
    deliver_reset(jc);
    ack_free(jc);
    struct wheel_entry *timers[] = {&jc->redeliver, &jc->pause, &jc->idle, &jc->pace,
                                    &jc->pin.timer};
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++)
        wheel_stop(e->wheel, timers[i]);
    store_cursor_close(&jc->cursor);
    list_remove(&jc->dirty);
    list_remove(&jc->in_acks);
    list_remove(&jc->in_stream);
    jc->consumer->engine = NULL;
    jc->consumer = NULL;
    engine_consumer_release(jc);
}

/* ---- the state's watcher ---- */

static void on_stream_created(void *ctx, struct stream *s)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    stream_open(e, s);
    copy_refresh(e);
    advisory_stream(e, s, "CREATED", "create");
}
static void on_stream_updated(void *ctx, struct stream *s)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    struct js_stream *js = s->engine;
    stream_unsubscribe(js);
    stream_subscribe(js);
    copy_refresh(e);
    e->expiry_dirty = true;
    engine_stream_dirty(js);
    advisory_stream(e, s, "UPDATED", "modify");
}
static void on_stream_deleted(void *ctx, struct stream *s)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    advisory_stream(e, s, "DELETED", "delete");
    stream_close(s->engine);
    copy_refresh(e);
}

static void on_appended(void *ctx, struct stream *s, const struct store_msg *m)
{
    struct engine *e = ctx;
    (void)m;
    clock_seen(e);
    if (!e->started) return;
    struct js_stream *js = s->engine;
    if (e->leads) e->expiry_dirty = true;
    if (js->copied) copy_wake(e);
    if (e->pressed) engine_wake(e);
    if (!list_empty(&js->consumers))
        engine_stream_dirty(js);
    else if (e->expiry_dirty)
        engine_wake(e);
}
static void on_republish(void *ctx, struct stream *s, const struct state_republish *r)
{
    struct engine *e = ctx;
    if (e->started) republish_send(s->engine, r);
}
/* Room under limits, and pending that went: somebody who waited may go on. */
static void on_removed(void *ctx, struct stream *s)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    struct js_stream *js = s->engine;
    if (js == NULL) return;
    if (js->copy_blocked) {
        js->copy_blocked = false;
        copy_wake(e);
    }
    if (!list_empty(&js->consumers)) engine_stream_dirty(js);
}

static void on_consumer_created(void *ctx, struct consumer *c)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    engine_consumer_new(e, c);
    advisory_consumer(e, c, "CREATED", "create");
}
static void on_consumer_updated(void *ctx, struct consumer *c)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    struct js_consumer *jc = c->engine;
    if (jc->push) push_close(jc);
    jc->push = c->config.deliver_subject.bytes != 0;
    if (jc->push) push_open(jc);
    if (jc->flight_count == 0) jc->position = 0;
    redeliver_reset(jc);
    clockwork_idle_arm(jc);
    engine_consumer_dirty(jc);
    advisory_consumer(e, c, "UPDATED", "modify");
}
static void on_consumer_deleted(void *ctx, struct consumer *c)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started || c->engine == NULL) return;
    advisory_consumer(e, c, "DELETED", "delete");
    engine_consumer_end(c->engine);
}

static void on_delivered(void *ctx, struct consumer *c, const struct state_delivery *d)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (e->started) deliver_applied(c->engine, d);
}
static void on_acked(void *ctx, struct consumer *c, enum ack_kind kind, stream_seq seq)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    struct js_consumer *jc = c->engine;
    jc->active = env_mono(e->o.env);
    if (kind == ACK_NAK || kind == ACK_PROGRESS) jc->scan = true;
    if (kind == ACK_EXHAUSTED) {
        advisory_max_deliver(jc, seq, (uint32_t)c->config.max_deliver);
    }
    engine_consumer_dirty(jc);
}
static void on_terminated(void *ctx,
                          struct consumer *c,
                          stream_seq seq,
                          uint64_t cseq,
                          uint32_t deliveries,
                          struct text reason)
{
    struct engine *e = ctx;
    clock_seen(e);
    if (!e->started) return;
    advisory_terminated(c->engine, seq, cseq, deliveries, reason);
    engine_consumer_dirty(c->engine);
}

/* After engine_free the state may still apply: nobody listens then. */
static void ignore_stream(void *ctx, struct stream *s)
{
    (void)ctx, (void)s;
}
static void ignore_message(void *ctx, struct stream *s, const struct store_msg *m)
{
    (void)ctx, (void)s, (void)m;
}
static void ignore_republish(void *ctx, struct stream *s, const struct state_republish *r)
{
    (void)ctx, (void)s, (void)r;
}
static void ignore_consumer(void *ctx, struct consumer *c)
{
    (void)ctx, (void)c;
}
static void ignore_delivery(void *ctx, struct consumer *c, const struct state_delivery *d)
{
    (void)ctx, (void)c, (void)d;
}
static void ignore_ack(void *ctx, struct consumer *c, enum ack_kind kind, stream_seq seq)
{
    (void)ctx, (void)c, (void)kind, (void)seq;
}
static void ignore_terminated(void *ctx,
                              struct consumer *c,
                              stream_seq seq,
                              uint64_t cseq,
                              uint32_t deliveries,
                              struct text reason)
{
    (void)ctx, (void)c, (void)seq, (void)cseq, (void)deliveries, (void)reason;
}

static void watcher_detach(struct state_watcher *w)
{
    w->stream_created = w->stream_updated = w->stream_deleted = w->removed = ignore_stream;
    w->appended = ignore_message;
    w->republish = ignore_republish;
    w->consumer_created = w->consumer_updated = w->consumer_deleted = ignore_consumer;
    w->delivered = ignore_delivery;
    w->acked = ignore_ack;
    w->terminated = ignore_terminated;
}

void engine_watcher(struct engine *e, struct state_watcher *w)
{
    w->ctx = e;
    w->stream_created = on_stream_created;
    w->stream_updated = on_stream_updated;
    w->stream_deleted = on_stream_deleted;
    w->appended = on_appended;
    w->republish = on_republish;
    w->removed = on_removed;
    w->consumer_created = on_consumer_created;
    w->consumer_updated = on_consumer_updated;
    w->consumer_deleted = on_consumer_deleted;
    w->delivered = on_delivered;
    w->acked = on_acked;
    w->terminated = on_terminated;
    e->watcher = w;
}

/* ---- life ---- */

void engine_hold(struct engine *e)
{
    e->refs++;
}
void engine_drop(struct engine *e)
{
    if (--e->refs == 0) free(e);
}

static void tick_timer(struct env_timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, tick);
    engine_accounts_open(e);
    engine_frames_tick(e);
    LIST_FOREACH (s, &e->streams) {
        struct js_stream *js = CONTAINER_OF(s, struct js_stream, node);
        LIST_FOREACH (c, &js->consumers) {
            struct js_consumer *jc = CONTAINER_OF(c, struct js_consumer, in_stream);
            pull_tick(jc);
            pull_queue_tick(jc);
        }
    }
    watchdog_check(e);
    copy_tick(e);
    env_timer_start(t, JS_TICK_NS);
}

struct engine *engine_new(const struct engine_options *o)
{
    struct engine *e = check_alloc(sizeof *e);
    e->o = *o;
    e->refs = 1;
    e->wheel = wheel_new(o->env);
    e->turn.cb = engine_turn;
    env_timer_init(o->env, &e->more, more_timer);
    env_timer_init(o->env, &e->tick, tick_timer);
    env_timer_init(o->env, &e->expiry, clockwork_timer);
    struct list *lists[] = {&e->accounts,   &e->streams, &e->dirty_streams, &e->dirty_consumers,
                            &e->dirty_acks, &e->again,   &e->nodes,         &e->publish_pool,
                            &e->reads,      &e->calls,   &e->asks,          &e->read_batches,
                            &e->snapshots,  &e->restores};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        list_init(lists[i]);
    map_init(&e->pulls, env_random(o->env), NULL);
    map_init(&e->waitings, env_random(o->env), NULL);
    return e;
}

void engine_start(struct engine *e)
{
    CHECK(!e->started);
    e->started = true;
    e->boots = propose_incarnation(e->o.group);
    engine_accounts_open(e);
    for (struct account *a = accounts_next(e->o.accounts, NULL); a != NULL;
         a = accounts_next(e->o.accounts, a)) {
        struct text name = text_of(a->name);
        for (struct stream *s = state_stream_next(e->o.state, name, NULL); s != NULL;
             s = state_stream_next(e->o.state, name, s)) {
            stream_open(e, s);
            LIST_FOREACH (n, &s->consumer_list) {
                engine_consumer_new(e, CONTAINER_OF(n, struct consumer, in_stream));
            }
        }
    }
    copy_refresh(e);
    engine_frames_start(e);
    env_timer_start(&e->tick, JS_TICK_NS);
}

/* The new leader knows nothing of what its predecessor had picked: what is pending counts as
 * delivered just now (late rather than twice), and the clients' nodes tell it their waiting
 * requests again. */
void engine_leadership(struct engine *e, node_id leader, bool self)
{
    bool gained = self && !e->leads;
    if (e->leader == leader && e->leads == self) return;
    e->leader = leader;
    e->leads = self;
    e->epoch++;
    if (gained) e->leads_since = env_mono(e->o.env);
    LIST_FOREACH (s, &e->streams) {
        struct js_stream *js = CONTAINER_OF(s, struct js_stream, node);
        LIST_FOREACH (c, &js->consumers) {
            struct js_consumer *jc = CONTAINER_OF(c, struct js_consumer, in_stream);
            if (jc->consumer->local) continue;
            deliver_reset(jc);
            pull_leader_changed(jc);
            clockwork_idle_arm(jc);
            if (self) redeliver_reset(jc);
            pin_lead(jc);
            engine_consumer_dirty(jc);
        }
    }
    engine_frames_tick(e);
    e->expiring = false;
    if (gained) {
        engine_accounts_limits(e);
        engine_frames_leads(e);
        copy_wake(e);
    }
    e->expiry_dirty = true;
    engine_wake(e);
}

uint64_t engine_stuck(const struct engine *e)
{
    return e->stuck;
}

/* Each read's owner sees that the engine stopped, and only frees itself. */
static void reads_free(struct engine *e)
{
    struct list_node *at;
    while ((at = list_pop_front(&e->read_batches)) != NULL) {
        struct read_batch *b = CONTAINER_OF(at, struct read_batch, node);
        read_index_cancel(e->o.group, &b->read);
        list_splice(&e->reads, &b->reads);
        free(b);
    }
    while ((at = list_pop_front(&e->reads)) != NULL) {
        struct js_read *r = CONTAINER_OF(at, struct js_read, node);
        r->done(r);
    }
}

void engine_free(struct engine *e)
{
    if (e == NULL) return;
    if (e->watcher != NULL) watcher_detach(e->watcher);
    e->started = false;
    list_remove(&e->turn.node);
    env_timer_stop(&e->more);
    env_timer_stop(&e->tick);
    env_timer_stop(&e->expiry);
    reads_free(e);
    engine_frames_free(e);
    snapshot_send_free(e);
    restore_free(e);
    api_free(e);
    LIST_FOREACH_SAFE (n, next, &e->streams) {
        stream_close(CONTAINER_OF(n, struct js_stream, node));
    }
    LIST_FOREACH_SAFE (n, next, &e->accounts) {
        engine_accounts_close(CONTAINER_OF(n, struct js_account, node));
    }
    publish_pool_free(e);
    map_free(&e->pulls);
    map_free(&e->waitings);
    wheel_free(e->wheel);
    engine_drop(e);
}
