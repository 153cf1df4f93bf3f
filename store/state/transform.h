/* transform.h - a subject mapped to another: `orders.*.>` to `eu.$1.>`, with functions on the
 * wildcards' tokens. A pure function: apply uses it, so each node maps alike.
 *
 * The source's `*` are numbered from 1. The destination's tokens: text, `$N` or `{{wildcard(N)}}`,
 * `{{partition(n[,N...])}}`, `{{split(N,delimiter)}}`, `{{splitfromleft(N,at)}}`,
 * `{{splitfromright(N,at)}}`, `{{slicefromleft(N,bytes)}}`, `{{slicefromright(N,bytes)}}`,
 * `{{left(N,bytes)}}`, `{{right(N,bytes)}}`; `>` for what the source's `>` took. Names of functions
 * in any case. Source: protocol reference 6.7. Thread: loop. */
#pragma once

#include <stdbool.h>

#include "store/base/check.h"
#include "store/base/slice.h"

#define TRANSFORM_TOKENS_MAX 64 /* of a source or destination; longer ones are refused */

struct transform;

/* src empty: all subjects. Owner of *out: the caller (transform_free). E_INVAL: *why says what is
 * wrong, of the source when *in_source. */
NODISCARD int transform_new(struct text src,
                            struct text dest,
                            struct transform **out,
                            const char **why,
                            bool *in_source);
void transform_free(struct transform *t); /* NULL: nothing */
/* A filter that matches every subject that it maps to, perhaps more. Lives as long as t. */
struct text transform_cover(const struct transform *t);
bool transform_matches(const struct transform *t, struct text subject);
/* Writes the mapped subject into room. bytes 0: it doesn't match, or wouldn't fit or be a
 * subject. */
struct text
transform_map(const struct transform *t, struct text subject, char *room, size_t room_bytes);
