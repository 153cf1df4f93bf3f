/* api.h - $JS.API: the table of endpoints, and the life of one request (section 5).
 *
 * A request is copied, waits for a linearizable read, then its handler answers from the state or
 * proposes and answers with the result. Thread: loop. */
#pragma once

#include "broker/js/js.h"
#include "broker/js/js_json.h"
#include "store/base/json_out.h"

enum api_flag {
    API_STREAM = 1,        /* the first wildcard names a stream that must be there: 10059 */
    API_CONSUMER = 2,      /* the second a consumer: 10014 */
    API_BODY_REQUIRED = 4, /* 10003 without one */
    API_BODY_NONE = 8,     /* 10038 with one */
    API_CLUSTER = 16,      /* 10010 on a single node */
    API_SYSTEM = 32,       /* for the system account */
};
struct api_call;
struct api_endpoint {
    const char *subject; /* after $JS.API.; * one token, > the rest */
    unsigned flags;
    const char *type; /* of the answer, after io.nats.jetstream.api.v1. */
    void (*handler)(struct api_call *c);
};

#define API_TOKENS_MAX 3 /* wildcards of one endpoint */

struct api_call {
    struct list_node node; /* engine's calls */
    struct engine *engine;
    struct js_account *account; /* whose streams */
    struct account *reply_account;
    const struct api_endpoint *endpoint;
    struct js_read read;
    struct proposal proposal;
    void (*result)(struct api_call *c, const struct apply_result *r);
    struct engine_ask ask;
    struct arena json;
    struct text subject, reply, body; /* our own copy, behind the struct */
    struct text tokens[API_TOKENS_MAX];
    struct stream *stream; /* of this moment: only in the handler */
    struct consumer *consumer;
    struct { /* what the handler keeps for its result */
        int64_t until_ns;
        char name[24];
    } keep;
};
/* An answer being written; api_begin to api_end without a break. */
struct api_answer {
    struct writer w;
    struct json_out j;
};

/* ---- api.c ---- */
/* Any message to $JS.API.>. False: nobody serves it (no responders). */
bool api_deliver(struct js_account *ja, const struct message *m);
void api_begin(struct api_call *c, struct api_answer *a);
/* Sends; c is gone. */
void api_end(struct api_call *c, struct api_answer *a);
void api_fail(struct api_call *c, int code, const char *detail);
void api_fail_config(struct api_call *c, const struct config_error *error);
/* Proposes what was written since propose_open; done gets the call back by its proposal. */
void api_propose(struct api_call *c,
                 void (*done)(struct api_call *c, const struct apply_result *r));
/* {"success":true} */
void api_success(struct api_call *c);
/* Body by a table. False: answered. Absent bodies leave `out`. */
NODISCARD bool api_decode(struct api_call *c, const struct json_in_table *table, void *out);
/* total, offset, limit. Returns the offset within total. */
uint64_t api_page(struct api_answer *a, uint64_t total, uint64_t offset, uint64_t limit);
void api_free(struct engine *e);
struct consumer *api_find_consumer(struct engine *e,
                                   struct js_account *ja,
                                   struct text stream,
                                   struct text consumer);
/* A peer asks for one of this node's local consumers; out stays empty when it isn't here. */
void api_answer_local(struct js_account *ja,
                      struct text subject,
                      struct text body,
                      struct writer *out);
/* 22 characters, base 62, and a zero. */
void api_nuid(struct engine *e, char *out);

/* ---- js_info.c: the objects in answers ---- */
void js_info_stream(struct engine *e, struct stream *s, struct json_out *j, const char *key);
/* The members only, into an object that is open. */
struct js_info_state {
    bool deleted;
    struct text subjects_filter;
    uint64_t offset;
};
void js_info_stream_members(struct engine *e,
                            struct stream *s,
                            struct json_out *j,
                            const struct js_info_state *how);
void js_info_consumer(struct engine *e, struct consumer *c, struct json_out *j, const char *key);
void js_info_consumer_members(struct engine *e, struct consumer *c, struct json_out *j);
/* name, leader, replicas; nothing on a single node without cluster name. */
void js_info_cluster(struct engine *e, struct json_out *j);

/* ---- handlers ---- */
void api_account_info(struct api_call *c);
void api_stream_create(struct api_call *c);
void api_stream_update(struct api_call *c);
void api_stream_names(struct api_call *c);
void api_stream_list(struct api_call *c);
void api_stream_info(struct api_call *c);
void api_stream_delete(struct api_call *c);
void api_stream_purge(struct api_call *c);
void api_stream_snapshot(struct api_call *c);
void api_stream_restore(struct api_call *c);
void api_message_get(struct api_call *c);
void api_message_delete(struct api_call *c);
void api_consumer_create(struct api_call *c);
void api_consumer_names(struct api_call *c);
void api_consumer_list(struct api_call *c);
void api_consumer_info(struct api_call *c);
void api_consumer_delete(struct api_call *c);
void api_consumer_pause(struct api_call *c);
void api_consumer_unpin(struct api_call *c);
void api_cluster_stepdown(struct api_call *c);
void api_cluster_refuse(struct api_call *c);
