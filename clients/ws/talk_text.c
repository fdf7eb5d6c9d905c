/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What people and pipes get to see. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/ws/talk.h"

const char *gy_talk_code_text(uint16_t code)
{
    switch (code) {
    case GY_WS_NORMAL:
        return "it is done";
    case GY_WS_GOING_AWAY:
        return "it is going away";
    case GY_WS_PROTOCOL_ERROR:
        return "it says that we broke the protocol";
    case GY_WS_UNSUPPORTED:
        return "it does not take messages of this kind";
    case GY_WS_NO_CODE:
        return "it gave no code";
    case GY_WS_NOT_TEXT:
        return "it says that a message was not what its kind promises";
    case GY_WS_POLICY:
        return "a message is against its policy";
    case GY_WS_TOO_BIG:
        return "a message is too big for it";
    case 1010:
        return "it misses an extension";
    case GY_WS_INTERNAL:
        return "it met an error of its own";
    case 1012:
        return "it is restarting";
    case GY_WS_TRY_LATER:
        return "it is overloaded; try later";
    case 1014:
        return "the server behind it did not answer rightly";
    default:
        return code < 4000 ? "a code of a registered application" : "a code of its application";
    }
}

static bool put(const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, data, bytes);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            data += written;
            bytes -= (size_t)written;
        }
    }
    return true;
}

#define C1_LEAD 0xc2 /* the first of a C1 control's two bytes (RFC 3629 §3) */

/* A terminal obeys control characters: it is shown them instead, but for tabs and line ends. */
static bool put_whole(const uint8_t *data, size_t bytes)
{
    size_t from = 0;
    for (size_t at = 0; at < bytes; at++) {
        bool c1 = data[at] == C1_LEAD && at + 1 < bytes && data[at + 1] < 0xa0;
        if (!c1 && (data[at] >= 0x20 || data[at] == '\t' || data[at] == '\n') && data[at] != 0x7f) {
            continue;
        }
        char shown[8];
        int length = c1 ? snprintf(shown, sizeof shown, "<%02X>", data[at + 1])
                        : snprintf(shown, sizeof shown, "^%c", data[at] ^ 0x40);
        if (!put(data + from, at - from) || !put((const uint8_t *)shown, (size_t)length)) {
            return false;
        }
        at += c1;
        from = at + 1;
    }
    return put(data + from, bytes - from);
}

/* The same for the next piece of a message. A C1_LEAD at its end waits for the piece behind it:
 * `lead` is whether one does. */
static bool put_safe(const uint8_t *data, size_t bytes, bool *lead)
{
    if (bytes == 0) {
        return true;
    }
    if (*lead) {
        const uint8_t pair[2] = {C1_LEAD, data[0]};
        *lead = false;
        if (!put_whole(pair, sizeof pair)) {
            return false;
        }
        data++;
        bytes--;
    }
    if (bytes > 0 && data[bytes - 1] == C1_LEAD) {
        *lead = true;
        bytes--;
    }
    return put_whole(data, bytes);
}

static bool show_all(const struct gy_chain *message, bool safe)
{
    bool lead = false;
    for (const struct gy_link *link = message->head; link != NULL; link = link->next) {
        const uint8_t *data = gy_slice_data(link->slice);
        if (safe ? !put_safe(data, link->slice.length, &lead) : !put(data, link->slice.length)) {
            return false;
        }
    }
    return true;
}

bool gy_talk_show(struct gy_talk *talk, enum gy_ws_kind kind, const struct gy_chain *message)
{
    bool terminal = isatty(STDOUT_FILENO);
    bool person = terminal && isatty(STDIN_FILENO);
    if (talk->options->binary) {
        return show_all(message, false);
    }
    if (kind == GY_WS_BINARY) {
        fprintf(stderr,
                "gyre ws: a binary message of %u bytes is not shown; --binary writes them\n",
                message->length);
        return true;
    }
    return (!person || put((const uint8_t *)"< ", 2)) && show_all(message, terminal) &&
           put((const uint8_t *)"\n", 1);
}
