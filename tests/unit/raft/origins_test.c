/* origins_test.c - which batch of an origin may go into the log next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/origins.h"
#include "store/base/check.h"

struct origins_case {
    const char *what;
    node_id node;
    uint64_t incarnation, number, first;
    bool taken;
};
/* In order: each goes on from the ones before. */
static const struct origins_case cases[] = {
    {"not the oldest of an unknown origin", 1, 5, 8, 7, false},
    {"the oldest of an unknown origin", 1, 5, 7, 7, true},
    {"the next", 1, 5, 8, 7, true},
    {"a repeat", 1, 5, 8, 7, false},
    {"a gap", 1, 5, 10, 7, false},
    {"what an earlier term brought isn't missed", 1, 5, 12, 12, true},
    {"nor taken again", 1, 5, 9, 9, false},
    {"another origin counts for itself", 2, 5, 1, 1, true},
    {"a new process begins anew", 1, 6, 1, 1, true},
    {"the old one is gone", 1, 5, 13, 12, false},
    {"the new one goes on", 1, 6, 2, 1, true},
};

static void batches_are_taken_once_and_in_order(void **state)
{
    (void)state;
    struct origins o = {0};
    for (const struct origins_case *c = cases; c < ARRAY_END(cases); c++) {
        bool taken = origins_take(&o, c->node, c->incarnation, c->number, c->first);
        if (taken != c->taken) fail_msg("%s: %d", c->what, taken);
    }
    origins_clear(&o);
    assert_true(origins_take(&o, 1, 6, 2, 2)); /* a new term: its oldest again */
    origins_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(batches_are_taken_once_and_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
