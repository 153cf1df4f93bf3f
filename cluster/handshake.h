/* handshake.h - what two nodes tell each other before anything else is decoded, and who is refused.
 * Pure: bytes to structs and back, and one judgement; link life is greeter.c's. Thread: loop.
 *
 * Every body of FRAME_HELLO begins with magic, version and kind, in every version to come, so that
 * a refusal can be read by a node that understands nothing else. */
#pragma once

#include <stdbool.h>

#include "store/base/slice.h"
#include "store/base/units.h"
#include "store/base/writer.h"

#define HANDSHAKE_BYTES_MAX 4096 /* one frame before the handshake is over; names and URLs fit */
#define HANDSHAKE_FEATURE_LEVEL 1
/* A node that went is fenced by its successor for so long after that was last here. */
#define HANDSHAKE_FENCE_NS (600 * NS_PER_S)

enum hello_kind { HELLO_GREET = 1, HELLO_REFUSE, HELLO_ACCEPT, HELLO_BYE, HELLO_KINDS };
enum hello_link { HELLO_CONTROL, HELLO_DATA };

/* Why a link was refused or closed; the number travels. */
#define HELLO_REASON_TABLE(X)                                                                      \
    X(NONE, "no reason given")                                                                     \
    X(MALFORMED, "the handshake can't be read")                                                    \
    X(VERSION, "it speaks another version of the cluster protocol")                                \
    X(AUTH, "cluster user or password are wrong")                                                  \
    X(CLUSTER, "it belongs to another cluster")                                                    \
    X(SELF, "this is the same node")                                                               \
    X(NAME_TAKEN, "duplicate server name: another node of this name is connected")                 \
    X(FENCED, "a newer process of this name has taken its place")                                  \
    X(OTHER_NODE, "another node answered than was meant")                                          \
    X(DUPLICATE, "there is a link to this node already")                                           \
    X(STALE, "the control link it belongs to is gone")                                             \
    X(REPLACED, "a newer link took its place")                                                     \
    X(SILENT, "nothing was heard for too long")                                                    \
    X(SLOW, "too much waits to be sent")                                                           \
    X(HALF, "its other link is gone")                                                              \
    X(STOPPING, "the node stops")                                                                  \
    X(ID_TAKEN, "another node has its id: the store of one is a copy of the other's")

enum hello_reason {
#define HELLO_REASON_ROW(name, text) REASON_##name,
    HELLO_REASON_TABLE(HELLO_REASON_ROW)
#undef HELLO_REASON_ROW
        HELLO_REASONS
};

struct hello {
    enum hello_kind kind;
    /* HELLO_REFUSE, HELLO_BYE */
    enum hello_reason reason;
    /* HELLO_GREET, HELLO_ACCEPT; 0 in a control link's greeting */
    uint64_t session;
    /* HELLO_GREET; texts are borrowed from the body */
    enum hello_link link;
    node_id id;
    uint64_t incarnation, boots;
    uint32_t feature;
    struct text cluster, name, user, password, client_urls;
    struct text target; /* whom a data link is for; empty: whoever answers */
    struct text listen; /* host:port to dial; without host: where the greeting came from */
};

void handshake_encode(struct writer *w, const struct hello *h);
/* E_MALFORMED; E_VERSION: only kind and reason are set. */
NODISCARD int handshake_decode(struct slice body, struct hello *out);
const char *handshake_reason_text(enum hello_reason r);

/* What we know of the node that has the name in a greeting. */
struct handshake_known {
    node_id id; /* 0: nobody has that name */
    uint64_t incarnation, boots;
    bool up;
    uint64_t gone_ns; /* since it was up; when not up */
};
struct handshake_verdict {
    enum hello_reason refuse; /* REASON_NONE: welcome */
    bool replace; /* the process we hold links to is older: they are to be dropped first */
    bool fenced;  /* the greeting comes from our own successor: we are the old process */
};
/* Judges a peer's greeting; self holds what we would say. */
struct handshake_verdict handshake_judge(const struct hello *self,
                                         const struct handshake_known *known,
                                         const struct hello *h);
