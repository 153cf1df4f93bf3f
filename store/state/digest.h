/* digest.h - a rolling digest of outcomes: replicas that applied the same entries to the same state
 * have the same value (design 4.4). What goes in is numbers only, in a fixed order. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t digest_add(uint64_t digest, const uint64_t *words, size_t count);
