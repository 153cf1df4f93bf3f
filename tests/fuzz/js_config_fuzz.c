/* js_config_fuzz.c - configs of streams and consumers: what is taken is shown as JSON that is taken
 * again and is the same config. sources: store/base/check.c store/base/err.c store/base/slice.c
 * store/base/writer.c store/base/logger.c store/base/json_out.c store/base/json_in.c
 * store/base/arena.c store/base/subject_match.c store/state/fields.c store/state/stream_fields.c
 * store/state/consumer_fields.c store/state/js_errors.c store/state/stream_rules.c
 * store/state/transform.c
 */
#include "store/state/consumer.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes);

static void try_stream(struct text json)
{
    struct stream_config c, again;
    struct config_error error;
    struct json_out j;
    struct writer w;
    if (stream_config_decode(json, &c, &error) != 0) return;
    writer_init(&w, 0);
    json_out_init(&j, &w, false);
    stream_config_encode(&c, &j, NULL);
    struct text shown = {.at = (const char *)w.base, .bytes = w.bytes};
    int rc = stream_config_decode(shown, &again, &error);
    CHECK(rc == 0);
    CHECK(stream_config_equal(&c, &again));
    stream_config_free(&c);
    stream_config_free(&again);
    writer_free(&w);
}

static void try_consumer(struct text json)
{
    struct consumer_config c, again;
    struct config_error error;
    struct json_out j;
    struct writer w;
    if (consumer_config_decode(json, NULL, &c, &error) != 0) return;
    writer_init(&w, 0);
    json_out_init(&j, &w, false);
    consumer_config_encode(&c, &j, NULL);
    struct text shown = {.at = (const char *)w.base, .bytes = w.bytes};
    int rc = consumer_config_decode(shown, NULL, &again, &error);
    CHECK(rc == 0);
    CHECK(consumer_config_equal(&c, &again));
    consumer_config_free(&c);
    consumer_config_free(&again);
    writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t bytes)
{
    struct text json = {.at = (const char *)at, .bytes = bytes};
    try_stream(json);
    try_consumer(json);
    return 0;
}
