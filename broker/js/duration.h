/* duration.h - spans of time as Go writes them: 1h30m, 250ms, 1.5s. Source: protocol
 * reference, 7.3, 9.1, 9.2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/slice.h"

/* False: not a duration. "0" is one. */
NODISCARD bool duration_parse(struct text text, int64_t *ns);
/* As Go's String(): the largest unit that fits, no trailing zeros. Returns the bytes written; room
 * >= 32. */
size_t duration_format(int64_t ns, char *out, size_t room);
/* Decimal digits only, within 64 bits. */
NODISCARD bool duration_digits(struct text text, uint64_t *out);
/* Decimal digits of v at `to` (room for 20); returns their count. The hot path's only number print.
 */
size_t duration_put_u64(char *to, uint64_t v);
