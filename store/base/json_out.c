/* json_out.c - see json_out.h. */
#include "store/base/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "store/base/units.h"

#define DEPTH_MAX 32

void json_out_init(struct json_out *j, struct writer *w, bool indent)
{
    *j = (struct json_out){.w = w, .indent = indent};
}

static void put(struct json_out *j, const char *z)
{
    writer_put(j->w, z, strlen(z));
}

static void newline(struct json_out *j)
{
    static const char spaces[2 * DEPTH_MAX + 1] =
        "                                                                ";
    writer_u8(j->w, '\n');
    writer_put(j->w, spaces, (size_t)j->depth * 2);
}

/* The bytes of a well-formed UTF-8 sequence that starts with a byte >= 0x80; 0: there is none.
 * Overlong forms, surrogates and what lies beyond U+10FFFF are not well-formed. */
static size_t utf8_bytes(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0], low = 0x80, high = 0xbf;
    size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < bytes) return 0;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    if (at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    return bytes;
}

static void put_escaped(struct json_out *j, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    const char *named = c == '"'    ? "\\\""
                        : c == '\\' ? "\\\\"
                        : c == '\n' ? "\\n"
                        : c == '\r' ? "\\r"
                        : c == '\t' ? "\\t"
                        : c == '\b' ? "\\b"
                        : c == '\f' ? "\\f"
                                    : NULL;
    if (named != NULL) {
        put(j, named);
        return;
    }
    char code[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    writer_put(j->w, code, sizeof code);
}

static bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* U+2028 and U+2029 end a line in JavaScript; Go escapes them too. */
static bool line_separator(const uint8_t *at, size_t bytes)
{
    return bytes == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
}

static void put_quoted(struct json_out *j, struct text value)
{
    const uint8_t *at = (const uint8_t *)value.at;
    size_t left = value.bytes;
    writer_u8(j->w, '"');
    while (left > 0) {
        size_t run = 0;
        while (run < left && plain(at[run]))
            run++;
        writer_put(j->w, at, run);
        at += run;
        left -= run;
        if (left == 0) break;
        size_t bytes = 1;
        if (at[0] < 0x80) {
            put_escaped(j, at[0]);
        } else if ((bytes = utf8_bytes(at, left)) == 0) {
            put(j, "\\ufffd");
            bytes = 1;
        } else if (line_separator(at, bytes)) {
            put(j, at[2] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            writer_put(j->w, at, bytes);
        }
        at += bytes;
        left -= bytes;
    }
    writer_u8(j->w, '"');
}

/* The comma, the line and the key before a value. */
static void begin(struct json_out *j, const char *key)
{
    uint32_t bit = UINT32_C(1) << (j->depth % DEPTH_MAX);
    if (j->depth > 0) {
        if (j->comma & bit) writer_u8(j->w, ',');
        j->comma |= bit;
        if (j->indent) newline(j);
    }
    if (key == NULL) return;
    put_quoted(j, text_of(key));
    put(j, j->indent ? ": " : ":");
}

static void open_level(struct json_out *j, const char *key, char bracket)
{
    begin(j, key);
    writer_u8(j->w, (uint8_t)bracket);
    CHECK(j->depth + 1 < DEPTH_MAX);
    j->depth++;
    j->comma &= ~(UINT32_C(1) << j->depth);
}

static void close_level(struct json_out *j, char bracket)
{
    CHECK(j->depth > 0);
    bool filled = (j->comma >> j->depth & 1) != 0;
    j->depth--;
    if (filled && j->indent) newline(j);
    writer_u8(j->w, (uint8_t)bracket);
}

void json_out_object(struct json_out *j, const char *key)
{
    open_level(j, key, '{');
}
void json_out_object_end(struct json_out *j)
{
    close_level(j, '}');
}
void json_out_array(struct json_out *j, const char *key)
{
    open_level(j, key, '[');
}
void json_out_array_end(struct json_out *j)
{
    close_level(j, ']');
}

void json_out_text(struct json_out *j, const char *key, struct text value)
{
    begin(j, key);
    put_quoted(j, value);
}

void json_out_string(struct json_out *j, const char *key, const char *value)
{
    json_out_text(j, key, text_of(value));
}

static void put_u64(struct json_out *j, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    writer_put(j->w, digits + at, sizeof digits - at);
}

void json_out_i64(struct json_out *j, const char *key, int64_t value)
{
    begin(j, key);
    if (value < 0) writer_u8(j->w, '-');
    put_u64(j, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_out_u64(struct json_out *j, const char *key, uint64_t value)
{
    begin(j, key);
    put_u64(j, value);
}

/* The shortest form that reads back as the same number. JSON has no infinity: 0 stands for it. */
void json_out_double(struct json_out *j, const char *key, double value)
{
    char text[32];
    if (!isfinite(value)) value = 0;
    for (int digits = 1; digits <= 17; digits++) {
        double back = 0;
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (sscanf(text, "%lf", &back) == 1 && memcmp(&back, &value, sizeof back) == 0) break;
    }
    begin(j, key);
    put(j, text);
}

void json_out_bool(struct json_out *j, const char *key, bool value)
{
    begin(j, key);
    put(j, value ? "true" : "false");
}

void json_out_null(struct json_out *j, const char *key)
{
    begin(j, key);
    put(j, "null");
}

void json_out_time(struct json_out *j, const char *key, int64_t ns)
{
    const int64_t second_ns = (int64_t)NS_PER_S;
    if (ns == INT64_MIN) {
        json_out_string(j, key, "0001-01-01T00:00:00Z");
        return;
    }
    int64_t part = ns % second_ns;
    if (part < 0) part += second_ns;
    time_t seconds = (time_t)((ns - part) / second_ns);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[48];
    size_t bytes = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (part != 0) {
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, ".%09" PRId64, part);
        while (text[bytes - 1] == '0')
            bytes--;
    }
    text[bytes++] = 'Z';
    json_out_text(j, key, (struct text){.at = text, .bytes = bytes});
}

void json_out_base64(struct json_out *j, const char *key, struct text bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = (const uint8_t *)bytes.at;
    begin(j, key);
    uint8_t *to = writer_room(j->w, (bytes.bytes + 2) / 3 * 4 + 2);
    *to++ = '"';
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t three = (uint32_t)from[i] << 16;
        if (left > 1) three |= (uint32_t)from[i + 1] << 8;
        if (left > 2) three |= from[i + 2];
        *to++ = (uint8_t)digits[three >> 18];
        *to++ = (uint8_t)digits[three >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[three >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[three & 63] : '=';
    }
    *to = '"';
}

void json_out_raw(struct json_out *j, const char *key, struct text json)
{
    begin(j, key);
    writer_put(j->w, json.at, json.bytes);
}
