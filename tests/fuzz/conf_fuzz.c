/* conf_fuzz.c - a config file: text to tree, tree to configuration. What parses is dumped too: the
 * walk of a tree must be as bounded as its making. sources: cmd/conf.c cmd/conf_keys.c
 * cmd/conf_lex.c cmd/conf_load.c cmd/conf_parse.c cmd/conf_tree.c cmd/conf_value.c
 * broker/auth/permissions.c broker/core/subject.c store/base/subject_match.c store/base/check.c
 * store/base/err.c store/base/slice.c store/base/writer.c store/base/map.c store/base/logger.c
 * store/base/json_out.c store/base/json_in.c store/base/arena.c
 */
#include <stddef.h>
#include <stdint.h>

#include "cmd/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct conf c;
    struct writer w;
    conf_init(&c);
    if (conf_read_text(&c, "f", (struct text){.at = (const char *)data, .bytes = bytes}) == 0)
        (void)!conf_finish(&c);
    CHECK((c.errors == 0) == (c.error[0] == 0));
    writer_init(&w, 64);
    if (c.tree.root != NULL) conf_tree_dump(c.tree.root, &w);
    writer_free(&w);
    conf_free(&c);
    return 0;
}
