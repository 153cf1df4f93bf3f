/* conf_load.c - see conf_load.h. */
#include "cmd/conf_load.h"

void conf_load_member(struct conf_loader *l,
                      const char *section,
                      const struct conf_node *n,
                      void *base)
{
    const struct conf_key *k = conf_keys_find(section, n->key);
    if (k == NULL) {
        conf_value_unknown(l, section, n);
    } else if (k->effect == CONF_REFUSED) {
        conf_value_error(l, n, "%s: %s", n->key, k->note);
    } else {
        if (k->effect == CONF_ACCEPTED)
            conf_value_warn(l, n, "%s has no effect: %s", n->key, k->note);
        conf_value_set(l, k, n, (uint8_t *)base + k->offset);
    }
}

void conf_load_sections(struct conf_loader *l)
{
    for (struct conf_section_work *w = l->todo; w != NULL; w = w->next) {
        for (const struct conf_node *n = w->node->first; n != NULL; n = n->next)
            conf_load_member(l, w->section, n, w->base);
    }
    l->todo = NULL;
    l->last = &l->todo;
}
