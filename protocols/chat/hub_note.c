/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_admin.h"

/* Notes between hubs: the struct as it is, then its texts; all hubs are of one program. */

#define TEXTS 4
#define ALIGN 8u

struct texts {
    struct gy_chat_text *text[TEXTS];
};

static struct texts texts_of(struct gy_chat_note *note)
{
    return (struct texts){{&note->nick, &note->canonical, &note->name, &note->text}};
}

static size_t note_bytes(const struct gy_chat_note *note)
{
    size_t bytes = sizeof *note + note->nick.length + note->canonical.length + note->name.length +
                   note->text.length;
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Copies the texts behind `to`, which has the room, and points to them. */
static void note_pack(struct gy_chat_note *to, const struct gy_chat_note *note)
{
    *to = *note;
    to->bytes = (uint32_t)note_bytes(note);
    char *at = (char *)(to + 1);
    struct texts texts = texts_of(to);
    for (uint32_t i = 0; i < TEXTS; i++) {
        if (texts.text[i]->length > 0) {
            memcpy(at, texts.text[i]->bytes, texts.text[i]->length);
        }
        texts.text[i]->bytes = at;
        at += texts.text[i]->length;
    }
}

struct gy_chat_waiting *gy_chat_note_keep(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    size_t bytes = offsetof(struct gy_chat_waiting, note) + note_bytes(note);
    bytes = bytes < sizeof(struct gy_chat_waiting) ? sizeof(struct gy_chat_waiting) : bytes;
    struct gy_chat_waiting *waiting = gy_chat_hub_memory(hub, bytes);
    if (waiting != NULL) {
        waiting->bytes = bytes;
        note_pack(&waiting->note, note);
    }
    return waiting;
}

void gy_chat_note_drop(struct gy_chat_hub *hub, struct gy_chat_waiting *waiting)
{
    gy_chat_hub_return(hub, waiting, waiting->bytes);
}

int gy_chat_note_into(struct gy_chat_hub *hub, struct gy_chat_job *job, struct gy_chat_note *to,
                      const struct gy_chat_note *note)
{
    struct gy_chat_note *copy = hub->ops.job_take(job, note_bytes(note));
    if (copy == NULL) {
        return GY_ENOMEM;
    }
    note_pack(copy, note);
    *to = *copy;
    return 0;
}

/* ---- lanes ---- */

static struct gy_chat_parcel *parcel_with_room(struct gy_chat_hub *hub, struct gy_chat_lane *lane,
                                               uint32_t bytes)
{
    struct gy_chat_parcel *last = lane->head == NULL ? NULL : lane->tail;
    if (last != NULL && last->room - last->bytes >= bytes) {
        return last;
    }
    uint32_t room = bytes > hub->config.parcel_bytes ? bytes : hub->config.parcel_bytes;
    if (lane->head == NULL && bytes < hub->config.parcel_bytes / 8) {
        room = hub->config.parcel_bytes / 8; /* most turns say little */
    }
    struct gy_chat_parcel *parcel = hub->ops.take(hub->context, sizeof *parcel + room);
    if (parcel == NULL) {
        return NULL;
    }
    *parcel = (struct gy_chat_parcel){.from = hub->config.number, .room = room};
    if (last == NULL) {
        lane->head = parcel;
    } else {
        last->next = parcel;
    }
    lane->tail = parcel;
    return parcel;
}

static bool may_be_refused(enum gy_chat_note_type type)
{
    return type < NOTE_ANSWER || type == NOTE_SAID || type == NOTE_NOTICES || type == NOTE_HERE;
}

int gy_chat_note_send(struct gy_chat_hub *hub, uint32_t worker, const struct gy_chat_note *note)
{
    gy_assert(worker < hub->config.workers);
    if (worker == hub->config.number) {
        gy_chat_note_take(hub, note);
        return 0;
    }
    struct gy_chat_lane *lane = &hub->lanes[worker];
    if (lane->kept_bytes >= hub->config.queue_bytes &&
        may_be_refused((enum gy_chat_note_type)note->type)) {
        return GY_ENOBUFS;
    }
    uint32_t bytes = (uint32_t)note_bytes(note);
    struct gy_chat_parcel *parcel = parcel_with_room(hub, lane, bytes);
    if (parcel == NULL) {
        return GY_ENOBUFS;
    }
    note_pack((struct gy_chat_note *)((uint8_t *)(parcel + 1) + parcel->bytes), note);
    parcel->bytes += bytes;
    parcel->records++;
    lane->kept_bytes += bytes;
    hub->counters.kept_bytes += bytes;
    hub->counters.copied_bytes += note->text.length;
    return 0;
}

void gy_chat_lanes_flush(struct gy_chat_hub *hub)
{
    for (uint32_t worker = 0; worker < hub->config.workers; worker++) {
        struct gy_chat_lane *lane = &hub->lanes[worker];
        while (lane->head != NULL) {
            struct gy_chat_parcel *parcel = lane->head;
            struct gy_chat_parcel *next = parcel->next;
            uint32_t bytes = parcel->bytes;
            if (hub->ops.post(hub->context, worker, parcel) != 0) {
                hub->counters.parcels_refused++;
                break;
            }
            lane->head = next;
            lane->kept_bytes -= bytes;
            hub->counters.kept_bytes -= bytes;
            hub->counters.parcels_out++;
        }
    }
}

void gy_chat_hub_parcel_free(struct gy_chat_hub *hub, struct gy_chat_parcel *parcel)
{
    hub->ops.give(hub->context, parcel, sizeof *parcel + parcel->room);
}

void gy_chat_hub_parcel(struct gy_chat_hub *hub, struct gy_chat_parcel *parcel)
{
    hub->counters.parcels_in++;
    uint32_t at = 0;
    while (at < parcel->bytes) {
        const struct gy_chat_note *note =
            (const struct gy_chat_note *)((const uint8_t *)(parcel + 1) + at);
        gy_assert(note->bytes >= sizeof *note && note->bytes <= parcel->bytes - at);
        gy_chat_note_take(hub, note);
        at += note->bytes;
    }
    gy_chat_hub_parcel_free(hub, parcel);
}

/* ---- questions and answers ---- */

static void answered(struct gy_chat_hub *hub, const struct gy_chat_note *answer);

void gy_chat_note_ask(struct gy_chat_hub *hub, uint32_t worker, struct gy_chat_member *member,
                      struct gy_chat_note *note)
{
    note->worker = hub->config.number;
    note->slot = member->slot;
    note->generation = member->generation;
    gy_assert(note->type < NOTE_ANSWER && member->asks < UINT16_MAX);
    member->asks++;
    hub->asked++;
    int code = GY_ENOBUFS;
    if (worker == hub->config.number || hub->asked <= hub->config.credits) {
        code = gy_chat_note_send(hub, worker, note);
    }
    if (code != 0) {
        struct gy_chat_note answer = {.what = GY_CHAT_ERROR,
                                      .code = GY_CHAT_BUSY,
                                      .seconds = 200,
                                      .text = gy_chat_text_of("The server has too much to do: try "
                                                              "again in a moment.")};
        gy_chat_note_answer(hub, note, &answer);
    }
}

void gy_chat_note_answer(struct gy_chat_hub *hub, const struct gy_chat_note *question,
                         struct gy_chat_note *answer)
{
    answer->type = NOTE_ANSWER;
    answer->kind = question->type;
    answer->worker = question->worker;
    answer->slot = question->slot;
    answer->generation = question->generation;
    answer->tag = question->tag;
    answer->client_id = question->client_id;
    if (question->type == NOTE_JOIN || question->type == NOTE_CLAIM) {
        answer->name = question->name;
        answer->nick = question->nick;
        answer->user = question->user;
        answer->canonical = question->canonical;
        answer->target = question->target;
        answer->count = question->count;
        answer->action = question->action;
    }
    gy_chat_note_send(hub, question->worker, answer);
}

void gy_chat_note_refuse(struct gy_chat_hub *hub, const struct gy_chat_note *question,
                         enum gy_chat_code code, uint32_t retry_ms, const char *sentence)
{
    struct gy_chat_note answer = {.what = GY_CHAT_ERROR,
                                  .code = (uint32_t)code,
                                  .seconds = retry_ms,
                                  .text = gy_chat_text_of(sentence)};
    gy_chat_note_answer(hub, question, &answer);
}

static void answered_plainly(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_note *answer)
{
    struct gy_chat_frame frame = {.type = answer->what, .tag = answer->tag};
    switch (answer->what) {
    case GY_CHAT_ACK:
        hub->counters.acks++;
        frame.body.ack.room = answer->room;
        frame.body.ack.client_id = answer->client_id;
        frame.body.ack.id = answer->id;
        frame.body.ack.time = answer->time;
        break;
    case GY_CHAT_ERROR:
        hub->counters.refused[answer->code]++;
        frame.body.error.code = (uint16_t)answer->code;
        frame.body.error.retry_ms = answer->seconds;
        frame.body.error.sentence = answer->text;
        break;
    case GY_CHAT_END:
        if (answer->kind == NOTE_PEOPLE) {
            gy_chat_admin_answered(hub, member, answer);
        } else {
            gy_chat_page_answered(hub, member, answer);
        }
        return;
    default:
        gy_assert(answer->what == GY_CHAT_OK);
        break;
    }
    gy_chat_hub_write(hub, member, &frame);
}

static void answered(struct gy_chat_hub *hub, const struct gy_chat_note *answer)
{
    gy_assert(hub->asked > 0);
    hub->asked--;
    struct gy_chat_member *member = gy_chat_hub_member(hub, answer->slot, answer->generation);
    if (answer->kind == NOTE_CLAIM) {
        gy_chat_login_claimed(hub, answer);
        return;
    }
    if (answer->kind == NOTE_JOIN) {
        gy_chat_join_answered(hub, answer);
    } else if (member != NULL) {
        answered_plainly(hub, member, answer);
    }
    if (member != NULL) {
        gy_chat_hub_finished(hub, member);
    }
}

void gy_chat_note_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    switch ((enum gy_chat_note_type)note->type) {
    case NOTE_JOIN:
        gy_chat_join_take(hub, note);
        break;
    case NOTE_SAY:
        gy_chat_say_take(hub, note);
        break;
    case NOTE_TELL:
        gy_chat_person_look_up(hub, note);
        break;
    case NOTE_MODERATE:
        if (note->flag) {
            gy_chat_moderate_take(hub, note);
        } else {
            gy_chat_person_look_up(hub, note);
        }
        break;
    case NOTE_CLAIM:
        gy_chat_person_claim(hub, note);
        break;
    case NOTE_MEMBERS:
        gy_chat_members_take(hub, note);
        break;
    case NOTE_ROOMS:
        gy_chat_rooms_take(hub, note);
        break;
    case NOTE_ANSWER:
        answered(hub, note);
        break;
    case NOTE_STATE:
        gy_chat_room_state(hub, note);
        break;
    case NOTE_RELEASE:
        gy_chat_person_release(hub, note);
        break;
    case NOTE_HERE:
        gy_chat_here_take(hub, note);
        break;
    case NOTE_SAID:
        gy_chat_said_take(hub, note);
        break;
    case NOTE_BEHIND:
        gy_chat_behind_take(hub, note);
        break;
    case NOTE_NOTICES:
        gy_chat_notices_take(hub, note);
        break;
    case NOTE_REMOVE:
        gy_chat_remove_take(hub, note);
        break;
    case NOTE_ROLE:
        gy_chat_role_take(hub, note);
        break;
    case NOTE_PEOPLE:
    case NOTE_KICK:
    case NOTE_STAY:
    case NOTE_END:
    case NOTE_ANNOUNCE:
        gy_chat_admin_take(hub, note);
        break;
    }
}
