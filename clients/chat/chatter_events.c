/* SPDX-License-Identifier: GPL-3.0-or-later */

/* From what the protocol's client tells to what the program hears. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/chat/chatter_internal.h"

#define RETRY_MAX_MS 60000

/* Texts of an event, terminated: what a frame has is not. */
struct texts {
    char room[GY_CHAT_ROOM_MAX + 1];
    char nick[256];
    char other[256];
    char text[GY_CHAT_FRAME_MAX];
};

static const char *terminated(char *to, size_t room, struct gy_chat_text text)
{
    size_t bytes = text.length < room ? text.length : room - 1;
    memcpy(to, text.bytes, bytes);
    to[bytes] = '\0';
    return to;
}

static char *copy(char *at, const char **text)
{
    if (*text != NULL) {
        size_t bytes = strlen(*text) + 1;
        memcpy(at, *text, bytes);
        *text = at;
        at += bytes;
    }
    return at;
}

static size_t bytes_of(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

void gy_chatter_queue(struct gy_chatter *chatter, const struct gy_chatter_event *event)
{
    size_t bytes = bytes_of(event->room) + bytes_of(event->nick) + bytes_of(event->text) +
                   bytes_of(event->other);
    struct queued_event *queued = malloc(sizeof *queued + bytes);
    if (queued == NULL) {
        return;
    }
    queued->event = *event;
    char *at = copy(queued->texts, &queued->event.room);
    at = copy(at, &queued->event.nick);
    at = copy(at, &queued->event.text);
    copy(at, &queued->event.other);
    STAILQ_INSERT_TAIL(&chatter->events, queued, entry);
    chatter->event_count++;
}

void gy_chatter_clear_events(struct gy_chatter *chatter)
{
    struct queued_event *queued;
    struct said *said;
    while ((queued = STAILQ_FIRST(&chatter->events)) != NULL) {
        STAILQ_REMOVE_HEAD(&chatter->events, entry);
        free(queued);
    }
    while ((said = TAILQ_FIRST(&chatter->said)) != NULL) {
        TAILQ_REMOVE(&chatter->said, said, entry);
        free(said);
    }
    chatter->event_count = 0;
    free(chatter->given);
    chatter->given = NULL;
}

void gy_chatter_forget_asked(struct gy_chatter *chatter)
{
    memset(chatter->asked, 0, sizeof chatter->asked);
}

/* ---- what was said, when the server has answered it ---- */

static struct said *take_said(struct gy_chatter *chatter, uint64_t client_id)
{
    struct said *said = NULL;
    TAILQ_FOREACH(said, &chatter->said, entry)
    {
        if (said->client_id == client_id) {
            TAILQ_REMOVE(&chatter->said, said, entry);
            return said;
        }
    }
    return NULL;
}

static void acked(struct gy_chatter *chatter, const struct gy_chat_client_event *event)
{
    struct said *said = take_said(chatter, event->client_id);
    char nick[256];
    if (said == NULL || said->heard) {
        free(said);
        return;
    }
    terminated(nick, sizeof nick, gy_chat_client_nick(&chatter->client));
    struct gy_chatter_event told = {.type = GY_CHATTER_MESSAGE,
                                    .room = said->to[0] != '\0' ? "@" : said->room,
                                    .nick = nick,
                                    .text = said->text,
                                    .other = said->to[0] != '\0' ? said->to : NULL,
                                    .id = said->to[0] != '\0' ? 0 : event->frame.body.ack.id,
                                    .target = said->target,
                                    .time_ms = event->frame.body.ack.time,
                                    .kind = said->kind,
                                    .mine = true};
    gy_chatter_queue(chatter, &told);
    free(said);
}

static void refused(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                    struct texts *texts)
{
    struct said *said = take_said(chatter, event->client_id);
    struct gy_chatter_event told = {.type = GY_CHATTER_ERROR,
                                    .room = said != NULL ? said->room : NULL,
                                    .text =
                                        terminated(texts->text, sizeof texts->text, event->text),
                                    .other = said != NULL ? said->text : NULL,
                                    .code = event->code};
    gy_chatter_queue(chatter, &told);
    free(said);
}

/* ---- what others said and did ---- */

/* Whether it is something of one's own whose acknowledgement did not come: a connection was lost
 * behind it, and what was missed has it. */
static bool is_own(struct gy_chatter *chatter, const char *room, const struct gy_chat_frame *frame,
                   const char *text)
{
    struct gy_chat_text nick = gy_chat_client_nick(&chatter->client);
    struct gy_chat_text from = frame->body.message.from;
    if (room == NULL || nick.length != from.length ||
        memcmp(nick.bytes, from.bytes, nick.length) != 0) {
        return false;
    }
    for (struct said *said = TAILQ_FIRST(&chatter->said); said != NULL;
         said = TAILQ_NEXT(said, entry)) {
        if (!said->heard && said->to[0] == '\0' && said->kind == frame->body.message.kind &&
            said->target == frame->body.message.target && strcmp(said->room, room) == 0 &&
            strcmp(said->text, text) == 0) {
            said->heard = true;
            return true;
        }
    }
    return false;
}

static void message(struct gy_chatter *chatter, const char *room, const struct gy_chat_frame *frame,
                    struct texts *texts)
{
    struct gy_chatter_event told = {
        .type = GY_CHATTER_MESSAGE,
        .room = room,
        .nick = terminated(texts->nick, sizeof texts->nick, frame->body.message.from),
        .text = terminated(texts->text, sizeof texts->text, frame->body.message.contents),
        .id = frame->body.message.id,
        .target = frame->body.message.target,
        .time_ms = frame->body.message.time,
        .kind = frame->body.message.kind,
        .past = (frame->flags & GY_CHAT_PAST) != 0};
    told.mine = is_own(chatter, room, frame, told.text);
    gy_chatter_queue(chatter, &told);
}

static void ask_members(struct gy_chatter *chatter, uint32_t room, struct gy_chat_text after)
{
    struct gy_chat_frame frame = {
        .type = GY_CHAT_MEMBERS,
        .body.members = {.room = gy_chat_client_number(&chatter->client, room),
                         .after = after,
                         .max = CHATTER_MEMBERS_PAGE}};
    gy_chatter_ask(chatter, &frame, room);
}

static void joined(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                   struct texts *texts)
{
    struct gy_chatter_event told = {
        .type = GY_CHATTER_JOINED,
        .room = texts->room,
        .text = terminated(texts->text, sizeof texts->text, event->frame.body.joined.topic),
        .last = event->frame.body.joined.last,
        .role = event->frame.body.joined.role};
    gy_chatter_queue(chatter, &told);
    if (chatter->options.members && strcmp(texts->room, "@") != 0) {
        ask_members(chatter, event->room, (struct gy_chat_text){"", 0});
    }
}

static void news(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                 struct texts *texts)
{
    const struct gy_chat_frame *frame = &event->frame;
    struct gy_chatter_event told = {.room = texts->room[0] != '\0' ? texts->room : NULL};
    if (told.room == NULL && frame->type != GY_CHAT_STATUS && frame->type != GY_CHAT_NOTICE) {
        return; /* of a room that was left meanwhile */
    }
    switch (frame->type) {
    case GY_CHAT_CAME:
        told.type = GY_CHATTER_CAME;
        told.what = frame->body.came.what;
        told.role = frame->body.came.role;
        told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.came.nick);
        told.other = terminated(texts->other, sizeof texts->other, frame->body.came.other);
        break;
    case GY_CHAT_TYPES:
        told.type = GY_CHATTER_TYPES;
        told.what = frame->body.types.on;
        told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.types.nick);
        break;
    case GY_CHAT_STATUS:
        told.type = GY_CHATTER_STATUS;
        told.status = frame->body.status.status;
        told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.status.nick);
        told.text = terminated(texts->text, sizeof texts->text, frame->body.status.note);
        break;
    case GY_CHAT_NOTICE:
        told.type = GY_CHATTER_NOTICE;
        told.time_ms = frame->body.notice.time;
        told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.notice.from);
        told.text = terminated(texts->text, sizeof texts->text, frame->body.notice.contents);
        break;
    default:
        return;
    }
    gy_chatter_queue(chatter, &told);
}

/* ---- answers ---- */

/* The room that was asked about; NULL: none, or it was left. */
static const char *asked_room(const struct gy_chatter *chatter, const struct asked *asked,
                              struct texts *texts)
{
    if (asked->type != GY_CHAT_HISTORY && asked->type != GY_CHAT_MEMBERS) {
        return NULL;
    }
    const struct gy_chat_client_room *room = &chatter->rooms[asked->room];
    terminated(texts->room, sizeof texts->room,
               (struct gy_chat_text){room->name, room->name_bytes});
    return texts->room[0] != '\0' ? texts->room : NULL;
}

static struct asked *find_asked(struct gy_chatter *chatter, uint16_t tag)
{
    for (uint32_t i = 0; i < CHATTER_ASKED; i++) {
        if (chatter->asked[i].tag == tag) {
            return &chatter->asked[i];
        }
    }
    return NULL;
}

static void answer_end(struct gy_chatter *chatter, struct asked *asked, const char *room, bool more)
{
    struct asked was = *asked;
    asked->tag = 0;
    if (was.type == GY_CHAT_HISTORY) {
        struct gy_chatter_event told = {.type = GY_CHATTER_HISTORY_END, .room = room, .more = more};
        gy_chatter_queue(chatter, &told);
    } else if (was.type == GY_CHAT_ROOMS || was.type == GY_CHAT_ADMIN ||
               was.type == GY_CHAT_CHANGE || was.type == GY_CHAT_REVOKE) {
        struct gy_chatter_event told = {.type = GY_CHATTER_DONE, .more = more};
        gy_chatter_queue(chatter, &told);
    } else if (was.type == GY_CHAT_MEMBERS && more && was.last[0] != '\0') {
        ask_members(chatter, was.room, gy_chatter_text(was.last));
    }
}

static void report(struct gy_chatter *chatter, const struct gy_chat_frame *frame,
                   struct texts *texts)
{
    struct gy_chatter_event told = {
        .type = GY_CHATTER_REPORT,
        .what = frame->body.report.what,
        .role = frame->body.report.flags,
        .id = frame->body.report.number,
        .time_ms = frame->body.report.time,
        .last = frame->body.report.until,
        .nick = terminated(texts->nick, sizeof texts->nick, frame->body.report.name),
        .other = terminated(texts->other, sizeof texts->other, frame->body.report.other),
        .text = terminated(texts->text, sizeof texts->text, frame->body.report.text)};
    gy_chatter_queue(chatter, &told);
}

static void answer(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                   struct texts *texts)
{
    const struct gy_chat_frame *frame = &event->frame;
    struct asked *asked = find_asked(chatter, event->tag);
    struct gy_chatter_event told = {0};
    if (asked == NULL) {
        return;
    }
    told.room = asked_room(chatter, asked, texts);
    if (told.room == NULL && (frame->type == GY_CHAT_MEMBER || frame->type == GY_CHAT_MESSAGE)) {
        return;
    }
    switch (frame->type) {
    case GY_CHAT_MEMBER:
        told.type = GY_CHATTER_MEMBER;
        told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.member.nick);
        told.role = frame->body.member.role;
        told.status = frame->body.member.status;
        snprintf(asked->last, sizeof asked->last, "%s", told.nick);
        gy_chatter_queue(chatter, &told);
        break;
    case GY_CHAT_MESSAGE:
        message(chatter, told.room, frame, texts);
        break;
    case GY_CHAT_END:
        answer_end(chatter, asked, told.room, frame->body.end.more != 0);
        break;
    case GY_CHAT_ROOM:
        told.type = GY_CHATTER_ROOM;
        told.id = frame->body.room.members;
        told.other = terminated(texts->other, sizeof texts->other, frame->body.room.name);
        told.text = terminated(texts->text, sizeof texts->text, frame->body.room.topic);
        gy_chatter_queue(chatter, &told);
        break;
    case GY_CHAT_REPORT:
        report(chatter, frame, texts);
        break;
    case GY_CHAT_OK:
        answer_end(chatter, asked, told.room, false);
        break;
    case GY_CHAT_ERROR:
        told.type = GY_CHATTER_ERROR;
        told.code = frame->body.error.code;
        told.text = terminated(texts->text, sizeof texts->text, frame->body.error.sentence);
        gy_chatter_queue(chatter, &told);
        answer_end(chatter, asked, told.room, false);
        break;
    case GY_CHAT_IDENTITY:
        if (asked->type == GY_CHAT_NICK) {
            told.type = GY_CHATTER_ONLINE;
            told.nick = terminated(texts->nick, sizeof texts->nick, frame->body.identity.nick);
            gy_chatter_queue(chatter, &told);
        }
        answer_end(chatter, asked, told.room, false);
        break;
    default:
        asked->tag = 0;
        break;
    }
}

/* ---- all of them ---- */

static void is_in(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                  struct texts *texts)
{
    struct gy_chatter_event told = {
        .type = GY_CHATTER_ONLINE,
        .nick = terminated(texts->nick, sizeof texts->nick, event->frame.body.identity.nick)};
    chatter->was_in = true;
    gy_backoff_worked(&chatter->backoff);
    gy_chatter_queue(chatter, &told);
}

/* The connection ends; whether it is tried again is the caller's. */
static void ended(struct gy_chatter *chatter, const struct gy_chat_client_event *event,
                  struct texts *texts)
{
    const char *text = terminated(texts->text, sizeof texts->text, event->text);
    if (event->type == GY_CHAT_CLIENT_NOT_IN) {
        gy_chatter_fail(chatter, GY_EREFUSED, "%s: %s", chatter->options.server, text);
    } else {
        chatter->retry_ms = event->retry_ms < RETRY_MAX_MS ? event->retry_ms : RETRY_MAX_MS;
        gy_error_set(&chatter->error, GY_ECLOSED, "%s",
                     text[0] != '\0' ? text : "the server ended the connection");
    }
}

bool gy_chatter_take(struct gy_chatter *chatter, const struct gy_chat_client_event *event)
{
    static _Thread_local struct texts texts;
    struct gy_chatter_event told = {.room = texts.room};
    texts.room[0] = '\0';
    if (event->room != GY_CHAT_CLIENT_NO_ROOM) {
        const struct gy_chat_client_room *room = &chatter->rooms[event->room];
        terminated(texts.room, sizeof texts.room,
                   (struct gy_chat_text){room->name, room->name_bytes});
    }
    switch (event->type) {
    case GY_CHAT_CLIENT_IN:
        is_in(chatter, event, &texts);
        break;
    case GY_CHAT_CLIENT_JOINED:
        joined(chatter, event, &texts);
        break;
    case GY_CHAT_CLIENT_MESSAGE:
        message(chatter, texts.room, &event->frame, &texts);
        break;
    case GY_CHAT_CLIENT_GAP:
        told.type = GY_CHATTER_GAP;
        told.id = event->first;
        told.last = event->last;
        told.what = event->why;
        gy_chatter_queue(chatter, &told);
        break;
    case GY_CHAT_CLIENT_ACKED:
        acked(chatter, event);
        break;
    case GY_CHAT_CLIENT_REFUSED:
        refused(chatter, event, &texts);
        break;
    case GY_CHAT_CLIENT_NOT_JOINED:
        told.type = GY_CHATTER_ERROR;
        told.code = event->code;
        told.text = terminated(texts.text, sizeof texts.text, event->text);
        gy_chatter_queue(chatter, &told);
        break;
    case GY_CHAT_CLIENT_ANSWER:
        answer(chatter, event, &texts);
        break;
    case GY_CHAT_CLIENT_NEWS:
        news(chatter, event, &texts);
        break;
    case GY_CHAT_CLIENT_NOT_IN:
    case GY_CHAT_CLIENT_ENDED:
    case GY_CHAT_CLIENT_BROKEN:
        ended(chatter, event, &texts);
        return false;
    case GY_CHAT_CLIENT_CAUGHT_UP:
    case GY_CHAT_CLIENT_RESET:
    case GY_CHAT_CLIENT_DELAYED:
        break;
    case GY_CHAT_CLIENT_MOVE:
        gy_chatter_move(
            chatter, terminated(texts.other, sizeof texts.other, event->frame.body.move.address));
        break;
    }
    return true;
}
