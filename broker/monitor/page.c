/* The status page at /: what an operator wants to see first, without scripts, and where the rest
 * is. */
#include <stdio.h>
#include <string.h>

#include "broker/monitor/monitor.h"

static void put(struct writer *w, const char *text)
{
    writer_put(w, text, strlen(text));
}

/* Names come from configs and peers. */
static void put_escaped(struct writer *w, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            put(w, "&lt;");
            break;
        case '>':
            put(w, "&gt;");
            break;
        case '&':
            put(w, "&amp;");
            break;
        case '"':
            put(w, "&quot;");
            break;
        default:
            writer_u8(w, (uint8_t)*text);
        }
    }
}

static void put_row(struct writer *w, const char *name, const char *value)
{
    put(w, "<tr><th>");
    put(w, name);
    put(w, "</th><td>");
    put_escaped(w, value);
    put(w, "</td></tr>\n");
}

static void put_number(struct writer *w, const char *name, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_row(w, name, text);
}

static void put_cluster(struct monitor *m, struct writer *w)
{
    struct cluster_peer *p = NULL;
    if (m->o->cluster_name != NULL) put_row(w, "cluster", m->o->cluster_name);
    if (m->parts->group != NULL) {
        put_row(w, "role",
                group_leads(m->parts->group)         ? "leader"
                : group_leader(m->parts->group) != 0 ? "follower"
                                                     : "no leader known");
        put_number(w, "log committed", group_committed(m->parts->group));
        put_number(w, "log applied", group_applied(m->parts->group));
    }
    while (m->parts->cluster != NULL && (p = cluster_peer_next(m->parts->cluster, p)) != NULL) {
        char text[300];
        (void)snprintf(text, sizeof text, "%s (%s)", p->name, p->up ? "up" : "down");
        put_row(w, "peer", text);
    }
}

static void put_links(struct monitor *m, struct writer *w)
{
    const char *base = m->o->http_base_path != NULL ? m->o->http_base_path : "";
    put(w, "<p>");
    for (size_t i = 0; i < monitor_row_count; i++) {
        if (strcmp(monitor_rows[i].path, "/") == 0) continue;
        put(w, "<a href=\"");
        put_escaped(w, strcmp(base, "/") == 0 ? "" : base);
        put(w, monitor_rows[i].path);
        put(w, "\">");
        put(w, monitor_rows[i].path + 1);
        put(w, "</a>\n");
    }
    put(w, "</p>\n");
}

void page_text(struct monitor *m, struct writer *w)
{
    char uptime[64];
    struct router_stats r;
    router_stats(m->router, &r);
    monitor_uptime(env_mono(m->env).ns - m->start.ns, uptime, sizeof uptime);
    put(w,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Gannet</title>\n"
        "<style>body{font-family:sans-serif;margin:2em}th{text-align:left;padding-right:2em;"
        "font-weight:normal;color:#555}a{margin-right:1em}</style></head><body>\n<h1>Gannet</"
        "h1>\n<table>\n");
    put_row(w, "server", m->o->server_name);
    put_row(w, "version", m->o->version);
    put_row(w, "uptime", uptime);
    put_cluster(m, w);
    put_number(w, "connections", m->listener->conn_count);
    put_number(w, "subscriptions", r.subs);
    put_number(w, "messages in", m->listener->stats.in_msgs);
    put_number(w, "messages out", m->listener->stats.out_msgs);
    put_number(w, "slow consumers", m->listener->stats.slow_consumers);
    put_number(w, "memory bytes", process_rss_bytes());
    put(w, "</table>\n");
    put_links(m, w);
    put(w, "</body></html>\n");
}
