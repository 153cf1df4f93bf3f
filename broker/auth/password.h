/* password.h - one password against what the config has: plain text or bcrypt ($2a$, $2b$, $2y$).
 */
#pragma once

#include <stdbool.h>

#include "store/base/slice.h"

/* Does the config's value need password_verify_hash, which takes as long as its cost says? */
bool password_is_hash(const char *stored);
/* Plain values, in a time that depends on their lengths alone. Thread: any. */
bool password_equal(const char *stored, struct text given);
/* bcrypt by crypt(3). Thread: a worker's, never the loop. */
bool password_verify_hash(const char *stored, const char *given);
