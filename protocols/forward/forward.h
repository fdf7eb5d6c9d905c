/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_FORWARD_FORWARD_H
#define GY_PROTOCOLS_FORWARD_FORWARD_H

/*
 * TCP connections over one connection of reliable UDP: the messages of `gyre rudp forward` and
 * `serve --relay`. README.md has the protocol. This is its codec: bytes in, a message out, and
 * back; no state, no memory of its own. What is decoded points into the bytes that it was decoded
 * from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GY_FORWARD_DATA_BYTES    32000 /* of one DATA message */
#define GY_FORWARD_DATA_HEAD     5     /* bytes before its data */
#define GY_FORWARD_TEXT_BYTES    200
#define GY_FORWARD_CREDIT_MAX    (16u << 20)
#define GY_FORWARD_MESSAGE_BYTES 256 /* the longest message but for DATA */

enum gy_forward_type {
    GY_FORWARD_OPEN = 1,
    GY_FORWARD_OPENED = 2,
    GY_FORWARD_DATA = 3,
    GY_FORWARD_CREDIT = 4,
    GY_FORWARD_END = 5,
    GY_FORWARD_RESET = 6,
};

struct gy_forward_message {
    enum gy_forward_type type;
    uint32_t flow;
    uint32_t credit;     /* OPEN, OPENED, CREDIT: bytes, 1 to GY_FORWARD_CREDIT_MAX */
    const uint8_t *data; /* DATA, at least a byte; RESET: why */
    uint32_t length;     /* of it */
};

/* 0, or GY_EPROTO: not such a message, or out of its bounds. */
int gy_forward_decode(struct gy_forward_message *message, const void *data, size_t length);

/* Writes any message but DATA; how many bytes. */
size_t gy_forward_encode(const struct gy_forward_message *message,
                         uint8_t out[GY_FORWARD_MESSAGE_BYTES]);

/* The head of a DATA message, whose data lie behind it. */
void gy_forward_encode_data(uint32_t flow, uint8_t out[GY_FORWARD_DATA_HEAD]);

#endif
