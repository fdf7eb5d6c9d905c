/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_admin.h"

#define STANDINGS_AT_FIRST 8
#define SLOWED_MAX         4096

/* ---- standings ---- */

static uint32_t place_of(const struct gy_chat_owned *owned, uint64_t user)
{
    uint32_t low = 0;
    uint32_t high = owned->standing_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (owned->standings[middle].user < user) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct gy_chat_standing *gy_chat_standing_of(const struct gy_chat_room *room, uint64_t user)
{
    const struct gy_chat_owned *owned = room->owned;
    uint32_t at = place_of(owned, user);
    return at < owned->standing_count && owned->standings[at].user == user ? &owned->standings[at]
                                                                           : NULL;
}

static int standing_put(struct gy_chat_hub *hub, struct gy_chat_owned *owned,
                        const struct gy_chat_standing *standing)
{
    uint32_t at = place_of(owned, standing->user);
    if (at < owned->standing_count && owned->standings[at].user == standing->user) {
        owned->standings[at] = *standing;
        return 0;
    }
    if (owned->standing_count == owned->standing_capacity) {
        uint32_t wider =
            owned->standing_capacity == 0 ? STANDINGS_AT_FIRST : owned->standing_capacity * 2;
        struct gy_chat_standing *standings = gy_chat_hub_memory(hub, wider * sizeof *standings);
        if (standings == NULL) {
            return GY_ENOMEM;
        }
        if (owned->standings != NULL) {
            memcpy(standings, owned->standings, owned->standing_count * sizeof *standings);
            gy_chat_hub_return(hub, owned->standings, owned->standing_capacity * sizeof *standings);
        }
        owned->standings = standings;
        owned->standing_capacity = wider;
    }
    memmove(&owned->standings[at + 1], &owned->standings[at],
            (owned->standing_count - at) * sizeof *standing);
    owned->standings[at] = *standing;
    owned->standing_count++;
    return 0;
}

int gy_chat_standings_load(struct gy_chat_hub *hub, struct gy_chat_room *room,
                           const struct gy_chat_standing *standings, uint32_t count)
{
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        code = standing_put(hub, room->owned, &standings[i]);
    }
    return code;
}

uint8_t gy_chat_role_of(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                        uint64_t user)
{
    if (room->owned->inbox_of != 0) {
        return room->owned->inbox_of == user ? GY_CHAT_ROLE_OWNER : GY_CHAT_ROLE_MEMBER;
    }
    if (hub->ops.operates != NULL && hub->ops.operates(hub->context, user)) {
        return GY_CHAT_ROLE_OWNER;
    }
    const struct gy_chat_standing *standing = gy_chat_standing_of(room, user);
    return standing == NULL ? GY_CHAT_ROLE_MEMBER : standing->role;
}

bool gy_chat_is_banned(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                       uint64_t user)
{
    const struct gy_chat_standing *standing = gy_chat_standing_of(room, user);
    if (hub->ops.operates != NULL && hub->ops.operates(hub->context, user)) {
        return false;
    }
    return standing != NULL && standing->banned &&
           (standing->banned_until_ms == 0 || standing->banned_until_ms > hub->wall_ms);
}

bool gy_chat_is_muted(const struct gy_chat_hub *hub, const struct gy_chat_room *room, uint64_t user)
{
    const struct gy_chat_standing *standing = gy_chat_standing_of(room, user);
    return standing != NULL && standing->muted &&
           (standing->muted_until_ms == 0 || standing->muted_until_ms > hub->wall_ms);
}

/* ---- slow mode ---- */

static struct gy_chat_slowed *slowed_make(struct gy_chat_hub *hub, struct gy_chat_owned *owned)
{
    if (owned->slowed_count == owned->slowed_capacity) {
        uint32_t wider = owned->slowed_capacity == 0 ? 16 : owned->slowed_capacity * 2;
        struct gy_chat_slowed *slowed =
            wider > SLOWED_MAX ? NULL : gy_chat_hub_memory(hub, wider * sizeof *slowed);
        if (slowed == NULL) {
            return NULL;
        }
        if (owned->slowed != NULL) {
            memcpy(slowed, owned->slowed, owned->slowed_count * sizeof *slowed);
            gy_chat_hub_return(hub, owned->slowed, owned->slowed_capacity * sizeof *slowed);
        }
        owned->slowed = slowed;
        owned->slowed_capacity = wider;
    }
    return &owned->slowed[owned->slowed_count++];
}

/* Those who may speak again are forgotten as they are come upon, so the list holds who spoke within
 * the last `slow_ms`; when it is full, others wait as if they had. */
uint32_t gy_chat_slow_wait(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user)
{
    struct gy_chat_owned *owned = room->owned;
    uint8_t role = gy_chat_role_of(hub, room, user);
    if (room->slow_ms == 0 || role == GY_CHAT_ROLE_OPERATOR || role == GY_CHAT_ROLE_OWNER) {
        return 0;
    }
    for (uint32_t i = 0; i < owned->slowed_count;) {
        const struct gy_chat_slowed *slowed = &owned->slowed[i];
        uint64_t until_ms = slowed->at_ms + room->slow_ms;
        if (until_ms <= hub->now_ms) {
            owned->slowed[i] = owned->slowed[--owned->slowed_count];
        } else if (slowed->user == user) {
            return (uint32_t)(until_ms - hub->now_ms);
        } else {
            i++;
        }
    }
    struct gy_chat_slowed *slowed = slowed_make(hub, owned);
    if (slowed == NULL) {
        return room->slow_ms;
    }
    *slowed = (struct gy_chat_slowed){.user = user, .at_ms = hub->now_ms};
    return 0;
}

/* ---- the member's worker ---- */

void gy_chat_moderate_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                              const struct gy_chat_frame *frame)
{
    uint8_t action = frame->body.moderate.action;
    const struct gy_chat_subscription *subscription =
        gy_chat_subscription_of(member, frame->body.moderate.room);
    if (action < GY_CHAT_KICK || action > GY_CHAT_MAKE_OWNER) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                          "This is no action: 1 to 9 are.");
        return;
    }
    if (subscription == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "You are not in this room.");
        return;
    }
    struct gy_chat_note note = {
        .type = NOTE_MODERATE,
        .tag = frame->tag,
        .action = action,
        .room = frame->body.moderate.room,
        .seconds = frame->body.moderate.seconds,
        .count = subscription->room->owner,
        .user = member->user,
        .client_id = frame->body.moderate.client_id,
        .nick = gy_chat_member_nick(member),
        .name = frame->body.moderate.nick,
        .text = frame->body.moderate.reason,
    };
    struct gy_chat_canonical canonical;
    const char *why = "";
    if (action == GY_CHAT_SLOW_MODE) {
        note.flag = true;
        note.name.length = 0;
        gy_chat_note_ask(hub, note.count, member, &note);
        return;
    }
    if (gy_chat_nick_check(note.name, &canonical, &why) != 0) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0,
                          "There is nobody with this nick.");
        return;
    }
    note.canonical = gy_chat_canonical_text(&canonical);
    gy_chat_note_ask(hub, gy_chat_hub_place(hub, note.canonical), member, &note);
}

/* ---- the owner ---- */

static const char *may_moderate(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                                const struct gy_chat_note *note)
{
    static const uint8_t ranks[] = {
        [GY_CHAT_ROLE_MEMBER] = 0, [GY_CHAT_ROLE_OPERATOR] = 1, [GY_CHAT_ROLE_OWNER] = 2};
    uint8_t mine = ranks[gy_chat_role_of(hub, room, note->user)];
    uint8_t others = ranks[gy_chat_role_of(hub, room, note->other)];
    if (mine == 0 || gy_chat_is_banned(hub, room, note->user)) {
        return "Only the room's operators may do that.";
    }
    if (note->action == GY_CHAT_SLOW_MODE) {
        return NULL;
    }
    bool role = note->action == GY_CHAT_MAKE_OPERATOR || note->action == GY_CHAT_MAKE_MEMBER ||
                note->action == GY_CHAT_MAKE_OWNER;
    if (role && mine < 2) {
        return "Only the room's owner may do that.";
    }
    if (note->other == note->user) {
        return "You cannot do that to yourself.";
    }
    if (others >= mine && !role) {
        return "You cannot do that to somebody of your own rank, or above.";
    }
    return NULL;
}

/* What the standing will be. False: it stays as it is. */
static bool change(const struct gy_chat_hub *hub, const struct gy_chat_note *note,
                   struct gy_chat_standing *standing)
{
    uint64_t until_ms = note->seconds == 0 ? 0 : hub->wall_ms + note->seconds * UINT64_C(1000);
    switch ((enum gy_chat_action)note->action) {
    case GY_CHAT_BAN:
        standing->banned = true;
        standing->banned_until_ms = until_ms;
        return true;
    case GY_CHAT_UNBAN:
        standing->banned = false;
        return true;
    case GY_CHAT_MUTE:
        standing->muted = true;
        standing->muted_until_ms = until_ms;
        return true;
    case GY_CHAT_UNMUTE:
        standing->muted = false;
        return true;
    case GY_CHAT_MAKE_OPERATOR:
        standing->role = GY_CHAT_ROLE_OPERATOR;
        return true;
    case GY_CHAT_MAKE_MEMBER:
        standing->role = GY_CHAT_ROLE_MEMBER;
        return true;
    case GY_CHAT_MAKE_OWNER:
        standing->role = GY_CHAT_ROLE_OWNER;
        return true;
    case GY_CHAT_KICK:
    case GY_CHAT_SLOW_MODE:
        break;
    }
    return false;
}

/* The history's sentence. */
static struct gy_chat_text sentence_of(const struct gy_chat_note *note, char *room, size_t bytes)
{
    static const char *const verbs[] = {
        [GY_CHAT_KICK] = "kicked",
        [GY_CHAT_BAN] = "banned",
        [GY_CHAT_UNBAN] = "lifted the ban of",
        [GY_CHAT_MUTE] = "muted",
        [GY_CHAT_UNMUTE] = "unmuted",
        [GY_CHAT_MAKE_OPERATOR] = "made an operator of",
        [GY_CHAT_MAKE_MEMBER] = "made an ordinary member of",
        [GY_CHAT_MAKE_OWNER] = "gave the room to",
    };
    int length;
    char span[32] = "";
    bool timed = note->seconds > 0 && (note->action == GY_CHAT_BAN || note->action == GY_CHAT_MUTE);
    if (timed) {
        snprintf(span, sizeof span, " for %u s", note->seconds);
    }
    if (note->action == GY_CHAT_SLOW_MODE && note->seconds == 0) {
        length =
            snprintf(room, bytes, "%.*s ended slow mode", (int)note->nick.length, note->nick.bytes);
    } else if (note->action == GY_CHAT_SLOW_MODE) {
        length = snprintf(room, bytes, "%.*s set slow mode: %u s between two messages",
                          (int)note->nick.length, note->nick.bytes, note->seconds);
    } else {
        length =
            snprintf(room, bytes, "%.*s %s %.*s%s%s%.*s", (int)note->nick.length, note->nick.bytes,
                     verbs[note->action], (int)note->name.length, note->name.bytes, span,
                     note->text.length > 0 ? ": " : "", (int)note->text.length, note->text.bytes);
    }
    gy_assert(length > 0 && (size_t)length < bytes);
    return (struct gy_chat_text){room, (uint32_t)length};
}

static void to_all_workers(struct gy_chat_hub *hub, const struct gy_chat_room *room,
                           const struct gy_chat_note *note)
{
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        if (room->owned->peers[i].subscribed) {
            gy_chat_note_send(hub, i, note);
        }
    }
    gy_chat_note_take(hub, note);
}

static void announce_role(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user,
                          struct gy_chat_text nick, struct gy_chat_text by)
{
    uint8_t role =
        gy_chat_is_muted(hub, room, user) ? GY_CHAT_ROLE_MUTED : gy_chat_role_of(hub, room, user);
    const struct gy_chat_note note = {
        .type = NOTE_ROLE, .room = room->number, .role = role, .other = user};
    struct gy_chat_frame came = {.type = GY_CHAT_CAME,
                                 .body.came = {.room = room->number,
                                               .what = GY_CHAT_HAS_ROLE,
                                               .role = role,
                                               .nick = nick,
                                               .other = by}};
    gy_chat_notice(hub, room, &came);
    to_all_workers(hub, room, &note);
}

/* Whoever gave the room away is an operator from now on. */
static void step_back(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user)
{
    const struct gy_chat_standing standing = {.user = user, .role = GY_CHAT_ROLE_OPERATOR};
    standing_put(hub, room->owned, &standing);
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_STANDING, TASK_FORGET);
    if (job == NULL) {
        return; /* two owners, when the room is opened next */
    }
    job->room = room->number;
    job->standings = hub->ops.job_take(job, sizeof standing);
    if (job->standings == NULL) {
        hub->ops.job_free(job);
        return;
    }
    job->standings[0] = standing;
    job->standing_count = 1;
    gy_chat_hub_submit(hub, job);
}

static void note_act(struct gy_chat_hub *hub, const struct gy_chat_room *room,
                     const struct gy_chat_note *note)
{
    static const char *const names[] = {
        [GY_CHAT_KICK] = "kick",
        [GY_CHAT_BAN] = "ban",
        [GY_CHAT_UNBAN] = "unban",
        [GY_CHAT_MUTE] = "mute",
        [GY_CHAT_UNMUTE] = "unmute",
        [GY_CHAT_MAKE_OPERATOR] = "make-operator",
        [GY_CHAT_MAKE_MEMBER] = "make-member",
        [GY_CHAT_SLOW_MODE] = "slow-mode",
        [GY_CHAT_MAKE_OWNER] = "make-owner",
    };
    const struct gy_chat_act act = {.what = names[note->action],
                                    .by = note->nick,
                                    .whom = note->name,
                                    .room = {room->name, room->name_bytes},
                                    .reason = note->text,
                                    .seconds = note->seconds};
    gy_chat_acted(hub, &act);
}

/* What was stored takes effect, and is said. */
static void settled(struct gy_chat_hub *hub, struct gy_chat_room *room,
                    const struct gy_chat_note *note, const struct gy_chat_standing *standing)
{
    struct gy_chat_note said = *note;
    char sentence[2 * 255 + 255 + 128];
    said.kind = GY_CHAT_TOPIC_SET;
    if (note->type == NOTE_MODERATE) {
        said.kind = GY_CHAT_MODERATED;
        note_act(hub, room, note);
        said.text = sentence_of(note, sentence, sizeof sentence);
    }
    if (standing != NULL) {
        standing_put(hub, room->owned, standing); /* without memory: from the next opening on */
    }
    if (note->type != NOTE_MODERATE) {
        gy_chat_room_topic(hub, room, note->text);
    } else if (note->action == GY_CHAT_SLOW_MODE) {
        room->slow_ms = note->seconds > UINT32_MAX / 1000 ? UINT32_MAX : note->seconds * 1000;
        room->owned->slowed_count = 0;
    }
    if (note->type == NOTE_MODERATE && note->action == GY_CHAT_MAKE_OWNER) {
        step_back(hub, room, note->user);
        announce_role(hub, room, note->user, note->nick, note->nick);
    }
    bool leaves = note->type == NOTE_MODERATE &&
                  (note->action == GY_CHAT_KICK || note->action == GY_CHAT_BAN);
    if (leaves) {
        struct gy_chat_note remove = {
            .type = NOTE_REMOVE, .room = room->number, .other = note->other, .nick = note->nick};
        struct gy_chat_frame came = {.type = GY_CHAT_CAME,
                                     .body.came = {.room = room->number,
                                                   .what = GY_CHAT_WAS_KICKED,
                                                   .nick = note->name,
                                                   .other = note->nick}};
        gy_chat_notice(hub, room, &came);
        to_all_workers(hub, room, &remove);
    } else if (standing != NULL && note->action != GY_CHAT_UNBAN) {
        announce_role(hub, room, note->other, note->name, note->nick);
    }
    gy_chat_append_add(hub, room, &said);
}

void gy_chat_settled(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    const struct gy_chat_task *task = job->owner;
    struct gy_chat_room *room = task->owned;
    room->owned->settling = false;
    if (job->result == 0) {
        settled(hub, room, &task->note, job->standing_count > 0 ? &job->standings[0] : NULL);
    } else {
        gy_chat_note_refuse(hub, &task->note, GY_CHAT_STORAGE, 5000,
                            "It could not be stored: nothing has changed. Try again later.");
    }
    room->owned->jobs--;
    gy_chat_room_left(hub, room);
}

static void settle(struct gy_chat_hub *hub, struct gy_chat_room *room,
                   const struct gy_chat_note *note, const struct gy_chat_standing *standing)
{
    struct gy_chat_job *job =
        room->owned->settling
            ? NULL
            : gy_chat_hub_job(hub, standing != NULL ? GY_CHAT_JOB_STANDING : GY_CHAT_JOB_SETTINGS,
                              TASK_SETTLE);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job == NULL || gy_chat_note_into(hub, job, &task->note, note) != 0) {
        hub->ops.job_free(job);
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 100,
                            "Another change of this room is under way: try again in a moment.");
        return;
    }
    task->owned = room;
    job->room = room->number;
    if (standing != NULL) {
        job->standings = hub->ops.job_take(job, sizeof *standing);
        if (job->standings == NULL) {
            hub->ops.job_free(job);
            gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000,
                                "The server has no memory for it now.");
            return;
        }
        job->standings[0] = *standing;
        job->standing_count = 1;
    } else {
        bool topic = note->type != NOTE_MODERATE;
        uint32_t slow_ms = note->seconds > UINT32_MAX / 1000 ? UINT32_MAX : note->seconds * 1000;
        job->topic = topic ? task->note.text : gy_chat_job_copy(hub, job, room->topic);
        job->slow_ms = topic ? room->slow_ms : slow_ms;
    }
    room->owned->settling = true;
    room->owned->jobs++;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_settle_topic(struct gy_chat_hub *hub, struct gy_chat_room *room,
                          const struct gy_chat_note *note)
{
    uint8_t role = gy_chat_role_of(hub, room, note->user);
    if (role != GY_CHAT_ROLE_OPERATOR && role != GY_CHAT_ROLE_OWNER) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FORBIDDEN, 0,
                            "Only the room's operators may set its topic.");
        return;
    }
    settle(hub, room, note, NULL);
}

void gy_chat_moderate_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room == NULL || room->owned == NULL || room->owned->inbox_of != 0) {
        gy_chat_note_refuse(hub, note, GY_CHAT_ABSENT, 0, "There is no such room.");
        return;
    }
    if (gy_chat_say_again(hub, room, note)) {
        return;
    }
    const char *why = may_moderate(hub, room, note);
    if (why != NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FORBIDDEN, 0, why);
        return;
    }
    struct gy_chat_standing standing = {.user = note->other};
    const struct gy_chat_standing *now = gy_chat_standing_of(room, note->other);
    if (now != NULL) {
        standing = *now;
    } else if (room->owned->standing_count >= hub->config.standings_max) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FULL, 0,
                            "The room has as many roles, bans and mutes as it may have.");
        return;
    }
    if (note->action == GY_CHAT_SLOW_MODE) {
        settle(hub, room, note, NULL);
    } else if (change(hub, note, &standing)) {
        settle(hub, room, note, &standing);
    } else {
        settled(hub, room, note, NULL); /* a kick leaves nothing behind */
    }
}

/* ---- all workers with members in the room ---- */

void gy_chat_remove_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room == NULL) {
        return;
    }
    bool all = note->other == 0; /* the room was dropped */
    for (uint32_t i = room->count; i > 0; i--) {
        struct gy_chat_subscription *subscription = room->list[i - 1];
        struct gy_chat_member *member = subscription->member;
        if (!all && member->user != note->other) {
            continue;
        }
        struct gy_chat_frame came = {.type = GY_CHAT_CAME,
                                     .body.came = {.room = room->number,
                                                   .what = GY_CHAT_WAS_KICKED,
                                                   .nick = gy_chat_member_nick(member),
                                                   .other = note->nick}};
        gy_chat_unsubscribe(hub, subscription);
        gy_chat_hub_write(hub, member, &came);
    }
    if (all && room->owned == NULL && room->joining > 0) {
        gy_chat_room_unnumber(hub, room);
        return;
    }
    gy_chat_room_left(hub, room);
}

void gy_chat_role_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    for (uint32_t i = 0; room != NULL && i < room->count; i++) {
        if (room->list[i]->member->user == note->other) {
            room->list[i]->role = note->role;
        }
    }
    (void)hub;
}
