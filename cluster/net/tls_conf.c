/* tls_conf.c - see tls_conf.h.
 *
 * A generation is a set of contexts made from one state of the files: one per certificate for what
 * is accepted (the first has the callback that picks by the name asked for), one for what is
 * dialled. A connection's SSL holds a reference on its context, so a generation can go while its
 * connections live. */
#include "cluster/net/tls_conf.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cluster/net/tls_conf_impl.h"
#include "store/base/arena.h"
#include "store/base/err.h"
#include "store/base/logger.h"

#define TLS_CONF_PAIRS_MAX 64
#define TLS_CONF_TIMEOUT_NS (2 * NS_PER_S)
#define TLS_CONF_WARN_NS (24 * 3600 * NS_PER_S)

struct generation {
    SSL_CTX *accepts[TLS_CONF_PAIRS_MAX];
    size_t count;
    SSL_CTX *dials; /* NULL: it never does */
    int64_t expires_s;
};

struct tls_conf {
    struct env *env;
    const char *name;
    struct arena arena; /* of the options' texts */
    struct tls_conf_options o;
    struct generation now;
    uint64_t files;        /* a digest of what the files looked like when they were read */
    uint64_t failed_files; /* what was told to be unfit */
    struct env_timer watch;
    struct mono warned, second;
    uint64_t admitted; /* in this second */
    struct tls_conf_buffers buffers;
};

struct build {
    const struct tls_conf_options *o;
    char *error;
    size_t error_bytes;
};

/* ---- words for errors ---- */

static void build_error(struct build *b, const char *what, const char *which)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    snprintf(b->error, b->error_bytes, "%s%s%s%s%s", what, which == NULL ? "" : " ",
             which == NULL ? "" : which, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    ERR_clear_error();
}

void tls_conf_explain(SSL *ssl, char *out, size_t bytes)
{
    long verified = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (verified != X509_V_OK)
        snprintf(out, bytes, "certificate: %s", X509_verify_cert_error_string(verified));
    else
        snprintf(out, bytes, "%s", reason == NULL ? "connection closed" : reason);
    ERR_clear_error();
}

/* ---- options to a context ---- */

/* IANA's names; Go leaves the hash out of two of them. */
static const char *cipher_name(const char *name)
{
    char longer[96];
    const char *found = OPENSSL_cipher_name(name);
    if (strcmp(found, "(NONE)") != 0) return found;
    snprintf(longer, sizeof longer, "%s_SHA256", name);
    found = OPENSSL_cipher_name(longer);
    return strcmp(found, "(NONE)") != 0 ? found : NULL;
}

static int set_ciphers(struct build *b, SSL_CTX *ctx)
{
    char list[4096] = "", modern[512] = "";
    for (size_t i = 0; i < b->o->cipher_suites.count; i++) {
        const char *given = b->o->cipher_suites.at[i], *name = cipher_name(given);
        bool is_modern = name != NULL && strncmp(name, "TLS_", 4) == 0;
        char *to = is_modern ? modern : list;
        size_t room = is_modern ? sizeof modern : sizeof list, used = strlen(to);
        if (name == NULL || used + strlen(name) + 2 > room) {
            build_error(b, "unrecognized cipher", given);
            return E_INVAL;
        }
        snprintf(to + used, room - used, "%s%s", used == 0 ? "" : ":", name);
    }
    /* As in Go, the suites of TLS 1.3 stay when only older ones are named. */
    if (modern[0] != 0 && SSL_CTX_set_ciphersuites(ctx, modern) != 1) goto unfit;
    if (list[0] != 0 && SSL_CTX_set_cipher_list(ctx, list) != 1) goto unfit;
    return 0;
unfit:
    build_error(b, "cipher_suites:", list);
    return E_INVAL;
}

static const struct {
    const char *name, *openssl;
} curve_rows[] = {
    {"X25519", "X25519"},
    {"CurveP256", "P-256"},
    {"CurveP384", "P-384"},
    {"CurveP521", "P-521"},
};

static int set_curves(struct build *b, SSL_CTX *ctx)
{
    char list[256] = "";
    for (size_t i = 0; i < b->o->curve_preferences.count; i++) {
        const char *given = b->o->curve_preferences.at[i], *name = NULL;
        size_t used = strlen(list);
        for (size_t n = 0; n < ARRAY_COUNT(curve_rows); n++) {
            if (strcmp(given, curve_rows[n].name) == 0) name = curve_rows[n].openssl;
        }
        if (name == NULL || used + strlen(name) + 2 > sizeof list) {
            build_error(b, "unrecognized curve preference", given);
            return E_INVAL;
        }
        snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ":", name);
    }
    if (list[0] == 0) return 0;
    if (SSL_CTX_set1_groups_list(ctx, list) == 1) return 0;
    build_error(b, "curve_preferences", list);
    return E_INVAL;
}

static int set_version(struct build *b, SSL_CTX *ctx)
{
    const char *given = b->o->min_version;
    int version = TLS1_2_VERSION;
    if (given != NULL && strcmp(given, "1.3") == 0) {
        version = TLS1_3_VERSION;
    } else if (given != NULL && strcmp(given, "1.2") != 0) {
        build_error(b, "min_version must be \"1.2\" or \"1.3\", not", given);
        return E_INVAL;
    }
    SSL_CTX_set_min_proto_version(ctx, version);
    return 0;
}

static int set_pair(struct build *b, SSL_CTX *ctx, const struct tls_conf_pair *pair)
{
    if (pair->cert_file == NULL || pair->key_file == NULL) {
        build_error(b, "a certificate needs both cert_file and key_file", NULL);
    } else if (SSL_CTX_use_certificate_chain_file(ctx, pair->cert_file) != 1) {
        build_error(b, "error loading certificate", pair->cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, pair->key_file, SSL_FILETYPE_PEM) != 1) {
        build_error(b, "error loading private key", pair->key_file);
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        build_error(b, "the private key does not belong to", pair->cert_file);
    } else {
        return 0;
    }
    return E_INVAL;
}

/* An intermediate in ca_file is trusted as it stands, as in Go. */
static int set_authorities(struct build *b, SSL_CTX *ctx)
{
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (b->o->ca_file == NULL) {
        SSL_CTX_set_default_verify_paths(ctx);
        return 0;
    }
    if (SSL_CTX_load_verify_file(ctx, b->o->ca_file) != 1) {
        build_error(b, "error parsing CA certificates in", b->o->ca_file);
        return E_INVAL;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(b->o->ca_file);
    if (names != NULL) SSL_CTX_set_client_CA_list(ctx, names);
    ERR_clear_error();
    return 0;
}

static SSL_CTX *
make_context(struct build *b, const SSL_METHOD *method, const struct tls_conf_pair *pair)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);
    CHECK(ctx != NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    int rc = set_version(b, ctx);
    if (rc == 0) rc = set_ciphers(b, ctx);
    if (rc == 0) rc = set_curves(b, ctx);
    if (rc == 0) rc = set_authorities(b, ctx);
    if (rc == 0 && pair != NULL) rc = set_pair(b, ctx, pair);
    if (rc == 0) return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* ---- a generation ---- */

static void generation_free(struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        SSL_CTX_free(g->accepts[i]);
    SSL_CTX_free(g->dials);
    *g = (struct generation){0};
}

/* Which certificate has the name that the client asks for? */
static int on_server_name(SSL *ssl, int *alert, void *ctx)
{
    struct tls_conf *c = ctx;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (size_t i = 0; name != NULL && i < c->now.count; i++) {
        X509 *cert = SSL_CTX_get0_certificate(c->now.accepts[i]);
        if (X509_check_host(cert, name, 0, 0, NULL) != 1) continue;
        SSL_set_SSL_CTX(ssl, c->now.accepts[i]);
        break;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int64_t expiry_s(const SSL_CTX *ctx)
{
    struct tm end;
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1) return INT64_MAX;
    return timegm(&end);
}

static int generation_make(struct tls_conf *c, struct build *b, struct generation *g)
{
    const struct tls_conf_options *o = b->o;
    *g = (struct generation){.expires_s = INT64_MAX};
    if (o->pair_count == 0 || o->pair_count > TLS_CONF_PAIRS_MAX) {
        build_error(b, "missing certificate: set cert_file and key_file", NULL);
        return E_INVAL;
    }
    for (size_t i = 0; i < o->pair_count; i++) {
        SSL_CTX *ctx = make_context(b, TLS_server_method(), &o->pairs[i]);
        if (ctx == NULL) goto unfit;
        g->accepts[g->count++] = ctx;
        bool mutual = o->verify || o->verify_and_map || o->dials;
        int mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        SSL_CTX_set_verify(ctx, mutual ? mode : SSL_VERIFY_NONE, NULL);
        int64_t end_s = expiry_s(ctx);
        if (end_s < g->expires_s) g->expires_s = end_s;
    }
    SSL_CTX_set_tlsext_servername_callback(g->accepts[0], on_server_name);
    SSL_CTX_set_tlsext_servername_arg(g->accepts[0], c);
    if (!o->dials) return 0;
    g->dials = make_context(b, TLS_client_method(), &o->pairs[0]);
    if (g->dials == NULL) goto unfit;
    SSL_CTX_set_verify(g->dials, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return 0;
unfit:
    generation_free(g);
    return E_INVAL;
}

/* ---- the files ---- */

static uint64_t file_digest(uint64_t digest, const char *path)
{
    struct stat st = {0};
    if (path == NULL) return digest;
    bool there = stat(path, &st) == 0;
    const uint64_t facts[] = {there, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                              (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
    for (size_t i = 0; i < ARRAY_COUNT(facts); i++)
        digest = (digest ^ facts[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return digest;
}

/* Symbolic links are followed: a mounted secret is exchanged by turning one. */
static uint64_t files_digest(const struct tls_conf_options *o)
{
    uint64_t digest = file_digest(1, o->ca_file);
    for (size_t i = 0; i < o->pair_count; i++) {
        digest = file_digest(digest, o->pairs[i].cert_file);
        digest = file_digest(digest, o->pairs[i].key_file);
    }
    return digest;
}

static void warn_of_expiry(struct tls_conf *c)
{
    int days = tls_conf_days(c);
    struct mono now = env_mono(c->env);
    if (days >= TLS_CONF_EXPIRY_DAYS) return;
    if (c->warned.ns != 0 && now.ns - c->warned.ns < TLS_CONF_WARN_NS) return;
    c->warned = now;
    LOG_CODE(WRN, LOG_CERT_EXPIRY,
             days < 0 ? "The %s certificate has expired (%d days)"
                      : "The %s certificate expires in %d days",
             c->name, days);
}

static void on_watch(struct env_timer *t)
{
    struct tls_conf *c = CONTAINER_OF(t, struct tls_conf, watch);
    char error[512];
    uint64_t digest = files_digest(&c->o);
    if (digest != c->files) {
        struct build b = {.o = &c->o, .error = error, .error_bytes = sizeof error};
        struct generation next;
        if (generation_make(c, &b, &next) == 0) {
            generation_free(&c->now);
            c->now = next;
            c->files = digest;
            c->warned = (struct mono){0};
            LOG(INF, "Reloaded: %s certificates, %d days left", c->name, tls_conf_days(c));
        } else if (digest != c->failed_files) {
            /* A key that comes after its certificate changes the digest once more. */
            c->failed_files = digest;
            LOG_CODE(WRN, LOG_CERT_RELOAD, "%s TLS: %s; the certificate before stays in use",
                     c->name, error);
        }
    }
    warn_of_expiry(c);
    env_timer_start(&c->watch, TLS_CONF_WATCH_NS);
}

void tls_conf_watch(struct tls_conf *c)
{
    warn_of_expiry(c);
    env_timer_start(&c->watch, TLS_CONF_WATCH_NS);
}

/* ---- life ---- */

static const char *keep(struct arena *a, const char *text)
{
    return text == NULL ? NULL : arena_string(a, text_of(text));
}

static struct tls_conf_texts keep_texts(struct arena *a, struct tls_conf_texts t)
{
    const char **at = arena_alloc(a, (t.count + 1) * sizeof *at);
    for (size_t i = 0; i < t.count; i++)
        at[i] = keep(a, t.at[i]);
    return (struct tls_conf_texts){.at = at, .count = t.count};
}

static void keep_options(struct tls_conf *c, const struct tls_conf_options *o)
{
    struct arena arena = {0};
    struct tls_conf_options mine = *o;
    struct tls_conf_pair *pairs = arena_alloc(&arena, (o->pair_count + 1) * sizeof *pairs);
    for (size_t i = 0; i < o->pair_count; i++) {
        pairs[i].cert_file = keep(&arena, o->pairs[i].cert_file);
        pairs[i].key_file = keep(&arena, o->pairs[i].key_file);
    }
    mine.pairs = pairs;
    mine.ca_file = keep(&arena, o->ca_file);
    mine.min_version = keep(&arena, o->min_version);
    mine.cipher_suites = keep_texts(&arena, o->cipher_suites);
    mine.curve_preferences = keep_texts(&arena, o->curve_preferences);
    mine.pinned_certs = keep_texts(&arena, o->pinned_certs);
    if (mine.timeout_ns == 0) mine.timeout_ns = TLS_CONF_TIMEOUT_NS;
    arena_free(&c->arena);
    c->arena = arena;
    c->o = mine;
}

static int check_pins(struct build *b)
{
    for (size_t i = 0; i < b->o->pinned_certs.count; i++) {
        const char *pin = b->o->pinned_certs.at[i];
        if (strlen(pin) == 64 && strspn(pin, "0123456789abcdefABCDEF") == 64) continue;
        ERR_clear_error();
        build_error(b, "pinned_certs: not a SHA-256 in hex:", pin);
        return E_INVAL;
    }
    return 0;
}

int tls_conf_reload(struct tls_conf *c, const struct tls_conf_options *o, char *error, size_t bytes)
{
    struct build b = {.o = o, .error = error, .error_bytes = bytes};
    struct generation next;
    uint64_t digest = files_digest(o);
    int rc = check_pins(&b);
    if (rc == 0) rc = generation_make(c, &b, &next);
    if (rc != 0) return rc;
    generation_free(&c->now);
    c->now = next;
    c->files = digest;
    c->warned = (struct mono){0};
    keep_options(c, o);
    return 0;
}

int tls_conf_new(struct env *env,
                 const char *name,
                 const struct tls_conf_options *o,
                 struct tls_conf **out,
                 char *error,
                 size_t error_bytes)
{
    struct tls_conf *c = check_alloc(sizeof *c);
    c->env = env;
    c->name = name;
    env_timer_init(env, &c->watch, on_watch);
    int rc = tls_conf_reload(c, o, error, error_bytes);
    if (rc == 0) {
        *out = c;
    } else {
        tls_conf_free(c);
    }
    return rc;
}

void tls_conf_free(struct tls_conf *c)
{
    if (c == NULL) return;
    env_timer_stop(&c->watch);
    generation_free(&c->now);
    arena_free(&c->arena);
    free(c);
}

/* ---- what others ask ---- */

int tls_conf_days(const struct tls_conf *c)
{
    int64_t left_s = c->now.expires_s - env_wall_ns(c->env) / (int64_t)NS_PER_S;
    int64_t days = left_s / 86400 - (left_s < 0);
    return days > INT32_MAX ? INT32_MAX : (int)days;
}

uint64_t tls_conf_timeout_ns(const struct tls_conf *c)
{
    return c->o.timeout_ns;
}

bool tls_conf_verifies(const struct tls_conf *c)
{
    return c->o.verify || c->o.verify_and_map || c->o.dials;
}

bool tls_conf_maps(const struct tls_conf *c)
{
    return c->o.verify_and_map;
}

bool tls_conf_first(const struct tls_conf *c, uint64_t *wait_ns)
{
    *wait_ns = c->o.first_wait_ns;
    return c->o.handshake_first;
}

bool tls_conf_admit(struct tls_conf *c)
{
    struct mono now = env_mono(c->env);
    if (c->o.rate_max == 0) return true;
    if (now.ns - c->second.ns >= NS_PER_S) {
        c->second = now;
        c->admitted = 0;
    }
    return c->admitted++ < c->o.rate_max;
}

/* ---- for sock_tls.c ---- */

struct tls_conf_buffers *tls_conf_buffers(struct tls_conf *c)
{
    return &c->buffers;
}

struct env *tls_conf_env(struct tls_conf *c)
{
    return c->env;
}

static bool is_address(const char *host)
{
    ASN1_OCTET_STRING *bytes = a2i_IPADDRESS(host);
    ASN1_OCTET_STRING_free(bytes);
    ERR_clear_error();
    return bytes != NULL;
}

SSL *tls_conf_session(struct tls_conf *c, const char *host)
{
    CHECK(host == NULL || c->now.dials != NULL);
    SSL *ssl = SSL_new(host == NULL ? c->now.accepts[0] : c->now.dials);
    CHECK(ssl != NULL);
    if (host == NULL) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    bool address = is_address(host);
    if (!address) SSL_set_tlsext_host_name(ssl, host);
    if (c->o.insecure) return ssl;
    int ok = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
                     : SSL_set1_host(ssl, host);
    CHECK(ok == 1);
    return ssl;
}

bool tls_conf_pinned(const struct tls_conf *c, SSL *ssl)
{
    unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
    unsigned digest_bytes = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    if (c->o.pinned_certs.count == 0) return true;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL) return false;
    int der_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = der_bytes > 0 &&
              EVP_Digest(der, (size_t)der_bytes, digest, &digest_bytes, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    for (unsigned i = 0; ok && i < digest_bytes; i++)
        snprintf(hex + i * 2, 3, "%02x", digest[i]);
    for (size_t i = 0; ok && i < c->o.pinned_certs.count; i++) {
        if (strcasecmp(hex, c->o.pinned_certs.at[i]) == 0) return true;
    }
    return false;
}
