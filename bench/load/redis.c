/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Redis and Valkey for gyre-load: pub/sub on one channel, so that Gyre's chat is measured beside
 * them by the same program. RESP3, where a connection that has subscribed may publish too; what
 * was published comes as a push of three: "message", the channel, the payload.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/pubsub.h"

struct redis_session {
    struct gy_pubsub_text text; /* the first: what take_line() gets is it */
    uint8_t push;               /* lines of a push that are still to come */
    bool is_message;
    bool ready;
};

static int redis_prepare(const struct gy_load_options *options, void **plan, struct gy_error *error)
{
    char channel[65];
    char head[160];
    struct gy_pubsub_plan *made;
    int code = gy_pubsub_channel(options, channel, error);
    if (code != 0) {
        return code;
    }
    int head_bytes = snprintf(head, sizeof head, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%u\r\n",
                              strlen(channel), channel, options->size_bytes);
    code = gy_pubsub_prepare(options, head, (uint32_t)head_bytes, "\r\n", 2, &made, error);
    if (code != 0) {
        return code;
    }
    int bytes = asprintf(&made->greeting, "HELLO 3\r\nSUBSCRIBE %s\r\n", channel);
    if (bytes < 0) {
        made->greeting = NULL;
        gy_pubsub_finish(made);
        return gy_error_set(error, GY_ENOMEM, "making the greeting: out of memory");
    }
    made->greeting_bytes = (size_t)bytes;
    *plan = made;
    return 0;
}

static void redis_session_open(void *session)
{
    memset(session, 0, sizeof(struct redis_session));
}

static void redis_refusal(const void *session, char *text, size_t bytes)
{
    snprintf(text, bytes, "the server says: %.200s",
             ((const struct redis_session *)session)->text.line.text);
}

/*
 * A whole line. A push is `>3`, then for each part its length and itself; of other answers (the
 * map after HELLO, the count after PUBLISH) only errors count.
 */
static enum gy_load_progress take_line(void *session, const struct gy_pubsub_plan *plan)
{
    struct redis_session *redis = session;
    const char *text = redis->text.line.text;
    if (redis->push == 0) {
        if (text[0] == '>') {
            redis->push = 5; /* length, kind, length, channel, and the head of the third */
        }
        return text[0] != '-' ? GY_LOAD_MORE : redis->ready ? GY_LOAD_BAD_STATUS : GY_LOAD_REFUSED;
    }
    if (redis->push == 4) {
        redis->is_message = strcmp(text, "message") == 0;
    }
    if (--redis->push > 0) {
        return GY_LOAD_MORE;
    }
    if (!redis->is_message) { /* how many channels it has subscribed to */
        redis->ready = true;
        return GY_LOAD_READY;
    }
    return text[0] == '$' ? gy_pubsub_expect(&redis->text, plan, text + 1) : GY_LOAD_BAD_BYTES;
}

static enum gy_load_progress redis_receive(void *state, void *session, const uint8_t *data,
                                           uint32_t bytes, uint32_t *used)
{
    const struct gy_pubsub_plan *plan = *(const struct gy_pubsub_plan **)state;
    return gy_pubsub_receive(session, plan, take_line, data, bytes, used);
}

static enum gy_load_progress redis_ended(void *state, void *session)
{
    const struct redis_session *redis = session;
    (void)state;
    return redis->text.payload || redis->push > 0 ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

/* The server asks nothing. */
static uint32_t redis_reply(void *session, uint8_t reply[GY_LOAD_REPLY_MAX])
{
    (void)session;
    (void)reply;
    return 0;
}

const struct gy_load_protocol gy_load_redis = {
    .scheme = "redis",
    .help = "pub/sub of Redis or Valkey, --broadcast",
    .port = 6379,
    .numbered = true,
    .unasked = true,
    .prepare = redis_prepare,
    .finish = gy_pubsub_finish,
    .requests = gy_pubsub_requests,
    .greeting = gy_pubsub_greeting,
    .refusal = redis_refusal,
    .reply = redis_reply,
    .appoint = gy_pubsub_appoint,
    .publisher = gy_pubsub_publisher,
    .state_bytes = sizeof(const struct gy_pubsub_plan *),
    .state_open = gy_pubsub_state_open,
    .state_close = gy_pubsub_state_close,
    .session_bytes = sizeof(struct redis_session),
    .session_open = redis_session_open,
    .receive = redis_receive,
    .ended = redis_ended,
};
