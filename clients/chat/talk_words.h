/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_TALK_WORDS_H
#define GY_CLIENTS_CHAT_TALK_WORDS_H

/* What a person types into `gyre chat`, in panes or as plain lines: something to say, or a command
 * that begins with a slash (two of them say one). */

#include "clients/chat/chatter.h"

#define GY_CHAT_WORDS_HELP                                                                         \
    "/rooms, /join ROOM, /leave, /msg NICK WORDS, /edit WORDS and /delete (what you said last), "  \
    "/topic WORDS, /nick NAME, /away, /busy, /back, /quit; of operators: /delete ID, "             \
    " /kick /ban /unban /mute /unmute /op /deop /owner NICK, /slow SECONDS"

enum gy_chat_words {
    GY_CHAT_WORDS_DONE,
    GY_CHAT_WORDS_JOINED, /* `room` is the one now */
    GY_CHAT_WORDS_LEFT,
    GY_CHAT_WORDS_QUIT,
    GY_CHAT_WORDS_WRONG, /* `reply` says what is */
};

struct gy_chat_said {
    char room[GY_CHAT_ROOM_MAX + 1];
    char reply[512];
};

/* What was said last by who types, and is stored: for /edit and /delete. */
struct gy_chat_own {
    char room[GY_CHAT_ROOM_MAX + 1];
    uint64_t id; /* 0: nothing */
};

/* Each message that comes: own ones are noted. */
void gy_chat_words_note(struct gy_chat_own *own, const struct gy_chatter_event *event);

/* Does what a line says. `room`: where; NULL: nowhere. */
enum gy_chat_words gy_chat_words_do(struct gy_chatter *chat, const char *room,
                                    const struct gy_chat_own *own, const char *line,
                                    struct gy_chat_said *said);

#endif
