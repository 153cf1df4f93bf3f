#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/err.h"
#include "store/block.h"

static const struct key_stream of = {.account = 3, .stream = 9};

static struct block_msg
msg_of(const char *subject, const char *header, const char *body, int64_t time)
{
    struct text s = text_of(subject), h = text_of(header), b = text_of(body);
    return (struct block_msg){.time_ns = time,
                              .header = h.at,
                              .body = b.at,
                              .subject = s.at,
                              .header_bytes = (uint32_t)h.bytes,
                              .body_bytes = (uint32_t)b.bytes,
                              .subject_hash = (uint32_t)(s.bytes * 7), /* collides on purpose */
                              .subject_bytes = (uint16_t)s.bytes};
}

static void check_msg(const struct block_view *v, uint32_t index, const struct block_msg *want)
{
    struct store_msg m;
    block_view_msg(v, index, &m);
    assert_int_equal(m.time_ns, want->time_ns);
    assert_true(text_equal(m.subject, (struct text){want->subject, want->subject_bytes}));
    assert_true(text_equal(m.header, (struct text){want->header, want->header_bytes}));
    assert_true(text_equal(m.body, (struct text){want->body, want->body_bytes}));
}

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    struct block_msg msgs[4] = {msg_of("a.b", "", "one", 10), msg_of("a.c", "NATS/1.0", "", 20),
                                msg_of("a.b", "", "", 30), msg_of("a.b.d", "h", "four", INT64_MIN)};
    struct block_encoder e = {0};
    struct text record = block_encode(&e, of, 77, msgs, 4);
    struct block_view v;
    assert_int_equal(block_decode(record, &v), 0);
    assert_int_equal(v.first, 77);
    assert_int_equal(v.last, 80);
    assert_int_equal(v.subjects, 3);
    assert_int_equal(v.of.stream, 9);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t index;
        assert_true(block_view_find(&v, 77 + i, &index));
        check_msg(&v, index, &msgs[i]);
    }
    uint32_t index;
    assert_false(block_view_find(&v, 76, &index));
    assert_false(block_view_find(&v, 81, &index));
    block_view_free(&v);
    block_encoder_free(&e);
}

static void holes_are_left_out_and_found_again(void **state)
{
    (void)state;
    static struct block_msg msgs[1000];
    for (uint32_t i = 0; i < 1000; i++) {
        msgs[i] = msg_of(i % 2 == 0 ? "x" : "yy", "", "body", i);
        msgs[i].dead = i % 3 == 1 || (i > 300 && i < 700);
    }
    struct block_encoder e = {0};
    struct text record = block_encode(&e, of, 5, msgs, 1000);
    struct block_view v;
    assert_int_equal(block_decode(record, &v), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t index;
        assert_int_equal(block_view_find(&v, 5 + i, &index), !msgs[i].dead);
        if (!msgs[i].dead) check_msg(&v, index, &msgs[i]);
    }
    block_view_free(&v);
    block_encoder_free(&e);
}

static void a_header_of_64_kib_keeps_its_length(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {65534, 65535, 65536, 100000};
    char *bytes = check_alloc(100000);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct block_msg m = msg_of("s", "", "tail", 1);
        m.header = bytes;
        m.header_bytes = sizes[i];
        struct block_encoder e = {0};
        struct block_view v;
        assert_int_equal(block_decode(block_encode(&e, of, 1, &m, 1), &v), 0);
        check_msg(&v, 0, &m);
        block_view_free(&v);
        block_encoder_free(&e);
    }
    free(bytes);
}

static void a_flipped_bit_or_a_cut_is_never_accepted(void **state)
{
    (void)state;
    struct block_msg msgs[3] = {msg_of("a.b", "", "one", 10), msg_of("a.c", "head", "two", 20),
                                msg_of("a.b", "", "three", 30)};
    msgs[1].dead = true;
    struct block_encoder e = {0};
    struct text record = block_encode(&e, of, 77, msgs, 3);
    struct block_view v;
    for (size_t bit = 0; bit < record.bytes * 8; bit++) {
        struct slice copy = slice_copy(record.at, record.bytes);
        copy.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct text t = {.at = (const char *)copy.at, .bytes = copy.bytes};
        if (block_decode(t, &v) == 0) fail_msg("bit %zu", bit);
        slice_release(&copy);
    }
    for (size_t bytes = 0; bytes < record.bytes; bytes++) {
        struct slice copy = slice_copy(record.at, bytes);
        struct text t = {.at = (const char *)copy.at, .bytes = bytes};
        assert_int_equal(block_decode(t, &v), E_CORRUPT);
        slice_release(&copy);
    }
    block_encoder_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(holes_are_left_out_and_found_again),
        cmocka_unit_test(a_header_of_64_kib_keeps_its_length),
        cmocka_unit_test(a_flipped_bit_or_a_cut_is_never_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
