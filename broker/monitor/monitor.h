/* monitor.h - what an operator sees: the same answers over HTTP (http.h) and over $SYS.REQ (sys.h).
 * Each endpoint is a function that writes one JSON object. Thread: loop.
 * Source: protocol reference, sections 4 and 15. */
#pragma once

#include "broker/broker.h"
#include "broker/client/listener.h"
#include "broker/js/engine.h"
#include "store/base/json_out.h"

#define MONITOR_CONNS_MAX 1024 /* of one page of /connz, as in nats-server */
#define MONITOR_PARAMS_MAX 24

/* Where the numbers come from. state, group, cluster, engine may be NULL. */
struct monitor {
    const struct broker_options *o;
    const struct broker_parts *parts;
    struct env *env;
    struct router *router;
    struct listener *listener;
    struct engine *engine;
    struct mono start;
    int64_t start_ns;
    int http_port;
    uint64_t request_counts[32];       /* per row of the endpoint table */
    uint64_t cpu_wall_ns, cpu_used_ns; /* of the last look, see process_cpu */
    double cpu;
};

/* Parameters of one request, from a URL's query or a JSON body. Texts are decoded and end in NUL.
 */
struct monitor_query {
    struct {
        char name[32];
        char value[512];
    } params[MONITOR_PARAMS_MAX];
    size_t count;
    bool bad;        /* something could not be read: 400 */
    char error[256]; /* set by an endpoint that answers 400 or more */
};
void monitor_query_url(struct monitor_query *q, struct text query);
/* Options of a $SYS request: names are changed to those of the URL. False: not a JSON object. */
bool monitor_query_json(struct monitor_query *q, struct text json);
void monitor_query_add(struct monitor_query *q, const char *name, struct text value);
const char *monitor_query_text(const struct monitor_query *q,
                               const char *name); /* "" when absent */
bool monitor_query_flag(struct monitor_query *q, const char *name);
uint64_t monitor_query_number(struct monitor_query *q, const char *name, uint64_t absent);

/* Members go into the object that the caller has opened. Returns the HTTP status; from 400 on
 * q->error says why, and what was written is thrown away. */
typedef int (*monitor_endpoint)(struct monitor *m, struct monitor_query *q, struct json_out *j);

int varz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int connz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int routez_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int routez_gateways(struct monitor *m, struct monitor_query *q, struct json_out *j);
int routez_leafs(struct monitor *m, struct monitor_query *q, struct json_out *j);
int subsz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int accountz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int accountz_stats(struct monitor *m, struct monitor_query *q, struct json_out *j);
int jsz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int healthz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j);
int healthz_live(struct monitor *m, struct monitor_query *q, struct json_out *j);
/* Do clients get in? */
int healthz_accepts(struct monitor *m, struct monitor_query *q, struct json_out *j);
int healthz_ready(struct monitor *m, struct monitor_query *q, struct json_out *j);
int healthz_startup(struct monitor *m, struct monitor_query *q, struct json_out *j);

/* ---- pieces that several endpoints share (endpoints.c) ---- */
void monitor_member_now(struct monitor *m, struct json_out *j, const char *key);
/* "1h2m3s", "1d2h3m4s": as nats-server shows times. */
void monitor_uptime(uint64_t ns, char *out, size_t bytes);
/* "1.234ms": as Go prints a duration. */
void monitor_duration(uint64_t ns, char *out, size_t bytes);
void monitor_js_config(struct monitor *m, struct json_out *j, const char *key);
/* memory, storage, reserved_*, accounts, ha_assets, api: members of the open object. */
void monitor_js_stats(struct monitor *m, struct json_out *j);
void monitor_js_meta(struct monitor *m, struct json_out *j, const char *key);

/* Row of a path; NULL: none. */
struct monitor_row {
    const char *path;
    monitor_endpoint answer; /* NULL: text, see page and metrics */
    void (*text)(struct monitor *m, struct writer *w);
    const char *content_type;
    bool compact;    /* not indented */
    const char *sys; /* X of $SYS.REQ.SERVER.PING.X; NULL: not there */
};
extern const struct monitor_row monitor_rows[];
extern const size_t monitor_row_count;
const struct monitor_row *monitor_find(struct text path);
const struct monitor_row *monitor_find_sys(struct text x);

/* metrics.c, page.c */
void metrics_text(struct monitor *m, struct writer *w);
void page_text(struct monitor *m, struct writer *w);

/* process.c: this process, from /proc. */
uint64_t process_rss_bytes(void);
double process_cpu(struct monitor *m); /* percent of one core, since the last look */
int process_cores(void);
