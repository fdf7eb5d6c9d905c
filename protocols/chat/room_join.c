/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_internal.h"

/* ---- the member's worker ---- */

/* How the room that the member calls so is called by all. 0, or the member was told. */
static int name_of(struct gy_chat_hub *hub, struct gy_chat_member *member,
                   const struct gy_chat_frame *frame, struct gy_chat_canonical *canonical)
{
    struct gy_chat_text name = frame->body.join.room;
    if (name.length == 1 && name.bytes[0] == '@') {
        canonical->length = (uint32_t)snprintf(canonical->bytes, sizeof canonical->bytes, "@%llu",
                                               (unsigned long long)member->user);
        return 0;
    }
    const char *why = "";
    if (gy_chat_room_check(name, canonical, &why) != 0) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "The room's name cannot be used: %s.", why);
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_NAME, 0, sentence);
        return GY_EINVAL;
    }
    return 0;
}

static bool is_guest(uint64_t user)
{
    return (user & GY_CHAT_GUEST_BIT) != 0;
}

static bool is_inbox(struct gy_chat_text name)
{
    return name.bytes[0] == '@';
}

static bool is_own_room(const struct gy_chat_hub *hub, struct gy_chat_text name)
{
    for (uint32_t i = 0; i < hub->config.own_room_count; i++) {
        if (gy_chat_text_equal(gy_chat_canonical_text(&hub->config.own_rooms[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool may_make(const struct gy_chat_hub *hub, const struct gy_chat_member *member,
                     struct gy_chat_text name)
{
    switch ((enum gy_chat_who)hub->config.make_rooms) {
    case GY_CHAT_EVERYBODY:
        return true;
    case GY_CHAT_ACCOUNTS:
        if (!is_guest(member->user)) {
            return true;
        }
        break;
    case GY_CHAT_OPERATORS:
        if (hub->ops.operates != NULL && hub->ops.operates(hub->context, member->user)) {
            return true;
        }
        break;
    case GY_CHAT_NOBODY:
        break;
    }
    return is_inbox(name) || is_own_room(hub, name);
}

void gy_chat_join_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                          const struct gy_chat_frame *frame)
{
    struct gy_chat_canonical canonical;
    if (frame->body.join.policy > GY_CHAT_SPILL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                          "This is no policy: 0 to 3 are.");
        return;
    }
    if (hub->draining) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server ends: connect again and join then.");
        return;
    }
    if (name_of(hub, member, frame, &canonical) != 0) {
        return;
    }
    if (member->rooms >= hub->config.rooms_per_member) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_FULL, 0,
                          "You are in as many rooms as one connection may be: leave one first.");
        return;
    }
    struct gy_chat_text name = gy_chat_canonical_text(&canonical);
    struct gy_chat_room *room = gy_chat_room_named(hub, name);
    if (room == NULL) {
        room = gy_chat_room_make(hub, name, gy_chat_hub_place(hub, name));
    } else if (room->number != 0 && gy_chat_subscription_of(member, room->number) != NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ORDER, 0, "You are in this room.");
        return;
    }
    if (room == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_FULL, 1000,
                          "The server has no place for one more room now.");
        return;
    }
    room->joining++;
    struct gy_chat_note note = {
        .type = NOTE_JOIN,
        .tag = frame->tag,
        .action = frame->body.join.policy,
        .flag = may_make(hub, member, name),
        .count = frame->body.join.history,
        .user = member->user,
        .other = is_guest(member->user) && hub->ops.origin != NULL
                     ? hub->ops.origin(hub->context, member)
                     : 0,
        .target = frame->body.join.since,
        .nick = gy_chat_member_nick(member),
        .name = name,
    };
    gy_chat_note_ask(hub, room->owner, member, &note);
}

/* Where the member begins to read. */
static uint64_t begin_at(const struct gy_chat_hub *hub, const struct gy_chat_note *answer)
{
    uint64_t last = answer->id;
    uint64_t since = answer->target;
    if (since == GY_CHAT_NONE) {
        uint64_t history =
            answer->count < hub->config.page_max ? answer->count : hub->config.page_max;
        return last > history ? last - history + 1 : 1;
    }
    return since < last ? since + 1 : last + 1;
}

/* The room was told that it came. */
static void is_gone(struct gy_chat_hub *hub, struct gy_chat_room *room,
                    const struct gy_chat_note *answer)
{
    const struct gy_chat_frame frame = {.type = GY_CHAT_CAME,
                                        .body.came = {.room = room->number,
                                                      .what = GY_CHAT_HAS_LEFT,
                                                      .role = answer->role,
                                                      .nick = answer->nick}};
    if (answer->name.bytes[0] != '@') {
        gy_chat_here(hub, room, answer->user, &frame);
    }
}

static void joined(struct gy_chat_hub *hub, struct gy_chat_room *room,
                   struct gy_chat_member *member, const struct gy_chat_note *answer)
{
    struct gy_chat_subscription *subscription = NULL;
    if (gy_chat_subscription_of(member, room->number) != NULL) {
        gy_chat_hub_error(hub, member, answer->tag, GY_CHAT_ORDER, 0, "You are in this room.");
        return;
    }
    if (member->rooms < hub->config.rooms_per_member) {
        subscription = gy_chat_subscribe(hub, room, member);
    }
    if (subscription == NULL) {
        is_gone(hub, room, answer);
        gy_chat_hub_error(hub, member, answer->tag, GY_CHAT_FULL, 1000,
                          "There is no place for one more member of a room now.");
        return;
    }
    static const struct gy_chat_text inbox = {"@", 1};
    subscription->inbox = answer->name.bytes[0] == '@';
    subscription->policy = answer->action;
    subscription->role = answer->role;
    subscription->tag = answer->tag;
    subscription->joining = true;
    subscription->state = SUBSCRIPTION_BEHIND;
    subscription->next_id = begin_at(hub, answer);
    member->lagging++;
    struct gy_chat_frame frame = {
        .type = GY_CHAT_JOINED,
        .tag = answer->tag,
        .flags = GY_CHAT_MORE,
        .body.joined = {.room = room->number,
                        .first = answer->first,
                        .last = answer->id,
                        .role = answer->role,
                        .slow_ms = answer->seconds,
                        .name = subscription->inbox ? inbox : answer->name,
                        .topic = answer->text}};
    gy_chat_hub_write(hub, member, &frame);
    gy_chat_spill(hub, subscription);
}

void gy_chat_join_answered(struct gy_chat_hub *hub, const struct gy_chat_note *answer)
{
    struct gy_chat_member *member = gy_chat_hub_member(hub, answer->slot, answer->generation);
    struct gy_chat_room *room = gy_chat_room_named(hub, answer->name);
    gy_assert(room != NULL && room->joining > 0);
    room->joining--;
    if (answer->what == GY_CHAT_ERROR) {
        if (member != NULL) {
            char sentence[GY_CHAT_SENTENCE_MAX + 1];
            snprintf(sentence, sizeof sentence, "%.*s", (int)answer->text.length,
                     answer->text.bytes);
            gy_chat_hub_error(hub, member, answer->tag, (enum gy_chat_code)answer->code,
                              answer->seconds, sentence);
        }
        gy_chat_room_left(hub, room);
        return;
    }
    if (room->owned == NULL && !room->fed) {
        if (room->number == 0) {
            gy_chat_room_number(hub, room, answer->room);
        }
        room->fed = true;
        room->last = answer->id;
        room->target = answer->id;
        room->first = answer->first;
        room->state = ROOM_OPEN;
        gy_chat_history_clear(hub, room);
    }
    gy_assert(room->number == answer->room);
    if (member != NULL) {
        joined(hub, room, member, answer);
    } else {
        is_gone(hub, room, answer);
    }
    gy_chat_room_left(hub, room);
}

void gy_chat_leave_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame)
{
    struct gy_chat_subscription *subscription =
        gy_chat_subscription_of(member, frame->body.leave.room);
    if (subscription == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "You are not in this room.");
        return;
    }
    struct gy_chat_room *room = subscription->room;
    struct gy_chat_frame came = {.type = GY_CHAT_CAME,
                                 .body.came = {.room = room->number,
                                               .what = GY_CHAT_HAS_LEFT,
                                               .role = subscription->role,
                                               .nick = gy_chat_member_nick(member)}};
    bool inbox = subscription->inbox;
    gy_chat_unsubscribe(hub, subscription);
    if (!inbox) {
        gy_chat_here(hub, room, member->user, &came);
    }
    gy_chat_room_left(hub, room);
    struct gy_chat_frame ok = {.type = GY_CHAT_OK, .tag = frame->tag};
    gy_chat_hub_write(hub, member, &ok);
}

/* ---- the owner ---- */

/* Inboxes are counted apart from rooms. */
#define INBOX_BIT (GY_CHAT_GUEST_BIT >> 1)

/* Whose the room will be, and how long it stays, where the note makes it. */
static void plan_room(const struct gy_chat_hub *hub, const struct gy_chat_note *note,
                      struct gy_chat_job *job)
{
    const struct gy_chat_hub_config *config = &hub->config;
    if (note->type == NOTE_SAY) { /* the inbox of somebody who is told something */
        job->made_by = note->other;
        job->temporary = is_guest(note->other);
        return;
    }
    bool inbox = is_inbox(note->name);
    if (!inbox && is_own_room(hub, note->name)) {
        return;
    }
    job->made_by = note->user;
    job->temporary = is_guest(note->user);
    if (job->temporary && note->other != 0) {
        job->maker = GY_CHAT_GUEST_BIT | (inbox ? INBOX_BIT : 0) | (note->other & (INBOX_BIT - 1));
        job->maker_most = inbox ? config->inboxes_per_origin : config->rooms_per_origin;
    } else if (!job->temporary && !inbox) {
        job->maker = note->user;
        job->maker_most = config->rooms_per_account;
    }
}

static void open_room(struct gy_chat_hub *hub, struct gy_chat_room *room,
                      const struct gy_chat_note *note, bool make)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_OPEN_ROOM, TASK_OPEN);
    if (job == NULL) {
        struct gy_chat_waiting *waiting = room->owned->waiting_head;
        gy_assert(room->owned->waiting == 1);
        room->owned->waiting_head = NULL;
        room->owned->waiting = 0;
        gy_chat_note_refuse(hub, &waiting->note, GY_CHAT_BUSY, 1000,
                            "The server has no memory for it now.");
        gy_chat_note_drop(hub, waiting);
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->owned = room;
    job->name = (struct gy_chat_text){room->name, room->name_bytes};
    job->make = make;
    plan_room(hub, note, job);
    room->owned->jobs++;
    gy_chat_hub_submit(hub, job);
}

struct gy_chat_room *gy_chat_room_for(struct gy_chat_hub *hub, const struct gy_chat_note *note,
                                      bool make)
{
    struct gy_chat_room *room = gy_chat_room_named(hub, note->name);
    if (room == NULL) {
        room = gy_chat_room_make(hub, note->name, hub->config.number);
    }
    if (room == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FULL, 1000,
                            "The server has no place for one more room now.");
        return NULL;
    }
    gy_assert(room->owned != NULL);
    if (room->state == ROOM_OPEN) {
        return room;
    }
    struct gy_chat_owned *owned = room->owned;
    struct gy_chat_waiting *waiting =
        owned->waiting < hub->config.opening_max ? gy_chat_note_keep(hub, note) : NULL;
    if (waiting == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 200,
                            "Too many wait for this room to be opened: try again in a moment.");
        return NULL;
    }
    if (owned->waiting_head == NULL) {
        owned->waiting_head = waiting;
    } else {
        owned->waiting_tail->next = waiting;
    }
    owned->waiting_tail = waiting;
    owned->waiting++;
    if (owned->jobs == 0) {
        open_room(hub, room, note, make); /* the room may be open, and the note done, after it */
    }
    return NULL;
}

static void opened_well(struct gy_chat_hub *hub, struct gy_chat_room *room,
                        const struct gy_chat_job *job)
{
    gy_assert(job->room != 0);
    gy_chat_room_number(hub, room, job->room);
    room->state = ROOM_OPEN;
    room->first = job->first == 0 ? 1 : job->first;
    room->last = job->last;
    room->slow_ms = job->slow_ms;
    gy_chat_room_topic(hub, room, job->topic);
    gy_chat_standings_load(hub, room, job->standings, job->standing_count);
    bool inbox = room->name[0] == '@';
    room->owned->temporary = job->temporary;
    if (inbox) {
        for (uint32_t i = 1; i < room->name_bytes; i++) {
            room->owned->inbox_of = room->owned->inbox_of * 10 + (uint64_t)(room->name[i] - '0');
        }
    }
    if (job->was_made && !inbox && job->made_by != 0 &&
        gy_chat_standing_of(room, job->made_by) == NULL) {
        const struct gy_chat_standing owner = {.user = job->made_by, .role = GY_CHAT_ROLE_OWNER};
        gy_chat_standings_load(hub, room, &owner, 1);
    }
}

static void refuse_waiting(struct gy_chat_hub *hub, const struct gy_chat_note *note, int result)
{
    if (result == GY_ENOTFOUND) {
        gy_chat_note_refuse(hub, note, GY_CHAT_ABSENT, 0,
                            "There is no such room, and you may not make one.");
    } else if (result == GY_ELIMIT && is_guest(note->user)) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FULL, 0,
                            "Guests from your address have made as many rooms as they may: wait "
                            "until one is gone, or log in to an account.");
    } else if (result == GY_ELIMIT) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FULL, 0,
                            "You have made as many rooms as an account may.");
    } else {
        gy_chat_note_refuse(hub, note, GY_CHAT_STORAGE, 5000,
                            "The room cannot be read now: try again later.");
    }
}

void gy_chat_room_opened(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_room *room = ((struct gy_chat_task *)job->owner)->owned;
    struct gy_chat_owned *owned = room->owned;
    owned->jobs--;
    if (job->result == 0) {
        opened_well(hub, room, job);
    }
    struct gy_chat_waiting *waiting = owned->waiting_head;
    owned->waiting_head = NULL;
    owned->waiting = 0;
    owned->jobs++; /* the room stays while those who waited are served */
    for (bool first = true; waiting != NULL; first = false) {
        struct gy_chat_waiting *next = waiting->next;
        const struct gy_chat_note *note = &waiting->note;
        /* What the first one may not, or may no more, another one may. */
        bool others = note->flag && !first &&
                      (job->result == GY_ELIMIT || (job->result == GY_ENOTFOUND && !job->make));
        owned->jobs--;
        if (job->result == 0 || others) {
            gy_chat_note_take(hub, note);
        } else {
            refuse_waiting(hub, note, job->result);
        }
        owned->jobs++;
        gy_chat_note_drop(hub, waiting);
        waiting = next;
    }
    owned->jobs--;
    gy_chat_room_left(hub, room);
}

void gy_chat_join_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_for(hub, note, note->flag);
    if (room == NULL) {
        return;
    }
    if (gy_chat_is_banned(hub, room, note->user)) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FORBIDDEN, 0, "You are banned from this room.");
        return;
    }
    uint8_t role = gy_chat_role_of(hub, room, note->user);
    if (gy_chat_is_muted(hub, room, note->user)) {
        role = GY_CHAT_ROLE_MUTED;
    }
    if (note->worker != hub->config.number) {
        room->owned->peers[note->worker].subscribed = true;
    }
    struct gy_chat_note answer = {.what = GY_CHAT_JOINED,
                                  .role = role,
                                  .room = room->number,
                                  .seconds = room->slow_ms,
                                  .first = room->first,
                                  .id = room->last,
                                  .text = room->topic};
    struct gy_chat_frame came = {
        .type = GY_CHAT_CAME,
        .body.came = {
            .room = room->number, .what = GY_CHAT_HAS_JOINED, .role = role, .nick = note->nick}};
    if (room->owned->inbox_of == 0) {
        gy_chat_notice(hub, room, &came);
    }
    gy_chat_note_answer(hub, note, &answer);
}

void gy_chat_room_state(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room == NULL || room->owned == NULL) {
        return;
    }
    struct gy_chat_peer *peer = &room->owned->peers[note->worker];
    peer->subscribed = note->flag;
    peer->members = note->flag ? note->count : 0;
    gy_chat_room_left(hub, room);
}
