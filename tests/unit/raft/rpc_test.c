/* rpc_test.c - messages between members: what goes out comes in, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/log.h"
#include "raft/members.h"
#include "raft/rpc.h"
#include "store/base/err.h"

static const struct rpc messages[] = {
    {.type = RPC_APPEND_RESULT, .term = 3, .index = 9, .rejected = 7},
    {.type = RPC_VOTE,
     .term = 4,
     .candidate = 2,
     .index = 8,
     .index_term = 3,
     .flags = RPC_PRE_VOTE},
    {.type = RPC_VOTE_RESULT, .term = 4, .flags = RPC_GRANTED},
    {.type = RPC_TIMEOUT_NOW, .term = 5, .index = 10, .index_term = 5},
    {.type = RPC_KEEPALIVE, .term = 6},
    {.type = RPC_KEEPALIVE_ECHO, .term = 6},
    {.type = RPC_READ_PROBE, .term = 6, .number = 77},
    {.type = RPC_READ_ANSWER, .term = 6, .number = 77, .flags = RPC_YES},
    {.type = RPC_READ_ASK, .number = 78},
    {.type = RPC_READ_INDEX, .number = 78, .index = 11},
};

static void small_messages_come_back_as_they_went(void **state)
{
    (void)state;
    for (const struct rpc *m = messages; m < ARRAY_END(messages); m++) {
        struct slice bytes = rpc_encode(m);
        struct rpc got;
        assert_int_equal(rpc_type(bytes), m->type);
        assert_int_equal(rpc_decode(bytes, &got), 0);
        assert_memory_equal(&got, m, sizeof got);
        slice_release(&bytes);
    }
}

static void cut_or_longer_messages_are_refused(void **state)
{
    (void)state;
    for (const struct rpc *m = messages; m < ARRAY_END(messages); m++) {
        struct slice bytes = rpc_encode(m);
        struct rpc got;
        size_t whole = bytes.bytes;
        for (bytes.bytes = 0; bytes.bytes < whole; bytes.bytes++) {
            assert_int_equal(rpc_decode(bytes, &got), E_MALFORMED);
        }
        bytes.bytes = whole + 1; /* the chunk has room for the longest */
        if (whole < bytes.chunk->bytes) assert_int_equal(rpc_decode(bytes, &got), E_MALFORMED);
        bytes.bytes = whole;
        bytes.at[0] = RPC_VERSION + 1;
        assert_int_equal(rpc_decode(bytes, &got), E_VERSION);
        slice_release(&bytes);
    }
}

struct entry_row {
    log_term term;
    uint8_t type;
    const char *payload;
};
struct append_case {
    const char *what;
    struct rpc_append head;
    struct entry_row entries[3];
    uint32_t extra; /* bytes behind the payloads */
    int rc;
};
/* clang-format off */
static const struct append_case append_cases[] = {
    {"two entries", {.term = 5, .prev = 9, .prev_term = 4, .commit = 10, .count = 2},
     {{4, LOG_COMMAND, "abc"}, {5, LOG_BARRIER, "12345678"}}, 0, 0},
    {"a heartbeat", {.term = 5, .prev = 9, .prev_term = 4, .commit = 9}, {{0}}, 0, 0},
    {"from the start", {.term = 1, .count = 1}, {{1, LOG_CHANGE, "x"}}, 0, 0},
    {"terms fall", {.term = 5, .prev = 9, .prev_term = 4, .count = 2},
     {{5, LOG_COMMAND, "a"}, {4, LOG_COMMAND, "b"}}, 0, E_MALFORMED},
    {"term above the leader's", {.term = 5, .prev = 9, .prev_term = 4, .count = 1},
     {{6, LOG_COMMAND, "a"}}, 0, E_MALFORMED},
    {"term below the one before", {.term = 5, .prev = 9, .prev_term = 4, .count = 1},
     {{3, LOG_COMMAND, "a"}}, 0, E_MALFORMED},
    {"no such type", {.term = 5, .prev = 9, .prev_term = 4, .count = 1}, {{5, 4, "a"}}, 0, E_MALFORMED},
    {"bytes left over", {.term = 5, .prev = 9, .prev_term = 4, .count = 1},
     {{5, LOG_COMMAND, "a"}}, 1, E_MALFORMED},
    {"prev without a term", {.term = 5, .prev = 9}, {{0}}, 0, E_MALFORMED},
    {"no term", {.prev = 0}, {{0}}, 0, E_MALFORMED},
};
/* clang-format on */

static struct slice append_bytes(const struct append_case *c)
{
    struct writer w;
    writer_init(&w, 256);
    rpc_append_head(&w, &c->head);
    for (uint32_t k = 0; k < c->head.count; k++) {
        const struct entry_row *e = &c->entries[k];
        rpc_entry_head(&w, e->term, e->type, (uint32_t)strlen(e->payload));
    }
    for (uint32_t k = 0; k < c->head.count; k++) {
        writer_put(&w, c->entries[k].payload, strlen(c->entries[k].payload));
    }
    for (uint32_t k = 0; k < c->extra; k++) {
        writer_u8(&w, 0);
    }
    return writer_take(&w);
}

static void only_what_a_leader_can_send_is_taken(void **state)
{
    (void)state;
    for (const struct append_case *c = append_cases; c < ARRAY_END(append_cases); c++) {
        struct slice bytes = append_bytes(c);
        struct rpc_append got;
        int rc = rpc_append_decode(bytes, &got);
        if (rc != c->rc) fail_msg("%s: %d", c->what, rc);
        for (uint32_t k = 0; rc == 0 && k < c->head.count; k++) {
            struct rpc_entry e = rpc_append_next(&got, bytes);
            assert_int_equal(e.term, c->entries[k].term);
            assert_int_equal(e.type, c->entries[k].type);
            assert_int_equal(e.payload.bytes, strlen(c->entries[k].payload));
            assert_memory_equal(e.payload.at, c->entries[k].payload, e.payload.bytes);
            slice_release(&e.payload);
        }
        size_t whole = bytes.bytes;
        for (bytes.bytes = 0; rc == 0 && bytes.bytes < whole; bytes.bytes++) {
            assert_int_not_equal(rpc_append_decode(bytes, &got), 0);
        }
        slice_release(&bytes);
    }
}

static void batch_names_its_leaders_term_and_how_far_it_is(void **state)
{
    (void)state;
    struct slice head = rpc_batch_head(6, 12), batch;
    struct slice message = slice_alloc(head.bytes + 3);
    memcpy(message.at, head.at, head.bytes);
    memcpy(message.at + head.bytes, "abc", 3);
    log_term term;
    uint64_t first;
    assert_int_equal(rpc_batch_decode(message, &term, &first, &batch), 0);
    assert_int_equal(term, 6);
    assert_int_equal(first, 12);
    assert_int_equal(batch.bytes, 3);
    assert_memory_equal(batch.at, "abc", 3);
    slice_release(&batch);
    head.bytes--;
    assert_int_equal(rpc_batch_decode(head, &term, &first, &batch), E_MALFORMED);
    slice_release(&head);
    slice_release(&message);
}

static void configuration_comes_back_and_a_damaged_one_is_refused(void **state)
{
    (void)state;
    static const struct conf c = {.index = 4,
                                  .count = 3,
                                  .members = {{.id = 11, .role = CORE_VOTER, .name = "a"},
                                              {.id = 12, .role = CORE_STANDBY, .name = ""},
                                              {.id = 13, .role = CORE_SPARE, .name = "c/d"}}};
    struct conf got;
    struct slice bytes = members_encode(&c);
    assert_int_equal(members_decode(bytes.at, bytes.bytes, 4, &got), 0);
    assert_memory_equal(&got, &c, sizeof got);
    assert_false(members_sole_voter(&got, 12));
    assert_true(members_sole_voter(&got, 11));
    for (size_t cut = 0; cut + 8 < bytes.bytes; cut++) { /* libraft pads to 8 */
        assert_int_equal(members_decode(bytes.at, cut, 4, &got), E_MALFORMED);
    }
    bytes.at[1] = CONF_MEMBERS_MAX + 1;
    assert_int_equal(members_decode(bytes.at, bytes.bytes, 4, &got), E_TOOBIG);
    bytes.at[1] = 3;
    size_t second = 1 + 8 + 8 + 16 + 1 + 1 + 1 + 1;
    bytes.at[second] = 11; /* an id twice */
    assert_int_equal(members_decode(bytes.at, bytes.bytes, 4, &got), E_MALFORMED);
    slice_release(&bytes);
}

static void a_term_without_a_next_is_malformed(void **state)
{
    (void)state;
    const log_term terms[] = {UINT64_MAX, UINT64_MAX / 2 + 1, UINT64_MAX / 2};
    for (size_t i = 0; i < ARRAY_COUNT(terms); i++) {
        int wanted = terms[i] > UINT64_MAX / 2 ? E_MALFORMED : 0;
        const struct rpc m = {.type = RPC_KEEPALIVE, .term = terms[i]};
        struct slice bytes = rpc_encode(&m);
        struct rpc out;
        assert_int_equal(rpc_decode(bytes, &out), wanted);
        slice_release(&bytes);
        struct rpc_append a = {.term = terms[i], .prev = 1, .prev_term = 1}, back;
        struct writer w;
        writer_init(&w, RPC_APPEND_HEAD_BYTES);
        rpc_append_head(&w, &a);
        bytes = writer_take(&w);
        assert_int_equal(rpc_append_decode(bytes, &back), wanted);
        slice_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_messages_come_back_as_they_went),
        cmocka_unit_test(cut_or_longer_messages_are_refused),
        cmocka_unit_test(only_what_a_leader_can_send_is_taken),
        cmocka_unit_test(batch_names_its_leaders_term_and_how_far_it_is),
        cmocka_unit_test(configuration_comes_back_and_a_damaged_one_is_refused),
        cmocka_unit_test(a_term_without_a_next_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
