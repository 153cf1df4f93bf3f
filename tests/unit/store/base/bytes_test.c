/* bytes_test.c - slices, writers, readers, lists, pools: what holds bytes and objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/base/list.h"
#include "store/base/pool.h"
#include "store/base/reader.h"
#include "store/base/slice.h"
#include "store/base/stats.h"
#include "store/base/writer.h"

static void a_slice_lives_as_long_as_its_last_reference(void **state)
{
    (void)state;
    struct slice all = slice_copy("hello world", 11);
    struct slice part = slice_part(all, 6, 5);
    slice_release(&all);
    assert_null(all.chunk);
    assert_int_equal(part.chunk->refs, 1);
    assert_memory_equal(part.at, "world", 5);
    slice_release(&part);
    slice_release(&part);
}

static const uint64_t varints[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};

static void what_a_writer_wrote_a_reader_reads(void **state)
{
    (void)state;
    struct writer w;
    writer_init(&w, 1);
    writer_u8(&w, 1);
    writer_u16(&w, 0x1234);
    writer_u32(&w, 5);
    writer_u64(&w, UINT64_MAX);
    writer_i64(&w, -7);
    for (size_t i = 0; i < ARRAY_COUNT(varints); i++)
        writer_varint(&w, varints[i]);
    writer_text16(&w, TEXT("abc"));
    writer_text32(&w, TEXT(""));
    struct slice s = writer_take(&w);
    struct reader r = reader_of(s.at, s.bytes);
    assert_int_equal(s.at[1], 0x34); /* little-endian */
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 0x1234);
    assert_int_equal(reader_u32(&r), 5);
    assert_true(reader_u64(&r) == UINT64_MAX);
    assert_int_equal(reader_i64(&r), -7);
    for (size_t i = 0; i < ARRAY_COUNT(varints); i++)
        assert_true(reader_varint(&r) == varints[i]);
    assert_true(text_equal(reader_text16(&r), TEXT("abc")));
    assert_int_equal(reader_text32(&r).bytes, 0);
    assert_false(r.bad);
    assert_int_equal(reader_left(&r), 0);
    reader_u8(&r);
    assert_true(r.bad);
    slice_release(&s);
    writer_free(&w);
}

static void a_reader_never_leaves_its_range(void **state)
{
    (void)state;
    const uint8_t bytes[] = {9,    0,    'a',  'b',  0xff, 0xff, 0xff,
                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct reader r = reader_of(bytes, 4);
    assert_int_equal(reader_text16(&r).bytes, 0);
    assert_true(r.bad);
    assert_int_equal(reader_u8(&r), 0);
    r = reader_of(bytes + 4, 10);
    assert_int_equal(reader_varint(&r), 0); /* longer than ten bytes */
    assert_true(r.bad);
    r = reader_of(bytes, 4);
    struct reader sub = reader_sub(&r, 5);
    assert_true(sub.bad);
    assert_int_equal(reader_left(&sub), 0);
}

static void a_writer_over_memory_of_others_stays_there(void **state)
{
    (void)state;
    uint8_t room[8];
    struct writer w = writer_over(room, sizeof room);
    writer_u64(&w, 1);
    assert_ptr_equal(w.base, room);
    assert_int_equal(w.bytes, 8);
}

struct item {
    struct list_node node;
    int value;
};

static void a_list_keeps_its_order_when_spliced(void **state)
{
    (void)state;
    struct list a, b;
    struct item items[4] = {{{0}, 0}, {{0}, 1}, {{0}, 2}, {{0}, 3}};
    list_init(&a);
    list_init(&b);
    list_push_back(&a, &items[1].node);
    list_push_front(&a, &items[0].node);
    list_push_back(&b, &items[2].node);
    list_push_back(&b, &items[3].node);
    list_splice(&a, &b);
    assert_true(list_empty(&b));
    list_remove(&items[2].node);
    list_remove(&items[2].node);
    assert_false(list_linked(&items[2].node));
    int expected[] = {0, 1, 3}, at = 0;
    LIST_FOREACH (n, &a)
        assert_int_equal(CONTAINER_OF(n, struct item, node)->value, expected[at++]);
    assert_int_equal(at, 3);
    assert_ptr_equal(list_pop_front(&a), &items[0].node);
}

static void a_pool_gives_zeroed_objects_and_counts_them(void **state)
{
    (void)state;
    struct pool p;
    pool_init(&p, 40, 1);
    char *a = pool_take(&p), *b = pool_take(&p);
    memset(a, 1, 40);
    pool_give(&p, a);
    pool_give(&p, b);
    char *c = pool_take(&p);
    for (int i = 0; i < 40; i++)
        assert_int_equal(c[i], 0);
    assert_int_equal(p.used, 1);
    assert_int_equal(p.used_max, 2);
    pool_give(&p, c);
    pool_free(&p);
}

static void quantiles_are_off_by_an_eighth_at_most(void **state)
{
    (void)state;
    static struct stats_histogram h;
    assert_int_equal(stats_quantile(&h, 500), 0);
    for (uint64_t i = 1; i <= 100000; i++)
        stats_add(&h, i);
    static const unsigned per_mille[] = {1, 10, 250, 500, 900, 990, 999, 1000};
    for (size_t i = 0; i < ARRAY_COUNT(per_mille); i++) {
        uint64_t real = per_mille[i] * 100, got = stats_quantile(&h, per_mille[i]);
        assert_true(got >= real);
        assert_true(got <= real + real / 8 + 1);
    }
    stats_add(&h, UINT64_MAX);
    assert_true(stats_quantile(&h, 1000) == UINT64_MAX);
    assert_int_equal(stats_at_most(&h, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_lives_as_long_as_its_last_reference),
        cmocka_unit_test(what_a_writer_wrote_a_reader_reads),
        cmocka_unit_test(a_reader_never_leaves_its_range),
        cmocka_unit_test(a_writer_over_memory_of_others_stays_there),
        cmocka_unit_test(a_list_keeps_its_order_when_spliced),
        cmocka_unit_test(a_pool_gives_zeroed_objects_and_counts_them),
        cmocka_unit_test(quantiles_are_off_by_an_eighth_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
