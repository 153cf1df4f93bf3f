/* Messages come into a stream from others: mapped, mirrored, from sources; and go out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/state/apply.h"
#include "store/state/backup.h"
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

static struct stream *named(const char *name)
{
    return state_stream(w.state, TEXT("A"), text_of(name));
}

static uint64_t copy(struct stream *s, uint32_t source, uint64_t max)
{
    struct writer c;
    writer_init(&c, 0);
    entry_put_copy(&c, &(struct command_copy){s->id, source, max});
    state_world_apply(&w, &c);
    return w.result.count;
}

/* The message at seq: "subject header-line body", the line of the source only. */
static void expect(struct stream *s, stream_seq seq, const char *subject, const char *body)
{
    struct store_cursor cursor = {0};
    struct store_msg m;
    if (store_get(s->store, seq, &cursor, &m) != 0) fail_msg("nothing at %d", (int)seq);
    assert_memory_equal(m.subject.at, subject, strlen(subject));
    assert_int_equal(m.subject.bytes, strlen(subject));
    assert_int_equal(m.body.bytes, strlen(body));
    assert_memory_equal(m.body.at, body, strlen(body));
    store_cursor_close(&cursor);
}

static void expect_header(struct stream *s, stream_seq seq, const char *header)
{
    struct store_cursor cursor = {0};
    struct store_msg m;
    assert_int_equal(store_get(s->store, seq, &cursor, &m), 0);
    if (!text_equal(m.header, text_of(header))) fail_msg("%.*s", (int)m.header.bytes, m.header.at);
    store_cursor_close(&cursor);
}

static void subjects_are_mapped_before_anything_is_checked(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"in.*\",\"other\"],"
                              "\"subject_transform\":{\"src\":\"in.*\",\"dest\":\"out.$1\"}}");
    assert_int_equal(state_world_put(&w, s, "in.a", "1"), 1);
    assert_int_equal(state_world_put(&w, s, "other", "2"), 2);
    expect(s, 1, "out.a", "1");
    expect(s, 2, "other", "2");
    struct command_publish again = {.flags = PUBLISH_EXPECT_SUBJECT_SEQ, .subject = TEXT("in.a")};
    assert_int_equal(state_world_publish(&w, s, again), JS_STREAM_WRONG_LAST_SEQUENCE);
    again.expect_subject_seq = 1;
    assert_int_equal(state_world_publish(&w, s, again), JS_OK);
}

static void a_mirror_keeps_sequences_and_times(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    struct stream *m = stream("{\"name\":\"M\",\"mirror\":{\"name\":\"S\"}}");
    int64_t first_ns = w.now_ns;
    state_world_put(&w, s, "s.a", "1");
    state_world_put(&w, s, "s.b", "2");
    state_world_put(&w, s, "s.a", "3");
    state_world_delete(&w, s, 2);
    w.now_ns += 1000000000;
    assert_int_equal(stream_source_info(m, 0).lag, 3);
    assert_int_equal(copy(m, 0, 100), 2);
    struct store_counts counts = stream_counts(m);
    assert_int_equal(counts.msgs, 2);
    assert_int_equal(counts.last, 3);
    assert_int_equal(counts.first_ns, first_ns);
    expect(m, 3, "s.a", "3");
    assert_int_equal(copy(m, 0, 100), 0);
    assert_int_equal(stream_source_info(m, 0).lag, 0);
}

static void a_source_counts_for_itself_and_names_the_origin(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.>\"]}");
    struct stream *t = stream("{\"name\":\"T\",\"subjects\":[\"t\"],\"sources\":["
                              "{\"name\":\"S\",\"subject_transforms\":[{\"src\":\"s.x.*\",\"dest\":"
                              "\"t.$1\"}]},{\"name\":\"S\",\"filter_subject\":\"s.y\"}]}");
    struct command_publish c = {.subject = TEXT("s.x.1"),
                                .header = TEXT("NATS/1.0\r\nNats-Stream-Source: Q 1 > > q\r\nk: "
                                               "v\r\n\r\n"),
                                .body = TEXT("x")};
    assert_int_equal(state_world_put(&w, t, "t", "own"), 1);
    assert_int_equal(state_world_publish(&w, s, c), JS_OK);
    state_world_put(&w, s, "s.y", "y");
    assert_int_equal(copy(t, 0, 100), 1);
    assert_int_equal(copy(t, 1, 100), 1);
    expect(t, 2, "t.1", "x");
    expect(t, 3, "s.y", "y");
    expect_header(t, 2, "NATS/1.0\r\nk: v\r\nNats-Stream-Source: S 1 s.x.* t.$1 s.x.1\r\n\r\n");
    expect_header(t, 3, "NATS/1.0\r\nNats-Stream-Source: S 2 s.y > s.y\r\n\r\n");
}

static void nothing_is_copied_twice_after_a_crash(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    struct stream *t = stream("{\"name\":\"T\",\"sources\":[{\"name\":\"S\"}]}");
    for (int i = 0; i < 20; i++)
        state_world_put(&w, s, "s.a", "x");
    assert_int_equal(copy(t, 0, 5), 5);
    state_world_flush(&w);
    assert_int_equal(copy(named("T"), 0, 5), 5);
    uint64_t digest = state_digest(w.state);
    state_world_crash(&w);
    assert_int_equal(state_digest(w.state), digest);
    t = named("T");
    assert_int_equal(stream_counts(t).msgs, 10);
    assert_int_equal(copy(t, 0, 100), 10);
    assert_int_equal(stream_counts(t).msgs, 20);
    expect_header(t, 20, "NATS/1.0\r\nNats-Stream-Source: S 20 > > s.a\r\n\r\n");
}

static void a_full_stream_copies_when_there_is_room(void **state)
{
    (void)state;
    struct stream *s =
        stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"retention\":\"workqueue\"}");
    struct stream *t = stream("{\"name\":\"T\",\"max_msgs\":2,\"discard\":\"new\",\"sources\":["
                              "{\"name\":\"S\"}]}");
    for (int i = 0; i < 3; i++)
        state_world_put(&w, s, "s.a", "x");
    assert_int_equal(copy(t, 0, 100), 2);
    assert_int_equal(w.result.error, JS_STREAM_STORE_FAILED);
    assert_int_equal(stream_counts(s).msgs, 1); /* what was copied left the work queue */
    state_world_delete(&w, t, 1);
    assert_int_equal(copy(t, 0, 100), 1);
    assert_int_equal(stream_counts(s).msgs, 0);
}

static void where_a_source_stands_outlives_an_update(void **state)
{
    (void)state;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    struct stream *t = stream("{\"name\":\"T\",\"sources\":[{\"name\":\"S\"}]}");
    state_world_put(&w, s, "s.a", "x");
    assert_int_equal(copy(t, 0, 100), 1);
    assert_int_equal(state_world_update(&w, "{\"name\":\"T\",\"sources\":[{\"name\":\"R\"},"
                                            "{\"name\":\"S\"}]}"),
                     JS_OK);
    assert_int_equal(copy(t, 1, 100), 0);
    assert_int_equal(copy(t, 0, 100), 0);
    assert_int_equal(w.result.error, JS_STREAM_NOT_FOUND);
    assert_int_equal(copy(t, 2, 100), 0);
    assert_int_equal(w.result.error, JS_BAD_REQUEST);
}

static void configs_are_checked(void **state)
{
    static const struct {
        const char *json;
        enum js_error error;
    } rows[] = {
        /* clang-format off */
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\"},\"subjects\":[\"m\"]}", JS_MIRROR_WITH_SUBJECTS},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\"},\"sources\":[{\"name\":\"S\"}]}", JS_MIRROR_WITH_SOURCES},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\"},\"first_seq\":5}", JS_MIRROR_WITH_FIRST_SEQ},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"a.b\"}}", JS_MIRROR_INVALID_STREAM_NAME},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\",\"opt_start_seq\":1,\"opt_start_time\":\"2026-01-01T00:00:00Z\"}}", JS_MIRROR_WITH_START_SEQ_AND_TIME},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\",\"external\":{\"api\":\"$JS.x.API\"}}}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"M\",\"mirror\":{\"name\":\"S\"},\"max_msg_size\":10}", JS_MIRROR_MAX_MESSAGE_SIZE_TOO_BIG},
        {"{\"name\":\"M\",\"sources\":[{\"name\":\"S\"},{\"name\":\"S\"}]}", JS_SOURCE_DUPLICATE_DETECTED},
        {"{\"name\":\"M\",\"sources\":[{\"name\":\"S\",\"subject_transforms\":[{\"src\":\"a\",\"dest\":\"b.>\"}]}]}", JS_SOURCE_INVALID_TRANSFORM_DESTINATION},
        {"{\"name\":\"M\",\"sources\":[{\"name\":\"M\"}]}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"B\",\"sources\":[{\"name\":\"A\"}]}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"M\",\"subjects\":[\"m\"],\"mirror_direct\":true}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"M\",\"subject_transform\":{\"src\":\"a..b\",\"dest\":\"c\"}}", JS_STREAM_TRANSFORM_INVALID_SOURCE},
        {"{\"name\":\"M\",\"subject_transform\":{\"src\":\"a\",\"dest\":\"c.$1\"}}", JS_STREAM_TRANSFORM_INVALID_DESTINATION},
        {"{\"name\":\"M\",\"subjects\":[\"m.>\"],\"republish\":{\"src\":\">\",\"dest\":\"m.x.>\"}}", JS_STREAM_INVALID_CONFIG},
        {"{\"name\":\"M\",\"republish\":{\"src\":\"a.*\",\"dest\":\"b.>\"}}", JS_STREAM_INVALID_CONFIG},
        /* clang-format on */
    };
    (void)state;
    stream("{\"name\":\"S\",\"subjects\":[\"s.*\"],\"max_msg_size\":100,\"allow_direct\":true}");
    stream("{\"name\":\"A\",\"sources\":[{\"name\":\"B\"}]}");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct stream *s = state_world_stream(&w, rows[i].json);
        if (s != NULL || w.result.error != rows[i].error)
            fail_msg("%s: %d %s", rows[i].json, w.result.error, w.detail);
    }
    struct stream *m = stream("{\"name\":\"M\",\"mirror\":{\"name\":\"S\"}}");
    assert_true(m->config.mirror_direct);
    assert_int_equal(m->config.subject_count, 0);
    assert_int_equal(state_world_update(&w, "{\"name\":\"M\",\"mirror\":{\"name\":\"A\"}}"),
                     JS_STREAM_MIRROR_NOT_UPDATABLE);
}

/* ---- republish ---- */

static char heard[200];
static void on_republish(void *ctx, struct stream *s, const struct state_republish *r)
{
    (void)ctx;
    snprintf(heard, sizeof heard, "%.*s %.*s %d %d", (int)r->to.bytes, r->to.at,
             (int)s->config.name.bytes, s->config.name.at, (int)r->msg->seq, (int)r->before);
}

static void what_is_stored_is_republished(void **state)
{
    (void)state;
    w.watcher.republish = on_republish;
    struct stream *s = stream("{\"name\":\"S\",\"subjects\":[\"s.*\",\"no\"],"
                              "\"republish\":{\"src\":\"s.*\",\"dest\":\"r.$1\"}}");
    heard[0] = '\0';
    state_world_put(&w, s, "no", "x");
    assert_string_equal(heard, "");
    state_world_put(&w, s, "s.a", "x");
    assert_string_equal(heard, "r.a S 2 0");
    state_world_put(&w, s, "s.b", "x");
    state_world_put(&w, s, "s.a", "x");
    assert_string_equal(heard, "r.a S 4 2");
}

/* A header is a client's bytes: here the line of an earlier source is all that follows, and no
 * blank line does. */
static void a_header_without_its_blank_line_is_copied(void **state)
{
    (void)state;
    struct stream *from = stream("{\"name\":\"S\",\"subjects\":[\"s.*\"]}");
    struct stream *to = stream("{\"name\":\"D\",\"sources\":[{\"name\":\"S\"}]}");
    struct command_publish c = {.subject = TEXT("s.a"),
                                .header = TEXT("NATS/1.0\r\nNats-Stream-Source: x 1 > > s\r\n"),
                                .body = TEXT("1")};
    assert_int_equal(state_world_publish(&w, from, c), JS_OK);
    c.header = TEXT("NATS/1.0\r\nA: b\r\n");
    assert_int_equal(state_world_publish(&w, from, c), JS_OK);
    assert_int_equal(copy(to, 0, 10), 2);
    expect(to, 1, "s.a", "1");
    expect_header(to, 1, "NATS/1.0\r\nNats-Stream-Source: S 1 > > s.a\r\n\r\n");
    expect_header(to, 2, "NATS/1.0\r\nA: b\r\nNats-Stream-Source: S 2 > > s.a\r\n\r\n");
}

static void restore(enum restore_step step, uint32_t stream, const char *config, struct text r)
{
    struct writer c;
    writer_init(&c, 0);
    entry_put_restore(&c, &(struct command_restore){.step = (uint8_t)step,
                                                    .stream = stream,
                                                    .account = TEXT("A"),
                                                    .config = text_of(config),
                                                    .records = r});
    state_world_apply(&w, &c);
    assert_int_equal(w.result.error, JS_OK);
}

/* The origin went and came back from an older backup: the mirror's times ascend all the same. */
static void a_mirrors_times_ascend_whatever_its_origin_does(void **state)
{
    (void)state;
    static const char config[] = "{\"name\":\"S\",\"subjects\":[\"s.*\"]}";
    struct stream *from = stream(config);
    struct stream *m = stream("{\"name\":\"M\",\"mirror\":{\"name\":\"S\"}}");
    state_world_put(&w, from, "s.a", "1");
    assert_int_equal(copy(m, 0, 10), 1);
    struct writer c, records;
    writer_init(&c, 0);
    writer_init(&records, 0);
    entry_put_stream_delete(&c, &(struct command_stream_delete){from->id});
    state_world_apply(&w, &c);
    struct store_msg old = {.seq = 5, .time_ns = 1, .subject = TEXT("s.a"), .body = TEXT("2")};
    backup_put_message(&records, &old);
    backup_put_end(&records, 5, 1);
    struct text all = {.at = (const char *)records.base, .bytes = records.bytes};
    restore(RESTORE_BEGIN, 0, config, (struct text){0});
    uint32_t id = w.result.stream->id;
    restore(RESTORE_RECORDS, id, "", all);
    restore(RESTORE_FINISH, id, config, (struct text){0});
    assert_int_equal(copy(m, 0, 10), 1);
    struct store_counts counts = stream_counts(m);
    assert_int_equal(counts.last, 5);
    assert_true(counts.first_ns <= counts.last_ns);
    writer_free(&records);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(subjects_are_mapped_before_anything_is_checked),
        TEST(a_mirror_keeps_sequences_and_times),
        TEST(a_source_counts_for_itself_and_names_the_origin),
        TEST(nothing_is_copied_twice_after_a_crash),
        TEST(a_full_stream_copies_when_there_is_room),
        TEST(where_a_source_stands_outlives_an_update),
        TEST(configs_are_checked),
        TEST(what_is_stored_is_republished),
        TEST(a_header_without_its_blank_line_is_copied),
        TEST(a_mirrors_times_ascend_whatever_its_origin_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
