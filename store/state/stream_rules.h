/* stream_rules.h - rules for what connects a stream with other subjects and streams: mirror,
 * sources, subject transforms, republish. Source: protocol reference 6.4, 6.7 to 6.9. */
#pragma once

#include "store/state/stream.h"

/* Of one config alone. E_INVAL with the protocol's error. */
NODISCARD int stream_rules_check(const struct stream_config *c, struct config_error *error);
/* Do both bring the same messages under the same subjects? Where they start may differ. */
bool stream_rules_same(const struct stream_source *a, const struct stream_source *b);
