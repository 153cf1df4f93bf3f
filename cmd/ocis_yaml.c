/* ocis_yaml.c - the events of libyaml, with a stack of where in the path each mapping begins.
 * Deeper than DEPTH_MAX and longer than PATH_BYTES nothing is read: no setting lies there. */
#include "cmd/ocis_yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "store/base/err.h"

#define DEPTH_MAX 16
#define PATH_BYTES 512

struct walk {
    const char *section;
    void (*value)(void *ctx, const char *path, const char *value);
    void *ctx;
    char path[PATH_BYTES];
    size_t ends[DEPTH_MAX]; /* of the path, outside of the key that is read in this mapping */
    size_t depth;
    bool key;    /* the next scalar is one */
    size_t skip; /* open lists, and mappings in them */
};

static void walk_key(struct walk *w, const char *key)
{
    size_t end = w->ends[w->depth - 1];
    snprintf(w->path + end, sizeof w->path - end, "%s%s", end == 0 ? "" : ".", key);
    w->key = false;
}

static void walk_value(struct walk *w, const char *text)
{
    size_t above = strlen(w->section);
    if (strncmp(w->path, w->section, above) == 0) w->value(w->ctx, w->path + above, text);
    w->key = true;
}

static void walk_begin(struct walk *w, bool list)
{
    if (w->skip > 0 || list || w->depth == DEPTH_MAX) {
        w->skip++;
        return;
    }
    w->ends[w->depth] = w->depth == 0 ? 0 : strlen(w->path);
    w->depth++;
    w->key = true;
}

static void walk_end(struct walk *w)
{
    if (w->skip > 0)
        w->skip--;
    else if (w->depth > 0)
        w->depth--;
    w->key = true;
}

static void walk_event(struct walk *w, const yaml_event_t *e)
{
    bool scalar = e->type == YAML_SCALAR_EVENT && w->skip == 0 && w->depth > 0;
    if (scalar && w->key)
        walk_key(w, (const char *)e->data.scalar.value);
    else if (scalar)
        walk_value(w, (const char *)e->data.scalar.value);
    else if (e->type == YAML_ALIAS_EVENT && w->skip == 0)
        w->key = true;
    else if (e->type == YAML_MAPPING_START_EVENT || e->type == YAML_SEQUENCE_START_EVENT)
        walk_begin(w, e->type == YAML_SEQUENCE_START_EVENT);
    else if (e->type == YAML_MAPPING_END_EVENT || e->type == YAML_SEQUENCE_END_EVENT)
        walk_end(w);
}

static int walk_all(struct walk *w, yaml_parser_t *parser)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) return E_MALFORMED;
        walk_event(w, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return 0;
}

int ocis_yaml_read(const char *file,
                   const char *section,
                   void (*value)(void *ctx, const char *path, const char *value),
                   void *ctx,
                   char *error,
                   size_t error_bytes)
{
    struct walk w = {.section = section, .value = value, .ctx = ctx};
    yaml_parser_t parser;
    FILE *f = fopen(file, "rbe");
    if (f == NULL && errno == ENOENT) return E_NOTFOUND;
    if (f == NULL || !yaml_parser_initialize(&parser)) {
        snprintf(error, error_bytes, "%s: %s", file, strerror(errno));
        if (f != NULL) fclose(f);
        return E_IO;
    }
    yaml_parser_set_input_file(&parser, f);
    int rc = walk_all(&w, &parser);
    if (rc != 0)
        snprintf(error, error_bytes, "%s:%zu: %s", file, parser.problem_mark.line + 1,
                 parser.problem == NULL ? "can't be read" : parser.problem);
    yaml_parser_delete(&parser);
    fclose(f);
    return rc;
}
