/* frame_test.c - the reader against every split and against garbage; lanes against the reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cluster/cluster.h"
#include "cluster/frame.h"
#include "cluster/lanes.h"
#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/writer.h"

static struct slice pattern(size_t bytes, unsigned seed)
{
    struct slice s = slice_alloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        s.at[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    return s;
}

static void
put_frame(struct writer *w, uint8_t type, uint8_t lane, size_t body_bytes, unsigned seed)
{
    struct frame f = {.type = type, .lane = lane, .group = seed};
    struct slice body = pattern(body_bytes, seed);
    frame_header(writer_room(w, FRAME_HEADER_BYTES), &f, &body, 1);
    writer_put(w, body.at, body.bytes);
    slice_release(&body);
}

static void check_body(struct slice body, unsigned seed)
{
    struct slice want = pattern(body.bytes, seed);
    assert_memory_equal(body.at, want.at, body.bytes == 0 ? 0 : body.bytes);
    slice_release(&want);
}

/* Gives the bytes in steps; returns the frames seen, whose group is their seed. */
static size_t feed(struct frame_reader *r, const uint8_t *at, size_t bytes, size_t step)
{
    size_t frames = 0;
    for (size_t done = 0; done < bytes;) {
        size_t room = 0;
        void *to = frame_reader_room(r, &room);
        size_t n = bytes - done < step ? bytes - done : step;
        if (n > room) n = room;
        memcpy(to, at + done, n);
        frame_reader_took(r, n);
        done += n;
        struct frame f;
        int rc;
        while ((rc = frame_reader_next(r, &f)) == 1) {
            assert_int_equal(f.group, frames + 1);
            check_body(f.body, f.group);
            frames++;
        }
        assert_int_equal(rc, 0);
    }
    return frames;
}

static void frames_come_out_whole_whatever_the_splits(void **state)
{
    static const size_t bodies[] = {0, 1, 15, 300, 5000, 70000, 0, 66000, 3};
    struct writer w;
    (void)state;
    writer_init(&w, 1024);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++)
        put_frame(&w, 3, 2, bodies[i], (unsigned)i + 1);
    for (size_t step = 1; step < 40; step++) {
        struct frame_reader r;
        frame_reader_init(&r, LIMIT_FRAME_BYTES);
        assert_int_equal(feed(&r, w.base, w.bytes, step * step * step), ARRAY_COUNT(bodies));
        frame_reader_close(&r);
    }
    writer_free(&w);
}

static void small_frames_split_at_every_byte(void **state)
{
    struct writer w;
    (void)state;
    writer_init(&w, 1024);
    for (unsigned i = 1; i <= 4; i++)
        put_frame(&w, 1, 0, i * 9, i);
    for (size_t cut = 0; cut <= w.bytes; cut++) {
        struct frame_reader r;
        frame_reader_init(&r, 4096);
        size_t frames = 0;
        const size_t ends[] = {0, cut, w.bytes};
        for (size_t part = 0; part < 2; part++) {
            size_t bytes = ends[part + 1] - ends[part], room = 0;
            memcpy(frame_reader_room(&r, &room), w.base + ends[part], bytes);
            assert_true(room >= bytes);
            frame_reader_took(&r, bytes);
            struct frame f;
            while (frame_reader_next(&r, &f) == 1)
                frames++;
        }
        assert_int_equal(frames, 4);
        frame_reader_close(&r);
    }
    writer_free(&w);
}

static void a_referenced_body_outlives_what_is_read_next(void **state)
{
    struct frame_reader r;
    struct slice kept[50];
    (void)state;
    frame_reader_init(&r, LIMIT_FRAME_BYTES);
    for (unsigned i = 0; i < ARRAY_COUNT(kept); i++) {
        struct writer w;
        writer_init(&w, 1024);
        put_frame(&w, 1, 1, 9000, i);
        size_t done = 0, room = 0;
        struct frame f;
        while (done < w.bytes) {
            void *to = frame_reader_room(&r, &room);
            if (room > w.bytes - done) room = w.bytes - done;
            memcpy(to, w.base + done, room);
            frame_reader_took(&r, room);
            done += room;
            if (done < w.bytes) assert_int_equal(frame_reader_next(&r, &f), 0);
        }
        assert_int_equal(frame_reader_next(&r, &f), 1);
        kept[i] = slice_ref(f.body);
        writer_free(&w);
    }
    frame_reader_close(&r);
    for (unsigned i = 0; i < ARRAY_COUNT(kept); i++) {
        check_body(kept[i], i);
        slice_release(&kept[i]);
    }
}

static int first_result(const uint8_t *at, size_t bytes, size_t max)
{
    struct frame_reader r;
    struct frame f;
    size_t room = 0;
    frame_reader_init(&r, max);
    void *to = frame_reader_room(&r, &room);
    if (bytes > room) bytes = room;
    memcpy(to, at, bytes);
    frame_reader_took(&r, bytes);
    int rc = frame_reader_next(&r, &f);
    frame_reader_close(&r);
    return rc;
}

static void a_flipped_bit_is_never_accepted(void **state)
{
    struct writer w;
    (void)state;
    writer_init(&w, 256);
    put_frame(&w, 2, 1, 40, 5);
    for (size_t bit = 0; bit < w.bytes * 8; bit++) {
        w.base[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(first_result(w.base, w.bytes, 64), 1);
        w.base[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(first_result(w.base, w.bytes, 64), 1);
    writer_free(&w);
}

static void garbage_is_an_error_or_waits_never_a_frame(void **state)
{
    uint64_t x = 88172645463325252u;
    uint8_t bytes[64];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            bytes[i] = (uint8_t)x;
        }
        if (round % 2 == 0) bytes[1] = bytes[2] = bytes[3] = 0; /* a length that fits */
        assert_int_not_equal(first_result(bytes, sizeof bytes, 4096), 1);
    }
}

static void a_length_beyond_the_limit_is_refused_before_it_is_waited_for(void **state)
{
    struct writer w;
    (void)state;
    writer_init(&w, 256);
    put_frame(&w, 2, 1, 65, 5);
    assert_int_equal(first_result(w.base, FRAME_HEADER_BYTES, 64), E_TOOBIG);
    assert_int_equal(first_result((const uint8_t *)"CONNECT {\"verbose\":false}", 24, 4096),
                     E_MALFORMED);
    writer_free(&w);
}

/* ---- lanes ---- */

static void push(struct lanes *l, uint8_t lane, size_t bytes, unsigned seed)
{
    struct frame f = {.type = 4, .lane = lane, .group = seed};
    struct slice parts[3];
    struct slice body = pattern(bytes, seed);
    parts[0] = slice_part(body, 0, bytes / 3);
    parts[1] = slice_part(body, bytes / 3, bytes / 3);
    parts[2] = slice_part(body, bytes / 3 * 2, bytes - bytes / 3 * 2);
    slice_release(&body);
    lanes_push(l, &f, parts, 3);
}

struct heard {
    unsigned group;
    uint8_t lane;
    bool more;
    size_t bytes;
};

/* Writes all that is queued, `take` bytes at a time, into a reader; inject runs after the first
 * write. */
static size_t
drain(struct lanes *l, size_t take, struct heard *out, size_t max, void (*inject)(struct lanes *))
{
    struct frame_reader r;
    size_t seen = 0;
    frame_reader_init(&r, LIMIT_FRAME_BYTES);
    while (!lanes_empty(l)) {
        struct sock_part parts[8];
        size_t count = lanes_gather(l, parts, 8), left = take, took = 0;
        assert_true(count > 0);
        for (size_t i = 0; i < count && left > 0; i++) {
            size_t n = parts[i].bytes < left ? parts[i].bytes : left;
            for (size_t done = 0; done < n;) {
                size_t room = 0;
                void *to = frame_reader_room(&r, &room);
                if (room > n - done) room = n - done;
                memcpy(to, (const uint8_t *)parts[i].at + done, room);
                frame_reader_took(&r, room);
                done += room;
                struct frame f;
                while (frame_reader_next(&r, &f) == 1) {
                    assert_true(seen < max);
                    out[seen++] = (struct heard){f.group, f.lane, f.more, f.body.bytes};
                }
            }
            left -= n;
            took += n;
        }
        lanes_took(l, took);
        if (inject != NULL) inject(l);
        inject = NULL;
    }
    frame_reader_close(&r);
    return seen;
}

static void lower_lanes_go_first_and_keep_their_order(void **state)
{
    static const size_t takes[] = {1, 7, 100, 1000, 100000};
    (void)state;
    for (size_t t = 0; t < ARRAY_COUNT(takes); t++) {
        struct lanes l;
        struct heard h[8];
        lanes_init(&l);
        push(&l, CLUSTER_DATA, 100, 5);
        push(&l, CLUSTER_STREAM, 3000, 2);
        push(&l, CLUSTER_DATA, 3000, 6);
        push(&l, CLUSTER_STREAM, 50, 3);
        assert_int_equal(drain(&l, takes[t], h, 8, NULL), 4);
        const unsigned want[] = {2, 3, 5, 6};
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(h[i].group, want[i]);
        for (size_t i = 0; i < LANES; i++)
            assert_int_equal(l.bytes[i], 0);
    }
}

static void inject_stream(struct lanes *l)
{
    push(l, CLUSTER_STREAM, 500, 99);
}

static void the_log_stream_gets_between_pieces_of_a_large_body(void **state)
{
    struct lanes l;
    struct heard h[16];
    (void)state;
    lanes_init(&l);
    push(&l, CLUSTER_DATA, MIB(1) + 17, 1);
    size_t seen = drain(&l, 1000, h, 16, inject_stream);
    assert_int_equal(seen, 6);
    assert_int_equal(h[0].group, 1); /* begun, hence finished */
    assert_int_equal(h[1].group, 99);
    size_t bytes = 0;
    for (size_t i = 0; i < seen; i++) {
        if (h[i].group == 1) bytes += h[i].bytes;
        assert_int_equal(h[i].more, h[i].group == 1 && i != seen - 1);
    }
    assert_int_equal(bytes, MIB(1) + 17);
}

static void closing_lanes_gives_all_references_back(void **state)
{
    struct lanes l;
    struct slice body = slice_alloc(5000);
    (void)state;
    lanes_init(&l);
    memset(body.at, 1, body.bytes);
    for (uint8_t lane = 0; lane < LANES; lane++) {
        struct frame f = {.type = 1, .lane = lane};
        struct slice part = slice_ref(body);
        lanes_push(&l, &f, &part, 1);
    }
    lanes_took(&l, 100);
    lanes_close(&l);
    assert_int_equal(body.chunk->refs, 1);
    slice_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_whole_whatever_the_splits),
        cmocka_unit_test(small_frames_split_at_every_byte),
        cmocka_unit_test(a_referenced_body_outlives_what_is_read_next),
        cmocka_unit_test(a_flipped_bit_is_never_accepted),
        cmocka_unit_test(garbage_is_an_error_or_waits_never_a_frame),
        cmocka_unit_test(a_length_beyond_the_limit_is_refused_before_it_is_waited_for),
        cmocka_unit_test(lower_lanes_go_first_and_keep_their_order),
        cmocka_unit_test(the_log_stream_gets_between_pieces_of_a_large_body),
        cmocka_unit_test(closing_lanes_gives_all_references_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
