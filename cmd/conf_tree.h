/* conf_tree.h - nats-server's config language into a tree that knows where everything stands.
 *
 * Maps {}, arrays [], JSON; `key: value`, `key = value`, `key value`; # and // comments; bare,
 * 'raw', "escaped" and ( block ) strings; sizes like 64k or 1MB, booleans, dates, $VARIABLES,
 * include 'file'. Keys that repeat are all kept: the last one counts. A config is input: every
 * loop, depth and expansion is bounded. Source: protocol reference, section 14.2. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/base/arena.h"
#include "store/base/units.h"
#include "store/base/writer.h"

#define CONF_TREE_DEPTH_MAX 64   /* maps and arrays inside each other */
#define CONF_TREE_SOURCES_MAX 16 /* files including files, variables naming variables */
#define CONF_TREE_FILE_BYTES_MAX MIB(16)
#define CONF_TREE_NODES_MAX                                                                        \
    1000000 /* also what a tree would have if its variables were copied out */

enum conf_kind { CONF_MAP, CONF_ARRAY, CONF_STRING, CONF_INT, CONF_FLOAT, CONF_BOOL, CONF_TIME };

struct conf_node {
    enum conf_kind kind;
    bool used;        /* something refers to it as $key: then it needn't be a known field */
    bool quoted;      /* a string in quotes or a block: never a variable */
    const char *key;  /* in a map; NULL in an array */
    const char *file; /* or "$NAME", for text from the environment */
    int line, column; /* of the key, or the value without one; from 1 */
    const char *text; /* scalars: as written, escapes resolved */
    int64_t number;   /* CONF_INT; CONF_TIME: ns since 1970; CONF_BOOL: 0 or 1 */
    double real;      /* CONF_FLOAT */
    uint32_t count;   /* children */
    uint32_t weight;  /* itself and all below */
    uint32_t height;  /* levels below: at most CONF_TREE_DEPTH_MAX, variables included */
    struct conf_node *first, *last, *next;
};

struct conf_tree {
    struct arena arena;     /* all nodes and texts */
    struct conf_node *root; /* a map; NULL after an error */
    char error[1024];       /* file:line:col: text */
};

/* E_MALFORMED, with `error` set; the tree must be freed all the same. text needs not be kept. */
NODISCARD int conf_tree_parse(struct conf_tree *t, const char *file, struct text text);
/* From a file; also E_NOTFOUND, E_DENIED, E_IO, E_TOOBIG, with `error` set. */
NODISCARD int conf_tree_load(struct conf_tree *t, const char *path);
void conf_tree_free(struct conf_tree *t);

/* The last child of that name, whatever its case; NULL: none, or not a map. */
struct conf_node *conf_tree_get(const struct conf_node *map, const char *key);
/* One line, for tests: {a:1,b:[x,"y"]}. Strings that were quoted are shown quoted, times as T<ns>.
 */
void conf_tree_dump(const struct conf_node *node, struct writer *w);
