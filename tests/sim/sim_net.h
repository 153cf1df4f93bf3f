/* sim_net.h - the simulated network for cluster/net/sock.h: machines by name, connections as byte
 * streams with latency, windows, short writes and reads, directions that are blocked, resets. Bytes
 * of one direction arrive in order or, when the connection ends, not at all. */
#pragma once

#include "cluster/net/sock.h"
#include "tests/sim/sim_env.h"

#define NET_MACHINES 8 /* n0 .. n7 */

struct sim_net;

struct sim_net *sim_net_new(struct sim *s);
/* A process starts on machine `number`, whose name is n<number>; its network. */
struct net *sim_net_attach(struct sim_net *n, unsigned number, struct sim_env *env);
/* It ended. killed: its kernel closes what it had; else the machine is off and says nothing. */
void sim_net_detach(struct sim_net *n, unsigned number, bool killed);

/* Faults. */
void sim_net_block(struct sim_net *n, unsigned from, unsigned to, bool blocked);
void sim_net_break(struct sim_net *n, unsigned a, unsigned b); /* resets what is between them */
void sim_net_latency(struct sim_net *n, uint64_t low_ns, uint64_t high_ns);
