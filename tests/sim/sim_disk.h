/* sim_disk.h - one machine's disk: files as bytes, names, and what a crash leaves of both.
 * A write is durable when a sync of its file that began after it has ended; a name when a sync of
 * its folder has. A process that is killed leaves what was written; a power failure leaves of what
 * wasn't synced any choice of 512-byte sectors, and any prefix of the changes to names. Calls are
 * executed at once and remembered with the virtual time that they take, so that a crash undoes what
 * hadn't happened yet. */
#pragma once

#include "store/base/env.h"
#include "tests/sim/sim_sched.h"

enum sim_crash {
    SIM_KILL,  /* the process dies, the kernel goes on */
    SIM_POWER, /* the machine does */
};
struct sim_inode;
struct sim_name;
struct sim_disk {
    struct sim *sim;
    uint64_t clock_ns; /* of the calls made now: a worker's own time */
    bool blocking;     /* made on the loop, at start: they take no time */
    /* Faults. */
    unsigned slow_per_mille; /* so many syncs and reads take up to slow_ns_max */
    uint64_t slow_ns_max;
    unsigned long
        die_in; /* the n-th call from now is cut in the middle and the process dies; 0: none */
    unsigned long calls;

    struct sim_inode *inodes;
    struct sim_name *names, *names_durable;
    size_t names_count, names_max, names_durable_count, names_durable_max;
    struct sim_name_change *changes;
    size_t changes_count, changes_max;
};

void sim_disk_init(struct sim_disk *d, struct sim *s);
/* What is left when the machine starts again. Files open before are gone with their process. */
void sim_disk_crash(struct sim_disk *d, enum sim_crash how);

/* As in env.h. */
int sim_disk_open(struct sim_disk *d, const char *path, int flags, struct env_file **out);
void sim_disk_close(struct env_file *f);
int sim_disk_read(struct env_file *f, uint64_t offset, void *to, size_t bytes, size_t *got);
int sim_disk_write(struct env_file *f, uint64_t offset, const void *from, size_t bytes);
int sim_disk_sync(struct env_file *f);
int sim_disk_size(struct env_file *f, uint64_t *out);
int sim_disk_truncate(struct env_file *f, uint64_t bytes);
int sim_disk_rename(struct sim_disk *d, const char *from, const char *to);
int sim_disk_unlink(struct sim_disk *d, const char *path);
int sim_disk_dir_sync(struct sim_disk *d, const char *path);
int sim_disk_list(struct sim_disk *d,
                  const char *path,
                  void (*entry)(void *ctx, const char *name),
                  void *ctx);
