/* greeter.h - a link's life before it is open. Nothing but a FRAME_HELLO is decoded here, at most
 * HANDSHAKE_BYTES_MAX of it, for at most LINK_GREETING_NS.
 *
 *   dialer                          acceptor
 *   GREET ------------------------> judged: REFUSE and close, or
 *         <------------------------ GREET
 *   judged: REFUSE and close, or the lower name sends (either way)
 *         <---- ACCEPT session ---> control link open on both sides
 *   GREET data, session ----------> open, if that session is still the current one
 *   open  <------------------------ GREET data, session
 *
 * Thread: loop. */
#pragma once

#include "cluster/frame.h"
#include "cluster/link.h"

void greeter_accepted(void *cluster, struct sock *s);
/* Control: a route's dial. */
void greeter_dialed(struct route *r, struct sock *s);
/* Data: for an open control link. */
void greeter_dialed_data(struct peer *p, struct sock *s);
/* The link's frames, its end and its failure while it is greeting. */
void greeter_frame(struct link *l, const struct frame *f);
void greeter_gone(struct link *l);
void greeter_failed(struct link *l, int rc);
