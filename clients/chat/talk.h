/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_TALK_H
#define GY_CLIENTS_CHAT_TALK_H

/* `gyre chat HOST`: a person, or a script, in rooms. */

#include <stdio.h>

#include "clients/chat/chatter.h"

#define GY_CHAT_TALK_ROOMS_MAX 16
#define GY_CHAT_TALK_FOREVER   UINT32_MAX

struct gy_chat_talk_options {
    struct gy_chatter_options client;
    const char *rooms[GY_CHAT_TALK_ROOMS_MAX];
    uint32_t room_count; /* at least 1; lines of input go to the first */
    bool json;           /* plain: an object a line */
    bool quiet;          /* plain: messages alone */
    uint32_t wait_ms;    /* plain: after the end of the input, to go on listening; or FOREVER */
    uint64_t count;      /* plain: messages, then the end; 0: any number */
};

/* Both return the exit status. `stop`: a signal has come. */
int gy_chat_talk_panes(const struct gy_chat_talk_options *options, struct gy_chatter *chat,
                       const volatile int *stop);
int gy_chat_talk_plain(const struct gy_chat_talk_options *options, struct gy_chatter *chat,
                       const volatile int *stop);

/* Another person's words, or a server's: without what would drive a terminal, and on one line. */
void gy_chat_talk_print(FILE *out, const char *text);

#define GY_CHAT_ADMIN_WORDS_MAX 64

/* `gyre chat admin`, and what is done to one's own account. */
struct gy_chat_admin_options {
    const char *words[GY_CHAT_ADMIN_WORDS_MAX]; /* the command, and what follows it */
    uint32_t word_count;
    uint32_t seconds;         /* of a ban; 0: until it is lifted */
    const char *new_password; /* NULL: none */
    bool json;
};

void gy_chat_admin_help(FILE *out);

/* Whether it is a command; -1, or the exit status. `asks_new`: it needs a new password. */
int gy_chat_admin_check(const struct gy_chat_admin_options *options, bool *asks_new);

/* The token beside a store (NULL: the usual one). -1, or the exit status. */
int gy_chat_admin_token(const char *store, char *token, size_t bytes);

/* Does it, and returns the exit status. */
int gy_chat_admin_run(const struct gy_chat_admin_options *options, struct gy_chatter *chat,
                      const volatile int *stop);

/* Changes one's own password to `new_password`, or, without one, logs out everywhere else. */
int gy_chat_account_run(const struct gy_chat_admin_options *options, const char *password,
                        struct gy_chatter *chat, const volatile int *stop);

/* `,"KEY":"TEXT"`, escaped, to standard output. */
void gy_chat_talk_json(const char *key, const char *text);

/* A line of JSON for a GY_CHATTER_ROOM of a list, to standard output. */
void gy_chat_talk_json_room(const struct gy_chatter_event *event);

/* `gyre chat …` without `serve`: argv[0] is the first argument behind `chat`. */
int gy_chat_talk_command(int argc, char **argv);

/* "joined", "left", …: what a CAME says, as a sentence with the nick in front. */
const char *gy_chat_came_text(uint8_t what);

#endif
