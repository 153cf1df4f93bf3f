/* limits.h - every bound, with its reason. */
#pragma once

#include <assert.h> /* static_assert only */

#include "store/base/units.h"

#define LIMIT_PAYLOAD_BYTES MIB(64)       /* max_payload may not be configured above it, as in nats-server */
#define LIMIT_HEADER_BYTES 65535          /* JetStream's own limit of a header block (error 10097) */
#define LIMIT_CONTROL_LINE_BYTES KIB(64)  /* max_control_line may not be configured above it */
#define LIMIT_SUBJECT_BYTES KIB(4)        /* KV keys of ocis reach 3,500 bytes */
#define LIMIT_NAME_BYTES 255              /* streams, consumers: as nats-server */
#define LIMIT_BATCH_BYTES MIB(1)          /* one origin batch and one Raft entry, unless one command is larger */
#define LIMIT_ENTRY_BYTES MIB(72)         /* one Raft entry whose only command is a largest message */
#define LIMIT_FRAME_BYTES MIB(80)         /* one frame of a cluster link */
#define LIMIT_STREAM_CHUNK_BYTES KIB(256) /* AppendEntries on the log stream: a vote never waits long (design 3.3) */
#define LIMIT_PEER_WINDOW_BYTES MIB(4)    /* unacknowledged log stream bytes to one peer */
#define LIMIT_VOTERS 5                    /* design 1: 1, 3 or 5 */
#define LIMIT_LOG_ENTRIES (256u << 10)    /* libraft's tables double with a pause (raft.md 3.1) */

static_assert(LIMIT_PAYLOAD_BYTES + LIMIT_HEADER_BYTES + LIMIT_SUBJECT_BYTES < LIMIT_ENTRY_BYTES,
              "whatever a client may publish fits one entry");
static_assert(LIMIT_ENTRY_BYTES < LIMIT_FRAME_BYTES, "whatever an entry holds fits one frame");
