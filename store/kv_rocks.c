/* kv_rocks.c - RocksDB behind kv.h; the only file that names it. Options and their reasons:
 * store.md 8. Neither family ever flushes or rotates by itself (write_buffer_size 1 GiB): the store
 * decides, since the order of flushes is what makes a crash harmless. In `data` every file moves to
 * level 1 by name and stays there until it is deleted whole. */
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/logger.h"
#include "store/kv.h"

#define OPEN_FILES_MAX 4096 /* a table that must be opened again makes a get 26 us instead of 8 */

struct rocks {
    struct kv kv;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family[KV_FAMILIES];
    rocksdb_options_t *options[KV_FAMILIES];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *get_options;
};

struct kv_batch {
    struct rocks *of;
    rocksdb_writebatch_t *batch;
};

struct kv_iter {
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *options;
};

static struct rocks *self(struct kv *kv)
{
    return (struct rocks *)(void *)kv;
}

/* RocksDB's own word for it, of its LOCK file: nothing failed, somebody else has the store open. */
static bool is_locked(const char *text)
{
    return (strstr(text, "lock file") != NULL && strstr(text, "temporarily unavailable") != NULL) ||
           strstr(text, "lock hold by") != NULL;
}

/* RocksDB's text becomes an error code here; the text goes to the log. */
static int take_error(char *text, const char *what)
{
    if (text == NULL) return 0;
    int rc = strstr(text, "Corruption") != NULL ? E_CORRUPT : E_IO;
    LOG_CODE(ERR, LOG_DISK, "RocksDB %s: %s", what, text);
    rocksdb_free(text);
    return rc;
}

static int rocks_get(struct kv *kv, enum kv_family family, struct text key, struct kv_pin *out)
{
    struct rocks *r = self(kv);
    char *error = NULL;
    rocksdb_pinnableslice_t *pin =
        rocksdb_get_pinned_cf(r->db, r->get_options, r->family[family], key.at, key.bytes, &error);
    if (error != NULL) return take_error(error, "get");
    if (pin == NULL) return E_NOTFOUND;
    out->impl = pin;
    out->value.at = rocksdb_pinnableslice_value(pin, &out->value.bytes);
    return 0;
}

static void rocks_unpin(struct kv *kv, struct kv_pin *pin)
{
    (void)kv;
    rocksdb_pinnableslice_destroy(pin->impl);
    *pin = (struct kv_pin){0};
}

static struct kv_batch *rocks_batch_new(struct kv *kv)
{
    struct kv_batch *b = check_alloc(sizeof *b);
    b->of = self(kv);
    b->batch = rocksdb_writebatch_create();
    return b;
}

static void
rocks_batch_put(struct kv_batch *b, enum kv_family family, struct text key, struct text value)
{
    rocksdb_writebatch_put_cf(b->batch, b->of->family[family], key.at, key.bytes, value.at,
                              value.bytes);
}

static void rocks_batch_del(struct kv_batch *b, enum kv_family family, struct text key)
{
    rocksdb_writebatch_delete_cf(b->batch, b->of->family[family], key.at, key.bytes);
}

static void
rocks_batch_del_range(struct kv_batch *b, enum kv_family family, struct text from, struct text to)
{
    rocksdb_writebatch_delete_range_cf(b->batch, b->of->family[family], from.at, from.bytes, to.at,
                                       to.bytes);
}

static void rocks_batch_clear(struct kv_batch *b)
{
    rocksdb_writebatch_clear(b->batch);
}

static void rocks_batch_free(struct kv_batch *b)
{
    if (b == NULL) return;
    rocksdb_writebatch_destroy(b->batch);
    free(b);
}

static int rocks_write(struct kv *kv, struct kv_batch *b)
{
    struct rocks *r = self(kv);
    char *error = NULL;
    rocksdb_write(r->db, r->write_options, b->batch, &error);
    return take_error(error, "write");
}

static uint64_t figure(struct rocks *r, enum kv_family family, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int_cf(r->db, r->family[family], name, &value) == 0 ? value : 0;
}

/* A flush that finds two memtables makes one file of both, which goes only when both are dead.
 * RocksDB has no call that waits for one flush without starting another. */
static void wait_for_earlier_flush(struct rocks *r, enum kv_family family)
{
    const struct timespec pause = {.tv_nsec = 300 * (long)NS_PER_US};
    while (figure(r, family, "rocksdb.num-immutable-mem-table") > 0 &&
           figure(r, family, "rocksdb.background-errors") == 0)
        nanosleep(&pause, NULL);
}

static int rocks_flush(struct kv *kv, enum kv_family family, bool wait)
{
    struct rocks *r = self(kv);
    char *error = NULL;
    wait_for_earlier_flush(r, family);
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, wait);
    rocksdb_flush_cf(r->db, options, r->family[family], &error);
    rocksdb_flushoptions_destroy(options);
    return take_error(error, "flush");
}

static struct kv_iter *rocks_iter_new(struct kv *kv, enum kv_family family, bool bulk)
{
    struct rocks *r = self(kv);
    struct kv_iter *it = check_alloc(sizeof *it);
    it->options = rocksdb_readoptions_create();
    if (bulk) {
        rocksdb_readoptions_set_fill_cache(it->options, 0);
        rocksdb_readoptions_set_readahead_size(it->options, MIB(1));
    }
    it->it = rocksdb_create_iterator_cf(r->db, it->options, r->family[family]);
    return it;
}

static void rocks_iter_seek(struct kv_iter *it, struct text key)
{
    rocksdb_iter_seek(it->it, key.at, key.bytes);
}

static void rocks_iter_seek_for_prev(struct kv_iter *it, struct text key)
{
    rocksdb_iter_seek_for_prev(it->it, key.at, key.bytes);
}

static void rocks_iter_next(struct kv_iter *it)
{
    rocksdb_iter_next(it->it);
}

static bool rocks_iter_valid(struct kv_iter *it)
{
    return rocksdb_iter_valid(it->it) != 0;
}

static struct text rocks_iter_key(struct kv_iter *it)
{
    struct text key;
    key.at = rocksdb_iter_key(it->it, &key.bytes);
    return key;
}

static struct text rocks_iter_value(struct kv_iter *it)
{
    struct text value;
    value.at = rocksdb_iter_value(it->it, &value.bytes);
    return value;
}

static int rocks_iter_error(struct kv_iter *it)
{
    char *error = NULL;
    rocksdb_iter_get_error(it->it, &error);
    return take_error(error, "iterator");
}

static void rocks_iter_free(struct kv_iter *it)
{
    if (it == NULL) return;
    rocksdb_iter_destroy(it->it);
    rocksdb_readoptions_destroy(it->options);
    free(it);
}

static int rocks_delete_files(struct kv *kv, struct text first, struct text last)
{
    struct rocks *r = self(kv);
    char *error = NULL;
    rocksdb_delete_file_in_range_cf(r->db, r->family[KV_DATA], first.at, first.bytes, last.at,
                                    last.bytes, &error);
    return take_error(error, "delete files");
}

static void
rocks_files(struct kv *kv, void (*each)(void *ctx, const struct kv_file *file), void *ctx)
{
    struct rocks *r = self(kv);
    const rocksdb_livefiles_t *list = rocksdb_livefiles(r->db);
    int count = rocksdb_livefiles_count(list);
    for (int i = 0; i < count; i++) {
        if (strcmp(rocksdb_livefiles_column_family_name(list, i), "default") != 0) continue;
        struct kv_file f = {.bytes = rocksdb_livefiles_size(list, i)};
        f.first.at = rocksdb_livefiles_smallestkey(list, i, &f.first.bytes);
        f.last.at = rocksdb_livefiles_largestkey(list, i, &f.last.bytes);
        each(ctx, &f);
    }
    rocksdb_livefiles_destroy(list);
}

static int rocks_checkpoint(struct kv *kv, const char *dir)
{
    struct rocks *r = self(kv);
    char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(r->db, &error);
    if (error != NULL) return take_error(error, "checkpoint");
    /* UINT64_MAX: never waits for a flush of its own making; the caller has just flushed. */
    rocksdb_checkpoint_create(checkpoint, dir, UINT64_MAX, &error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return take_error(error, "checkpoint");
}

static void rocks_figures(struct kv *kv, struct kv_figures *out)
{
    struct rocks *r = self(kv);
    *out = (struct kv_figures){.memory_bytes = rocksdb_cache_get_usage(r->cache)};
    for (enum kv_family f = KV_DATA; f < KV_FAMILIES; f++) {
        out->memory_bytes += figure(r, f, "rocksdb.cur-size-all-mem-tables");
        out->memory_bytes += figure(r, f, "rocksdb.estimate-table-readers-mem");
        out->disk_bytes += figure(r, f, "rocksdb.live-sst-files-size");
    }
}

static void release(struct rocks *r)
{
    for (enum kv_family f = KV_DATA; f < KV_FAMILIES; f++) {
        if (r->family[f] != NULL) rocksdb_column_family_handle_destroy(r->family[f]);
        if (r->db == NULL && r->options[f] != NULL) rocksdb_options_destroy(r->options[f]);
    }
    if (r->db != NULL) {
        rocksdb_close(r->db);
        for (enum kv_family f = KV_DATA; f < KV_FAMILIES; f++)
            rocksdb_options_destroy(r->options[f]);
    }
    if (r->cache != NULL) rocksdb_cache_destroy(r->cache);
    if (r->write_options != NULL) rocksdb_writeoptions_destroy(r->write_options);
    if (r->get_options != NULL) rocksdb_readoptions_destroy(r->get_options);
    free(r);
}

static void rocks_close(struct kv *kv)
{
    release(self(kv));
}

static const struct kv_ops rocks_ops = {
    .get = rocks_get,
    .unpin = rocks_unpin,
    .batch_new = rocks_batch_new,
    .batch_put = rocks_batch_put,
    .batch_del = rocks_batch_del,
    .batch_del_range = rocks_batch_del_range,
    .batch_clear = rocks_batch_clear,
    .batch_free = rocks_batch_free,
    .write = rocks_write,
    .flush = rocks_flush,
    .iter_new = rocks_iter_new,
    .iter_seek = rocks_iter_seek,
    .iter_seek_for_prev = rocks_iter_seek_for_prev,
    .iter_next = rocks_iter_next,
    .iter_valid = rocks_iter_valid,
    .iter_key = rocks_iter_key,
    .iter_value = rocks_iter_value,
    .iter_error = rocks_iter_error,
    .iter_free = rocks_iter_free,
    .delete_files = rocks_delete_files,
    .files = rocks_files,
    .checkpoint = rocks_checkpoint,
    .figures = rocks_figures,
    .close = rocks_close,
};

/* What both families have in common, and the database's own options (taken from KV_DATA's). */
static rocksdb_options_t *options_new(struct rocks *r, size_t block_bytes, bool bloom, bool direct)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(o, GIB(1));
    rocksdb_options_set_max_write_buffer_number(o, 4);
    rocksdb_options_set_min_write_buffer_number_to_merge(o, 1);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_max_open_files(o, OPEN_FILES_MAX);
    rocksdb_options_set_max_file_opening_threads(o, 1);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_log_file_size(o, MIB(4));
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(o, direct);
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, r->cache);
    rocksdb_block_based_options_set_block_size(t, block_bytes);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    if (bloom) {
        rocksdb_block_based_options_set_filter_policy(t,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
    }
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
    return o;
}

static void options_fill(struct rocks *r, bool direct)
{
    rocksdb_options_t *data = options_new(r, KIB(16), false, direct);
    rocksdb_options_set_num_levels(data, 2);
    rocksdb_options_set_max_bytes_for_level_base(data, UINT64_C(1) << 50);
    rocksdb_options_set_level0_file_num_compaction_trigger(data, 1);
    rocksdb_options_set_target_file_size_base(data, GIB(1));
    rocksdb_options_t *state = options_new(r, KIB(8), true, direct);
    rocksdb_options_set_num_levels(state, 7);
    rocksdb_options_set_max_bytes_for_level_base(state, MIB(64));
    rocksdb_options_set_level0_file_num_compaction_trigger(state, 4);
    rocksdb_options_set_target_file_size_base(state, MIB(16));
    r->options[KV_DATA] = data;
    r->options[KV_STATE] = state;
}

static char *open_once(struct rocks *r, const char *dir, bool direct)
{
    static const char *const names[KV_FAMILIES] = {[KV_DATA] = "default", [KV_STATE] = "state"};
    char *error = NULL;
    options_fill(r, direct);
    const rocksdb_options_t *options[KV_FAMILIES] = {r->options[KV_DATA], r->options[KV_STATE]};
    r->db = rocksdb_open_column_families(r->options[KV_DATA], dir, KV_FAMILIES, names, options,
                                         r->family, &error);
    if (error == NULL) return NULL;
    r->db = NULL;
    for (enum kv_family f = KV_DATA; f < KV_FAMILIES; f++) {
        rocksdb_options_destroy(r->options[f]);
        r->options[f] = NULL;
    }
    return error;
}

/* O_DIRECT is tried on a file of our own: RocksDB itself would only fail at its first flush. */
static bool direct_possible(const char *dir)
{
    char path[4096];
    int bytes = snprintf(path, sizeof path, "%s/direct.probe", dir);
    if (bytes < 0 || (size_t)bytes >= sizeof path) return false;
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    void *page = NULL;
    bool possible = posix_memalign(&page, 4096, 4096) == 0;
    if (possible) {
        memset(page, 0, 4096);
        possible = pwrite(fd, page, 4096, 0) == 4096;
    }
    free(page);
    close(fd);
    unlink(path);
    return possible;
}

int kv_rocks_open(struct env *env, const char *dir, uint64_t cache_bytes, struct kv **out)
{
    int rc = env->ops->mkdir(env, dir);
    if (rc != 0) return rc;
    struct rocks *r = check_alloc(sizeof *r);
    r->kv.ops = &rocks_ops;
    rocksdb_lru_cache_options_t *cache = rocksdb_lru_cache_options_create();
    rocksdb_lru_cache_options_set_capacity(cache, cache_bytes < MIB(1) ? MIB(1) : cache_bytes);
    rocksdb_lru_cache_options_set_num_shard_bits(cache, 0);
    r->cache = rocksdb_cache_create_lru_opts(cache);
    rocksdb_lru_cache_options_destroy(cache);
    char *error = open_once(r, dir, direct_possible(dir));
    if (error != NULL) {
        release(r);
        if (!is_locked(error)) return take_error(error, "open");
        rocksdb_free(error);
        return E_BUSY;
    }
    r->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(r->write_options, 1);
    r->get_options = rocksdb_readoptions_create();
    *out = &r->kv;
    return 0;
}
