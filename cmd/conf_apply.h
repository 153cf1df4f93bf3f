/* conf_apply.h - from the effective configuration to the options of node, broker, cluster and log.
 */
#pragma once

#include "cmd/conf.h"
#include "cmd/node.h"
#include "store/base/logger.h"

/* What the options point to beside the conf itself. */
struct conf_applied {
    struct accounts *accounts;
    struct broker_user *users;
    size_t user_count;
    struct cluster_route *routes;
    char store_dir[4096];
};

/* Fills what the configuration decides; env, net, kv, ids, names that must be made up, and
 * callbacks are the caller's. conf and applied must outlive the node. env: for the size of the
 * disk. */
void conf_apply(const struct conf *c,
                struct env *env,
                struct conf_applied *a,
                struct node_options *o);
/* Accounts, users and limits anew, for a reload: accounts that are known stay the same objects. */
void conf_apply_users(const struct conf *c, struct conf_applied *a, struct broker_options *o);
void conf_apply_limits(const struct conf *c, struct broker_options *o);
void conf_apply_free(struct conf_applied *a);
/* json: the ocis profile's form. */
void conf_apply_logger(const struct conf *c, bool json, struct logger_options *o);
