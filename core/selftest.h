/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SELFTEST_H
#define GY_CORE_SELFTEST_H

/*
 * The boot self-test (DESIGN rule 22): patterned data through a loopback connection in a receive
 * mode, by the same ring and pool that serve, with the cases in which kernels have been wrong: an
 * exhausted buffer ring, buffers filled to the byte, ends of stream, several connections that share
 * buffers.
 */

#include <stdint.h>

#include "ring.h"

/* 0 when every byte arrived in order and every buffer came back; GY_ENOTSUP where the kernel lacks
 * the mode; GY_EIO with what went wrong; GY_EREFUSED … as gy_ring_open. Takes a few milliseconds;
 * opens and closes its own ring and sockets. */
int gy_selftest_receive(enum gy_receive_mode mode, uint32_t without, struct gy_error *error);

/* The best mode that passes, stepping down incremental -> multishot -> one-shot; each step down is
 * logged with its reason. (Bundles are an option that is chosen by name only.) Kernels known to be
 * bad are passed over. 0 and the mode, or the error of the last one tried. */
int gy_selftest_choose(uint32_t without, enum gy_receive_mode *mode, struct gy_error *error);

/* Why the running kernel is known to be bad in this mode (the short test cannot see it), or NULL.
 * And the same for any release, as uname(2) says it ("6.14.3-amd64"). */
const char *gy_selftest_known_bad(enum gy_receive_mode mode);
const char *gy_selftest_known_bad_in(enum gy_receive_mode mode, const char *release);

#endif
