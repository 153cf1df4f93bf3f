/* js_world.h - the engine on the real state machine and store, with a group of one that commits at
 * the end of each turn. Time moves when the test says so. Include once, in a test program: it
 * defines the calls of raft/group.h that the engine makes. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "broker/js/engine.h"
#include "store/state/entry.h"
#include "tests/unit/broker/fake.h"

#define WORLD_SELF 7
#define WORLD_BOOTS 3

/* ---- a map that is always empty: nothing is ever flushed ---- */

static inline int none_get(struct kv *kv, enum kv_family f, struct text key, struct kv_pin *out)
{
    (void)kv, (void)f, (void)key, (void)out;
    return E_NOTFOUND;
}
static inline struct kv_batch *none_batch(struct kv *kv)
{
    (void)kv;
    return check_alloc(8);
}
static inline void
none_put(struct kv_batch *b, enum kv_family f, struct text key, struct text value)
{
    (void)b, (void)f, (void)key, (void)value;
}
static inline void none_del(struct kv_batch *b, enum kv_family f, struct text key)
{
    (void)b, (void)f, (void)key;
}
static inline void none_clear(struct kv_batch *b)
{
    (void)b;
}
static inline void none_batch_free(struct kv_batch *b)
{
    free(b);
}
static inline int none_write(struct kv *kv, struct kv_batch *b)
{
    (void)kv, (void)b;
    return 0;
}
static inline int none_flush(struct kv *kv, enum kv_family f, bool wait)
{
    (void)kv, (void)f, (void)wait;
    return 0;
}
static inline struct kv_iter *none_iter(struct kv *kv, enum kv_family f, bool bulk)
{
    (void)kv, (void)f, (void)bulk;
    return check_alloc(8);
}
static inline void none_seek(struct kv_iter *it, struct text key)
{
    (void)it, (void)key;
}
static inline void none_next(struct kv_iter *it)
{
    (void)it;
}
static inline bool none_valid(struct kv_iter *it)
{
    (void)it;
    return false;
}
static inline int none_error(struct kv_iter *it)
{
    (void)it;
    return 0;
}
static inline void none_iter_free(struct kv_iter *it)
{
    free(it);
}
static inline void none_close(struct kv *kv)
{
    (void)kv;
}
static const struct kv_ops none_ops = {
    .get = none_get,
    .batch_new = none_batch,
    .batch_put = none_put,
    .batch_del = none_del,
    .batch_del_range = none_put,
    .batch_clear = none_clear,
    .batch_free = none_batch_free,
    .write = none_write,
    .flush = none_flush,
    .iter_new = none_iter,
    .iter_seek = none_seek,
    .iter_seek_for_prev = none_seek,
    .iter_next = none_next,
    .iter_valid = none_valid,
    .iter_error = none_error,
    .iter_free = none_iter_free,
    .close = none_close,
};

/* ---- a group of one ---- */

struct world {
    struct fake_env env;
    struct kv kv;
    struct store *store;
    struct state *state;
    struct state_watcher watcher;
    struct router *router;
    struct accounts *accounts;
    struct account *account;
    struct engine *engine;
    struct env_defer commit;
    struct writer open;
    struct list proposals, applying, reads;
    uint32_t commands, command;
    uint64_t number;
    log_index index;
};
static struct world *world;

struct writer *propose_open(struct group *g, size_t bytes_max)
{
    (void)g, (void)bytes_max;
    return &world->open;
}
void propose_close(struct group *g, struct proposal *p)
{
    (void)g;
    if (p != NULL) {
        p->command = world->commands;
        list_push_back(&world->proposals, &p->node);
    }
    world->commands++;
    env_defer(&world->env.base, &world->commit);
}
uint64_t propose_outstanding(const struct group *g)
{
    (void)g;
    return 0;
}
uint64_t propose_incarnation(const struct group *g)
{
    (void)g;
    return WORLD_BOOTS;
}
void read_index_start(struct group *g, struct read_index *r)
{
    (void)g;
    list_push_back(&world->reads, &r->node);
    env_defer(&world->env.base, &world->commit);
}
void read_index_cancel(struct group *g, struct read_index *r)
{
    (void)g;
    list_remove(&r->node);
}
size_t group_members(const struct group *g, struct group_member *out, size_t max)
{
    (void)g;
    if (max != 0) out[0] = (struct group_member){.id = WORLD_SELF, .name = "n1", .voter = true};
    return 1;
}
size_t group_peers(const struct group *g, struct group_peer_status *out, size_t max)
{
    (void)g, (void)out, (void)max;
    return 0;
}
log_index group_committed(const struct group *g)
{
    (void)g;
    return world->index;
}
void group_handover(struct group *g, void (*done)(void *ctx), void *ctx)
{
    (void)g, (void)done, (void)ctx;
}

static inline void world_result(void *ctx, const struct apply_result *r)
{
    (void)ctx;
    uint32_t command = world->command++;
    struct list_node *n = list_first(&world->applying);
    if (n == NULL || CONTAINER_OF(n, struct proposal, node)->command != command) return;
    list_remove(n);
    struct proposal *p = CONTAINER_OF(n, struct proposal, node);
    p->done(p, r);
}
static inline void world_batch(void *ctx, node_id origin, uint64_t incarnation, uint64_t number)
{
    (void)ctx, (void)origin, (void)incarnation, (void)number;
}
static inline void world_batch_done(void *ctx)
{
    (void)ctx;
}

static inline void world_commit(struct env_defer *d)
{
    (void)d;
    if (world->commands != 0) {
        struct writer w;
        writer_init(&w, world->open.bytes + 64);
        writer_u8(&w, ENTRY_FORMAT);
        writer_i64(&w, env_wall_ns(&world->env.base));
        writer_u64(&w, WORLD_SELF);
        writer_u64(&w, WORLD_BOOTS);
        writer_u64(&w, ++world->number);
        writer_u32(&w, (uint32_t)world->open.bytes);
        writer_put(&w, world->open.base, world->open.bytes);
        struct slice entry = writer_take(&w);
        world->open.bytes = 0;
        world->commands = world->command = 0;
        list_splice(&world->applying, &world->proposals);
        world->index++;
        state_apply(world->state, world->index, 1, entry);
        slice_release(&entry);
    }
    struct list now;
    list_init(&now);
    list_splice(&now, &world->reads);
    struct list_node *at;
    while ((at = list_pop_front(&now)) != NULL) {
        struct read_index *r = CONTAINER_OF(at, struct read_index, node);
        r->done(r);
    }
}

/* ---- clients ---- */

struct inbox {
    struct sub sub;
    unsigned count;
    char subject[256], reply[512], header[4096], body[8192]; /* of the last message */
    char all[65536]; /* bodies of all, each with a newline */
};

static inline bool inbox_deliver(struct sub *s, const struct message *m)
{
    struct inbox *i = s->owner;
    i->count++;
    snprintf(i->subject, sizeof i->subject, "%.*s", (int)m->subject.bytes, m->subject.at);
    snprintf(i->reply, sizeof i->reply, "%.*s", (int)m->reply.bytes, m->reply.at);
    snprintf(i->header, sizeof i->header, "%.*s", (int)m->header.bytes, m->header.at);
    snprintf(i->body, sizeof i->body, "%.*s", (int)m->body.bytes, m->body.at);
    size_t used = strlen(i->all);
    snprintf(i->all + used, sizeof i->all - used, "%.*s\n", (int)m->body.bytes, m->body.at);
    return true;
}
static inline void inbox_open(struct inbox *i, const char *subject, const char *queue)
{
    *i = (struct inbox){0};
    i->sub = (struct sub){.account = world->account,
                          .subject = text_of(subject),
                          .queue = text_of(queue),
                          .kind = SUB_CLIENT,
                          .deliver = inbox_deliver,
                          .owner = i};
    router_subscribe(world->router, &i->sub);
}
static inline void inbox_close(struct inbox *i)
{
    router_unsubscribe(world->router, &i->sub);
}
static inline void inbox_clear(struct inbox *i)
{
    i->count = 0;
    i->subject[0] = i->reply[0] = i->header[0] = i->body[0] = i->all[0] = '\0';
}

static inline void world_turn(void)
{
    fake_turn(&world->env);
}
static inline void world_wait(uint64_t ns)
{
    fake_advance(&world->env, ns);
}
/* Returns how many took it. */
static inline size_t
publish_with(const char *subject, const char *reply, const char *header, const char *body)
{
    struct message m = {.account = world->account,
                        .subject = text_of(subject),
                        .reply = text_of(reply),
                        .header = text_of(header),
                        .body = text_of(body)};
    return router_publish(world->router, &m);
}
/* A request and the end of its turn; the answer is in world_answer. */
static struct inbox world_answer;
static const char *request_with(const char *subject, const char *header, const char *body)
{
    inbox_clear(&world_answer);
    publish_with(subject, "_INBOX.answer", header, body);
    world_turn();
    return world_answer.body;
}
static const char *request(const char *subject, const char *body)
{
    return request_with(subject, NULL, body);
}
/* Text with ' for ". */
static const char *json(const char *text)
{
    static char rooms[8][4096];
    static unsigned at;
    char *out = rooms[at++ % 8];
    size_t i = 0;
    for (; text[i] != '\0' && i < sizeof rooms[0] - 1; i++)
        out[i] = text[i] == '\'' ? '"' : text[i];
    out[i] = '\0';
    return out;
}

#define assert_holds(text, part)                                                                   \
    do {                                                                                           \
        const char *have_ = (text), *want_ = (part);                                               \
        if (strstr(have_, want_) == NULL) fail_msg("'%s' isn't in '%s'", want_, have_);            \
    } while (0)

/* ---- what most tests begin with ---- */

static inline void stream(const char *name, const char *more)
{
    char subject[100], body[1000];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{'name':'%s'%s}", name, more);
    assert_holds(request(subject, json(body)), json("'did_create':true"));
}
static inline void consumer(const char *stream_name, const char *name, const char *config)
{
    char subject[200], body[1000];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s.%s", stream_name, name);
    snprintf(body, sizeof body, "{'stream_name':'%s','config':{%s}}", stream_name, config);
    const char *answer = request(subject, json(body));
    if (strstr(answer, "consumer_create_response\",\"stream_name") == NULL) fail_msg("%s", answer);
}
static inline void publish(const char *subject, const char *body)
{
    assert_int_not_equal(publish_with(subject, NULL, NULL, body), 0);
    world_turn();
}

static inline int world_open(void **test)
{
    struct world *w = world = check_alloc(sizeof *w);
    struct store_at at;
    fake_env_init(&w->env);
    w->kv.ops = &none_ops;
    w->commit.cb = world_commit;
    writer_init(&w->open, 4096);
    list_init(&w->proposals);
    list_init(&w->applying);
    list_init(&w->reads);
    struct store_options so = {.env = &w->env.base, .kv = &w->kv, .budget_bytes = MIB(64)};
    assert_int_equal(store_open(&so, &w->store, &at), 0);
    struct state_options o = {
        .env = &w->env.base, .store = w->store, .at = at, .watcher = &w->watcher};
    assert_int_equal(state_open(&o, &w->state), 0);
    w->accounts = accounts_new();
    w->account = accounts_global(w->accounts);
    w->account->jetstream = true;
    w->account->max_memory = w->account->max_storage = w->account->max_streams = -1;
    w->account->max_consumers = w->account->max_ack_pending = -1;
    struct router_options ro = {.env = &w->env.base, .self = WORLD_SELF};
    w->router = router_new(&ro);
    struct engine_options eo = {.env = &w->env.base,
                                .router = w->router,
                                .accounts = w->accounts,
                                .state = w->state,
                                .self = WORLD_SELF,
                                .server_name = "n1",
                                .server_id = "N1",
                                .version = "2.14.0",
                                .max_payload = MIB(1),
                                .max_memory = -1,
                                .max_file = -1};
    w->engine = engine_new(&eo);
    engine_watcher(w->engine, &w->watcher);
    w->watcher.batch = world_batch;
    w->watcher.result = world_result;
    w->watcher.batch_done = world_batch_done;
    engine_start(w->engine);
    engine_leadership(w->engine, WORLD_SELF, true);
    inbox_open(&world_answer, "_INBOX.answer", NULL);
    world_turn();
    *test = w;
    return 0;
}

static inline int world_close(void **test)
{
    struct world *w = *test;
    assert_int_equal(engine_stuck(w->engine), 0);
    inbox_close(&world_answer);
    engine_free(w->engine);
    world_commit(&w->commit); /* what was in flight comes back to an engine that stopped */
    state_close(w->state);
    store_close(w->store);
    router_free(w->router);
    accounts_free(w->accounts);
    writer_free(&w->open);
    free(w);
    return 0;
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)
