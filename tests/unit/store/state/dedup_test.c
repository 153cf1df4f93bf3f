/* Ids that share their map key: what is found must not depend on a restart in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "store/base/writer.h"
#include "store/state/dedup.h"

static void put(struct writer *w, uint64_t high, uint64_t low, stream_seq seq, int64_t time_ns)
{
    writer_u64(w, high);
    writer_u64(w, low);
    writer_u64(w, seq);
    writer_i64(w, time_ns);
}

/* Both loaded from one row: before and after the older of two such ids has left the window. */
static void an_id_is_found_alike_with_and_without_a_restart(void **state)
{
    (void)state;
    struct text id = TEXT("an id");
    XXH128_hash_t hash = XXH3_128bits(id.at, id.bytes);
    struct writer w;
    writer_init(&w, 0);
    writer_u16(&w, 2);
    put(&w, ~hash.high64, hash.low64, 1, 100);
    put(&w, hash.high64, hash.low64, 2, 200);
    struct text row = {.at = (const char *)w.base, .bytes = w.bytes};
    struct dedup runs, restarted;
    dedup_init(&runs);
    dedup_init(&restarted);
    dedup_load_head(&runs, 0);
    assert_int_equal(dedup_load(&runs, 0, row), 0);
    dedup_expire(&runs, 150);
    dedup_load_head(&restarted, 1);
    assert_int_equal(dedup_load(&restarted, 0, row), 0);
    assert_int_equal(dedup_find(&runs, id), 2);
    assert_int_equal(dedup_find(&restarted, id), 2);
    dedup_free(&runs);
    dedup_free(&restarted);
    writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_found_alike_with_and_without_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
