#include "broker/js/ack_subject.h"

#include "broker/core/subject.h"
#include "broker/js/duration.h"

#define ACK_TOKENS_MAX 13

bool ack_subject_parse(struct text subject, struct ack_subject *out)
{
    struct text tokens[ACK_TOKENS_MAX], rest = subject;
    size_t count = 0;
    *out = (struct ack_subject){0};
    while (count < ACK_TOKENS_MAX && subject_token(&rest, &tokens[count]))
        count++;
    size_t at = count == 9 ? 2 : 4;
    if (count != 9 && count != 11 && count != 12) return false;
    out->stream = tokens[at];
    out->consumer = tokens[at + 1];
    if (!duration_digits(tokens[at + 2], &out->deliveries)) out->deliveries = 0;
    if (!duration_digits(tokens[at + 3], &out->sseq)) out->sseq = 0;
    if (!duration_digits(tokens[at + 4], &out->cseq)) out->cseq = 0;
    return true;
}

static const struct ack_word {
    struct text word;
    enum ack_payload kind;
} ack_words[] = {
    {{"+ACK", 4}, ACK_PAYLOAD_ACK},  {{"+OK", 3}, ACK_PAYLOAD_ACK},
    {{"-NAK", 4}, ACK_PAYLOAD_NAK},  {{"+WPI", 4}, ACK_PAYLOAD_PROGRESS},
    {{"+NXT", 4}, ACK_PAYLOAD_NEXT}, {{"+TERM", 5}, ACK_PAYLOAD_TERM},
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum ack_payload ack_payload_parse(struct text body, struct text *argument)
{
    *argument = (struct text){0};
    while (body.bytes != 0 && blank(body.at[body.bytes - 1]))
        body.bytes--;
    if (body.bytes == 0) return ACK_PAYLOAD_ACK;
    for (const struct ack_word *w = ack_words; w < ARRAY_END(ack_words); w++) {
        if (body.bytes < w->word.bytes || memcmp(body.at, w->word.at, w->word.bytes) != 0) continue;
        struct text rest = {.at = body.at + w->word.bytes, .bytes = body.bytes - w->word.bytes};
        while (rest.bytes != 0 && blank(rest.at[0])) {
            rest.at++;
            rest.bytes--;
        }
        *argument = rest;
        return w->kind;
    }
    return ACK_PAYLOAD_UNKNOWN;
}
