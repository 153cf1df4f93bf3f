/* js_errors.c - see js_errors.h. */
#include "store/state/js_errors.h"

#include <string.h>

#include "store/base/check.h"

static const struct js_error_row rows[] = {
#define JS_ERROR_ROW(symbol, err_code, code, text) {err_code, code, text},
    JS_ERROR_TABLE(JS_ERROR_ROW)
#undef JS_ERROR_ROW
};

const struct js_error_row *js_errors_row(int err_code)
{
    for (const struct js_error_row *row = rows; row < ARRAY_END(rows); row++) {
        if (row->err_code == err_code) return row;
    }
    return NULL;
}

static size_t append(char *to, size_t at, size_t bytes_max, const char *from, size_t bytes)
{
    if (bytes > bytes_max - at) bytes = bytes_max - at;
    memcpy(to + at, from, bytes);
    return at + bytes;
}

const char *js_errors_text(int err_code, const char *detail, char *to, size_t bytes_max)
{
    CHECK(bytes_max > 0);
    const struct js_error_row *row = js_errors_row(err_code);
    const char *text = row == NULL ? "unknown error" : row->text, *hole = strstr(text, "%s");
    size_t head = hole == NULL ? strlen(text) : (size_t)(hole - text), at = 0;
    at = append(to, at, bytes_max - 1, text, head);
    if (hole != NULL) {
        if (detail == NULL) detail = "";
        at = append(to, at, bytes_max - 1, detail, strlen(detail));
        at = append(to, at, bytes_max - 1, hole + 2, strlen(hole + 2));
    }
    to[at] = '\0';
    return to;
}
