/* CONNECT: options, who it is, and what it may do from then on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client/conn.h"
#include "broker/client/connect.h"
#include "store/base/logger.h"

static void keep_text(char **to, struct text t)
{
    free(*to);
    *to = check_alloc(t.bytes + 1);
    if (t.bytes != 0) memcpy(*to, t.at, t.bytes);
}

/* The rights of the identity; the ones before count no more. */
static void conn_become(struct conn *c, const struct auth_identity *who)
{
    if (c->connected && c->account != NULL) c->account->conns--;
    if (c->account != who->account) conn_subs_clear(c);
    c->identity = *who;
    c->account = who->account;
    c->permissions = who->permissions;
    c->account->conns++;
    c->connected = true;
    c->limits.auth_pending = false;
    bool responses = c->permissions != NULL && c->permissions->responses;
    if (responses && c->grants == NULL) c->grants = reply_grants_new();
}

static bool account_full(const struct auth_identity *who)
{
    return who->account->max_conns >= 0 && who->account->conns >= (uint64_t)who->account->max_conns;
}

static void conn_allowed(struct conn *c)
{
    if (!c->connected && account_full(&c->auth.identity)) {
        conn_end(c, PROTO_MAX_ACCOUNT_CONNS, CLOSE_MAX_ACCOUNT_CONNS);
        return;
    }
    bool first = !c->connected;
    conn_become(c, &c->auth.identity);
    if (c->state != CONN_OPEN) conn_move(c, CONN_OPEN);
    if (first) conn_first_ping(c);
    if (c->verbose) conn_send(c, TEXT("+OK\r\n"));
    if (first && c->listener->o.client != NULL) {
        c->listener->o.client(c->listener->o.ctx, c, true);
    }
}

static void conn_denied(struct conn *c)
{
    struct listener *l = c->listener;
    struct mono now = env_mono(l->o.env);
    struct text address = text_of(c->address);
    char text[160];
    (void)snprintf(text, sizeof text, "authentication error%s%.100s",
                   c->user[0] == '\0' ? "" : " - User ", c->user);
    conn_complain(c, text);
    throttle_failed(&l->throttle, address, now);
    uint64_t delay_ns = throttle_delay_ns(&l->throttle, address, now);
    if (delay_ns == 0) {
        conn_end(c, PROTO_AUTH_VIOLATION, CLOSE_AUTH_VIOLATION);
        return;
    }
    c->denied = true;
    if (c->state != CONN_CHECKING) conn_move(c, CONN_CHECKING);
    conn_timer_start(c, delay_ns);
}

static void conn_verdict(struct conn *c, enum auth_verdict verdict)
{
    if (verdict == AUTH_OK) {
        conn_allowed(c);
    } else {
        conn_denied(c);
    }
}

static void on_checked(struct auth_request *r, enum auth_verdict verdict)
{
    struct conn *c = CONTAINER_OF(r, struct conn, auth);
    if (c->checking_freed) {
        conn_free(c);
        return;
    }
    if (c->state != CONN_CHECKING) return;
    conn_verdict(c, verdict);
    conn_resume(c);
}

/* False: the options can't be had, and the connection ends. */
static bool conn_options(struct conn *c, const struct connect_options *o)
{
    c->verbose = o->verbose;
    c->pedantic = o->pedantic;
    c->echo = o->echo;
    c->headers = o->headers;
    c->no_responders = o->no_responders;
    c->protocol = o->protocol;
    c->limits.headers = o->headers;
    keep_text(&c->name, o->name);
    keep_text(&c->lang, o->lang);
    keep_text(&c->version, o->version);
    keep_text(&c->user, o->user);
    if (o->protocol < 0 || o->protocol > 1) {
        conn_end(c, PROTO_BAD_PROTOCOL, CLOSE_BAD_VERSION);
        return false;
    }
    if (o->no_responders && !o->headers) {
        conn_end(c, PROTO_NEEDS_HEADERS, CLOSE_NEEDS_HEADERS);
        return false;
    }
    if (o->account.bytes != 0) {
        conn_end(c, PROTO_AUTH_VIOLATION, CLOSE_AUTH_VIOLATION);
        return false;
    }
    return true;
}

void conn_login(struct conn *c, const struct parser_op *op)
{
    struct connect_options o;
    if (connect_decode(op->json, &o) != 0) {
        conn_end(c, PROTO_NONE, CLOSE_PARSE_ERROR);
        connect_free(&o);
        return;
    }
    if (conn_options(c, &o)) {
        c->auth.user = o.user;
        c->auth.password = o.pass;
        c->auth.token = o.auth_token;
        c->auth.done = on_checked;
        enum auth_verdict verdict = auth_check(c->listener->auth, &c->auth);
        if (verdict == AUTH_PENDING) {
            conn_move(c, CONN_CHECKING);
        } else {
            conn_verdict(c, verdict);
        }
    }
    c->auth.user = c->auth.password = c->auth.token = (struct text){0};
    connect_free(&o);
}

/* Who hasn't said who it is has the rights of nobody, as long as nobody has any. */
static void conn_nobody_again(struct conn *c)
{
    struct auth_request nobody = {0};
    if (c->limits.auth_pending) return; /* it never had any */
    if (auth_check(c->listener->auth, &nobody) != AUTH_OK) {
        conn_end(c, PROTO_AUTH_VIOLATION, CLOSE_REVOKED);
        return;
    }
    if (c->account != nobody.identity.account) conn_subs_clear(c);
    c->account = nobody.identity.account;
    c->permissions = nobody.identity.permissions;
    conn_subs_recheck(c);
}

/* The password isn't known any more: who was let in stays as long as the user is there. */
void conn_login_again(struct conn *c)
{
    struct auth_identity who;
    if (c->state >= CONN_ENDING) return;
    if (c->auth.given != NULL) auth_pending_again(c->listener->auth, text_of(c->user), &c->auth);
    if (!c->connected) {
        conn_nobody_again(c);
        return;
    }
    if (!auth_again(c->listener->auth, text_of(c->user), &c->identity, &who)) {
        conn_end(c, PROTO_AUTH_VIOLATION, CLOSE_REVOKED);
        return;
    }
    conn_become(c, &who);
    conn_subs_recheck(c);
}
