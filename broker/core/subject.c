#include "broker/core/subject.h"

bool subject_valid_word(struct text word)
{
    for (size_t i = 0; i < word.bytes; i++) {
        switch (word.at[i]) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case '\f':
        case '\0':
            return false;
        default:
            break;
        }
    }
    return word.bytes != 0;
}

bool subject_valid(struct text subject)
{
    if (!subject_valid_word(subject)) return false;
    struct text rest = subject, token;
    while (subject_token(&rest, &token)) {
        if (token.bytes == 0) return false;
        if (subject_is_rest(token) && rest.at != NULL) return false;
    }
    return true;
}

bool subject_valid_literal(struct text subject)
{
    if (!subject_valid_word(subject)) return false;
    struct text rest = subject, token;
    while (subject_token(&rest, &token)) {
        if (token.bytes == 0) return false;
        if (subject_is_rest(token) || subject_is_star(token)) return false;
    }
    return true;
}

bool subject_starts(struct text subject, struct text prefix)
{
    return subject.bytes >= prefix.bytes && memcmp(subject.at, prefix.at, prefix.bytes) == 0;
}

size_t subject_token_count(struct text subject)
{
    size_t count = 0;
    struct text rest = subject, token;
    while (subject_token(&rest, &token))
        count++;
    return count;
}

struct text subject_token_at(struct text subject, size_t n)
{
    struct text rest = subject, token;
    for (size_t i = 0; subject_token(&rest, &token); i++) {
        if (i == n) return token;
    }
    return (struct text){0};
}
