/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"

/* What members do that is not stored: coming and going, typing, being away. */

static uint32_t class_of(uint8_t type)
{
    return type == GY_CHAT_TYPES ? 1 : type == GY_CHAT_STATUS ? 2 : 0;
}

/* At the owner. Notes of presence reach as many as messages do. */
static bool may_be_told(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                        uint64_t user, uint8_t type)
{
    return class_of(type) == 0 || !gy_chat_is_muted(hub, room, user);
}

void gy_chat_here(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user,
                  const struct gy_chat_frame *frame)
{
    if (room->owned != NULL) {
        if (may_be_told(hub, room, user, frame->type)) {
            gy_chat_notice(hub, room, frame);
        }
        return;
    }
    if (room->count > hub->config.quiet_members) {
        hub->counters.quiet++;
        return;
    }
    uint8_t bytes[1024];
    gy_assert(gy_chat_encoded_bytes(frame) <= sizeof bytes);
    const struct gy_chat_note note = {
        .type = NOTE_HERE,
        .what = frame->type,
        .user = user,
        .room = room->number,
        .text = {(const char *)bytes, gy_chat_encode(frame, bytes)},
    };
    if (gy_chat_note_send(hub, room->owner, &note) != 0) {
        hub->counters.quiet++;
    }
}

void gy_chat_here_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room == NULL || room->owned == NULL || !may_be_told(hub, room, note->user, note->what)) {
        return;
    }
    if (gy_chat_room_members(hub, room) > hub->config.quiet_members) {
        hub->counters.quiet++;
    } else {
        gy_chat_notices_add(hub, room, class_of(note->what), note->text);
    }
}

void gy_chat_notice(struct gy_chat_hub *hub, struct gy_chat_room *room,
                    const struct gy_chat_frame *frame)
{
    if (gy_chat_room_members(hub, room) > hub->config.quiet_members) {
        hub->counters.quiet++;
        return;
    }
    uint8_t bytes[1024];
    gy_assert(gy_chat_encoded_bytes(frame) <= sizeof bytes);
    struct gy_chat_text text = {(const char *)bytes, gy_chat_encode(frame, bytes)};
    gy_chat_notices_add(hub, room, class_of(frame->type), text);
}

void gy_chat_notices_add(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t class,
                         struct gy_chat_text frames)
{
    struct gy_chat_notices *notices = &room->notices[class];
    if (notices->frames == NULL) {
        notices->frames = gy_chat_hub_memory(hub, NOTICE_BYTES);
    }
    if (notices->frames == NULL || frames.length > NOTICE_BYTES - notices->bytes) {
        hub->counters.quiet++; /* more in one turn than anybody would read */
        return;
    }
    memcpy(notices->frames + notices->bytes, frames.bytes, frames.length);
    notices->bytes += frames.length;
    gy_chat_room_dirty(hub, room);
}

void gy_chat_notices_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room != NULL && room->owned == NULL && note->what < NOTICE_CLASSES) {
        gy_chat_notices_add(hub, room, note->what, note->text);
    }
}

/* ---- requests ---- */

void gy_chat_typing_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                            const struct gy_chat_frame *frame)
{
    struct gy_chat_subscription *subscription =
        gy_chat_subscription_of(member, frame->body.typing.room);
    if (subscription == NULL || subscription->inbox || frame->body.typing.on > 1) {
        return; /* it has no answer */
    }
    bool on = frame->body.typing.on != 0;
    uint32_t now_ms = (uint32_t)hub->now_ms;
    if (on == subscription->typing &&
        (!on || now_ms - subscription->typed_ms < hub->config.typing_ms)) {
        hub->counters.quiet++;
        return;
    }
    if (on && subscription->typed_ms != 0 &&
        now_ms - subscription->typed_ms < hub->config.typing_ms) {
        hub->counters.quiet++;
        return;
    }
    subscription->typing = on;
    if (on) {
        subscription->typed_ms = now_ms;
    }
    struct gy_chat_frame types = {.type = GY_CHAT_TYPES,
                                  .body.types = {.room = subscription->room->number,
                                                 .on = on,
                                                 .nick = gy_chat_member_nick(member)}};
    gy_chat_here(hub, subscription->room, member->user, &types);
}

void gy_chat_presence_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                              const struct gy_chat_frame *frame)
{
    struct gy_chat_text note = frame->body.presence.note;
    if (frame->body.presence.status > GY_CHAT_STATUS_BUSY) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                          "This is no status: 0 to 2 are.");
        return;
    }
    char *copy = note.length == 0 ? NULL : gy_chat_hub_memory(hub, note.length);
    if (note.length > 0 && copy == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return;
    }
    if (copy != NULL) {
        memcpy(copy, note.bytes, note.length);
    }
    if (member->note != NULL) {
        gy_chat_hub_return(hub, member->note, member->note_bytes);
    }
    member->note = copy;
    member->note_bytes = (uint8_t)note.length;
    member->status = frame->body.presence.status;
    struct gy_chat_frame status = {.type = GY_CHAT_STATUS,
                                   .body.status = {.status = member->status,
                                                   .nick = gy_chat_member_nick(member),
                                                   .note = {copy, note.length}}};
    for (struct gy_chat_subscription *at = member->subscriptions; at != NULL; at = at->next) {
        if (!at->inbox) {
            gy_chat_here(hub, at->room, member->user, &status);
        }
    }
    struct gy_chat_frame ok = {.type = GY_CHAT_OK, .tag = frame->tag};
    gy_chat_hub_write(hub, member, &ok);
}
