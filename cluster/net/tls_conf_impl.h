/* tls_conf_impl.h - what sock_tls.c needs of tls_conf.c: OpenSSL's own types. Nobody else includes
 * it. Thread: loop. */
#pragma once

#include <openssl/ssl.h>

#include "cluster/net/tls_conf.h"

#define TLS_CONF_IN_BYTES (32u << 10)
#define TLS_CONF_RECORD_BYTES (16u << 10) /* plain bytes of a largest record */

/* Buffers of the loop, shared by all connections of a configuration. */
struct tls_conf_buffers {
    uint8_t in[TLS_CONF_IN_BYTES];         /* one read from the socket */
    uint8_t gather[TLS_CONF_RECORD_BYTES]; /* small parts on their way into one record */
};
struct tls_conf_buffers *tls_conf_buffers(struct tls_conf *c);
struct env *tls_conf_env(struct tls_conf *c);
/* A connection's state; the caller frees it. host: whom it dials, NULL: it was accepted. */
SSL *tls_conf_session(struct tls_conf *c, const char *host);
/* After the handshake: is the other side's key one of the pinned ones, if there are any? */
bool tls_conf_pinned(const struct tls_conf *c, SSL *ssl);
/* Why OpenSSL refused, in words; empties its queue of errors. */
void tls_conf_explain(SSL *ssl, char *out, size_t bytes);
