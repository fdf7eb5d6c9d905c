/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Echo over TCP (RFC 862) for gyre-load: messages of one size, each to come back byte by byte. */

#include <stdlib.h>
#include <string.h>

#include "bench/load/load.h"

struct echo_plan {
    uint32_t message_bytes;
    uint8_t data[]; /* options->pipeline messages */
};

struct echo_session {
    uint32_t received; /* of the message that is coming back */
    bool differs;
};

static int echo_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    size_t size = options->size_bytes;
    struct echo_plan *made = malloc(sizeof *made + size * options->pipeline);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making %u messages of %zu bytes: out of memory",
                            options->pipeline, size);
    }
    made->message_bytes = options->size_bytes;
    /* Printable, and no period that divides a buffer's size: a byte out of place shows. */
    for (size_t i = 0; i < size; i++) {
        made->data[i] = (uint8_t)(' ' + i % 89);
    }
    for (uint32_t i = 1; i < options->pipeline; i++) {
        memcpy(made->data + size * i, made->data, size);
    }
    *plan = made;
    return 0;
}

static const void *echo_requests(const void *plan, uint32_t *request_bytes)
{
    const struct echo_plan *made = plan;
    *request_bytes = made->message_bytes;
    return made->data;
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

static void echo_session_open(void *session)
{
    *(struct echo_session *)session = (struct echo_session){0};
}

static enum gy_load_progress echo_receive(void *state, void *session, const uint8_t *data,
                                          uint32_t bytes, uint32_t *used)
{
    const struct echo_plan *plan = *(const struct echo_plan **)state;
    struct echo_session *echo = session;
    uint32_t left = plan->message_bytes - echo->received;
    *used = bytes < left ? bytes : left;
    echo->differs |= memcmp(data, plan->data + echo->received, *used) != 0;
    echo->received += *used;
    if (echo->received < plan->message_bytes) {
        return GY_LOAD_MORE;
    }
    bool differs = echo->differs;
    *echo = (struct echo_session){0};
    return differs ? GY_LOAD_BAD_BODY : GY_LOAD_ANSWER;
}

static enum gy_load_progress echo_ended(void *state, void *session)
{
    (void)state;
    return ((const struct echo_session *)session)->received > 0 ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

const struct gy_load_protocol gy_load_tcp = {
    .scheme = "tcp",
    .help = "messages to an echo server",
    .prepare = echo_prepare,
    .finish = free,
    .requests = echo_requests,
    .state_bytes = sizeof(const struct echo_plan *),
    .state_open = echo_state_open,
    .state_close = echo_state_close,
    .session_bytes = sizeof(struct echo_session),
    .session_open = echo_session_open,
    .receive = echo_receive,
    .ended = echo_ended,
};
