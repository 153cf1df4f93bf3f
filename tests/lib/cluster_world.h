/* cluster_world.h - up to four nodes' clusters in one process, on libuv over 127.0.0.1, for unit
 * tests of cluster/. Source of truth for a test is what each member counted. Thread: the test's. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/cluster.h"
#include "store/base/limits.h"

#define NODES 3
#define DEADLINE_NS (8 * NS_PER_S)

struct interest;
struct member {
    struct world *w;
    struct cluster *c;
    char name[8];
    int port, ups, downs, deaths, infos, fenced;
    /* frames */
    unsigned next[3];
    size_t bytes[3];
    bool disorder;
    /* bootstrap */
    int agreed, joining;
    size_t agreed_count;
    node_id agreed_ids[LIMIT_VOTERS];
    /* interest, relay */
    struct interest *interest;
    int rows, forgotten, messages;
    char last_row[64];
    uint32_t last_count;
    char message[256];
};
struct world {
    struct env *env;
    struct net *net;
    struct member m[NODES + 1];
    struct env_timer poll;
    uint64_t end_ns;
    bool (*until)(struct world *);
    bool reached;
    int closing;
};

struct start {
    const char *name, *cluster, *password;
    node_id id;
    uint64_t incarnation, boots;
    unsigned routes; /* bits: members dialled */
};

extern const struct start world_plain[NODES]; /* n1, n2, n3, each with routes to all */

/* cmocka's set-up and tear-down: an environment, a network, a free port for each; all closed at the
 * end. */
int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

void world_start(struct world *w, int at, const struct start *s);
void world_start_all(struct world *w);
/* n1 and n2, with these routes, until they are up. */
void world_start_pair(struct world *w, unsigned routes0, unsigned routes1);
void world_stop(struct world *w, int at);
bool world_run(struct world *w, bool (*until)(struct world *), uint64_t limit_ns);
#define REACH(w, until) assert_true(world_run(w, until, DEADLINE_NS))
/* Conditions. */
bool world_never(struct world *w);
bool world_closed(struct world *w);
bool world_all_up(struct world *w);
bool world_pair_up(struct world *w);
size_t world_ups(const struct member *m); /* peers that are up now */
