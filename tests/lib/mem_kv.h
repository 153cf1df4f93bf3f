/* mem_kv.h - store/kv.h in memory, for tests of crashes. Each map remembers what was flushed; a
 * crash falls back to that. After `fuse` more calls that change something, changes have no effect
 * any more, as if the process had died there; mem_kv_crash makes the survivors visible. */
#pragma once

#include "store/kv.h"

struct mem_kv;

struct mem_kv *mem_kv_new(void);
void mem_kv_free(struct mem_kv *m);
/* A handle for store_open; the store's close leaves m as it is. */
struct kv *mem_kv_open(struct mem_kv *m);
/* UINT64_MAX: never. */
void mem_kv_fuse(struct mem_kv *m, uint64_t calls);
bool mem_kv_dead(const struct mem_kv *m);
void mem_kv_crash(struct mem_kv *m);
/* Flips a bit of a block's value; false: no such block. */
bool mem_kv_damage(struct mem_kv *m, uint64_t number, size_t at);
/* Takes the row away. */
bool mem_kv_lose(struct mem_kv *m, uint64_t number);
size_t mem_kv_rows(const struct mem_kv *m, enum kv_family family);
size_t mem_kv_files(const struct mem_kv *m);
/* Calls that changed something since mem_kv_new. */
uint64_t mem_kv_changes(const struct mem_kv *m);
