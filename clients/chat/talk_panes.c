/* SPDX-License-Identifier: GPL-3.0-or-later */

/* On a terminal: what the client tells goes to the screen, what the keys say to the client. */

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/chat/screen.h"
#include "clients/chat/talk.h"
#include "clients/chat/talk_words.h"

#define EARLIER_COUNT 50
#define TYPING_MS     3000
#define TURN_MS       500

struct panes {
    const struct gy_chat_talk_options *options;
    struct gy_chatter *chat;
    struct gy_screen *screen;
    char nick[GY_CHAT_NICK_MAX + 1];
    uint64_t typed_ms;                 /* when it was last said that one types */
    struct gy_chat_own own;            /* what was said last */
    char listed[GY_CHAT_ROOM_MAX + 1]; /* the last room that /rooms brought */
    char asking[GY_CHAT_ROOM_MAX + 1]; /* the room whose earlier messages are under way; or "" */
    uint64_t looked_ms;                /* when the keys were last asked for */
    bool quit;
};

static char mark_of(uint8_t role)
{
    static const char marks[] = {' ', '@', '*', '-'};
    return role < sizeof marks ? marks[role] : ' ';
}

/* Whether it comes because of gy_chatter_earlier(): before all others. */
static bool is_earlier(const struct panes *panes, const struct gy_chatter_event *event)
{
    return event->past && strcmp(panes->asking, event->room) == 0;
}

static void note(struct panes *panes, const struct gy_chatter_event *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void note(struct panes *panes, const struct gy_chatter_event *event, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct gy_screen_message message = {.id = event->type == GY_CHATTER_MESSAGE ? event->id : 0,
                                        .time_ms = event->time_ms,
                                        .kind = GY_SCREEN_NOTE,
                                        .from = "",
                                        .text = text};
    gy_screen_add(panes->screen, event->room, &message, is_earlier(panes, event));
}

static void take_message(struct panes *panes, const struct gy_chatter_event *event)
{
    char to[GY_CHAT_NICK_MAX + 8];
    struct gy_screen_message message = {.id = event->id,
                                        .time_ms = event->time_ms,
                                        .kind = GY_SCREEN_SAID,
                                        .from = event->nick,
                                        .text = event->text};
    switch (event->kind) {
    case GY_CHAT_SAID:
        message.kind =
            event->mine || strcmp(event->nick, panes->nick) == 0 ? GY_SCREEN_MINE : GY_SCREEN_SAID;
        if (event->other != NULL) {
            snprintf(to, sizeof to, "to %s", event->other);
            message.from = to;
        }
        gy_screen_add(panes->screen, event->room, &message, is_earlier(panes, event));
        break;
    case GY_CHAT_EDITED:
        gy_screen_change(panes->screen, event->room, event->target, event->text);
        break;
    case GY_CHAT_DELETED:
        gy_screen_change(panes->screen, event->room, event->target, NULL);
        break;
    case GY_CHAT_TOPIC_SET:
        if (!event->past) {
            gy_screen_set_topic(panes->screen, event->room, event->text);
        }
        note(panes, event, "%s set the topic: %s", event->nick, event->text);
        break;
    default:
        note(panes, event, "%s", event->text);
    }
}

static void hint_of_room(struct panes *panes, const char *room, const char *words)
{
    const char *shown = gy_screen_room(panes->screen);
    if (shown != NULL && strcmp(shown, room) == 0) {
        gy_screen_hint(panes->screen, words);
    }
}

static void take_came(struct panes *panes, const struct gy_chatter_event *event)
{
    char words[256];
    switch (event->what) {
    case 1:
    case 5:
        gy_screen_set_member(panes->screen, event->room, event->nick, mark_of(event->role));
        break;
    case 4:
        gy_screen_remove_member(panes->screen, event->room, event->nick);
        gy_screen_set_member(panes->screen, event->room, event->other, mark_of(event->role));
        break;
    default:
        gy_screen_remove_member(panes->screen, event->room, event->nick);
    }
    snprintf(words, sizeof words, "%.64s %s %.64s", event->nick, gy_chat_came_text(event->what),
             event->other != NULL ? event->other : "");
    hint_of_room(panes, event->room, words);
}

/* One of /rooms: a line of the room that is shown. */
static void take_room(struct panes *panes, const struct gy_chatter_event *event)
{
    char text[2048];
    const char *room = gy_screen_room(panes->screen);
    const struct gy_screen_message message = {
        .time_ms = (uint64_t)time(NULL) * 1000, .kind = GY_SCREEN_NOTE, .from = "", .text = text};
    snprintf(text, sizeof text, "#%s (%llu)%s%s", event->other, (unsigned long long)event->id,
             event->text[0] != '\0' ? ": " : "", event->text);
    snprintf(panes->listed, sizeof panes->listed, "%s", event->other);
    if (room != NULL) {
        gy_screen_add(panes->screen, room, &message, false);
    }
}

static void take_event(struct panes *panes, const struct gy_chatter_event *event)
{
    char words[512];
    gy_chat_words_note(&panes->own, event);
    switch (event->type) {
    case GY_CHATTER_ONLINE:
        snprintf(panes->nick, sizeof panes->nick, "%s", event->nick);
        gy_screen_set_status(panes->screen, panes->nick, "connected");
        break;
    case GY_CHATTER_OFFLINE:
        panes->asking[0] = '\0'; /* nobody answers that now */
        snprintf(words, sizeof words, "connecting again: %.60s", event->text);
        gy_screen_set_status(panes->screen, panes->nick, words);
        break;
    case GY_CHATTER_JOINED:
        gy_screen_add_room(panes->screen, event->room);
        gy_screen_set_topic(panes->screen, event->room, event->text);
        gy_screen_clear_members(panes->screen, event->room);
        break;
    case GY_CHATTER_MESSAGE:
        take_message(panes, event);
        break;
    case GY_CHATTER_HISTORY_END:
        panes->asking[0] = '\0';
        break;
    case GY_CHATTER_MEMBER:
        gy_screen_set_member(panes->screen, event->room, event->nick, mark_of(event->role));
        break;
    case GY_CHATTER_CAME:
        take_came(panes, event);
        break;
    case GY_CHATTER_TYPES:
        snprintf(words, sizeof words, "%.64s is typing", event->nick);
        hint_of_room(panes, event->room, event->what ? words : "");
        break;
    case GY_CHATTER_GAP:
        note(panes, event, "%llu messages are missing here: %s",
             (unsigned long long)event->last - event->id + 1,
             event->what == 2 ? "the server no longer keeps them" : "this connection was too slow");
        break;
    case GY_CHATTER_ERROR:
        gy_screen_hint(panes->screen, event->text);
        break;
    case GY_CHATTER_NOTICE:
        snprintf(words, sizeof words, "%.64s tells everybody: %.400s", event->nick, event->text);
        gy_screen_hint(panes->screen, words);
        break;
    case GY_CHATTER_ROOM:
        take_room(panes, event);
        break;
    case GY_CHATTER_DONE:
        if (event->more) {
            snprintf(words, sizeof words, "there are more: /rooms %s", panes->listed);
            gy_screen_hint(panes->screen, words);
        }
        break;
    case GY_CHATTER_STATUS:
    case GY_CHATTER_INPUT:
    case GY_CHATTER_REPORT:
        break;
    }
}

static void take_line(struct panes *panes)
{
    struct gy_chat_said said;
    const char *room = gy_screen_room(panes->screen);
    switch (
        gy_chat_words_do(panes->chat, room, &panes->own, gy_screen_take(panes->screen), &said)) {
    case GY_CHAT_WORDS_JOINED:
        if (gy_screen_add_room(panes->screen, said.room) == 0) {
            gy_screen_show_room(panes->screen, said.room);
        }
        break;
    case GY_CHAT_WORDS_LEFT:
        gy_screen_remove_room(panes->screen, said.room);
        break;
    case GY_CHAT_WORDS_QUIT:
        panes->quit = true;
        break;
    case GY_CHAT_WORDS_WRONG:
        gy_screen_hint(panes->screen, said.reply);
        break;
    case GY_CHAT_WORDS_DONE:
        break;
    }
}

static void ask_earlier(struct panes *panes, const char *room)
{
    uint64_t first = room != NULL ? gy_screen_first_id(panes->screen, room) : 0;
    if (first > 1 && panes->asking[0] == '\0' &&
        gy_chatter_earlier(panes->chat, room, first, EARLIER_COUNT) == 0) {
        snprintf(panes->asking, sizeof panes->asking, "%s", room);
    }
}

/* A terminal that is gone has input for ever, and no keys. */
static bool is_gone(void)
{
    struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&terminal, 1, 0) == 1 && (terminal.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static void take_keys(struct panes *panes, uint64_t now_ms)
{
    bool more = true;
    panes->looked_ms = now_ms;
    panes->quit |= is_gone();
    while (more && !panes->quit) {
        const char *room = gy_screen_room(panes->screen);
        switch (gy_screen_key(panes->screen, &more)) {
        case GY_SCREEN_LINE:
            take_line(panes);
            break;
        case GY_SCREEN_EARLIER:
            ask_earlier(panes, room);
            break;
        case GY_SCREEN_TYPED:
            if (room != NULL && now_ms - panes->typed_ms > TYPING_MS) {
                panes->typed_ms = now_ms;
                gy_chatter_typing(panes->chat, room, true);
            }
            break;
        case GY_SCREEN_QUIT:
            panes->quit = true;
            break;
        case GY_SCREEN_ROOM:
        case GY_SCREEN_NOTHING:
            break;
        }
    }
}

int gy_chat_talk_panes(const struct gy_chat_talk_options *options, struct gy_chatter *chat,
                       const volatile int *stop)
{
    struct panes panes = {.options = options, .chat = chat};
    struct gy_error error = {0};
    struct gy_chatter_event event;
    int code = gy_screen_open(&panes.screen, &error);
    if (code != 0) {
        fprintf(stderr, "gyre chat: %s\n", error.message);
        return 1;
    }
    gy_screen_set_status(panes.screen, options->client.nick, "connecting");
    gy_screen_add_room(panes.screen, "@");
    for (uint32_t i = 0; i < options->room_count; i++) {
        gy_screen_add_room(panes.screen, options->rooms[i]);
    }
    gy_screen_show_room(panes.screen, options->rooms[0]);
    code = gy_chatter_watch(chat, STDIN_FILENO);
    while (code == 0 && !panes.quit && *stop == 0) {
        int got = gy_chatter_next(chat, TURN_MS, &event);
        uint64_t now_ms = gy_chatter_now_ms(chat);
        if (got < 0) {
            code = got;
            break;
        }
        if (got > 0 && event.type != GY_CHATTER_INPUT) {
            take_event(&panes, &event);
        }
        /* That the terminal has another size is a key as well, without input. */
        if ((got > 0 && event.type == GY_CHATTER_INPUT) || now_ms - panes.looked_ms >= TURN_MS) {
            take_keys(&panes, now_ms);
            code = gy_chatter_watch(chat, STDIN_FILENO);
        }
        if (!gy_chatter_has_more(chat)) {
            gy_screen_draw(panes.screen);
        }
    }
    gy_screen_close(panes.screen);
    if (code != 0) {
        const char *why = gy_chatter_failure(chat);
        fputs("gyre chat: ", stderr);
        gy_chat_talk_print(stderr, why[0] != '\0' ? why : gy_error_text(code));
        fputc('\n', stderr);
    }
    return code == 0 ? 0 : 1;
}
