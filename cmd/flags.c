/* flags.c - see flags.h. */
#include "cmd/flags.h"

#include <string.h>

#include "cmd/conf.h"
#include "cmd/conf_lex.h"
#include "store/base/err.h"

enum flag_kind {
    FLAG_VALUE,  /* takes one */
    FLAG_SWITCH, /* true, or what follows '=' */
    FLAG_ACTION, /* sets f->action */
    FLAG_CONFIG, /* -c */
    FLAG_SIGNAL, /* -sl */
    FLAG_TLS,    /* --tls */
};

struct flag {
    const char *group; /* a heading before it; NULL: none */
    const char *names; /* "p|port" */
    enum flag_kind kind;
    const char *paths; /* of the config, separated by commas */
    enum flags_action action;
    const char *value, *help; /* for the usage; help NULL: an alias that isn't shown */
};

/* clang-format off */
static const struct flag flag_rows[] = {
    /* group              names                      kind         config                              action          value     help */
    {"Server Options",    "a|addr|net",              FLAG_VALUE,  "host",                             FLAGS_RUN,      "<host>",  "Bind to host address (default: 0.0.0.0)"},
    {NULL,                "p|port",                  FLAG_VALUE,  "port",                             FLAGS_RUN,      "<port>",  "Use port for clients (default: 4222, -1: any free one)"},
    {NULL,                "n|name|server_name",      FLAG_VALUE,  "server_name",                      FLAGS_RUN,      "<name>",  "Server name (default: made up)"},
    {NULL,                "P|pid",                   FLAG_VALUE,  "pid_file",                         FLAGS_RUN,      "<file>",  "File to store the process id in"},
    {NULL,                "m|http_port",             FLAG_VALUE,  "http_port",                        FLAGS_RUN,      "<port>",  "Use port for HTTP monitoring"},
    {NULL,                "ms|https_port",           FLAG_VALUE,  "https_port",                       FLAGS_RUN,      "<port>",  "Accepted; monitoring is plain HTTP"},
    {NULL,                "c|config",                FLAG_CONFIG, NULL,                               FLAGS_RUN,      "<file>",  "Configuration file"},
    {NULL,                "t",                       FLAG_ACTION, NULL,                               FLAGS_TEST,     NULL,      "Test the configuration and exit"},
    {NULL,                "sl|signal",               FLAG_SIGNAL, NULL,                               FLAGS_SIGNAL,   "<signal>[=<pid>]", "Send a signal to a running server: ldm, stop, quit, term, reopen, reload"},
    {NULL,                "client_advertise",        FLAG_VALUE,  "client_advertise",                 FLAGS_RUN,      "<host:port>", "Address that clients are told"},
    {NULL,                "ports_file_dir",          FLAG_VALUE,  "ports_file_dir",                   FLAGS_RUN,      "<dir>",   "Folder for a file that lists the ports in use"},
    {"Logging Options",   "l|log",                   FLAG_VALUE,  "log_file",                         FLAGS_RUN,      "<file>",  "File to write the log to"},
    {NULL,                "T|logtime",               FLAG_SWITCH, "logtime",                          FLAGS_RUN,      NULL,      "Timestamp log entries (default: true)"},
    {NULL,                "logtime_utc",             FLAG_SWITCH, "logtime_utc",                      FLAGS_RUN,      NULL,      "Timestamps in UTC instead of local time"},
    {NULL,                "s|syslog",                FLAG_SWITCH, "syslog",                           FLAGS_RUN,      NULL,      "Accepted; lines go to stderr or the log file"},
    {NULL,                "r|remote_syslog",         FLAG_VALUE,  "remote_syslog",                    FLAGS_RUN,      "<addr>",  "Accepted; lines go to stderr or the log file"},
    {NULL,                "D|debug",                 FLAG_SWITCH, "debug",                            FLAGS_RUN,      NULL,      "Enable debugging output"},
    {NULL,                "V|trace",                 FLAG_SWITCH, "trace",                            FLAGS_RUN,      NULL,      "Trace the raw protocol"},
    {NULL,                "VV",                      FLAG_SWITCH, "trace,trace_verbose",              FLAGS_RUN,      NULL,      "Verbose trace"},
    {NULL,                "DV",                      FLAG_SWITCH, "debug,trace",                      FLAGS_RUN,      NULL,      "Debug and trace"},
    {NULL,                "DVV",                     FLAG_SWITCH, "debug,trace,trace_verbose",        FLAGS_RUN,      NULL,      "Debug and verbose trace"},
    {NULL,                "log_size_limit",          FLAG_VALUE,  "logfile_size_limit",               FLAGS_RUN,      "<bytes>", "Rotate the log file beyond (default: never)"},
    {NULL,                "max_traced_msg_len",      FLAG_VALUE,  "max_traced_msg_len",               FLAGS_RUN,      "<n>",     "Accepted; payloads are never written to the log"},
    {"JetStream Options", "js|jetstream",            FLAG_SWITCH, "jetstream.enabled",                FLAGS_RUN,      NULL,      "Enable JetStream"},
    {NULL,                "sd|store_dir",            FLAG_VALUE,  "jetstream.store_dir",              FLAGS_RUN,      "<dir>",   "Folder for its data, below <dir>/jetstream"},
    {"Authorization Options", "user",                FLAG_VALUE,  "authorization.user",               FLAGS_RUN,      "<user>",  "User required for connections"},
    {NULL,                "pass",                    FLAG_VALUE,  "authorization.password",           FLAGS_RUN,      "<password>", "Password required for connections, plain or bcrypt"},
    {NULL,                "auth",                    FLAG_VALUE,  "authorization.token",              FLAGS_RUN,      "<token>", "Token required for connections"},
    {"TLS Options",       "tls",                     FLAG_TLS,    NULL,                               FLAGS_RUN,      NULL,      "Enable TLS, do not verify clients"},
    {NULL,                "tlscert",                 FLAG_VALUE,  "tls.cert_file",                    FLAGS_RUN,      "<file>",  "Server certificate"},
    {NULL,                "tlskey",                  FLAG_VALUE,  "tls.key_file",                     FLAGS_RUN,      "<file>",  "Private key of the certificate"},
    {NULL,                "tlsverify",               FLAG_SWITCH, "tls.verify",                       FLAGS_RUN,      NULL,      "Enable TLS, verify client certificates"},
    {NULL,                "tlscacert",               FLAG_VALUE,  "tls.ca_file",                      FLAGS_RUN,      "<file>",  "Certificate authority for client certificates"},
    {"Cluster Options",   "routes",                  FLAG_VALUE,  "cluster.routes",                   FLAGS_RUN,      "<url, url>", "Nodes to connect to"},
    {NULL,                "cluster|cluster_listen",  FLAG_VALUE,  "cluster.listen",                   FLAGS_RUN,      "<url>",   "Where to listen for the other nodes"},
    {NULL,                "cluster_name",            FLAG_VALUE,  "cluster.name",                     FLAGS_RUN,      "<name>",  "Cluster name"},
    {NULL,                "no_advertise",            FLAG_SWITCH, "cluster.no_advertise",             FLAGS_RUN,      NULL,      "Do not tell clients about other nodes"},
    {NULL,                "cluster_advertise",       FLAG_VALUE,  "cluster.advertise",                FLAGS_RUN,      "<host:port>", "Address that other nodes are told"},
    {NULL,                "connect_retries",         FLAG_VALUE,  "cluster.connect_retries",          FLAGS_RUN,      "<n>",     "Connection attempts to a route"},
    {"Profiling Options", "profile",                 FLAG_VALUE,  "prof_port",                        FLAGS_RUN,      "<port>",  "Accepted; there is no profiling port"},
    {"Common Options",    "h|help",                  FLAG_ACTION, NULL,                               FLAGS_HELP,     NULL,      "Show this text"},
    {NULL,                "v|version",               FLAG_ACTION, NULL,                               FLAGS_VERSION,  NULL,      "Show the version"},
    {NULL,                "help_tls",                FLAG_ACTION, NULL,                               FLAGS_HELP_TLS, NULL,      "TLS help"},
};
/* clang-format on */

static bool has_name(const struct flag *flag, const char *name, size_t bytes)
{
    for (const char *at = flag->names;; at++) {
        size_t length = strcspn(at, "|");
        if (length == bytes && strncmp(at, name, bytes) == 0) return true;
        at += length;
        if (*at == 0) return false;
    }
}

static const struct flag *find(const char *name, size_t bytes)
{
    for (const struct flag *flag = flag_rows; flag < ARRAY_END(flag_rows); flag++) {
        if (has_name(flag, name, bytes)) return flag;
    }
    return NULL;
}

static int fail(struct flags *f, const char *text, const char *name, size_t bytes)
{
    snprintf(f->error, sizeof f->error, "%s: -%.*s", text, (int)bytes, name);
    return E_INVAL;
}

/* "true" or "false"; NULL: it is neither. */
static const char *switch_text(const char *value)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(value, yes[i]) == 0) return "true";
        if (strcmp(value, no[i]) == 0) return "false";
    }
    return NULL;
}

static int
add_setting(struct flags *f, const struct flag *flag, const char *value, const char *origin)
{
    if (f->setting_count == FLAGS_SETTINGS_MAX) {
        snprintf(f->error, sizeof f->error, "too many flags");
        return E_INVAL;
    }
    f->settings[f->setting_count++] =
        (struct flags_setting){.path = flag->paths, .value = value, .origin = origin};
    return 0;
}

static int take(struct flags *f, const struct flag *flag, const char *value, const char *origin)
{
    const char *on = "true";
    bool is_switch =
        flag->kind == FLAG_SWITCH || flag->kind == FLAG_ACTION || flag->kind == FLAG_TLS;
    if (is_switch && value != NULL) {
        on = switch_text(value);
        if (on == NULL) {
            snprintf(f->error, sizeof f->error, "invalid boolean value \"%s\" for %s", value,
                     origin);
            return E_INVAL;
        }
    }
    switch (flag->kind) {
    case FLAG_VALUE:
        return add_setting(f, flag, value, origin);
    case FLAG_SWITCH:
        return add_setting(f, flag, on, origin);
    case FLAG_ACTION:
        if (strcmp(on, "true") == 0) f->action = flag->action;
        return 0;
    case FLAG_CONFIG:
        f->config = value;
        return 0;
    case FLAG_SIGNAL:
        f->signal = value;
        f->action = FLAGS_SIGNAL;
        return 0;
    case FLAG_TLS:
        f->tls = strcmp(on, "true") == 0;
        return 0;
    }
    return 0;
}

/* One argument that begins with a dash; *at moves on when it takes the next as its value. */
static int parse_flag(struct flags *f, int argc, char **argv, int *at)
{
    const char *origin = argv[*at];
    const char *name = origin + (origin[1] == '-' ? 2 : 1);
    size_t bytes = strcspn(name, "=");
    const char *value = name[bytes] == '=' ? name + bytes + 1 : NULL;
    const struct flag *flag = find(name, bytes);
    if (flag == NULL) return fail(f, "flag provided but not defined", name, bytes);
    bool needs_value =
        flag->kind == FLAG_VALUE || flag->kind == FLAG_CONFIG || flag->kind == FLAG_SIGNAL;
    if (needs_value && value == NULL) {
        if (*at + 1 >= argc) return fail(f, "flag needs an argument", name, bytes);
        value = argv[++*at];
    }
    return take(f, flag, value, origin);
}

int flags_parse(int argc, char **argv, struct flags *f)
{
    *f = (struct flags){.action = FLAGS_RUN};
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (word[0] == '-' && word[1] != 0 && strcmp(word, "--") != 0) {
            int rc = parse_flag(f, argc, argv, &at);
            if (rc != 0) return rc;
        } else if (strcmp(word, "version") == 0) {
            f->action = FLAGS_VERSION;
        } else if (strcmp(word, "help") == 0) {
            f->action = FLAGS_HELP;
        } else {
            /* The rest is the subcommand's. */
            f->command = word;
            f->command_argc = argc - at;
            f->command_argv = argv + at;
            return 0;
        }
    }
    return 0;
}

int flags_apply(const struct flags *f, struct conf *c)
{
    for (size_t i = 0; i < f->setting_count; i++) {
        const struct flags_setting *s = &f->settings[i];
        for (const char *at = s->path; *at != 0;) {
            char path[64];
            size_t bytes = strcspn(at, ",");
            CHECK(bytes < sizeof path);
            memcpy(path, at, bytes);
            path[bytes] = 0;
            int rc = conf_set(c, path, s->value, s->origin);
            CHECK(rc != E_NOTFOUND); /* the table names a key that there is not */
            if (rc != 0) return rc;
            at += bytes + (at[bytes] == ',');
        }
    }
    if (f->tls) c->tls.given = true;
    return 0;
}

static void print_names(const struct flag *flag, char *to, size_t bytes)
{
    size_t used = 0;
    for (const char *at = flag->names; *at != 0;) {
        size_t length = strcspn(at, "|");
        const char *dash = length > 2 ? "--" : "-", *comma = used == 0 ? "" : ", ";
        int n = snprintf(to + used, bytes - used, "%s%s%.*s", comma, dash, (int)length, at);
        used += n < 0 || (size_t)n >= bytes - used ? 0 : (size_t)n;
        at += length + (at[length] == '|');
    }
    if (flag->value != NULL) snprintf(to + used, bytes - used, " %s", flag->value);
}

void flags_usage(FILE *to, const char *program)
{
    fprintf(to, "\nUsage: %s [options]\n", program);
    for (const struct flag *flag = flag_rows; flag < ARRAY_END(flag_rows); flag++) {
        char names[96] = "";
        if (flag->group != NULL) fprintf(to, "\n%s:\n", flag->group);
        print_names(flag, names, sizeof names);
        fprintf(to, "    %-38s %s\n", names, flag->help);
    }
    fprintf(to, "\n");
}

void flags_usage_tls(FILE *to, const char *program)
{
    fprintf(to,
            "\nTLS is configured with four flags, or with a tls block in the config file:\n\n"
            "    %s --tls --tlscert=server.pem --tlskey=key.pem\n"
            "    %s --tlsverify --tlscert=server.pem --tlskey=key.pem --tlscacert=ca.pem\n\n"
            "With --tlsverify clients must show a certificate that the authority signed.\n\n",
            program, program);
}
