/* gossip.c - body of a FRAME_MEMBERS: rows of name and host:port, each u16 bytes and text. */
#include "cluster/gossip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_impl.h"
#include "cluster/peer.h"
#include "cluster/routes.h"
#include "store/base/writer.h"

static bool host_is_any(const char *host)
{
    static const char *const rows[] = {"", "0.0.0.0", "::", "[::]"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (strcmp(host, rows[i]) == 0) return true;
    }
    return false;
}

void gossip_listen(struct cluster *c, const char *host, const char *advertise)
{
    if (host == NULL || host_is_any(host)) host = "";
    const char *open = strchr(host, ':') != NULL && host[0] != '[' ? "[" : "";
    const char *close = open[0] == 0 ? "" : "]";
    if (advertise == NULL || advertise[0] == 0)
        snprintf(c->listen, sizeof c->listen, "%s%s%s:%d", open, host, close, c->port);
    else if (strchr(advertise, ':') == NULL)
        snprintf(c->listen, sizeof c->listen, "%s:%d", advertise, c->port);
    else
        snprintf(c->listen, sizeof c->listen, "%s", advertise);
}

/* host:port, [v6]:port. */
static bool address_split(struct text address, char *host, size_t bytes, int *port)
{
    char text[300];
    if (address.bytes == 0 || address.bytes >= sizeof text) return false;
    memcpy(text, address.at, address.bytes);
    text[address.bytes] = 0;
    char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strlen(text) != address.bytes) return false;
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (*end != 0 || number == 0 || number > UINT16_MAX) return false;
    *colon = 0;
    char *from = text;
    if (*from == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        from++;
    }
    size_t host_bytes = strlen(from);
    if (host_bytes == 0 || host_bytes >= bytes) return false;
    memcpy(host, from, host_bytes + 1);
    *port = (int)number;
    return true;
}

void gossip_greeted(struct peer *p, const char *remote, struct text listen)
{
    if (listen.bytes == 0) return;
    size_t bytes = 0; /* of the host that the greeting came from */
    if (listen.at[0] == ':') {
        const char *colon = strrchr(remote, ':');
        if (colon == NULL) return;
        bytes = (size_t)(colon - remote);
    }
    snprintf(p->address, sizeof p->address, "%.*s%.*s", (int)bytes, remote, (int)listen.bytes,
             listen.at);
}

static void member_encode(struct writer *w, const struct peer *p)
{
    writer_text16(w, text_of(p->pub.name));
    writer_text16(w, text_of(p->address));
}

static void gossip_send(struct peer *to, struct writer *w)
{
    struct slice body = writer_take(w);
    peer_send(to, CLUSTER_CONTROL, FRAME_MEMBERS, &body, 1);
}

void gossip_up(struct peer *p)
{
    struct writer all;
    writer_init(&all, 256);
    LIST_FOREACH (n, &p->cluster->peers) {
        struct peer *other = CONTAINER_OF(n, struct peer, node);
        if (other == p || !other->pub.up) continue;
        if (other->address[0] != 0) member_encode(&all, other);
        if (p->address[0] == 0) continue;
        struct writer one;
        writer_init(&one, 256);
        member_encode(&one, p);
        gossip_send(other, &one);
    }
    if (all.bytes == 0)
        writer_free(&all);
    else
        gossip_send(p, &all);
}

void gossip_frame(struct peer *p, struct slice body)
{
    struct cluster *c = p->cluster;
    struct reader r = reader_of(body.at, body.bytes);
    while (reader_left(&r) > 0) {
        struct text name = reader_text16(&r), address = reader_text16(&r);
        char host[256], named[256];
        int port;
        if (r.bad || name.bytes == 0 || name.bytes >= sizeof named) return;
        if (memchr(name.at, 0, name.bytes) != NULL) return;
        if (!address_split(address, host, sizeof host, &port)) continue;
        snprintf(named, sizeof named, "%.*s", (int)name.bytes, name.at);
        if (strcmp(named, c->o.node_name) != 0) routes_learn(c, named, host, port);
    }
}
