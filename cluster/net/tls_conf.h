/* tls_conf.h - certificates and rules of TLS for one listener or for cluster links, as OpenSSL
 * contexts that can be exchanged while running.
 *
 * Connections keep the context they were made with; a reload, or files that changed on disk (a
 * renewed certificate), concern those to come. What can't be loaded leaves the old one in place.
 * No session tickets: who was let in once is verified again. Thread: loop.
 * Source: protocol reference, 3.2 and 14.3. */
#pragma once

#include "store/base/env.h"

#define TLS_CONF_WATCH_NS (5 * NS_PER_S) /* between two looks at the files */
#define TLS_CONF_EXPIRY_DAYS 14          /* left to a certificate when the log begins to warn */

struct tls_conf;
struct tls_conf_pair {
    const char *cert_file, *key_file;
};
struct tls_conf_texts {
    const char *const *at;
    size_t count;
};
/* Borrowed for the call. */
struct tls_conf_options {
    const struct tls_conf_pair *pairs; /* the first serves who asks for no name that another has */
    size_t pair_count;
    const char *ca_file;         /* NULL: the system's */
    bool verify, verify_and_map; /* a client must show a certificate; it says which user that is */
    bool dials;                  /* also connects, with the first pair: cluster links */
    bool insecure;               /* whom it dials isn't verified */
    const char *min_version;     /* "1.2" (NULL too) or "1.3" */
    struct tls_conf_texts cipher_suites, curve_preferences; /* IANA's and Go's names; none: all */
    struct tls_conf_texts pinned_certs; /* SHA-256 of public keys, hex; none: any */
    uint64_t timeout_ns;                /* of a handshake; 0: 2 s */
    uint64_t rate_max;                  /* handshakes a second; 0: any number */
    bool handshake_first;               /* no INFO in clear before it ... */
    uint64_t first_wait_ns; /* ... unless the client is silent for so long; 0: for ever */
};

/* name: what the log calls it ("client", "cluster"). error: which file and why. E_INVAL. */
NODISCARD int tls_conf_new(struct env *env,
                           const char *name,
                           const struct tls_conf_options *o,
                           struct tls_conf **out,
                           char *error,
                           size_t error_bytes);
/* No connection may be left. NULL is harmless. */
void tls_conf_free(struct tls_conf *c);
/* Other options, or the same files read again. E_INVAL: all stays as it was. */
NODISCARD int tls_conf_reload(struct tls_conf *c,
                              const struct tls_conf_options *o,
                              char *error,
                              size_t error_bytes);
/* Looks at the files from time to time, until tls_conf_free. */
void tls_conf_watch(struct tls_conf *c);
/* Until the first of the own certificates expires; negative when one has. */
int tls_conf_days(const struct tls_conf *c);
uint64_t tls_conf_timeout_ns(const struct tls_conf *c);
bool tls_conf_verifies(const struct tls_conf *c);
bool tls_conf_maps(const struct tls_conf *c);
/* *wait_ns: for how long the INFO waits for a handshake, 0: for ever. */
bool tls_conf_first(const struct tls_conf *c, uint64_t *wait_ns);
/* May another handshake begin in this second? Counts it. */
bool tls_conf_admit(struct tls_conf *c);
