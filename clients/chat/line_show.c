/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What people and pipes get to see. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clients/chat/line.h"
#include "core/utf8.h"

void gy_line_tell(const struct gy_line *line, const char *format, ...)
{
    va_list arguments;
    if (line->options->quiet) {
        return;
    }
    va_start(arguments, format);
    fprintf(stderr, "gyre chat: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

void gy_line_clean(struct gy_chat_text text, char *to)
{
    for (size_t at = 0; at < text.length;) {
        uint32_t code = 0;
        size_t step = gy_utf8_decode(text.bytes + at, text.length - at, &code);
        if (step == 0 || gy_utf8_misleads(code)) {
            *to++ = code == '\n' || code == '\t' ? ' ' : '?';
            at += step != 0 ? step : 1;
        } else {
            memcpy(to, text.bytes + at, step);
            to += step;
            at += step;
        }
    }
    *to = '\0';
}

/* A string of JSON (RFC 8259 §7), which UTF-8 is as it stands. */
static void put_json(struct gy_chat_text text)
{
    putchar('"');
    for (uint32_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.bytes[i];
        if (byte == '"' || byte == '\\') {
            putchar('\\');
            putchar(byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            printf("\\u%04x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('"');
}

static const char *const kinds[] = {"message", "edit", "delete", "topic", "moderation"};

static void show_json(const struct gy_line *line, const struct gy_chat_client_event *event)
{
    const struct gy_chat_client_room *room = &line->rooms[event->room];
    const struct gy_chat_frame *frame = &event->frame;
    uint8_t kind = frame->body.message.kind;
    printf("{\"room\": ");
    put_json((struct gy_chat_text){room->name, room->name_bytes});
    printf(", \"id\": %llu, \"time_ms\": %llu, \"kind\": \"%s\", \"from\": ",
           (unsigned long long)frame->body.message.id, (unsigned long long)frame->body.message.time,
           kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : "unknown");
    put_json(frame->body.message.from);
    if (frame->body.message.target != 0) {
        printf(", \"target\": %llu", (unsigned long long)frame->body.message.target);
    }
    printf(", \"past\": %s, \"text\": ", (frame->flags & GY_CHAT_PAST) != 0 ? "true" : "false");
    put_json(frame->body.message.contents);
    printf("}\n");
}

static void show_plain(const struct gy_line *line, const struct gy_chat_client_event *event)
{
    static char contents[GY_CHAT_CONTENTS_MAX + 65536];
    char from[256];
    char room[GY_CHAT_ROOM_MAX + 1];
    const struct gy_chat_client_room *place = &line->rooms[event->room];
    const struct gy_chat_frame *frame = &event->frame;
    unsigned long long target = frame->body.message.target;
    gy_line_clean(frame->body.message.from, from);
    gy_line_clean(frame->body.message.contents, contents);
    gy_line_clean((struct gy_chat_text){place->name, place->name_bytes}, room);
    if (line->options->room_count > 1 || event->room != 0) {
        printf("[%s] ", room);
    }
    switch (frame->body.message.kind) {
    case GY_CHAT_SAID:
        printf("<%s> %s\n", from, contents);
        break;
    case GY_CHAT_EDITED:
        printf("* %s corrects %llu: %s\n", from, target, contents);
        break;
    case GY_CHAT_DELETED:
        printf("* %s deletes %llu\n", from, target);
        break;
    case GY_CHAT_TOPIC_SET:
        printf("* %s sets the topic: %s\n", from, contents);
        break;
    default:
        printf("* %s: %s\n", from, contents);
    }
}

bool gy_line_show(struct gy_line *line, const struct gy_chat_client_event *event)
{
    if (line->options->json) {
        show_json(line, event);
    } else {
        show_plain(line, event);
    }
    return fflush(stdout) == 0;
}
