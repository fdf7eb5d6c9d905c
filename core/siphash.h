/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SIPHASH_H
#define GY_CORE_SIPHASH_H

/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short input, 64 bits. Who does not
 * know the key can neither predict it nor make inputs collide, so that a table which strangers fill
 * stays even. It is no hash for signatures.
 */

#include <stddef.h>
#include <stdint.h>

struct gy_siphash_key {
    uint64_t words[2];
};

/* The key's words and the result are numbers of this machine: the bytes of the specification, read
 * as little-endian. `data` may be NULL when `bytes` is 0. */
uint64_t gy_siphash(const struct gy_siphash_key *key, const void *data, size_t bytes);

#endif
