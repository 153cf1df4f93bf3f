/* conf.c - see conf.h. */
#include "cmd/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/auth/permissions.h"
#include "cmd/conf_lex.h"
#include "cmd/conf_load.h"
#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/map.h"

#define PORT_DEFAULT 4222

static struct conf_loader loader_of(struct conf *c)
{
    return (struct conf_loader){.conf = c};
}

void conf_init(struct conf *c)
{
    *c = (struct conf){0};
    struct conf_loader l = loader_of(c);
    l.last = &l.todo;
    conf_value_defaults(&l, "", c);
    conf_value_defaults(&l, "jetstream", &c->jetstream);
    CHECK_EQ(c->errors, 0);
}

void conf_free(struct conf *c)
{
    for (size_t i = 0; i < c->permissions_count; i++)
        permissions_free(c->permissions[i]);
    free(c->permissions);
    conf_tree_free(&c->tree);
    arena_free(&c->arena);
    *c = (struct conf){0};
}

/* ---- reading ---- */

static int load_tree(struct conf *c, int rc)
{
    struct conf_loader l = loader_of(c);
    l.last = &l.todo;
    if (rc != 0) {
        snprintf(c->error, sizeof c->error, "%s", c->tree.error);
        c->errors++;
        return rc;
    }
    conf_value_section(&l, c->tree.root, "", c);
    conf_load_sections(&l);
    return c->errors == 0 ? 0 : E_MALFORMED;
}

int conf_read(struct conf *c, const char *path)
{
    CHECK(c->tree.root == NULL);
    c->file = arena_string(&c->arena, text_of(path));
    return load_tree(c, conf_tree_load(&c->tree, path));
}

int conf_read_text(struct conf *c, const char *name, struct text text)
{
    CHECK(c->tree.root == NULL);
    c->file = arena_string(&c->arena, text_of(name));
    return load_tree(c, conf_tree_parse(&c->tree, name, text));
}

/* The section of "cluster.authorization.user", its struct and its last name; NULL: no such section.
 */
static const char *find_section(struct conf *c, const char *path, uint8_t **base, const char **name)
{
    const char *section = "";
    char part[64];
    *base = (uint8_t *)c;
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - path), path);
        const struct conf_key *k = conf_keys_find(section, part);
        if (k == NULL) return NULL;
        bool js = k->type == CONF_T_CUSTOM && strcmp(part, "jetstream") == 0;
        if (k->type != CONF_T_SECTION && !js) return NULL;
        *base += k->offset;
        **(bool **)(void *)base = true; /* `given` */
        section = js ? "jetstream" : k->note;
    }
    *name = path;
    return section;
}

int conf_set(struct conf *c, const char *path, const char *value, const char *origin)
{
    struct conf_loader l = loader_of(c);
    uint8_t *base;
    const char *name;
    l.last = &l.todo;
    const char *section = find_section(c, path, &base, &name);
    if (section == NULL || conf_keys_find(section, name) == NULL) return E_NOTFOUND;
    struct conf_node *n = arena_alloc(&c->arena, sizeof *n);
    n->kind = CONF_STRING;
    n->file = arena_string(&c->arena, text_of(origin));
    n->key = arena_string(&c->arena, text_of(name));
    n->text = arena_string(&c->arena, text_of(value));
    conf_load_member(&l, section, n, base);
    conf_load_sections(&l);
    return c->errors == 0 ? 0 : E_MALFORMED;
}

/* ---- what several keys must agree on ---- */

static void problem(struct conf_loader *l, const char *text)
{
    conf_value_error(l, NULL, "%s", text);
}

struct name_entry {
    const char *name;
};

static struct text name_key(const void *value)
{
    return text_of(((const struct name_entry *)value)->name);
}

/* One user of a name in all accounts: a login names no account. */
static void check_users(struct conf_loader *l, struct map *names, const struct conf_users *users)
{
    for (size_t i = 0; i < users->count; i++) {
        const struct conf_user *u = &users->at[i];
        const char *name = u->name != NULL ? u->name : u->nkey;
        if (name == NULL) {
            conf_value_error(l, u->node, "user entry requires a user");
        } else if (map_get(names, text_of(name)) != NULL) {
            conf_value_error(l, u->node, "duplicate user \"%s\" detected", name);
        } else {
            struct name_entry *e = arena_alloc(&l->conf->arena, sizeof *e);
            e->name = name;
            map_put(names, e);
        }
    }
}

static void give_permissions(const struct conf_users *users, struct permissions *p)
{
    for (size_t i = 0; i < users->count; i++) {
        if (users->at[i].permissions == NULL) users->at[i].permissions = p;
    }
}

static void finish_users(struct conf_loader *l)
{
    struct conf *c = l->conf;
    struct conf_auth *auth = &c->authorization;
    struct map names;
    map_init(&names, 0, name_key);
    check_users(l, &names, &auth->users);
    give_permissions(&auth->users, auth->default_permissions);
    for (size_t i = 0; i < c->account_count; i++) {
        struct conf_account *a = &c->accounts[i];
        check_users(l, &names, &a->users);
        give_permissions(&a->users, a->default_permissions != NULL ? a->default_permissions
                                                                   : auth->default_permissions);
    }
    if (auth->users.count != 0 && auth->user != NULL)
        problem(l, "can not have a single user/pass and a users array");
    if (auth->users.count != 0 && auth->token != NULL)
        problem(l, "can not have a token and a users array");
    if (auth->user != NULL && auth->token != NULL) problem(l, "cannot have a user/pass and token");
    if (c->no_auth_user != NULL && map_get(&names, text_of(c->no_auth_user)) == NULL)
        conf_value_error(
            l, NULL,
            "no_auth_user: \"%s\" not present as user or nkey in authorization block or "
            "account configuration",
            c->no_auth_user);
    map_free(&names);
}

static bool has_space(const char *text)
{
    return text != NULL && strpbrk(text, " \t\r\n") != NULL;
}

static void finish_cluster(struct conf_loader *l)
{
    struct conf *c = l->conf;
    struct conf_cluster *k = &c->cluster;
    if (has_space(c->server_name)) problem(l, "server name cannot contain spaces");
    if (has_space(k->name)) problem(l, "cluster name cannot contain spaces");
    if (k->listen.port == 0 && k->route_count != 0)
        problem(l, "solicited routes require cluster capabilities, e.g. --cluster");
    if (k->listen.port != 0 && c->jetstream.enabled) {
        if (c->server_name == NULL)
            problem(l, "jetstream cluster requires `server_name` to be set");
        if (k->name == NULL) problem(l, "jetstream cluster requires `cluster.name` to be set");
    }
    if (k->authorization.users.count != 0)
        problem(l, "cluster authorization does not allow multiple users");
    if (k->authorization.token != NULL) problem(l, "cluster authorization does not support tokens");
}

static void finish_accounts(struct conf_loader *l)
{
    struct conf *c = l->conf;
    bool found = c->system_account == NULL || strcmp(c->system_account, "$SYS") == 0;
    for (size_t i = 0; i < c->account_count && !found; i++)
        found = strcmp(c->accounts[i].name, c->system_account) == 0;
    if (!found)
        conf_value_error(l, NULL, "system_account: account \"%s\" is not configured",
                         c->system_account);
    if (c->no_system_account && c->system_account != NULL)
        problem(l, "can not set both system_account and no_system_account");
}

static void check_tls(struct conf_loader *l, const char *where, const struct conf_tls *tls)
{
    if (!tls->given || tls->certs != NULL) return;
    if (tls->cert_file == NULL)
        conf_value_error(l, NULL,
                         "%s: error parsing X509 certificate/key pair: missing 'cert_file'", where);
    else if (tls->key_file == NULL)
        conf_value_error(l, NULL, "%s: missing 'key_file' in TLS configuration", where);
}

/* Configs of clients' suites name these blocks everywhere, so they may stand there; but nobody must
 * believe that somebody listens. */
static void warn_unserved(struct conf_loader *l)
{
    const struct conf *c = l->conf;
    const struct {
        const char *name;
        bool given;
    } blocks[] = {{"websocket", c->websocket.given},
                  {"mqtt", c->mqtt.given},
                  {"leafnodes", c->leafnodes.given},
                  {"gateway", c->gateway.given}};
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        if (!blocks[i].given) continue;
        conf_value_warn(l, NULL, "%s has no effect: it is not supported, nothing listens for it",
                        blocks[i].name);
    }
}

/* Nobody must believe that messages pass between accounts, or that a mapping holds. */
static void warn_accounts(struct conf_loader *l)
{
    const struct conf *c = l->conf;
    for (size_t i = 0; i < c->account_count; i++) {
        const struct conf_account *a = &c->accounts[i];
        const struct {
            const char *name;
            bool given;
        } keys[] = {{"exports", a->export_count != 0},
                    {"imports", a->import_count != 0},
                    {"mappings", a->mappings != NULL}};
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            if (!keys[k].given) continue;
            conf_value_warn(l, NULL, "account %s: %s has no effect: it is not supported", a->name,
                            keys[k].name);
        }
    }
}

int conf_finish(struct conf *c)
{
    struct conf_loader l = loader_of(c);
    l.last = &l.todo;
    if (c->listen.port == 0) c->listen.port = PORT_DEFAULT;
    if (c->max_payload > c->max_pending)
        conf_value_error(&l, NULL, "max_payload (%lld) cannot be higher than max_pending (%lld)",
                         (long long)c->max_payload, (long long)c->max_pending);
    if (c->lame_duck_grace_ns >= c->lame_duck_duration_ns)
        problem(&l, "lame duck grace period should be strictly lower than lame duck duration");
    if (c->jetstream.domain != NULL && strpbrk(c->jetstream.domain, " .*>\t\r\n") != NULL)
        problem(&l, "invalid domain name: may not contain ., *, > or spaces");
    if (c->log_bytes_max != 0 && c->log_file == NULL)
        conf_value_warn(&l, NULL, "logfile_size_limit has no effect: there is no log_file");
    finish_users(&l);
    finish_cluster(&l);
    finish_accounts(&l);
    warn_unserved(&l);
    warn_accounts(&l);
    check_tls(&l, "tls", &c->tls);
    check_tls(&l, "cluster", &c->cluster.tls);
    if (c->mappings != NULL)
        conf_value_warn(&l, c->mappings, "mappings has no effect: subjects are not mapped");
    return c->errors == 0 ? 0 : E_INVAL;
}

void conf_log_warnings(const struct conf *c)
{
    for (size_t i = 0; i < c->warnings.count; i++)
        LOG_CODE(WRN, LOG_CONFIG, "%s", c->warnings.at[i]);
}
