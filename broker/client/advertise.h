/* advertise.h - the addresses that clients may reach this node by, for INFO's connect_urls and for
 * peers. Source: protocol reference, 1.5, INFO life cycle 4. */
#pragma once

#include "store/base/slice.h"
#include "store/base/writer.h"

/* Appends "host:port" of this node to a comma list: client_advertise (its port may be missing);
 * else host; of a wildcard host (0.0.0.0, ::), all addresses of the machine but loopback, or
 * loopback if it has no other. */
void advertise_own(struct writer *list, const char *client_advertise, const char *host, int port);
/* Appends the entries of a comma list to a JSON array's inside, those that aren't there yet. */
void advertise_add(struct writer *json, struct text list);
