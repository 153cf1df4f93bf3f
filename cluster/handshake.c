/* handshake.c - body of a FRAME_HELLO:
 *
 *   u32 magic | u16 version | u8 kind | u8 reason or link | then, by kind:
 *   greet:  u64 session, id, incarnation, boots | u32 feature | cluster, name, user, password,
 * client_urls, target, listen, each u16 bytes and text accept: u64 session
 *
 * What follows in a longer body is ignored: later versions may say more. */
#include "cluster/handshake.h"

#include "store/base/err.h"
#include "store/base/reader.h"

#define HANDSHAKE_MAGIC UINT32_C(0x31544e47) /* "GNT1" */
#define HANDSHAKE_VERSION 1
#define HANDSHAKE_NAME_BYTES 255 /* as cluster_peer's arrays, less the 0 */
#define HANDSHAKE_URLS_BYTES 1023
#define HANDSHAKE_LISTEN_BYTES 270

const char *handshake_reason_text(enum hello_reason r)
{
    static const char *const texts[] = {
#define HELLO_REASON_ROW(name, text) [REASON_##name] = (text),
        HELLO_REASON_TABLE(HELLO_REASON_ROW)
#undef HELLO_REASON_ROW
    };
    CHECK((size_t)r < ARRAY_COUNT(texts));
    return texts[r];
}

static void greet_encode(struct writer *w, const struct hello *h)
{
    writer_u64(w, h->session);
    writer_u64(w, h->id);
    writer_u64(w, h->incarnation);
    writer_u64(w, h->boots);
    writer_u32(w, h->feature);
    const struct text texts[] = {h->cluster,     h->name,   h->user,  h->password,
                                 h->client_urls, h->target, h->listen};
    for (const struct text *t = texts; t < ARRAY_END(texts); t++)
        writer_text16(w, *t);
}

void handshake_encode(struct writer *w, const struct hello *h)
{
    writer_u32(w, HANDSHAKE_MAGIC);
    writer_u16(w, HANDSHAKE_VERSION);
    writer_u8(w, (uint8_t)h->kind);
    writer_u8(w, (uint8_t)(h->kind == HELLO_GREET ? (int)h->link : (int)h->reason));
    if (h->kind == HELLO_GREET) greet_encode(w, h);
    if (h->kind == HELLO_ACCEPT) writer_u64(w, h->session);
}

static int greet_decode(struct reader *r, struct hello *out)
{
    out->session = reader_u64(r);
    out->id = reader_u64(r);
    out->incarnation = reader_u64(r);
    out->boots = reader_u64(r);
    out->feature = reader_u32(r);
    struct {
        struct text *text;
        size_t bytes_max;
    } rows[] = {
        {&out->cluster, HANDSHAKE_NAME_BYTES},     {&out->name, HANDSHAKE_NAME_BYTES},
        {&out->user, HANDSHAKE_NAME_BYTES},        {&out->password, HANDSHAKE_NAME_BYTES},
        {&out->client_urls, HANDSHAKE_URLS_BYTES}, {&out->target, HANDSHAKE_NAME_BYTES},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct text t = reader_text16(r);
        /* A 0 would make a name look like another one in every C string. */
        if (t.bytes > rows[i].bytes_max || (t.bytes != 0 && memchr(t.at, 0, t.bytes) != NULL))
            return E_MALFORMED;
        *rows[i].text = t;
    }
    out->listen = reader_text16(r);
    if (out->listen.bytes > HANDSHAKE_LISTEN_BYTES) return E_MALFORMED;
    if (out->id == 0 || out->name.bytes == 0 || out->link > HELLO_DATA) return E_MALFORMED;
    return r->bad ? E_MALFORMED : 0;
}

int handshake_decode(struct slice body, struct hello *out)
{
    *out = (struct hello){0};
    struct reader r = reader_of(body.at, body.bytes);
    uint32_t magic = reader_u32(&r);
    uint16_t version = reader_u16(&r);
    uint8_t kind = reader_u8(&r);
    uint8_t detail = reader_u8(&r);
    if (r.bad || magic != HANDSHAKE_MAGIC || kind == 0 || kind >= HELLO_KINDS) return E_MALFORMED;
    out->kind = (enum hello_kind)kind;
    if (out->kind == HELLO_REFUSE || out->kind == HELLO_BYE)
        out->reason = detail < HELLO_REASONS ? (enum hello_reason)detail : REASON_NONE;
    if (version != HANDSHAKE_VERSION) return E_VERSION;
    if (out->kind == HELLO_GREET) {
        out->link = (enum hello_link)detail;
        return greet_decode(&r, out);
    }
    if (out->kind == HELLO_ACCEPT) out->session = reader_u64(&r);
    return r.bad ? E_MALFORMED : 0;
}

/* Takes as long for a wrong text as for the right one: a password must not be found byte by byte.
 */
static bool secret_equal(struct text a, struct text b)
{
    unsigned differs = a.bytes != b.bytes;
    for (size_t i = 0; i < a.bytes; i++) {
        uint8_t other = i < b.bytes ? (uint8_t)b.at[i] : 0;
        differs |= (unsigned)((uint8_t)a.at[i] ^ other);
    }
    return differs == 0;
}

static int age_compare(uint64_t incarnation, uint64_t boots, uint64_t than, uint64_t than_boots)
{
    if (incarnation != than) return incarnation < than ? -1 : 1;
    if (boots != than_boots) return boots < than_boots ? -1 : 1;
    return 0;
}

/* Somebody who has our own name: ourselves, our successor, or the process that we succeed. */
static struct handshake_verdict judge_namesake(const struct hello *self, const struct hello *h)
{
    int age = age_compare(h->incarnation, h->boots, self->incarnation, self->boots);
    if (age == 0 && h->id == self->id) return (struct handshake_verdict){.refuse = REASON_SELF};
    if (age > 0) return (struct handshake_verdict){.refuse = REASON_NAME_TAKEN, .fenced = true};
    return (struct handshake_verdict){.refuse = REASON_FENCED};
}

static struct handshake_verdict judge_known(const struct handshake_known *known,
                                            const struct hello *h)
{
    int age = age_compare(h->incarnation, h->boots, known->incarnation, known->boots);
    if (h->id == known->id) {
        if (age < 0) return (struct handshake_verdict){.refuse = REASON_FENCED};
        return (struct handshake_verdict){.replace = age > 0 && known->up};
    }
    /* Two disks, one name. Whoever is here stays: the other may be a copy of its configuration. */
    if (known->up) return (struct handshake_verdict){.refuse = REASON_NAME_TAKEN};
    /* Incarnations are wall clocks of different starts, so the fence ends: a clock that was set
     * back must not keep an emptied node out for ever. */
    if (age < 0 && known->gone_ns < HANDSHAKE_FENCE_NS)
        return (struct handshake_verdict){.refuse = REASON_FENCED};
    return (struct handshake_verdict){0};
}

struct handshake_verdict handshake_judge(const struct hello *self,
                                         const struct handshake_known *known,
                                         const struct hello *h)
{
    bool secret = secret_equal(h->password, self->password);
    if (!secret_equal(h->user, self->user) || !secret)
        return (struct handshake_verdict){.refuse = REASON_AUTH};
    if (!text_equal(h->cluster, self->cluster))
        return (struct handshake_verdict){.refuse = REASON_CLUSTER};
    if (text_equal(h->name, self->name)) return judge_namesake(self, h);
    if (h->target.bytes != 0 && !text_equal(h->target, self->name))
        return (struct handshake_verdict){.refuse = REASON_OTHER_NODE};
    if (known->id == 0) return (struct handshake_verdict){0};
    return judge_known(known, h);
}
