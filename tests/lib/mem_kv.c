#include "tests/lib/mem_kv.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/keys.h"

struct row {
    struct slice key, value;
    uint64_t file; /* of KV_DATA: the flush that made it durable; 0: not yet */
};
struct table {
    struct row *rows;
    size_t count, max;
};
struct mem_kv {
    struct kv kv;
    struct table now[KV_FAMILIES], durable[KV_FAMILIES];
    uint64_t flushes, fuse, changes;
};
struct op {
    char kind; /* p, d, r */
    enum kv_family family;
    struct slice key, value;
};
struct kv_batch {
    struct op *ops;
    size_t count, max;
};
struct kv_iter {
    struct table rows; /* a copy: a view as of then */
    size_t at;
};

static struct mem_kv *self(struct kv *kv)
{
    return (struct mem_kv *)(void *)kv;
}

static struct text text_of_slice(struct slice s)
{
    return (struct text){.at = (const char *)s.at, .bytes = s.bytes};
}

static int compare(struct text a, struct text b)
{
    size_t bytes = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = memcmp(a.at, b.at, bytes);
    if (order != 0) return order;
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

/* The first row at or behind key. */
static size_t lower(const struct table *t, struct text key)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(text_of_slice(t->rows[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool at_key(const struct table *t, size_t at, struct text key)
{
    return at < t->count && compare(text_of_slice(t->rows[at].key), key) == 0;
}

static void row_release(struct row *r)
{
    slice_release(&r->key);
    slice_release(&r->value);
}

static void table_remove(struct table *t, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        row_release(&t->rows[i]);
    memmove(&t->rows[from], &t->rows[to], (t->count - to) * sizeof *t->rows);
    t->count -= to - from;
}

static void table_put(struct table *t, struct text key, struct text value)
{
    size_t at = lower(t, key);
    struct row row = {.key = slice_copy(key.at, key.bytes),
                      .value = slice_copy(value.at, value.bytes)};
    if (at_key(t, at, key)) {
        row_release(&t->rows[at]);
        t->rows[at] = row;
        return;
    }
    if (t->count == t->max) {
        t->max = t->max == 0 ? 64 : t->max * 2;
        t->rows = check_realloc(t->rows, t->max * sizeof *t->rows);
    }
    memmove(&t->rows[at + 1], &t->rows[at], (t->count - at) * sizeof row);
    t->rows[at] = row;
    t->count++;
}

static void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        row_release(&t->rows[i]);
    free(t->rows);
    *t = (struct table){0};
}

/* Rows are copied with their bytes: counts of slices are not made for several threads. */
static void table_copy(struct table *to, const struct table *from)
{
    table_free(to);
    to->max = to->count = from->count;
    to->rows = check_alloc((from->count + 1) * sizeof *to->rows);
    for (size_t i = 0; i < from->count; i++) {
        const struct row *r = &from->rows[i];
        to->rows[i] = (struct row){.key = slice_copy(r->key.at, r->key.bytes),
                                   .value = slice_copy(r->value.at, r->value.bytes),
                                   .file = r->file};
    }
}

/* One more change; false: the process is dead already. */
static bool change(struct mem_kv *m)
{
    if (m->fuse == 0) return false;
    if (m->fuse != UINT64_MAX) m->fuse--;
    m->changes++;
    return true;
}

static int mem_get(struct kv *kv, enum kv_family family, struct text key, struct kv_pin *out)
{
    struct table *t = &self(kv)->now[family];
    size_t at = lower(t, key);
    if (!at_key(t, at, key)) return E_NOTFOUND;
    struct slice *copy = check_alloc(sizeof *copy);
    *copy = slice_copy(t->rows[at].value.at, t->rows[at].value.bytes);
    *out = (struct kv_pin){.value = text_of_slice(*copy), .impl = copy};
    return 0;
}

static void mem_unpin(struct kv *kv, struct kv_pin *pin)
{
    (void)kv;
    slice_release(pin->impl);
    free(pin->impl);
    *pin = (struct kv_pin){0};
}

static struct kv_batch *mem_batch_new(struct kv *kv)
{
    (void)kv;
    return check_alloc(sizeof(struct kv_batch));
}

static void batch_add(struct kv_batch *b, char kind, enum kv_family f, struct text k, struct text v)
{
    if (b->count == b->max) {
        b->max = b->max == 0 ? 16 : b->max * 2;
        b->ops = check_realloc(b->ops, b->max * sizeof *b->ops);
    }
    b->ops[b->count++] = (struct op){.kind = kind,
                                     .family = f,
                                     .key = slice_copy(k.at, k.bytes),
                                     .value = slice_copy(v.at, v.bytes)};
}

static void mem_batch_put(struct kv_batch *b, enum kv_family f, struct text key, struct text value)
{
    batch_add(b, 'p', f, key, value);
}

static void mem_batch_del(struct kv_batch *b, enum kv_family f, struct text key)
{
    batch_add(b, 'd', f, key, TEXT(""));
}

static void
mem_batch_del_range(struct kv_batch *b, enum kv_family f, struct text from, struct text to)
{
    batch_add(b, 'r', f, from, to);
}

static void mem_batch_clear(struct kv_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        slice_release(&b->ops[i].key);
        slice_release(&b->ops[i].value);
    }
    b->count = 0;
}

static void mem_batch_free(struct kv_batch *b)
{
    if (b == NULL) return;
    mem_batch_clear(b);
    free(b->ops);
    free(b);
}

/* KV_DATA is append-only: an old key in a new file would make files overlap (store.md, rule 5). */
static void check_number(const struct mem_kv *m, struct text key)
{
    const struct table *t = &m->now[KV_DATA];
    size_t i = t->count;
    while (i > 0 && t->rows[i - 1].file == 0)
        i--;
    if (i > 0) CHECK(compare(text_of_slice(t->rows[i - 1].key), key) < 0);
}

static int mem_write(struct kv *kv, struct kv_batch *b)
{
    struct mem_kv *m = self(kv);
    if (!change(m)) return 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct op *op = &b->ops[i];
        struct table *t = &m->now[op->family];
        struct text key = text_of_slice(op->key), value = text_of_slice(op->value);
        size_t at = lower(t, key);
        if (op->kind == 'p' && op->family == KV_DATA) check_number(m, key);
        if (op->kind == 'p') table_put(t, key, value);
        if (op->kind == 'd' && at_key(t, at, key)) table_remove(t, at, at + 1);
        if (op->kind == 'r') table_remove(t, at, lower(t, value));
    }
    return 0;
}

static int mem_flush(struct kv *kv, enum kv_family family, bool wait)
{
    struct mem_kv *m = self(kv);
    (void)wait;
    if (!change(m)) return 0;
    m->flushes++;
    for (size_t i = 0; i < m->now[family].count; i++)
        if (m->now[family].rows[i].file == 0) m->now[family].rows[i].file = m->flushes;
    table_copy(&m->durable[family], &m->now[family]);
    return 0;
}

static struct kv_iter *mem_iter_new(struct kv *kv, enum kv_family family, bool bulk)
{
    (void)bulk;
    struct kv_iter *it = check_alloc(sizeof *it);
    table_copy(&it->rows, &self(kv)->now[family]);
    it->at = SIZE_MAX;
    return it;
}

static void mem_iter_seek(struct kv_iter *it, struct text key)
{
    it->at = lower(&it->rows, key);
}

static void mem_iter_seek_for_prev(struct kv_iter *it, struct text key)
{
    it->at = lower(&it->rows, key);
    if (!at_key(&it->rows, it->at, key)) it->at = it->at == 0 ? SIZE_MAX : it->at - 1;
}

static void mem_iter_next(struct kv_iter *it)
{
    it->at++;
}

static bool mem_iter_valid(struct kv_iter *it)
{
    return it->at < it->rows.count;
}

static struct text mem_iter_key(struct kv_iter *it)
{
    return text_of_slice(it->rows.rows[it->at].key);
}

static struct text mem_iter_value(struct kv_iter *it)
{
    return text_of_slice(it->rows.rows[it->at].value);
}

static int mem_iter_error(struct kv_iter *it)
{
    (void)it;
    return 0;
}

static void mem_iter_free(struct kv_iter *it)
{
    if (it == NULL) return;
    table_free(&it->rows);
    free(it);
}

/* Keys of the file that begins at row i: [i, end). */
static size_t file_end(const struct table *t, size_t i)
{
    size_t end = i;
    while (end < t->count && t->rows[end].file == t->rows[i].file)
        end++;
    return end;
}

static int mem_delete_files(struct kv *kv, struct text first, struct text last)
{
    struct mem_kv *m = self(kv);
    if (!change(m)) return 0;
    struct table *t = &m->now[KV_DATA];
    for (size_t i = 0; i < t->count;) {
        size_t end = file_end(t, i);
        bool whole = t->rows[i].file != 0 && compare(text_of_slice(t->rows[i].key), first) >= 0 &&
                     compare(text_of_slice(t->rows[end - 1].key), last) <= 0;
        if (!whole) {
            i = end;
            continue;
        }
        size_t durable = lower(&m->durable[KV_DATA], text_of_slice(t->rows[i].key));
        table_remove(&m->durable[KV_DATA], durable, durable + (end - i));
        table_remove(t, i, end);
    }
    return 0;
}

static void mem_files(struct kv *kv, void (*each)(void *ctx, const struct kv_file *f), void *ctx)
{
    const struct table *t = &self(kv)->durable[KV_DATA];
    for (size_t i = 0; i < t->count;) {
        size_t end = file_end(t, i);
        struct kv_file f = {.first = text_of_slice(t->rows[i].key),
                            .last = text_of_slice(t->rows[end - 1].key)};
        for (size_t j = i; j < end; j++)
            f.bytes += t->rows[j].value.bytes;
        each(ctx, &f);
        i = end;
    }
}

static int mem_checkpoint(struct kv *kv, const char *dir)
{
    (void)kv;
    (void)dir;
    return 0;
}

static void mem_figures(struct kv *kv, struct kv_figures *out)
{
    (void)kv;
    *out = (struct kv_figures){0};
}

static void mem_close(struct kv *kv)
{
    (void)kv;
}

static const struct kv_ops mem_ops = {
    .get = mem_get,
    .unpin = mem_unpin,
    .batch_new = mem_batch_new,
    .batch_put = mem_batch_put,
    .batch_del = mem_batch_del,
    .batch_del_range = mem_batch_del_range,
    .batch_clear = mem_batch_clear,
    .batch_free = mem_batch_free,
    .write = mem_write,
    .flush = mem_flush,
    .iter_new = mem_iter_new,
    .iter_seek = mem_iter_seek,
    .iter_seek_for_prev = mem_iter_seek_for_prev,
    .iter_next = mem_iter_next,
    .iter_valid = mem_iter_valid,
    .iter_key = mem_iter_key,
    .iter_value = mem_iter_value,
    .iter_error = mem_iter_error,
    .iter_free = mem_iter_free,
    .delete_files = mem_delete_files,
    .files = mem_files,
    .checkpoint = mem_checkpoint,
    .figures = mem_figures,
    .close = mem_close,
};

struct mem_kv *mem_kv_new(void)
{
    struct mem_kv *m = check_alloc(sizeof *m);
    m->kv.ops = &mem_ops;
    m->fuse = UINT64_MAX;
    return m;
}

void mem_kv_free(struct mem_kv *m)
{
    for (int f = 0; f < KV_FAMILIES; f++) {
        table_free(&m->now[f]);
        table_free(&m->durable[f]);
    }
    free(m);
}

struct kv *mem_kv_open(struct mem_kv *m)
{
    return &m->kv;
}

void mem_kv_fuse(struct mem_kv *m, uint64_t calls)
{
    m->fuse = calls;
}

bool mem_kv_dead(const struct mem_kv *m)
{
    return m->fuse == 0;
}

void mem_kv_crash(struct mem_kv *m)
{
    for (int f = 0; f < KV_FAMILIES; f++)
        table_copy(&m->now[f], &m->durable[f]);
    m->fuse = UINT64_MAX;
}

static struct row *data_row(struct table *t, uint64_t number)
{
    struct key key = keys_data(number);
    size_t at = lower(t, key_text(&key));
    return at_key(t, at, key_text(&key)) ? &t->rows[at] : NULL;
}

bool mem_kv_damage(struct mem_kv *m, uint64_t number, size_t at)
{
    struct row *r = data_row(&m->now[KV_DATA], number);
    if (r == NULL) return false;
    r->value.at[at % r->value.bytes] ^= 1;
    return true;
}

bool mem_kv_lose(struct mem_kv *m, uint64_t number)
{
    struct row *r = data_row(&m->now[KV_DATA], number);
    if (r == NULL) return false;
    size_t at = (size_t)(r - m->now[KV_DATA].rows);
    table_remove(&m->now[KV_DATA], at, at + 1);
    return true;
}

size_t mem_kv_rows(const struct mem_kv *m, enum kv_family family)
{
    return m->now[family].count;
}

size_t mem_kv_files(const struct mem_kv *m)
{
    size_t files = 0;
    const struct table *t = &m->durable[KV_DATA];
    for (size_t i = 0; i < t->count; i = file_end(t, i))
        files++;
    return files;
}

uint64_t mem_kv_changes(const struct mem_kv *m)
{
    return m->changes;
}
