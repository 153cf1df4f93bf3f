#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/auth/throttle.h"

static void failures_of_one_address_make_its_answers_wait(void **state)
{
    (void)state;
    static struct throttle t;
    struct mono now = {.ns = 1000 * NS_PER_S};
    throttle_init(&t, 1);
    for (size_t i = 0; i < THROTTLE_FREE; i++)
        throttle_failed(&t, TEXT("10.0.0.1:1"), now);
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.1:2"), now), 0);
    throttle_failed(&t, TEXT("10.0.0.1:3"), now);
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.1:4"), now), THROTTLE_STEP_NS);
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.2:4"), now), 0);
    for (size_t i = 0; i < 1000; i++)
        throttle_failed(&t, TEXT("10.0.0.1:5"), now);
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.1:4"), now), THROTTLE_DELAY_NS_MAX);
    now.ns += THROTTLE_FORGET_NS + 1;
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.1:4"), now), 0);
    throttle_failed(&t, TEXT("10.0.0.1:6"), now);
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.0.0.1:4"), now), 0);
}

static void many_addresses_take_no_more_memory(void **state)
{
    (void)state;
    static struct throttle t;
    struct mono now = {.ns = 1000 * NS_PER_S};
    throttle_init(&t, 1);
    for (unsigned i = 0; i < 100000; i++) {
        char address[32];
        int n =
            snprintf(address, sizeof address, "10.%u.%u.%u:1", i >> 16, (i >> 8) & 255, i & 255);
        now.ns++;
        throttle_failed(&t, (struct text){.at = address, .bytes = (size_t)n}, now);
    }
    assert_int_equal(throttle_delay_ns(&t, TEXT("10.1.134.159:1"), now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_of_one_address_make_its_answers_wait),
        cmocka_unit_test(many_addresses_take_no_more_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
