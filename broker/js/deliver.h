/* deliver.h - what a consumer may send next, and how it gets to the client. Thread: loop. */
#pragma once

#include "broker/js/js.h"

/* Picks as much as requests or interest, limits and what is in flight allow. For replicated
 * consumers only the leader picks, and proposes; a local consumer sends at once. */
void deliver_turn(struct js_consumer *jc);
/* A deliver command was applied: the target sends. */
void deliver_applied(struct js_consumer *jc, const struct state_delivery *d);
/* Leadership changed or the consumer ends: what was picked and isn't applied is forgotten. */
void deliver_reset(struct js_consumer *jc);
/* Messages that could be sent now for the first time; limits and what is in flight taken off. */
uint64_t deliver_available(const struct js_consumer *jc);
/* Something is due for redelivery and not in flight. */
bool deliver_again(const struct js_consumer *jc);
bool deliver_paused(const struct js_consumer *jc);
void deliver_timer(struct wheel_entry *w);      /* the pause is over */
void deliver_pace_timer(struct wheel_entry *w); /* the rate limit allows more */
