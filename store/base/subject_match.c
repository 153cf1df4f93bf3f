#include "store/base/subject_match.h"

/* Walks the tokens of a subject; `>` counts as a wildcard only where nothing follows it. */
struct tokens {
    const char *at, *end;
    bool more;
};
enum token_kind { TOKEN_NONE, TOKEN_WORD, TOKEN_ONE, TOKEN_REST };
struct token {
    enum token_kind kind;
    struct text text;
};

static struct tokens tokens_of(struct text subject)
{
    const char *end = subject.bytes == 0 ? subject.at : subject.at + subject.bytes;
    return (struct tokens){.at = subject.at, .end = end, .more = true};
}

static struct token tokens_next(struct tokens *t)
{
    if (!t->more) return (struct token){.kind = TOKEN_NONE};
    size_t left = (size_t)(t->end - t->at);
    const char *dot = left == 0 ? NULL : memchr(t->at, '.', left);
    struct token token = {.kind = TOKEN_WORD, .text = {.at = t->at, .bytes = left}};
    t->more = dot != NULL;
    if (t->more) {
        token.text.bytes = (size_t)(dot - t->at);
        t->at = dot + 1;
    }
    if (token.text.bytes != 1) return token;
    if (token.text.at[0] == '*') token.kind = TOKEN_ONE;
    if (token.text.at[0] == '>' && !t->more) token.kind = TOKEN_REST;
    return token;
}

bool subject_is_literal(struct text subject)
{
    struct tokens t = tokens_of(subject);
    for (;;) {
        enum token_kind kind = tokens_next(&t).kind;
        if (kind == TOKEN_NONE) return true;
        if (kind != TOKEN_WORD) return false;
    }
}

bool subject_match(struct text filter, struct text subject)
{
    struct tokens fs = tokens_of(filter), ss = tokens_of(subject);
    for (;;) {
        struct token f = tokens_next(&fs), s = tokens_next(&ss);
        if (f.kind == TOKEN_NONE || s.kind == TOKEN_NONE) return f.kind == s.kind;
        if (f.kind == TOKEN_REST) return true;
        if (f.kind == TOKEN_WORD && !text_equal(f.text, s.text)) return false;
    }
}

bool subject_overlap(struct text a, struct text b)
{
    struct tokens as = tokens_of(a), bs = tokens_of(b);
    for (;;) {
        struct token x = tokens_next(&as), y = tokens_next(&bs);
        if (x.kind == TOKEN_NONE || y.kind == TOKEN_NONE) return x.kind == y.kind;
        if (x.kind == TOKEN_REST || y.kind == TOKEN_REST) return true;
        if (x.kind == TOKEN_WORD && y.kind == TOKEN_WORD && !text_equal(x.text, y.text))
            return false;
    }
}

bool subject_subset(struct text a, struct text b)
{
    struct tokens as = tokens_of(a), bs = tokens_of(b);
    for (;;) {
        struct token x = tokens_next(&as), y = tokens_next(&bs);
        if (x.kind == TOKEN_NONE || y.kind == TOKEN_NONE) return x.kind == y.kind;
        if (y.kind == TOKEN_REST) return true;
        if (x.kind == TOKEN_REST) return false; /* a matches longer subjects than b can */
        if (y.kind == TOKEN_ONE) continue;
        if (x.kind == TOKEN_ONE || !text_equal(x.text, y.text)) return false;
    }
}
