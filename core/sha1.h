/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_SHA1_H
#define GY_CORE_SHA1_H

/* SHA-1 (RFC 3174) by wolfCrypt, for protocols that take the hash from who joins them to the core:
 * DNSSEC's NSEC3 and WebSocket's handshake. Takes no memory and cannot fail. */

#include <stddef.h>
#include <stdint.h>

void gy_sha1(const void *data, size_t bytes, uint8_t digest[20]);

#endif
