/* sys.h - the system account's services: $SYS.REQ.SERVER.PING[.X], $SYS.REQ.SERVER.<id>.X from the
 * functions of the monitoring endpoints, $SYS.REQ.USER.INFO for every account; and events about
 * clients. Thread: loop. Source: protocol reference, section 4. */
#pragma once

#include "broker/monitor/monitor.h"

struct sys;

struct sys *sys_new(struct monitor *m);
void sys_free(struct sys *s);
/* Accounts may have been added by a reload. */
void sys_accounts(struct sys *s);
/* A client logged in, or is about to go. */
void sys_client_event(struct sys *s, const struct conn *c, bool connected);
