/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/pubsub.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first byte of messages of the first of several publishers; the others follow. */
#define FIRST '0'

_Static_assert(FIRST + GY_LOAD_PUBLISHERS_MAX <= 127, "it can be printed");
_Static_assert(GY_LOAD_PIPELINE_MAX <= UINT16_MAX, "slots");

int gy_pubsub_channel(const struct gy_load_options *options, char channel[65],
                      struct gy_error *error)
{
    const char *path = options->path + (options->path[0] == '/');
    size_t length = strlen(path);
    if (length > 64) {
        return gy_error_set(error, GY_EINVAL, "%s: the path names a channel of at most 64 bytes",
                            options->url);
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)path[i]) && strchr("-_.", path[i]) == NULL) {
            return gy_error_set(error, GY_EINVAL,
                                "%s: the path names a channel: letters, digits, `-`, `_`, `.`",
                                options->url);
        }
    }
    snprintf(channel, 65, "%s", length > 0 ? path : "load");
    return 0;
}

/* Printable, each message another, and no period that divides a buffer's size: a byte or a message
 * out of place shows. */
static void write_requests(struct gy_pubsub_plan *plan, const void *head, uint32_t head_bytes,
                           const void *tail, uint32_t tail_bytes)
{
    for (uint32_t i = 0; i < plan->count * plan->publishers; i++) {
        uint8_t *text = plan->expected + (size_t)i * plan->message_bytes;
        uint8_t *request = plan->requests + (size_t)i * plan->request_bytes;
        for (uint32_t k = 0; k < plan->message_bytes; k++) {
            text[k] = (uint8_t)(' ' + (i * 31u + k) % 89);
        }
        if (plan->publishers > 1) {
            text[0] = (uint8_t)(FIRST + i / plan->count);
        }
        memcpy(request, head, head_bytes);
        memcpy(request + head_bytes, text, plan->message_bytes);
        memcpy(request + head_bytes + plan->message_bytes, tail, tail_bytes);
    }
}

int gy_pubsub_prepare(const struct gy_load_options *options, const void *head, uint32_t head_bytes,
                      const void *tail, uint32_t tail_bytes, struct gy_pubsub_plan **plan,
                      struct gy_error *error)
{
    *plan = NULL;
    gy_assert(options->broadcast && options->publishers > 0); /* as the options were read */
    struct gy_pubsub_plan *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return gy_error_set(error, GY_ENOMEM, "making the messages: out of memory");
    }
    made->message_bytes = options->size_bytes;
    made->request_bytes = head_bytes + options->size_bytes + tail_bytes;
    made->publishers = options->publishers;
    made->count = options->pipeline;
    made->expected = malloc((size_t)made->message_bytes * made->count * made->publishers);
    made->requests = malloc((size_t)made->request_bytes * made->count * made->publishers);
    if (made->expected == NULL || made->requests == NULL) {
        gy_pubsub_finish(made);
        return gy_error_set(error, GY_ENOMEM, "making %u messages of %u bytes: out of memory",
                            options->pipeline * options->publishers, options->size_bytes);
    }
    write_requests(made, head, head_bytes, tail, tail_bytes);
    *plan = made;
    return gy_pubsub_channel(options, made->channel, error);
}

void gy_pubsub_finish(void *plan)
{
    struct gy_pubsub_plan *made = plan;
    if (made != NULL) {
        free(made->greeting);
        free(made->expected);
        free(made->requests);
        free(made);
    }
}

const void *gy_pubsub_requests(const void *plan, uint32_t *request_bytes)
{
    const struct gy_pubsub_plan *made = plan;
    *request_bytes = made->request_bytes;
    return made->requests;
}

const void *gy_pubsub_greeting(const void *plan, uint32_t *bytes)
{
    const struct gy_pubsub_plan *made = plan;
    *bytes = (uint32_t)made->greeting_bytes;
    return made->greeting;
}

void gy_pubsub_state_open(void *state, const void *plan, const struct gy_load_options *options,
                          uint32_t thread)
{
    (void)options;
    (void)thread;
    *(const struct gy_pubsub_plan **)state = plan;
}

void gy_pubsub_state_close(void *state)
{
    (void)state;
}

uint32_t gy_pubsub_take(struct gy_pubsub_message *message, const struct gy_pubsub_plan *plan,
                        const uint8_t *data, uint32_t bytes)
{
    uint32_t left = plan->message_bytes - message->received;
    uint32_t now = bytes < left ? bytes : left;
    if (message->received == 0 && now > 0) {
        uint32_t from = plan->publishers > 1 ? (uint32_t)data[0] - FIRST : 0;
        message->from = from < plan->publishers ? (uint8_t)from : 0; /* which then differs */
    }
    uint32_t place = message->from * plan->count + message->slots[message->from];
    const uint8_t *wanted =
        plan->expected + (size_t)place * plan->message_bytes + message->received;
    message->differs |= memcmp(data, wanted, now) != 0;
    message->received += now;
    return now;
}

/* Of sender `from`, the next message is another. */
static void advance(struct gy_pubsub_message *message, const struct gy_pubsub_plan *plan,
                    uint8_t from)
{
    uint16_t slot = message->slots[from];
    message->slots[from] = (uint16_t)(slot + 1u < plan->count ? slot + 1 : 0);
    message->from = from;
    message->received = 0;
    message->differs = false;
}

void gy_pubsub_skip(struct gy_pubsub_message *message, const struct gy_pubsub_plan *plan)
{
    advance(message, plan, message->own);
}

void gy_pubsub_appoint(void *session, uint32_t publisher)
{
    struct gy_pubsub_message *message = session;
    gy_assert(publisher < GY_LOAD_PUBLISHERS_MAX);
    message->publishes = true;
    message->own = (uint8_t)publisher;
}

uint32_t gy_pubsub_publisher(const void *session)
{
    return ((const struct gy_pubsub_message *)session)->from;
}

enum gy_load_progress gy_pubsub_end(struct gy_pubsub_message *message,
                                    const struct gy_pubsub_plan *plan)
{
    bool right = !message->differs && message->received == plan->message_bytes;
    advance(message, plan, message->from);
    return right ? GY_LOAD_ANSWER : GY_LOAD_BAD_BODY;
}

uint32_t gy_pubsub_read_line(struct gy_pubsub_line *line, const uint8_t *data, uint32_t bytes)
{
    if (line->whole) {
        line->have = 0;
        line->whole = false;
    }
    const uint8_t *end = memchr(data, '\n', bytes);
    uint32_t used = end != NULL ? (uint32_t)(end - data) + 1 : bytes;
    uint32_t text = end != NULL ? used - 1 : used;
    uint32_t room = GY_PUBSUB_LINE_MAX - 1 - line->have;
    uint32_t taken = text < room ? text : room;
    memcpy(line->text + line->have, data, taken);
    line->have = (uint16_t)(line->have + taken);
    if (end != NULL) {
        line->have -= line->have > 0 && line->text[line->have - 1] == '\r';
        line->text[line->have] = '\0';
        line->whole = true;
    }
    return used;
}

enum gy_load_progress gy_pubsub_expect(struct gy_pubsub_text *text,
                                       const struct gy_pubsub_plan *plan, const char *length)
{
    text->payload = true;
    text->tail = 2;
    return strtoul(length, NULL, 10) == plan->message_bytes ? GY_LOAD_MORE : GY_LOAD_BAD_BYTES;
}

enum gy_load_progress gy_pubsub_receive(
    struct gy_pubsub_text *text, const struct gy_pubsub_plan *plan,
    enum gy_load_progress (*take_line)(void *session, const struct gy_pubsub_plan *plan),
    const uint8_t *data, uint32_t bytes, uint32_t *used)
{
    enum gy_load_progress progress = GY_LOAD_MORE;
    uint32_t at = 0;
    while (at < bytes && progress == GY_LOAD_MORE) {
        if (!text->payload) {
            at += gy_pubsub_read_line(&text->line, data + at, bytes - at);
            progress = text->line.whole ? take_line(text, plan) : GY_LOAD_MORE;
        } else if (text->message.received < plan->message_bytes) {
            at += gy_pubsub_take(&text->message, plan, data + at, bytes - at);
        } else {
            at++; /* the CRLF's */
            if (--text->tail == 0) {
                text->payload = false;
                progress = gy_pubsub_end(&text->message, plan);
            }
        }
    }
    *used = at;
    return progress;
}
