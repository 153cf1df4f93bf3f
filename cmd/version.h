/* version.h - what this program says it is. Clients switch features on by the NATS version, so it names
 * the newest one whose features are all here; more is refused with the protocol's own errors. */
#pragma once

#define VERSION_GANNET "0.1.0"
#define VERSION_NATS "2.11.11"
