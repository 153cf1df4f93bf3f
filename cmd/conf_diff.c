/* conf_diff.c - what a reload would change. Values are compared by the table of keys; lists of
 * users, accounts and routes count as changed when their text in the file differs, which is all
 * that is needed: they are exchanged as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/conf_load.h"
#include "store/base/err.h"

static bool texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool lists_equal(const struct conf_texts *a, const struct conf_texts *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->at[i], b->at[i]) != 0) return false;
    }
    return true;
}

static bool nodes_equal(const struct conf_node *a, const struct conf_node *b)
{
    struct writer x, y;
    if (a == NULL || b == NULL) return a == b;
    writer_init(&x, 256);
    writer_init(&y, 256);
    conf_tree_dump(a, &x);
    conf_tree_dump(b, &y);
    bool equal = x.bytes == y.bytes && memcmp(x.base, y.base, x.bytes) == 0;
    writer_free(&x);
    writer_free(&y);
    return equal;
}

static bool fields_equal(const struct conf_key *k, const void *a, const void *b)
{
    switch (k->type) {
    case CONF_T_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case CONF_T_INT:
    case CONF_T_SIZE:
    case CONF_T_NS:
        return *(const int64_t *)a == *(const int64_t *)b;
    case CONF_T_TEXT:
        return texts_equal(*(const char *const *)a, *(const char *const *)b);
    case CONF_T_TEXTS:
        return lists_equal(a, b);
    case CONF_T_NODE:
        return nodes_equal(*(const struct conf_node *const *)a,
                           *(const struct conf_node *const *)b);
    case CONF_T_LISTEN: /* host and port have keys of their own */
    case CONF_T_SECTION:
    case CONF_T_CUSTOM:
    case CONF_T_NONE:
        return true;
    }
    return true;
}

static void value_text(const struct conf_key *k, const void *at, char *to, size_t bytes)
{
    const char *text = k->type == CONF_T_TEXT ? *(const char *const *)at : NULL;
    if (k->type == CONF_T_BOOL)
        snprintf(to, bytes, "%s", *(const bool *)at ? "true" : "false");
    else if (k->type == CONF_T_NS)
        snprintf(to, bytes, "%gs", (double)*(const int64_t *)at / 1e9);
    else if (k->type == CONF_T_INT || k->type == CONF_T_SIZE)
        snprintf(to, bytes, "%lld", (long long)*(const int64_t *)at);
    else
        snprintf(to, bytes, "%s", text == NULL ? "" : text);
}

struct diff {
    const struct conf *was;
    struct conf *now;
    struct conf_loader loader;
    void (*changed)(void *ctx, const char *path);
    void *ctx;
};

/* A secret must not be told; only texts of the authorization sections are secrets. */
static void
differs(struct diff *d, const struct conf_key *k, const char *prefix, const void *a, const void *b)
{
    char name[64], path[128], old[256], new[256];
    conf_keys_name(k, name, sizeof name);
    snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] == 0 ? "" : ".", name);
    if (k->effect == CONF_LIVE) {
        if (d->changed != NULL) d->changed(d->ctx, path);
        return;
    }
    value_text(k, a, old, sizeof old);
    value_text(k, b, new, sizeof new);
    conf_value_error(&d->loader, NULL, "config reload not supported for %s: old=%s, new=%s", path,
                     old, new);
}

/* The sections that lie at fixed places of struct conf, and their keys. */
static void diff_fields(struct diff *d)
{
    struct {
        const char *section, *prefix;
        size_t offset;
    } todo[32] = {{"", "", 0}, {"jetstream", "jetstream", offsetof(struct conf, jetstream)}};
    for (size_t at = 0, count = 2; at < count; at++) {
        for (size_t i = 0; i < conf_keys_count; i++) {
            const struct conf_key *k = &conf_keys[i];
            if (strcmp(k->section, todo[at].section) != 0 || k->effect >= CONF_ACCEPTED) continue;
            size_t offset = todo[at].offset + k->offset;
            const uint8_t *a = (const uint8_t *)d->was + offset,
                          *b = (const uint8_t *)d->now + offset;
            if (k->type == CONF_T_SECTION) {
                CHECK(count < ARRAY_COUNT(todo));
                todo[count].section = k->note;
                todo[count].prefix = k->note;
                todo[count++].offset = offset;
            } else if (!fields_equal(k, a, b)) {
                differs(d, k, todo[at].prefix, a, b);
            }
        }
    }
}

/* Lists with a shape of their own, by their text. */
static void diff_lists(struct diff *d)
{
    static const struct {
        const char *section, *key;
    } rows[] = {
        {NULL, "accounts"},
        {"authorization", "users"},
        {"authorization", "default_permissions"},
        {"cluster", "routes"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct conf_node *a = d->was->tree.root, *b = d->now->tree.root;
        if (rows[i].section != NULL) {
            a = conf_tree_get(a, rows[i].section);
            b = conf_tree_get(b, rows[i].section);
        }
        if (nodes_equal(conf_tree_get(a, rows[i].key), conf_tree_get(b, rows[i].key))) continue;
        char path[128];
        snprintf(path, sizeof path, "%s%s%s", rows[i].section == NULL ? "" : rows[i].section,
                 rows[i].section == NULL ? "" : ".", rows[i].key);
        if (d->changed != NULL) d->changed(d->ctx, path);
    }
}

int conf_diff(const struct conf *was,
              struct conf *now,
              void (*changed)(void *ctx, const char *path),
              void *ctx)
{
    struct diff d = {.was = was, .now = now, .loader = {.conf = now}};
    d.loader.last = &d.loader.todo;
    diff_fields(&d); /* first whether it may be done at all */
    if (now->errors != 0) return E_INVAL;
    d.changed = changed;
    d.ctx = ctx;
    diff_fields(&d);
    diff_lists(&d);
    return 0;
}
