/* conn.h - one client connection: its life, its subscriptions, messages to it. Thread: loop.
 *
 *   NEW ----------> CHECKING (a worker hashes the password) ---> OPEN
 *    \______________________(nothing to hash)________________/     | CONNECT again: CHECKING
 *   any -> ENDING (the last words are on their way) -> CLOSED (the socket is closing) */
#pragma once

#include "broker/client/listener.h"
#include "broker/client/outq.h"
#include "broker/client/parser.h"
#include "broker/client/reply_grants.h"

#define CONN_SHOWN_BYTES 1024 /* of a subject in an error */

enum conn_state { CONN_NEW, CONN_CHECKING, CONN_OPEN, CONN_ENDING, CONN_CLOSED, CONN_STATES };

struct conn_sub {
    struct sub sub; /* in_conn: conn.subs */
    struct text sid;
    bool filtered; /* some of it is denied: look at each message */
    char bytes[];  /* subject, queue, sid */
};

struct conn {
    struct listener *listener;
    struct sock *sock; /* NULL once it is closed */
    enum conn_state state;
    enum close_reason reason;
    uint64_t cid;
    struct list_node in_listener, in_flush, in_held;
    /* in */
    struct slice rest; /* incomplete bytes; its chunk's end is the capacity */
    size_t need;       /* bytes that make it worth parsing again */
    struct parser_limits limits;
    bool paused; /* not reading: held back, or a password is being hashed */
    bool parsing;
    bool stalled; /* it filled somebody's queue in this turn */
    /* out */
    struct outq out;
    bool blocked;                /* the kernel took less than all; drained will tell */
    struct wheel_entry deadline; /* of a blocked write, and of the last words */
    struct wheel_entry timer;    /* login, then pings */
    struct wheel_entry stall;    /* until a publisher that is too fast goes on */
    /* who */
    struct account *account; /* NULL: not known yet */
    const struct permissions *permissions;
    struct auth_identity identity; /* that it logged in as */
    struct auth_request auth;
    struct reply_grants *grants; /* with allow_responses */
    bool verbose, pedantic, echo, headers, no_responders;
    bool connected;      /* a CONNECT was accepted */
    bool greeted;        /* and answered by the first PONG: may get an INFO */
    bool info_due;       /* one came up before that */
    bool denied;         /* the answer waits: too many failures of its address */
    bool checking_freed; /* the socket is gone, a worker still has the password */
    int64_t protocol;
    char *name, *lang, *version, *user; /* "" when not given */
    char address[64];                   /* host:port */
    /* subscriptions */
    struct list subs;
    struct map by_sid;
    uint32_t sub_count, sub_count_last; /* last: when they were dropped, for /connz */
    /* numbers */
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, stalls;
    int64_t start_wall_ns;
    struct mono start, last, ping_sent;
    uint64_t rtt_ns;
    uint32_t pings_out;
};

/* Takes over the socket and sends INFO. */
void conn_accept(struct listener *l, struct sock *s);
/* Says why (PROTO_NONE: nothing), lets the bytes go out, then closes. Harmless when it is ending
 * already. */
void conn_end(struct conn *c, enum proto_error error, enum close_reason reason);
/* Reads again after a hold. */
void conn_resume(struct conn *c);
/* All that is pending goes to the kernel, as far as it takes it. */
void conn_flush(struct conn *c);
void conn_send_info(struct conn *c);
/* -ERR '<text>', the connection goes on. */
void conn_error(struct conn *c, const char *text);
/* An error line in the log about this client; too many in one second are only counted. */
void conn_complain(struct conn *c, const char *text);
/* Bytes for the client, out at the end of the turn. */
void conn_send(struct conn *c, struct text bytes);
const char *conn_address_host(const struct conn *c, char *out, size_t bytes);
/* For conn_*.c alone. */
void conn_move(struct conn *c, enum conn_state next);
void conn_free(struct conn *c);
void conn_dirty(struct conn *c); /* bytes were added to out */
void conn_timer_start(struct conn *c, uint64_t delay_ns);
void conn_first_ping(struct conn *c);

/* ---- conn_ops.c: what each operation does ---- */
void conn_op(struct conn *c, const struct parser_op *op, struct slice owner);
/* ---- conn_login.c: CONNECT ---- */
void conn_login(struct conn *c, const struct parser_op *op);
/* After a reload: who it is now. Subscriptions that are denied now go, with an error. */
void conn_login_again(struct conn *c);
/* ---- conn_subs.c ---- */
void conn_subs_init(struct conn *c);
void conn_subs_add(struct conn *c, const struct parser_op *op);
void conn_subs_max(struct conn *c, const struct parser_op *op);
void conn_subs_clear(struct conn *c);
void conn_subs_recheck(struct conn *c);
/* Nobody heard a request: its sender gets a 503, if it can take one (1.9). */
void conn_subs_no_responders(struct conn *c, const struct message *m);
