/* flags.h - the command line: a table of flags, which also makes the usage text. Single and double
 * dash are the same; a value is the next argument or follows '='; booleans take only =false.
 * Source: protocol reference, section 14.1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "store/base/check.h"

struct conf;

#define FLAGS_SETTINGS_MAX 64 /* values on one command line that go to the config */

enum flags_action {
    FLAGS_RUN,
    FLAGS_HELP,
    FLAGS_HELP_TLS,
    FLAGS_VERSION,
    FLAGS_TEST,   /* -t: check the config, then exit */
    FLAGS_SIGNAL, /* -sl */
};

struct flags {
    enum flags_action action;
    const char *config; /* NULL: none */
    const char *signal; /* cmd[=pid] */
    bool tls;
    /* A bare word that is neither version nor help, and what follows it: a subcommand, if there is
     * one. */
    const char *command;
    int command_argc; /* from the word on */
    char **command_argv;
    struct flags_setting {
        const char *path, *value; /* as conf_set takes them */
        const char *origin;       /* the flag as written, for error texts */
    } settings[FLAGS_SETTINGS_MAX];
    size_t setting_count;
    char error[256];
};

/* argv must outlive f. E_INVAL with f->error; the caller prints it and the usage. */
NODISCARD int flags_parse(int argc, char **argv, struct flags *f);
/* Puts the values over what the config has. As conf_set. */
NODISCARD int flags_apply(const struct flags *f, struct conf *c);
void flags_usage(FILE *to, const char *program);
void flags_usage_tls(FILE *to, const char *program);
