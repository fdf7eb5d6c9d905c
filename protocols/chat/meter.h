/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_METER_H
#define GY_PROTOCOLS_CHAT_METER_H

/*
 * Rates of addresses and accounts, whatever number of connections they have, and had: so that who
 * floods gains nothing by connecting again. One meter is shared by all workers.
 *
 * It is a sketch of fixed size: a key, which is a keyed hash of whom it stands for, has two cells,
 * and each cell is the time until which all that was taken would be paid for at the steady rate
 * (the generic cell rate algorithm; ITU-T I.371, annex A). What counts is the earlier one. Two keys
 * that share one cell do no harm; whose two cells are both used up by others has to wait as they
 * have, which with n of them is one in (131,072 / n)^2: of 1,000 nobody, of 10,000 one in 170.
 * Nobody is forgotten too early, nothing is to be cleaned up, and a million of addresses take no
 * more memory than one.
 *
 * Any thread. Two that take for one key at the same instant may be counted as one.
 */

#include <stdatomic.h>
#include <stdint.h>

#define GY_CHAT_METER_CELLS 262144u /* a power of two; 2 MiB, of which what is used is there */

struct gy_chat_meter {
    _Atomic uint64_t cells[GY_CHAT_METER_CELLS]; /* zeroed at first */
};

/*
 * Takes what costs `cost_ns` of a key's time, of which `burst_ns` may be taken ahead. 0; or how
 * long to wait until it may be taken (ns), and then nothing was taken. A cost of 0 is always taken.
 */
uint64_t gy_chat_meter_take(struct gy_chat_meter *meter, uint64_t key, uint64_t cost_ns,
                            uint64_t burst_ns, uint64_t now_ns);

#endif
