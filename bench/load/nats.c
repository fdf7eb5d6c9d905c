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
    struct gy_pubsub_message message;
    struct gy_pubsub_line line;
    bool ready;
    bool payload; /* comes now, and a CRLF behind it */
    uint8_t tail; /* bytes of that CRLF still to come */
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
             ((const struct nats_session *)session)->line.text);
}

/* A whole line. */
static enum gy_load_progress take_line(struct nats_session *nats, const struct gy_pubsub_plan *plan)
{
    const char *text = nats->line.text;
    if (strncmp(text, "MSG ", 4) == 0) {
        const char *length = strrchr(text, ' ');
        nats->payload = true;
        nats->tail = 2;
        return strtoul(length, NULL, 10) == plan->message_bytes ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
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
    struct nats_session *nats = session;
    enum gy_load_progress progress = GY_LOAD_MORE;
    uint32_t at = 0;
    while (at < bytes && progress == GY_LOAD_MORE) {
        if (!nats->payload) {
            at += gy_pubsub_read_line(&nats->line, data + at, bytes - at);
            progress = nats->line.whole ? take_line(nats, plan) : GY_LOAD_MORE;
        } else if (nats->message.received < plan->message_bytes) {
            at += gy_pubsub_take(&nats->message, plan, data + at, bytes - at);
        } else {
            at++; /* the CRLF's */
            if (--nats->tail == 0) {
                nats->payload = false;
                progress = gy_pubsub_end(&nats->message, plan);
            }
        }
    }
    *used = at;
    return progress;
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
    return nats->payload ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
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
    .state_bytes = sizeof(const struct gy_pubsub_plan *),
    .state_open = gy_pubsub_state_open,
    .state_close = gy_pubsub_state_close,
    .session_bytes = sizeof(struct nats_session),
    .session_open = nats_session_open,
    .receive = nats_receive,
    .ended = nats_ended,
};
