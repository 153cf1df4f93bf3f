#include "broker/js/duration.h"

#include <stdio.h>
#include <time.h>

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
    if (total > 9.2e18) return false;
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

/* Digits [from, from + count) as a number; -1 when they aren't digits. */
static int time_number(struct text t, size_t from, size_t count)
{
    int v = 0;
    if (from + count > t.bytes) return -1;
    for (size_t i = from; i < from + count; i++) {
        if (!digit(t.at[i])) return -1;
        v = v * 10 + (t.at[i] - '0');
    }
    return v;
}

/* Z, or +hh:mm: seconds east of UTC. */
static bool time_zone(struct text t, size_t at, int *seconds)
{
    *seconds = 0;
    if (at + 1 == t.bytes && (t.at[at] == 'Z' || t.at[at] == 'z')) return true;
    if (at + 6 != t.bytes || t.at[at + 3] != ':') return false;
    int hours = time_number(t, at + 1, 2), minutes = time_number(t, at + 4, 2);
    if (hours < 0 || minutes < 0 || (t.at[at] != '+' && t.at[at] != '-')) return false;
    *seconds = (hours * 60 + minutes) * 60 * (t.at[at] == '-' ? -1 : 1);
    return true;
}

bool duration_time(struct text t, int64_t *ns)
{
    if (t.bytes < 20 || t.at[4] != '-' || t.at[7] != '-' || t.at[13] != ':' || t.at[16] != ':')
        return false;
    if (t.at[10] != 'T' && t.at[10] != 't' && t.at[10] != ' ') return false;
    struct tm tm = {.tm_year = time_number(t, 0, 4) - 1900,
                    .tm_mon = time_number(t, 5, 2) - 1,
                    .tm_mday = time_number(t, 8, 2),
                    .tm_hour = time_number(t, 11, 2),
                    .tm_min = time_number(t, 14, 2),
                    .tm_sec = time_number(t, 17, 2)};
    if (tm.tm_year < -1900 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31)
        return false;
    if (tm.tm_hour < 0 || tm.tm_min < 0 || tm.tm_sec < 0) return false;
    size_t at = 19;
    int64_t fraction = 0, unit = (int64_t)NS_PER_S;
    if (t.at[at] == '.') {
        for (at++; at < t.bytes && digit(t.at[at]); at++) {
            if (unit > 1) unit /= 10;
            fraction += (t.at[at] - '0') * unit;
        }
    }
    int zone;
    if (at >= t.bytes || !time_zone(t, at, &zone)) return false;
    int64_t seconds = (int64_t)timegm(&tm) - zone;
    /* Beyond what nanoseconds can hold lies only the year 1 (not set) and nonsense. */
    if (seconds < -9223372036 || seconds > 9223372035) {
        *ns = INT64_MIN;
        return seconds < 0;
    }
    *ns = seconds * (int64_t)NS_PER_S + fraction;
    return true;
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
