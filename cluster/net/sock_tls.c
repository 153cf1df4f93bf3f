/* sock_tls.c - OpenSSL between two socks. A BIO of our own reads from what the sock below has just
 * brought and writes straight to it; only what the kernel doesn't take is kept, and no new record
 * is made while something is.
 *
 *   HANDSHAKE -> OPEN -> ENDING (the last bytes wait for the kernel) -> CLOSED
 *       \___________\______________________________________________/
 *
 * In: below reads into the loop's shared buffer -> SSL_read into the owner's buffer. When the owner
 * pauses, what OpenSSL hasn't taken is kept in memory of the connection's own and below isn't read.
 * Out: parts of the owner become records of up to 16 KiB; small ones are gathered first. */
#include "cluster/net/sock_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/net/tls_conf_impl.h"
#include "store/base/err.h"

#define GATHER_BYTES 4096 /* a part from here on is a record of its own */
#define ENDING_NS (2 * NS_PER_S)

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDING, TLS_CLOSED };

struct sock_tls {
    struct sock sock; /* first */
    struct sock *below;
    struct tls_conf *conf;
    SSL *ssl;
    enum tls_state state;
    const uint8_t *in; /* came from below, not yet OpenSSL's */
    size_t in_bytes;
    uint8_t *kept; /* where in points when the owner pauses; else NULL */
    uint8_t *out;  /* records that the kernel didn't take yet */
    size_t out_at, out_bytes;
    bool paused;   /* the owner had no room */
    bool pumping;  /* reading for the owner: not again from inside */
    bool short_of; /* a write took less than all: drained is due */
    bool broken;   /* OpenSSL says that nothing more may be done with it */
    bool spoke;    /* something of ours went below */
    bool decided;  /* rc is what closed will tell */
    int rc;
    struct env_defer turn;
    struct env_timer timer;
    const char *last_words;
    void (*ready)(struct sock *s);
    char error[160];
};

static struct sock_tls *tls_of(struct sock *s)
{
    return CONTAINER_OF(s, struct sock_tls, sock);
}

/* ---- ends ---- */

static void tls_close_below(struct sock_tls *t)
{
    if (t->state == TLS_CLOSED) return;
    t->state = TLS_CLOSED;
    env_timer_stop(&t->timer);
    t->below->ops->close(t->below);
}

static void tls_decide(struct sock_tls *t, int rc)
{
    if (t->decided) return;
    t->decided = true;
    t->rc = rc;
}

static void tls_fail(struct sock_tls *t, int rc)
{
    if (t->state >= TLS_ENDING) return;
    tls_decide(t, rc);
    if (t->error[0] == 0) tls_conf_explain(t->ssl, t->error, sizeof t->error);
    t->broken = true;
    tls_close_below(t);
}

/* close_notify, once what was written before it is on its way. */
static void tls_goodbye(struct sock_tls *t)
{
    if (t->state == TLS_OPEN && !t->broken) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl);
        if (t->out_bytes != 0) {
            t->state = TLS_ENDING;
            env_timer_start(&t->timer, ENDING_NS);
            t->below->ops->resume(t->below);
            return;
        }
    }
    tls_close_below(t);
}

/* ---- the BIO: OpenSSL's view of the sock below ---- */

static int bio_read(BIO *bio, char *to, int room)
{
    struct sock_tls *t = BIO_get_data(bio);
    size_t bytes = t->in_bytes < (size_t)room ? t->in_bytes : (size_t)room;
    BIO_clear_retry_flags(bio);
    if (bytes == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, t->in, bytes);
    t->in += bytes;
    t->in_bytes -= bytes;
    return (int)bytes;
}

/* Keeps what the kernel didn't take. Bounded: no record is begun while something is kept, and a
 * handshake's flight is what it is. */
static void out_keep(struct sock_tls *t, const char *at, size_t bytes)
{
    t->out = check_realloc(t->out, t->out_at + t->out_bytes + bytes);
    memcpy(t->out + t->out_at + t->out_bytes, at, bytes);
    t->out_bytes += bytes;
}

static int bio_write(BIO *bio, const char *at, int count)
{
    struct sock_tls *t = BIO_get_data(bio);
    size_t bytes = (size_t)count, took = 0;
    BIO_clear_retry_flags(bio);
    t->spoke = true;
    if (t->out_bytes == 0) {
        struct sock_part part = {.at = at, .bytes = bytes};
        ptrdiff_t n = t->below->ops->write(t->below, &part, 1);
        if (n < 0) return -1;
        took = (size_t)n;
    }
    if (took < bytes) out_keep(t, at + took, bytes - took);
    return count;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* One for the process; never freed, as OpenSSL's own aren't. */
static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    if (method != NULL) return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sock");
    CHECK(method != NULL);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

/* ---- in ---- */

/* False: it isn't done yet, or failed. */
static bool tls_handshake(struct sock_tls *t)
{
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n != 1) {
        int why = SSL_get_error(t->ssl, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) tls_fail(t, E_DENIED);
        return false;
    }
    if (!tls_conf_pinned(t->conf, t->ssl)) {
        snprintf(t->error, sizeof t->error, "certificate: its key is not one of pinned_certs");
        tls_fail(t, E_DENIED);
        return false;
    }
    t->state = TLS_OPEN;
    env_timer_stop(&t->timer);
    if (t->ready != NULL) t->ready(&t->sock);
    if (t->state == TLS_OPEN && t->short_of && t->out_bytes == 0) {
        t->short_of = false;
        t->sock.events->drained(&t->sock);
    }
    return t->state == TLS_OPEN;
}

static void tls_read_ended(struct sock_tls *t, int n)
{
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return;
    case SSL_ERROR_ZERO_RETURN:
        tls_decide(t, 0);
        tls_goodbye(t);
        return;
    default:
        tls_fail(t, E_NET);
    }
}

/* As far as it goes: to the end of what came, or until the owner has no room. */
static void tls_pump(struct sock_tls *t)
{
    if (t->pumping) return;
    t->pumping = true;
    bool open = t->state == TLS_OPEN || (t->state == TLS_HANDSHAKE && tls_handshake(t));
    while (open && t->state == TLS_OPEN && !t->paused) {
        size_t room = 0;
        void *to = t->sock.events->room(&t->sock, &room);
        if (t->state != TLS_OPEN) break;
        if (room == 0) {
            t->paused = true;
            break;
        }
        ERR_clear_error();
        int n = SSL_read(t->ssl, to, room > INT32_MAX ? INT32_MAX : (int)room);
        if (n <= 0) {
            tls_read_ended(t, n);
            break;
        }
        t->sock.events->data(&t->sock, (size_t)n);
    }
    t->pumping = false;
}

static void *below_room(struct sock *below, size_t *bytes)
{
    struct sock_tls *t = below->owner;
    *bytes = TLS_CONF_IN_BYTES;
    if (t->state <= TLS_OPEN && (t->paused || t->kept != NULL)) *bytes = 0;
    return tls_conf_buffers(t->conf)->in;
}

static void below_data(struct sock *below, size_t bytes)
{
    struct sock_tls *t = below->owner;
    if (t->state >= TLS_ENDING) return; /* read, so that the end isn't a reset, and dropped */
    t->in = tls_conf_buffers(t->conf)->in;
    t->in_bytes = bytes;
    tls_pump(t);
    if (t->in_bytes == 0 || t->state >= TLS_ENDING) {
        t->in_bytes = 0;
        return;
    }
    CHECK(t->kept == NULL);
    t->kept = check_alloc(t->in_bytes);
    memcpy(t->kept, t->in, t->in_bytes);
    t->in = t->kept;
}

static void tls_turn(struct env_defer *d)
{
    struct sock_tls *t = CONTAINER_OF(d, struct sock_tls, turn);
    if (t->state != TLS_OPEN) return;
    tls_pump(t);
    if (t->state != TLS_OPEN || t->paused) return;
    CHECK_EQ(t->in_bytes, 0);
    free(t->kept);
    t->kept = NULL;
    t->below->ops->resume(t->below);
}

/* Not from here: the owner may be in the middle of a delivery. */
static void tls_resume(struct sock *s)
{
    struct sock_tls *t = tls_of(s);
    t->paused = false;
    if (t->state == TLS_OPEN) env_defer(tls_conf_env(t->conf), &t->turn);
}

/* ---- out ---- */

/* The kernel takes what is kept. True: nothing is any more. */
static bool tls_flush(struct sock_tls *t)
{
    while (t->out_bytes != 0) {
        struct sock_part part = {.at = t->out + t->out_at, .bytes = t->out_bytes};
        ptrdiff_t n = t->below->ops->write(t->below, &part, 1);
        if (n <= 0) return false;
        t->out_at += (size_t)n;
        t->out_bytes -= (size_t)n;
    }
    free(t->out);
    t->out = NULL;
    t->out_at = 0;
    return true;
}

static void below_drained(struct sock *below)
{
    struct sock_tls *t = below->owner;
    if (t->state == TLS_CLOSED || !tls_flush(t)) return;
    if (t->state == TLS_ENDING) {
        tls_close_below(t);
    } else if (t->state == TLS_OPEN && t->short_of) {
        t->short_of = false;
        t->sock.events->drained(&t->sock);
    }
}

/* What one record is made of: part `index` from `skip` on. A large part is taken as it is, small
 * ones are gathered. */
static struct sock_part
record_of(struct sock_tls *t, const struct sock_part *parts, size_t count, size_t skip)
{
    uint8_t *gather = tls_conf_buffers(t->conf)->gather;
    size_t used = 0;
    const uint8_t *at = parts[0].at;
    if (count == 1 || parts[0].bytes - skip >= GATHER_BYTES) {
        size_t bytes = parts[0].bytes - skip;
        if (bytes > TLS_CONF_RECORD_BYTES) bytes = TLS_CONF_RECORD_BYTES;
        return (struct sock_part){.at = at + skip, .bytes = bytes};
    }
    for (size_t i = 0; i < count && used < TLS_CONF_RECORD_BYTES; i++, skip = 0) {
        size_t bytes = parts[i].bytes - skip;
        if (bytes > TLS_CONF_RECORD_BYTES - used) bytes = TLS_CONF_RECORD_BYTES - used;
        if (bytes != 0) memcpy(gather + used, (const uint8_t *)parts[i].at + skip, bytes);
        used += bytes;
    }
    return (struct sock_part){.at = gather, .bytes = used};
}

static ptrdiff_t tls_write(struct sock *s, const struct sock_part *parts, size_t count)
{
    struct sock_tls *t = tls_of(s);
    size_t total = 0, taken = 0, skip = 0;
    if (t->state >= TLS_ENDING || t->broken) return E_NET;
    for (size_t i = 0; i < count; i++)
        total += parts[i].bytes;
    while (taken < total && t->state == TLS_OPEN && t->out_bytes == 0) {
        for (; skip == parts->bytes; parts++, count--)
            skip = 0;
        struct sock_part record = record_of(t, parts, count, skip);
        ERR_clear_error();
        int n = SSL_write(t->ssl, record.at, (int)record.bytes);
        if (n <= 0) {
            tls_fail(t, E_NET);
            return E_NET;
        }
        taken += (size_t)n;
        for (skip += (size_t)n; count > 1 && skip >= parts->bytes; parts++, count--)
            skip -= parts->bytes;
    }
    if (taken < total) t->short_of = true;
    return (ptrdiff_t)taken;
}

static void tls_close(struct sock *s)
{
    struct sock_tls *t = tls_of(s);
    if (t->state >= TLS_ENDING) return;
    tls_decide(t, E_CANCELED);
    tls_goodbye(t);
}

/* ---- life ---- */

static void tls_timeout(struct env_timer *timer)
{
    struct sock_tls *t = CONTAINER_OF(timer, struct sock_tls, timer);
    if (t->state == TLS_HANDSHAKE) {
        struct sock_part part = {.at = t->last_words,
                                 .bytes = t->last_words == NULL ? 0 : strlen(t->last_words)};
        snprintf(t->error, sizeof t->error, "timeout");
        if (part.bytes != 0 && !t->spoke) (void)t->below->ops->write(t->below, &part, 1);
        tls_decide(t, E_AGAIN);
    }
    tls_close_below(t);
}

static void below_closed(struct sock *below, int rc, bool reset)
{
    struct sock_tls *t = below->owner;
    if (t->state == TLS_HANDSHAKE && t->error[0] == 0)
        snprintf(t->error, sizeof t->error, "connection closed");
    t->state = TLS_CLOSED;
    env_timer_stop(&t->timer);
    list_remove(&t->turn.node);
    if (t->sock.events != NULL) t->sock.events->closed(&t->sock, t->decided ? t->rc : rc, reset);
    SSL_free(t->ssl);
    free(t->kept);
    free(t->out);
    free(t);
}

static const struct sock_events below_events = {.data = below_data,
                                                .room = below_room,
                                                .drained = below_drained,
                                                .closed = below_closed};

static void tls_peer_text(struct sock *s, char *out, size_t bytes)
{
    struct sock_tls *t = tls_of(s);
    t->below->ops->peer_text(t->below, out, bytes);
}

static void tls_local_text(struct sock *s, char *out, size_t bytes)
{
    struct sock_tls *t = tls_of(s);
    t->below->ops->local_text(t->below, out, bytes);
}

static const struct sock_ops sock_tls_ops = {
    .write = tls_write,
    .resume = tls_resume,
    .close = tls_close,
    .peer_text = tls_peer_text,
    .local_text = tls_local_text,
};

struct sock *sock_tls_new(struct sock *below, const struct sock_tls_options *o)
{
    struct sock_tls *t = check_alloc(sizeof *t);
    BIO *bio = BIO_new(bio_method());
    CHECK(bio != NULL);
    *t = (struct sock_tls){.sock = {.ops = &sock_tls_ops},
                           .below = below,
                           .conf = o->conf,
                           .ssl = tls_conf_session(o->conf, o->host),
                           .in = o->first,
                           .in_bytes = o->first_bytes,
                           .last_words = o->last_words,
                           .turn = {.cb = tls_turn}};
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    below->owner = t;
    below->events = &below_events;
    env_timer_init(tls_conf_env(o->conf), &t->timer, tls_timeout);
    env_timer_start(&t->timer, o->timeout_ns != 0 ? o->timeout_ns : tls_conf_timeout_ns(o->conf));
    /* A client says hello; a server takes the first bytes, which are too few for an end of any
     * kind. What goes wrong here is told by below's end. */
    ERR_clear_error();
    CHECK(SSL_do_handshake(t->ssl) != 1);
    ERR_clear_error();
    CHECK_EQ(t->in_bytes, 0);
    t->ready = o->ready;
    return &t->sock;
}

bool sock_tls_info(struct sock *s, struct sock_tls_info *out)
{
    if (s == NULL || s->ops != &sock_tls_ops || tls_of(s)->state == TLS_HANDSHAKE) return false;
    const SSL *ssl = tls_of(s)->ssl;
    const char *cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
    out->version = SSL_version(ssl) == TLS1_3_VERSION ? "1.3" : "1.2";
    out->cipher = cipher == NULL ? "" : cipher;
    return true;
}

const char *sock_tls_error(struct sock *s)
{
    return s == NULL || s->ops != &sock_tls_ops ? "" : tls_of(s)->error;
}

/* ---- names in a certificate ---- */

struct names {
    bool (*named)(void *ctx, const char *name);
    void *ctx;
};

/* A name with a NUL inside is nobody's: it would read as a shorter one. */
static bool tell(const struct names *n, const ASN1_STRING *text)
{
    char name[512];
    int bytes = ASN1_STRING_length(text);
    const unsigned char *at = ASN1_STRING_get0_data(text);
    if (bytes <= 0 || bytes >= (int)sizeof name || memchr(at, 0, (size_t)bytes) != NULL)
        return false;
    memcpy(name, at, (size_t)bytes);
    name[bytes] = 0;
    return n->named(n->ctx, name);
}

static bool tell_alternatives(const struct names *n, const GENERAL_NAMES *all, int type)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type == type && tell(n, name->d.ia5)) return true;
    }
    return false;
}

static bool tell_subject(const struct names *n, const X509 *cert)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool found = false;
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    if (out != NULL && X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, flags) >= 0) {
        BIO_write(out, "", 1);
        if (BIO_get_mem_data(out, &text) > 1) found = n->named(n->ctx, text);
    }
    BIO_free(out);
    return found;
}

bool sock_tls_names(struct sock *s, bool (*named)(void *ctx, const char *name), void *ctx)
{
    static const int types[] = {GEN_EMAIL, GEN_DNS, GEN_URI};
    const struct names n = {.named = named, .ctx = ctx};
    bool found = false;
    if (s == NULL || s->ops != &sock_tls_ops) return false;
    X509 *cert = SSL_get0_peer_certificate(tls_of(s)->ssl);
    if (cert == NULL) return false;
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(types) && !found && all != NULL; i++)
        found = tell_alternatives(&n, all, types[i]);
    GENERAL_NAMES_free(all);
    return found || tell_subject(&n, cert);
}
