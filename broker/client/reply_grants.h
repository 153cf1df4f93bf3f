/* reply_grants.h - with allow_responses a client may answer what it was sent, so often and so long,
 * whatever its publish permissions say. Bounded: the oldest grant goes. Thread: loop. */
#pragma once

#include <stdbool.h>

#include "broker/auth/permissions.h"
#include "store/base/units.h"

#define REPLY_GRANTS_MAX 4096 /* requests that one client has not answered yet */

struct reply_grants;

struct reply_grants *reply_grants_new(void);
void reply_grants_free(struct reply_grants *g); /* NULL is harmless */
void reply_grants_add(struct reply_grants *g,
                      struct text reply,
                      const struct permissions *p,
                      struct mono now);
/* May it publish to this subject now? Counts. g may be NULL. */
bool reply_grants_use(struct reply_grants *g, struct text subject, struct mono now);
