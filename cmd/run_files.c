/* run_files.c - see run_files.h. Written beside and renamed, so that whoever waits for the file to
 * appear never reads half of it. */
#include "cmd/run_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/base/err.h"
#include "store/base/json_out.h"

#define PATH_BYTES 4096

static int write_whole(const char *path, struct text bytes)
{
    char beside[PATH_BYTES];
    int n = snprintf(beside, sizeof beside, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof beside) return E_INVAL;
    FILE *f = fopen(beside, "w");
    if (f == NULL) return err_from_errno(errno);
    bool good = fwrite(bytes.at, 1, bytes.bytes, f) == bytes.bytes;
    if (fclose(f) != 0) good = false;
    if (good && rename(beside, path) == 0) return 0;
    int rc = err_from_errno(errno);
    unlink(beside);
    return rc == 0 ? E_IO : rc;
}

int run_files_write_pid(const char *path)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld", (long)getpid());
    return write_whole(path, (struct text){.at = text, .bytes = (size_t)n});
}

static void put_url(struct json_out *j, const struct run_files_port *p)
{
    char url[512];
    const char *host = p->host == NULL ? "" : p->host;
    bool any = host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool v6 = !any && strchr(host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%d", p->scheme, v6 ? "[" : "", any ? "127.0.0.1" : host,
             v6 ? "]" : "", p->port);
    json_out_string(j, NULL, url);
}

/* Ports of one list stand together. */
static void put_ports(struct json_out *j, const struct run_files_port *ports, size_t count)
{
    const char *open = NULL;
    json_out_object(j, NULL);
    for (size_t i = 0; i < count; i++) {
        if (ports[i].port == 0) continue;
        if (open == NULL || strcmp(open, ports[i].list) != 0) {
            if (open != NULL) json_out_array_end(j);
            open = ports[i].list;
            json_out_array(j, open);
        }
        put_url(j, &ports[i]);
    }
    if (open != NULL) json_out_array_end(j);
    json_out_object_end(j);
}

int run_files_write_ports(const char *dir,
                          const char *program,
                          const struct run_files_port *ports,
                          size_t count,
                          char *path,
                          size_t path_bytes)
{
    struct writer w;
    struct json_out j;
    const char *slash = strrchr(program, '/');
    const char *name = slash == NULL ? program : slash + 1;
    int n = snprintf(path, path_bytes, "%s/%s_%ld.ports", dir, name, (long)getpid());
    if (n < 0 || (size_t)n >= path_bytes) return E_INVAL;
    writer_init(&w, 256);
    json_out_init(&j, &w, false);
    put_ports(&j, ports, count);
    int rc = write_whole(path, (struct text){.at = (const char *)w.base, .bytes = w.bytes});
    writer_free(&w);
    return rc;
}

void run_files_remove(const char *path)
{
    if (path != NULL && path[0] != 0) unlink(path);
}
