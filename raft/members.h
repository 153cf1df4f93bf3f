/* members.h - a Raft configuration: who is a member, in which role. Encoded as libraft does it,
 * which exports no decoder (raft.md 1.3): u8 1, u64 count, then per server: u64 id, address with
 * NUL, u8 role. The address is the id in 16 hex digits, '/', the server's name: libraft refuses an
 * address twice, and an old and a new incarnation of one name must be able to stand side by side.
 */
#pragma once

#include "raft/core_peek.h"
#include "raft/group.h"
#include "store/base/slice.h"

#define CONF_MEMBERS_MAX 16
#define CONF_ADDRESS_BYTES 280

struct raft_configuration;

struct conf {
    log_index index; /* of its entry; 0: none */
    size_t count;
    struct members_member {
        node_id id;
        enum core_role role;
        char name[256];
    } members[CONF_MEMBERS_MAX];
};

/* E_MALFORMED, E_TOOBIG (more members than we allow). */
NODISCARD int members_decode(const void *at, size_t bytes, log_index index, struct conf *out);
/* One reference is the caller's. */
struct slice members_encode(const struct conf *c);
/* Into libraft's struct, which the caller closes. */
void members_fill(const struct conf *c, struct raft_configuration *out);
void members_address(node_id id, const char *name, char out[CONF_ADDRESS_BYTES]);
/* The name in an address; "" when it has none. */
const char *members_name(const char *address);
bool members_sole_voter(const struct conf *c, node_id id);
