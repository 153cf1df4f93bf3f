#include "broker/client/advertise.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void list_add(struct writer *list, const char *host, bool v6, int port)
{
    char entry[320];
    int bytes = snprintf(entry, sizeof entry, v6 ? "[%s]:%d" : "%s:%d", host, port);
    if (list->bytes != 0) writer_u8(list, ',');
    writer_put(list, entry, (size_t)bytes < sizeof entry ? (size_t)bytes : sizeof entry - 1);
}

/* Link-local addresses mean nothing on another machine. */
static bool address_usable(const struct ifaddrs *at)
{
    if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0) return false;
    if ((at->ifa_flags & IFF_LOOPBACK) != 0) return false;
    if (at->ifa_addr->sa_family == AF_INET) return true;
    if (at->ifa_addr->sa_family != AF_INET6) return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    return !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

static void list_add_interfaces(struct writer *list, bool v6_too, int port)
{
    struct ifaddrs *all = NULL;
    size_t before = list->bytes;
    if (getifaddrs(&all) != 0) all = NULL;
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        char host[INET6_ADDRSTRLEN];
        if (!address_usable(at)) continue;
        bool v6 = at->ifa_addr->sa_family == AF_INET6;
        if (v6 && !v6_too) continue;
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)at->ifa_addr;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
        const void *address = v6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr;
        if (inet_ntop(v6 ? AF_INET6 : AF_INET, address, host, sizeof host) == NULL) continue;
        list_add(list, host, v6, port);
    }
    if (all != NULL) freeifaddrs(all);
    if (list->bytes == before) list_add(list, "127.0.0.1", false, port);
}

static void list_add_advertised(struct writer *list, const char *advertise, int port)
{
    const char *colon = strrchr(advertise, ':');
    bool v6 = strchr(advertise, ':') != colon;
    bool has_port = colon != NULL && (!v6 || (colon > advertise && colon[-1] == ']'));
    if (!has_port) {
        list_add(list, advertise, v6 && advertise[0] != '[', port);
        return;
    }
    if (list->bytes != 0) writer_u8(list, ',');
    writer_put(list, advertise, strlen(advertise));
}

void advertise_own(struct writer *list, const char *client_advertise, const char *host, int port)
{
    if (client_advertise != NULL && client_advertise[0] != '\0') {
        list_add_advertised(list, client_advertise, port);
        return;
    }
    bool any4 = host == NULL || host[0] == '\0' || strcmp(host, "0.0.0.0") == 0;
    bool any6 = !any4 && (strcmp(host, "::") == 0 || strcmp(host, "[::]") == 0);
    if (any4 || any6) {
        list_add_interfaces(list, any6, port);
        return;
    }
    list_add(list, host, strchr(host, ':') != NULL && host[0] != '[', port);
}

static bool json_has(const struct writer *json, struct text entry)
{
    struct text all = {.at = (const char *)json->base, .bytes = json->bytes};
    while (all.bytes > entry.bytes + 1) {
        const char *at = memmem(all.at, all.bytes, entry.at, entry.bytes);
        if (at == NULL) return false;
        if (at > (const char *)json->base && at[-1] == '"' && at[entry.bytes] == '"') return true;
        all.bytes -= (size_t)(at + 1 - all.at);
        all.at = at + 1;
    }
    return false;
}

/* What a peer says goes into JSON as it is: only what an address can hold. */
static bool entry_plain(struct text entry)
{
    for (size_t i = 0; i < entry.bytes; i++) {
        char c = entry.at[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\') return false;
    }
    return entry.bytes != 0;
}

void advertise_add(struct writer *json, struct text list)
{
    while (list.bytes != 0) {
        const char *comma = memchr(list.at, ',', list.bytes);
        struct text entry = list;
        if (comma != NULL) entry.bytes = (size_t)(comma - list.at);
        list.at += entry.bytes + (comma != NULL);
        list.bytes -= entry.bytes + (comma != NULL);
        if (!entry_plain(entry) || json_has(json, entry)) continue;
        if (json->bytes != 0) writer_u8(json, ',');
        writer_u8(json, '"');
        writer_put(json, entry.at, entry.bytes);
        writer_u8(json, '"');
    }
}
