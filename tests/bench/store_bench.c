/* store_bench.c - CPU per message of the store's paths, on real RocksDB in a temporary folder.
 *   store_bench [messages] [streams] [subjects] [payload bytes] [append|kv|queue]
 * kv: one message per subject is kept; queue: 1,000 messages are in flight, acked in order.
 * CPU is the whole process's, with the worker and RocksDB's threads; apply is the loop's own. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/base/limits.h"
#include "store/store.h"

struct bench {
    struct env *env;
    struct store *store;
    struct store_stream **streams;
    struct env_defer turn;
    struct env_timer pause;
    uint64_t messages, streams_count, subjects, payload;
    uint64_t sent, index;
    struct slice entry;
    uint64_t entry_used;
    bool flushing, finishing, kv, queue;
    double apply_cpu;
};

static double cpu(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void flushed(void *ctx, struct store_at at)
{
    struct bench *b = ctx;
    (void)at;
    b->flushing = false;
    if (b->finishing) env_uv_stop(b->env);
}

static void flush_start(struct bench *b)
{
    struct store_at at = {.index = b->index, .term = 1};
    if (store_flush(b->store, at, NULL, flushed, b) == 0) b->flushing = true;
}

static void remove_one(struct store_stream *ss, stream_seq seq)
{
    if (store_remove(ss, seq) != 0) abort();
}

/* One entry of 1 MiB: as many messages as it takes. */
static void entry(struct bench *b)
{
    uint64_t bytes = b->payload + 64, per_entry = MIB(1) / bytes + 1;
    struct slice payload = slice_alloc(per_entry * bytes);
    memset(payload.at, 'x', payload.bytes);
    double start = cpu(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < per_entry && b->sent < b->messages; i++, b->sent++) {
        char *at = (char *)payload.at + i * bytes;
        uint64_t subject = b->sent * 0x9e3779b97f4a7c15u >> 20;
        char name[] = "$KV.bucket.ABCDEFGH00000000";
        subject %= b->subjects;
        for (int j = 0; j < 8; j++)
            name[19 + j] = (char)('A' + (subject >> (j * 4) & 15));
        memcpy(at, name, sizeof name - 1);
        struct store_msg m = {.time_ns = (int64_t)b->sent,
                              .subject = {.at = at, .bytes = sizeof name - 1},
                              .body = {.at = at + 32, .bytes = b->payload}};
        struct store_stream *ss = b->streams[b->sent % b->streams_count];
        struct store_subject row;
        bool again = b->kv && store_subject_get(ss, m.subject, &row) == 0;
        stream_seq seq = store_append(ss, &m, payload);
        if (again) remove_one(ss, row.last);
        if (b->queue && seq > 1000) remove_one(ss, seq - 1000);
    }
    b->index++;
    store_applied(b->store, (struct store_at){.index = b->index, .term = 1}, payload.bytes);
    b->apply_cpu += cpu(CLOCK_THREAD_CPUTIME_ID) - start;
    slice_release(&payload);
}

static void turn(struct env_defer *d)
{
    struct bench *b = CONTAINER_OF(d, struct bench, turn);
    bool busy = store_busy(b->store);
    if (!busy) entry(b);
    if (store_flush_due(b->store)) flush_start(b);
    if (b->sent < b->messages) {
        if (busy) {
            env_timer_start(&b->pause, NS_PER_MS); /* else waiting would count as work */
        } else {
            env_defer(b->env, &b->turn);
        }
        return;
    }
    b->finishing = true;
    if (!b->flushing) flush_start(b);
}

static void paused(struct env_timer *t)
{
    turn(&CONTAINER_OF(t, struct bench, pause)->turn);
}

static void read_all(struct bench *b)
{
    struct store_cursor c = {0};
    struct store_msg m;
    struct store_counts counts = store_stream_counts(b->streams[0]);
    stream_seq from = 1;
    uint64_t n = 0;
    double start = cpu(CLOCK_PROCESS_CPUTIME_ID);
    while (store_next(b->streams[0], &from, NULL, 0, UINT32_MAX, &c, &m) == 0)
        n++;
    double took = cpu(CLOCK_PROCESS_CPUTIME_ID) - start;
    printf("next, in order: %.3f us a message (%lu)\n", took / (double)n * 1e6, n);
    uint64_t gets = n < 100000 ? n : 100000;
    start = cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < gets; i++) {
        stream_seq seq = counts.first + env_random(b->env) % (counts.last - counts.first + 1);
        if (store_get(b->streams[0], seq, &c, &m) != 0 && !b->kv) abort();
    }
    took = cpu(CLOCK_PROCESS_CPUTIME_ID) - start;
    printf("get, at random: %.2f us\n", took / (double)gets * 1e6);
    store_cursor_close(&c);
}

static void open_store(struct bench *b, const char *dir)
{
    struct kv *kv;
    b->env = env_uv_new();
    if (kv_rocks_open(b->env, dir, MIB(64), &kv) != 0) abort();
    struct store_options o = {.env = b->env, .kv = kv, .budget_bytes = GIB(1)};
    struct store_at at;
    if (store_open(&o, &b->store, &at) != 0) abort();
}

static long resident_kib(void)
{
    long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0) kib = strtol(line + 6, NULL, 10);
    if (f != NULL) fclose(f);
    return kib;
}

static void reopen(struct bench *b, const char *dir)
{
    store_close(b->store);
    env_uv_free(b->env);
    malloc_trim(0);
    long before = resident_kib();
    double start = cpu(CLOCK_MONOTONIC);
    open_store(b, dir);
    for (uint32_t i = 0; i < b->streams_count; i++)
        if (store_stream_open(b->store, 1, i + 1, &b->streams[i]) != 0) abort();
    printf("open: %.1f ms, %ld KiB more\n", (cpu(CLOCK_MONOTONIC) - start) * 1e3,
           resident_kib() - before);
}

static uint64_t arg(int argc, char **argv, int i, uint64_t otherwise)
{
    return i < argc ? strtoull(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct bench b = {.messages = arg(argc, argv, 1, 5000000),
                      .streams_count = arg(argc, argv, 2, 1),
                      .subjects = arg(argc, argv, 3, 1),
                      .payload = arg(argc, argv, 4, 128)};
    b.kv = argc > 5 && strcmp(argv[5], "kv") == 0;
    b.queue = argc > 5 && strcmp(argv[5], "queue") == 0;
    char dir[] = "/tmp/store_bench.XXXXXX";
    if (mkdtemp(dir) == NULL) return 1;
    open_store(&b, dir);
    b.streams = check_alloc(b.streams_count * sizeof(struct store_stream *));
    for (uint32_t i = 0; i < b.streams_count; i++)
        b.streams[i] = store_stream_new(b.store, 1, i + 1, 1, 0);
    b.turn.cb = turn;
    env_timer_init(b.env, &b.pause, paused);
    env_defer(b.env, &b.turn);
    double start = cpu(CLOCK_PROCESS_CPUTIME_ID), wall = cpu(CLOCK_MONOTONIC);
    env_uv_run(b.env);
    double took = cpu(CLOCK_PROCESS_CPUTIME_ID) - start;
    wall = cpu(CLOCK_MONOTONIC) - wall;
    double n = (double)b.messages;
    printf("%lu messages of %lu B, %lu streams, %lu subjects: append %.3f us CPU a message, %.3f "
           "of it "
           "on the loop; %.0f k/s\n",
           b.messages, b.payload, b.streams_count, b.subjects, took / n * 1e6,
           b.apply_cpu / n * 1e6, n / wall / 1e3);
    struct store_stats s = store_stats(b.store);
    printf("memory %lu MiB (pages %lu), disk %lu MiB, live %lu MiB, flushes %lu, blocks %lu "
           "written, %lu "
           "made by the cleaner\n",
           s.memory_bytes >> 20, s.page_bytes >> 20, s.disk_bytes >> 20, s.live_bytes >> 20,
           s.flushes, s.blocks_written, s.blocks_cleaned);
    reopen(&b, dir);
    read_all(&b);
    store_close(b.store);
    env_uv_free(b.env);
    free(b.streams);
    char rm[64];
    snprintf(rm, sizeof rm, "rm -rf %s", dir);
    return system(rm) == 0 ? 0 : 1;
}
