#include "broker/js/duration.h"

#include <stdio.h>

#include "store/base/units.h"

static const struct duration_unit {
    const char *name;
    int64_t ns;
} duration_units[] = {
    {"ns", 1},
    {"us", (int64_t)NS_PER_US},
    {"\xc2\xb5s", (int64_t)NS_PER_US},
    {"ms", (int64_t)NS_PER_MS},
    {"s", (int64_t)NS_PER_S},
    {"m", 60 * (int64_t)NS_PER_S},
    {"h", 3600 * (int64_t)NS_PER_S},
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

bool duration_digits(struct text text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.bytes == 0 || text.bytes > 20) return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (!digit(text.at[i])) return false;
        unsigned d = (unsigned)(text.at[i] - '0');
        if (v > (UINT64_MAX - d) / 10) return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

/* The unit's letters reach to the next digit or the end. */
static int64_t duration_unit(struct text *rest)
{
    size_t bytes = 0;
    while (bytes < rest->bytes && !digit(rest->at[bytes]) && rest->at[bytes] != '.')
        bytes++;
    struct text name = {.at = rest->at, .bytes = bytes};
    for (const struct duration_unit *u = duration_units; u < ARRAY_END(duration_units); u++) {
        if (!text_equal(name, text_of(u->name))) continue;
        rest->at += bytes;
        rest->bytes -= bytes;
        return u->ns;
    }
    return 0;
}

/* One number with its unit, e.g. 1.5h. */
static bool duration_part(struct text *rest, double *ns)
{
    double value = 0, scale = 1;
    bool any = false, fraction = false;
    while (rest->bytes != 0 && (digit(rest->at[0]) || (rest->at[0] == '.' && !fraction))) {
        if (rest->at[0] == '.') {
            fraction = true;
        } else {
            any = true;
            value = value * 10 + (rest->at[0] - '0');
            if (fraction) scale *= 10;
        }
        rest->at++;
        rest->bytes--;
    }
    int64_t unit = any ? duration_unit(rest) : 0;
    *ns = value / scale * (double)unit;
    return unit != 0;
}

bool duration_parse(struct text text, int64_t *ns)
{
    bool negative = text.bytes != 0 && text.at[0] == '-';
    if (text.bytes != 0 && (negative || text.at[0] == '+')) {
        text.at++;
        text.bytes--;
    }
    if (text.bytes == 0) return false;
    if (text_equal(text, TEXT("0"))) {
        *ns = 0;
        return true;
    }
    double total = 0;
    while (text.bytes != 0) {
        double part;
        if (!duration_part(&text, &part)) return false;
        total += part;
    }
    if (!(total <= 9.2e18)) return false; /* nor when digits without end made it no number */
    *ns = (int64_t)(negative ? -total : total);
    return true;
}

/* v / unit with its fraction, trailing zeros cut. */
static size_t duration_fraction(uint64_t v, uint64_t unit, const char *name, char *out, size_t room)
{
    int digits = 0;
    uint64_t fraction = v % unit;
    for (uint64_t u = unit; u > 1; u /= 10)
        digits++;
    while (digits > 0 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    int n = digits == 0 ? snprintf(out, room, "%llu%s", (unsigned long long)(v / unit), name)
                        : snprintf(out, room, "%llu.%0*llu%s", (unsigned long long)(v / unit),
                                   digits, (unsigned long long)fraction, name);
    return (size_t)n;
}

size_t duration_format(int64_t ns, char *out, size_t room)
{
    size_t n = 0;
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0) out[n++] = '-';
    if (v == 0) return n + (size_t)snprintf(out + n, room - n, "0s");
    if (v < NS_PER_US) return n + duration_fraction(v, 1, "ns", out + n, room - n);
    if (v < NS_PER_MS) return n + duration_fraction(v, NS_PER_US, "\xc2\xb5s", out + n, room - n);
    if (v < NS_PER_S) return n + duration_fraction(v, NS_PER_MS, "ms", out + n, room - n);
    uint64_t minutes = v / (60 * NS_PER_S), hours = minutes / 60;
    if (hours != 0) n += (size_t)snprintf(out + n, room - n, "%lluh", (unsigned long long)hours);
    if (minutes != 0)
        n += (size_t)snprintf(out + n, room - n, "%llum", (unsigned long long)(minutes % 60));
    return n + duration_fraction(v % (60 * NS_PER_S), NS_PER_S, "s", out + n, room - n);
}

size_t duration_put_u64(char *to, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    for (size_t i = 0; i < n; i++)
        to[i] = digits[n - 1 - i];
    return n;
}
