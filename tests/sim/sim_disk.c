/* sim_disk.c - see sim_disk.h. */
#include "tests/sim/sim_disk.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "tests/sim/sim_bytes.h"

#define SECTOR 512u

enum call_kind { CALL_WRITE, CALL_TRUNCATE, CALL_SYNC };
struct call {
    enum call_kind kind;
    uint64_t start_ns, end_ns;
    uint64_t offset; /* truncate: the new size */
    uint8_t *data;
    size_t bytes;
};
struct sim_inode {
    struct sim_inode *next;
    struct sim_bytes now, durable;
    struct call *calls; /* since the last sync that has ended */
    size_t calls_count, calls_max;
};
struct sim_name {
    char *path;
    struct sim_inode *inode;
};
/* inode == NULL: the name goes. A sync: path is the folder's. */
struct sim_name_change {
    uint64_t start_ns, end_ns;
    char *path;
    struct sim_inode *inode;
    bool sync;
    bool first_half; /* of a rename: never without the next change */
};
struct env_file {
    struct sim_disk *disk;
    struct sim_inode *inode;
};

void sim_disk_init(struct sim_disk *d, struct sim *s)
{
    *d = (struct sim_disk){.sim = s};
}

/* ---- time ---- */

/* On the loop calls take no time: what is started there has ended when it returns. */
static uint64_t latency(struct sim_disk *d, uint64_t low_ns, uint64_t high_ns, bool may_be_slow)
{
    if (d->blocking) return 0;
    if (may_be_slow && d->slow_ns_max > NS_PER_MS && sim_chance(d->sim, d->slow_per_mille))
        return sim_log_uniform(d->sim, NS_PER_MS, d->slow_ns_max);
    return sim_between(d->sim, low_ns, high_ns);
}

/* Does the process die in this call? Then whoever asked makes half of it, and calls sim_die. */
static bool dies(struct sim_disk *d)
{
    d->calls++;
    return d->die_in != 0 && --d->die_in == 0;
}

/* ---- content ---- */

static void apply(struct sim_bytes *to, const struct call *c)
{
    if (c->kind == CALL_WRITE) sim_bytes_write(to, c->offset, c->data, c->bytes);
    if (c->kind == CALL_TRUNCATE) sim_bytes_truncate(to, c->offset);
}

static void drop_calls(struct sim_inode *i, size_t count)
{
    if (count == 0) return;
    for (size_t c = 0; c < count; c++)
        free(i->calls[c].data);
    i->calls_count -= count;
    memmove(i->calls, i->calls + count, i->calls_count * sizeof *i->calls);
}

/* Calls before a sync that has ended are durable. */
static void fold(struct sim_inode *i, uint64_t now_ns)
{
    size_t durable = 0;
    for (size_t c = 0; c < i->calls_count; c++) {
        if (i->calls[c].kind == CALL_SYNC && i->calls[c].end_ns <= now_ns) durable = c + 1;
    }
    for (size_t c = 0; c < durable; c++)
        apply(&i->durable, &i->calls[c]);
    if (durable > 0) drop_calls(i, durable);
}

static void add_call(struct env_file *f, struct call c, uint64_t took_ns)
{
    struct sim_inode *i = f->inode;
    struct sim_disk *d = f->disk;
    c.start_ns = d->clock_ns;
    c.end_ns = d->clock_ns += took_ns;
    fold(i, d->sim->now_ns);
    if (i->calls_count == i->calls_max) {
        i->calls_max = i->calls_max == 0 ? 8 : i->calls_max * 2;
        i->calls = check_realloc(i->calls, i->calls_max * sizeof *i->calls);
    }
    i->calls[i->calls_count++] = c;
    apply(&i->now, &c);
}

int sim_disk_write(struct env_file *f, uint64_t offset, const void *from, size_t bytes)
{
    struct sim_disk *d = f->disk;
    struct call c = {.kind = CALL_WRITE, .offset = offset, .bytes = bytes};
    bool death = dies(d);
    if (death) c.bytes = (size_t)sim_below(d->sim, bytes + 1) / SECTOR * SECTOR;
    c.data = check_alloc(bytes);
    memcpy(c.data, from, bytes);
    add_call(f, c, latency(d, 20 * NS_PER_US + bytes, 100 * NS_PER_US + bytes * 4, false));
    if (death) sim_die(d->sim);
    return 0;
}

int sim_disk_truncate(struct env_file *f, uint64_t bytes)
{
    if (dies(f->disk)) sim_die(f->disk->sim);
    add_call(f, (struct call){.kind = CALL_TRUNCATE, .offset = bytes},
             latency(f->disk, 20 * NS_PER_US, 100 * NS_PER_US, false));
    return 0;
}

int sim_disk_sync(struct env_file *f)
{
    if (dies(f->disk)) sim_die(f->disk->sim);
    add_call(f, (struct call){.kind = CALL_SYNC},
             latency(f->disk, 300 * NS_PER_US, 3 * NS_PER_MS, true));
    return 0;
}

int sim_disk_read(struct env_file *f, uint64_t offset, void *to, size_t bytes, size_t *got)
{
    uint64_t size = f->inode->now.bytes;
    f->disk->clock_ns += latency(f->disk, 50 * NS_PER_US, 2 * NS_PER_MS, true);
    *got = offset >= size ? 0 : size - offset < bytes ? (size_t)(size - offset) : bytes;
    sim_bytes_read(&f->inode->now, offset, to, *got);
    return 0;
}

int sim_disk_size(struct env_file *f, uint64_t *out)
{
    *out = f->inode->now.bytes;
    return 0;
}

/* ---- names ---- */

static struct sim_name *find(struct sim_name *names, size_t count, const char *path)
{
    for (size_t n = 0; n < count; n++) {
        if (strcmp(names[n].path, path) == 0) return &names[n];
    }
    return NULL;
}

/* inode == NULL: the name goes. */
static void set_name(struct sim_name **names,
                     size_t *count,
                     size_t *max,
                     const char *path,
                     struct sim_inode *inode)
{
    struct sim_name *n = find(*names, *count, path);
    if (inode == NULL) {
        if (n == NULL) return;
        free(n->path);
        *n = (*names)[--*count];
        return;
    }
    if (n == NULL) {
        if (*count == *max) {
            *max = *max == 0 ? 16 : *max * 2;
            *names = check_realloc(*names, *max * sizeof **names);
        }
        n = &(*names)[(*count)++];
        n->path = check_strdup(path);
    }
    n->inode = inode;
}

static void set_durable(struct sim_disk *d, const char *path, struct sim_inode *inode)
{
    set_name(&d->names_durable, &d->names_durable_count, &d->names_durable_max, path, inode);
}

static bool in_folder(const char *path, const char *folder, const char **name)
{
    size_t bytes = strlen(folder);
    if (strncmp(path, folder, bytes) != 0 || path[bytes] != '/') return false;
    *name = path + bytes + 1;
    return strchr(*name, '/') == NULL;
}

static void drop_changes(struct sim_disk *d, size_t count)
{
    if (count == 0) return;
    for (size_t c = 0; c < count; c++)
        free(d->changes[c].path);
    d->changes_count -= count;
    memmove(d->changes, d->changes + count, d->changes_count * sizeof *d->changes);
}

/* Folders' journals are one here: a sync of any makes all changes before it durable. */
static void fold_names(struct sim_disk *d, uint64_t now_ns)
{
    size_t durable = 0;
    for (size_t c = 0; c < d->changes_count; c++) {
        if (d->changes[c].sync && d->changes[c].end_ns <= now_ns) durable = c + 1;
    }
    for (size_t c = 0; c < durable; c++) {
        if (!d->changes[c].sync) set_durable(d, d->changes[c].path, d->changes[c].inode);
    }
    if (durable > 0) drop_changes(d, durable);
}

static void change_name(struct sim_disk *d, const char *path, struct sim_inode *inode, bool sync)
{
    uint64_t took_ns = latency(d, 20 * NS_PER_US, (sync ? 2000 : 100) * NS_PER_US, sync);
    if (dies(d)) sim_die(d->sim);
    fold_names(d, d->sim->now_ns);
    if (d->changes_count == d->changes_max) {
        d->changes_max = d->changes_max == 0 ? 16 : d->changes_max * 2;
        d->changes = check_realloc(d->changes, d->changes_max * sizeof *d->changes);
    }
    struct sim_name_change *c = &d->changes[d->changes_count++];
    *c = (struct sim_name_change){.path = check_strdup(path), .inode = inode, .sync = sync};
    c->start_ns = d->clock_ns;
    c->end_ns = d->clock_ns += took_ns;
    if (!sync) set_name(&d->names, &d->names_count, &d->names_max, path, inode);
}

int sim_disk_open(struct sim_disk *d, const char *path, int flags, struct env_file **out)
{
    struct sim_name *n = find(d->names, d->names_count, path);
    if (n == NULL && (flags & ENV_CREATE) == 0) return E_NOTFOUND;
    if (n != NULL && (flags & ENV_EXCL) != 0) return E_EXISTS;
    struct sim_inode *inode = n == NULL ? NULL : n->inode;
    if (inode == NULL) {
        inode = check_alloc(sizeof *inode);
        inode->next = d->inodes;
        d->inodes = inode;
        change_name(d, path, inode, false);
    }
    *out = check_alloc(sizeof **out);
    **out = (struct env_file){.disk = d, .inode = inode};
    return 0;
}

void sim_disk_close(struct env_file *f)
{
    free(f);
}

int sim_disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    struct sim_name *n = find(d->names, d->names_count, from);
    if (n == NULL) return E_NOTFOUND;
    struct sim_inode *inode = n->inode;
    change_name(d, to, inode, false);
    d->changes[d->changes_count - 1].first_half = true;
    change_name(d, from, NULL, false);
    return 0;
}

int sim_disk_unlink(struct sim_disk *d, const char *path)
{
    if (find(d->names, d->names_count, path) == NULL) return E_NOTFOUND;
    change_name(d, path, NULL, false);
    return 0;
}

int sim_disk_dir_sync(struct sim_disk *d, const char *path)
{
    change_name(d, path, NULL, true);
    return 0;
}

int sim_disk_list(struct sim_disk *d,
                  const char *path,
                  void (*entry)(void *ctx, const char *name),
                  void *ctx)
{
    const char *name;
    for (size_t n = 0; n < d->names_count; n++) {
        if (in_folder(d->names[n].path, path, &name)) entry(ctx, name);
    }
    return 0;
}

/* ---- crash ---- */

/* Of a write that wasn't synced, so many sectors in 1000 reached the disk. */
static void
apply_sectors(struct sim_disk *d, struct sim_bytes *to, const struct call *c, unsigned per_mille)
{
    for (size_t at = 0; at < c->bytes;) {
        size_t part = SECTOR - (size_t)((c->offset + at) % SECTOR);
        if (part > c->bytes - at) part = c->bytes - at;
        if (sim_chance(d->sim, per_mille)) sim_bytes_write(to, c->offset + at, c->data + at, part);
        at += part;
    }
}

static void
crash_content(struct sim_disk *d, struct sim_inode *i, enum sim_crash how, unsigned per_mille)
{
    uint64_t now_ns = d->sim->now_ns;
    fold(i, now_ns);
    for (size_t c = 0; c < i->calls_count && i->calls[c].start_ns <= now_ns; c++) {
        const struct call *call = &i->calls[c];
        bool whole = how == SIM_KILL && call->end_ns <= now_ns;
        if (whole || call->kind == CALL_TRUNCATE)
            apply(&i->durable, call);
        else if (call->kind == CALL_WRITE)
            apply_sectors(d, &i->durable, call, how == SIM_KILL ? 500 : per_mille);
    }
    drop_calls(i, i->calls_count);
    sim_bytes_copy(&i->now, &i->durable);
}

static void crash_names(struct sim_disk *d, enum sim_crash how)
{
    uint64_t now_ns = d->sim->now_ns;
    fold_names(d, now_ns);
    size_t kept =
        how == SIM_KILL ? d->changes_count : (size_t)sim_below(d->sim, d->changes_count + 1);
    if (kept > 0 && d->changes[kept - 1].first_half) kept--;
    for (size_t c = 0; c < kept && d->changes[c].start_ns <= now_ns; c++) {
        if (!d->changes[c].sync) set_durable(d, d->changes[c].path, d->changes[c].inode);
    }
    drop_changes(d, d->changes_count);
    while (d->names_count > 0)
        free(d->names[--d->names_count].path);
    for (size_t n = 0; n < d->names_durable_count; n++)
        set_name(&d->names, &d->names_count, &d->names_max, d->names_durable[n].path,
                 d->names_durable[n].inode);
}

void sim_disk_crash(struct sim_disk *d, enum sim_crash how)
{
    static const unsigned chances[] = {0, 100, 500, 900, 1000};
    unsigned per_mille = chances[sim_below(d->sim, ARRAY_COUNT(chances))];
    for (struct sim_inode *i = d->inodes; i != NULL; i = i->next)
        crash_content(d, i, how, per_mille);
    crash_names(d, how);
    d->die_in = 0;
}
