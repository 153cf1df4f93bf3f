#include "store/tail.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/limits.h"

#define MSGS_MIN 16
#define UNUSED_MAX 256       /* recycled blocks kept */
#define UNUSED_MSGS_MAX 1024 /* longer arrays are given back */
#define TEXT_BYTES 512       /* chunk for subjects that don't lie in the entry */
#define ENTRY_BYTES 16

static struct tail_block *block_of(struct list_node *n)
{
    return CONTAINER_OF(n, struct tail_block, node);
}

void tail_init(struct tail *t, uint64_t open_bytes_max)
{
    *t = (struct tail){.open_bytes_max = open_bytes_max, .written_bytes_max = open_bytes_max / 2};
    list_init(&t->open);
    list_init(&t->queue);
    list_init(&t->written);
    list_init(&t->unused);
    map_init(&t->by_number, 0, NULL);
}

static void block_end(struct tail_block *b)
{
    for (uint32_t i = 0; i < b->owner_count; i++)
        slice_release(&b->owners[i]);
    free(b->owners);
    free(b->msgs);
    free(b);
}

static void free_list(struct list *l)
{
    for (struct list_node *n = list_pop_front(l); n != NULL; n = list_pop_front(l))
        block_end(block_of(n));
}

void tail_close(struct tail *t)
{
    free_list(&t->open);
    free_list(&t->queue);
    free_list(&t->written);
    free_list(&t->unused);
    map_free(&t->by_number);
}

struct tail_block *
tail_block_new(struct tail *t, struct store_stream *of, struct key_stream id, stream_seq first)
{
    struct tail_block *b;
    struct list_node *n = list_pop_front(&t->unused);
    if (n != NULL) {
        b = block_of(n);
        t->unused_count--;
    } else {
        b = check_alloc(sizeof *b);
    }
    b->of = of;
    b->id = id;
    b->first = first;
    return b;
}

struct tail_block *tail_open(struct tail *t,
                             struct store_stream *of,
                             struct key_stream id,
                             stream_seq first,
                             uint64_t log_at)
{
    struct tail_block *b = tail_block_new(t, of, id, first);
    b->log_at = log_at;
    list_push_back(&t->open, &b->node);
    return b;
}

void tail_free(struct tail *t, struct tail_block *b)
{
    CHECK(!list_linked(&b->node));
    if (t->unused_count == UNUSED_MAX || b->max > UNUSED_MSGS_MAX) {
        block_end(b);
        return;
    }
    for (uint32_t i = 0; i < b->owner_count; i++)
        slice_release(&b->owners[i]);
    *b = (struct tail_block){
        .msgs = b->msgs, .max = b->max, .owners = b->owners, .owner_max = b->owner_max};
    list_push_front(&t->unused, &b->node);
    t->unused_count++;
}

static struct block_msg *msg_room(struct tail_block *b)
{
    if (b->count == b->max) {
        b->max = b->max == 0 ? MSGS_MIN : b->max * 2;
        b->msgs = check_realloc(b->msgs, b->max * sizeof *b->msgs);
    }
    return &b->msgs[b->count++];
}

/* Takes over a reference. */
static void owner_add(struct tail_block *b, struct slice s)
{
    if (b->owner_count == b->owner_max) {
        b->owner_max = b->owner_max == 0 ? 4 : b->owner_max * 2;
        b->owners = check_realloc(b->owners, b->owner_max * sizeof *b->owners);
    }
    b->owners[b->owner_count++] = s;
}

static bool lies_in(struct text t, const struct chunk *c)
{
    uintptr_t at = (uintptr_t)t.at, from = (uintptr_t)c->data;
    return at >= from && at + t.bytes <= from + c->bytes;
}

/* A copy of bytes that nobody else keeps: in the block's last chunk of texts, or in a new one. */
static const char *keep(struct tail_block *b, struct text t)
{
    if (b->text_left < t.bytes) {
        size_t bytes = t.bytes > TEXT_BYTES / 4 ? t.bytes : TEXT_BYTES;
        owner_add(b, slice_alloc(bytes));
        b->text_left = (uint32_t)bytes;
    }
    struct slice *s = &b->owners[b->owner_count - 1];
    char *at = (char *)s->at + (s->bytes - b->text_left);
    if (t.bytes != 0) memcpy(at, t.at, t.bytes);
    b->text_left -= (uint32_t)t.bytes;
    return at;
}

/* References the owner, once for each run of messages that came in it. */
static void refer(struct tail_block *b, struct slice owner)
{
    if (owner.chunk == NULL) return;
    for (uint32_t i = b->owner_count; i > 0 && i + 2 > b->owner_count; i--)
        if (b->owners[i - 1].chunk == owner.chunk) return;
    owner_add(b, slice_ref(owner));
    b->text_left = 0;
}

static const char *subject_text(struct tail_block *b, const struct store_msg *m, struct slice owner)
{
    if (owner.chunk != NULL && lies_in(m->subject, owner.chunk)) return m->subject.at;
    if (b->count > 0) {
        const struct block_msg *before = &b->msgs[b->count - 1];
        struct text t = {.at = before->subject, .bytes = before->subject_bytes};
        if (!before->dead && text_equal(t, m->subject)) return before->subject;
    }
    return keep(b, m->subject);
}

void tail_push(struct tail *t,
               struct tail_block *b,
               const struct store_msg *m,
               uint32_t hash,
               struct slice owner)
{
    CHECK(m->subject.bytes <= UINT16_MAX);
    refer(b, owner);
    bool kept = owner.chunk != NULL;
    const char *subject = subject_text(b, m, owner);
    const char *header = kept || m->header.bytes == 0 ? m->header.at : keep(b, m->header);
    const char *body = kept || m->body.bytes == 0 ? m->body.at : keep(b, m->body);
    uint64_t size = ENTRY_BYTES + m->header.bytes + m->body.bytes;
    bool repeat = b->count > 0 && b->msgs[b->count - 1].subject_hash == hash;
    if (!repeat) size += 2 + m->subject.bytes;
    *msg_room(b) = (struct block_msg){.time_ns = m->time_ns,
                                      .header = header,
                                      .body = body,
                                      .subject = subject,
                                      .header_bytes = (uint32_t)m->header.bytes,
                                      .body_bytes = (uint32_t)m->body.bytes,
                                      .subject_hash = hash,
                                      .subject_bytes = (uint16_t)m->subject.bytes};
    b->live++;
    b->live_bytes += store_msg_bytes(m);
    b->size += size;
    if (b->state == TAIL_OPEN && list_linked(&b->node)) t->open_bytes += size;
}

void tail_push_hole(struct tail_block *b)
{
    *msg_room(b) = (struct block_msg){.dead = true};
}

void tail_gather(struct tail *t, struct tail_block *b, uint64_t log_at)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct block_msg *m = &b->msgs[i];
        if (!m->dead) bytes += (size_t)m->subject_bytes + m->header_bytes + m->body_bytes;
    }
    struct slice all = slice_alloc(bytes);
    char *at = (char *)all.at;
    for (uint32_t i = 0; i < b->count; i++) {
        struct block_msg *m = &b->msgs[i];
        if (m->dead) continue;
        memcpy(at, m->subject, m->subject_bytes);
        m->subject = at;
        at += m->subject_bytes;
        if (m->header_bytes != 0) memcpy(at, m->header, m->header_bytes);
        m->header = at;
        at += m->header_bytes;
        if (m->body_bytes != 0) memcpy(at, m->body, m->body_bytes);
        m->body = at;
        at += m->body_bytes;
    }
    for (uint32_t i = 0; i < b->owner_count; i++)
        slice_release(&b->owners[i]);
    b->owner_count = 0;
    b->text_left = 0;
    owner_add(b, all);
    b->log_at = log_at;
    list_remove(&b->node);
    list_push_back(&t->open, &b->node);
}

void tail_seal(struct tail *t, struct tail_block *b, uint64_t number)
{
    CHECK(b->state == TAIL_OPEN);
    CHECK(b->live > 0);
    if (list_linked(&b->node)) {
        list_remove(&b->node);
        t->open_bytes -= b->size;
    }
    b->number = number;
    b->state = TAIL_QUEUED;
    list_push_back(&t->queue, &b->node);
    t->queue_bytes += b->size;
    map_put_u64(&t->by_number, number, b);
}

struct tail_block *tail_find(const struct tail *t, uint64_t number)
{
    return map_get_u64(&t->by_number, number);
}

void tail_unneeded(struct tail *t, uint64_t number)
{
    struct tail_block *b = tail_find(t, number);
    if (b != NULL) b->unneeded = true;
}

void tail_written(struct tail *t, struct tail_block *b)
{
    CHECK(b->state == TAIL_WRITING);
    b->state = TAIL_WRITTEN;
    list_push_back(&t->written, &b->node);
    t->written_bytes += b->size;
}

void tail_trim(struct tail *t, uint64_t log_at)
{
    while (!list_empty(&t->written)) {
        struct tail_block *b = block_of(list_first(&t->written));
        bool old = b->log_at < log_at;
        if (!old && !b->unneeded && t->written_bytes <= t->written_bytes_max) return;
        list_remove(&b->node);
        t->written_bytes -= b->size;
        map_take_u64(&t->by_number, b->number);
        tail_free(t, b);
    }
}

void tail_block_msg(const struct tail_block *b, uint32_t index, struct store_msg *out)
{
    const struct block_msg *m = &b->msgs[index];
    out->seq = b->first + index;
    out->time_ns = m->time_ns;
    out->subject = (struct text){.at = m->subject, .bytes = m->subject_bytes};
    out->header = (struct text){.at = m->header, .bytes = m->header_bytes};
    out->body = (struct text){.at = m->body, .bytes = m->body_bytes};
}
