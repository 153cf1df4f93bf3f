/* tool_signal.c - see tool_signal.h. */
#include "cmd/tool_signal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/err.h"

#define PIDS_MAX 64

static const struct word_row {
    const char *word;
    int number;
} word_rows[] = {
    {"stop", SIGKILL},   {"quit", SIGINT}, {"term", SIGTERM},
    {"reopen", SIGUSR1}, {"ldm", SIGUSR2}, {"reload", SIGHUP},
};

/* What a process of ours is called: by its own name, or by the one that it replaces. */
static const char *const process_names[] = {"nats-server", "gannet"};

int tool_signal_number(const char *word)
{
    for (const struct word_row *row = word_rows; row < ARRAY_END(word_rows); row++) {
        if (strcmp(row->word, word) == 0) return row->number;
    }
    return 0;
}

static bool all_digits(const char *text)
{
    if (*text == 0) return false;
    while (isdigit((unsigned char)*text))
        text++;
    return *text == 0;
}

static bool is_server(const char *pid)
{
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    if (fgets(name, sizeof name, f) != NULL) name[strcspn(name, "\n")] = 0;
    fclose(f);
    for (size_t i = 0; i < ARRAY_COUNT(process_names); i++) {
        if (strcmp(name, process_names[i]) == 0) return true;
    }
    return false;
}

/* The servers that run here, but for this process; those whose pid begins with the prefix. */
static size_t find_servers(const char *prefix, pid_t *pids)
{
    size_t count = 0;
    DIR *d = opendir("/proc");
    if (d == NULL) return 0;
    for (struct dirent *e; count < PIDS_MAX && (e = readdir(d)) != NULL;) {
        if (!all_digits(e->d_name) || strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid != getpid() && is_server(e->d_name)) pids[count++] = pid;
    }
    closedir(d);
    return count;
}

/* The number in a pid file; 0: there is none. */
static pid_t read_pid_file(const char *path)
{
    char text[32] = "";
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) return 0;
    if (fgets(text, sizeof text, f) != NULL) text[strcspn(text, " \r\n")] = 0;
    fclose(f);
    return all_digits(text) ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Which processes are meant; all of them with a glob, exactly one without. */
static int resolve(const char *who, pid_t *pids, size_t *count, char *error, size_t error_bytes)
{
    char prefix[32] = "";
    size_t bytes = strlen(who);
    bool glob = bytes > 0 && who[bytes - 1] == '*';
    *count = 1;
    if (all_digits(who)) {
        pids[0] = (pid_t)strtol(who, NULL, 10);
        return pids[0] > 0 ? 0 : E_INVAL;
    }
    if (!glob && bytes > 0) {
        pids[0] = read_pid_file(who);
        if (pids[0] > 0) return 0;
        snprintf(error, error_bytes, "invalid pid: %s", who);
        return E_INVAL;
    }
    if (glob) snprintf(prefix, sizeof prefix, "%.*s", (int)bytes - 1, who);
    *count = find_servers(prefix, pids);
    if (*count == 0) {
        snprintf(error, error_bytes, "no nats-server processes running");
        return E_NOTFOUND;
    }
    if (glob || *count == 1) return 0;
    size_t at = (size_t)snprintf(error, error_bytes, "multiple nats-server processes running:");
    for (size_t i = 0; i < *count && at < error_bytes; i++) {
        int n = snprintf(error + at, error_bytes - at, "\n%ld", (long)pids[i]);
        at += n < 0 ? 0 : (size_t)n;
    }
    return E_INVAL;
}

int tool_signal_send(const char *text, char *error, size_t error_bytes)
{
    char word[32];
    pid_t pids[PIDS_MAX];
    size_t count = 0, bytes = strcspn(text, "=");
    error[0] = 0;
    snprintf(word, sizeof word, "%.*s", (int)(bytes < sizeof word ? bytes : sizeof word - 1), text);
    int number = tool_signal_number(word);
    if (number == 0) {
        snprintf(error, error_bytes, "unknown signal \"%s\"", word);
        return E_INVAL;
    }
    int rc = resolve(text[bytes] == '=' ? text + bytes + 1 : "", pids, &count, error, error_bytes);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (kill(pids[i], number) == 0) continue;
        snprintf(error, error_bytes, "%s %ld: %s", word, (long)pids[i], strerror(errno));
        rc = errno == ESRCH ? E_NOTFOUND : E_DENIED;
    }
    return rc;
}
