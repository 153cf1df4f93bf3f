#include "store/values.h"

#include "store/base/err.h"
#include "store/base/reader.h"

/* Opens a row: its format is ours, or a later program's. */
static int start(struct text value, struct reader *r)
{
    *r = reader_of(value.at, value.bytes);
    uint8_t format = reader_u8(r);
    if (r->bad || format == 0) return E_CORRUPT;
    return format == VALUES_FORMAT ? 0 : E_VERSION;
}

static int finish(const struct reader *r)
{
    return r->bad || r->at != r->end ? E_CORRUPT : 0;
}

void values_meta_encode(struct writer *w, const struct values_meta *m)
{
    writer_u8(w, VALUES_FORMAT);
    writer_u64(w, m->index);
    writer_u64(w, m->term);
    writer_u64(w, m->block_next);
    writer_u64(w, m->segment_next);
    writer_u64(w, m->hash_seed);
}

int values_meta_decode(struct text value, struct values_meta *out)
{
    struct reader r;
    int rc = start(value, &r);
    if (rc != 0) return rc;
    out->index = reader_u64(&r);
    out->term = reader_u64(&r);
    out->block_next = reader_u64(&r);
    out->segment_next = reader_u64(&r);
    out->hash_seed = reader_u64(&r);
    return finish(&r);
}

void values_segments_encode(struct writer *w, const struct values_segments *s)
{
    writer_u8(w, VALUES_FORMAT);
    for (uint32_t i = 0; i < VALUES_SEGMENTS; i++) {
        const struct values_segment *g = &s->at[i];
        if (g->last == 0) continue;
        writer_u8(w, (uint8_t)i);
        writer_u64(w, g->first);
        writer_u64(w, g->last);
        writer_u64(w, g->bytes);
        writer_u64(w, g->live_bytes);
    }
}

int values_segments_decode(struct text value, struct values_segments *out)
{
    struct reader r;
    int rc = start(value, &r);
    if (rc != 0) return rc;
    *out = (struct values_segments){0};
    while (!r.bad && r.at != r.end) {
        uint8_t i = reader_u8(&r);
        struct values_segment g = {.first = reader_u64(&r), .last = reader_u64(&r)};
        g.bytes = reader_u64(&r);
        g.live_bytes = reader_u64(&r);
        if (r.bad || i >= VALUES_SEGMENTS || g.first == 0 || g.last < g.first) return E_CORRUPT;
        if (g.live_bytes > g.bytes) return E_CORRUPT;
        out->at[i] = g;
    }
    return finish(&r);
}

void values_stream_encode(struct writer *w, const struct values_stream *s)
{
    writer_u8(w, VALUES_FORMAT);
    writer_u64(w, s->first);
    writer_u64(w, s->last);
    writer_u64(w, s->msgs);
    writer_u64(w, s->bytes);
    writer_u64(w, s->subjects);
    writer_u32(w, s->buckets);
    writer_u32(w, s->history);
    writer_i64(w, s->last_ns);
}

int values_stream_decode(struct text value, struct values_stream *out)
{
    struct reader r;
    int rc = start(value, &r);
    if (rc != 0) return rc;
    out->first = reader_u64(&r);
    out->last = reader_u64(&r);
    out->msgs = reader_u64(&r);
    out->bytes = reader_u64(&r);
    out->subjects = reader_u64(&r);
    out->buckets = reader_u32(&r);
    out->history = reader_u32(&r);
    out->last_ns = reader_i64(&r);
    rc = finish(&r);
    if (rc != 0) return rc;
    if (out->first == 0 || out->first > out->last + 1 || out->buckets == 0) return E_CORRUPT;
    if (out->msgs > out->last + 1 - out->first || out->subjects > out->msgs) return E_CORRUPT;
    return 0;
}
