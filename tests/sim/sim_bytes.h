/* sim_bytes.h - a file's content: pages that aren't there are zeros. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE 4096u

struct sim_bytes {
    uint8_t **pages;
    size_t pages_count;
    uint64_t bytes;
};

void sim_bytes_free(struct sim_bytes *b);
void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from);
void sim_bytes_read(const struct sim_bytes *b, uint64_t offset, uint8_t *to, size_t bytes);
void sim_bytes_write(struct sim_bytes *b, uint64_t offset, const uint8_t *from, size_t bytes);
void sim_bytes_truncate(struct sim_bytes *b, uint64_t bytes);
