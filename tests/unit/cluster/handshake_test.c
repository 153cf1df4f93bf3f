/* handshake_test.c - who is let in, row by row; greetings against cuts and garbage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/handshake.h"
#include "store/base/err.h"

static struct hello greeting(const char *name, node_id id, uint64_t incarnation, uint64_t boots)
{
    return (struct hello){
        .kind = HELLO_GREET,
        .id = id,
        .incarnation = incarnation,
        .boots = boots,
        .cluster = TEXT("c1"),
        .name = text_of(name),
        .user = TEXT("u"),
        .password = TEXT("p"),
        .client_urls = TEXT("127.0.0.1:4222"),
    };
}

#define HOUR_NS (3600 * NS_PER_S)
/* clang-format off */
static const struct judge_row {
    const char *what, *name;
    node_id id;
    uint64_t incarnation, boots;
    struct handshake_known known; /* id, incarnation, boots, up, gone since */
    enum hello_reason refuse;
    bool replace, fenced;
} judge_rows[] = {
    /* we are n1, id 1, incarnation 10, boots 5 */
    {"a stranger",                     "n2", 2, 10, 1, {0},                        REASON_NONE,       false, false},
    {"ourselves",                      "n1", 1, 10, 5, {0},                        REASON_SELF,       false, false},
    {"an older start of ours",         "n1", 1, 10, 4, {0},                        REASON_FENCED,     false, false},
    {"a later start of ours",          "n1", 1, 10, 6, {0},                        REASON_NAME_TAKEN, false, true},
    {"our name on a newer disk",       "n1", 9, 11, 1, {0},                        REASON_NAME_TAKEN, false, true},
    {"our name on an older disk",      "n1", 9, 9,  1, {0},                        REASON_FENCED,     false, false},
    {"the same process again",         "n2", 2, 10, 1, {2, 10, 1, true, 0},        REASON_NONE,       false, false},
    {"its next start, while up",       "n2", 2, 10, 2, {2, 10, 1, true, 0},        REASON_NONE,       true,  false},
    {"its next start, after it went",  "n2", 2, 10, 2, {2, 10, 1, false, 0},       REASON_NONE,       false, false},
    {"its start before",               "n2", 2, 10, 1, {2, 10, 2, true, 0},        REASON_FENCED,     false, false},
    {"its start before, much later",   "n2", 2, 10, 1, {2, 10, 2, false, HOUR_NS}, REASON_FENCED,     false, false},
    {"another disk while it is up",    "n2", 3, 11, 1, {2, 10, 1, true, 0},        REASON_NAME_TAKEN, false, false},
    {"an emptied disk after it went",  "n2", 3, 11, 1, {2, 10, 1, false, 0},       REASON_NONE,       false, false},
    {"the old disk after the new one", "n2", 2, 10, 1, {3, 11, 1, false, 0},       REASON_FENCED,     false, false},
    {"a clock set back, much later",   "n2", 3, 9,  1, {2, 10, 1, false, HOUR_NS}, REASON_NONE,       false, false},
};
/* clang-format on */

static void peers_are_judged(void **state)
{
    (void)state;
    struct hello self = greeting("n1", 1, 10, 5);
    for (const struct judge_row *r = judge_rows; r < ARRAY_END(judge_rows); r++) {
        struct hello h = greeting(r->name, r->id, r->incarnation, r->boots);
        struct handshake_verdict v = handshake_judge(&self, &r->known, &h);
        if (v.refuse != r->refuse || v.replace != r->replace || v.fenced != r->fenced)
            fail_msg("%s: %s, replace %d, fenced %d", r->what, handshake_reason_text(v.refuse),
                     v.replace, v.fenced);
    }
}

static void secrets_and_cluster_names_must_be_equal(void **state)
{
    (void)state;
    const struct {
        struct text cluster, user, password, target;
        enum hello_reason refuse;
    } rows[] = {
        {TEXT("c1"), TEXT("u"), TEXT("p"), TEXT(""), REASON_NONE},
        {TEXT("c1"), TEXT("u"), TEXT("p"), TEXT("n1"), REASON_NONE},
        {TEXT("c1"), TEXT("u"), TEXT("p"), TEXT("n3"), REASON_OTHER_NODE},
        {TEXT("c2"), TEXT("u"), TEXT("p"), TEXT(""), REASON_CLUSTER},
        {TEXT("c1"), TEXT("v"), TEXT("p"), TEXT(""), REASON_AUTH},
        {TEXT("c1"), TEXT("u"), TEXT("q"), TEXT(""), REASON_AUTH},
        {TEXT("c1"), TEXT("u"), TEXT("pp"), TEXT(""), REASON_AUTH},
        {TEXT("c1"), TEXT("u"), TEXT(""), TEXT(""), REASON_AUTH},
        {TEXT("c2"), TEXT("u"), TEXT(""), TEXT(""),
         REASON_AUTH}, /* told nothing about the cluster */
    };
    struct hello self = greeting("n1", 1, 10, 5);
    const struct handshake_known nobody = {0};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct hello h = greeting("n2", 2, 10, 1);
        h.cluster = rows[i].cluster;
        h.user = rows[i].user;
        h.password = rows[i].password;
        h.target = rows[i].target;
        assert_int_equal(handshake_judge(&self, &nobody, &h).refuse, rows[i].refuse);
    }
}

static struct slice encode(const struct hello *h)
{
    struct writer w;
    writer_init(&w, 256);
    handshake_encode(&w, h);
    return writer_take(&w);
}

static void greetings_come_back_and_cuts_do_not(void **state)
{
    struct hello h = greeting("n2", 2, 10, 1), got;
    (void)state;
    h.link = HELLO_DATA;
    h.session = 77;
    h.target = TEXT("n1");
    struct slice body = encode(&h);
    assert_int_equal(handshake_decode(body, &got), 0);
    assert_true(text_equal(got.name, h.name) && text_equal(got.target, h.target));
    assert_int_equal(got.session, 77);
    assert_int_equal(got.link, HELLO_DATA);
    for (size_t bytes = 0; bytes < body.bytes; bytes++) {
        struct slice cut = slice_copy(body.at, bytes); /* so that a read beyond is seen */
        assert_int_equal(handshake_decode(cut, &got), E_MALFORMED);
        slice_release(&cut);
    }
    slice_release(&body);
}

static void flipped_greetings_are_decoded_within_bounds(void **state)
{
    struct hello h = greeting("n2", 2, 10, 1), got;
    (void)state;
    struct slice body = encode(&h);
    for (size_t bit = 0; bit < body.bytes * 8; bit++) {
        struct slice flipped = slice_copy(body.at, body.bytes);
        flipped.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = handshake_decode(flipped, &got);
        if (rc == 0 && got.kind == HELLO_GREET)
            assert_true(got.name.bytes + got.user.bytes <= body.bytes);
        slice_release(&flipped);
    }
    slice_release(&body);
}

static void names_with_a_zero_or_too_long_are_malformed(void **state)
{
    struct hello h = greeting("n2", 2, 10, 1), got;
    char long_name[300];
    (void)state;
    memset(long_name, 'x', sizeof long_name);
    const struct text names[] = {{"a\0b", 3}, {long_name, 256}, {"", 0}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        h.name = names[i];
        struct slice body = encode(&h);
        assert_int_equal(handshake_decode(body, &got), E_MALFORMED);
        slice_release(&body);
    }
}

static void a_refusal_of_another_version_can_be_read(void **state)
{
    struct hello h = {.kind = HELLO_REFUSE, .reason = REASON_VERSION}, got;
    (void)state;
    struct slice body = encode(&h);
    body.at[4] = 99;
    assert_int_equal(handshake_decode(body, &got), E_VERSION);
    assert_int_equal(got.kind, HELLO_REFUSE);
    assert_int_equal(got.reason, REASON_VERSION);
    slice_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_are_judged),
        cmocka_unit_test(secrets_and_cluster_names_must_be_equal),
        cmocka_unit_test(greetings_come_back_and_cuts_do_not),
        cmocka_unit_test(flipped_greetings_are_decoded_within_bounds),
        cmocka_unit_test(names_with_a_zero_or_too_long_are_malformed),
        cmocka_unit_test(a_refusal_of_another_version_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
