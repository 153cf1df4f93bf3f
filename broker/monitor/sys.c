/* Requests: the deliver functions below answer at once, in the requester's account. PING forms are
 * answered by every node, so they are told to peers (SUB_SYSTEM); USER.INFO is about a connection
 * of this node. */
#include "broker/monitor/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client/conn.h"
#include "broker/core/subject.h"

#define SYS_STATSZ_NS (10 * NS_PER_S)
#define SYS_SUBJECT_BYTES 400

struct sys_row {
    const char *subject; /* %s: this server's id */
    bool (*deliver)(struct sub *s, const struct message *m);
};
struct sys_sub {
    struct sub sub;
    struct sys *sys;
    char subject[SYS_SUBJECT_BYTES];
};
/* $SYS.REQ.USER.INFO of one account. */
struct sys_user_sub {
    struct list_node node;
    struct sub sub;
    struct sys *sys;
};

static bool on_server(struct sub *s, const struct message *m);
static bool on_account(struct sub *s, const struct message *m);

static const struct sys_row sys_rows[] = {
    {"$SYS.REQ.SERVER.PING", on_server},
    {"$SYS.REQ.SERVER.PING.*", on_server},
    {"$SYS.REQ.SERVER.%s.*", on_server},
    {"$SYS.REQ.ACCOUNT.*.*", on_account},
};

struct sys {
    struct monitor *m;
    struct account *account; /* NULL: no system account */
    struct sys_sub subs[ARRAY_COUNT(sys_rows)];
    struct list users;
    struct env_timer statsz;
    uint64_t seq;
};

/* ---- answers ---- */

static void write_server(struct sys *s, struct json_out *j)
{
    const struct broker_options *o = s->m->o;
    json_out_object(j, "server");
    json_out_string(j, "name", o->server_name);
    json_out_string(j, "host", o->host);
    json_out_string(j, "id", o->server_id);
    if (o->cluster_name != NULL) json_out_string(j, "cluster", o->cluster_name);
    if (o->domain != NULL) json_out_string(j, "domain", o->domain);
    json_out_string(j, "ver", o->version);
    if (o->tag_count != 0) {
        json_out_array(j, "tags");
        for (size_t i = 0; i < o->tag_count; i++)
            json_out_string(j, NULL, o->tags[i]);
        json_out_array_end(j);
    }
    json_out_bool(j, "jetstream", o->jetstream);
    json_out_u64(j, "flags", o->jetstream ? 1 : 0);
    json_out_u64(j, "seq", s->seq++);
    json_out_time(j, "time", env_wall_ns(s->m->env));
    json_out_object_end(j);
}

static void
publish(struct sys *s, struct account *account, struct text subject, const struct writer *w)
{
    const struct message out = {.account = account,
                                .subject = subject,
                                .body = {.at = (const char *)w->base, .bytes = w->bytes}};
    (void)router_publish(s->m->router, &out);
}

static void write_error(struct json_out *j, int code, const char *text)
{
    json_out_object(j, "error");
    json_out_i64(j, "code", code);
    json_out_string(j, "description", text);
    json_out_object_end(j);
}

/* The endpoint writes into a buffer of its own: an error throws it away. */
static void
write_data(struct sys *s, monitor_endpoint answer, struct monitor_query *q, struct json_out *j)
{
    struct writer w;
    struct json_out data;
    writer_init(&w, KIB(4));
    json_out_init(&data, &w, false);
    json_out_object(&data, NULL);
    int status = answer(s->m, q, &data);
    json_out_object_end(&data);
    if (status == 200 || q->error[0] == '\0') {
        json_out_raw(j, "data", (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    } else {
        write_error(j, status, q->error);
    }
    writer_free(&w);
}

static void write_traffic(struct json_out *j, const char *key, uint64_t msgs, uint64_t bytes)
{
    json_out_object(j, key);
    json_out_u64(j, "msgs", msgs);
    json_out_u64(j, "bytes", bytes);
    json_out_object_end(j);
}

static void write_statsz_routes(struct sys *s, struct json_out *j)
{
    struct cluster *c = s->m->parts->cluster;
    struct cluster_peer *p = NULL;
    uint64_t rid = 0, up = 1;
    json_out_array(j, "routes");
    while (c != NULL && (p = cluster_peer_next(c, p)) != NULL) {
        if (!p->up) continue;
        up++;
        json_out_object(j, NULL);
        json_out_u64(j, "rid", ++rid);
        json_out_string(j, "name", p->name);
        write_traffic(j, "sent", 0, 0);
        write_traffic(j, "received", 0, 0);
        json_out_u64(j, "pending", cluster_queued(c, p->id, CLUSTER_DATA));
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_u64(j, "active_servers", up);
}

static void write_statsz_js(struct sys *s, struct json_out *j)
{
    if (s->m->engine == NULL) return;
    json_out_object(j, "jetstream");
    monitor_js_config(s->m, j, "config");
    json_out_object(j, "stats");
    monitor_js_stats(s->m, j);
    json_out_object_end(j);
    if (s->m->parts->cluster != NULL) monitor_js_meta(s->m, j, "meta");
    json_out_object_end(j);
}

static void write_statsz(struct sys *s, struct json_out *j)
{
    struct monitor *m = s->m;
    const struct listener_stats *l = &m->listener->stats;
    struct router_stats r;
    struct account *a = NULL;
    uint64_t active = 0;
    router_stats(m->router, &r);
    while ((a = accounts_next(m->o->accounts, a)) != NULL)
        active += a->conns != 0;
    json_out_object(j, "statsz");
    json_out_time(j, "start", m->start_ns);
    json_out_u64(j, "mem", process_rss_bytes());
    json_out_i64(j, "cores", process_cores());
    json_out_double(j, "cpu", process_cpu(m));
    json_out_u64(j, "connections", m->listener->conn_count);
    json_out_u64(j, "total_connections", l->total_conns);
    json_out_u64(j, "active_accounts", active);
    json_out_u64(j, "subscriptions", r.subs);
    write_traffic(j, "sent", l->out_msgs, l->out_bytes);
    write_traffic(j, "received", l->in_msgs, l->in_bytes);
    write_traffic(j, "sent_to_clients", l->out_msgs, l->out_bytes);
    write_traffic(j, "received_from_clients", l->in_msgs, l->in_bytes);
    json_out_u64(j, "slow_consumers", l->slow_consumers);
    json_out_u64(j, "stale_connections", l->stale_conns);
    json_out_u64(j, "stalled_clients", l->stalls);
    write_statsz_routes(s, j);
    write_statsz_js(s, j);
    json_out_object_end(j);
}

/* ---- $SYS.REQ.SERVER ---- */

static bool filter_one(const char *wanted, const char *have, bool exact)
{
    if (wanted[0] == '\0') return true;
    if (have == NULL) return false;
    return exact ? strcmp(wanted, have) == 0 : strstr(have, wanted) != NULL;
}

/* Is this server one of those that the request is for? The others stay silent. */
static bool filter_passes(const struct sys *s, struct monitor_query *q)
{
    const struct broker_options *o = s->m->o;
    bool exact = monitor_query_flag(q, "exact_match");
    return filter_one(monitor_query_text(q, "server_name"), o->server_name, exact) &&
           filter_one(monitor_query_text(q, "cluster"), o->cluster_name, exact) &&
           filter_one(monitor_query_text(q, "host"), o->host, exact) &&
           filter_one(monitor_query_text(q, "domain"), o->domain, exact);
}

static void kick(struct sys *s, struct monitor_query *q, bool lame_duck)
{
    struct conn *c = map_get_u64(&s->m->listener->by_cid, monitor_query_number(q, "cid", 0));
    if (c == NULL) return;
    if (lame_duck) {
        conn_send_info(c);
    } else {
        conn_end(c, PROTO_NONE, CLOSE_KICKED);
    }
}

static void
answer_server(struct sys *s, struct text what, struct monitor_query *q, struct json_out *j)
{
    const struct monitor_row *row = monitor_find_sys(what);
    write_server(s, j);
    if (what.bytes == 0 || text_equal(what, TEXT("STATSZ"))) {
        write_statsz(s, j);
    } else if (text_equal(what, TEXT("KICK"))) {
        kick(s, q, false);
    } else if (text_equal(what, TEXT("LDM"))) {
        kick(s, q, true);
    } else if (row != NULL) {
        write_data(s, row->answer, q, j);
    } else if (!text_equal(what, TEXT("IDZ"))) {
        write_error(j, 404, "unknown request");
    }
}

static bool on_server(struct sub *sub, const struct message *m)
{
    struct sys *s = CONTAINER_OF(sub, struct sys_sub, sub)->sys;
    struct monitor_query *q = check_alloc(sizeof *q);
    struct text what = subject_token_at(m->subject, 4);
    struct writer w;
    struct json_out j;
    bool good = monitor_query_json(q, m->body);
    if (m->reply.bytes == 0 || (good && !filter_passes(s, q))) {
        free(q);
        return true;
    }
    writer_init(&w, KIB(4));
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    if (good) {
        answer_server(s, what, q, &j);
    } else {
        write_server(s, &j);
        write_error(&j, 400, "invalid JSON");
    }
    json_out_object_end(&j);
    publish(s, m->account, m->reply, &w);
    writer_free(&w);
    free(q);
    return true;
}

/* ---- $SYS.REQ.ACCOUNT ---- */

static const struct {
    const char *what;
    monitor_endpoint answer;
} account_rows[] = {
    {"CONNZ", connz_answer},   {"SUBSZ", subsz_answer},   {"JSZ", jsz_answer},
    {"INFO", accountz_answer}, {"STATZ", accountz_stats}, {"CONNS", accountz_stats},
};

static bool on_account(struct sub *sub, const struct message *m)
{
    struct sys *s = CONTAINER_OF(sub, struct sys_sub, sub)->sys;
    struct text account = subject_token_at(m->subject, 3), what = subject_token_at(m->subject, 4);
    monitor_endpoint answer = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(account_rows); i++) {
        if (text_equal(text_of(account_rows[i].what), what)) answer = account_rows[i].answer;
    }
    if (answer == NULL || m->reply.bytes == 0) return false;
    struct monitor_query *q = check_alloc(sizeof *q);
    struct writer w;
    struct json_out j;
    writer_init(&w, KIB(4));
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    write_server(s, &j);
    if (!monitor_query_json(q, m->body)) {
        write_error(&j, 400, "invalid JSON");
    } else {
        if (!text_equal(account, TEXT("PING"))) monitor_query_add(q, "acc", account);
        write_data(s, answer, q, &j);
    }
    json_out_object_end(&j);
    publish(s, m->account, m->reply, &w);
    writer_free(&w);
    free(q);
    return true;
}

/* ---- $SYS.REQ.USER.INFO ---- */

static const char *list_name(enum permissions_list list)
{
    return list == PERMISSIONS_PUB_ALLOW || list == PERMISSIONS_SUB_ALLOW ? "allow" : "deny";
}

static void write_list(const struct permissions *p, enum permissions_list list, struct json_out *j)
{
    if (!p->lists[list].given) return;
    json_out_array(j, list_name(list));
    for (size_t i = 0; i < p->lists[list].count; i++) {
        json_out_text(j, NULL, p->lists[list].entries[i].subject);
    }
    json_out_array_end(j);
}

static void write_permissions(const struct permissions *p, struct json_out *j)
{
    if (p == NULL) return;
    json_out_object(j, "permissions");
    json_out_object(j, "publish");
    write_list(p, PERMISSIONS_PUB_ALLOW, j);
    write_list(p, PERMISSIONS_PUB_DENY, j);
    json_out_object_end(j);
    json_out_object(j, "subscribe");
    write_list(p, PERMISSIONS_SUB_ALLOW, j);
    write_list(p, PERMISSIONS_SUB_DENY, j);
    json_out_object_end(j);
    if (p->responses) {
        json_out_object(j, "responses");
        json_out_i64(j, "max", p->responses_max);
        json_out_u64(j, "ttl", p->responses_expires_ns);
        json_out_object_end(j);
    }
    json_out_object_end(j);
}

static bool on_user_info(struct sub *sub, const struct message *m)
{
    struct sys *s = CONTAINER_OF(sub, struct sys_user_sub, sub)->sys;
    struct writer w;
    struct json_out j;
    if (m->from == NULL || m->reply.bytes == 0) return false;
    writer_init(&w, KIB(1));
    json_out_init(&j, &w, false);
    json_out_object(&j, NULL);
    write_server(s, &j);
    json_out_object(&j, "data");
    json_out_string(&j, "user", m->from->user);
    json_out_string(&j, "account", m->account->name);
    json_out_string(&j, "account_name", m->account->name);
    json_out_string(&j, "user_name", m->from->user);
    write_permissions(m->from->permissions, &j);
    json_out_object_end(&j);
    json_out_object_end(&j);
    publish(s, m->account, m->reply, &w);
    writer_free(&w);
    return true;
}

void sys_accounts(struct sys *s)
{
    struct account *a = NULL;
    while ((a = accounts_next(s->m->o->accounts, a)) != NULL) {
        bool known = false;
        LIST_FOREACH (at, &s->users) {
            known = known || CONTAINER_OF(at, struct sys_user_sub, node)->sub.account == a;
        }
        if (known) continue;
        struct sys_user_sub *u = check_alloc(sizeof *u);
        u->sys = s;
        u->sub = (struct sub){.account = a,
                              .subject = TEXT("$SYS.REQ.USER.INFO"),
                              .kind = SUB_INTERNAL,
                              .deliver = on_user_info};
        list_push_back(&s->users, &u->node);
        router_subscribe(s->m->router, &u->sub);
    }
}

/* ---- events ---- */

static bool heard(struct sys *s, const char *subject)
{
    struct router_node nodes[1];
    return s->account != NULL && router_interest(s->m->router, s->account, text_of(subject),
                                                 (struct text){0}, nodes, 1) != 0;
}

static void on_statsz(struct env_timer *t)
{
    struct sys *s = CONTAINER_OF(t, struct sys, statsz);
    char subject[SYS_SUBJECT_BYTES];
    (void)snprintf(subject, sizeof subject, "$SYS.SERVER.%s.STATSZ", s->m->o->server_id);
    if (heard(s, subject)) {
        struct writer w;
        struct json_out j;
        writer_init(&w, KIB(2));
        json_out_init(&j, &w, false);
        json_out_object(&j, NULL);
        write_server(s, &j);
        write_statsz(s, &j);
        json_out_object_end(&j);
        publish(s, s->account, text_of(subject), &w);
        writer_free(&w);
    }
    env_timer_start(t, SYS_STATSZ_NS);
}

static void write_client(struct sys *s, const struct conn *c, struct json_out *j)
{
    char host[64];
    json_out_object(j, "client");
    json_out_time(j, "start", c->start_wall_ns);
    json_out_string(j, "host", conn_address_host(c, host, sizeof host));
    json_out_u64(j, "id", c->cid);
    json_out_string(j, "acc", c->account->name);
    if (c->user[0] != '\0') json_out_string(j, "user", c->user);
    if (c->name[0] != '\0') json_out_string(j, "name", c->name);
    if (c->lang[0] != '\0') json_out_string(j, "lang", c->lang);
    if (c->version[0] != '\0') json_out_string(j, "ver", c->version);
    if (c->rtt_ns != 0) json_out_u64(j, "rtt", c->rtt_ns);
    json_out_string(j, "server", s->m->o->server_name);
    if (c->state >= CONN_ENDING) monitor_member_now(s->m, j, "stop");
    json_out_string(j, "kind", "Client");
    json_out_string(j, "client_type", "nats");
    json_out_object_end(j);
}

void sys_client_event(struct sys *s, const struct conn *c, bool connected)
{
    char subject[SYS_SUBJECT_BYTES], id[24];
    (void)snprintf(subject, sizeof subject, "$SYS.ACCOUNT.%s.%s", c->account->name,
                   connected ? "CONNECT" : "DISCONNECT");
    if (!heard(s, subject)) return;
    struct writer w;
    struct json_out j;
    writer_init(&w, KIB(1));
    json_out_init(&j, &w, false);
    (void)snprintf(id, sizeof id, "%016llx%06llx", (unsigned long long)env_random(s->m->env),
                   (unsigned long long)(s->seq & 0xffffff));
    json_out_object(&j, NULL);
    json_out_string(&j, "type",
                    connected ? "io.nats.server.advisory.v1.client_connect"
                              : "io.nats.server.advisory.v1.client_disconnect");
    json_out_string(&j, "id", id);
    monitor_member_now(s->m, &j, "timestamp");
    write_server(s, &j);
    write_client(s, c, &j);
    if (!connected) {
        write_traffic(&j, "sent", c->out_msgs, c->out_bytes);
        write_traffic(&j, "received", c->in_msgs, c->in_bytes);
        json_out_string(&j, "reason", close_reason_text(c->reason));
    }
    json_out_object_end(&j);
    publish(s, s->account, text_of(subject), &w);
    writer_free(&w);
}

/* ---- start and stop ---- */

struct sys *sys_new(struct monitor *m)
{
    struct sys *s = check_alloc(sizeof *s);
    s->m = m;
    s->account = accounts_system(m->o->accounts);
    list_init(&s->users);
    env_timer_init(m->env, &s->statsz, on_statsz);
    env_timer_start(&s->statsz, SYS_STATSZ_NS);
    for (size_t i = 0; s->account != NULL && i < ARRAY_COUNT(sys_rows); i++) {
        struct sys_sub *sub = &s->subs[i];
        const char *mark = strstr(sys_rows[i].subject, "%s");
        int before = (int)(mark == NULL ? strlen(sys_rows[i].subject)
                                        : (size_t)(mark - sys_rows[i].subject));
        (void)snprintf(sub->subject, sizeof sub->subject, "%.*s%s%s", before, sys_rows[i].subject,
                       mark == NULL ? "" : m->o->server_id, mark == NULL ? "" : mark + 2);
        sub->sys = s;
        sub->sub = (struct sub){.account = s->account,
                                .subject = text_of(sub->subject),
                                .kind = SUB_SYSTEM,
                                .deliver = sys_rows[i].deliver};
        router_subscribe(m->router, &sub->sub);
    }
    sys_accounts(s);
    return s;
}

void sys_free(struct sys *s)
{
    if (s == NULL) return;
    struct list_node *at;
    env_timer_stop(&s->statsz);
    for (size_t i = 0; i < ARRAY_COUNT(s->subs); i++)
        router_unsubscribe(s->m->router, &s->subs[i].sub);
    while ((at = list_pop_front(&s->users)) != NULL) {
        struct sys_user_sub *u = CONTAINER_OF(at, struct sys_user_sub, node);
        router_unsubscribe(s->m->router, &u->sub);
        free(u);
    }
    free(s);
}
