/* copy.c - mirrors and sources: the leader says when a stream takes the next messages of another.
 *
 * All streams are on all nodes, so `take what is next` is all that has to be proposed; apply copies
 * (store/state/apply_copy.c), and where a source stands is part of the state. One command of a
 * stream is in flight at a time, its sources take turns. What a limit of the stream refused is
 * tried again when messages went, and every second. */
#include <stdlib.h>

#include "broker/js/js.h"

#define COPY_MESSAGES 500 /* of one command: a turn stays below 5 ms */

struct copy_flight {
    struct proposal proposal;
    struct js_stream *stream;
};

static void copy_done(struct proposal *p, const void *result)
{
    struct copy_flight *f = CONTAINER_OF(p, struct copy_flight, proposal);
    const struct apply_result *r = result;
    struct js_stream *js = f->stream;
    struct engine *e = js->engine;
    js->copying = false;
    js->copy_blocked = r->error != JS_OK;
    if (e->started) copy_wake(e);
    engine_stream_release(js);
    engine_drop(e);
    free(f);
}

static void copy_propose(struct js_stream *js, size_t source)
{
    struct engine *e = js->engine;
    struct copy_flight *f = check_alloc(sizeof *f);
    struct command_copy c = {
        .stream = js->stream->id, .source = (uint32_t)source, .max = COPY_MESSAGES};
    f->proposal.done = copy_done;
    f->stream = engine_stream_ref(js);
    js->copying = true;
    engine_hold(e);
    entry_put_copy(propose_open(e->o.group, 64), &c);
    propose_close(e->o.group, &f->proposal);
}

static void copy_stream(struct js_stream *js)
{
    size_t count = stream_source_count(js->stream);
    if (js->stream->config.sealed) return;
    for (size_t i = 0; i < count && !js->copying && !js->copy_blocked; i++) {
        size_t at = js->copy_at++ % count;
        if (stream_source_info(js->stream, at).lag != 0) copy_propose(js, at);
    }
}

void copy_turn(struct engine *e)
{
    e->copy_due = false;
    if (!e->leads) return;
    LIST_FOREACH (n, &e->streams) {
        struct js_stream *js = CONTAINER_OF(n, struct js_stream, node);
        if (stream_source_count(js->stream) != 0) copy_stream(js);
    }
}

void copy_wake(struct engine *e)
{
    if (e->copiers == 0) return;
    e->copy_due = true;
    engine_wake(e);
}

void copy_tick(struct engine *e)
{
    if (e->copiers == 0 || !e->leads) return;
    LIST_FOREACH (n, &e->streams) {
        CONTAINER_OF(n, struct js_stream, node)->copy_blocked = false;
    }
    copy_wake(e);
}

/* Streams are made and changed seldom; then it is worked out anew who is copied from, so that a
 * message to any other stream costs nothing. */
void copy_refresh(struct engine *e)
{
    size_t was = e->copiers;
    e->copiers = 0;
    LIST_FOREACH (n, &e->streams) {
        struct js_stream *js = CONTAINER_OF(n, struct js_stream, node);
        if (stream_source_count(js->stream) != 0) e->copiers++;
    }
    if (was + e->copiers == 0) return;
    LIST_FOREACH (n, &e->streams) {
        CONTAINER_OF(n, struct js_stream, node)->copied = false;
    }
    LIST_FOREACH (n, &e->streams) {
        struct js_stream *js = CONTAINER_OF(n, struct js_stream, node);
        for (size_t i = 0; i < stream_source_count(js->stream); i++) {
            struct text name = stream_source_info(js->stream, i).config->name;
            struct stream *origin = state_stream(e->o.state, js->stream->account, name);
            if (origin != NULL && origin->engine != NULL)
                ((struct js_stream *)origin->engine)->copied = true;
        }
        js->copy_blocked = false;
    }
    copy_wake(e);
}
