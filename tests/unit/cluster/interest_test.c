/* interest_test.c - interest and messages between two nodes over TCP on 127.0.0.1. */
#include "tests/lib/cluster_world.h"

#include <stdio.h>

#include "cluster/interest.h"
#include "cluster/peer.h"
#include "cluster/relay.h"
#include "store/base/writer.h"

/* ---- interest, relay ---- */

static void tell_rows(void *ctx, struct interest *i)
{
    struct member *m = ctx;
    for (int k = 0; k < 3000; k++) {
        char subject[64];
        snprintf(subject, sizeof subject, "%s.some.rather.longer.subject.%d", m->name, k);
        const struct interest_row row = {TEXT("$G"), text_of(subject), TEXT("q"), 1};
        interest_tell(i, &row);
    }
}
static void on_row(void *ctx, node_id peer, const struct interest_row *row)
{
    struct member *m = ctx;
    (void)peer;
    m->rows++;
    m->last_count = row->count;
    snprintf(m->last_row, sizeof m->last_row, "%.*s", (int)row->subject.bytes, row->subject.at);
}
static void on_forget(void *ctx, node_id peer)
{
    (void)peer;
    ((struct member *)ctx)->forgotten++;
}
static void listen_interest(struct world *w, int at)
{
    const struct interest_options o = {.env = w->env,
                                       .cluster = w->m[at].c,
                                       .each = tell_rows,
                                       .row = on_row,
                                       .forget = on_forget,
                                       .ctx = &w->m[at]};
    w->m[at].interest = interest_new(&o);
}
static bool rows_there(struct world *w)
{
    return w->m[0].rows >= 3000 && w->m[1].rows >= 3000;
}
static bool change_there(struct world *w)
{
    return w->m[1].rows == 3001;
}

static void a_peer_that_comes_up_gets_all_interest_then_changes(void **state)
{
    struct world *w = *state;
    struct start s[2] = {world_plain[0], world_plain[1]};
    s[0].routes = 2;
    s[1].routes = 1;
    for (int i = 0; i < 2; i++) {
        world_start(w, i, &s[i]);
        listen_interest(w, i);
    }
    REACH(w, rows_there);
    assert_int_equal(w->m[1].rows, 3000);
    assert_string_equal(w->m[1].last_row, "n1.some.rather.longer.subject.2999");
    const struct interest_row row = {TEXT("$G"), TEXT("news.>"), TEXT(""), 7};
    interest_tell(w->m[0].interest, &row);
    REACH(w, change_there);
    assert_string_equal(w->m[1].last_row, "news.>");
    assert_int_equal(w->m[1].last_count, 7);
}

static void on_message(void *ctx, node_id from, const struct relay_message *m)
{
    struct member *me = ctx;
    me->messages++;
    snprintf(me->message, sizeof me->message, "%d %.*s %.*s %.*s %.*s %.*s %.*s %d %zu %.*s",
             (int)from, (int)m->account.bytes, m->account.at, (int)m->subject.bytes, m->subject.at,
             (int)m->reply.bytes, m->reply.at, (int)m->deliver.bytes, m->deliver.at,
             (int)m->header.bytes, m->header.at, (int)m->body.bytes, m->body.at, m->plain,
             m->queue_count, (int)(m->queue_count > 0 ? m->queues[0].bytes : 0),
             m->queue_count > 0 ? m->queues[0].at : "");
}
static bool three_messages(struct world *w)
{
    return w->m[1].messages == 3;
}

static void a_message_arrives_with_its_targets(void **state)
{
    struct world *w = *state;
    struct text queues[RELAY_QUEUES_MAX + 1];
    char names[RELAY_QUEUES_MAX + 1][8];
    world_start_pair(w, 2, 1);
    relay_on(w->m[1].c, on_message, &w->m[1]);
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++) {
        snprintf(names[i], sizeof names[i], "q%zu", i);
        queues[i] = text_of(names[i]);
    }
    struct slice owner = slice_copy("HEADbody", 8);
    struct relay_message m = {.account = TEXT("$G"),
                              .subject = TEXT("a.b"),
                              .reply = TEXT("_INBOX.1"),
                              .deliver = TEXT("d"),
                              .header = {(const char *)owner.at, 4},
                              .body = {(const char *)owner.at + 4, 4},
                              .owner = owner,
                              .plain = true,
                              .queues = queues,
                              .queue_count = 1};
    relay_send(w->m[0].c, 12, &m);
    slice_release(&owner);
    m.owner = owner;
    m.header = m.body = m.reply = m.deliver = TEXT("");
    m.queue_count = ARRAY_COUNT(queues); /* one more than a frame takes */
    relay_send(w->m[0].c, 12, &m);
    REACH(w, three_messages);
    assert_string_equal(w->m[1].message, "11 $G a.b     0 1 q64");
}

/* A relayed message, written by hand: it names more interest than was told. */
static void send_early(struct world *w, uint64_t after_interest, const char *subject)
{
    struct writer b;
    writer_init(&b, 64);
    writer_u8(&b, 1);
    writer_u8(&b, 0);
    writer_u32(&b, 0);
    writer_u64(&b, after_interest);
    const struct text texts[] = {TEXT("$G"), text_of(subject), TEXT(""), TEXT("")};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        writer_text16(&b, texts[i]);
    struct slice body = writer_take(&b);
    cluster_send(w->m[0].c, 12, CLUSTER_DATA, FRAME_RELAY, &body, 1);
}
static void tell_nothing(void *ctx, struct interest *i)
{
    (void)ctx;
    (void)i;
}

static void a_message_waits_for_the_interest_that_it_depends_on(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    relay_on(w->m[1].c, on_message, &w->m[1]);
    const struct interest_options o = {.env = w->env,
                                       .cluster = w->m[0].c,
                                       .each = tell_nothing,
                                       .row = on_row,
                                       .forget = on_forget,
                                       .ctx = &w->m[0]};
    w->m[0].interest = interest_new(&o); /* the peer is up: frame 1 */
    send_early(w, 2, "early");
    send_early(w, 1, "behind");
    send_early(w, 0, "last");
    world_run(w, world_never, 100 * NS_PER_MS);
    assert_int_equal(w->m[1].messages, 0);
    const struct interest_row row = {TEXT("$G"), TEXT("_INBOX.1"), TEXT(""), 1};
    interest_tell(w->m[0].interest, &row);
    REACH(w, three_messages);
    assert_non_null(strstr(w->m[1].message, " last "));
}

static uint64_t seen_after;
static void on_after(void *ctx, node_id from, const struct relay_message *m)
{
    (void)from;
    seen_after = m->after_interest;
    ((struct member *)ctx)->messages += 3;
}

static void a_message_names_the_interest_of_its_own_turn(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    relay_on(w->m[1].c, on_after, &w->m[1]);
    listen_interest(w, 0);
    const struct interest_row row = {TEXT("$G"), TEXT("_INBOX.1"), TEXT(""), 1};
    const struct relay_message m = {.account = TEXT("$G"), .subject = TEXT("a"), .plain = true};
    relay_send(w->m[0].c, 12, &m);
    REACH(w, three_messages);
    uint64_t before = seen_after;
    w->m[1].messages = 0;
    interest_tell(w->m[0].interest, &row);
    relay_send(w->m[0].c, 12, &m);
    REACH(w, three_messages);
    assert_int_equal(seen_after, before + 1);
}

static bool link_ended(struct world *w)
{
    return w->m[0].downs > 0 && w->m[1].downs > 0;
}

/* It would have nothing to wait behind, and two of them no place to wait. */
static void a_message_on_the_control_link_ends_the_peer(void **state)
{
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    relay_on(w->m[1].c, on_message, &w->m[1]);
    struct peer *p = CONTAINER_OF(cluster_peer(w->m[0].c, 12), struct peer, pub);
    struct link *data = p->links[HELLO_DATA];
    p->links[HELLO_DATA] = p->links[HELLO_CONTROL];
    send_early(w, UINT64_MAX, "one");
    send_early(w, UINT64_MAX, "two");
    link_flush(p->links[HELLO_CONTROL]);
    p->links[HELLO_DATA] = data;
    REACH(w, link_ended);
    assert_int_equal(w->m[1].messages, 0);
}

static bool last_row_there(struct world *w)
{
    return w->m[1].rows > 0;
}

static void a_row_with_a_zero_in_a_name_is_dropped(void **state)
{
    static const struct text rows[][3] = {
        {TEXT("$G\0x"), TEXT("a"), TEXT("q")},
        {TEXT("$G"), TEXT("a\0b"), TEXT("q")},
        {TEXT("$G"), TEXT("a"), TEXT("q\0")},
        {TEXT("$G"), TEXT("last"), TEXT("q")},
    };
    struct world *w = *state;
    world_start_pair(w, 2, 1);
    listen_interest(w, 1);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct writer b;
        writer_init(&b, 64);
        writer_u8(&b, 0);
        for (size_t k = 0; k < ARRAY_COUNT(rows[i]); k++)
            writer_text16(&b, rows[i][k]);
        writer_u32(&b, 1);
        struct slice body = writer_take(&b);
        cluster_send(w->m[0].c, 12, CLUSTER_CONTROL, FRAME_INTEREST, &body, 1);
    }
    REACH(w, last_row_there);
    assert_int_equal(w->m[1].rows, 1);
    assert_string_equal(w->m[1].last_row, "last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_peer_that_comes_up_gets_all_interest_then_changes),
        WORLD_TEST(a_message_arrives_with_its_targets),
        WORLD_TEST(a_message_waits_for_the_interest_that_it_depends_on),
        WORLD_TEST(a_message_names_the_interest_of_its_own_turn),
        WORLD_TEST(a_message_on_the_control_link_ends_the_peer),
        WORLD_TEST(a_row_with_a_zero_in_a_name_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
