#include "broker/js/publish_headers.h"

#include <strings.h>

#include "broker/js/duration.h"

#define HEADERS_LINE_BYTES 10 /* NATS/1.0 and CRLF */

enum header_id {
    HEADER_MSG_ID,
    HEADER_EXPECT_STREAM,
    HEADER_EXPECT_SEQ,
    HEADER_EXPECT_SUBJECT_SEQ,
    HEADER_EXPECT_SUBJECT,
    HEADER_EXPECT_MSG_ID,
    HEADER_ROLLUP,
    HEADER_TTL,
    HEADER_API_LEVEL,
    HEADER_COUNTER,
    HEADER_BATCH,
    HEADER_SCHEDULE,
    HEADER_SOURCE,
};
static const struct header_row {
    struct text key; /* behind Nats- */
    enum header_id id;
} header_rows[] = {
    {{"Msg-Id", 6}, HEADER_MSG_ID},
    {{"Expected-Stream", 15}, HEADER_EXPECT_STREAM},
    {{"Expected-Last-Sequence", 22}, HEADER_EXPECT_SEQ},
    {{"Expected-Last-Subject-Sequence", 30}, HEADER_EXPECT_SUBJECT_SEQ},
    {{"Expected-Last-Subject-Sequence-Subject", 38}, HEADER_EXPECT_SUBJECT},
    {{"Expected-Last-Msg-Id", 20}, HEADER_EXPECT_MSG_ID},
    {{"Rollup", 6}, HEADER_ROLLUP},
    {{"TTL", 3}, HEADER_TTL},
    {{"Required-Api-Level", 18}, HEADER_API_LEVEL},
    {{"Incr", 4}, HEADER_COUNTER},
    {{"Batch-Id", 8}, HEADER_BATCH},
    {{"Schedule", 8}, HEADER_SCHEDULE},
    {{"Stream-Source", 13}, HEADER_SOURCE},
};

/* Takes one line off *rest, without its CRLF. False at the blank line or the end. */
static bool header_line(struct text *rest, struct text *line)
{
    const char *lf = rest->bytes == 0 ? NULL : memchr(rest->at, '\n', rest->bytes);
    if (lf == NULL) return false;
    size_t bytes = (size_t)(lf - rest->at) + 1;
    *line = (struct text){.at = rest->at, .bytes = bytes - 1};
    if (line->bytes != 0 && line->at[line->bytes - 1] == '\r') line->bytes--;
    rest->at += bytes;
    rest->bytes -= bytes;
    return line->bytes != 0;
}

static struct text trimmed(struct text t)
{
    while (t.bytes != 0 && (t.at[0] == ' ' || t.at[0] == '\t')) {
        t.at++;
        t.bytes--;
    }
    while (t.bytes != 0 && (t.at[t.bytes - 1] == ' ' || t.at[t.bytes - 1] == '\t'))
        t.bytes--;
    return t;
}

static bool header_split(struct text line, struct text *key, struct text *value)
{
    const char *colon = memchr(line.at, ':', line.bytes);
    if (colon == NULL) return false;
    size_t bytes = (size_t)(colon - line.at);
    *key = (struct text){.at = line.at, .bytes = bytes};
    *value = trimmed((struct text){.at = colon + 1, .bytes = line.bytes - bytes - 1});
    return true;
}

static void header_rollup(struct publish_headers *h, struct text value)
{
    if (value.bytes == 3 && strncasecmp(value.at, "sub", 3) == 0) {
        h->flags |= PUBLISH_ROLLUP_SUBJECT;
    } else if (value.bytes == 3 && strncasecmp(value.at, "all", 3) == 0) {
        h->flags |= PUBLISH_ROLLUP_ALL;
    } else {
        h->bad_rollup = value;
    }
}

/* A duration of whole seconds, a number of seconds, or never. */
static void header_ttl(struct publish_headers *h, struct text value)
{
    uint64_t seconds = 0;
    int64_t ns = 0;
    h->flags |= PUBLISH_TTL;
    if (value.bytes == 5 && strncasecmp(value.at, "never", 5) == 0) {
        h->ttl_ns = -1;
    } else if (duration_parse(value, &ns)) {
        h->bad_ttl = ns < (int64_t)NS_PER_S;
        h->ttl_ns = ns / (int64_t)NS_PER_S * (int64_t)NS_PER_S;
    } else if (duration_digits(value, &seconds) && seconds < INT64_MAX / NS_PER_S) {
        h->ttl_ns = (int64_t)(seconds * NS_PER_S);
        if (seconds == 0) h->flags &= ~(uint32_t)PUBLISH_TTL;
    } else {
        h->bad_ttl = true;
    }
}

/* What isn't a number can't be the stream's sequence: it is refused as the wrong one. */
static uint64_t header_number(struct text value)
{
    uint64_t v;
    return duration_digits(value, &v) ? v : UINT64_MAX;
}

static void header_take(struct publish_headers *h, enum header_id id, struct text value)
{
    switch (id) {
    case HEADER_MSG_ID:
        if (value.bytes == 0) return;
        h->flags |= PUBLISH_MSG_ID;
        h->msg_id = value;
        return;
    case HEADER_EXPECT_STREAM:
        h->expect_stream = value;
        return;
    case HEADER_EXPECT_SEQ:
        h->flags |= PUBLISH_EXPECT_SEQ;
        h->expect_seq = header_number(value);
        return;
    case HEADER_EXPECT_SUBJECT_SEQ:
        h->flags |= PUBLISH_EXPECT_SUBJECT_SEQ;
        h->expect_subject_seq = header_number(value);
        return;
    case HEADER_EXPECT_SUBJECT:
        h->expect_subject = value;
        return;
    case HEADER_EXPECT_MSG_ID:
        if (value.bytes == 0) return;
        h->flags |= PUBLISH_EXPECT_MSG_ID;
        h->expect_msg_id = value;
        return;
    case HEADER_ROLLUP:
        header_rollup(h, value);
        return;
    case HEADER_TTL:
        header_ttl(h, value);
        return;
    case HEADER_API_LEVEL:
        h->api_level_given = true;
        h->api_level = header_number(value);
        return;
    case HEADER_COUNTER:
        h->counter = true;
        return;
    case HEADER_BATCH:
        h->batch = true;
        return;
    case HEADER_SCHEDULE:
        h->schedule = true;
        return;
    case HEADER_SOURCE:
        h->source = true;
        return;
    }
}

void publish_headers_parse(struct text header, struct publish_headers *out)
{
    *out = (struct publish_headers){0};
    struct text rest = header, line, key, value;
    uint32_t seen = 0;
    (void)header_line(&rest, &line);
    out->line_bytes = header.bytes - rest.bytes;
    while (header_line(&rest, &line)) {
        if (line.bytes < 8 || memcmp(line.at, "Nats-", 5) != 0) continue;
        if (!header_split(line, &key, &value)) continue;
        key.at += 5;
        key.bytes -= 5;
        for (const struct header_row *r = header_rows; r < ARRAY_END(header_rows); r++) {
            if (!text_equal(key, r->key)) continue;
            if ((seen & 1u << r->id) == 0) header_take(out, r->id, value);
            seen |= 1u << r->id;
            break;
        }
    }
}

struct text publish_headers_find(struct text header, struct text wanted)
{
    struct text rest = header, line, key, value;
    (void)header_line(&rest, &line);
    while (header_line(&rest, &line)) {
        if (header_split(line, &key, &value) && text_equal(key, wanted)) return value;
    }
    return (struct text){0};
}
