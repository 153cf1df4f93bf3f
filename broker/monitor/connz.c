/* /connz: client connections, open ones or the last that closed. Rows of both kinds are gathered in
 * one form, filtered, sorted, then one page of them is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client/conn.h"
#include "broker/monitor/monitor.h"
#include "store/base/subject_match.h"

struct connz_row {
    uint64_t cid;
    const struct conn *open; /* NULL: closed */
    const char *address, *name, *lang, *version, *user, *account;
    int64_t start_ns, last_ns, stop_ns; /* stop 0: open */
    enum close_reason reason;
    uint64_t rtt_ns, pending, in_msgs, in_bytes, out_msgs, out_bytes, stalls, subs;
};

typedef uint64_t (*connz_key)(const struct connz_row *r);
static uint64_t key_cid(const struct connz_row *r)
{
    return r->cid;
}
static uint64_t key_start(const struct connz_row *r)
{
    return (uint64_t)r->start_ns;
}
static uint64_t key_subs(const struct connz_row *r)
{
    return r->subs;
}
static uint64_t key_pending(const struct connz_row *r)
{
    return r->pending;
}
static uint64_t key_msgs_to(const struct connz_row *r)
{
    return r->out_msgs;
}
static uint64_t key_msgs_from(const struct connz_row *r)
{
    return r->in_msgs;
}
static uint64_t key_bytes_to(const struct connz_row *r)
{
    return r->out_bytes;
}
static uint64_t key_bytes_from(const struct connz_row *r)
{
    return r->in_bytes;
}
static uint64_t key_last(const struct connz_row *r)
{
    return (uint64_t)r->last_ns;
}
static uint64_t key_stop(const struct connz_row *r)
{
    return (uint64_t)r->stop_ns;
}
static uint64_t key_reason(const struct connz_row *r)
{
    return (uint64_t)r->reason;
}
static uint64_t key_rtt(const struct connz_row *r)
{
    return r->rtt_ns;
}

/* clang-format off */
static const struct connz_sort {
    const char *name;
    connz_key key;
    bool down;        /* largest first */
    bool closed_only;
} connz_sorts[] = {
    {"",           key_cid,        false, false}, {"cid",      key_cid,      false, false},
    {"start",      key_start,      false, false}, {"subs",     key_subs,     true,  false},
    {"pending",    key_pending,    true,  false}, {"msgs_to",  key_msgs_to,  true,  false},
    {"msgs_from",  key_msgs_from,  true,  false}, {"bytes_to", key_bytes_to, true,  false},
    {"bytes_from", key_bytes_from, true,  false}, {"last",     key_last,     true,  false},
    {"idle",       key_last,       false, false}, {"uptime",   key_start,    false, false},
    {"stop",       key_stop,       true,  true},  {"reason",   key_reason,   false, true},
    {"rtt",        key_rtt,        true,  false},
};
/* clang-format on */

enum connz_subs { SUBS_NONE, SUBS_NAMES, SUBS_DETAIL };
struct connz {
    struct monitor *m;
    struct connz_row *rows;
    size_t count, max;
    const struct connz_sort *sort;
    enum connz_subs subs;
    bool auth, open, closed;
    uint64_t offset, limit, cid;
    const char *user, *account, *filter_subject;
};

/* ---- gathering ---- */

static bool row_wanted(const struct connz *z, const struct connz_row *r)
{
    if (z->cid != 0 && r->cid != z->cid) return false;
    if (z->user[0] != '\0' && strcmp(r->user, z->user) != 0) return false;
    return z->account[0] == '\0' || strcmp(r->account, z->account) == 0;
}

static bool conn_listens(const struct conn *c, const char *subject)
{
    LIST_FOREACH (at, &c->subs) {
        struct conn_sub *s = CONTAINER_OF(at, struct conn_sub, sub.in_conn);
        if (subject_overlap(s->sub.subject, text_of(subject))) return true;
    }
    return false;
}

static void row_add(struct connz *z, const struct connz_row *r)
{
    if (!row_wanted(z, r)) return;
    if (z->count == z->max) {
        z->max = z->max == 0 ? 64 : z->max * 2;
        z->rows = check_realloc(z->rows, z->max * sizeof *z->rows);
    }
    z->rows[z->count++] = *r;
}

static void gather_open(struct connz *z)
{
    struct mono now = env_mono(z->m->env);
    int64_t wall_ns = env_wall_ns(z->m->env);
    LIST_FOREACH (at, &z->m->listener->conns) {
        const struct conn *c = CONTAINER_OF(at, struct conn, in_listener);
        if (c->state >= CONN_ENDING) continue;
        if (z->filter_subject[0] != '\0' && !conn_listens(c, z->filter_subject)) continue;
        struct connz_row r = {
            .cid = c->cid,
            .open = c,
            .address = c->address,
            .name = c->name,
            .lang = c->lang,
            .version = c->version,
            .user = c->user,
            .account = c->account != NULL ? c->account->name : "",
            .start_ns = c->start_wall_ns,
            .last_ns = wall_ns - (int64_t)(now.ns - c->last.ns),
            .rtt_ns = c->rtt_ns,
            .pending = c->out.bytes,
            .in_msgs = c->in_msgs,
            .in_bytes = c->in_bytes,
            .out_msgs = c->out_msgs,
            .out_bytes = c->out_bytes,
            .stalls = c->stalls,
            .subs = c->sub_count,
        };
        row_add(z, &r);
    }
}

static void gather_closed(struct connz *z)
{
    const struct listener *l = z->m->listener;
    for (size_t i = 0; i < l->closed_count; i++) {
        const struct closed_conn *c = &l->closed[i];
        struct connz_row r = {
            .cid = c->cid,
            .address = c->address,
            .name = c->name,
            .lang = c->lang,
            .version = c->version,
            .user = c->user,
            .account = c->account,
            .start_ns = c->start_ns,
            .last_ns = c->last_ns,
            .stop_ns = c->stop_ns,
            .reason = c->reason,
            .rtt_ns = c->rtt_ns,
            .in_msgs = c->in_msgs,
            .in_bytes = c->in_bytes,
            .out_msgs = c->out_msgs,
            .out_bytes = c->out_bytes,
            .subs = c->subs,
        };
        row_add(z, &r);
    }
}

static int row_compare(const void *a, const void *b, void *ctx)
{
    const struct connz_sort *sort = ctx;
    const struct connz_row *ra = a, *rb = b;
    uint64_t ka = sort->key(ra), kb = sort->key(rb);
    if (ka == kb) return ra->cid < rb->cid ? -1 : ra->cid > rb->cid;
    return (ka < kb) != sort->down ? -1 : 1;
}

/* ---- writing ---- */

static void write_subs(const struct connz *z, const struct conn *c, struct json_out *j)
{
    bool detail = z->subs == SUBS_DETAIL;
    json_out_array(j, detail ? "subscriptions_list_detail" : "subscriptions_list");
    LIST_FOREACH (at, &c->subs) {
        const struct conn_sub *s = CONTAINER_OF(at, struct conn_sub, sub.in_conn);
        if (!detail) {
            json_out_text(j, NULL, s->sub.subject);
            continue;
        }
        json_out_object(j, NULL);
        json_out_string(j, "account", s->sub.account->name);
        json_out_text(j, "subject", s->sub.subject);
        if (s->sub.queue.bytes != 0) json_out_text(j, "qgroup", s->sub.queue);
        json_out_text(j, "sid", s->sid);
        json_out_u64(j, "msgs", s->sub.sid_msgs);
        if (s->sub.max_msgs != 0) json_out_u64(j, "max", s->sub.max_msgs);
        json_out_u64(j, "cid", c->cid);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

/* "host:port" or "[v6]:port" in its two parts. */
static void write_address(const char *address, struct json_out *j)
{
    const char *colon = strrchr(address, ':');
    struct text host = text_of(address);
    if (colon != NULL) host.bytes = (size_t)(colon - address);
    if (host.bytes > 2 && host.at[0] == '[') {
        host.at++;
        host.bytes -= 2;
    }
    json_out_text(j, "ip", host);
    json_out_i64(j, "port", colon == NULL ? 0 : strtol(colon + 1, NULL, 10));
}

static void write_times(const struct connz *z, const struct connz_row *r, struct json_out *j)
{
    char text[64];
    int64_t end_ns = r->stop_ns != 0 ? r->stop_ns : env_wall_ns(z->m->env);
    json_out_time(j, "start", r->start_ns);
    json_out_time(j, "last_activity", r->last_ns);
    if (r->stop_ns != 0) {
        json_out_time(j, "stop", r->stop_ns);
        json_out_string(j, "reason", close_reason_text(r->reason));
    }
    if (r->rtt_ns != 0) {
        monitor_duration(r->rtt_ns, text, sizeof text);
        json_out_string(j, "rtt", text);
    }
    monitor_uptime(end_ns > r->start_ns ? (uint64_t)(end_ns - r->start_ns) : 0, text, sizeof text);
    json_out_string(j, "uptime", text);
    monitor_uptime(end_ns > r->last_ns ? (uint64_t)(end_ns - r->last_ns) : 0, text, sizeof text);
    json_out_string(j, "idle", text);
}

static void write_optional(struct json_out *j, const char *key, const char *value)
{
    if (value[0] != '\0') json_out_string(j, key, value);
}

static void write_row(const struct connz *z, const struct connz_row *r, struct json_out *j)
{
    json_out_object(j, NULL);
    json_out_u64(j, "cid", r->cid);
    json_out_string(j, "kind", "Client");
    json_out_string(j, "type", "nats");
    write_address(r->address, j);
    write_times(z, r, j);
    json_out_u64(j, "pending_bytes", r->pending);
    json_out_u64(j, "in_msgs", r->in_msgs);
    json_out_u64(j, "out_msgs", r->out_msgs);
    json_out_u64(j, "in_bytes", r->in_bytes);
    json_out_u64(j, "out_bytes", r->out_bytes);
    if (r->stalls != 0) json_out_u64(j, "stalls", r->stalls);
    json_out_u64(j, "subscriptions", r->subs);
    write_optional(j, "name", r->name);
    write_optional(j, "lang", r->lang);
    write_optional(j, "version", r->version);
    if (z->auth || z->user[0] != '\0') {
        write_optional(j, "authorized_user", r->user);
        write_optional(j, "account", r->account);
    }
    if (z->subs != SUBS_NONE && r->open != NULL && r->subs != 0) write_subs(z, r->open, j);
    json_out_object_end(j);
}

/* ---- the request ---- */

static int refuse(struct monitor_query *q, const char *what, const char *value)
{
    (void)snprintf(q->error, sizeof q->error, "%s: %.100s", what, value);
    return 400;
}

static int read_state(struct connz *z, struct monitor_query *q)
{
    static const struct {
        const char *name;
        bool open, closed;
    } states[] = {{"", true, false},       {"open", true, false}, {"0", true, false},
                  {"closed", false, true}, {"1", false, true},    {"any", true, true},
                  {"all", true, true},     {"2", true, true}};
    const char *state = monitor_query_text(q, "state");
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        if (strcmp(states[i].name, state) != 0) continue;
        z->open = states[i].open;
        z->closed = states[i].closed;
        return 0;
    }
    return refuse(q, "error decoding state", state);
}

static int read_sort(struct connz *z, struct monitor_query *q)
{
    const char *name = monitor_query_text(q, "sort");
    for (const struct connz_sort *s = connz_sorts; s < ARRAY_END(connz_sorts); s++) {
        if (strcmp(s->name, name) == 0) z->sort = s;
    }
    if (z->sort == NULL) return refuse(q, "invalid sorting option", name);
    if (z->sort->closed_only && (z->open || !z->closed)) {
        return refuse(q, "sort by this is only for closed connections", name);
    }
    return 0;
}

static int read_query(struct connz *z, struct monitor_query *q)
{
    const char *subs = monitor_query_text(q, "subs");
    z->auth = monitor_query_flag(q, "auth");
    z->offset = monitor_query_number(q, "offset", 0);
    z->limit = monitor_query_number(q, "limit", MONITOR_CONNS_MAX);
    if (z->limit == 0) z->limit = MONITOR_CONNS_MAX;
    z->cid = monitor_query_number(q, "cid", 0);
    z->user = monitor_query_text(q, "user");
    z->account = monitor_query_text(q, "acc");
    z->filter_subject = monitor_query_text(q, "filter_subject");
    if (strcmp(subs, "detail") == 0) {
        z->subs = SUBS_DETAIL;
    } else if (monitor_query_flag(q, "subs")) {
        z->subs = SUBS_NAMES;
    }
    if (q->bad) return 400;
    int rc = read_state(z, q);
    /* A connection asked for by its id is shown whether it is still there or not. */
    if (z->cid != 0 && monitor_query_text(q, "state")[0] == '\0') z->closed = true;
    return rc != 0 ? rc : read_sort(z, q);
}

int connz_answer(struct monitor *m, struct monitor_query *q, struct json_out *j)
{
    struct connz z = {.m = m};
    int status = read_query(&z, q);
    if (status != 0) return status;
    if (z.open) gather_open(&z);
    if (z.closed) gather_closed(&z);
    if (z.count != 0) {
        qsort_r(z.rows, z.count, sizeof *z.rows, row_compare, (void *)(uintptr_t)z.sort);
    }
    size_t from = z.offset < z.count ? (size_t)z.offset : z.count;
    size_t page = z.limit < z.count - from ? (size_t)z.limit : z.count - from;
    json_out_string(j, "server_id", m->o->server_id);
    monitor_member_now(m, j, "now");
    json_out_u64(j, "num_connections", page);
    json_out_u64(j, "total", z.count);
    json_out_u64(j, "offset", z.offset);
    json_out_u64(j, "limit", z.limit);
    json_out_array(j, "connections");
    for (size_t i = 0; i < page; i++)
        write_row(&z, &z.rows[from + i], j);
    json_out_array_end(j);
    free(z.rows);
    return 200;
}
