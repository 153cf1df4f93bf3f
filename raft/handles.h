/* handles.h - what libraft's log holds instead of a payload (raft.md 3.1), and the payloads on
 * their way in.
 *
 * A command is 16 bytes in libraft: magic, payload length, staging id. The id connects raft_apply
 * or recv to the append that the core calls inside them: there our log takes the payload over. It
 * is never used again in a process: staged by index, a payload whose entry the core refused would
 * wait for the next one at that index. Thread: loop. */
#pragma once

#include "store/base/slice.h"
#include "store/base/units.h"

#define HANDLE_BYTES 16

struct handle {
    uint32_t magic;
    uint32_t bytes;
    uint64_t id;
};
struct handles {
    struct staged {
        log_index index; /* where the sender wants it; for checking only */
        struct slice payload;
    } * staged;
    size_t count, max;
    uint64_t id_first; /* of staged[0] */
};

void handles_init(struct handles *h);
void handles_close(struct handles *h);
/* Takes over the reference; writes the handle to `to`. */
void handles_stage(struct handles *h, log_index index, struct slice payload, void *to);
/* The handle of a payload that is in our log already: nothing is staged. */
void handles_stored(uint32_t bytes, void *to);
/* The payload behind a handle that libraft wants appended at index, with its reference. */
struct slice
handles_take(struct handles *h, const void *handle, size_t handle_bytes, log_index index);
/* What the core did not append is dropped: call after each recv and raft_apply. */
void handles_drop(struct handles *h);
/* The length a handle tells. */
uint32_t handles_bytes(const void *handle, size_t handle_bytes);
