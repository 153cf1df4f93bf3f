/* ocis_yaml.h - the scalars of a YAML file, each with the path that leads to it. Parsing by
 * libyaml. Thread: any. */
#pragma once

#include <stddef.h>

#include "store/base/check.h"

/* Calls value(ctx, "nats.host", "0.0.0.0") for each scalar below section ("": the root), with the
 * section left out of the path. Lists are passed over. E_NOTFOUND: no such file. E_MALFORMED with
 * error: file, line and what; E_IO. */
NODISCARD int ocis_yaml_read(const char *file,
                             const char *section,
                             void (*value)(void *ctx, const char *path, const char *value),
                             void *ctx,
                             char *error,
                             size_t error_bytes);
