/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_NULL_RING_H
#define GY_BENCH_NULL_RING_H

/*
 * A ring without a kernel, as cheap as can be: null_ring.c defines all of core/ring.h that workers
 * and pools use, in the place of core/ring.c. Sends and cancels complete at the next wait; receives
 * complete when null_ring_deliver() brings bytes. The clock moves by NULL_RING_TURN_NS with every
 * wait and by nothing else (link with --wrap=clock_gettime), so that runs are alike to the
 * instruction.
 */

#include "core/ring.h"

#define NULL_RING_TURN_NS          20000
#define NULL_RING_CONNECTIONS_MAX  64
#define NULL_RING_COMPLETIONS_MAX  4096
#define NULL_RING_DESCRIPTOR_FIRST 900

/* A client connects: the armed accept completes with the next descriptor, from
 * NULL_RING_DESCRIPTOR_FIRST on. The descriptors are not open. */
void null_ring_connect(struct gy_ring *ring);

/* Bytes arrive on a descriptor whose receive is armed: they are put into the posted buffers as the
 * kernel would, and the completions are there after the next wait. */
void null_ring_deliver(struct gy_ring *ring, int descriptor, const void *data, uint32_t bytes);

/* One completion that uses up `bytes` of the posted buffers without writing them. */
struct gy_completion null_ring_fill(struct gy_ring *ring, uint64_t token, uint32_t bytes);

#endif
