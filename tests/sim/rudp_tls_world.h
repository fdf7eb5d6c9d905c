/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_RUDP_TLS_WORLD_H
#define GY_TESTS_SIM_RUDP_TLS_WORLD_H

/* rudp_world.h with encryption by wolfSSL, whose randomness follows from the seed as well. */

#include "tests/sim/rudp_world.h"

/* Makes the certificate, and encrypts the worlds from then on. 0, or -1 with a word on stderr. */
int world_tls_open(void);
void world_tls_close(void);

int world_tls_run(struct world *world, uint64_t seed, struct world_totals *totals);

#endif
