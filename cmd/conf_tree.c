/* conf_tree.c - see conf_tree.h.
 *
 * Two stacks instead of recursion. `open` holds the maps and arrays that aren't closed yet, the
 * root first. `sources` holds the texts being read: the file, above it what it includes, above that
 * the text of an environment variable that stands for a value. A source may only close what it
 * opened itself
 * (`depth` at its start), and ends where its text ends.
 *
 * One step reads either a key and what follows it (in a map), or a value (in an array). After a
 * scalar, or a closing bracket, after_value() sees that nothing else follows on the line. */
#include "cmd/conf_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/conf_lex.h"
#include "store/base/err.h"
#include "store/base/units.h"

struct source {
    struct conf_lex lex;
    bool value;   /* the text of a variable: one value and nothing else */
    bool started; /* something but blanks and comments was there */
    bool braces;  /* the whole text stands in { }, as JSON */
    size_t depth; /* of `open` when it began */
    char *owned;  /* malloc'd text of a file */
};

struct parser {
    struct conf_tree *tree;
    struct source sources[CONF_TREE_SOURCES_MAX];
    size_t source_count;
    struct conf_node *open[CONF_TREE_DEPTH_MAX];
    size_t depth;
    uint32_t nodes;
    /* The key that waits for its value, and where it stands. */
    const char *key, *file;
    int line, column;
};

static struct source *top_source(struct parser *p)
{
    return &p->sources[p->source_count - 1];
}

static struct conf_lex *lex_of(struct parser *p)
{
    return &top_source(p)->lex;
}

/* ---- errors ---- */

static int fail_at(struct parser *p, const char *file, int line, int column, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
static int fail_at(struct parser *p, const char *file, int line, int column, const char *fmt, ...)
{
    char *to = p->tree->error;
    const size_t room = sizeof p->tree->error;
    int n = snprintf(to, room, "%s:%d:%d: ", file, line, column);
    size_t used = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    va_list args;
    va_start(args, fmt);
    vsnprintf(to + used, room - used, fmt, args);
    va_end(args);
    return E_MALFORMED;
}

static int fail(struct parser *p, const char *text)
{
    const struct conf_lex *l = lex_of(p);
    return fail_at(p, l->file, l->line, conf_lex_column(l), "%s", text);
}

static int fail_char(struct parser *p, const char *expected)
{
    int c = conf_lex_peek(lex_of(p));
    char text[128];
    if (c < 0)
        snprintf(text, sizeof text, "expected %s, but the text ends", expected);
    else if (c < ' ' || c > '~')
        snprintf(text, sizeof text, "expected %s, but got byte 0x%02x", expected, (unsigned)c);
    else
        snprintf(text, sizeof text, "expected %s, but got '%c'", expected, c);
    return fail(p, text);
}

/* ---- nodes ---- */

/* Appends to the innermost open container; *out is part of the tree from here on. */
static int attach(struct parser *p, struct conf_node *node)
{
    struct conf_node *parent = p->open[p->depth - 1];
    if (node->weight > CONF_TREE_NODES_MAX - p->nodes)
        return fail_at(p, p->file, p->line, p->column, "the config is too large");
    if (p->depth + node->height > CONF_TREE_DEPTH_MAX)
        return fail_at(p, p->file, p->line, p->column,
                       "too many maps and arrays inside each other");
    p->nodes += node->weight;
    if (parent->last != NULL)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
    for (size_t i = 0; i < p->depth; i++) {
        struct conf_node *above = p->open[i];
        uint32_t height = (uint32_t)(p->depth - i) + node->height;
        above->weight += node->weight;
        if (above->height < height) above->height = height;
    }
    return 0;
}

static struct conf_node *node_new(struct parser *p, enum conf_kind kind)
{
    struct conf_node *node = arena_alloc(&p->tree->arena, sizeof *node);
    node->kind = kind;
    node->weight = 1;
    node->key = p->key;
    node->file = p->file;
    node->line = p->line;
    node->column = p->column;
    return node;
}

static int open_container(struct parser *p, enum conf_kind kind)
{
    if (p->depth == CONF_TREE_DEPTH_MAX)
        return fail(p, "too many maps and arrays inside each other");
    struct conf_node *node = node_new(p, kind);
    int rc = attach(p, node);
    if (rc != 0) return rc;
    conf_lex_next(lex_of(p));
    p->open[p->depth++] = node;
    return 0;
}

/* ---- sources ---- */

static int
push_source(struct parser *p, const char *file, struct text text, char *owned, bool value)
{
    if (p->source_count == CONF_TREE_SOURCES_MAX) {
        free(owned);
        return fail(p, value ? "variables refer to each other without end"
                             : "files include each other without end");
    }
    struct source *s = &p->sources[p->source_count++];
    *s = (struct source){.value = value, .depth = p->depth, .owned = owned};
    s->lex = (struct conf_lex){
        .file = file, .at = text.at, .end = text.at + text.bytes, .line_start = text.at, .line = 1};
    return 0;
}

static void pop_source(struct parser *p)
{
    free(top_source(p)->owned);
    p->source_count--;
}

/* The whole file in malloc'd memory, or NULL and an E_. */
static char *read_file(const char *path, size_t *bytes, int *rc)
{
    struct stat info;
    char *text = NULL;
    *rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        *rc = err_from_errno(errno);
    } else if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode)) {
        *rc = E_INVAL;
    } else {
        /* Not by its size: a pipe has none, and a file may be written meanwhile. */
        size_t room = 0;
        ssize_t n;
        *bytes = 0;
        do {
            if (room - *bytes < 4096) text = check_realloc(text, room = room * 2 + 8192);
            n = read(fd, text + *bytes, room - *bytes);
            if (n > 0) *bytes += (size_t)n;
        } while ((n > 0 && *bytes <= CONF_TREE_FILE_BYTES_MAX) || (n < 0 && errno == EINTR));
        if (n < 0) *rc = err_from_errno(errno);
        if (*bytes > CONF_TREE_FILE_BYTES_MAX) *rc = E_TOOBIG;
    }
    if (fd >= 0) close(fd);
    if (*rc == 0) return text;
    free(text);
    return NULL;
}

/* Relative to the file that includes it. */
static const char *include_path(struct parser *p, const char *name)
{
    const char *from = lex_of(p)->file, *slash = strrchr(from, '/');
    if (name[0] == '/' || slash == NULL || from[0] == '$')
        return arena_string(&p->tree->arena, text_of(name));
    return arena_print(&p->tree->arena, "%.*s/%s", (int)(slash - from), from, name);
}

static int include(struct parser *p)
{
    struct conf_node name = {0};
    size_t bytes = 0;
    int rc;
    struct conf_lex *l = lex_of(p);
    int line = l->line, column = conf_lex_column(l);
    const char *wrong = conf_lex_scalar(l, &p->tree->arena, &name);
    if (wrong != NULL) return fail(p, wrong);
    const char *path = include_path(p, name.text);
    char *text = read_file(path, &bytes, &rc);
    if (text == NULL)
        return fail_at(p, l->file, line, column, "can't read '%s': %s", path, err_text(rc));
    return push_source(p, path, (struct text){.at = text, .bytes = bytes}, text, false);
}

/* ---- variables ---- */

static bool is_bcrypt(const char *text)
{
    return text[0] == '$' && text[1] == '2' && text[2] != 0 && strchr("aby", text[2]) != NULL &&
           text[3] == '$';
}

/* The latest definition in the open maps, the innermost first. A container that is still open can't
 * be meant: it would hold itself. */
static struct conf_node *find_variable(struct parser *p, const char *name)
{
    for (size_t i = p->depth; i-- > 0;) {
        if (p->open[i]->kind != CONF_MAP) continue;
        struct conf_node *found = NULL;
        for (struct conf_node *n = p->open[i]->first; n != NULL; n = n->next) {
            bool still_open = i + 1 < p->depth && n == p->open[i + 1];
            if (!still_open && strcmp(n->key, name) == 0) found = n;
        }
        if (found != NULL) return found;
    }
    return NULL;
}

/* The value is shared, not copied: only its head is new, with a key and a place of its own. */
static int attach_variable(struct parser *p, struct conf_node *found)
{
    struct conf_node *node = node_new(p, found->kind);
    found->used = true;
    node->quoted = found->quoted;
    node->text = found->text;
    node->number = found->number;
    node->real = found->real;
    node->count = found->count;
    node->weight = found->weight;
    node->height = found->height;
    node->first = found->first;
    node->last = found->last;
    return attach(p, node);
}

/* 0: attached, *pushed says whether it is a source that is still to be read. */
static int variable(struct parser *p, const char *name, bool *pushed)
{
    *pushed = false;
    struct conf_node *found = find_variable(p, name);
    if (found != NULL) return attach_variable(p, found);
    const char *text = getenv(name);
    if (text == NULL)
        return fail_at(p, p->file, p->line, p->column,
                       "variable reference for '%s' can not be found", name);
    const char *file = arena_print(&p->tree->arena, "$%s", name);
    *pushed = true;
    return push_source(p, file, arena_text(&p->tree->arena, text_of(text)), NULL, true);
}

/* ---- steps ---- */

/* A value is complete: a variable's text must end here, then the line, the list or the map goes on.
 */
static int after_value(struct parser *p)
{
    while (top_source(p)->value && p->depth == top_source(p)->depth) {
        conf_lex_skip_all(lex_of(p), "");
        if (conf_lex_peek(lex_of(p)) >= 0) return fail_char(p, "the end of the variable's value");
        pop_source(p);
    }
    struct conf_lex *l = lex_of(p);
    conf_lex_skip_blanks(l);
    int c = conf_lex_peek(l);
    if (c < 0 || c == '\n' || c == ',' || c == ';' || c == '}' || c == ']') return 0;
    return conf_lex_at_comment(l) ? 0 : fail_char(p, "the end of the value");
}

static int scalar(struct parser *p)
{
    bool pushed;
    struct conf_node *node = node_new(p, CONF_STRING);
    const char *wrong = conf_lex_scalar(lex_of(p), &p->tree->arena, node);
    if (wrong != NULL) return fail(p, wrong);
    bool is_variable = !node->quoted && node->text[0] == '$' && !is_bcrypt(node->text);
    if (!is_variable || node->text[1] == 0) {
        int rc = attach(p, node);
        return rc != 0 ? rc : after_value(p);
    }
    int rc = variable(p, node->text + 1, &pushed);
    return rc != 0 || pushed ? rc : after_value(p);
}

static int value(struct parser *p)
{
    struct conf_lex *l = lex_of(p);
    if (top_source(p)->value && p->depth == top_source(p)->depth) conf_lex_skip_all(l, "");
    int c = conf_lex_peek(l);
    if (c == '{' || c == '[') return open_container(p, c == '{' ? CONF_MAP : CONF_ARRAY);
    if (c < 0 && top_source(p)->value) { /* a variable that is set to nothing: an empty string */
        struct conf_node *node = node_new(p, CONF_STRING);
        node->text = "";
        int rc = attach(p, node);
        return rc != 0 ? rc : after_value(p);
    }
    if (c < 0 || c == '\n' || c == ',' || c == ';' || c == '}' || c == ']' || c == ')')
        return fail_char(p, "a value");
    return scalar(p);
}

/* Reads values until none is pending: a variable's text may name another variable. */
static int values(struct parser *p)
{
    size_t before;
    int rc;
    do {
        before = p->source_count;
        rc = value(p);
    } while (rc == 0 && p->source_count > before);
    return rc;
}

static void note_place(struct parser *p, const char *key)
{
    const struct conf_lex *l = lex_of(p);
    p->key = key;
    p->file = l->file;
    p->line = l->line;
    p->column = conf_lex_column(l);
}

/* Between key and value: blanks, one separator, blanks. A value on the next line is taken only if
 * it is a map or an array: for anything else the line break is more likely a forgotten value. */
static void skip_to_value(struct conf_lex *l)
{
    conf_lex_skip_blanks(l);
    if (conf_lex_peek(l) == ':' || conf_lex_peek(l) == '=') conf_lex_next(l);
    conf_lex_skip_blanks(l);
    struct conf_lex ahead = *l;
    conf_lex_skip_all(&ahead, "");
    int c = conf_lex_peek(&ahead);
    if (c == '{' || c == '[') *l = ahead;
}

static int member(struct parser *p)
{
    const char *key = NULL;
    struct conf_lex *l = lex_of(p);
    bool bare = conf_lex_peek(l) != '"' && conf_lex_peek(l) != '\'';
    note_place(p, NULL);
    const char *wrong = conf_lex_key(l, &p->tree->arena, &key);
    if (wrong != NULL) return fail(p, wrong);
    conf_lex_skip_blanks(l);
    int c = conf_lex_peek(l);
    if (bare && strcasecmp(key, "include") == 0 && c != ':' && c != '=') return include(p);
    p->key = key;
    skip_to_value(l);
    return values(p);
}

static int close_container(struct parser *p)
{
    struct source *s = top_source(p);
    bool map = p->open[p->depth - 1]->kind == CONF_MAP;
    if (p->depth == s->depth) {
        if (!map || !s->braces) return fail_char(p, map ? "a key" : "a value");
        s->braces = false;
        conf_lex_next(&s->lex);
        conf_lex_skip_all(&s->lex, "");
        return conf_lex_peek(&s->lex) < 0 ? 0 : fail_char(p, "the end of the file");
    }
    p->depth--;
    conf_lex_next(&s->lex);
    return after_value(p);
}

/* The text ends: what this source opened must be closed. *done: it was the first. */
static int end_source(struct parser *p, bool *done)
{
    struct source *s = top_source(p);
    if (p->depth > s->depth) {
        const struct conf_node *n = p->open[p->depth - 1];
        return fail_at(p, n->file, n->line, n->column, "%s isn't closed: %s is missing",
                       n->kind == CONF_MAP ? "a map" : "an array", n->kind == CONF_MAP ? "}" : "]");
    }
    if (s->braces) return fail_char(p, "}");
    *done = p->source_count == 1;
    if (*done) return 0;
    pop_source(p);
    return after_value(p);
}

static int step(struct parser *p, bool *done)
{
    struct source *s = top_source(p);
    struct conf_node *container = p->open[p->depth - 1];
    conf_lex_skip_all(&s->lex, ",;");
    int c = conf_lex_peek(&s->lex);
    if (c < 0) return end_source(p, done);
    if (container->kind == CONF_ARRAY) {
        if (c == ']') return close_container(p);
        note_place(p, NULL);
        return values(p);
    }
    if (c == '}') return close_container(p);
    bool first = !s->started;
    s->started = true;
    if (c == '{' && first) {
        s->braces = true;
        conf_lex_next(&s->lex);
        return 0;
    }
    return member(p);
}

static int run(struct conf_tree *t, const char *file, struct text text, char *owned)
{
    struct parser *p = check_alloc(sizeof *p);
    bool done = false;
    p->tree = t;
    p->file = arena_string(&t->arena, text_of(file));
    p->line = p->column = 1;
    struct conf_node *root = node_new(p, CONF_MAP);
    p->open[p->depth++] = root;
    int rc = push_source(p, p->file, text, owned, false);
    if (text.bytes >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) lex_of(p)->at += 3;
    if (memchr(text.at, 0, text.bytes) != NULL)
        rc = fail(p, "the text has NUL bytes: is it a config?");
    while (rc == 0 && !done)
        rc = step(p, &done);
    t->root = rc == 0 ? root : NULL;
    while (p->source_count > 0)
        pop_source(p);
    free(p);
    return rc;
}

int conf_tree_parse(struct conf_tree *t, const char *file, struct text text)
{
    *t = (struct conf_tree){0};
    if (text.at == NULL) text.at = "";
    if (text.bytes <= CONF_TREE_FILE_BYTES_MAX) return run(t, file, text, NULL);
    snprintf(t->error, sizeof t->error, "%s:1:1: the config is too large", file);
    return E_MALFORMED;
}

int conf_tree_load(struct conf_tree *t, const char *path)
{
    size_t bytes = 0;
    int rc;
    *t = (struct conf_tree){0};
    char *text = read_file(path, &bytes, &rc);
    if (text != NULL) return run(t, path, (struct text){.at = text, .bytes = bytes}, text);
    snprintf(t->error, sizeof t->error, "error opening config file '%s': %s", path, err_text(rc));
    return rc;
}

void conf_tree_free(struct conf_tree *t)
{
    arena_free(&t->arena);
    t->root = NULL;
}

struct conf_node *conf_tree_get(const struct conf_node *map, const char *key)
{
    struct conf_node *found = NULL;
    if (map == NULL || map->kind != CONF_MAP) return NULL;
    for (struct conf_node *n = map->first; n != NULL; n = n->next) {
        if (strcasecmp(n->key, key) == 0) found = n;
    }
    return found;
}

/* ---- dump ---- */

static void put(struct writer *w, const char *z)
{
    writer_put(w, z, strlen(z));
}

static void dump_scalar(const struct conf_node *n, struct writer *w)
{
    char text[64] = "";
    if (n->kind == CONF_INT) snprintf(text, sizeof text, "%lld", (long long)n->number);
    if (n->kind == CONF_TIME) snprintf(text, sizeof text, "T%lld", (long long)n->number);
    if (n->kind == CONF_FLOAT) snprintf(text, sizeof text, "%gf", n->real);
    if (n->kind == CONF_BOOL) snprintf(text, sizeof text, "%s", n->number ? "true" : "false");
    if (n->kind == CONF_STRING && n->quoted) put(w, "\"");
    put(w, n->kind == CONF_STRING ? n->text : text);
    if (n->kind == CONF_STRING && n->quoted) put(w, "\"");
}

void conf_tree_dump(const struct conf_node *node, struct writer *w)
{
    /* A variable's children have several parents, so the way up isn't in the nodes. */
    const struct conf_node *open[CONF_TREE_DEPTH_MAX + 1], *at = node;
    size_t depth = 0;
    while (at != NULL) {
        if (at->key != NULL && depth > 0) {
            put(w, at->key);
            put(w, ":");
        }
        if (at->kind == CONF_MAP || at->kind == CONF_ARRAY) {
            put(w, at->kind == CONF_MAP ? "{" : "[");
            CHECK(depth < ARRAY_COUNT(open));
            open[depth++] = at;
            if ((at = at->first) != NULL) continue;
            at = open[--depth];
            put(w, at->kind == CONF_MAP ? "}" : "]");
        } else {
            dump_scalar(at, w);
        }
        while (depth > 0 && at->next == NULL) {
            at = open[--depth];
            put(w, at->kind == CONF_MAP ? "}" : "]");
        }
        at = depth == 0 ? NULL : at->next;
        if (at != NULL) put(w, ",");
    }
}
