/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_CHAT_LIFE_H
#define GY_TESTS_SIM_CHAT_LIFE_H

/*
 * The life of a chat server, simulated: people come, talk, read too slowly, lose their connections
 * and resume, while workers are deaf for a while, the disk is full, and the power is cut. All of it
 * comes from a seed.
 *
 * Checked all along: a message comes on a connection once, in the order of ids, without holes but
 * those that a GAP names; what is acknowledged is in the store, under that id; mailboxes keep their
 * bound. At the end: everybody has everything, and everything that was said is there once.
 */

#include <stdbool.h>
#include <stdint.h>

struct chat_life_options {
    uint64_t seed;
    uint64_t hours;   /* simulated */
    uint32_t workers; /* 1 to 4; 0: the seed says */
    bool tells;       /* print what happens */
};

struct chat_life_result {
    uint64_t said, acknowledged, delivered, gaps, spilled, resumed;
    uint64_t crashes, full_disks, refusals, behind, slow, duplicates;
    char broken[256]; /* empty: everything held */
};

/* Runs it. True: everything held. */
bool chat_life(const struct chat_life_options *options, struct chat_life_result *result);

#endif
