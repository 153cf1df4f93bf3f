/* Every command survives its encoding, and no shorter or changed form is taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/base/err.h"
#include "store/state/entry.h"

static const stream_seq fresh[] = {5, 6, 900, 70000}, again[] = {2};

static void put_publish(struct writer *w)
{
    struct command_publish c = {
        .stream = 300,
        .flags = PUBLISH_FLAGS,
        .subject = TEXT("a.b"),
        .header = TEXT("NATS/1.0\r\n\r\n"),
        .body = TEXT("hello"),
        .msg_id = TEXT("id-1"),
        .expect_msg_id = TEXT("id-0"),
        .expect_subject = TEXT("a.*"),
        .expect_seq = 1000000,
        .expect_subject_seq = 0,
        .ttl_ns = -1,
    };
    size_t bytes = entry_publish_bytes(&c);
    entry_put_publish(w, &c);
    assert_true(w->bytes <= bytes);
}
static int get_publish(struct reader r)
{
    struct command_publish c;
    int rc = entry_get_publish(r, &c);
    if (rc != 0) return rc;
    assert_int_equal(c.stream, 300);
    assert_int_equal(c.flags, PUBLISH_FLAGS);
    assert_true(text_equal(c.subject, TEXT("a.b")));
    assert_true(text_equal(c.header, TEXT("NATS/1.0\r\n\r\n")));
    assert_true(text_equal(c.body, TEXT("hello")));
    assert_true(text_equal(c.msg_id, TEXT("id-1")));
    assert_true(text_equal(c.expect_msg_id, TEXT("id-0")));
    assert_true(text_equal(c.expect_subject, TEXT("a.*")));
    assert_int_equal(c.expect_seq, 1000000);
    assert_int_equal(c.ttl_ns, -1);
    return 0;
}

static void put_stream(struct writer *w)
{
    entry_put_stream(w, COMMAND_STREAM_UPDATE,
                     &(struct command_stream){TEXT("A"), TEXT("{}"), true});
}
static int get_stream(struct reader r)
{
    struct command_stream c;
    int rc = entry_get_stream(r, &c);
    if (rc == 0) assert_true(text_equal(c.config, TEXT("{}")) && c.pedantic);
    return rc;
}

static void put_purge(struct writer *w)
{
    entry_put_purge(w, &(struct command_purge){1, TEXT("x.>"), 9, 3});
}
static int get_purge(struct reader r)
{
    struct command_purge c;
    int rc = entry_get_purge(r, &c);
    if (rc == 0) assert_true(c.below == 9 && c.keep == 3);
    return rc;
}

static void put_deliver(struct writer *w)
{
    struct command_deliver c = {.stream = 1, .consumer = 2, .target = 3, .request = 4};
    c.expect_delivered = 4;
    c.skip_to = 70001;
    c.fresh_count = 4;
    c.again_count = 1;
    entry_put_deliver(w, &c, fresh, again);
}
static int get_deliver(struct reader r)
{
    struct command_deliver c;
    stream_seq last = 0;
    int rc = entry_get_deliver(r, &c);
    if (rc != 0) return rc;
    assert_int_equal(c.fresh_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(entry_next_seq(&c.fresh, &last), fresh[i]);
    assert_int_equal(entry_next_seq(&c.fresh, &last), 0);
    assert_int_equal(c.skip_to, 70001);
    return 0;
}

static void put_ack(struct writer *w)
{
    struct command_ack c = {1, 2, ACK_TERM, 0, TEXT("bad"), {0}, 4};
    entry_put_ack(w, &c, fresh);
}
static int get_ack(struct reader r)
{
    struct command_ack c;
    int rc = entry_get_ack(r, &c);
    if (rc == 0) assert_true(c.kind == ACK_TERM && text_equal(c.reason, TEXT("bad")));
    return rc;
}

static void put_consumer(struct writer *w)
{
    entry_put_consumer(w, &(struct command_consumer){1, CONSUMER_UPDATE, TEXT("{}"), true, 7});
}
static int get_consumer(struct reader r)
{
    struct command_consumer c;
    int rc = entry_get_consumer(r, &c);
    if (rc == 0) assert_true(c.action == CONSUMER_UPDATE && c.deliver_interest && c.seen == 7);
    return rc;
}

static void put_limits(struct writer *w)
{
    struct command_account_limits c = {TEXT("A"), {1, 2, 3, 4, 5, 6, 7, true}};
    entry_put_account_limits(w, &c);
}
static int get_limits(struct reader r)
{
    struct command_account_limits c;
    int rc = entry_get_account_limits(r, &c);
    if (rc == 0) assert_true(c.limits.max_ack_pending == 7 && c.limits.max_bytes_required);
    return rc;
}

static const struct codec {
    uint8_t type;
    void (*put)(struct writer *w);
    int (*get)(struct reader r);
} codecs[] = {
    {COMMAND_PUBLISH, put_publish, get_publish},
    {COMMAND_STREAM_UPDATE, put_stream, get_stream},
    {COMMAND_STREAM_PURGE, put_purge, get_purge},
    {COMMAND_DELIVER, put_deliver, get_deliver},
    {COMMAND_ACK, put_ack, get_ack},
    {COMMAND_CONSUMER_CREATE, put_consumer, get_consumer},
    {COMMAND_ACCOUNT_LIMITS, put_limits, get_limits},
};

static void commands_come_back_as_they_were(void **state)
{
    (void)state;
    for (const struct codec *c = codecs; c < ARRAY_END(codecs); c++) {
        struct writer w;
        writer_init(&w, 0);
        c->put(&w);
        struct reader r = reader_of(w.base, w.bytes);
        assert_int_equal(reader_u32(&r), w.bytes - 4);
        assert_int_equal(reader_u8(&r), c->type);
        assert_int_equal(c->get(r), 0);
        writer_free(&w);
    }
}

static void a_command_cut_anywhere_is_malformed(void **state)
{
    (void)state;
    for (const struct codec *c = codecs; c < ARRAY_END(codecs); c++) {
        struct writer w;
        writer_init(&w, 0);
        c->put(&w);
        for (size_t bytes = 5; bytes < w.bytes; bytes++)
            assert_int_equal(c->get(reader_of(w.base + 5, bytes - 5)), E_MALFORMED);
        writer_u8(&w, 0);
        assert_int_equal(c->get(reader_of(w.base + 5, w.bytes - 5)), E_MALFORMED);
        writer_free(&w);
    }
}

/* An ascending list is what apply relies on. */
static void a_list_that_does_not_ascend_is_malformed(void **state)
{
    (void)state;
    struct writer w;
    struct command_ack c;
    writer_init(&w, 0);
    put_ack(&w);
    struct reader good = reader_of(w.base + 5, w.bytes - 5);
    assert_int_equal(entry_get_ack(good, &c), 0);
    size_t at = (size_t)(c.seqs.at - w.base);
    w.base[at + 1] = 0; /* a distance of 0 */
    assert_int_equal(entry_get_ack(good, &c), E_MALFORMED);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_come_back_as_they_were),
        cmocka_unit_test(a_command_cut_anywhere_is_malformed),
        cmocka_unit_test(a_list_that_does_not_ascend_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
