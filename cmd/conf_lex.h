/* conf_lex.h - characters and scalars of the config language: one text being read, with line and
 * column. Nothing here knows of maps or arrays. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/arena.h"
#include "store/base/slice.h"

struct conf_node;

struct conf_lex {
    const char *file;
    const char *at, *end, *line_start;
    int line;
};

/* The next character, or -1. */
int conf_lex_peek(const struct conf_lex *l);
int conf_lex_peek_second(const struct conf_lex *l);
int conf_lex_next(struct conf_lex *l);
int conf_lex_column(const struct conf_lex *l);
/* Spaces and tabs. */
void conf_lex_skip_blanks(struct conf_lex *l);
/* Blanks, newlines, comments and what `separators` holds. */
void conf_lex_skip_all(struct conf_lex *l, const char *separators);
bool conf_lex_at_comment(const struct conf_lex *l);

/* Each returns NULL, or what is wrong. */
const char *conf_lex_key(struct conf_lex *l, struct arena *a, const char **key);
/* A scalar; sets kind, text, quoted and the value. The next character is none of { [. */
const char *conf_lex_scalar(struct conf_lex *l, struct arena *a, struct conf_node *out);
/* What a bare word means: a number, a date, a boolean, or else a string. */
const char *conf_lex_classify(struct conf_node *out);
