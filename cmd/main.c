/* main.c - the program: flags, then the config, then a node until a signal stops it. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/program.h"

/* Page faults cost 15 to 30 % of the store's time with glibc's defaults (store.md 8). */
static void tune_malloc(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_ARENA_MAX, 2);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    tune_malloc();
    return program_main(argc, argv);
}
