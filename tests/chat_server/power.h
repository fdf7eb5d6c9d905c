/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_SERVER_POWER_H
#define GY_TESTS_CHAT_SERVER_POWER_H

/*
 * A disk in memory, as a file system layer of SQLite ("power"), whose power can be cut: what was
 * written and not synced is lost then, or lies there in part, sector by sector, as the seed has it.
 * It can be full, too, and it can refuse to sync.
 */

#include <stdbool.h>
#include <stdint.h>

#define POWER_VFS "power"

/* An empty disk. Registers the layer when it is called first. */
void power_reset(uint64_t seed);

/* The power goes at sync number `sync` from now on (1: the next one). 0: it stays. */
void power_cut_at(uint32_t sync);

/* Whether it went. */
bool power_is_off(void);

/* It is back: files hold what was on the disk. All must be closed. */
void power_on(void);

/* Bytes that all files may have together; 0: no limit. */
void power_set_capacity(uint64_t bytes);

/* Syncs fail from now on. */
void power_fail_syncs(bool fail);

/* Syncs since the last reset. */
uint32_t power_syncs(void);

void power_free(void);

#endif
