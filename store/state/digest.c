/* digest.c - see digest.h. Little-endian hosts only, as the formats are. */
#include "store/state/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t digest_add(uint64_t digest, const uint64_t *words, size_t count)
{
    return XXH3_64bits_withSeed(words, count * sizeof *words, digest);
}
