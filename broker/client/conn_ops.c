/* What each operation of the protocol does. */
#include <stdio.h>
#include <string.h>

#include "broker/client/conn.h"
#include "broker/core/subject.h"
#include "store/base/logger.h"

static void conn_ok(struct conn *c)
{
    if (c->verbose) conn_send(c, TEXT("+OK\r\n"));
}

/* ---- PUB and HPUB ---- */

static void error_publish(struct conn *c, const char *what, struct text subject)
{
    char text[CONN_SHOWN_BYTES + 128];
    int bytes = (int)(subject.bytes < CONN_SHOWN_BYTES ? subject.bytes : CONN_SHOWN_BYTES);
    (void)snprintf(text, sizeof text, "Permissions Violation for Publish %s \"%.*s\"", what, bytes,
                   subject.at);
    conn_complain(c, text);
    conn_error(c, text);
}

/* Spaces that are the servers' own (1.7). */
static bool reserved_reply(struct text reply)
{
    if (reply.bytes == 0 || (reply.at[0] != '$' && reply.at[0] != '_')) return false;
    return subject_starts(reply, TEXT("_R_.")) || subject_starts(reply, TEXT("$JS.ACK.")) ||
           subject_starts(reply, TEXT("$GNR."));
}

static bool reserved_subject(struct text subject)
{
    if (subject.bytes == 0 || subject.at[0] != '$') return false;
    return subject_starts(subject, TEXT("$GNR.")) || subject_starts(subject, TEXT("$NRG."));
}

static bool may_publish(struct conn *c, const struct parser_op *op)
{
    bool allowed = !reserved_subject(op->subject);
    if (allowed && c->permissions != NULL) {
        allowed = permissions_publish(c->permissions, op->subject) ||
                  reply_grants_use(c->grants, op->subject, env_mono(c->listener->o.env));
    }
    if (!allowed) {
        error_publish(c, "to", op->subject);
        return false;
    }
    if (reserved_reply(op->reply)) {
        error_publish(c, "with Reply of", op->reply);
        return false;
    }
    return true;
}

static void conn_count_in(struct conn *c, size_t bytes)
{
    c->in_msgs++;
    c->in_bytes += bytes;
    c->account->in_msgs++;
    c->account->in_bytes += bytes;
    c->listener->stats.in_msgs++;
    c->listener->stats.in_bytes += bytes;
}

/* While JetStream's proposals are over budget, whoever publishes is not read on. */
static void conn_hold(struct conn *c)
{
    c->paused = true;
    if (!list_linked(&c->in_held)) list_push_back(&c->listener->held, &c->in_held);
}

static void op_pub_nobody(struct conn *c, const struct message *m)
{
    const struct listener_options *o = &c->listener->o;
    if (!c->no_responders || !c->headers || m->reply.bytes == 0) return;
    if (o->nobody == NULL || !o->nobody(o->ctx, m)) conn_subs_no_responders(c, m);
}

static void op_pub(struct conn *c, const struct parser_op *op, struct slice owner)
{
    conn_count_in(c, op->header.bytes + op->body.bytes);
    if (!may_publish(c, op)) return;
    conn_ok(c);
    if (c->pedantic && !subject_valid_literal(op->subject)) {
        conn_error(c, proto_error_text(PROTO_INVALID_PUBLISH));
    }
    const struct message m = {.account = c->account,
                              .subject = op->subject,
                              .reply = op->reply,
                              .header = op->header,
                              .body = op->body,
                              .owner = owner,
                              .from = c};
    if (router_publish(c->listener->o.router, &m) == 0) op_pub_nobody(c, &m);
    if (c->listener->hold && c->state < CONN_ENDING) conn_hold(c);
}

/* ---- the others ---- */

static void op_sub(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)owner;
    conn_subs_add(c, op);
}

static void op_unsub(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)owner;
    conn_subs_max(c, op);
}

static void op_connect(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)owner;
    conn_login(c, op);
}

static void op_ping(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)op;
    (void)owner;
    conn_send(c, TEXT("PONG\r\n"));
    if (!c->connected) return;
    c->greeted = true;
    if (!c->info_due) return;
    c->info_due = false;
    conn_send_info(c);
}

static void op_pong(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)op;
    (void)owner;
    if (c->pings_out != 0) {
        struct mono now = env_mono(c->listener->o.env);
        c->rtt_ns = now.ns > c->ping_sent.ns ? now.ns - c->ping_sent.ns : 1;
    }
    c->pings_out = 0;
}

static void op_ignore(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)c;
    (void)op;
    (void)owner;
}

static void op_error(struct conn *c, const struct parser_op *op, struct slice owner)
{
    (void)op;
    (void)owner;
    conn_end(c, PROTO_NONE, CLOSE_PARSE_ERROR);
}

static void (*const op_rows[PARSER_VERBS])(struct conn *,
                                           const struct parser_op *,
                                           struct slice) = {
    [PARSER_CONNECT] = op_connect, [PARSER_PUB] = op_pub,     [PARSER_HPUB] = op_pub,
    [PARSER_SUB] = op_sub,         [PARSER_UNSUB] = op_unsub, [PARSER_PING] = op_ping,
    [PARSER_PONG] = op_pong,       [PARSER_INFO] = op_ignore, [PARSER_PLUS_OK] = op_ignore,
    [PARSER_MINUS_ERR] = op_error,
};

/* Credentials stand in a CONNECT. */
static void conn_trace(const struct conn *c, const struct parser_op *op)
{
    struct text line = op->verb == PARSER_CONNECT ? TEXT("CONNECT [REDACTED]") : op->line;
    LOG(TRC, "%s - cid:%llu - <<- [%.*s]", c->address, (unsigned long long)c->cid, (int)line.bytes,
        line.at);
}

void conn_op(struct conn *c, const struct parser_op *op, struct slice owner)
{
    if (logger_wants(LOGGER_TRC)) conn_trace(c, op);
    op_rows[op->verb](c, op, owner);
}
