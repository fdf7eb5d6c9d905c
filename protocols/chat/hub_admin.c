/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_admin.h"

/* ADMIN: what who operates the server may do to all of it. */

#define PAGE_MAX 200

void gy_chat_to_all(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        if (i != hub->config.number) {
            gy_chat_note_send(hub, i, note);
        }
    }
    gy_chat_note_take(hub, note);
}

void gy_chat_acted(struct gy_chat_hub *hub, const struct gy_chat_act *act)
{
    if (hub->ops.acted != NULL) {
        hub->ops.acted(hub->context, act);
    }
}

static void ok(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag)
{
    const struct gy_chat_frame frame = {.type = GY_CHAT_OK, .tag = tag};
    gy_chat_hub_write(hub, member, &frame);
}

/* ---- everybody ---- */

static void announce(struct gy_chat_hub *hub, struct gy_chat_member *member,
                     const struct gy_chat_frame *frame)
{
    const struct gy_chat_note note = {.type = NOTE_ANNOUNCE,
                                      .time = hub->wall_ms,
                                      .nick = gy_chat_member_nick(member),
                                      .text = frame->body.admin.text};
    const struct gy_chat_act act = {
        .what = "announce", .by = note.nick, .reason = frame->body.admin.text};
    gy_chat_acted(hub, &act);
    gy_chat_to_all(hub, &note);
    ok(hub, member, frame->tag);
}

static void announced(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    const struct gy_chat_frame frame = {
        .type = GY_CHAT_NOTICE,
        .body.notice = {.time = note->time, .from = note->nick, .contents = note->text}};
    for (uint32_t i = 0; i < hub->slot_count; i++) {
        struct gy_chat_member *member = hub->slots[i].member;
        if (member != NULL && member->user != 0) {
            gy_chat_hub_write(hub, member, &frame);
        }
    }
}

static void end_some(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    char sentence[GY_CHAT_SENTENCE_MAX + 1];
    for (uint32_t i = 0; i < hub->slot_count; i++) {
        struct gy_chat_member *member = hub->slots[i].member;
        bool asks = note->worker == hub->config.number && note->slot == i &&
                    note->generation == hub->slots[i].generation;
        if (member == NULL || member->user == 0 || asks) {
            continue;
        }
        if (note->other != 0) {
            snprintf(sentence, sizeof sentence, "%.*s", (int)note->text.length, note->text.bytes);
        } else if (hub->ops.operates(hub->context, member->user) ||
                   !hub->ops.banned(hub->context, member, gy_chat_member_canonical(member),
                                    sentence)) {
            continue;
        }
        if (note->other == 0 || member->user == note->other) {
            gy_chat_hub_fatal(hub, member, (enum gy_chat_code)note->code, sentence);
        }
    }
}

/* ---- one person ---- */

static void kick(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    const struct gy_chat_person *person = gy_chat_person_find(hub, note->canonical);
    if (person == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_ABSENT, 0, "Nobody with this nick is here.");
        return;
    }
    char sentence[GY_CHAT_SENTENCE_MAX + 1];
    int length =
        snprintf(sentence, sizeof sentence, "An operator of the server ended your connection%s%.*s",
                 note->text.length > 0 ? ": " : ".", (int)note->text.length, note->text.bytes);
    length = length < (int)sizeof sentence ? length : (int)sizeof sentence - 1;
    const struct gy_chat_note end = {.type = NOTE_END,
                                     .worker = UINT32_MAX,
                                     .code = GY_CHAT_FORBIDDEN,
                                     .other = person->user,
                                     .text = {sentence, (uint32_t)length}};
    const struct gy_chat_act act = {
        .what = "kick", .by = note->nick, .whom = note->name, .reason = note->text};
    struct gy_chat_note answer = {.what = GY_CHAT_OK};
    gy_chat_acted(hub, &act);
    gy_chat_to_all(hub, &end);
    gy_chat_note_answer(hub, note, &answer);
}

static void ask_kick(struct gy_chat_hub *hub, struct gy_chat_member *member,
                     const struct gy_chat_frame *frame, const struct gy_chat_canonical *canonical)
{
    struct gy_chat_note note = {.type = NOTE_KICK,
                                .tag = frame->tag,
                                .nick = gy_chat_member_nick(member),
                                .name = frame->body.admin.subject,
                                .canonical = gy_chat_canonical_text(canonical),
                                .text = frame->body.admin.text};
    gy_chat_note_ask(hub, gy_chat_hub_place(hub, note.canonical), member, &note);
}

/* ---- bans ---- */

static bool looks_like_address(struct gy_chat_text subject)
{
    bool digits = subject.length > 0;
    for (uint32_t i = 0; i < subject.length; i++) {
        char byte = subject.bytes[i];
        if (byte == ':' || byte == '/') {
            return true; /* which no nick has */
        }
        digits = digits && ((byte >= '0' && byte <= '9') || byte == '.');
    }
    return digits;
}

/* A nick, or what looks like an address. 0, or the member was told. */
static int read_subject(struct gy_chat_hub *hub, struct gy_chat_member *member,
                        const struct gy_chat_frame *frame, struct gy_chat_ban *ban,
                        struct gy_chat_canonical *canonical)
{
    struct gy_chat_text subject = frame->body.admin.subject;
    const char *why = "it is neither a nick nor an address";
    bool address = looks_like_address(subject);
    int code;
    ban->kind = address ? GY_CHAT_BAN_ADDRESS : GY_CHAT_BAN_NICK;
    if (address) {
        code =
            hub->ops.ban_address(hub->context, subject, canonical->bytes, &canonical->length, &why);
    } else {
        code = gy_chat_nick_check(subject, canonical, &why);
    }
    if (code != 0) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "That cannot be banned: %s.", why);
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_NAME, 0, sentence);
        return code;
    }
    ban->subject = gy_chat_canonical_text(canonical);
    return 0;
}

static bool is_there(struct gy_chat_hub *hub, const struct gy_chat_ban *ban)
{
    struct gy_chat_ban at;
    for (uint64_t place = 0; hub->ops.ban_at(hub->context, place, &at); place++) {
        if (at.kind == ban->kind && gy_chat_text_equal(at.subject, ban->subject)) {
            return true;
        }
    }
    return false;
}

static void put_ban(struct gy_chat_hub *hub, struct gy_chat_member *member,
                    const struct gy_chat_frame *frame)
{
    bool lifts = frame->body.admin.action == GY_CHAT_ADMIN_UNBAN;
    struct gy_chat_canonical canonical;
    struct gy_chat_ban ban = {.made_ms = hub->wall_ms,
                              .by = gy_chat_member_nick(member),
                              .reason = frame->body.admin.text};
    if (frame->body.admin.seconds != 0) {
        ban.until_ms = hub->wall_ms + frame->body.admin.seconds * UINT64_C(1000);
    }
    if (read_subject(hub, member, frame, &ban, &canonical) != 0) {
        return;
    }
    if (lifts && !is_there(hub, &ban)) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "That is not banned.");
        return;
    }
    if (ban.reason.length > GY_CHAT_BAN_REASON_MAX) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_TOO_BIG, 0,
                          "The reason of a ban has 255 bytes at most.");
        return;
    }
    struct gy_chat_job *job =
        gy_chat_hub_job(hub, lifts ? GY_CHAT_JOB_UNBAN : GY_CHAT_JOB_BAN, TASK_BAN);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job != NULL) {
        job->ban = ban;
        job->ban.subject = gy_chat_job_copy(hub, job, ban.subject);
        job->ban.by = gy_chat_job_copy(hub, job, ban.by);
        job->ban.reason = gy_chat_job_copy(hub, job, ban.reason);
    }
    if (job == NULL || job->ban.subject.bytes == NULL || job->ban.by.bytes == NULL ||
        job->ban.reason.bytes == NULL) {
        hub->ops.job_free(job);
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return;
    }
    task->slot = member->slot;
    task->generation = member->generation;
    task->tag = frame->tag;
    gy_chat_hub_submit(hub, job);
}

static void banned(struct gy_chat_hub *hub, const struct gy_chat_job *job,
                   struct gy_chat_member *member, uint16_t tag)
{
    const struct gy_chat_ban *ban = &job->ban;
    bool lifted = job->type == GY_CHAT_JOB_UNBAN;
    uint64_t left_ms = ban->until_ms > hub->wall_ms ? ban->until_ms - hub->wall_ms : 0;
    const struct gy_chat_act act = {.what = lifted ? "unban" : "ban",
                                    .by = ban->by,
                                    .whom = ban->subject,
                                    .reason = ban->reason,
                                    .seconds = (uint32_t)((left_ms + 999) / 1000)};
    if (job->result == 0) {
        hub->ops.ban_changed(hub->context, ban, lifted);
        gy_chat_acted(hub, &act);
    }
    if (job->result == 0 && !lifted) {
        const struct gy_chat_note end = {
            .type = NOTE_END, .worker = UINT32_MAX, .code = GY_CHAT_FORBIDDEN};
        gy_chat_to_all(hub, &end);
    }
    if (member == NULL) {
        return;
    }
    if (job->result == 0) {
        ok(hub, member, tag);
    } else if (job->result == GY_ENOTFOUND) {
        gy_chat_hub_error(hub, member, tag, GY_CHAT_ABSENT, 0, "That is not banned.");
    } else if (job->result == GY_ELIMIT) {
        gy_chat_hub_error(hub, member, tag, GY_CHAT_FULL, 0,
                          "There are as many bans as there may be: lift some.");
    } else {
        gy_chat_hub_error(hub, member, tag, GY_CHAT_STORAGE, 5000,
                          "It could not be stored: nothing has changed. Try again later.");
    }
}

static void list_bans(struct gy_chat_hub *hub, struct gy_chat_member *member,
                      const struct gy_chat_frame *frame)
{
    uint64_t place = frame->body.admin.after;
    struct gy_chat_ban ban;
    bool more = hub->ops.ban_at(hub->context, place, &ban);
    for (uint32_t i = 0; i < PAGE_MAX && more; i++) {
        const struct gy_chat_frame row = {.type = GY_CHAT_REPORT,
                                          .flags = GY_CHAT_MORE,
                                          .tag = frame->tag,
                                          .body.report = {.what = GY_CHAT_IS_BAN,
                                                          .number = ++place,
                                                          .time = ban.made_ms,
                                                          .until = ban.until_ms,
                                                          .name = ban.subject,
                                                          .other = ban.by,
                                                          .text = ban.reason}};
        gy_chat_hub_write(hub, member, &row);
        more = hub->ops.ban_at(hub->context, place, &ban);
    }
    gy_chat_admin_end_page(hub, member, frame->tag, more);
}

/* ---- rooms ---- */

static void ask_room(struct gy_chat_hub *hub, struct gy_chat_member *member,
                     const struct gy_chat_frame *frame)
{
    struct gy_chat_canonical canonical;
    const char *why = "";
    if (gy_chat_room_check(frame->body.admin.subject, &canonical, &why) != 0) {
        char sentence[256];
        snprintf(sentence, sizeof sentence, "That is no room's name: %s.", why);
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_NAME, 0, sentence);
        return;
    }
    struct gy_chat_note note = {.type = NOTE_STAY,
                                .tag = frame->tag,
                                .action = frame->body.admin.action,
                                .nick = gy_chat_member_nick(member),
                                .name = gy_chat_canonical_text(&canonical),
                                .text = frame->body.admin.text};
    gy_chat_note_ask(hub, gy_chat_hub_place(hub, note.name), member, &note);
}

static void stay(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_for(hub, note, false);
    if (room == NULL) {
        return;
    }
    bool drops = note->action == GY_CHAT_ADMIN_DROP_ROOM;
    struct gy_chat_job *job =
        gy_chat_hub_job(hub, drops ? GY_CHAT_JOB_DROP_ROOM : GY_CHAT_JOB_KEEP_ROOM, TASK_STAY);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job == NULL || gy_chat_note_into(hub, job, &task->note, note) != 0) {
        hub->ops.job_free(job);
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    task->owned = room;
    job->room = room->number;
    room->owned->jobs++;
    gy_chat_hub_submit(hub, job);
}

static void stayed(struct gy_chat_hub *hub, const struct gy_chat_job *job,
                   struct gy_chat_room *room, const struct gy_chat_note *note)
{
    bool drops = job->type == GY_CHAT_JOB_DROP_ROOM;
    room->owned->jobs--;
    if (job->result == 0) {
        const struct gy_chat_act act = {.what = drops ? "room-drop" : "room-keep",
                                        .by = note->nick,
                                        .whom = note->name,
                                        .reason = note->text};
        struct gy_chat_note answer = {.what = GY_CHAT_OK};
        gy_chat_acted(hub, &act);
        room->owned->temporary = drops;
        gy_chat_note_answer(hub, note, &answer);
    } else {
        gy_chat_note_refuse(hub, note, GY_CHAT_STORAGE, 5000,
                            "It could not be stored: nothing has changed. Try again later.");
    }
    if (job->result == 0 && drops) {
        gy_chat_room_drop(hub, room, note->nick);
    }
    gy_chat_room_left(hub, room);
}

/* ---- all of it ---- */

void gy_chat_admin_stored(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_task *task = job->owner;
    struct gy_chat_member *member = gy_chat_hub_member(hub, task->slot, task->generation);
    if (task->type == TASK_STAY) {
        stayed(hub, job, task->owned, &task->note);
    } else if (task->type == TASK_BAN) {
        banned(hub, job, member, task->tag);
    } else {
        gy_chat_admin_accounts_read(hub, job, member, task->tag);
    }
}

void gy_chat_admin_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    switch (note->type) {
    case NOTE_PEOPLE:
        gy_chat_admin_people_take(hub, note);
        break;
    case NOTE_KICK:
        kick(hub, note);
        break;
    case NOTE_STAY:
        stay(hub, note);
        break;
    case NOTE_END:
        end_some(hub, note);
        break;
    default:
        gy_assert(note->type == NOTE_ANNOUNCE);
        announced(hub, note);
        break;
    }
}

static void of_person(struct gy_chat_hub *hub, struct gy_chat_member *member,
                      const struct gy_chat_frame *frame)
{
    struct gy_chat_canonical canonical;
    const char *why;
    if (gy_chat_nick_check(frame->body.admin.subject, &canonical, &why) != 0) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0,
                          "There is nobody with this nick.");
    } else if (frame->body.admin.action == GY_CHAT_ADMIN_END) {
        ask_kick(hub, member, frame, &canonical);
    } else {
        gy_chat_account_admin(hub, member, frame, &canonical);
    }
}

void gy_chat_admin_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame)
{
    if (hub->ops.operates == NULL || !hub->ops.operates(hub->context, member->user)) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_FORBIDDEN, 0,
                          "Only who operates the server may do that.");
        return;
    }
    bool bans = hub->ops.banned != NULL;
    switch (frame->body.admin.action) {
    case GY_CHAT_ADMIN_ANNOUNCE:
        announce(hub, member, frame);
        return;
    case GY_CHAT_ADMIN_CONNECTIONS:
        gy_chat_admin_people_request(hub, member, frame);
        return;
    case GY_CHAT_ADMIN_ACCOUNTS:
        gy_chat_admin_accounts_request(hub, member, frame);
        return;
    case GY_CHAT_ADMIN_BANS:
        if (bans) {
            list_bans(hub, member, frame);
            return;
        }
        break;
    case GY_CHAT_ADMIN_BAN:
    case GY_CHAT_ADMIN_UNBAN:
        if (bans) {
            put_ban(hub, member, frame);
            return;
        }
        break;
    case GY_CHAT_ADMIN_END:
    case GY_CHAT_ADMIN_REVOKE:
    case GY_CHAT_ADMIN_PASSWORD:
    case GY_CHAT_ADMIN_OPERATOR:
    case GY_CHAT_ADMIN_NO_OPERATOR:
        of_person(hub, member, frame);
        return;
    case GY_CHAT_ADMIN_KEEP_ROOM:
    case GY_CHAT_ADMIN_DROP_ROOM:
        ask_room(hub, member, frame);
        return;
    default:
        break;
    }
    gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                      "This is no action that the server knows.");
}
