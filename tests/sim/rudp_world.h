/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_RUDP_WORLD_H
#define GY_TESTS_SIM_RUDP_WORLD_H

/*
 * Reliable UDP in the simulated network: one server, one to three clients, messages of every
 * guarantee in both directions, over links, with settings and at times that all follow from the
 * seed. What must hold is checked at every delivery and once more at the end.
 */

#include "protocols/rudp/gate.h"
#include "protocols/rudp/rudp.h"
#include "servers/rudp/rudp_host.h"
#include "tests/sim/network.h"

#define WORLD_CLIENTS_MAX  3
#define WORLD_MESSAGES_MAX 256
#define WORLD_CHANNELS     4

struct world;

/* What encrypts, for all worlds to come; `sealer` NULL: nothing does, packets have a check. */
struct world_crypto {
    const struct gy_rudp_sealer *sealer;
    void *client, *server;
};
extern struct world_crypto world_crypto;

struct record {
    struct gy_rudp_message message;
    uint64_t at_ns;     /* it is to be sent */
    uint64_t ended_ns;  /* its result was known; 0: not yet */
    bool sent, limited; /* limited: has a deadline or tries, or was cancelled */
    uint32_t delivered;
};

/* One end of a connection. */
struct side {
    struct world *world;
    struct gy_rudp_conn conn;
    struct gy_rudp_seal seal; /* with encryption */
    struct side *other;
    struct sim_link *link; /* from here to there */
    void *memory;
    bool exists;
    uint32_t endpoint, to;
    uint16_t flow; /* of what it sends */
    struct record records[WORLD_MESSAGES_MAX];
    uint32_t planned, next, finished;
    uint32_t last[WORLD_CHANNELS][4]; /* of what it receives: the record after the newest */
    size_t taken_bytes;               /* by reassembly */
    struct {
        uint64_t bytes, ns; /* not consumed yet; when they will be */
    } held[WORLD_CHANNELS];
    uint64_t stall_ns; /* the reader of the last channel does nothing until then */
};

struct world {
    struct sim_network network;
    struct sim_random random;
    uint64_t seed, now_ns;
    struct gy_rudp_config config;
    struct gy_rudp_gate gate;
    uint32_t clients;
    struct side client[WORLD_CLIENTS_MAX], server[WORLD_CLIENTS_MAX];
    struct sim_link up[WORLD_CLIENTS_MAX], down[WORLD_CLIENTS_MAX];
    uint64_t stranger_in[WORLD_CLIENTS_MAX], stranger_out[WORLD_CLIENTS_MAX];
    double memory_fails; /* chance that there is none for a message in parts */
    uint64_t longest_ns; /* that a datagram may be under way */
    uint64_t delivered, expired, lost;
    char failure[256]; /* empty: none */
};

/* What was met, over all runs. */
struct world_totals {
    struct sim_counts network;
    struct gy_rudp_stats rudp;
    uint64_t runs, messages, delivered, expired, lost;
};

/* Runs one world to its end. 0, or -1 with world->failure filled in. `world` is large: not for the
 * stack. Adds to `totals`. */
int world_run(struct world *world, uint64_t seed, struct world_totals *totals);

/* From now on an assertion that stops the program says the seed of the run that is on. */
void world_tell_seed(void);

#endif
