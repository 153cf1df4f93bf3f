/* A stream goes out as a backup and comes in again; bytes that aren't one are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/state/apply.h"
#include "store/state/backup.h"
#include "tests/lib/state_world.h"

static struct state_world w;

#define CONFIG "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"workqueue\"}"

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

static enum js_error
step(enum restore_step step, uint32_t stream, const char *config, struct text r)
{
    struct writer c;
    writer_init(&c, 0);
    entry_put_restore(&c, &(struct command_restore){.step = (uint8_t)step,
                                                    .stream = stream,
                                                    .account = TEXT("A"),
                                                    .config = text_of(config),
                                                    .records = r});
    state_world_apply(&w, &c);
    return w.result.error;
}

/* A stream of ten messages, the third deleted, one pending; as records. The stream is deleted. */
static struct writer backed_up(void)
{
    struct writer out;
    struct stream *s = state_world_stream(&w, CONFIG);
    struct consumer *c =
        state_world_consumer(&w, s, "{\"name\":\"c\",\"ack_policy\":\"explicit\"}");
    struct store_cursor cursor = {0};
    struct store_msg m;
    for (int i = 0; i < 10; i++) {
        w.now_ns += 1000;
        state_world_put(&w, s, "s.a", "body");
    }
    state_world_delete(&w, s, 3);
    state_world_deliver(&w, c, 1, 2);
    state_world_ack(&w, c, ACK_ACK, 1);
    writer_init(&out, 0);
    for (stream_seq seq = 1; seq <= 10; seq++) {
        if (store_get(s->store, seq, &cursor, &m) == 0) backup_put_message(&out, &m);
    }
    store_cursor_close(&cursor);
    backup_put_consumer(&out, c);
    backup_put_end(&out, 10, stream_counts(s).msgs);
    struct writer commands;
    writer_init(&commands, 0);
    entry_put_stream_delete(&commands, &(struct command_stream_delete){s->id});
    state_world_apply(&w, &commands);
    return out;
}

static struct text text_in(const struct writer *b)
{
    return (struct text){.at = (const char *)b->base, .bytes = b->bytes};
}

static void a_backup_brings_everything_back(void **state)
{
    (void)state;
    struct writer b = backed_up();
    int64_t last_ns = w.now_ns;
    w.now_ns += 1000000;
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    uint32_t id = w.result.stream->id;
    assert_int_equal(w.result.stream->config.subject_count, 0);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    assert_null(
        state_stream_by_id(w.state, id)); /* begun anew: nobody may be left who would end it */
    id = w.result.stream->id;
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&b)), JS_OK);
    state_world_flush(&w);
    state_world_crash(&w);
    assert_int_equal(step(RESTORE_FINISH, id, CONFIG, (struct text){0}), JS_OK);
    state_world_crash(&w);
    struct stream *s = state_stream_by_id(w.state, id);
    struct store_counts counts = stream_counts(s);
    assert_int_equal(counts.msgs, 8);
    assert_int_equal(counts.first, 2);
    assert_int_equal(counts.last, 10);
    assert_int_equal(counts.last_ns, last_ns);
    assert_int_equal(s->config.retention, RETENTION_WORKQUEUE);
    assert_int_equal(s->config.subject_count, 1);
    const struct consumer *c = stream_consumer(s, TEXT("c"));
    assert_int_equal(c->pending_count, 1);
    assert_int_equal(c->num_pending, 7);
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&b)), JS_STREAM_RESTORE);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}),
                     JS_STREAM_NAME_EXIST_RESTORE_FAILED);
    writer_free(&b);
}

/* Each byte once wrong: refused or taken, but the node lives and the rest works. */
static void damaged_records_are_never_fatal(void **state)
{
    (void)state;
    struct writer b = backed_up();
    for (size_t i = 0; i < b.bytes; i++) {
        b.base[i] ^= 0xa5;
        assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
        uint32_t id = w.result.stream->id;
        if (step(RESTORE_RECORDS, id, "", text_in(&b)) == JS_OK)
            (void)step(RESTORE_FINISH, id, CONFIG, (struct text){0});
        else
            assert_true(w.result.error == JS_STREAM_RESTORE);
        struct writer commands;
        writer_init(&commands, 0);
        entry_put_stream_delete(&commands, &(struct command_stream_delete){id});
        state_world_apply(&w, &commands);
        b.base[i] ^= 0xa5;
    }
    writer_free(&b);
}

/* Sequences of a stream must never come near their end: the next publish would begin again at 0. */
static void a_sequence_near_the_end_of_all_is_refused(void **state)
{
    (void)state;
    struct store_msg m = {
        .seq = UINT64_MAX - 1, .time_ns = 1, .subject = TEXT("s.a"), .body = TEXT("x")};
    struct writer message, end;
    writer_init(&message, 0);
    writer_init(&end, 0);
    backup_put_message(&message, &m);
    backup_put_end(&end, UINT64_MAX - 1, 0);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    uint32_t id = w.result.stream->id;
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&message)), JS_STREAM_RESTORE);
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&end)), JS_STREAM_RESTORE);
    writer_free(&message);
    writer_free(&end);
}

static void a_restore_fills_the_accounts_last_place(void **state)
{
    (void)state;
    struct writer b = backed_up(), c;
    writer_init(&c, 0);
    struct account_limits limits = {-1, -1, -1, -1, -1, -1, -1, false};
    limits.max_streams = 1;
    entry_put_account_limits(&c, &(struct command_account_limits){TEXT("A"), limits});
    state_world_apply(&w, &c);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    uint32_t id = w.result.stream->id;
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&b)), JS_OK);
    assert_int_equal(step(RESTORE_FINISH, id, CONFIG, (struct text){0}), JS_OK);
    writer_free(&b);
}

/* A consumer whose config or numbers no command could have made. */
static void a_consumer_that_cant_be_is_refused(void **state)
{
    (void)state;
    static const char *const configs[] = {
        "{\"name\":\"c\",\"ack_policy\":\"explicit\",\"ack_wait\":-5}",
        "{\"name\":\"c\",\"deliver_subject\":\"a.*\"}",
        "{\"name\":\"c\",\"filter_subjects\":[\"s.*\",\"s.a\"]}",
        "{\"name\":\"c\",\"max_deliver\":2,\"backoff\":[1,2,3]}",
    };
    struct writer b = backed_up();
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    struct stream *s = (struct stream *)(uintptr_t)w.result.stream;
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
        struct consumer c = {.stream = s};
        struct writer out;
        writer_init(&out, 0);
        assert_int_equal(consumer_config_read(text_of(configs[i]), &c.config), 0);
        backup_put_consumer(&out, &c);
        if (step(RESTORE_RECORDS, s->id, "", text_in(&out)) != JS_STREAM_RESTORE)
            fail_msg("%s", configs[i]);
        assert_null(stream_consumer(s, TEXT("c")));
        consumer_config_free(&c.config);
        writer_free(&out);
    }
    struct consumer_pending pending = {.sseq = 1, .cseq = 1, .deliveries = 1};
    struct consumer c = {
        .stream = s, .pending = &pending, .pending_count = 1, .delivered = {.cseq = 1, .sseq = 1}};
    struct writer out;
    writer_init(&out, 0);
    assert_int_equal(
        consumer_config_read(TEXT("{\"name\":\"c\",\"ack_policy\":\"explicit\"}"), &c.config), 0);
    backup_put_consumer(&out, &c);
    assert_int_equal(step(RESTORE_RECORDS, s->id, "", text_in(&out)), JS_STREAM_RESTORE);
    consumer_config_free(&c.config);
    writer_free(&out);
    writer_free(&b);
}

/* Expiry by age looks for a place by time, and blocks end elsewhere on each replica: should times
 * ever descend, replicas would differ. */
static void times_ascend_also_behind_a_message_from_the_future(void **state)
{
    (void)state;
    struct store_counts counts;
    struct store_msg m = {.seq = 1, .subject = TEXT("s.a"), .body = TEXT("x")};
    struct writer records;
    writer_init(&records, 0);
    m.time_ns = w.now_ns + 3600 * (int64_t)NS_PER_S;
    backup_put_message(&records, &m);
    backup_put_end(&records, 1, 1);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    uint32_t id = w.result.stream->id;
    assert_int_equal(step(RESTORE_RECORDS, id, "", text_in(&records)), JS_OK);
    assert_int_equal(step(RESTORE_FINISH, id, CONFIG, (struct text){0}), JS_OK);
    struct stream *s = state_stream_by_id(w.state, id);
    w.now_ns += 1000;
    assert_int_equal(state_world_put(&w, s, "s.a", "y"), 2);
    counts = stream_counts(s);
    assert_true(counts.first_ns <= counts.last_ns);
    writer_free(&records);
}

/* The stream's replicas were lowered after its consumer was made. */
static void a_consumer_older_than_its_streams_config_is_taken(void **state)
{
    (void)state;
    struct writer out;
    writer_init(&out, 0);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    struct stream *s = state_stream_by_id(w.state, w.result.stream->id);
    struct consumer c = {.stream = s};
    static const char config[] = "{\"name\":\"c\",\"ack_policy\":\"explicit\",\"num_replicas\":3}";
    assert_int_equal(consumer_config_read(text_of(config), &c.config), 0);
    backup_put_consumer(&out, &c);
    assert_int_equal(step(RESTORE_RECORDS, s->id, "", text_in(&out)), JS_OK);
    consumer_config_free(&c.config);
    writer_free(&out);
}

static void count_one(void *ctx, stream_seq seq)
{
    uint64_t *count = ctx;
    if (++*count > 2000000) fail_msg("still at %llu", (unsigned long long)seq);
}

/* Two messages far from each other: nobody may list all that isn't between them. */
static void a_gap_of_any_width_is_no_work(void **state)
{
    (void)state;
    uint64_t count = 0;
    struct store_msg m = {.seq = 1, .time_ns = 1, .subject = TEXT("s.a"), .body = TEXT("x")};
    struct writer records;
    writer_init(&records, 0);
    backup_put_message(&records, &m);
    m.seq = UINT64_C(1) << 62;
    backup_put_message(&records, &m);
    assert_int_equal(step(RESTORE_BEGIN, 0, CONFIG, (struct text){0}), JS_OK);
    struct stream *s = state_stream_by_id(w.state, w.result.stream->id);
    assert_int_equal(step(RESTORE_RECORDS, s->id, "", text_in(&records)), JS_OK);
    assert_true(store_deleted(s->store, count_one, &count) == m.seq - 2);
    assert_int_equal(count, 0);
    writer_free(&records);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_brings_everything_back),
        TEST(damaged_records_are_never_fatal),
        TEST(a_sequence_near_the_end_of_all_is_refused),
        TEST(a_restore_fills_the_accounts_last_place),
        TEST(a_consumer_that_cant_be_is_refused),
        TEST(times_ascend_also_behind_a_message_from_the_future),
        TEST(a_gap_of_any_width_is_no_work),
        TEST(a_consumer_older_than_its_streams_config_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
