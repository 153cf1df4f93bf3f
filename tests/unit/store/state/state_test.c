/* Flush, crash and replay: the same entries give the same state, whatever was flushed when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/state/apply.h"
#include "tests/lib/state_world.h"

static struct state_world w;

static int open_world(void **state)
{
    (void)state;
    state_world_open(&w);
    return 0;
}
static int close_world(void **state)
{
    (void)state;
    state_world_close(&w);
    return 0;
}

static struct stream *stream(const char *json)
{
    struct stream *s = state_world_stream(&w, json);
    if (s == NULL) fail_msg("%d %s", w.result.error, w.detail);
    return s;
}

#include <stdlib.h>

static uint64_t rng_state = 88172645463325252ull;

static uint64_t rnd(uint64_t below)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state % below;
}

/* All that a replica answers with, as one text. */
static void describe_consumer(struct writer *out, const struct consumer *c)
{
    struct json_out j;
    json_out_init(&j, out, false);
    consumer_config_encode(&c->config, &j, NULL);
    writer_u64(out, c->id);
    writer_i64(out, c->created_ns);
    writer_u64(out, c->delivered.cseq);
    writer_u64(out, c->delivered.sseq);
    writer_u64(out, c->ack_floor.cseq);
    writer_u64(out, c->ack_floor.sseq);
    writer_u64(out, c->num_pending);
    writer_u64(out, c->redelivered);
    writer_u64(out, c->last_count - c->last_at);
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct consumer_pending *p = &c->pending[i];
        const uint64_t numbers[] = {p->sseq,
                                    p->cseq,
                                    p->first_cseq,
                                    p->deliveries,
                                    (uint64_t)p->time_ns,
                                    (uint64_t)p->delay_ns};
        writer_put(out, numbers, sizeof numbers);
    }
}

static struct slice describe(void)
{
    struct writer out;
    writer_init(&out, 0);
    writer_u64(&out, state_digest(w.state));
    writer_i64(&out, state_now(w.state).ns);
    for (struct stream *s = state_stream_next(w.state, TEXT("A"), NULL); s != NULL;
         s = state_stream_next(w.state, TEXT("A"), s)) {
        struct store_counts counts = stream_counts(s);
        struct json_out j;
        json_out_init(&j, &out, false);
        stream_config_encode(&s->config, &j, NULL);
        writer_put(&out, &counts, sizeof counts);
        writer_put(&out, s->apply->last_msg_id, s->apply->last_msg_id_bytes);
        writer_u64(&out, s->apply->dedup.tail - s->apply->dedup.head);
        writer_u64(&out, s->apply->expiry.count);
        writer_u64(&out, s->apply->age_from);
        LIST_FOREACH (n, &s->consumer_list) {
            describe_consumer(&out, CONTAINER_OF(n, struct consumer, in_stream));
        }
    }
    return writer_take(&out);
}

static const char *const stream_configs[] = {
    "{\"name\":\"L\",\"subjects\":[\"l.*\"],\"max_msgs\":40,\"duplicate_window\":1000000000}",
    "{\"name\":\"K\",\"subjects\":[\"k.*\"],\"max_msgs_per_subject\":2,\"allow_rollup_hdrs\":true,"
    "\"max_age\":30000000000,\"subject_delete_marker_ttl\":5000000000}",
    "{\"name\":\"W\",\"subjects\":[\"w.*\"],\"retention\":\"workqueue\"}",
    "{\"name\":\"I\",\"subjects\":[\"i.*\"],\"retention\":\"interest\"}",
};
static const char *const subjects[4] = {"l", "k", "w", "i"};

static struct stream *any_stream(size_t *kind)
{
    static const char *const names[] = {"L", "K", "W", "I"};
    *kind = (size_t)rnd(4);
    struct stream *s = state_stream(w.state, TEXT("A"), text_of(names[*kind]));
    if (s == NULL) s = state_world_stream(&w, stream_configs[*kind]);
    return s;
}

static void any_publish(void)
{
    size_t kind;
    struct stream *s = any_stream(&kind);
    char subject[16], id[16];
    snprintf(subject, sizeof subject, "%s.%d", subjects[kind], (int)rnd(5));
    snprintf(id, sizeof id, "id%d", (int)rnd(30));
    struct command_publish c = {.subject = text_of(subject), .body = TEXT("body")};
    if (rnd(3) == 0) {
        c.flags |= PUBLISH_MSG_ID;
        c.msg_id = text_of(id);
    }
    if (kind == 1 && rnd(4) == 0) {
        c.flags |= PUBLISH_TTL;
        c.ttl_ns = (int64_t)(NS_PER_S * (1 + rnd(10)));
    }
    if (kind == 1 && rnd(10) == 0) c.flags |= PUBLISH_ROLLUP_SUBJECT;
    if (rnd(10) == 0) {
        c.flags |= PUBLISH_EXPECT_SEQ;
        c.expect_seq = stream_counts(s).last - rnd(2);
    }
    state_world_publish(&w, s, c);
}

static void any_delivery(struct consumer *c)
{
    struct store_cursor cursor = {0};
    struct store_msg m;
    stream_seq scanned = 0;
    if (c->pending_count > 0 && rnd(4) == 0) {
        state_world_redeliver(&w, c, c->pending[rnd(c->pending_count)].sseq);
    } else if (consumer_next(c, 0, &cursor, &scanned, &m) == 0) {
        state_world_deliver(&w, c, m.seq, m.seq);
    }
    store_cursor_close(&cursor);
}

static void any_consumer(void)
{
    static const char *const policies[] = {"\"deliver_policy\":\"all\"",
                                           "\"deliver_policy\":\"last_per_subject\""};
    size_t kind;
    char json[256];
    struct stream *s = any_stream(&kind);
    snprintf(json, sizeof json,
             "{\"name\":\"c%d\",\"ack_policy\":\"explicit\",\"filter_subject\":\"%s.%s\",%s}",
             (int)rnd(3), subjects[kind], rnd(2) == 0 ? "*" : "1", policies[kind < 2 ? rnd(2) : 0]);
    state_world_consumer(&w, s, json);
}

static void any_with_consumer(void)
{
    size_t kind;
    struct stream *s = any_stream(&kind);
    struct consumer *c = state_consumer_by_id(w.state, (uint32_t)rnd(w.created_consumer + 1));
    if (c == NULL) return;
    s = c->stream;
    switch (rnd(8)) {
    case 0:
    case 1:
    case 2:
        any_delivery(c);
        break;
    case 3:
    case 4:
    case 5:
        if (c->pending_count > 0)
            state_world_ack(&w, c, (enum ack_kind)rnd(ACK_EXHAUSTED + 1),
                            c->pending[rnd(c->pending_count)].sseq);
        break;
    case 6:
        state_world_delete(&w, s, stream_counts(s).first + rnd(3));
        break;
    default:
        if (rnd(6) == 0) {
            struct writer commands;
            writer_init(&commands, 0);
            entry_put_consumer_delete(&commands, &(struct command_consumer_delete){s->id, c->id});
            state_world_apply(&w, &commands);
        }
    }
}

static void any_of_streams(void)
{
    size_t kind;
    struct stream *s = any_stream(&kind);
    uint32_t id;
    switch (rnd(12)) {
    case 0:
        state_world_purge(&w, s, (struct command_purge){.keep = rnd(5)});
        break;
    case 1:
        state_world_purge(&w, s, (struct command_purge){.filter = TEXT("k.1")});
        break;
    case 2:
        if (rnd(5) == 0) {
            struct writer commands;
            writer_init(&commands, 0);
            entry_put_stream_delete(&commands, &(struct command_stream_delete){s->id});
            state_world_apply(&w, &commands);
        }
        break;
    default:
        if (state_expiry_due(w.state, &id) <= w.now_ns)
            state_world_expire(&w, state_stream_by_id(w.state, id), 1 + rnd(20));
    }
}

static void step(void)
{
    w.now_ns += (int64_t)rnd(300000000);
    switch (rnd(10)) {
    case 0:
        any_consumer();
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        any_with_consumer();
        break;
    case 5:
        any_of_streams();
        break;
    default:
        any_publish();
    }
}

/* num_pending must be what counting would give: nothing may slip through the accounting. */
static void check_counts(void)
{
    for (struct stream *s = state_stream_next(w.state, TEXT("A"), NULL); s != NULL;
         s = state_stream_next(w.state, TEXT("A"), s)) {
        LIST_FOREACH (n, &s->consumer_list) {
            struct consumer *c = CONTAINER_OF(n, struct consumer, in_stream);
            uint64_t counted = c->num_pending;
            consumer_recount(c);
            if (counted != c->num_pending)
                fail_msg("%.*s counts %d, there are %d", (int)c->name.bytes, c->name.at,
                         (int)counted, (int)c->num_pending);
        }
    }
}

static void run_history(uint64_t seed, int steps)
{
    rng_state = seed;
    for (int i = 0; i < steps; i++) {
        step();
        if (rnd(100) == 0) state_world_flush(&w);
        if (rnd(200) == 0) {
            check_counts();
            struct slice before = describe();
            state_world_crash(&w);
            struct slice after = describe();
            if (before.bytes != after.bytes || memcmp(before.at, after.at, before.bytes) != 0)
                fail_msg("seed %d, step %d: the state differs", (int)seed, i);
            slice_release(&before);
            slice_release(&after);
        }
    }
}

static void a_crash_and_a_replay_change_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        run_history(seed, 1500);
        close_world(state);
        open_world(state);
    }
}

static void ids_and_ttls_survive(void **state)
{
    (void)state;
    uint32_t id;
    struct stream *s = stream("{\"name\":\"S\",\"allow_msg_ttl\":true}");
    struct command_publish c = {.subject = TEXT("S"), .flags = PUBLISH_MSG_ID | PUBLISH_TTL};
    for (int i = 0; i < 300; i++) {
        char text[16];
        snprintf(text, sizeof text, "id-%d", i);
        c.msg_id = text_of(text);
        c.ttl_ns = (int64_t)NS_PER_S * (300 - i);
        state_world_publish(&w, s, c);
        if (i == 130) state_world_flush(&w);
    }
    state_world_flush(&w);
    log_index flushed = w.last;
    state_world_crash(&w);
    assert_int_equal(state_at(w.state).index, flushed);
    s = state_stream(w.state, TEXT("A"), TEXT("S"));
    for (int i = 0; i < 300; i += 50) {
        char text[16];
        snprintf(text, sizeof text, "id-%d", i);
        c.msg_id = text_of(text);
        assert_int_equal(state_world_publish(&w, s, c), JS_OK);
        assert_true(w.result.duplicate);
        assert_int_equal(w.result.seq, i + 1);
    }
    assert_int_equal(state_expiry_due(w.state, &id), w.now_ns + (int64_t)NS_PER_S);
}

static void a_deleted_stream_leaves_no_rows(void **state)
{
    (void)state;
    state_world_flush(&w);
    struct stream *s = stream("{\"name\":\"S\",\"allow_msg_ttl\":true}");
    struct command_publish c = {.subject = TEXT("S"), .flags = PUBLISH_MSG_ID | PUBLISH_TTL};
    size_t rows = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            char text[16];
            snprintf(text, sizeof text, "id-%d", i);
            c.msg_id = text_of(text);
            c.ttl_ns = (int64_t)NS_PER_S;
            state_world_publish(&w, s, c);
        }
        state_world_consumer(
            &w, s,
            "{\"name\":\"c\",\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"S\"}");
        state_world_flush(&w);
        struct writer commands;
        writer_init(&commands, 0);
        entry_put_stream_delete(&commands, &(struct command_stream_delete){s->id});
        state_world_apply(&w, &commands);
        state_world_flush(&w);
        if (round == 0) rows = mem_kv_rows(w.kv, KV_STATE);
        assert_int_equal(mem_kv_rows(w.kv, KV_STATE), rows);
        s = stream("{\"name\":\"S\",\"allow_msg_ttl\":true}");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crash_and_a_replay_change_nothing),
        TEST(ids_and_ttls_survive),
        TEST(a_deleted_stream_leaves_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
