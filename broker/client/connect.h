/* connect.h - the CONNECT options of a client. Source: protocol reference, 1.6. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/slice.h"

struct connect_options {
    bool verbose, pedantic, echo, headers, no_responders, tls_required;
    int64_t protocol;
    struct text lang, version, name;
    struct text user, pass, auth_token, nkey, sig, jwt, account; /* at == NULL: not given */
    void *json;                                                  /* holds the texts */
};

/* E_MALFORMED: not a JSON object, or a member of the wrong type. Free it in any case. */
NODISCARD int connect_decode(struct text json, struct connect_options *out);
/* Secrets are wiped. */
void connect_free(struct connect_options *o);
