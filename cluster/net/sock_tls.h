/* sock_tls.h - TLS over any sock: a sock itself, so that its owner need not know. Thread: loop. */
#pragma once

#include "cluster/net/sock.h"
#include "cluster/net/tls_conf.h"

struct sock_tls_options {
    struct tls_conf *conf; /* must outlive the sock */
    const char *host;      /* whom we dialled, for its certificate; NULL: we accepted */
    uint64_t timeout_ns;   /* of the handshake; 0: the configuration's */
    /* Read from the sock below already. */
    const void *first;
    size_t first_bytes;
    /* Sent in clear when the other side let the time pass without beginning; NULL: nothing. */
    const char *last_words;
    /* The handshake is done. Called at most once, not from inside sock_tls_new. May be NULL. */
    void (*ready)(struct sock *s);
};

/* Takes over the sock below, which may be any; the caller sets owner and events of the new one at
 * once. Until the handshake is done nothing is read and write takes 0 bytes (drained follows). When
 * it fails, closed tells: E_DENIED refused by either side, E_AGAIN time is up. close says goodbye
 * after what was written before it, so the last words arrive. */
struct sock *sock_tls_new(struct sock *below, const struct sock_tls_options *o);

struct sock_tls_info {
    const char *version, *cipher; /* "1.3", "TLS_AES_128_GCM_SHA256" */
};
/* False: the sock isn't one of ours, or its handshake isn't done. */
bool sock_tls_info(struct sock *s, struct sock_tls_info *out);
/* Why it is ending, in words; valid until closed returns; "" when there is nothing to say. */
const char *sock_tls_error(struct sock *s);

/* The names in the other side's certificate, in the order in which they say who a client is: email
 * addresses, DNS names, URIs, then the subject ("CN=a,OU=b", RFC 2253). named returns true to stop:
 * then so does this. False: no certificate, or nobody stopped. */
bool sock_tls_names(struct sock *s, bool (*named)(void *ctx, const char *name), void *ctx);
