/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NATS for gyre-load: pub/sub on one subject, so that Gyre's chat is measured beside nats-server by
 * the same program. The client protocol as nats.io documents it: INFO, CONNECT, SUB, PUB, MSG.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/pubsub.h"

struct nats_session {
    struct gy_pubsub_text text; /* the first: what take_line() gets is it */
    bool ready;
};

static int nats_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    char channel[65];
    char head[128];
    struct gy_pubsub_plan *made;
    int code = gy_pubsub_channel(options, channel, error);
    if (code != 0) {
        return code;
    }
    int head_bytes = snprintf(head, sizeof head, "PUB %s %u\r\n", channel, options->size_bytes);
    code = gy_pubsub_prepare(options, head, (uint32_t)head_bytes, "\r\n", 2, &made, error);
    if (code != 0) {
        return code;
    }
    int bytes = asprintf(&made->greeting,
                         "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"gyre-load\"}\r\n"
                         "SUB %s 1\r\nPING\r\n",
                         channel);
    if (bytes < 0) {
        made->greeting = NULL;
        gy_pubsub_finish(made);
        return gy_error_set(error, GY_ENOMEM, "making the greeting: out of memory");
    }
    made->greeting_bytes = (size_t)bytes;
    *plan = made;
    return 0;
}

static void nats_session_open(void *session)
{
    memset(session, 0, sizeof(struct nats_session));
}

static void nats_refusal(const void *session, char *text, size_t bytes)
{
    snprintf(text, bytes, "the server says: %.200s",
             ((const struct nats_session *)session)->text.line.text);
}

/* A whole line. */
static enum gy_load_progress take_line(void *session, const struct gy_pubsub_plan *plan)
{
    struct nats_session *nats = session;
    const char *text = nats->text.line.text;
    if (strncmp(text, "MSG ", 4) == 0) {
        return gy_pubsub_expect(&nats->text, plan, strrchr(text, ' ') + 1);
    }
    if (strcmp(text, "PING") == 0) {
        return GY_LOAD_REPLY;
    }
    if (strcmp(text, "PONG") == 0 && !nats->ready) {
        nats->ready = true;
        return GY_LOAD_READY;
    }
    if (strncmp(text, "INFO ", 5) == 0 || strcmp(text, "+OK") == 0 || strcmp(text, "PONG") == 0) {
        return GY_LOAD_MORE;
    }
    return nats->ready ? GY_LOAD_BAD_BYTES : GY_LOAD_REFUSED;
}

static enum gy_load_progress nats_receive(void *state, void *session, const uint8_t *data,
                                          uint32_t bytes, uint32_t *used)
{
    const struct gy_pubsub_plan *plan = *(const struct gy_pubsub_plan **)state;
    return gy_pubsub_receive(session, plan, take_line, data, bytes, used);
}

static uint32_t nats_reply(void *session, uint8_t reply[GY_LOAD_REPLY_MAX])
{
    (void)session;
    memcpy(reply, "PONG\r\n", 6);
    return 6;
}

static enum gy_load_progress nats_ended(void *state, void *session)
{
    const struct nats_session *nats = session;
    (void)state;
    return nats->text.payload ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

const struct gy_load_protocol gy_load_nats = {
    .scheme = "nats",
    .help = "pub/sub of a NATS server, --broadcast",
    .port = 4222,
    .numbered = true,
    .unasked = true,
    .prepare = nats_prepare,
    .finish = gy_pubsub_finish,
    .requests = gy_pubsub_requests,
    .greeting = gy_pubsub_greeting,
    .refusal = nats_refusal,
    .reply = nats_reply,
    .appoint = gy_pubsub_appoint,
    .publisher = gy_pubsub_publisher,
    .state_bytes = sizeof(const struct gy_pubsub_plan *),
    .state_open = gy_pubsub_state_open,
    .state_close = gy_pubsub_state_close,
    .session_bytes = sizeof(struct nats_session),
    .session_open = nats_session_open,
    .receive = nats_receive,
    .ended = nats_ended,
};
