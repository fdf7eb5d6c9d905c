/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Lines for pipes and scripts: what is read is said in the first room, what comes is printed. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/chat/talk.h"
#include "clients/chat/talk_words.h"
#include "core/utf8.h"

#define LINE_MAX_BYTES 65536
#define ACK_WAIT_MS    10000 /* at the end, for what is not acknowledged */

struct plain {
    const struct gy_chat_talk_options *options;
    struct gy_chatter *chat;
    char line[LINE_MAX_BYTES + 1];
    size_t have;
    uint64_t messages;
    bool ended;  /* the input */
    bool failed; /* something was refused */
};

/* Another person's words: without what would drive the terminal, and on one line. */
static void print_text(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t code = 0xfffd;
        size_t bytes = gy_utf8_decode(text, left, &code);
        if (bytes == 0 || (gy_utf8_misleads(code) && code != '\n' && code != '\t')) {
            fputs("\xef\xbf\xbd", stdout);
        } else if (code == '\n' || code == '\t') {
            putchar(' ');
        } else {
            fwrite(text, 1, bytes, stdout);
        }
        bytes = bytes > 0 ? bytes : 1;
        text += bytes;
        left -= bytes;
    }
}

static void print_json_text(const char *key, const char *text)
{
    printf(",\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            printf("\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            printf("\\u%04x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('"');
}

static void print_json(const char *type, const struct gy_chatter_event *event)
{
    printf("{\"type\":\"%s\"", type);
    if (event->room != NULL) {
        print_json_text("room", event->room);
    }
    if (event->id != 0) {
        printf(",\"id\":%llu", (unsigned long long)event->id);
    }
    if (event->time_ms != 0) {
        printf(",\"time_ms\":%llu", (unsigned long long)event->time_ms);
    }
    if (event->type == GY_CHATTER_MESSAGE) {
        printf(",\"kind\":%u,\"mine\":%s,\"past\":%s", event->kind, event->mine ? "true" : "false",
               event->past ? "true" : "false");
        if (event->target != 0) {
            printf(",\"target\":%llu", (unsigned long long)event->target);
        }
    }
    if (event->type == GY_CHATTER_GAP) {
        printf(",\"last\":%llu", (unsigned long long)event->last);
    }
    if (event->type == GY_CHATTER_ERROR) {
        printf(",\"code\":%u", event->code);
    }
    if (event->nick != NULL) {
        print_json_text("nick", event->nick);
    }
    if (event->text != NULL) {
        print_json_text("text", event->text);
    }
    puts("}");
}

static void print_message(const struct gy_chatter_event *event)
{
    char when[16];
    struct tm local;
    time_t seconds = (time_t)(event->time_ms / 1000);
    if (localtime_r(&seconds, &local) == NULL ||
        strftime(when, sizeof when, "%H:%M:%S", &local) == 0) {
        when[0] = '\0';
    }
    printf("%s %s%s ", when, strcmp(event->room, "@") == 0 ? "" : "#", event->room);
    switch (event->kind) {
    case GY_CHAT_SAID:
        fputs("<", stdout);
        print_text(event->nick);
        fputs("> ", stdout);
        print_text(event->text);
        break;
    case GY_CHAT_EDITED:
        print_text(event->nick);
        printf(" changed %llu: ", (unsigned long long)event->target);
        print_text(event->text);
        break;
    case GY_CHAT_DELETED:
        print_text(event->nick);
        printf(" took back %llu", (unsigned long long)event->target);
        break;
    case GY_CHAT_TOPIC_SET:
        print_text(event->nick);
        fputs(" set the topic: ", stdout);
        print_text(event->text);
        break;
    default:
        print_text(event->text);
    }
    putchar('\n');
}

static void tell(const struct plain *plain, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell(const struct plain *plain, const char *format, ...)
{
    va_list arguments;
    if (plain->options->quiet) {
        return;
    }
    va_start(arguments, format);
    fputs("gyre chat: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static void take_event(struct plain *plain, const struct gy_chatter_event *event)
{
    static const char *const names[] = {"",    "online", "offline", "joined", "message",
                                        "end", "member", "came",    "types",  "status",
                                        "gap", "error",  "input"};
    bool message = event->type == GY_CHATTER_MESSAGE;
    if (message && !event->mine) {
        plain->messages++;
    }
    plain->failed |= event->type == GY_CHATTER_ERROR;
    if (plain->options->json) {
        print_json(names[event->type], event);
    } else if (message && !event->mine) {
        print_message(event);
    } else if (event->type == GY_CHATTER_OFFLINE) {
        tell(plain, "%s; connecting again", event->text);
    } else if (event->type == GY_CHATTER_GAP) {
        tell(plain, "%s: messages %llu to %llu are missing", event->room,
             (unsigned long long)event->id, (unsigned long long)event->last);
    } else if (event->type == GY_CHATTER_ERROR) {
        fprintf(stderr, "gyre chat: %s\n", event->text);
    } else if (event->type == GY_CHATTER_ONLINE) {
        tell(plain, "in as %s", event->nick);
    }
    fflush(stdout);
}

static void take_line(struct plain *plain, const char *line)
{
    struct gy_chat_said said;
    enum gy_chat_words words = gy_chat_words_do(plain->chat, plain->options->rooms[0], line, &said);
    if (words == GY_CHAT_WORDS_WRONG) {
        fprintf(stderr, "gyre chat: %s\n", said.reply);
        plain->failed = true;
    } else if (words == GY_CHAT_WORDS_QUIT) {
        plain->ended = true;
    }
}

static void take_lines(struct plain *plain)
{
    char *end;
    while (!plain->ended && (end = memchr(plain->line, '\n', plain->have)) != NULL) {
        size_t bytes = (size_t)(end - plain->line) + 1;
        *end = '\0';
        take_line(plain, plain->line);
        plain->have -= bytes;
        memmove(plain->line, plain->line + bytes, plain->have);
    }
}

/* Reads once: what gy_chatter_watch() saw. */
static void take_input(struct plain *plain)
{
    ssize_t got = read(STDIN_FILENO, plain->line + plain->have, LINE_MAX_BYTES - plain->have);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got > 0) {
        plain->have += (size_t)got;
        take_lines(plain);
        if (plain->have == LINE_MAX_BYTES) {
            fprintf(stderr, "gyre chat: a line of the input is longer than %u bytes\n",
                    LINE_MAX_BYTES);
            plain->failed = plain->ended = true;
        }
        return;
    }
    if (plain->have > 0) { /* a last line without an end */
        plain->line[plain->have] = '\0';
        take_line(plain, plain->line);
    }
    plain->ended = true;
}

/* How long to go on, in ms; 0: it is over. */
static int time_left(const struct plain *plain, uint64_t ended_ms)
{
    uint64_t passed = gy_chatter_now_ms(plain->chat) - ended_ms;
    bool unacknowledged = gy_chatter_unacknowledged(plain->chat) > 0;
    uint64_t wait = unacknowledged && plain->options->wait_ms < ACK_WAIT_MS
                        ? ACK_WAIT_MS
                        : plain->options->wait_ms;
    return passed >= wait ? 0 : wait - passed > 60000 ? 60000 : (int)(wait - passed);
}

/* More is read while the server keeps up. */
static bool wants_input(const struct plain *plain)
{
    return !plain->ended && gy_chatter_unacknowledged(plain->chat) < 64;
}

int gy_chat_talk_plain(const struct gy_chat_talk_options *options, struct gy_chatter *chat,
                       const volatile int *stop)
{
    static struct plain plain;
    struct gy_chatter_event event;
    bool watched = false;
    uint64_t ended_ms = 0;
    plain = (struct plain){.options = options, .chat = chat};
    while (*stop == 0 && (options->count == 0 || plain.messages < options->count)) {
        int timeout_ms = 200;
        if (!watched && wants_input(&plain)) {
            watched = gy_chatter_watch(chat, STDIN_FILENO) == 0;
        }
        if (plain.ended) {
            ended_ms = ended_ms != 0 ? ended_ms : gy_chatter_now_ms(chat);
            timeout_ms = time_left(&plain, ended_ms);
        }
        if (timeout_ms == 0) {
            break;
        }
        int got = gy_chatter_next(chat, timeout_ms > 200 ? 200 : timeout_ms, &event);
        if (got < 0) {
            fprintf(stderr, "gyre chat: %s\n", gy_chatter_failure(chat));
            return 1;
        }
        if (got > 0 && event.type == GY_CHATTER_INPUT) {
            watched = false;
            take_input(&plain);
        } else if (got > 0) {
            take_event(&plain, &event);
        }
    }
    uint32_t left = gy_chatter_unacknowledged(chat);
    if (left > 0) {
        fprintf(stderr, "gyre chat: the server has not acknowledged %u of the lines\n", left);
    }
    return plain.failed || left > 0 ? 1 : 0;
}
