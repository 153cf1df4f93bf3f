/* entry_fuzz.c - a command's fields: whatever is taken can be written again and means the same. The
 * first byte is the type. sources: store/base/check.c store/base/err.c store/base/slice.c
 * store/base/writer.c store/base/logger.c store/base/json_out.c store/state/entry.c
 */
#include <string.h>

#include "store/state/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes);

static size_t read_seqs(struct reader list, uint32_t count, stream_seq *out, size_t max)
{
    stream_seq last = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < count && at < max; i++) {
        out[at] = entry_next_seq(&list, &last);
        CHECK(out[at] != 0);
        at++;
    }
    return at;
}

/* The canonical bytes of a command; empty when it isn't one. */
static void rewrite(uint8_t type, struct reader r, struct writer *w)
{
    static stream_seq fresh[4096], again[4096];
    union {
        struct command_publish publish;
        struct command_stream stream;
        struct command_purge purge;
        struct command_consumer consumer;
        struct command_deliver deliver;
        struct command_ack ack;
        struct command_account_limits limits;
        struct command_copy copy;
        struct command_restore restore;
    } c;
    if (type == COMMAND_PUBLISH && entry_get_publish(r, &c.publish) == 0) {
        entry_put_publish(w, &c.publish);
    } else if (type == COMMAND_STREAM_CREATE && entry_get_stream(r, &c.stream) == 0) {
        entry_put_stream(w, COMMAND_STREAM_CREATE, &c.stream);
    } else if (type == COMMAND_STREAM_PURGE && entry_get_purge(r, &c.purge) == 0) {
        entry_put_purge(w, &c.purge);
    } else if (type == COMMAND_CONSUMER_CREATE && entry_get_consumer(r, &c.consumer) == 0) {
        entry_put_consumer(w, &c.consumer);
    } else if (type == COMMAND_DELIVER && entry_get_deliver(r, &c.deliver) == 0) {
        read_seqs(c.deliver.fresh, c.deliver.fresh_count, fresh, 4096);
        read_seqs(c.deliver.again, c.deliver.again_count, again, 4096);
        entry_put_deliver(w, &c.deliver, fresh, again);
    } else if (type == COMMAND_ACK && entry_get_ack(r, &c.ack) == 0) {
        read_seqs(c.ack.seqs, c.ack.seq_count, fresh, 4096);
        entry_put_ack(w, &c.ack, fresh);
    } else if (type == COMMAND_ACCOUNT_LIMITS && entry_get_account_limits(r, &c.limits) == 0) {
        entry_put_account_limits(w, &c.limits);
    } else if (type == COMMAND_COPY && entry_get_copy(r, &c.copy) == 0) {
        entry_put_copy(w, &c.copy);
    } else if (type == COMMAND_RESTORE && entry_get_restore(r, &c.restore) == 0) {
        entry_put_restore(w, &c.restore);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes)
{
    struct writer once, twice;
    if (bytes == 0 || bytes > 4096) return 0;
    writer_init(&once, 0);
    writer_init(&twice, 0);
    rewrite(at[0], reader_of(at + 1, bytes - 1), &once);
    if (once.bytes > 0) {
        rewrite(at[0], reader_of(once.base + 5, once.bytes - 5), &twice);
        CHECK_EQ(once.bytes, twice.bytes);
        CHECK(memcmp(once.base, twice.base, once.bytes) == 0);
    }
    writer_free(&once);
    writer_free(&twice);
    return 0;
}
