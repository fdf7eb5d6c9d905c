/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Standard input, which may be anything that blocks: a helper reads it. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clients/chat/line.h"

static struct gy_line *line_of(struct gy_helper_job *job)
{
    char *input = (char *)job - offsetof(struct gy_line_input, job);
    return (struct gy_line *)(void *)(input - offsetof(struct gy_line, input));
}

/* On the helper. */
static void read_some(struct gy_helper_job *job)
{
    struct gy_line_input *input =
        (struct gy_line_input *)(void *)((char *)job - offsetof(struct gy_line_input, job));
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

/* ---- lines ---- */

static int join(struct gy_line *line, const char *name, uint32_t bytes)
{
    int place = gy_chat_client_join(&line->client, (struct gy_chat_text){name, bytes},
                                    GY_CHAT_SPILL, GY_CHAT_NONE, line->options->history);
    if (place < 0) {
        gy_line_tell(line, "/join: %s",
                     place == GY_ELIMIT ? "no more rooms at once"
                                        : "a room's name has 1 to 64 bytes");
        return place;
    }
    line->room = (uint32_t)place;
    return 0;
}

/* /msg NICK TEXT. */
static int message(struct gy_line *line, const char *text, uint32_t bytes, uint64_t *id)
{
    const char *space = memchr(text, ' ', bytes);
    uint32_t nick = space != NULL ? (uint32_t)(space - text) : bytes;
    if (nick == 0 || nick > 255 || nick + 1 >= bytes) {
        gy_line_tell(line, "/msg NICK TEXT: who, and what?");
        return GY_EINVAL;
    }
    return gy_chat_client_tell(&line->client, (struct gy_chat_text){text, nick},
                               (struct gy_chat_text){space + 1, bytes - nick - 1}, id);
}

/* GY_ENOBUFS: not now; other errors are told. */
static int command(struct gy_line *line, const char *text, uint32_t bytes)
{
    uint64_t id;
    if (bytes > 6 && memcmp(text, "/join ", 6) == 0) {
        return join(line, text + 6, bytes - 6);
    }
    if (bytes > 5 && memcmp(text, "/msg ", 5) == 0) {
        return message(line, text + 5, bytes - 5, &id);
    }
    if (bytes == 5 && memcmp(text, "/quit", 5) == 0) {
        line->input.ended = true;
        return 0;
    }
    gy_line_tell(line, "there are /join ROOM, /msg NICK TEXT and /quit; a message that begins with "
                       "a slash begins with two");
    return GY_EINVAL;
}

/* One line. GY_ENOBUFS: the outbox is full. */
static int say(struct gy_line *line)
{
    struct gy_line_input *input = &line->input;
    struct gy_chat_text text = {input->line, input->line_bytes};
    uint64_t id;
    if (text.length == 0) {
        return 0;
    }
    if (input->too_long || text.length > GY_CHAT_CONTENTS_MAX ||
        !gy_chat_is_text(text.bytes, text.length)) {
        line->lost++;
        fprintf(stderr, "gyre chat: line %llu of the input is not sent: it %s\n",
                (unsigned long long)input->number + 1,
                gy_chat_is_text(text.bytes, text.length) || input->too_long
                    ? "is longer than 16,000 bytes"
                    : "is not UTF-8");
        return GY_EINVAL;
    }
    if (!line->options->raw && text.bytes[0] == '/') {
        if (text.length < 2 || text.bytes[1] != '/') {
            return command(line, text.bytes, text.length);
        }
        text.bytes++;
        text.length--;
    }
    int code = gy_chat_client_say(&line->client, line->room, text, &id);
    if (code != 0 && code != GY_ENOBUFS) {
        line->lost++;
        gy_line_tell(line, "line %llu is not sent: the room is not joined",
                     (unsigned long long)input->number + 1);
    }
    return code;
}

static bool end_line(struct gy_line *line)
{
    if (say(line) == GY_ENOBUFS) {
        return false;
    }
    line->input.number++;
    line->input.line_bytes = 0;
    line->input.too_long = false;
    return true;
}

/* Lines of what was read, until all are taken (true) or the outbox is full. */
static bool take_lines(struct gy_line *line)
{
    struct gy_line_input *input = &line->input;
    while (input->used < input->bytes && !input->ended) {
        const uint8_t *from = input->data + input->used;
        uint32_t left = input->bytes - input->used;
        const uint8_t *end = memchr(from, '\n', left);
        uint32_t here = end != NULL ? (uint32_t)(end - from) : left;
        uint32_t room = (uint32_t)sizeof input->line - 1 - input->line_bytes;
        uint32_t now = here < room ? here : room;
        memcpy(input->line + input->line_bytes, from, now);
        input->too_long = input->too_long || now < here;
        input->line_bytes += now;
        input->used += here;
        if (end == NULL) {
            break;
        }
        if (!end_line(line)) {
            return false; /* its newline is found again, behind nothing */
        }
        input->used++;
    }
    return true;
}

static void was_read(struct gy_helper_job *job)
{
    struct gy_line *line = line_of(job);
    struct gy_line_input *input = &line->input;
    input->reading = false;
    if (input->got < 0 && input->error != ECANCELED && input->error != EINTR) {
        gy_line_fail(line, GY_EIO, "reading standard input: %s", strerror(input->error));
    } else if (input->got == 0) {
        input->ended = true;
        if (input->line_bytes > 0 && !end_line(line)) {
            input->ended = false; /* a last line without its end: when there is room */
            input->data[0] = '\n';
            input->used = 0;
            input->bytes = 1;
        }
    } else if (input->got > 0) {
        input->used = 0;
        input->bytes = (uint32_t)input->got;
    }
    gy_line_follow(line);
}

void gy_line_take_input(struct gy_line *line)
{
    struct gy_line_input *input = &line->input;
    if (input->reading || input->ended || line->over || line->leaving) {
        return;
    }
    if (!take_lines(line) || input->ended) {
        return;
    }
    input->error = 0;
    input->job = (struct gy_helper_job){.run = read_some, .done = was_read};
    input->reading = gy_helper_submit(line->helper, &input->job) == 0;
}

int gy_line_input_open(struct gy_line *line, struct gy_error *error)
{
    line->input.stop = eventfd(0, EFD_CLOEXEC);
    if (line->input.stop < 0) {
        return gy_error_set(error, GY_ENOFILE, "preparing to read standard input: %m");
    }
    return gy_helper_open(&line->helper, &line->worker, 1, error);
}

void gy_line_input_close(struct gy_line *line)
{
    uint64_t one = 1;
    if (line->input.reading) {
        ssize_t written = write(line->input.stop, &one, sizeof one);
        gy_assert(written == (ssize_t)sizeof one);
        while (line->input.reading && gy_worker_turn(&line->worker, 10000000) == 0) {
        }
    }
    if (line->helper != NULL) {
        gy_helper_close(line->helper);
    }
    if (line->input.stop >= 0) {
        close(line->input.stop);
    }
}
