/* conf_parse.c - see conf_parse.h. */
#include "cmd/conf_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "broker/auth/permissions.h"
#include "store/base/units.h"

#define ROUTE_PORT 6222

static bool expect(struct conf_loader *l, const struct conf_node *n, enum conf_kind kind)
{
    if (n->kind == kind) return true;
    conf_value_error(l, n, "%s: expected %s", n->key == NULL ? "value" : n->key,
                     kind == CONF_MAP ? "a map" : "a list");
    return false;
}

static bool is_named(const struct conf_node *n, const char *a, const char *b)
{
    return strcasecmp(n->key, a) == 0 || strcasecmp(n->key, b) == 0;
}

/* ---- permissions ---- */

static struct permissions *permissions_make(struct conf *c)
{
    size_t bytes = (c->permissions_count + 1) * sizeof *c->permissions;
    c->permissions = check_realloc(c->permissions, bytes);
    return c->permissions[c->permissions_count++] = permissions_new();
}

static void parse_subjects(struct conf_loader *l,
                           const struct conf_node *n,
                           struct permissions *p,
                           enum permissions_list list)
{
    struct conf_texts subjects;
    if (!conf_value_texts(l, n, &subjects)) return;
    permissions_give(p, list);
    for (size_t i = 0; i < subjects.count; i++) {
        if (!permissions_add(p, list, text_of(subjects.at[i])))
            conf_value_error(l, n, "%s: subject \"%s\" is not a valid subject", n->key,
                             subjects.at[i]);
    }
}

/* "subject", a list of them, or { allow, deny }. */
static void parse_direction(struct conf_loader *l,
                            const struct conf_node *n,
                            struct permissions *p,
                            enum permissions_list allow,
                            enum permissions_list deny)
{
    if (n->kind != CONF_MAP) {
        parse_subjects(l, n, p, allow);
        return;
    }
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        if (strcasecmp(m->key, "allow") == 0)
            parse_subjects(l, m, p, allow);
        else if (strcasecmp(m->key, "deny") == 0)
            parse_subjects(l, m, p, deny);
        else
            conf_value_unknown(l, "permissions", m);
    }
}

/* true, or { max, expires }; one answer within two minutes unless said otherwise. */
static void parse_responses(struct conf_loader *l, const struct conf_node *n, struct permissions *p)
{
    int64_t expires_ns = (int64_t)(120 * NS_PER_S);
    p->responses = true;
    p->responses_max = 1;
    if (n->kind != CONF_MAP) {
        conf_value_bool(l, n, &p->responses);
    } else {
        for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
            if (is_named(m, "max", "max_msgs") || is_named(m, "max_messages", "max_responses"))
                conf_value_i64(l, m, &p->responses_max);
            else if (is_named(m, "expires", "expiration") || is_named(m, "ttl", "ttl"))
                conf_value_ns(l, m, &expires_ns);
            else
                conf_value_unknown(l, "permissions", m);
        }
    }
    if (p->responses_max == 0) p->responses_max = 1;
    p->responses_expires_ns = expires_ns < 0 ? 0 : (uint64_t)expires_ns;
}

void conf_parse_permissions(struct conf_loader *l, const struct conf_node *n, void *to)
{
    if (!expect(l, n, CONF_MAP)) return;
    struct permissions *p = permissions_make(l->conf);
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        if (is_named(m, "publish", "pub") || is_named(m, "import", "import"))
            parse_direction(l, m, p, PERMISSIONS_PUB_ALLOW, PERMISSIONS_PUB_DENY);
        else if (is_named(m, "subscribe", "sub") || is_named(m, "export", "export"))
            parse_direction(l, m, p, PERMISSIONS_SUB_ALLOW, PERMISSIONS_SUB_DENY);
        else if (is_named(m, "allow_responses", "allow_response"))
            parse_responses(l, m, p);
        else
            conf_value_unknown(l, "permissions", m);
    }
    /* Who may only answer may publish nothing else. */
    if (p->responses && !p->lists[PERMISSIONS_PUB_ALLOW].given)
        permissions_give(p, PERMISSIONS_PUB_ALLOW);
    *(struct permissions **)to = p;
}

/* ---- users and accounts ---- */

void conf_parse_users(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_users users = {0};
    if (!expect(l, n, CONF_ARRAY)) return;
    users.at = arena_alloc(&l->conf->arena, n->count * sizeof *users.at);
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        struct conf_user *u = &users.at[users.count++];
        u->node = m;
        conf_value_section(l, m, "user", u);
    }
    *(struct conf_users *)to = users;
}

/* true, "enabled" or a map, which means enabled unless it says otherwise. */
static void parse_switch(struct conf_loader *l,
                         const struct conf_node *n,
                         const char *section,
                         void *base,
                         bool *enabled)
{
    if (n->kind == CONF_MAP) {
        *enabled = true;
        conf_value_section(l, n, section, base);
        return;
    }
    *(bool *)base = true; /* `given` */
    if (n->kind == CONF_STRING &&
        (strcasecmp(n->text, "enabled") == 0 || strcasecmp(n->text, "enable") == 0))
        *enabled = true;
    else if (n->kind == CONF_STRING &&
             (strcasecmp(n->text, "disabled") == 0 || strcasecmp(n->text, "disable") == 0))
        *enabled = false;
    else
        conf_value_bool(l, n, enabled);
}

void conf_parse_jetstream(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_jetstream *js = to;
    parse_switch(l, n, "jetstream", js, &js->enabled);
}

void conf_parse_account_js(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_account_js *js = to;
    parse_switch(l, n, "account.jetstream", js, &js->enabled);
}

static void account_begin(struct conf_loader *l, struct conf_account *a, const char *name)
{
    if (name[0] == 0 || strlen(name) > 255 || strpbrk(name, " \t\r\n.*>") != NULL)
        conf_value_error(l, NULL, "accounts: \"%s\" is not a valid account name", name);
    a->name = name;
    conf_value_defaults(l, "account", a);
    conf_value_defaults(l, "account.jetstream", &a->jetstream);
}

void conf_parse_accounts(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf *c = to;
    if (n->kind != CONF_ARRAY && !expect(l, n, CONF_MAP)) return;
    c->accounts = arena_alloc(&c->arena, n->count * sizeof *c->accounts);
    c->account_count = 0;
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        const char *name = m->key;
        if (name == NULL && !conf_value_text(l, m, &name)) continue;
        struct conf_account *a = NULL;
        for (size_t i = 0; i < c->account_count; i++) {
            if (strcmp(c->accounts[i].name, name) == 0) a = &c->accounts[i];
        }
        if (a != NULL) {
            conf_value_error(l, m, "duplicate account entry: \"%s\"", name);
            continue;
        }
        /* A scalar that a variable refers to is a definition, not an account. */
        if (m->key != NULL && m->kind != CONF_MAP && m->used) continue;
        a = &c->accounts[c->account_count++];
        account_begin(l, a, name);
        if (m->key != NULL) conf_value_section(l, m, "account", a);
    }
}

void conf_parse_exports(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_account *a = to;
    if (!expect(l, n, CONF_ARRAY)) return;
    a->exports = arena_alloc(&l->conf->arena, n->count * sizeof *a->exports);
    a->export_count = 0;
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        struct conf_export *e = &a->exports[a->export_count++];
        conf_value_defaults(l, "export", e);
        conf_value_section(l, m, "export", e);
    }
}

void conf_parse_imports(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_account *a = to;
    if (!expect(l, n, CONF_ARRAY)) return;
    a->imports = arena_alloc(&l->conf->arena, n->count * sizeof *a->imports);
    a->import_count = 0;
    for (const struct conf_node *m = n->first; m != NULL; m = m->next) {
        struct conf_import *i = &a->imports[a->import_count++];
        conf_value_defaults(l, "import", i);
        conf_value_section(l, m, "import", i);
    }
}

void conf_parse_import_from(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_import *i = to;
    i->is_service = strcasecmp(n->key, "service") == 0;
    conf_value_section(l, n, "import.from", i);
}

/* ---- cluster ---- */

static void percent_decode(char *text)
{
    char *to = text;
    for (const char *at = text; *at != 0; at++) {
        char hex[3] = {0}, *end = hex;
        if (at[0] == '%' && at[1] != 0 && at[2] != 0) {
            memcpy(hex, at + 1, 2);
            long value = strtol(hex, &end, 16);
            if (end == hex + 2 && value > 0) {
                *to++ = (char)value;
                at += 2;
                continue;
            }
        }
        *to++ = *at;
    }
    *to = 0;
}

/* [scheme://][user[:password]@]host:port[/...]; port stays as it was when there is none. */
static bool parse_url(struct arena *a, struct text text, struct conf_route *out)
{
    char *url = arena_string(a, text), *scheme = strstr(url, "://");
    char *at = scheme == NULL ? url : scheme + 3;
    char *slash = strchr(at, '/');
    if (slash != NULL) *slash = 0;
    char *sign = strrchr(at, '@');
    if (sign != NULL) {
        *sign = 0;
        char *colon = strchr(at, ':');
        if (colon != NULL) *colon++ = 0;
        percent_decode(at);
        if (colon != NULL) percent_decode(colon);
        out->user = at;
        out->password = colon;
        at = sign + 1;
    }
    const char *host = NULL;
    int64_t port = out->port;
    bool has_port = strrchr(at, ':') != NULL && at[strlen(at) - 1] != ']';
    if (!has_port && out->port != 0 && at[0] != 0) {
        out->host = at;
        return true;
    }
    if (!conf_value_host_port(a, at, &host, &port)) return false;
    if (host != NULL) out->host = host;
    out->port = port;
    return true;
}

void conf_parse_cluster_listen(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_cluster *c = to;
    struct conf_route url = {0};
    const char *text;
    if (!conf_value_text(l, n, &text)) return;
    if (!parse_url(&l->conf->arena, text_of(text), &url)) {
        conf_value_error(l, n, "cluster: could not parse address string \"%s\"", text);
        return;
    }
    c->given = true;
    c->listen.port = url.port;
    if (url.host != NULL) c->listen.host = url.host;
    if (url.user != NULL) c->authorization.user = url.user;
    if (url.password != NULL) c->authorization.password = url.password;
}

static void
add_route(struct conf_loader *l, const struct conf_node *n, struct text url, struct conf_cluster *c)
{
    struct conf_route route = {.port = ROUTE_PORT};
    if (!parse_url(&l->conf->arena, url, &route) || route.host == NULL || route.port <= 0) {
        conf_value_error(l, n, "error parsing route url [\"%.*s\"]", (int)url.bytes, url.at);
        return;
    }
    struct conf_route *grown =
        arena_alloc(&l->conf->arena, (c->route_count + 1) * sizeof *c->routes);
    if (c->route_count != 0) memcpy(grown, c->routes, c->route_count * sizeof *grown);
    c->routes = grown;
    c->routes[c->route_count++] = route;
}

/* A list of URLs; a string may hold several, separated by commas. */
void conf_parse_routes(struct conf_loader *l, const struct conf_node *n, void *to)
{
    struct conf_cluster *c = to;
    struct conf_texts urls;
    if (!conf_value_texts(l, n, &urls)) return;
    c->routes = NULL;
    c->route_count = 0;
    for (size_t i = 0; i < urls.count; i++) {
        const char *at = urls.at[i];
        for (;;) {
            size_t bytes = strcspn(at, ", ");
            if (bytes > 0) add_route(l, n, (struct text){.at = at, .bytes = bytes}, c);
            if (at[bytes] == 0) break;
            at += bytes + 1;
        }
    }
}

/* A boolean, "auto", or how long to wait for a client that speaks first. */
void conf_parse_handshake_first(struct conf_loader *l, const struct conf_node *n, void *to)
{
    int64_t ns;
    bool *first = to;
    if (n->kind == CONF_STRING &&
        (strcasecmp(n->text, "auto") == 0 || conf_value_duration(n->text, &ns)))
        *first = true;
    else
        conf_value_bool(l, n, first);
}
