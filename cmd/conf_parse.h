/* conf_parse.h - config values with a shape of their own: users, permissions, accounts, routes, and
 * what may be either a switch or a map. The parsers of conf_keys' CUSTOM rows. */
#pragma once

#include "cmd/conf_value.h"

void conf_parse_users(struct conf_loader *l, const struct conf_node *n, void *to); /* conf_users */
void conf_parse_permissions(struct conf_loader *l,
                            const struct conf_node *n,
                            void *to); /* permissions* */
void conf_parse_accounts(struct conf_loader *l, const struct conf_node *n, void *to); /* conf */
void conf_parse_account_js(struct conf_loader *l, const struct conf_node *n, void *to);
void conf_parse_exports(struct conf_loader *l,
                        const struct conf_node *n,
                        void *to); /* conf_account */
void conf_parse_imports(struct conf_loader *l,
                        const struct conf_node *n,
                        void *to); /* conf_account */
void conf_parse_import_from(struct conf_loader *l, const struct conf_node *n, void *to);
void conf_parse_jetstream(struct conf_loader *l, const struct conf_node *n, void *to);
void conf_parse_cluster_listen(struct conf_loader *l,
                               const struct conf_node *n,
                               void *to); /* conf_cluster */
void conf_parse_routes(struct conf_loader *l,
                       const struct conf_node *n,
                       void *to); /* conf_cluster */
void conf_parse_handshake_first(struct conf_loader *l, const struct conf_node *n, void *to);
