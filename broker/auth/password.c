#include "broker/auth/password.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/check.h"

bool password_is_hash(const char *stored)
{
    static const char *const prefixes[] = {"$2a$", "$2b$", "$2y$", "$2x$"};
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        if (strncmp(stored, prefixes[i], 4) == 0) return true;
    }
    return false;
}

static bool bytes_equal(const char *a, const char *b, size_t bytes)
{
    unsigned differ = 0;
    for (size_t i = 0; i < bytes; i++)
        differ |= (unsigned char)a[i] ^ (unsigned char)b[i];
    return differ == 0;
}

bool password_equal(const char *stored, struct text given)
{
    size_t bytes = strlen(stored);
    if (bytes != given.bytes) return false;
    return bytes_equal(stored, given.at, bytes);
}

bool password_verify_hash(const char *stored, const char *given)
{
    /* 32 KiB: too much for a worker's stack to be sure of. */
    struct crypt_data *data = check_alloc(sizeof *data);
    const char *hash = crypt_r(given, stored, data);
    bool same =
        hash != NULL && strlen(hash) == strlen(stored) && bytes_equal(hash, stored, strlen(stored));
    explicit_bzero(data, sizeof *data);
    free(data);
    return same;
}
