#include "store/state/header.h"

#include <string.h>

#include "store/base/units.h"

#define TTL_NS_MAX (INT64_MAX / 4)

struct text header_line(struct text header, const char *name)
{
    size_t name_bytes = strlen(name);
    const char *at = header.at, *end = header.at + header.bytes;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), name, name_bytes)) != NULL) {
        const char *value = at + name_bytes;
        if (at > header.at && at[-1] == '\n' && value < end && *value == ':') {
            const char *stop = memchr(value, '\n', (size_t)(end - value));
            stop = stop == NULL ? end : stop + 1;
            return (struct text){.at = at, .bytes = (size_t)(stop - at)};
        }
        at = value;
    }
    return (struct text){0};
}

struct text header_find(struct text header, const char *name)
{
    struct text line = header_line(header, name);
    if (line.bytes == 0) return line;
    size_t head = strlen(name) + 1;
    line.at += head;
    line.bytes -= head;
    while (line.bytes != 0 && line.at[0] == ' ') {
        line.at++;
        line.bytes--;
    }
    while (line.bytes != 0 && strchr("\r\n", line.at[line.bytes - 1]) != NULL)
        line.bytes--;
    return line;
}

static int64_t unit_of(struct text *t)
{
    static const struct {
        struct text name;
        int64_t ns;
    } units[] = {
        {{"ms", 2}, (int64_t)NS_PER_MS},
        {{"h", 1}, 3600 * (int64_t)NS_PER_S},
        {{"m", 1}, 60 * (int64_t)NS_PER_S},
        {{"s", 1}, (int64_t)NS_PER_S},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (t->bytes < units[i].name.bytes ||
            memcmp(t->at, units[i].name.at, units[i].name.bytes) != 0)
            continue;
        t->at += units[i].name.bytes;
        t->bytes -= units[i].name.bytes;
        return units[i].ns;
    }
    return 0;
}

/* Whole seconds, or a duration as Go prints it. */
int64_t header_ttl(struct text header)
{
    struct text t = header_find(header, "Nats-TTL");
    int64_t sum = 0;
    if (text_equal(t, TEXT("never"))) return -1;
    while (t.bytes != 0) {
        int64_t value = 0, unit;
        size_t digits = 0;
        for (; t.bytes != 0 && t.at[0] >= '0' && t.at[0] <= '9'; digits++) {
            if (value > TTL_NS_MAX / 10) return 0;
            value = value * 10 + (t.at[0] - '0');
            t.at++;
            t.bytes--;
        }
        unit = t.bytes == 0 && sum == 0 ? (int64_t)NS_PER_S : unit_of(&t);
        if (digits == 0 || unit == 0 || value > (TTL_NS_MAX - sum) / unit) return 0;
        sum += value * unit;
    }
    return sum / (int64_t)NS_PER_S * (int64_t)NS_PER_S;
}
