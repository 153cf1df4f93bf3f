/* conf_keys.h - the table of all config keys: where each may stand, what it takes, where the value
 * goes, and what a reload may do with it. */
#pragma once

#include "cmd/conf.h"

enum conf_type {
    CONF_T_BOOL,    /* bool */
    CONF_T_INT,     /* int64_t; sizes with suffixes too */
    CONF_T_SIZE,    /* int64_t; as a string K, M, G, T are powers of 1024 */
    CONF_T_NS,      /* int64_t: "2s"; a plain number is in seconds */
    CONF_T_TEXT,    /* const char * */
    CONF_T_TEXTS,   /* struct conf_texts: one or a list */
    CONF_T_LISTEN,  /* struct conf_listen: host:port, or a port */
    CONF_T_NODE,    /* const struct conf_node *: kept as parsed */
    CONF_T_SECTION, /* a map; note names the section of its keys */
    CONF_T_CUSTOM,  /* parse() */
    CONF_T_NONE,    /* not looked at */
};
enum conf_effect {
    CONF_LIVE,     /* a reload applies it */
    CONF_RESTART,  /* a reload that changes it is refused */
    CONF_ACCEPTED, /* nats-server's; has no effect here: a warning with the note */
    CONF_REFUSED,  /* an error with the note: ignoring it would be worse */
};

struct conf_loader;
struct conf_key {
    const char *section; /* "" at the top */
    const char *names;   /* "max_connections|max_conn"; the first is the one shown */
    enum conf_type type;
    size_t offset;       /* in the section's struct */
    const char *initial; /* NULL: zero */
    int64_t min, max;    /* both 0: any */
    enum conf_effect effect;
    const char *note;
    void (*parse)(struct conf_loader *l, const struct conf_node *n, void *to);
};
extern const struct conf_key conf_keys[];
extern const size_t conf_keys_count;

const struct conf_key *conf_keys_find(const char *section, const char *name);
/* The known key that looks most like it, or NULL. buffer holds the name. */
const char *conf_keys_nearest(const char *section, const char *name, char *buffer, size_t bytes);
/* The first of its names. */
const char *conf_keys_name(const struct conf_key *k, char *buffer, size_t bytes);
