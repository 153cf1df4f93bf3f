/* subject.h - what is a subject: tokens and validity. Whether one matches another is
 * store/base/subject_match.h.
 *
 * Tokens are separated by dots; none is empty. `*` is a wildcard only as a whole token, `>` only as
 * the whole last one. Bytes that would break the line protocol are forbidden everywhere; other
 * UTF-8 is not. Source: protocol reference, section 2. */
#pragma once

#include <stdbool.h>

#include "store/base/slice.h"
#include "store/base/subject_match.h"

/* May somebody subscribe to it? Wildcards are allowed. */
bool subject_valid(struct text subject);
/* May somebody publish to it? Valid, and without wildcards. */
bool subject_valid_literal(struct text subject);
/* No byte that would break a control line; a queue name has no other rule. */
bool subject_valid_word(struct text word);
bool subject_starts(struct text subject, struct text prefix);
size_t subject_token_count(struct text subject);
/* The nth token, from 0; empty when there are fewer. */
struct text subject_token_at(struct text subject, size_t n);

/* Takes the first token off *rest. False when nothing is left: start with the whole subject. */
static inline bool subject_token(struct text *rest, struct text *token)
{
    if (rest->at == NULL) return false;
    const char *dot = rest->bytes == 0 ? NULL : memchr(rest->at, '.', rest->bytes);
    if (dot == NULL) {
        *token = *rest;
        *rest = (struct text){0};
        return true;
    }
    size_t bytes = (size_t)(dot - rest->at);
    *token = (struct text){.at = rest->at, .bytes = bytes};
    *rest = (struct text){.at = dot + 1, .bytes = rest->bytes - bytes - 1};
    return true;
}
static inline bool subject_is_star(struct text token)
{
    return token.bytes == 1 && token.at[0] == '*';
}
static inline bool subject_is_rest(struct text token)
{
    return token.bytes == 1 && token.at[0] == '>';
}
