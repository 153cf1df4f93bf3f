/* fetch.c - see fetch.h. */
#include "raft/fetch.h"

#include "store/base/err.h"

void fetch_init(struct fetch *f, struct log *log, void (*ready)(struct fetch *))
{
    *f = (struct fetch){.log = log, .ready = ready};
    for (size_t k = 0; k < FETCH_SLOTS; k++) {
        f->slots[k].fetch = f;
    }
}

static void slot_clear(struct fetch_slot *s)
{
    slice_release(&s->payload);
    s->state = FETCH_FREE;
    s->forgotten = false;
}

static void read_done(struct log_read *read, int rc, struct slice payload)
{
    struct fetch_slot *s = CONTAINER_OF(read, struct fetch_slot, read);
    s->fetch->reading--;
    s->payload = payload;
    s->state = rc == 0 ? FETCH_READY : FETCH_GONE;
    if (s->forgotten) slot_clear(s);
    s->fetch->ready(s->fetch);
}

static void read_start(struct fetch *f, struct fetch_slot *s, log_index i, log_term term)
{
    s->index = i;
    s->term = term;
    s->state = FETCH_READING;
    s->forgotten = false;
    s->read = (struct log_read){.log = f->log, .index = i, .term = term, .done = read_done};
    f->reading++;
    log_read(f->log, &s->read);
}

static struct fetch_slot *slot_of(struct fetch *f, log_index i, log_term term)
{
    for (size_t k = 0; k < FETCH_SLOTS; k++) {
        struct fetch_slot *s = &f->slots[k];
        if (s->state != FETCH_FREE && !s->forgotten && s->index == i && s->term == term) return s;
    }
    return NULL;
}

/* A slot that is free, or holds what lies behind the reader. */
static struct fetch_slot *slot_free(struct fetch *f, log_index from)
{
    for (size_t k = 0; k < FETCH_SLOTS; k++) {
        struct fetch_slot *s = &f->slots[k];
        if (s->state == FETCH_FREE) return s;
        if (s->state == FETCH_READING) continue;
        if (s->index >= from && s->index < from + FETCH_SLOTS) continue;
        slot_clear(s);
        return s;
    }
    return NULL;
}

static void read_ahead(struct fetch *f, log_index from, log_index until)
{
    for (log_index i = from; i <= until && i < from + FETCH_SLOTS; i++) {
        log_term term = log_term_at(f->log, i);
        if (term == 0 || slot_of(f, i, term) != NULL) continue;
        struct slice cached = {0};
        if (log_get(f->log, i, term, &cached) != E_AGAIN) {
            slice_release(&cached);
            continue;
        }
        struct fetch_slot *s = slot_free(f, from);
        if (s == NULL) return;
        read_start(f, s, i, term);
    }
}

int fetch_get(struct fetch *f, log_index i, log_term term, log_index until, struct slice *out)
{
    *out = (struct slice){0};
    int rc = log_get(f->log, i, term, out);
    if (rc != E_AGAIN) return rc;
    struct fetch_slot *s = slot_of(f, i, term);
    if (s == NULL || s->state == FETCH_READING) {
        read_ahead(f, i, until);
        return E_AGAIN;
    }
    rc = s->state == FETCH_READY ? 0 : E_NOTFOUND;
    *out = s->payload;
    s->payload = (struct slice){0};
    slot_clear(s);
    return rc;
}

void fetch_forget(struct fetch *f)
{
    for (size_t k = 0; k < FETCH_SLOTS; k++) {
        if (f->slots[k].state == FETCH_READING)
            f->slots[k].forgotten = true;
        else
            slot_clear(&f->slots[k]);
    }
}

void fetch_close(struct fetch *f)
{
    for (size_t k = 0; k < FETCH_SLOTS; k++) {
        slice_release(&f->slots[k].payload);
    }
}
