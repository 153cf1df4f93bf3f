/* handles_test.c - payloads on their way past libraft. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/handles.h"

static void payload_is_found_by_its_handle(void **state)
{
    (void)state;
    struct handles h;
    uint8_t handle[3][HANDLE_BYTES];
    handles_init(&h);
    for (unsigned k = 0; k < 3; k++) {
        handles_stage(&h, 10 + k, slice_copy("abcdef" + k, 6 - k), handle[k]);
        assert_int_equal(handles_bytes(handle[k], HANDLE_BYTES), 6 - k);
    }
    struct slice s = handles_take(&h, handle[1], HANDLE_BYTES, 11);
    assert_int_equal(s.bytes, 5);
    assert_memory_equal(s.at, "bcdef", 5);
    slice_release(&s);
    handles_drop(&h); /* the core took only one: the others go */
    assert_int_equal(h.count, 0);
    handles_close(&h);
}

/* An entry that the core refused leaves nothing behind for the next one at its index. */
static void refused_payload_is_never_found_again(void **state)
{
    (void)state;
    struct handles h;
    uint8_t refused[HANDLE_BYTES], next[HANDLE_BYTES];
    handles_init(&h);
    handles_stage(&h, 10, slice_copy("old", 3), refused);
    handles_drop(&h);
    handles_stage(&h, 10, slice_copy("new", 3), next);
    assert_memory_not_equal(refused, next, HANDLE_BYTES);
    struct slice s = handles_take(&h, next, HANDLE_BYTES, 10);
    assert_memory_equal(s.at, "new", 3);
    slice_release(&s);
    handles_drop(&h);
    handles_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_is_found_by_its_handle),
        cmocka_unit_test(refused_payload_is_never_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
