/* auth.h - who is this client? The order of methods: users, token; then no_auth_user; or nothing is
 * asked.
 *
 * Plain passwords and tokens are answered at once; bcrypt costs tens of milliseconds and goes to a
 * worker. An unknown user costs the same as a wrong password, as far as its configured kind allows.
 * Thread: loop. Source: protocol reference, section 3.1. */
#pragma once

#include "broker/auth/account.h"
#include "broker/auth/permissions.h"
#include "broker/auth/throttle.h"
#include "store/base/env.h"

struct broker_options;
struct broker_user;
struct auth;

enum auth_verdict { AUTH_OK, AUTH_DENIED, AUTH_PENDING };

struct auth_identity {
    struct account *account;
    const struct broker_user *user;        /* NULL: nobody in particular */
    const struct permissions *permissions; /* NULL: all */
    uint64_t secret; /* digest of what the config held then: a reload may have changed it */
};
/* Embedded in the connection; with AUTH_PENDING it must live until done. */
struct auth_request {
    struct text user, password,
        token; /* at == NULL: not given; needed for the call of auth_check only */
    void (*done)(struct auth_request *r, enum auth_verdict verdict); /* OK or DENIED, on the loop */
    struct auth_identity identity;                                   /* set with AUTH_OK */
    /* auth.c's own */
    struct auth *auth;
    struct env_job job;
    const char *stored;
    char *given;
    bool same, unknown;
};

struct auth *auth_new(struct env *env, const struct broker_options *o);
void auth_free(struct auth *a);
/* Users may have been exchanged by a reload: the options are looked at anew each time. */
enum auth_verdict auth_check(struct auth *a, struct auth_request *r);
/* Must a client show credentials? INFO says so. */
bool auth_required(const struct auth *a);
/* After a reload: the rights of a client that was let in before. False: it may not stay: its user
 * or password isn't there any more, or belongs to another account. */
bool auth_again(const struct auth *a,
                struct text user,
                const struct auth_identity *before,
                struct auth_identity *now);
/* After a reload: the same for a request that is still AUTH_PENDING; it is denied, or gets the rights
 * that there are now. */
void auth_pending_again(const struct auth *a, struct text user, struct auth_request *r);
