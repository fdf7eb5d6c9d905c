/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_NETWORK_H
#define GY_TESTS_SIM_NETWORK_H

/*
 * A network in simulated time, all of it from one seed: the same seed, the same run. Datagrams go
 * from one numbered endpoint to another over the link of their direction; nothing here knows what
 * they mean. Times are nanoseconds.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_DATAGRAM_MAX 2048
#define SIM_QUEUED_MAX   16384 /* datagrams under way in the whole network */

struct sim_random {
    uint64_t state;
};

uint64_t sim_random(struct sim_random *random);
/* 0 to below - 1 */
uint64_t sim_below(struct sim_random *random, uint64_t below);
bool sim_chance(struct sim_random *random, double probability);

/* One direction between two endpoints. All zero: at once, without loss. */
struct sim_link {
    uint64_t delay_ns, jitter_ns;
    double loss;            /* independent, or in the good state */
    double loss_bad;        /* in the bad state (Gilbert–Elliott) */
    double to_bad, to_good; /* chance of the change, by datagram */
    double reorder;         /* chance of being held back by up to reorder_ns */
    uint64_t reorder_ns;
    double duplicate, corrupt;
    uint64_t rate;            /* bytes a second; 0: no bound */
    uint64_t queue_bytes;     /* that may wait for the rate; more is dropped */
    uint64_t mark_bytes;      /* with more than that waiting, marks instead of ECT; 0: none */
    double bleach;            /* chance that a mark is taken off */
    double drop_ect;          /* chance that a datagram with a mark is dropped for it */
    size_t mtu;               /* longer datagrams are lost; 0: none are */
    uint64_t mtu_ns;          /* from then on */
    uint64_t cut_ns, heal_ns; /* nothing passes between */
    /* The link's own. */
    bool bad;
    uint64_t busy_ns; /* the rate lets the next one out */
};

struct sim_counts {
    uint64_t sent, delivered, lost, lost_in_burst, reordered, duplicated, corrupted, queue_full,
        cut, too_long, marked, bleached, dropped_ect;
};

struct sim_datagram {
    uint64_t at_ns, order;
    uint32_t from, to;
    size_t bytes;
    uint8_t ecn; /* RFC 3168 §5 */
    uint8_t data[SIM_DATAGRAM_MAX];
};

struct sim_network {
    struct sim_random random;
    struct sim_counts counts;
    uint64_t order;
    struct sim_datagram *datagrams; /* the memory of all */
    struct sim_datagram **heap;     /* earliest first */
    struct sim_datagram **spare;
    size_t queued, spares;
};

void sim_network_init(struct sim_network *network, uint64_t seed);
void sim_network_free(struct sim_network *network);

/* Puts a datagram on the link; it is lost if SIM_QUEUED_MAX are under way. */
void sim_network_send(struct sim_network *network, struct sim_link *link, uint32_t from,
                      uint32_t to, const void *data, size_t bytes, uint64_t now_ns);

/* The same with an ECN field: 2, ECT(0), may arrive as 3, CE, or as 0. */
void sim_network_send_marked(struct sim_network *network, struct sim_link *link, uint32_t from,
                             uint32_t to, const void *data, size_t bytes, uint8_t ecn,
                             uint64_t now_ns);

/* When the next one arrives; UINT64_MAX: none is under way. */
uint64_t sim_network_next_ns(const struct sim_network *network);

/* Takes it; NULL if none has arrived. Valid until the next call. */
struct sim_datagram *sim_network_take(struct sim_network *network, uint64_t now_ns);

/* The longest that a datagram of a link may be under way. */
uint64_t sim_link_longest_ns(const struct sim_link *link);

#endif
