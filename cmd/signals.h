/* signals.h - signals of the process become calls on the loop.
 * Source: protocol reference, section 14.4. Thread: loop. */
#pragma once

#include "store/base/env.h"

struct signals;
struct signals_options {
    struct env *env;
    void (*stop)(void *ctx); /* INT, TERM: a clean stop; a second one during it is passed on too */
    void (*reopen)(void *ctx);    /* USR1: the log file */
    void (*lame_duck)(void *ctx); /* USR2 */
    void (*reload)(void *ctx);    /* HUP */
    void (*quit)(void *ctx);      /* QUIT; NULL: a core dump */
    void *ctx;
};
struct signals *signals_new(const struct signals_options *o);
/* Before env_uv_free; nothing is called after it. */
void signals_free(struct signals *s);
