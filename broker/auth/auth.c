#include "broker/auth/auth.h"

#include <stdlib.h>

#include "broker/auth/password.h"
#include "broker/broker.h"

struct auth {
    struct env *env;
    const struct broker_options *o;
    uint64_t seed;             /* of secrets' digests */
    struct env_worker *worker; /* made with the first bcrypt check */
};

struct auth *auth_new(struct env *env, const struct broker_options *o)
{
    struct auth *a = check_alloc(sizeof *a);
    *a = (struct auth){.env = env, .o = o, .seed = env_random(env)};
    return a;
}

void auth_free(struct auth *a)
{
    if (a == NULL) return;
    if (a->worker != NULL) a->env->ops->worker_free(a->worker);
    free(a);
}

bool auth_required(const struct auth *a)
{
    return a->o->auth_required || a->o->user_count != 0 || a->o->token != NULL;
}

static const struct broker_user *user_find(const struct auth *a, struct text name)
{
    for (size_t i = 0; i < a->o->user_count; i++) {
        if (text_equal(text_of(a->o->users[i].name), name)) return &a->o->users[i];
    }
    return NULL;
}

static void job_run(struct env_job *job)
{
    struct auth_request *r = CONTAINER_OF(job, struct auth_request, job);
    r->same = password_verify_hash(r->stored, r->given);
}

static void job_done(struct env_job *job)
{
    struct auth_request *r = CONTAINER_OF(job, struct auth_request, job);
    explicit_bzero(r->given, strlen(r->given));
    free(r->given);
    free((void *)(uintptr_t)r->stored);
    r->given = NULL;
    r->stored = NULL;
    r->done(r, r->same && !r->unknown ? AUTH_OK : AUTH_DENIED);
}

/* Both are copied: a reload may take the config away while the worker looks at it. */
static enum auth_verdict
check_secret(struct auth *a, struct auth_request *r, const char *stored, struct text given)
{
    if (given.at == NULL) return AUTH_DENIED;
    if (!password_is_hash(stored)) {
        return password_equal(stored, given) ? AUTH_OK : AUTH_DENIED;
    }
    if (a->worker == NULL) a->worker = a->env->ops->worker_new(a->env, "password");
    r->auth = a;
    r->stored = check_strdup(stored);
    r->given = check_alloc(given.bytes + 1);
    memcpy(r->given, given.at, given.bytes);
    r->job = (struct env_job){.run = job_run, .done = job_done};
    env_submit(a->env, a->worker, &r->job);
    return AUTH_PENDING;
}

static struct auth_identity identity_of(const struct auth *a, const struct broker_user *user)
{
    struct account *account = a->o->no_auth_account;
    const char *secret = user != NULL ? user->password : a->o->token;
    if (user != NULL && user->account != NULL) account = user->account;
    if (account == NULL) account = accounts_global(a->o->accounts);
    return (struct auth_identity){
        .account = account,
        .user = user,
        .permissions = user == NULL ? NULL : user->permissions,
        .secret = secret == NULL ? 0 : map_hash(a->seed, text_of(secret)),
    };
}

enum auth_verdict auth_check(struct auth *a, struct auth_request *r)
{
    const struct broker_options *o = a->o;
    if (r->user.bytes == 0 && r->token.bytes == 0 && o->no_auth_user != NULL) {
        r->identity = identity_of(a, o->no_auth_user);
        return AUTH_OK;
    }
    if (o->user_count != 0 && r->user.at != NULL) {
        const struct broker_user *user = user_find(a, r->user);
        r->identity = identity_of(a, user);
        /* Nobody is let in by somebody else's password, but the comparison takes its time. */
        r->unknown = user == NULL;
        const char *stored = user != NULL ? user->password : o->users[0].password;
        enum auth_verdict verdict = check_secret(a, r, stored, r->password);
        return r->unknown && verdict == AUTH_OK ? AUTH_DENIED : verdict;
    }
    r->unknown = false;
    r->identity = identity_of(a, NULL);
    if (o->token != NULL) return check_secret(a, r, o->token, r->token);
    if (!auth_required(a)) return AUTH_OK;
    return AUTH_DENIED;
}

bool auth_again(const struct auth *a,
                struct text user,
                const struct auth_identity *before,
                struct auth_identity *now)
{
    const struct broker_user *found = user.bytes == 0 ? a->o->no_auth_user : user_find(a, user);
    bool asked = a->o->user_count != 0;
    *now = identity_of(a, found);
    return (found != NULL || !asked) && now->account == before->account &&
           now->secret == before->secret;
}

void auth_pending_again(const struct auth *a, struct text user, struct auth_request *r)
{
    struct auth_identity now;
    if (!auth_again(a, user, &r->identity, &now)) r->unknown = true; /* the worker doesn't look */
    r->identity = now;
}
