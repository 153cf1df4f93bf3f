/* log_scan.h - reading the newest segment batch by batch, and the judgement over its end: a torn
 * tail, or damage. Blocking; while the log opens. */
#pragma once

#include "raft/log_impl.h"

struct log_scan {
    struct segment *segment;
    struct log_state state; /* in: from the head; out: at the end */
    struct log_run run;     /* entries in this segment */
    uint64_t batch;         /* in, out: the next batch's number */
    uint64_t chain;         /* out: before that batch */
    uint32_t page;          /* out: where it goes */
    uint32_t torn_pages;    /* out: from there on, parts of a write that never ended */
    bool sealed;            /* out: the index is written, the next batch goes elsewhere */
    uint32_t index_page, index_pages;
};

/* chain: before the segment's head. E_CORRUPT with a line that names file and place. */
NODISCARD int log_scan_segment(struct log *l, uint64_t chain, struct log_scan *scan);
