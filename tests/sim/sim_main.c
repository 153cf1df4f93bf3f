/* sim_main.c - gannet_sim --seed N [--seeds COUNT] [--scenario NAME] [--failures COUNT] [--nodes N]
 *            [--trace]
 * Each seed runs in a process of its own: what a crashed node leaves in memory goes with it, and a
 * node that ends itself fails its seed only. A failing seed prints the command that repeats it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/logger.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_js.h"
#include "tests/sim/sim_log.h"
#include "tests/sim/sim_sched.h"

struct options {
    uint64_t seed, seeds, failures; /* so many failures are enough to look at */
    unsigned nodes;
    const char *scenario;
    bool trace;
};
struct scenario {
    const char *name;
    void (*run)(struct sim *s, unsigned nodes); /* nodes 0: the seed decides */
};
static const struct scenario scenarios[] = {
    {"cluster", sim_cluster_run},
    {"log", sim_log_run},
    {"node", sim_js_run},
};

static const struct scenario *scenario_of(const char *name)
{
    for (const struct scenario *s = scenarios; s < ARRAY_END(scenarios); s++) {
        if (strcmp(s->name, name) == 0) return s;
    }
    return NULL;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option flags[] = {{"seed", required_argument, NULL, 's'},
                                          {"seeds", required_argument, NULL, 'n'},
                                          {"scenario", required_argument, NULL, 'c'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"failures", required_argument, NULL, 'f'},
                                          {"nodes", required_argument, NULL, 'm'},
                                          {0}};
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        if (flag == 's') o->seed = strtoull(optarg, NULL, 10);
        if (flag == 'n') o->seeds = strtoull(optarg, NULL, 10);
        if (flag == 'c') o->scenario = optarg;
        if (flag == 'f') o->failures = strtoull(optarg, NULL, 10);
        if (flag == 'm') o->nodes = (unsigned)strtoul(optarg, NULL, 10);
        if (flag == 't') o->trace = true;
        if (flag == '?') return false;
    }
    return optind == argc && o->nodes <= FAULT_NODES_MAX && scenario_of(o->scenario) != NULL;
}

static void quiet(enum logger_level level, const char *line)
{
    if (level == LOGGER_FTL || level == LOGGER_ERR) fprintf(stderr, "%s\n", line);
}

static void loud(enum logger_level level, const char *line)
{
    (void)level;
    fprintf(stderr, "             %s\n", line);
}

static void run_seed(const struct options *o, uint64_t seed)
{
    struct sim sim;
    sim_init(&sim, seed);
    sim.trace = o->trace;
    logger_redirect(o->trace ? loud : quiet);
    scenario_of(o->scenario)->run(&sim, o->nodes);
    sim_trace(&sim, "done after %lu events", sim.events);
    fflush(NULL);
    _exit(0);
}

static bool seed_passes(const struct options *o, uint64_t seed)
{
    int status;
    pid_t child = fork();
    if (child == 0) run_seed(o, seed);
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status)) fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
    fprintf(stderr, "seed %llu failed; again: gannet_sim --scenario %s --seed %llu --trace\n",
            (unsigned long long)seed, o->scenario, (unsigned long long)seed);
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .seeds = 1, .failures = 10, .scenario = "cluster"};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "gannet_sim --seed N [--seeds COUNT] [--scenario NAME] [--trace]\n");
        return 2;
    }
    uint64_t failed = 0;
    uint64_t seed = o.seed;
    for (; seed < o.seed + o.seeds && failed < o.failures; seed++)
        failed += !seed_passes(&o, seed);
    printf("%s: %llu seeds, %llu failed\n", o.scenario, (unsigned long long)(seed - o.seed),
           (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
