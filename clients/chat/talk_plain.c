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
#define STALLED_MS     30000 /* without an answer, at the end of the input */
#define UNDER_WAY_MAX  64    /* lines that are not acknowledged; then nothing is read */
#define TURN_MS        200

struct plain {
    const struct gy_chat_talk_options *options;
    struct gy_chatter *chat;
    char line[LINE_MAX_BYTES + 1];
    size_t have;
    uint64_t messages;
    uint64_t answered_ms; /* behind the end: when it was, or the server answered something */
    bool watched;
    bool read_all;                     /* the input has ended; `line` may have some yet */
    bool ended;                        /* nothing more is said */
    bool joined;                       /* the first room, or it was refused */
    bool failed;                       /* something was refused */
    bool listing;                      /* a list of rooms is to be answered */
    struct gy_chat_own own;            /* what was said last */
    char listed[GY_CHAT_ROOM_MAX + 1]; /* the last room that /rooms brought */
};

void gy_chat_talk_print(FILE *out, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t code = 0xfffd;
        size_t bytes = gy_utf8_decode(text, left, &code);
        if (bytes == 0 || (gy_utf8_misleads(code) && code != '\n' && code != '\t')) {
            fputs("\xef\xbf\xbd", out);
        } else if (code == '\n' || code == '\t') {
            putc(' ', out);
        } else {
            fwrite(text, 1, bytes, out);
        }
        bytes = bytes > 0 ? bytes : 1;
        text += bytes;
        left -= bytes;
    }
}

static void print_text(const char *text)
{
    gy_chat_talk_print(stdout, text);
}

/* What would drive a terminal is escaped, as JSON allows for every character. */
void gy_chat_talk_json(const char *key, const char *text)
{
    size_t left = strlen(text);
    printf(",\"%s\":\"", key);
    while (left > 0) {
        uint32_t code = 0xfffd;
        size_t bytes = gy_utf8_decode(text, left, &code);
        if (bytes == 0 || gy_utf8_misleads(code)) { /* none of these is past 0xffff */
            printf("\\u%04x", bytes == 0 ? 0xfffdu : code);
        } else if (code == '"' || code == '\\') {
            printf("\\%c", (char)code);
        } else {
            fwrite(text, 1, bytes, stdout);
        }
        bytes = bytes > 0 ? bytes : 1;
        text += bytes;
        left -= bytes;
    }
    putchar('"');
}

void gy_chat_talk_json_room(const struct gy_chatter_event *event)
{
    printf("{\"type\":\"room\"");
    gy_chat_talk_json("name", event->other);
    printf(",\"members\":%llu", (unsigned long long)event->id);
    gy_chat_talk_json("topic", event->text);
    puts("}");
}

static void print_json(const char *type, const struct gy_chatter_event *event)
{
    if (event->type == GY_CHATTER_ROOM) {
        gy_chat_talk_json_room(event);
        return;
    }
    printf("{\"type\":\"%s\"", type);
    if (event->room != NULL) {
        gy_chat_talk_json("room", event->room);
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
        gy_chat_talk_json("nick", event->nick);
    }
    if (event->text != NULL) {
        gy_chat_talk_json("text", event->text);
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
    printf("%s %s", when, strcmp(event->room, "@") == 0 ? "" : "#");
    print_text(event->room);
    putchar(' ');
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

static void print_room(const struct gy_chatter_event *event)
{
    printf("* #");
    print_text(event->other);
    printf(" (%llu)%s", (unsigned long long)event->id, event->text[0] != '\0' ? ": " : "");
    print_text(event->text);
    putchar('\n');
}

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const struct plain *plain, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_error(const char *format, va_list arguments)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    fputs("gyre chat: ", stderr);
    gy_chat_talk_print(stderr, text);
    fputc('\n', stderr);
}

static void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_error(format, arguments);
    va_end(arguments);
}

static void tell(const struct plain *plain, const char *format, ...)
{
    va_list arguments;
    if (!plain->options->quiet) {
        va_start(arguments, format);
        print_error(format, arguments);
        va_end(arguments);
    }
}

/* What the server answered: it is there, and keeps up. */
static void note_answer(struct plain *plain, const struct gy_chatter_event *event)
{
    bool first_room = event->room != NULL && strcmp(event->room, plain->options->rooms[0]) == 0;
    bool failed = event->type == GY_CHATTER_ERROR;
    if (failed || event->type == GY_CHATTER_ONLINE || event->type == GY_CHATTER_JOINED ||
        event->mine) {
        plain->answered_ms = gy_chatter_now_ms(plain->chat);
    }
    plain->joined |= first_room && (failed || event->type == GY_CHATTER_JOINED);
    plain->failed |= failed;
    plain->listing &= event->type != GY_CHATTER_DONE && event->type != GY_CHATTER_OFFLINE;
}

static void take_event(struct plain *plain, const struct gy_chatter_event *event)
{
    static const char *const names[] = {"",       "online", "offline", "joined", "message", "end",
                                        "member", "came",   "types",   "status", "gap",     "error",
                                        "input",  "notice", "room",    "report", "done"};
    bool message = event->type == GY_CHATTER_MESSAGE;
    note_answer(plain, event);
    gy_chat_words_note(&plain->own, event);
    if (event->type == GY_CHATTER_ROOM) {
        snprintf(plain->listed, sizeof plain->listed, "%s", event->other);
    }
    if (message && !event->mine) {
        plain->messages++;
    }
    if (plain->options->json) {
        print_json(names[event->type], event);
    } else if (message && !event->mine) {
        print_message(event);
    } else if (event->type == GY_CHATTER_ROOM) {
        print_room(event);
    } else if (event->type == GY_CHATTER_DONE && event->more) {
        tell(plain, "there are more: /rooms %s", plain->listed);
    } else if (event->type == GY_CHATTER_NOTICE) {
        fputs("* ", stdout);
        print_text(event->nick);
        fputs(" tells everybody: ", stdout);
        print_text(event->text);
        putchar('\n');
    } else if (event->type == GY_CHATTER_OFFLINE) {
        tell(plain, "%s; connecting again", event->text);
    } else if (event->type == GY_CHATTER_GAP) {
        tell(plain, "%s: messages %llu to %llu are missing", event->room,
             (unsigned long long)event->id, (unsigned long long)event->last);
    } else if (event->type == GY_CHATTER_ERROR) {
        complain("%s", event->text);
    } else if (event->type == GY_CHATTER_ONLINE) {
        tell(plain, "in as %s", event->nick);
    } else if (event->type == GY_CHATTER_JOINED) {
        tell(plain, "joined %s", event->room);
    }
    fflush(stdout);
}

static void take_line(struct plain *plain, const char *line)
{
    struct gy_chat_said said;
    enum gy_chat_words words =
        gy_chat_words_do(plain->chat, plain->options->rooms[0], &plain->own, line, &said);
    if (words == GY_CHAT_WORDS_WRONG) {
        complain("%s", said.reply);
        plain->failed = true;
    } else if (words == GY_CHAT_WORDS_QUIT) {
        plain->ended = true;
    } else if (strncmp(line, "/rooms", 6) == 0) {
        plain->listing = true;
    }
}

/* More is said while the server keeps up. */
static bool may_say(const struct plain *plain)
{
    return !plain->ended && gy_chatter_unacknowledged(plain->chat) < UNDER_WAY_MAX;
}

/* A question needs a connection, and what was said last has a number only when it is acknowledged.
 */
static bool must_wait(const struct plain *plain)
{
    bool about_own =
        strncmp(plain->line, "/edit", 5) == 0 || strncmp(plain->line, "/delete", 7) == 0;
    bool waits = gy_chatter_unacknowledged(plain->chat) > 0 || gy_chatter_has_more(plain->chat);
    return (about_own && waits) || (strncmp(plain->line, "/rooms", 6) == 0 && !plain->joined);
}

static void take_lines(struct plain *plain)
{
    char *end;
    while (may_say(plain) && (end = memchr(plain->line, '\n', plain->have)) != NULL) {
        if (must_wait(plain)) {
            return;
        }
        size_t bytes = (size_t)(end - plain->line) + 1;
        *end = '\0';
        take_line(plain, plain->line);
        plain->have -= bytes;
        memmove(plain->line, plain->line + bytes, plain->have);
    }
    if (!may_say(plain) || memchr(plain->line, '\n', plain->have) != NULL) {
        return;
    }
    if (plain->have == LINE_MAX_BYTES) {
        complain("a line of the input is longer than %u bytes", LINE_MAX_BYTES);
        plain->failed = plain->ended = true;
    } else if (plain->read_all) {
        plain->line[plain->have] = '\0';
        if (must_wait(plain)) {
            return;
        }
        if (plain->have > 0) { /* a last line without an end */
            take_line(plain, plain->line);
        }
        plain->ended = true;
    }
}

/* Reads once: what gy_chatter_watch() saw. */
static void take_input(struct plain *plain)
{
    ssize_t got = read(STDIN_FILENO, plain->line + plain->have, LINE_MAX_BYTES - plain->have);
    plain->watched = false;
    if (got > 0) {
        plain->have += (size_t)got;
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        plain->read_all = true;
    }
}

/* How long to go on behind the end of the input, in ms; 0: it is over. */
static uint64_t time_left(const struct plain *plain)
{
    uint64_t passed = gy_chatter_now_ms(plain->chat) - plain->answered_ms;
    uint64_t wait = plain->options->wait_ms;
    bool waits = gy_chatter_unacknowledged(plain->chat) > 0 || !plain->joined || plain->listing;
    if (wait == GY_CHAT_TALK_FOREVER) {
        return TURN_MS;
    }
    wait = waits && wait < STALLED_MS ? STALLED_MS : wait;
    return passed >= wait ? 0 : wait - passed;
}

/* True while there is something to wait for; then an event may have come. */
static bool go_on(struct plain *plain)
{
    const struct gy_chat_talk_options *options = plain->options;
    if ((options->count != 0 && plain->messages >= options->count) || ferror(stdout) != 0) {
        return false;
    }
    if (!plain->ended) {
        plain->answered_ms = gy_chatter_now_ms(plain->chat);
        take_lines(plain);
    }
    bool reads =
        !plain->read_all && may_say(plain) && memchr(plain->line, '\n', plain->have) == NULL;
    if (reads && !plain->watched) {
        plain->watched = gy_chatter_watch(plain->chat, STDIN_FILENO) == 0;
    }
    return !plain->ended || time_left(plain) > 0;
}

static int outcome(const struct plain *plain)
{
    const struct gy_chat_talk_options *options = plain->options;
    uint32_t left = gy_chatter_unacknowledged(plain->chat);
    if (left > 0) {
        complain("the server has not acknowledged %u of the lines", left);
    }
    if (ferror(stdout) != 0) {
        complain("what comes cannot be written: standard output is closed or full");
    }
    bool few = options->count != 0 && plain->messages < options->count;
    return plain->failed || left > 0 || few || !plain->joined || ferror(stdout) != 0 ? 1 : 0;
}

int gy_chat_talk_plain(const struct gy_chat_talk_options *options, struct gy_chatter *chat,
                       const volatile int *stop)
{
    static struct plain plain;
    struct gy_chatter_event event;
    plain = (struct plain){.options = options, .chat = chat};
    while (*stop == 0 && go_on(&plain)) {
        int got = gy_chatter_next(chat, TURN_MS, &event);
        if (got < 0) {
            complain("%s", gy_chatter_failure(chat));
            return 1;
        }
        if (got > 0 && event.type == GY_CHATTER_INPUT) {
            take_input(&plain);
        } else if (got > 0) {
            take_event(&plain, &event);
        }
    }
    return outcome(&plain);
}
