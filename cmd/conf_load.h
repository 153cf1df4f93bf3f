/* conf_load.h - what conf.c and conf_value.c share: walking sections. */
#pragma once

#include "cmd/conf_value.h"

struct conf_section_work {
    struct conf_section_work *next;
    const struct conf_node *node;
    const char *section;
    void *base;
};

/* One member of a section's map. */
void conf_load_member(struct conf_loader *l,
                      const char *section,
                      const struct conf_node *n,
                      void *base);
/* All sections that wait, and those that they bring. */
void conf_load_sections(struct conf_loader *l);
