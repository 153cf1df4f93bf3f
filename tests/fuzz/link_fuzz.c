/* link_fuzz.c - what a stranger may send to the cluster port: bytes as frames, frame bodies as
 * greetings (decoded, encoded, compared) and as routed messages. The first byte says how the rest
 * is split and whether it gets good headers: past the checksum there is more to find. sources:
 * store/base/check.c store/base/err.c store/base/slice.c store/base/writer.c store/base/logger.c
 * store/base/json_out.c cluster/frame.c cluster/handshake.c cluster/relay.c
 */
#include "cluster/frame.h"
#include "cluster/handshake.h"
#include "cluster/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* relay.c's other half sends; nothing is sent here. */
void cluster_send(struct cluster *c,
                  node_id peer,
                  enum cluster_lane lane,
                  enum frame_type type,
                  struct slice *parts,
                  size_t count)
{
    (void)c, (void)peer, (void)lane, (void)type, (void)parts, (void)count;
    CHECK(false);
}

void cluster_on(
    struct cluster *c,
    enum frame_type type,
    void (*frame)(void *ctx, struct cluster_peer *from, enum cluster_lane lane, struct slice body),
    void *ctx)
{
    (void)c, (void)type, (void)frame, (void)ctx;
    CHECK(false);
}

static void decode_body(struct slice body)
{
    struct hello h, again;
    struct relay_message m;
    struct text queues[RELAY_QUEUES_MAX];
    size_t touched = 0;
    if (handshake_decode(body, &h) == 0) {
        struct writer w;
        writer_init(&w, 64);
        handshake_encode(&w, &h);
        struct slice copy = writer_take(&w);
        CHECK(handshake_decode(copy, &again) == 0);
        CHECK(text_equal(h.name, again.name) && text_equal(h.target, again.target));
        CHECK_EQ(h.session, again.session);
        slice_release(&copy);
    }
    if (relay_decode(body, queues, &m) != 0) return;
    for (size_t i = 0; i < m.queue_count; i++)
        touched += queues[i].bytes == 0 ? 0 : (uint8_t)queues[i].at[queues[i].bytes - 1];
    touched += m.header.bytes == 0 ? 0 : (uint8_t)m.header.at[m.header.bytes - 1];
    touched += m.body.bytes == 0 ? 0 : (uint8_t)m.body.at[m.body.bytes - 1];
    CHECK(touched < SIZE_MAX);
}

static void read_frames(const uint8_t *data, size_t bytes, size_t step)
{
    struct frame_reader r;
    struct frame f;
    int rc = 0;
    frame_reader_init(&r, HANDSHAKE_BYTES_MAX);
    for (size_t done = 0; done < bytes && rc >= 0;) {
        size_t room = 0;
        void *to = frame_reader_room(&r, &room);
        size_t n = bytes - done < step ? bytes - done : step;
        if (n > room) n = room;
        memcpy(to, data + done, n);
        frame_reader_took(&r, n);
        done += n;
        while ((rc = frame_reader_next(&r, &f)) == 1)
            decode_body(f.body);
    }
    frame_reader_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) return 0;
    size_t step = (size_t)(data[0] >> 1) + 1;
    struct slice body =
        slice_copy(data + 1, bytes - 1); /* of its own size: a read beyond is seen */
    if (data[0] & 1) {
        const struct frame f = {.type = 0, .lane = 0};
        struct slice whole = slice_alloc(FRAME_HEADER_BYTES + body.bytes);
        frame_header(whole.at, &f, &body, 1);
        memcpy(whole.at + FRAME_HEADER_BYTES, body.at, body.bytes);
        read_frames(whole.at, whole.bytes, step);
        slice_release(&whole);
    } else {
        read_frames(body.at, body.bytes, step);
    }
    decode_body(body);
    slice_release(&body);
    return 0;
}
