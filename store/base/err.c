/* err.c - see err.h. */
#include "store/base/err.h"

#include <errno.h>
#include <stddef.h>

#include "store/base/check.h"

const char *err_text(int rc)
{
    static const char *const texts[] = {
#define ERR_ROW(name, number, text) [number] = (text),
        ERR_TABLE(ERR_ROW)
#undef ERR_ROW
    };
    if (rc == 0) return "ok";
    size_t at = (size_t)(-(long)rc);
    return rc < 0 && at < ARRAY_COUNT(texts) && texts[at] != NULL ? texts[at] : "unknown error";
}

static const struct errno_row {
    int number, rc;
} errno_rows[] = {
    {ENOENT, E_NOTFOUND},    {ENOTDIR, E_NOTFOUND},     {EEXIST, E_EXISTS},
    {ENOTEMPTY, E_EXISTS},   {ENOSPC, E_FULL},          {EDQUOT, E_FULL},
    {EACCES, E_DENIED},      {EPERM, E_DENIED},         {EROFS, E_DENIED},
    {EINVAL, E_INVAL},       {ENAMETOOLONG, E_INVAL},   {EISDIR, E_INVAL},
    {EFBIG, E_TOOBIG},       {EBUSY, E_BUSY},           {EAGAIN, E_AGAIN},
    {ECANCELED, E_CANCELED}, {EADDRINUSE, E_ADDRINUSE}, {EADDRNOTAVAIL, E_NET},
    {ECONNREFUSED, E_NET},   {ECONNRESET, E_NET},       {ECONNABORTED, E_NET},
    {EPIPE, E_NET},          {ETIMEDOUT, E_NET},        {ENETUNREACH, E_NET},
    {EHOSTUNREACH, E_NET},   {ENOTCONN, E_NET},
};

/* What no row names is E_IO: the cautious reading of an unknown failure. */
int err_from_errno(int number)
{
    if (number == 0) return 0;
    for (const struct errno_row *row = errno_rows; row < ARRAY_END(errno_rows); row++) {
        if (row->number == number) return row->rc;
    }
    return E_IO;
}
