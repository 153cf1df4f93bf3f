/* ack_subject.h - what a client's ack says: its subject in both forms, and the kinds of payload
 * (9.1). */
#pragma once

#include <stdbool.h>

#include "store/base/slice.h"
#include "store/base/units.h"

struct ack_subject {
    struct text stream, consumer;
    stream_seq sseq; /* 0: unreadable */
    uint64_t cseq, deliveries;
};
/* $JS.ACK with 9 tokens, or with domain and account hash, 11 or 12. False: neither. */
bool ack_subject_parse(struct text subject, struct ack_subject *out);

enum ack_payload {
    ACK_PAYLOAD_ACK,
    ACK_PAYLOAD_NAK,
    ACK_PAYLOAD_PROGRESS,
    ACK_PAYLOAD_NEXT,
    ACK_PAYLOAD_TERM,
    ACK_PAYLOAD_UNKNOWN
};
/* *argument: what stands behind the word, without blanks around it. */
enum ack_payload ack_payload_parse(struct text body, struct text *argument);
