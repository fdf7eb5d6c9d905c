/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Echo over UDP (RFC 862) for gyre-load: datagrams of one size, each to come back as it was. The
 * first bytes are the number of its place and how often that was used. */

#include <stdlib.h>
#include <string.h>

#include "bench/load/load.h"
#include "core/datagram.h"

#define HEAD_BYTES 8

struct echo_plan {
    uint32_t bytes;
    uint8_t pattern[];
};

static int echo_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    if (options->size_bytes < HEAD_BYTES || options->size_bytes > GY_DATAGRAM_BYTES_MAX) {
        return gy_error_set(error, GY_EINVAL, "--size %u: a datagram has from %d to %d bytes",
                            options->size_bytes, HEAD_BYTES, GY_DATAGRAM_BYTES_MAX);
    }
    struct echo_plan *made = malloc(sizeof *made + options->size_bytes);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making a datagram: out of memory");
    }
    made->bytes = options->size_bytes;
    for (uint32_t i = 0; i < made->bytes; i++) {
        made->pattern[i] = (uint8_t)(' ' + i % 89);
    }
    *plan = made;
    return 0;
}

static const void *echo_requests(const void *plan, uint32_t *request_bytes)
{
    const struct echo_plan *made = plan;
    *request_bytes = made->bytes;
    return made->pattern;
}

static void echo_state_open(void *state, const void *plan, const struct gy_load_options *options,
                            uint32_t thread)
{
    (void)options;
    (void)thread;
    *(const struct echo_plan **)state = plan;
}

static void echo_state_close(void *state)
{
    (void)state;
}

static uint32_t echo_make(void *state, struct gy_load_place *place, uint32_t number, uint8_t *room)
{
    (void)state;
    uint32_t head[2] = {number, place->use};
    memcpy(room, head, HEAD_BYTES);
    return HEAD_BYTES;
}

static enum gy_load_progress echo_match(void *state, const struct gy_load_window *window,
                                        const uint8_t *message, uint32_t bytes, uint32_t *number)
{
    const struct echo_plan *plan = *(const struct echo_plan **)state;
    uint32_t head[2];
    if (bytes < HEAD_BYTES) {
        return GY_LOAD_BAD_BYTES;
    }
    memcpy(head, message, HEAD_BYTES);
    if (head[0] >= window->count) {
        return GY_LOAD_BAD_BYTES;
    }
    if (!window->places[head[0]].waits || window->places[head[0]].use != head[1]) {
        return GY_LOAD_STRAY;
    }
    *number = head[0];
    bool right = bytes == plan->bytes &&
                 memcmp(message + HEAD_BYTES, plan->pattern + HEAD_BYTES, bytes - HEAD_BYTES) == 0;
    return right ? GY_LOAD_ANSWER : GY_LOAD_BAD_BODY;
}

const struct gy_load_protocol gy_load_udp = {
    .scheme = "udp",
    .help = "datagrams to an echo server",
    .datagrams = true,
    .prepare = echo_prepare,
    .finish = free,
    .requests = echo_requests,
    .make_room = HEAD_BYTES,
    .make = echo_make,
    .match = echo_match,
    .state_bytes = sizeof(const struct echo_plan *),
    .state_open = echo_state_open,
    .state_close = echo_state_close,
};
