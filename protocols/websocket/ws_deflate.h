/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_WEBSOCKET_WS_DEFLATE_H
#define GY_PROTOCOLS_WEBSOCKET_WS_DEFLATE_H

/* The streams of one connection (RFC 7692 §7.2). Internal to protocols/websocket. */

#include "core/bump.h"
#include "protocols/websocket/deflate.h"

/* Compresses a message into `packed`, which is empty: the payload of its one frame. 0, or
 * GY_ENOBUFS or GY_ENOMEM: then nothing is appended, and later messages do not refer to this one.
 */
int gy_ws_deflate_pack(struct gy_ws_deflate *deflate, struct gy_bump *bump,
                       const struct gy_chain *payload, uint32_t skip, struct gy_chain *packed);

/* Likewise, with a stream of its own: no message before it is referred to, so that it is good for
 * every connection whose peer has a window of 2^bits or more. Each has to forget() then. */
int gy_ws_deflate_pack_alone(const struct gy_ws_memory *memory, uint8_t bits, struct gy_bump *bump,
                             const struct gy_chain *payload, uint32_t skip,
                             struct gy_chain *packed);
void gy_ws_deflate_forget(struct gy_ws_deflate *deflate);

/* The window of what this side sends. */
uint8_t gy_ws_deflate_bits(const struct gy_ws_deflate *deflate);

/* Inflates at most GY_WS_INFLATE_BYTES: `data` is what there is of the message, `used` how much of
 * it was read, `room` what was written (`made` bytes). 0; GY_EPROTO, it is no DEFLATE; GY_ENOMEM.
 * `last`: nothing follows `data` in this message. All was made when all of it is used and less than
 * the room was filled; then, with `last`, the message is over. */
#define GY_WS_INFLATE_BYTES 4096
int gy_ws_deflate_unpack(struct gy_ws_deflate *deflate, const uint8_t *data, uint32_t bytes,
                         bool last, uint32_t *used, uint8_t *room, uint32_t *made);

/* The message that is being unpacked is over, or was given up. */
void gy_ws_deflate_end_message(struct gy_ws_deflate *deflate);

#endif
