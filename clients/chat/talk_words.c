/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/chat/talk_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/number.h"

#define WORD_MAX 32

/* A line in parts: "/name first rest". */
struct words {
    char name[WORD_MAX];
    char first[GY_CHAT_NICK_MAX + 2];
    const char *all;  /* behind the name */
    const char *rest; /* behind the first word */
};

static const char *take_word(const char *at, char *word, size_t room)
{
    size_t length = strcspn(at, " ");
    size_t kept = length < room ? length : room - 1;
    memcpy(word, at, kept);
    word[kept] = '\0';
    at += length;
    return at + strspn(at, " ");
}

static enum gy_chat_words wrong(struct gy_chat_said *said, const char *words)
{
    snprintf(said->reply, sizeof said->reply, "%s", words);
    return GY_CHAT_WORDS_WRONG;
}

static enum gy_chat_words outcome(int code, const char *room, struct gy_chat_said *said)
{
    switch (code) {
    case 0:
        return GY_CHAT_WORDS_DONE;
    case GY_ELIMIT:
        return wrong(said, "too much is waiting for the server already; try again in a moment");
    case GY_ENOTFOUND:
        snprintf(said->reply, sizeof said->reply, "not in a room %s; /join it first",
                 room != NULL ? room : "yet");
        return GY_CHAT_WORDS_WRONG;
    case GY_ESTATE:
        return wrong(said, "not connected just now");
    case GY_EINVAL:
        return wrong(said, "too long, or not text");
    default:
        return wrong(said, gy_error_text(code));
    }
}

/* ---- commands ---- */

static enum gy_chat_words join(struct gy_chatter *chat, const struct words *words,
                               struct gy_chat_said *said)
{
    const char *name = words->first[0] == '#' ? words->first + 1 : words->first;
    if (name[0] == '\0') {
        return wrong(said, "/join ROOM");
    }
    int code = gy_chatter_join(chat, name);
    if (code != 0) {
        return code == GY_ELIMIT ? wrong(said, "in as many rooms as it can be; /leave one first")
                                 : outcome(code, name, said);
    }
    snprintf(said->room, sizeof said->room, "%.64s", name);
    return GY_CHAT_WORDS_JOINED;
}

static enum gy_chat_words leave(struct gy_chatter *chat, const char *room,
                                struct gy_chat_said *said)
{
    if (room == NULL || strcmp(room, "@") == 0) {
        return wrong(said, "there is no room to leave here");
    }
    snprintf(said->room, sizeof said->room, "%s", room);
    int code = gy_chatter_leave(chat, room);
    return code == 0 ? GY_CHAT_WORDS_LEFT : outcome(code, room, said);
}

static enum gy_chat_words tell(struct gy_chatter *chat, const struct words *words,
                               struct gy_chat_said *said)
{
    if (words->rest[0] == '\0') {
        return wrong(said, "/msg NICK WORDS");
    }
    return outcome(gy_chatter_tell(chat, words->first, words->rest), NULL, said);
}

/* ---- what was said ---- */

void gy_chat_words_note(struct gy_chat_own *own, const struct gy_chatter_event *event)
{
    if (event->type != GY_CHATTER_MESSAGE) {
        return;
    }
    if (event->mine && event->kind == GY_CHAT_SAID && strcmp(event->room, "@") != 0) {
        snprintf(own->room, sizeof own->room, "%s", event->room);
        own->id = event->id;
    } else if (event->kind == GY_CHAT_DELETED && event->target == own->id &&
               strcmp(event->room, own->room) == 0) {
        own->id = 0;
    }
}

static bool is_here(const struct gy_chat_own *own, const char *room)
{
    return room != NULL && own->id != 0 && strcmp(own->room, room) == 0;
}

static enum gy_chat_words edit(struct gy_chatter *chat, const char *room,
                               const struct gy_chat_own *own, const char *words,
                               struct gy_chat_said *said)
{
    if (words[0] == '\0') {
        return wrong(said, "/edit WORDS, which then stand in place of what you said last");
    }
    if (!is_here(own, room)) {
        return wrong(said, "you have said nothing here since you came");
    }
    return outcome(gy_chatter_edit(chat, room, own->id, words), room, said);
}

static enum gy_chat_words take_back(struct gy_chatter *chat, const char *room,
                                    const struct gy_chat_own *own, const char *which,
                                    struct gy_chat_said *said)
{
    uint64_t id = 0;
    if (which[0] != '\0' && !gy_number_read(which, 1, UINT64_MAX, &id)) {
        return wrong(said, "/delete, or /delete ID (--json shows the ids of messages)");
    }
    if (which[0] == '\0' && !is_here(own, room)) {
        return wrong(said, "you have said nothing here since you came");
    }
    id = which[0] == '\0' ? own->id : id;
    return outcome(room == NULL ? GY_ENOTFOUND : gy_chatter_delete(chat, room, id), room, said);
}

static const struct {
    const char *name;
    uint8_t action; /* of MODERATE */
} actions[] = {{"kick", 1}, {"ban", 2},  {"unban", 3}, {"mute", 4}, {"unmute", 5},
               {"op", 6},   {"deop", 7}, {"slow", 8},  {"owner", 9}};

static enum gy_chat_words moderate(struct gy_chatter *chat, const char *room, uint8_t action,
                                   const struct words *words, struct gy_chat_said *said)
{
    bool slow = action == 8;
    uint64_t seconds = 0;
    if (words->first[0] == '\0' || room == NULL ||
        (slow && !gy_number_read(words->first, 0, UINT32_MAX, &seconds))) {
        return wrong(said, slow ? "/slow SECONDS (0: off)" : "it needs a nick, and a room");
    }
    const char *reason = slow ? "" : words->rest;
    if (reason[0] >= '0' && reason[0] <= '9') {
        char *end;
        seconds = strtoul(reason, &end, 10);
        reason = end + strspn(end, " ");
    }
    return outcome(gy_chatter_moderate(chat, room, action, slow ? "" : words->first,
                                       (uint32_t)seconds, reason),
                   room, said);
}

static enum gy_chat_words command(struct gy_chatter *chat, const char *room,
                                  const struct gy_chat_own *own, const struct words *words,
                                  struct gy_chat_said *said)
{
    static const char *const statuses[] = {"back", "away", "busy"};
    const char *name = words->name;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            return moderate(chat, room, actions[i].action, words, said);
        }
    }
    for (uint8_t i = 0; i < 3; i++) {
        if (strcmp(name, statuses[i]) == 0) {
            return outcome(gy_chatter_presence(chat, i, words->all), NULL, said);
        }
    }
    if (strcmp(name, "rooms") == 0) {
        return outcome(gy_chatter_rooms(chat, words->first), NULL, said);
    }
    if (strcmp(name, "edit") == 0) {
        return edit(chat, room, own, words->all, said);
    }
    if (strcmp(name, "delete") == 0) {
        return take_back(chat, room, own, words->first, said);
    }
    if (strcmp(name, "join") == 0) {
        return join(chat, words, said);
    }
    if (strcmp(name, "leave") == 0) {
        return leave(chat, room, said);
    }
    if (strcmp(name, "msg") == 0) {
        return tell(chat, words, said);
    }
    if (strcmp(name, "topic") == 0) {
        return outcome(room == NULL ? GY_ENOTFOUND : gy_chatter_topic(chat, room, words->all), room,
                       said);
    }
    if (strcmp(name, "nick") == 0) {
        return outcome(gy_chatter_nick(chat, words->first), NULL, said);
    }
    if (strcmp(name, "quit") == 0) {
        return GY_CHAT_WORDS_QUIT;
    }
    if (strcmp(name, "help") == 0) {
        return wrong(said, GY_CHAT_WORDS_HELP);
    }
    snprintf(said->reply, sizeof said->reply, "there is no /%s; there are " GY_CHAT_WORDS_HELP,
             name);
    return GY_CHAT_WORDS_WRONG;
}

enum gy_chat_words gy_chat_words_do(struct gy_chatter *chat, const char *room,
                                    const struct gy_chat_own *own, const char *line,
                                    struct gy_chat_said *said)
{
    said->reply[0] = '\0';
    said->room[0] = '\0';
    if (line[0] == '/' && line[1] != '/') {
        struct words words;
        words.all = take_word(line + 1, words.name, sizeof words.name);
        words.rest = take_word(words.all, words.first, sizeof words.first);
        return command(chat, room, own, &words, said);
    }
    line += line[0] == '/';
    if (line[0] == '\0') {
        return GY_CHAT_WORDS_DONE;
    }
    if (room != NULL && strcmp(room, "@") == 0) {
        return wrong(said, "this is what others said to you: answer with /msg NICK WORDS");
    }
    return outcome(room == NULL ? GY_ENOTFOUND : gy_chatter_say(chat, room, line), room, said);
}
