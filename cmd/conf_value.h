/* conf_value.h - one config value into one field, and the loader that all parsers of values share.
 */
#pragma once

#include "cmd/conf.h"
#include "cmd/conf_keys.h"

struct conf_section_work;
struct conf_loader {
    struct conf *conf;
    struct conf_section_work *todo, **last; /* sections still to be walked */
};

/* Reports an error at the node: file:line:col: text. Loading goes on, so that all errors are seen
 * at once. */
void conf_value_error(struct conf_loader *l, const struct conf_node *n, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void conf_value_warn(struct conf_loader *l, const struct conf_node *n, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* `unknown field "x"`, unless the key is a variable's definition. */
void conf_value_unknown(struct conf_loader *l, const char *section, const struct conf_node *n);
/* The node is a map whose keys are those of a section; base is the section's struct. */
void conf_value_section(struct conf_loader *l,
                        const struct conf_node *n,
                        const char *section,
                        void *base);
/* Sets the defaults of a section's keys, and those of the sections inside it. */
void conf_value_defaults(struct conf_loader *l, const char *section, void *base);
/* to: the field itself. */
void conf_value_set(struct conf_loader *l,
                    const struct conf_key *k,
                    const struct conf_node *n,
                    void *to);

/* Parts. Each reports what is wrong and returns false. */
bool conf_value_text(struct conf_loader *l, const struct conf_node *n, const char **out);
bool conf_value_bool(struct conf_loader *l, const struct conf_node *n, bool *out);
bool conf_value_i64(struct conf_loader *l, const struct conf_node *n, int64_t *out);
bool conf_value_ns(struct conf_loader *l, const struct conf_node *n, int64_t *out);
bool conf_value_texts(struct conf_loader *l, const struct conf_node *n, struct conf_texts *out);
/* host:port, [v6]:port, :port, port; host == NULL when there is none. */
bool conf_value_host_port(struct arena *a, const char *text, const char **host, int64_t *port);
/* Go's syntax: "1m30s". */
bool conf_value_duration(const char *text, int64_t *ns);
