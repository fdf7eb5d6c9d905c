/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Standard input, which may be anything that blocks: a helper reads it. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clients/ws/talk.h"
#include "core/descriptor.h"
#include "core/utf8.h"

/* What comes back in the Pong: nobody else sends Pings with it. */
#define END_OF_INPUT "end of input"

/* Input is read while less than this waits to be sent. */
#define OUTPUT_LOW 65536

static struct gy_talk *talk_of(struct gy_helper_job *job)
{
    char *input = (char *)job - offsetof(struct gy_talk_input, job);
    return (struct gy_talk *)(void *)(input - offsetof(struct gy_talk, input));
}

/* On the helper. */
static void read_some(struct gy_helper_job *job)
{
    struct gy_talk_input *input =
        (struct gy_talk_input *)(void *)((char *)job - offsetof(struct gy_talk_input, job));
    struct pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = input->stop, .events = POLLIN}};
    while (poll(sources, 2, -1) < 0) {
    }
    if (sources[1].revents != 0) {
        input->got = -1;
        input->error = ECANCELED;
        return;
    }
    input->got = read(STDIN_FILENO, input->data, sizeof input->data);
    input->error = errno;
}

static bool said(struct gy_talk *talk, int code, uint32_t bytes)
{
    if (code != 0 && code != GY_ESTATE) { /* while it closes, nobody listens */
        gy_talk_fail(talk, code, "sending a message of %u bytes: %s", bytes, gy_error_text(code));
    }
    return code == 0;
}

/* One message. False when the conversation cannot go on. */
static bool say(struct gy_talk *talk, enum gy_ws_kind kind, const uint8_t *data, uint32_t bytes)
{
    struct gy_chain payload;
    int code = 0;
    if (bytes <= GY_WS_COPY_MAX) { /* many short ones lie behind each other, and need few links */
        code = gy_ws_send_copy(&talk->ws, kind, data, bytes);
        return said(talk, code, bytes);
    }
    gy_chain_init(&payload, &talk->worker.links);
    for (uint32_t at = 0; at < bytes && code == 0;) {
        uint32_t now = bytes - at < GY_BUMP_BLOCK_BYTES ? bytes - at : GY_BUMP_BLOCK_BYTES;
        code = gy_bump_copy(&talk->worker.bump, &payload, data + at, now);
        at += now;
    }
    code = code == 0 ? gy_ws_send(&talk->ws, kind, &payload) : code;
    gy_chain_clear(&payload);
    return said(talk, code, bytes);
}

static bool is_text(const uint8_t *data, uint32_t bytes)
{
    uint32_t code;
    for (uint32_t at = 0; at < bytes;) {
        size_t length = gy_utf8_decode((const char *)data + at, bytes - at, &code);
        if (length == 0) {
            return false;
        }
        at += (uint32_t)length;
    }
    return true;
}

static bool say_line(struct gy_talk *talk)
{
    uint32_t bytes = talk->line_bytes;
    talk->line_number++;
    talk->line_bytes = 0;
    if (!is_text(talk->line, bytes)) {
        gy_talk_fail(talk, GY_EINVAL,
                     "line %llu of the input is not UTF-8, and text messages are; --binary sends "
                     "bytes as they are",
                     (unsigned long long)talk->line_number);
        return false;
    }
    return say(talk, GY_WS_TEXT, talk->line, bytes);
}

static bool say_lines(struct gy_talk *talk, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const uint8_t *end = memchr(data + at, '\n', bytes - at);
        size_t here = end != NULL ? (size_t)(end - data) - at : bytes - at;
        if (here > GY_TALK_LINE_MAX - talk->line_bytes) {
            gy_talk_fail(talk, GY_ELIMIT,
                         "line %llu of the input is longer than %u bytes; --binary has no lines",
                         (unsigned long long)talk->line_number + 1, GY_TALK_LINE_MAX);
            return false;
        }
        memcpy(talk->line + talk->line_bytes, data + at, here);
        talk->line_bytes += (uint32_t)here;
        at += here + (end != NULL);
        if (end != NULL && !say_line(talk)) {
            return false;
        }
    }
    return true;
}

static void end_input(struct gy_talk *talk)
{
    talk->input.ended = true;
    if ((talk->line_bytes > 0 && !say_line(talk)) || !gy_ws_is_open(&talk->ws)) {
        return;
    }
    int code = gy_ws_ping(&talk->ws, END_OF_INPUT, sizeof END_OF_INPUT - 1);
    if (code != 0) {
        gy_talk_fail(talk, code, "at the end of the input: %s", gy_error_text(code));
    }
}

/* On the worker again. */
static void was_read(struct gy_helper_job *job)
{
    struct gy_talk *talk = talk_of(job);
    struct gy_talk_input *input = &talk->input;
    input->reading = false;
    if (talk->over || !talk->open || input->error == ECANCELED) {
        return;
    }
    if (input->got < 0 && input->error != EINTR && input->error != EAGAIN) {
        gy_talk_fail(talk, GY_EIO, "reading standard input: %s", strerror(input->error));
        return;
    }
    if (input->got == 0) {
        end_input(talk);
    } else if (input->got > 0) {
        size_t bytes = (size_t)input->got;
        bool went = talk->options->binary ? say(talk, GY_WS_BINARY, input->data, (uint32_t)bytes)
                                          : say_lines(talk, input->data, bytes);
        if (!went) {
            input->ended = true;
        }
    }
    gy_talk_follow(talk);
}

void gy_talk_read_input(struct gy_talk *talk)
{
    struct gy_talk_input *input = &talk->input;
    if (input->reading || input->ended || talk->over || !talk->open || !gy_ws_is_open(&talk->ws) ||
        talk->out.length > OUTPUT_LOW) {
        return;
    }
    input->error = 0;
    input->job = (struct gy_helper_job){.run = read_some, .done = was_read};
    input->reading = gy_helper_submit(talk->helper, &input->job) == 0;
}

int gy_talk_input_open(struct gy_talk *talk, struct gy_error *error)
{
    talk->input.stop = eventfd(0, EFD_CLOEXEC);
    talk->line = malloc(GY_TALK_LINE_MAX);
    if (talk->input.stop < 0 || talk->line == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing to read standard input: out of memory");
    }
    return gy_helper_open(&talk->helper, &talk->worker, 1, error);
}

void gy_talk_input_close(struct gy_talk *talk)
{
    uint64_t one = 1;
    if (talk->input.reading) {
        ssize_t written = write(talk->input.stop, &one, sizeof one);
        gy_assert(written == (ssize_t)sizeof one);
        while (talk->input.reading && gy_worker_turn(&talk->worker, 10000000) == 0) {
        }
    }
    if (talk->helper != NULL) {
        gy_helper_close(talk->helper);
    }
    gy_descriptor_close(talk->input.stop);
    free(talk->line);
}
