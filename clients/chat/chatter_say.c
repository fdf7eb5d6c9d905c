/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the program says and asks. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/chat/chatter_internal.h"

struct gy_chat_text gy_chatter_text(const char *text)
{
    return (struct gy_chat_text){text, (uint32_t)strlen(text)};
}

int64_t gy_chatter_room(const struct gy_chatter *chatter, const char *name)
{
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < CHATTER_ROOMS; i++) {
        const struct gy_chat_client_room *room = &chatter->rooms[i];
        if (room->name_bytes == bytes && bytes > 0 && memcmp(room->name, name, bytes) == 0) {
            return i;
        }
    }
    return GY_ENOTFOUND;
}

int gy_chatter_join(struct gy_chatter *chatter, const char *room)
{
    int code = gy_chat_client_join(&chatter->client, gy_chatter_text(room), GY_CHAT_SPILL,
                                   GY_CHAT_NONE, (uint16_t)chatter->options.history);
    gy_chatter_flush(chatter);
    return code < 0 ? code : 0;
}

int gy_chatter_leave(struct gy_chatter *chatter, const char *room)
{
    int64_t place = gy_chatter_room(chatter, room);
    int code = place < 0 ? (int)place : gy_chat_client_leave(&chatter->client, (uint32_t)place);
    gy_chatter_flush(chatter);
    return code;
}

/* Keeps what is said until it is acknowledged, and says it. `frame->body` is filled. */
static int put(struct gy_chatter *chatter, const char *room, const struct gy_chat_frame *frame,
               struct said what, const char *text)
{
    int64_t place = room != NULL ? gy_chatter_room(chatter, room) : 0;
    if (place < 0) {
        return (int)place;
    }
    size_t bytes = strlen(text) + 1;
    struct said *said = malloc(sizeof *said + bytes);
    if (said == NULL) {
        return GY_ENOMEM;
    }
    *said = what;
    memcpy(said->text, text, bytes);
    snprintf(said->room, sizeof said->room, "%s", room != NULL ? room : "@");
    int code = gy_chat_client_put(&chatter->client, (uint32_t)place, frame, &said->client_id);
    if (code != 0) {
        free(said);
        return code == GY_ENOBUFS ? GY_ELIMIT : code;
    }
    TAILQ_INSERT_TAIL(&chatter->said, said, entry);
    gy_chatter_flush(chatter);
    return 0;
}

int gy_chatter_say(struct gy_chatter *chatter, const char *room, const char *text)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_SEND,
                                  .body.send = {.contents = gy_chatter_text(text)}};
    return put(chatter, room, &frame, (struct said){.kind = GY_CHAT_SAID}, text);
}

int gy_chatter_tell(struct gy_chatter *chatter, const char *nick, const char *text)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_TELL,
        .body.tell = {.nick = gy_chatter_text(nick), .contents = gy_chatter_text(text)}};
    struct said what = {.kind = GY_CHAT_SAID};
    if (nick[0] == '\0' || strlen(nick) > GY_CHAT_NICK_MAX) {
        return GY_EINVAL;
    }
    snprintf(what.to, sizeof what.to, "%s", nick);
    return put(chatter, NULL, &frame, what, text);
}

int gy_chatter_edit(struct gy_chatter *chatter, const char *room, uint64_t id, const char *text)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_EDIT,
                                  .body.edit = {.target = id, .contents = gy_chatter_text(text)}};
    return put(chatter, room, &frame, (struct said){.kind = GY_CHAT_EDITED, .target = id}, text);
}

int gy_chatter_delete(struct gy_chatter *chatter, const char *room, uint64_t id)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_DELETE, .body.deletion = {.target = id}};
    return put(chatter, room, &frame, (struct said){.kind = GY_CHAT_DELETED, .target = id}, "");
}

int gy_chatter_topic(struct gy_chatter *chatter, const char *room, const char *topic)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_TOPIC,
                                  .body.topic = {.topic = gy_chatter_text(topic)}};
    return put(chatter, room, &frame, (struct said){.kind = GY_CHAT_TOPIC_SET}, topic);
}

int gy_chatter_moderate(struct gy_chatter *chatter, const char *room, uint8_t action,
                        const char *nick, uint32_t seconds, const char *reason)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_MODERATE,
                                  .body.moderate = {.action = action,
                                                    .nick = gy_chatter_text(nick),
                                                    .seconds = seconds,
                                                    .reason = gy_chatter_text(reason)}};
    return put(chatter, room, &frame, (struct said){.kind = GY_CHAT_MODERATED}, "done");
}

/* ---- questions of this connection ---- */

int gy_chatter_ask(struct gy_chatter *chatter, struct gy_chat_frame *frame, uint32_t room)
{
    for (uint32_t i = 0; i < CHATTER_ASKED; i++) {
        struct asked *asked = &chatter->asked[i];
        if (asked->tag != 0) {
            continue;
        }
        uint16_t tag = 0;
        int code = gy_chat_client_ask(&chatter->client, frame, &tag);
        if (code == 0) {
            *asked = (struct asked){.tag = tag, .type = frame->type, .room = room};
            gy_chatter_flush(chatter);
        }
        return code;
    }
    return GY_ELIMIT;
}

static int ask_of_room(struct gy_chatter *chatter, const char *room, struct gy_chat_frame *frame,
                       uint32_t *number)
{
    int64_t place = gy_chatter_room(chatter, room);
    if (place < 0) {
        return (int)place;
    }
    *number = gy_chat_client_number(&chatter->client, (uint32_t)place);
    return *number == 0 ? GY_ESTATE : gy_chatter_ask(chatter, frame, (uint32_t)place);
}

int gy_chatter_earlier(struct gy_chatter *chatter, const char *room, uint64_t before,
                       uint16_t count)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_HISTORY,
                                  .body.history = {.by = 2, .point = before, .max = count}};
    return ask_of_room(chatter, room, &frame, &frame.body.history.room);
}

int gy_chatter_nick(struct gy_chatter *chatter, const char *nick)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_NICK,
                                  .body.nick = {.nick = gy_chatter_text(nick)}};
    return nick[0] == '\0' || strlen(nick) > GY_CHAT_NICK_MAX ? GY_EINVAL
                                                              : gy_chatter_ask(chatter, &frame, 0);
}

int gy_chatter_typing(struct gy_chatter *chatter, const char *room, bool on)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_TYPING, .body.typing = {.on = on}};
    int64_t place = gy_chatter_room(chatter, room);
    uint16_t tag;
    if (place < 0) {
        return (int)place;
    }
    frame.body.typing.room = gy_chat_client_number(&chatter->client, (uint32_t)place);
    int code = frame.body.typing.room == 0 ? GY_ESTATE
                                           : gy_chat_client_ask(&chatter->client, &frame, &tag);
    gy_chatter_flush(chatter);
    return code; /* nothing answers it */
}

int gy_chatter_presence(struct gy_chatter *chatter, uint8_t status, const char *note)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_PRESENCE,
        .body.presence = {.status = status, .note = gy_chatter_text(note)}};
    return strlen(note) > 255 ? GY_EINVAL : gy_chatter_ask(chatter, &frame, 0);
}

int gy_chatter_rooms(struct gy_chatter *chatter, const char *after)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_ROOMS,
        .body.rooms = {.prefix = {"", 0}, .after = gy_chatter_text(after), .max = 200}};
    return strlen(after) > GY_CHAT_ROOM_MAX ? GY_EINVAL : gy_chatter_ask(chatter, &frame, 0);
}

int gy_chatter_change(struct gy_chatter *chatter, const char *old, const char *password)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_CHANGE,
        .body.change = {.old = gy_chatter_text(old), .password = gy_chatter_text(password)}};
    return strlen(old) > GY_CHAT_PASSWORD_MAX || strlen(password) > GY_CHAT_PASSWORD_MAX
               ? GY_EINVAL
               : gy_chatter_ask(chatter, &frame, 0);
}

int gy_chatter_revoke(struct gy_chatter *chatter)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_REVOKE};
    return gy_chatter_ask(chatter, &frame, 0);
}

int gy_chatter_admin(struct gy_chatter *chatter, const struct gy_chatter_command *command)
{
    const char *subject = command->subject != NULL ? command->subject : "";
    const char *text = command->text != NULL ? command->text : "";
    struct gy_chat_frame frame = {.type = GY_CHAT_ADMIN,
                                  .body.admin = {.action = command->action,
                                                 .seconds = command->seconds,
                                                 .after = command->after,
                                                 .subject = gy_chatter_text(subject),
                                                 .text = gy_chatter_text(text)}};
    return strlen(subject) > 255 || strlen(text) > GY_CHAT_CONTENTS_MAX
               ? GY_EINVAL
               : gy_chatter_ask(chatter, &frame, 0);
}

uint32_t gy_chatter_unacknowledged(const struct gy_chatter *chatter)
{
    return gy_chat_client_waiting(&chatter->client);
}
