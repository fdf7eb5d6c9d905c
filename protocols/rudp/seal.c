/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "protocols/rudp/seal.h"

#include "core/cursor.h"
#include "core/siphash.h"

static void none_seal(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                      uint8_t *body, size_t bytes)
{
    (void)keys, (void)number, (void)header, (void)header_bytes, (void)body, (void)bytes;
}

static bool none_open(void *keys, uint32_t generation, uint64_t number, const uint8_t *header,
                      size_t header_bytes, uint8_t *body, size_t bytes)
{
    (void)generation, (void)keys, (void)number, (void)header, (void)header_bytes, (void)body,
        (void)bytes;
    return true;
}

const struct gy_rudp_seal gy_rudp_seal_none = {.seal = none_seal, .open = none_open};

/* The header's hash is the body's key, so that the two need not lie side by side. */
static uint64_t check_of(uint64_t number, const uint8_t *header, size_t header_bytes,
                         const uint8_t *body, size_t bytes)
{
    struct gy_siphash_key key = {{0x677972652d727564, number}};
    key.words[0] = gy_siphash(&key, header, header_bytes);
    return gy_siphash(&key, body, bytes);
}

static void check_seal(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                       uint8_t *body, size_t bytes)
{
    (void)keys;
    struct gy_writer writer = gy_writer_on(body + bytes, 8);
    gy_writer_u64(&writer, check_of(number, header, header_bytes, body, bytes));
}

static bool check_open(void *keys, uint32_t generation, uint64_t number, const uint8_t *header,
                       size_t header_bytes, uint8_t *body, size_t bytes)
{
    (void)keys, (void)generation;
    if (bytes < 8) {
        return false;
    }
    struct gy_reader reader = gy_reader_on(body + bytes - 8, 8);
    return gy_reader_u64(&reader) == check_of(number, header, header_bytes, body, bytes - 8);
}

const struct gy_rudp_seal gy_rudp_seal_check = {
    .tag_bytes = 8, .seal = check_seal, .open = check_open};
