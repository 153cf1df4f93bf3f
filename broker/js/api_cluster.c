/* api_cluster.c - requests about leaders and peers. There is one leader for everything, so each
 * step-down hands that one over; membership heals by itself and isn't changed through here. */
#include "broker/js/api.h"

void api_cluster_stepdown(struct api_call *c)
{
    struct engine *e = c->engine;
    api_success(c);
    engine_frames_stepdown(e);
}

void api_cluster_refuse(struct api_call *c)
{
    bool stream = (c->endpoint->flags & API_STREAM) != 0;
    api_fail(c, stream ? JS_CLUSTER_PEER_NOT_MEMBER : JS_CLUSTER_SERVER_NOT_MEMBER, "");
}
