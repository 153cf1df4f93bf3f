/* http.h - the monitoring port: GET of the endpoints in monitor.h. Parsing by libhttp-parser.
 * Bounded: so many connections, so many bytes of a request, so many seconds for one. Thread: loop.
 */
#pragma once

#include "broker/monitor/monitor.h"
#include "cluster/net/sock.h"

struct http;

/* Listens at the options' http_host and http_port; m->http_port becomes the real one. m outlives
 * it. */
NODISCARD int http_open(struct monitor *m, struct net *net, struct http **out);
/* Ends its connections; gone is called once, later or now; then h is freed. */
void http_close(struct http *h, void (*gone)(void *ctx), void *ctx);
