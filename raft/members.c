/* members.c - see members.h. */
#include "raft/members.h"

#include <inttypes.h>
#include <raft.h>
#include <stdio.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/limits.h"
#include "store/base/reader.h"

#define CONF_FORMAT 1

static_assert(CORE_STANDBY == (int)RAFT_STANDBY && CORE_VOTER == (int)RAFT_VOTER &&
                  CORE_SPARE == (int)RAFT_SPARE,
              "roles are libraft's numbers");

void members_address(node_id id, const char *name, char out[CONF_ADDRESS_BYTES])
{
    snprintf(out, CONF_ADDRESS_BYTES, "%016" PRIx64 "/%s", id, name);
}

const char *members_name(const char *address)
{
    const char *slash = address == NULL ? NULL : strchr(address, '/');
    return slash == NULL ? "" : slash + 1;
}

static void member_decode(struct reader *r, struct members_member *m)
{
    m->id = reader_u64(r);
    const uint8_t *address = r->at;
    while (reader_u8(r) != 0)
        continue; /* a bad reader gives 0 */
    uint8_t role = reader_u8(r);
    if (r->bad || m->id == 0 || role > CORE_SPARE) {
        r->bad = true;
        return;
    }
    m->role = (enum core_role)role;
    snprintf(m->name, sizeof m->name, "%s", members_name((const char *)address));
}

int members_decode(const void *at, size_t bytes, log_index index, struct conf *out)
{
    struct reader r = reader_of(at, bytes);
    *out = (struct conf){.index = index};
    uint8_t format = reader_u8(&r);
    uint64_t count = reader_u64(&r);
    if (r.bad || format != CONF_FORMAT) return E_MALFORMED;
    if (count > CONF_MEMBERS_MAX) return E_TOOBIG;
    for (size_t k = 0; k < count; k++) {
        member_decode(&r, &out->members[k]);
        if (r.bad) return E_MALFORMED;
        for (size_t j = 0; j < k; j++) {
            if (out->members[j].id == out->members[k].id) return E_MALFORMED;
        }
    }
    out->count = count;
    return 0;
}

void members_fill(const struct conf *c, struct raft_configuration *out)
{
    raft_configuration_init(out);
    for (size_t k = 0; k < c->count; k++) {
        char address[CONF_ADDRESS_BYTES];
        members_address(c->members[k].id, c->members[k].name, address);
        int rc = raft_configuration_add(out, c->members[k].id, address, (int)c->members[k].role);
        CHECK(rc == 0); /* ids are unique: who made the struct has seen to it */
    }
}

struct slice members_encode(const struct conf *c)
{
    struct raft_configuration rc;
    struct raft_buffer buf;
    members_fill(c, &rc);
    int failed = raft_configuration_encode(&rc, &buf);
    CHECK(failed == 0);
    raft_configuration_close(&rc);
    struct slice bytes = slice_copy(buf.base, buf.len);
    raft_free(buf.base);
    return bytes;
}

bool members_sole_voter(const struct conf *c, node_id id)
{
    size_t voters = 0;
    bool self = false;
    for (size_t k = 0; k < c->count; k++) {
        if (c->members[k].role != CORE_VOTER) continue;
        voters++;
        self |= c->members[k].id == id;
    }
    return self && voters == 1;
}
