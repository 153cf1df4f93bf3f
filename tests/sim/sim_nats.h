/* sim_nats.h - a NATS client in the simulated world: one connection, subscriptions, requests with a
 * deadline. When the connection ends, its requests end with E_NET, then `down` is called; the owner
 * dials again. */
#pragma once

#include "cluster/net/sock.h"
#include "store/base/writer.h"
#include "tests/sim/sim_env.h"

struct nats_message {
    struct text subject, reply, header, payload; /* header: the whole block, or empty */
};
struct nats_request {
    struct list_node node;
    uint64_t id;
    struct nats *client;
    struct env_timer deadline;
    /* rc 0: an answer; E_AGAIN: none in time; E_NET: the connection ended. The request is the
     * owner's again. */
    void (*done)(struct nats_request *r, int rc, const struct nats_message *answer);
};
struct nats {
    struct env *env;
    struct net *net;
    unsigned number; /* unique: part of the inbox */
    void (*up)(struct nats *c);
    void (*down)(struct nats *c);
    void (*message)(struct nats *c, const struct nats_message *m); /* of subscriptions */
    void *owner;

    struct sock *sock;
    struct env_timer greeting; /* a server that died says nothing, not even that */
    bool dialling, greeted, broken;
    struct writer in, out;
    size_t out_sent;
    struct list requests;
    uint64_t request_next;
};

void nats_init(struct nats *c, struct env *env, struct net *net, unsigned number);
void nats_dial(struct nats *c, const char *host, int port); /* then up or down */
void nats_close(struct nats *c);                            /* down follows */
void nats_subscribe(struct nats *c, const char *subject);
/* headers: lines with their ends, or NULL. */
void nats_publish(struct nats *c,
                  const char *subject,
                  const char *reply,
                  const char *headers,
                  const void *payload,
                  size_t bytes);
void nats_request(struct nats *c,
                  struct nats_request *r,
                  const char *subject,
                  const char *headers,
                  const void *payload,
                  size_t bytes,
                  uint64_t deadline_ns);
