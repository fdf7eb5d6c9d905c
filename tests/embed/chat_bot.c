/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A bot: answers "!dice" in a room with a throw, and counts what it has seen. Connections that are
 * lost come back by themselves; what was said meanwhile is heard then, once, and answered.
 *
 *     cc -o chat_bot chat_bot.c $(pkg-config --static --cflags --libs gyre)
 *     ./chat_bot localhost:7200 lobby
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gyre/clients/chat/chatter.h>

static void answer(struct gy_chatter *chat, const struct gy_chatter_event *event, unsigned seen)
{
    char text[200];
    if (strcmp(event->text, "!dice") == 0) {
        snprintf(text, sizeof text, "%s throws a %d", event->nick, rand() % 6 + 1);
    } else if (strcmp(event->text, "!count") == 0) {
        snprintf(text, sizeof text, "I have seen %u messages", seen);
    } else {
        return;
    }
    gy_chatter_say(chat, event->room, text);
}

int main(int argc, char **argv)
{
    struct gy_chatter_options options = {.server = argc > 1 ? argv[1] : "localhost",
                                         .nick = "dicebot"};
    struct gy_chatter *chat;
    struct gy_chatter_event event;
    struct gy_error error;
    unsigned seen = 0;
    if (gy_chatter_open(&chat, &options, &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    gy_chatter_join(chat, argc > 2 ? argv[2] : "lobby");
    while (gy_chatter_next(chat, -1, &event) > 0) {
        if (event.type == GY_CHATTER_MESSAGE && !event.mine) {
            answer(chat, &event, ++seen);
        }
    }
    fprintf(stderr, "%s\n", gy_chatter_failure(chat));
    gy_chatter_close(chat);
    return 1;
}
