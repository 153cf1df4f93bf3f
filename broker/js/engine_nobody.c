/* engine_nobody.c - messages that nobody took. 'No responders' is a statement about the whole
 * cluster's state, so a node that may lag behind looks again after a linearizable read before it
 * says so. */
#include <stdlib.h>
#include <string.h>

#include "broker/js/js.h"

struct held {
    struct js_read read;
    struct engine *engine;
    struct message m;
};

static void held_done(struct js_read *r)
{
    struct held *h = CONTAINER_OF(r, struct held, read);
    struct engine *e = h->engine;
    struct text none = {0};
    if (e->started) {
        e->retrying = true;
        size_t taken = router_publish(e->o.router, &h->m);
        e->retrying = false;
        if (taken == 0)
            (void)engine_send(e, h->m.account, h->m.reply, none, TEXT("NATS/1.0 503\r\n\r\n"),
                              none);
    }
    free(h);
}

static struct text held_copy(char **at, struct text t)
{
    struct text out = {.at = *at, .bytes = t.bytes};
    if (t.bytes != 0) memcpy(*at, t.at, t.bytes);
    *at += t.bytes;
    return out;
}

bool engine_nobody(struct engine *e, const struct message *m)
{
    if (e->leads || e->retrying || !e->started || m->reply.bytes == 0) return false;
    if (!m->account->jetstream || !engine_clustered(e)) return false;
    struct held *h = check_alloc(sizeof *h + m->subject.bytes + m->reply.bytes + m->header.bytes +
                                 m->body.bytes + 1);
    char *at = (char *)(h + 1);
    h->engine = e;
    h->m = (struct message){.account = m->account,
                            .subject = held_copy(&at, m->subject),
                            .reply = held_copy(&at, m->reply),
                            .header = held_copy(&at, m->header),
                            .body = held_copy(&at, m->body)};
    h->read.done = held_done;
    engine_read(e, &h->read);
    return true;
}
