/* subject_match.h - what subjects and filters with `*` (one token) and `>` (one or more, at the
 * end) have in common. Tokens are separated by dots; a `*` or `>` is a wildcard only as a whole
 * token, and `>` only as the last one. Nothing here says whether a subject is valid: an empty text
 * is one empty token. Source: NATS subject-based messaging. Thread: any. */
#pragma once

#include <stdbool.h>

#include "store/base/slice.h"

/* No token is a wildcard. */
bool subject_is_literal(struct text subject);
/* Does the filter match this subject? The subject's tokens are taken as they are, also `*`. */
bool subject_match(struct text filter, struct text subject);
/* Is there a literal subject that both match? */
bool subject_overlap(struct text a, struct text b);
/* Does b match whatever a matches? */
bool subject_subset(struct text a, struct text b);
