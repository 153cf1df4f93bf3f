/* env_uv.c - the real environment: a libuv loop, its timers, worker threads, the disk.
 *
 * A turn: timers and sockets call back; then (check, after the poll; prepare, before the next one)
 * what was deferred runs until nothing is left, so that the loop never sleeps on a deferred batch.
 * Defers that defer themselves again and again give way to the sockets after DEFER_ROUNDS_MAX
 * rounds.
 *
 * The clock is read at most once a phase: whoever asks first after a poll or a round of defers
 * reads it.
 *
 * A worker thread takes jobs from its queue under a mutex, and puts them on its list of finished
 * ones; one async handle wakes the loop, which hands them back. Everything else belongs to the
 * loop. */
#include "store/base/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/stats.h"

#define STALL_NS (100 * NS_PER_MS)    /* 20 times what a turn may take (design 2) */
#define STALL_LINE_NS (10 * NS_PER_S) /* between two lines about it */
#define DEFER_ROUNDS_MAX 64
#define PATH_BYTES 4096

struct env_uv {
    struct env env; /* first: callers hold this */
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while defers are left: the poll then doesn't wait */
    uv_async_t finished;
    struct list defers;
    struct mono now;
    bool now_known;
    uint64_t polled_ns, idle_ns; /* of the last turn's end: when, and libuv's idle time then */
    uint64_t woke_ns;            /* when the last wait ended, to the millisecond */
    struct stats_histogram turns;
    uint64_t stall_line_ns, stalls; /* when the last line was written; stalls since */
    bool stopping;
    struct list timers_free; /* handles that no env_timer uses */
    struct list workers;
    struct env_worker *handing; /* its finished jobs are being handed back */
    uint8_t random[256];
    size_t random_left;
};

struct timer_uv {
    uv_timer_t handle;
    struct env_timer *timer; /* NULL: free */
    uint64_t due_ns;
    struct list_node node; /* in timers_free */
};

struct env_worker {
    struct list_node node; /* in workers */
    struct env_uv *env;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct list queue, finished; /* under mutex */
    bool ending;                 /* under mutex */
    struct list handing;         /* loop: taken from finished, not handed back yet */
    bool freed;                  /* by a done() of its own */
    char name[16];
};

struct env_file {
    int fd;
};

static struct env_uv *self(struct env *e)
{
    return (struct env_uv *)(void *)e;
}

/* ---- clock and random ---- */

static struct mono mono_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct mono){.ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec};
}

static struct mono uv_mono(struct env *e)
{
    struct env_uv *u = self(e);
    if (!u->now_known) {
        u->now = mono_now();
        u->now_known = true;
    }
    return u->now;
}

static int64_t uv_wall_ns(struct env *e)
{
    struct timespec t;
    (void)e;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

static uint64_t uv_random64(struct env *e)
{
    struct env_uv *u = self(e);
    uint64_t value;
    if (u->random_left < sizeof value) {
        ssize_t n;
        do {
            n = getrandom(u->random, sizeof u->random, 0);
        } while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof u->random) FATAL(EXIT_BUG, "getrandom: %s", strerror(errno));
        u->random_left = sizeof u->random;
    }
    u->random_left -= sizeof value;
    memcpy(&value, u->random + u->random_left, sizeof value);
    return value;
}

/* ---- timers ---- */

static void timer_detach(struct timer_uv *t)
{
    struct env_uv *u = t->handle.data;
    uv_timer_stop(&t->handle);
    t->timer->impl = NULL;
    t->timer = NULL;
    list_push_back(&u->timers_free, &t->node);
}

static void timer_set(struct timer_uv *t, uint64_t delay_ns);

/* libuv counts in whole milliseconds from the start of its turn, hence may be early: then once
 * more. */
static void timer_fired(uv_timer_t *handle)
{
    struct timer_uv *t = CONTAINER_OF(handle, struct timer_uv, handle);
    struct env_uv *u = handle->data;
    uint64_t now_ns = mono_now().ns;
    if (now_ns < t->due_ns) {
        timer_set(t, t->due_ns - now_ns);
        return;
    }
    if (uv_mono(&u->env).ns < t->due_ns) u->now.ns = now_ns; /* its callback sees that it is due */
    struct env_timer *timer = t->timer;
    timer_detach(t);
    timer->cb(timer);
}

static void timer_set(struct timer_uv *t, uint64_t delay_ns)
{
    uint64_t ms = delay_ns / NS_PER_MS + (delay_ns % NS_PER_MS != 0);
    int rc = uv_timer_start(&t->handle, timer_fired, ms, 0);
    CHECK(rc == 0);
}

static void uv_env_timer_start(struct env_timer *timer, uint64_t delay_ns)
{
    struct env_uv *u = self(timer->env);
    struct timer_uv *t = timer->impl;
    if (t == NULL) {
        struct list_node *node = list_pop_front(&u->timers_free);
        if (node != NULL) {
            t = CONTAINER_OF(node, struct timer_uv, node);
        } else {
            t = check_alloc(sizeof *t);
            uv_timer_init(&u->loop, &t->handle);
            t->handle.data = u;
        }
        t->timer = timer;
        timer->impl = t;
    }
    uint64_t now_ns = uv_mono(&u->env).ns;
    t->due_ns = delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
    timer_set(t, delay_ns);
}

static void uv_env_timer_stop(struct env_timer *timer)
{
    if (timer->impl != NULL) timer_detach(timer->impl);
}

/* ---- deferred calls ---- */

static void uv_defer(struct env *e, struct env_defer *d)
{
    if (!list_linked(&d->node)) list_push_back(&self(e)->defers, &d->node);
}

static void idle_turn(uv_idle_t *handle)
{
    (void)handle;
}

static void run_defers(struct env_uv *u)
{
    for (int round = 0; round < DEFER_ROUNDS_MAX && !list_empty(&u->defers); round++) {
        struct list batch;
        list_init(&batch);
        list_splice(&batch, &u->defers);
        for (struct list_node *n; (n = list_pop_front(&batch)) != NULL;) {
            struct env_defer *d = CONTAINER_OF(n, struct env_defer, node);
            d->cb(d);
        }
    }
    if (list_empty(&u->defers))
        uv_idle_stop(&u->idle);
    else
        uv_idle_start(&u->idle, idle_turn);
}

/* A turn is the time between two waits for events. libuv's meter is exact, but forgets a wait that
 * a signal interrupted; its clock at the end of the wait doesn't, but has only milliseconds. The
 * shorter is right. */
static void count_turn(struct env_uv *u)
{
    uint64_t now_ns = mono_now().ns, idle_ns = uv_metrics_idle_time(&u->loop);
    uint64_t waited = idle_ns - u->idle_ns, passed = now_ns - u->polled_ns;
    bool first = u->polled_ns == 0;
    u->polled_ns = now_ns;
    u->idle_ns = idle_ns;
    if (first) return;
    uint64_t busy = passed > waited ? passed - waited : 0;
    if (u->woke_ns != 0 && now_ns - u->woke_ns < busy) busy = now_ns - u->woke_ns;
    stats_add(&u->turns, busy);
    if (busy < STALL_NS) return;
    u->stalls++;
    if (u->stall_line_ns != 0 && now_ns - u->stall_line_ns < STALL_LINE_NS) return;
    LOG_CODE(WRN, LOG_STALL, "The loop was held up for %llu ms, %llu time(s) since the last line",
             (unsigned long long)(busy / NS_PER_MS), (unsigned long long)u->stalls);
    u->stall_line_ns = now_ns;
    u->stalls = 0;
}

static void before_poll(uv_prepare_t *handle)
{
    struct env_uv *u = handle->data;
    run_defers(u);
    count_turn(u);
    u->now_known = false;
}

static void after_poll(uv_check_t *handle)
{
    struct env_uv *u = handle->data;
    u->woke_ns = uv_now(&u->loop) * NS_PER_MS;
    run_defers(u);
    u->now_known = false;
}

/* ---- workers ---- */

static void *worker_main(void *arg)
{
    struct env_worker *w = arg;
    pthread_setname_np(pthread_self(), w->name);
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (list_empty(&w->queue) && !w->ending)
            pthread_cond_wait(&w->wake, &w->mutex);
        struct list_node *n = list_pop_front(&w->queue);
        if (n == NULL) break;
        pthread_mutex_unlock(&w->mutex);
        struct env_job *job = CONTAINER_OF(n, struct env_job, node);
        job->run(job);
        pthread_mutex_lock(&w->mutex);
        bool wake = list_empty(&w->finished);
        list_push_back(&w->finished, n);
        if (wake) uv_async_send(&w->env->finished);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static struct env_worker *uv_worker_new(struct env *e, const char *name)
{
    struct env_worker *w = check_alloc(sizeof *w);
    w->env = self(e);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
    list_init(&w->queue);
    list_init(&w->finished);
    list_init(&w->handing);
    snprintf(w->name, sizeof w->name, "%s", name);
    list_push_back(&w->env->workers, &w->node);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc != 0) FATAL(EXIT_MEMORY, "no thread for %s: %s", name, strerror(rc));
    return w;
}

static void uv_worker_submit(struct env_worker *w, struct env_job *job)
{
    pthread_mutex_lock(&w->mutex);
    CHECK(!w->ending);
    list_push_back(&w->queue, &job->node);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
}

static void worker_release(struct env_worker *w)
{
    list_remove(&w->node);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->wake);
    free(w);
}

static void uv_worker_free(struct env_worker *w)
{
    if (w == NULL) return;
    pthread_mutex_lock(&w->mutex);
    w->ending = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    while (list_pop_front(&w->finished) != NULL)
        continue;
    while (list_pop_front(&w->handing) != NULL)
        continue;
    if (w->env->handing == w)
        w->freed = true; /* jobs_finished still looks at it */
    else
        worker_release(w);
}

static void hand_back(struct env_worker *w)
{
    pthread_mutex_lock(&w->mutex);
    list_splice(&w->handing, &w->finished);
    pthread_mutex_unlock(&w->mutex);
    w->env->handing = w;
    for (struct list_node *n; (n = list_pop_front(&w->handing)) != NULL;) {
        struct env_job *job = CONTAINER_OF(n, struct env_job, node);
        job->done(job);
    }
    w->env->handing = NULL;
}

/* A done() may make and free workers, its own too: hence from the head again after one was freed.
 */
static void jobs_finished(uv_async_t *handle)
{
    struct env_uv *u = handle->data;
    struct list pending;
    list_init(&pending);
    list_splice(&pending, &u->workers);
    for (struct list_node *n; (n = list_pop_front(&pending)) != NULL;) {
        struct env_worker *w = CONTAINER_OF(n, struct env_worker, node);
        list_push_back(&u->workers, n);
        hand_back(w);
        if (w->freed) worker_release(w);
    }
}

/* ---- files ---- */

static int uv_file_open(struct env *e, const char *path, int flags, struct env_file **out)
{
    (void)e;
    int mode = flags & ENV_WRITE ? flags & ENV_READ ? O_RDWR : O_WRONLY : O_RDONLY;
    if (flags & ENV_CREATE) mode |= O_CREAT;
    if (flags & ENV_EXCL) mode |= O_EXCL;
    mode |= O_CLOEXEC;
    int fd = open(path, mode | (flags & ENV_DIRECT ? O_DIRECT : 0), 0640);
    if (fd < 0 && errno == EINVAL && (flags & ENV_DIRECT)) {
        /* A filesystem without it says so only after having created the file. */
        fd = open(path, mode & ~O_EXCL, 0640);
    }
    if (fd < 0) return err_from_errno(errno);
    *out = check_alloc(sizeof **out);
    (*out)->fd = fd;
    return 0;
}

static void uv_file_close(struct env_file *f)
{
    if (f == NULL) return;
    close(f->fd);
    free(f);
}

/* Some filesystems take O_DIRECT at open and refuse it at the first call. */
static bool drop_direct(struct env_file *f, int number)
{
    int flags = fcntl(f->fd, F_GETFL);
    return number == EINVAL && flags >= 0 && (flags & O_DIRECT) &&
           fcntl(f->fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

static int uv_file_read(struct env_file *f, uint64_t offset, void *to, size_t bytes, size_t *got)
{
    *got = 0;
    while (*got < bytes) {
        ssize_t n = pread(f->fd, (uint8_t *)to + *got, bytes - *got, (off_t)(offset + *got));
        if (n == 0) break;
        if (n > 0) {
            *got += (size_t)n;
        } else if (errno != EINTR && !drop_direct(f, errno)) {
            return err_from_errno(errno);
        }
    }
    return 0;
}

static int uv_file_write(struct env_file *f, uint64_t offset, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n =
            pwrite(f->fd, (const uint8_t *)from + done, bytes - done, (off_t)(offset + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            return E_IO;
        } else if (errno != EINTR && !drop_direct(f, errno)) {
            return err_from_errno(errno);
        }
    }
    return 0;
}

/* Not retried: after a failed fdatasync the kernel may hold the pages clean, and the next call
 * would report success for bytes that are gone. */
static int uv_file_sync(struct env_file *f)
{
    return fdatasync(f->fd) == 0 ? 0 : E_IO;
}

static int uv_file_size(struct env_file *f, uint64_t *out)
{
    struct stat info;
    if (fstat(f->fd, &info) != 0) return err_from_errno(errno);
    *out = (uint64_t)info.st_size;
    return 0;
}

static int uv_file_truncate(struct env_file *f, uint64_t bytes)
{
    return ftruncate(f->fd, (off_t)bytes) == 0 ? 0 : err_from_errno(errno);
}

static int uv_rename(struct env *e, const char *from, const char *to)
{
    (void)e;
    return rename(from, to) == 0 ? 0 : err_from_errno(errno);
}

/* A directory too, when it is empty. */
static int uv_unlink(struct env *e, const char *path)
{
    (void)e;
    return remove(path) == 0 ? 0 : err_from_errno(errno);
}

static int uv_mkdir(struct env *e, const char *path)
{
    char part[PATH_BYTES];
    struct stat info;
    (void)e;
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof part) return E_INVAL;
    memcpy(part, path, bytes + 1);
    for (size_t i = 1; i <= bytes; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0750) != 0) {
            int number = errno;
            bool dir = stat(part, &info) == 0 && S_ISDIR(info.st_mode);
            if (!dir) return err_from_errno(number);
        }
        part[i] = kept;
    }
    return 0;
}

static int uv_dir_sync(struct env *e, const char *path)
{
    (void)e;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_from_errno(errno);
    int rc = fsync(fd) == 0 ? 0 : E_IO;
    close(fd);
    return rc;
}

static int
uv_dir_list(struct env *e, const char *path, void (*entry)(void *ctx, const char *name), void *ctx)
{
    (void)e;
    DIR *d = opendir(path);
    if (d == NULL) return err_from_errno(errno);
    errno = 0;
    for (struct dirent *found; (found = readdir(d)) != NULL; errno = 0) {
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
        entry(ctx, found->d_name);
    }
    int rc = err_from_errno(errno);
    closedir(d);
    return rc;
}

static int
uv_disk_space(struct env *e, const char *path, uint64_t *total_bytes, uint64_t *free_bytes)
{
    struct statvfs info;
    (void)e;
    if (statvfs(path, &info) != 0) return err_from_errno(errno);
    *total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
    *free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}

/* ---- the loop ---- */

static const struct env_ops env_uv_ops = {
    .mono = uv_mono,
    .wall_ns = uv_wall_ns,
    .random = uv_random64,
    .timer_start = uv_env_timer_start,
    .timer_stop = uv_env_timer_stop,
    .defer = uv_defer,
    .worker_new = uv_worker_new,
    .worker_submit = uv_worker_submit,
    .worker_free = uv_worker_free,
    .file_open = uv_file_open,
    .file_close = uv_file_close,
    .file_read = uv_file_read,
    .file_write = uv_file_write,
    .file_sync = uv_file_sync,
    .file_size = uv_file_size,
    .file_truncate = uv_file_truncate,
    .rename = uv_rename,
    .unlink = uv_unlink,
    .mkdir = uv_mkdir,
    .dir_sync = uv_dir_sync,
    .dir_list = uv_dir_list,
    .disk_space = uv_disk_space,
};

struct env *env_uv_new(void)
{
    struct env_uv *u = check_alloc(sizeof *u);
    u->env.ops = &env_uv_ops;
    list_init(&u->defers);
    list_init(&u->timers_free);
    list_init(&u->workers);
    int rc = uv_loop_init(&u->loop);
    if (rc != 0) FATAL(EXIT_USAGE, "no event loop: %s", uv_strerror(rc));
    uv_loop_configure(&u->loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(&u->loop, &u->prepare);
    uv_check_init(&u->loop, &u->check);
    uv_idle_init(&u->loop, &u->idle);
    uv_async_init(&u->loop, &u->finished, jobs_finished);
    u->prepare.data = u->check.data = u->finished.data = u;
    uv_prepare_start(&u->prepare, before_poll);
    uv_check_start(&u->check, after_poll);
    return &u->env;
}

void env_uv_run(struct env *e)
{
    struct env_uv *u = self(e);
    u->stopping = false;
    u->now_known = false;
    u->polled_ns = u->woke_ns = 0; /* what passed before isn't a turn */
    while (!u->stopping)
        uv_run(&u->loop, UV_RUN_DEFAULT);
}

void env_uv_stop(struct env *e)
{
    self(e)->stopping = true;
    uv_stop(&self(e)->loop);
}

/* Only our own handles are left when everybody closed theirs; whatever else is found is closed too,
 * and its owner's close callback, if any, has run before we return. */
static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void env_uv_free(struct env *e)
{
    struct env_uv *u = self(e);
    for (struct list_node *n; (n = list_first(&u->workers)) != NULL;)
        uv_worker_free(CONTAINER_OF(n, struct env_worker, node));
    uv_walk(&u->loop, close_handle, NULL);
    uv_run(&u->loop, UV_RUN_DEFAULT);
    for (struct list_node *n; (n = list_pop_front(&u->timers_free)) != NULL;)
        free(CONTAINER_OF(n, struct timer_uv, node));
    int rc = uv_loop_close(&u->loop);
    CHECK(rc == 0);
    free(u);
}

void *env_uv_loop(struct env *e)
{
    return &self(e)->loop;
}

const struct stats_histogram *env_uv_turns(const struct env *e)
{
    return &((const struct env_uv *)(const void *)e)->turns;
}
