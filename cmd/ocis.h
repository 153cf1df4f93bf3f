/* ocis.h - the profile of ocis' own `nats` service: `gannet server` takes its environment variables
 * and its YAML file instead of a config file, has its debug port, its log lines and its way to
 * stop. Source: ocis reference, section 1; GANNET_ variables make the same command a member of a
 * cluster. Thread: the program's, before the loop. */
#pragma once

#include "cmd/conf.h"
#include "cmd/node.h"
#include "store/base/logger.h"

#define OCIS_GRACE_NS (3 * NS_PER_S) /* still serving, so that other services can deregister */

enum ocis_value {
    OCIS_HOST,
    OCIS_PORT,
    OCIS_CLUSTER_ID,
    OCIS_STORE_DIR,
    OCIS_TLS_CERT,
    OCIS_TLS_KEY,
    OCIS_TLS_SKIP_VERIFY,
    OCIS_ENABLE_TLS,
    OCIS_AUTH_USER,
    OCIS_AUTH_PASSWORD,
    OCIS_LOG_LEVEL,
    OCIS_LOG_PRETTY,
    OCIS_LOG_COLOR,
    OCIS_LOG_FILE,
    OCIS_DEBUG_ADDR,
    OCIS_DEBUG_TOKEN,
    OCIS_SERVER_NAME,
    OCIS_CLUSTER_LISTEN,
    OCIS_CLUSTER_ROUTES,
    OCIS_CLUSTER_ADVERTISE,
    OCIS_CLUSTER_USER,
    OCIS_CLUSTER_PASSWORD,
    OCIS_VALUES
};

struct ocis {
    char *values[OCIS_VALUES]; /* "" when neither given nor defaulted */
    char error[1024];
};

/* Environment over nats.yaml over the section `nats` of ocis.yaml over defaults. E_MALFORMED with
 * error. Values are freed by ocis_free, also after an error. */
NODISCARD int ocis_read(struct ocis *o);
void ocis_free(struct ocis *o);
/* The rest of the program reads a conf. As conf_set: errors are in c->error. */
NODISCARD int ocis_conf(struct ocis *o, struct conf *c);
/* What a conf can't say; o must outlive the node. */
void ocis_node(const struct ocis *o, struct node_options *n);
void ocis_logger(const struct ocis *o, struct logger_options *l);
/* Asks the debug port of a service that runs with the same settings; 0 when it is well. */
int ocis_health(struct ocis *o);
