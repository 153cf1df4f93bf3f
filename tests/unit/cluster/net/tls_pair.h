/* tls_pair.h - two socks joined in memory, and certificates made by the openssl program, for tests
 * of TLS. Bytes move when the test says so. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/net/sock_tls.h"
#include "store/base/err.h"
#include "tests/unit/broker/fake.h"

#define PIPE_BYTES (64u << 10)

struct pipe_sock {
    struct sock sock; /* first */
    struct pipe_sock *other;
    uint8_t out[PIPE_BYTES]; /* on its way to the other */
    size_t out_bytes, window, sent_bytes;
    bool closing, other_closed, short_of, gone;
};

static inline struct pipe_sock *pipe_of(struct sock *s)
{
    return (struct pipe_sock *)(void *)s;
}
static inline ptrdiff_t pipe_write(struct sock *s, const struct sock_part *parts, size_t count)
{
    struct pipe_sock *p = pipe_of(s);
    size_t taken = 0;
    if (p->closing || p->other->closing) return E_NET;
    for (size_t i = 0; i < count; i++) {
        size_t room = p->window - p->out_bytes;
        size_t bytes = parts[i].bytes < room ? parts[i].bytes : room;
        memcpy(p->out + p->out_bytes, parts[i].at, bytes);
        p->out_bytes += bytes;
        taken += bytes;
        if (bytes < parts[i].bytes) {
            p->short_of = true;
            break;
        }
    }
    p->sent_bytes += taken;
    return (ptrdiff_t)taken;
}
static inline void pipe_resume(struct sock *s)
{
    (void)s;
}
static inline void pipe_close(struct sock *s)
{
    pipe_of(s)->closing = true;
}
static inline void pipe_text(struct sock *s, char *out, size_t bytes)
{
    (void)s;
    snprintf(out, bytes, "10.0.0.1:5000");
}
static const struct sock_ops pipe_ops = {.write = pipe_write,
                                         .resume = pipe_resume,
                                         .close = pipe_close,
                                         .peer_text = pipe_text,
                                         .local_text = pipe_text};

static inline void pipe_init(struct pipe_sock *a, struct pipe_sock *b)
{
    *a = (struct pipe_sock){.sock = {.ops = &pipe_ops}, .other = b, .window = PIPE_BYTES};
    *b = (struct pipe_sock){.sock = {.ops = &pipe_ops}, .other = a, .window = PIPE_BYTES};
}
/* One read of the other, of at most `piece` bytes. True: something moved. */
static inline bool pipe_move(struct pipe_sock *p, size_t piece)
{
    struct pipe_sock *to = p->other;
    size_t room = 0;
    if (p->out_bytes == 0 || to->gone || to->closing) return false;
    void *at = to->sock.events->room(&to->sock, &room);
    if (room > p->out_bytes) room = p->out_bytes;
    if (room > piece) room = piece;
    if (room == 0) return false;
    memcpy(at, p->out, room);
    memmove(p->out, p->out + room, p->out_bytes - room);
    p->out_bytes -= room;
    to->sock.events->data(&to->sock, room);
    if (p->short_of && !p->closing) {
        p->short_of = false;
        p->sock.events->drained(&p->sock);
    }
    return true;
}
static inline bool pipe_end(struct pipe_sock *p)
{
    bool last = p->other->closing && p->other->out_bytes == 0;
    if (p->gone || (!p->closing && !last)) return false;
    int rc = p->closing ? E_CANCELED : 0;
    p->gone = p->closing = true;
    p->sock.events->closed(&p->sock, rc, false);
    return true;
}
/* Until nothing moves any more. */
static inline void
pipe_run(struct fake_env *e, struct pipe_sock *a, struct pipe_sock *b, size_t piece)
{
    bool moved = true;
    while (moved) {
        moved = pipe_move(a, piece);
        moved = pipe_move(b, piece) || moved;
        moved = !list_empty(&e->deferred) || moved;
        fake_turn(e);
        moved = pipe_end(a) || moved;
        moved = pipe_end(b) || moved;
    }
}

/* ---- certificates: ca.pem, other.pem (another authority), and NAME.pem with NAME.key ---- */

static inline void certs_run(const char *dir, const char *command)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && (%s) >log 2>&1", dir, command);
    int rc = system(line);
    if (rc != 0) fprintf(stderr, "failed: %s\n", line);
    CHECK(rc == 0);
}
static inline void certs_authority(const char *dir, const char *name)
{
    char line[1024];
    snprintf(line, sizeof line,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
             "-subj /CN=%s -keyout %s.key -out %s.pem",
             name, name, name);
    certs_run(dir, line);
}
/* names: as subjectAltName takes them. */
static inline void
certs_make(const char *dir, const char *name, const char *subject, const char *names)
{
    char line[2000];
    snprintf(line, sizeof line,
             "printf 'subjectAltName=%s\\n' >%s.ext; "
             "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '%s' "
             "-keyout %s.key -out %s.csr && "
             "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 "
             "-extfile %s.ext -out %s.pem",
             names, name, subject, name, name, name, name, name);
    certs_run(dir, line);
}
