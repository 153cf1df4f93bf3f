/* map_test.c - the hash map against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "store/base/check.h"
#include "store/base/map.h"

#define THINGS 500

struct thing {
    char name[16];
    bool in;
};
static struct thing things[THINGS];

static struct text thing_key(const void *value)
{
    return text_of(((const struct thing *)value)->name);
}

static void check_all(const struct map *m)
{
    size_t count = 0;
    for (struct thing *t = things; t < ARRAY_END(things); t++) {
        assert_ptr_equal(map_get(m, text_of(t->name)), t->in ? t : NULL);
        count += t->in;
    }
    assert_int_equal(m->count, count);
}

static void random_puts_and_takes_find_what_is_in(void **state)
{
    (void)state;
    struct map m;
    unsigned seed = 7;
    map_init(&m, 42, thing_key);
    assert_null(map_get(&m, TEXT("x")));
    assert_null(map_take(&m, TEXT("x")));
    for (size_t i = 0; i < THINGS; i++)
        snprintf(things[i].name, sizeof things[i].name, "k%zu", i);
    for (int step = 0; step < 20000; step++) {
        struct thing *t = &things[(unsigned)rand_r(&seed) % THINGS];
        if (t->in)
            assert_ptr_equal(map_take(&m, text_of(t->name)), t);
        else
            map_put(&m, t);
        t->in = !t->in;
        if (step % 1000 == 0) check_all(&m);
    }
    check_all(&m);
    size_t at = 0, seen = 0;
    for (struct thing *t; (t = map_next(&m, &at)) != NULL; seen++)
        assert_true(t->in);
    assert_int_equal(seen, m.count);
    map_free(&m);
}

static void u64_keys_are_found_by_hash_alone(void **state)
{
    (void)state;
    struct map m;
    static int values[1000];
    map_init(&m, 0, NULL);
    for (uint64_t i = 0; i < 1000; i++)
        map_put_u64(&m, i << 32, &values[i]);
    for (uint64_t i = 0; i < 1000; i += 2)
        assert_ptr_equal(map_take_u64(&m, i << 32), &values[i]);
    for (uint64_t i = 0; i < 1000; i++)
        assert_ptr_equal(map_get_u64(&m, i << 32), i % 2 ? &values[i] : NULL);
    assert_int_equal(m.count, 500);
    map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_puts_and_takes_find_what_is_in),
        cmocka_unit_test(u64_keys_are_found_by_hash_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
