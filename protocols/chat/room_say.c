/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_internal.h"

#define ENTRIES_AT_FIRST 16

/* ---- the member's worker ---- */

static const char *wrong_with(const struct gy_chat_note *note)
{
    bool has_text = note->kind == GY_CHAT_SAID || note->kind == GY_CHAT_EDITED;
    if (has_text && note->text.length == 0) {
        return "There is nothing in it.";
    }
    return NULL;
}

static void fill(struct gy_chat_note *note, const struct gy_chat_frame *frame, uint32_t *room)
{
    switch (frame->type) {
    case GY_CHAT_SEND:
        note->kind = GY_CHAT_SAID;
        note->client_id = frame->body.send.client_id;
        note->text = frame->body.send.contents;
        *room = frame->body.send.room;
        break;
    case GY_CHAT_EDIT:
        note->kind = GY_CHAT_EDITED;
        note->client_id = frame->body.edit.client_id;
        note->target = frame->body.edit.target;
        note->text = frame->body.edit.contents;
        *room = frame->body.edit.room;
        break;
    case GY_CHAT_DELETE:
        note->kind = GY_CHAT_DELETED;
        note->client_id = frame->body.deletion.client_id;
        note->target = frame->body.deletion.target;
        *room = frame->body.deletion.room;
        break;
    case GY_CHAT_TOPIC:
        note->kind = GY_CHAT_TOPIC_SET;
        note->client_id = frame->body.topic.client_id;
        note->text = frame->body.topic.topic;
        *room = frame->body.topic.room;
        break;
    default:
        gy_assert(frame->type == GY_CHAT_TELL);
        note->type = NOTE_TELL;
        note->kind = GY_CHAT_SAID;
        note->client_id = frame->body.tell.client_id;
        note->text = frame->body.tell.contents;
        break;
    }
}

static void tell(struct gy_chat_hub *hub, struct gy_chat_member *member,
                 const struct gy_chat_frame *frame, struct gy_chat_note *note)
{
    struct gy_chat_canonical canonical;
    const char *why = "";
    if (gy_chat_nick_check(frame->body.tell.nick, &canonical, &why) != 0) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0,
                          "There is nobody with this nick.");
        return;
    }
    note->canonical = gy_chat_canonical_text(&canonical);
    gy_chat_note_ask(hub, gy_chat_hub_place(hub, note->canonical), member, note);
}

void gy_chat_say_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                         const struct gy_chat_frame *frame)
{
    struct gy_chat_note note = {
        .type = NOTE_SAY,
        .tag = frame->tag,
        .user = member->user,
        .nick = gy_chat_member_nick(member),
    };
    fill(&note, frame, &note.room);
    uint32_t most = note.kind == GY_CHAT_TOPIC_SET ? GY_CHAT_TOPIC_MAX : GY_CHAT_CONTENTS_MAX;
    const char *why = wrong_with(&note);
    if (why != NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_MALFORMED, 0, why);
        return;
    }
    if (note.text.length > most) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_TOO_BIG, 0, "It is too long.");
        return;
    }
    if (note.type == NOTE_TELL) {
        tell(hub, member, frame, &note);
        return;
    }
    const struct gy_chat_subscription *subscription = gy_chat_subscription_of(member, note.room);
    if (subscription == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "You are not in this room.");
        return;
    }
    gy_chat_note_ask(hub, subscription->room->owner, member, &note);
}

/* ---- the owner: whether it may be said ---- */

static void acknowledge(struct gy_chat_hub *hub, const struct gy_chat_room *room,
                        const struct gy_chat_note *question, uint64_t id, uint64_t time_ms)
{
    struct gy_chat_note answer = {
        .what = GY_CHAT_ACK, .room = room->number, .id = id, .time = time_ms};
    gy_chat_note_answer(hub, question, &answer);
}

bool gy_chat_say_again(struct gy_chat_hub *hub, struct gy_chat_room *room,
                       const struct gy_chat_note *note)
{
    const struct gy_chat_seen *seen =
        gy_chat_dedup_find(hub, &room->owned->dedup, note->user, note->client_id);
    if (seen == NULL) {
        return false;
    }
    hub->counters.duplicates++;
    if (seen->under_way) {
        gy_chat_append_add(hub, room, note);
    } else {
        acknowledge(hub, room, note, seen->id, seen->time_ms);
    }
    return true;
}

/* What is edited or deleted must be there, and one's own; operators delete what others said. */
static const char *may_change(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                              const struct gy_chat_note *note, uint64_t author, uint8_t kind,
                              bool empty, enum gy_chat_code *code)
{
    *code = GY_CHAT_ABSENT;
    if (kind != GY_CHAT_SAID || empty) {
        return "There is no such message, or it was deleted.";
    }
    *code = GY_CHAT_FORBIDDEN;
    uint8_t role = gy_chat_role_of(hub, room, note->user);
    bool operates = role == GY_CHAT_ROLE_OPERATOR || role == GY_CHAT_ROLE_OWNER;
    if (author != note->user && !(note->kind == GY_CHAT_DELETED && operates)) {
        return "It is not your message.";
    }
    return NULL;
}

static void read_target(struct gy_chat_hub *hub, struct gy_chat_room *room,
                        const struct gy_chat_note *note)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_READ, TASK_TARGET);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job == NULL || gy_chat_note_into(hub, job, &task->note, note) != 0) {
        hub->ops.job_free(job);
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    task->owned = room;
    job->room = room->number;
    job->by = GY_CHAT_AFTER_ID;
    job->point = note->target - 1;
    job->entries_max = 1;
    room->owned->jobs++;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_say_target(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    const struct gy_chat_task *task = job->owner;
    const struct gy_chat_note *note = &task->note;
    struct gy_chat_room *room = task->owned;
    room->owned->jobs--;
    const struct gy_chat_entry *entry = job->entry_count > 0 ? &job->entries[0] : NULL;
    enum gy_chat_code code = GY_CHAT_ABSENT;
    const char *why = "There is no such message, or it was deleted.";
    if (job->result != 0 && job->result != GY_ENOTFOUND) {
        code = GY_CHAT_STORAGE;
        why = "The history cannot be read now: try again later.";
    } else if (job->result == 0 && entry != NULL && entry->id == note->target) {
        why = may_change(hub, room, note, entry->user, entry->kind, entry->contents.length == 0,
                         &code);
    }
    if (why != NULL) {
        gy_chat_note_refuse(hub, note, code, 0, why);
        gy_chat_room_left(hub, room);
    } else {
        gy_chat_append_add(hub, room, note);
    }
}

static void change(struct gy_chat_hub *hub, struct gy_chat_room *room,
                   const struct gy_chat_note *note)
{
    if (note->target == 0 || note->target > room->last) {
        gy_chat_note_refuse(hub, note, GY_CHAT_ABSENT, 0, "There is no such message.");
        return;
    }
    const struct gy_chat_past *past = gy_chat_history_at(&room->history, note->target);
    if (past == NULL) {
        read_target(hub, room, note);
        return;
    }
    enum gy_chat_code code;
    const char *why =
        may_change(hub, room, note, past->user, past->kind, past->contents_bytes == 0, &code);
    if (why != NULL) {
        gy_chat_note_refuse(hub, note, code, 0, why);
    } else {
        gy_chat_append_add(hub, room, note);
    }
}

void gy_chat_say_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room =
        note->flag ? gy_chat_room_for(hub, note, true) : gy_chat_room_numbered(hub, note->room);
    if (room == NULL || room->owned == NULL) {
        if (!note->flag) {
            gy_chat_note_refuse(hub, note, GY_CHAT_ABSENT, 0, "There is no such room.");
        }
        return;
    }
    if (gy_chat_is_banned(hub, room, note->user)) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FORBIDDEN, 0, "You are banned from this room.");
        return;
    }
    if (gy_chat_is_muted(hub, room, note->user)) {
        gy_chat_note_refuse(hub, note, GY_CHAT_FORBIDDEN, 0, "You are muted in this room.");
        return;
    }
    if (gy_chat_say_again(hub, room, note)) {
        return;
    }
    switch (note->kind) {
    case GY_CHAT_SAID:
    case GY_CHAT_EDITED: { /* which reaches everybody, too */
        uint32_t wait_ms = gy_chat_slow_wait(hub, room, note->user);
        if (wait_ms > 0) {
            gy_chat_note_refuse(hub, note, GY_CHAT_TOO_FAST, wait_ms,
                                "The room is in slow mode: wait before you say more.");
        } else if (note->kind == GY_CHAT_EDITED) {
            change(hub, room, note);
        } else {
            gy_chat_append_add(hub, room, note);
        }
        break;
    }
    case GY_CHAT_TOPIC_SET:
        gy_chat_settle_topic(hub, room, note);
        break;
    default:
        change(hub, room, note);
        break;
    }
}

/* ---- appending ---- */

void gy_chat_append_free(struct gy_chat_hub *hub, struct gy_chat_append *append)
{
    hub->ops.job_free(append->job); /* which it lies in */
}

static struct gy_chat_append *append_make(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_APPEND, TASK_APPEND);
    if (job == NULL) {
        return NULL;
    }
    struct gy_chat_append *append = hub->ops.job_take(job, sizeof *append);
    if (append == NULL) {
        hub->ops.job_free(job);
        return NULL;
    }
    *append = (struct gy_chat_append){.room = room, .job = job};
    struct gy_chat_task *task = job->owner;
    task->append = append;
    job->room = room->number;
    return append;
}

static int append_grow(struct gy_chat_hub *hub, struct gy_chat_append *append)
{
    uint32_t wider = append->capacity == 0 ? ENTRIES_AT_FIRST : append->capacity * 2;
    struct gy_chat_entry *entries = hub->ops.job_take(append->job, wider * sizeof *entries);
    struct gy_chat_sender *senders = hub->ops.job_take(append->job, wider * sizeof *senders);
    if (entries == NULL || senders == NULL) {
        return GY_ENOMEM;
    }
    if (append->count > 0) {
        memcpy(entries, append->entries, append->count * sizeof *entries);
        memcpy(senders, append->senders, append->count * sizeof *senders);
    }
    append->entries = entries;
    append->senders = senders;
    append->capacity = wider;
    return 0;
}

static int append_put(struct gy_chat_hub *hub, struct gy_chat_append *append,
                      const struct gy_chat_note *note)
{
    if (append->count == append->capacity && append_grow(hub, append) != 0) {
        return GY_ENOMEM;
    }
    struct gy_chat_text from = gy_chat_job_copy(hub, append->job, note->nick);
    struct gy_chat_text contents = gy_chat_job_copy(hub, append->job, note->text);
    if (from.bytes == NULL || contents.bytes == NULL) {
        return GY_ENOMEM;
    }
    struct gy_chat_dedup *dedup = &append->room->owned->dedup;
    append->entries[append->count] = (struct gy_chat_entry){
        .time_ms = hub->wall_ms,
        .target = note->target,
        .user = note->user,
        .client_id = note->client_id,
        .kind = note->kind,
        .from = from,
        .contents = contents,
    };
    append->senders[append->count] = (struct gy_chat_sender){
        .worker = note->worker,
        .slot = note->slot,
        .generation = note->generation,
        .tag = note->tag,
        .question = note->type,
        .twin = gy_chat_dedup_find(hub, dedup, note->user, note->client_id) != NULL,
    };
    if (!append->senders[append->count].twin) {
        gy_chat_dedup_add(hub, dedup, note->user, note->client_id);
    }
    append->count++;
    append->bytes += from.length + contents.length;
    hub->counters.copied_bytes += contents.length;
    return 0;
}

void gy_chat_append_add(struct gy_chat_hub *hub, struct gy_chat_room *room,
                        const struct gy_chat_note *note)
{
    struct gy_chat_owned *owned = room->owned;
    if (owned->filling == NULL) {
        owned->filling = append_make(hub, room);
    }
    struct gy_chat_append *append = owned->filling;
    bool fits =
        append != NULL && append->count < hub->config.append_entries &&
        (append->count == 0 || append->bytes + note->text.length <= hub->config.append_bytes);
    if (!fits || append_put(hub, append, note) != 0) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 100,
                            "More is said in this room than can be stored: try again in a moment.");
        if (append != NULL && append->count == 0) {
            owned->filling = NULL;
            gy_chat_append_free(hub, append);
        }
        return;
    }
    gy_chat_room_dirty(hub, room);
}

/* The job gets those that are no twins. */
static int append_hand_over(struct gy_chat_hub *hub, struct gy_chat_append *append)
{
    struct gy_chat_job *job = append->job;
    uint32_t real = 0;
    for (uint32_t i = 0; i < append->count; i++) {
        real += !append->senders[i].twin;
    }
    job->entries = append->entries;
    job->entry_count = real;
    if (real < append->count) {
        job->entries = hub->ops.job_take(job, (real + 1ul) * sizeof *job->entries);
        if (job->entries == NULL) {
            return GY_ENOMEM;
        }
        for (uint32_t i = 0, at = 0; i < append->count; i++) {
            if (!append->senders[i].twin) {
                job->entries[at++] = append->entries[i];
            }
        }
    }
    return 0;
}

void gy_chat_append_submit(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    struct gy_chat_owned *owned = room->owned;
    struct gy_chat_append *append = owned->filling;
    gy_assert(owned->flying == NULL && append->count > 0);
    owned->filling = NULL;
    owned->flying = append;
    owned->jobs++;
    append->job->next_id = room->last + 1;
    int code = append_hand_over(hub, append);
    if (code == 0 && append->job->entry_count > 0) {
        gy_chat_hub_submit(hub, append->job);
        return;
    }
    append->job->result = code;
    hub->jobs++;
    gy_chat_hub_stored(hub, append->job); /* only twins: the store has nothing to do with it */
}

static struct gy_chat_note question_of(const struct gy_chat_sender *sender,
                                       const struct gy_chat_entry *entry)
{
    return (struct gy_chat_note){.type = sender->question,
                                 .worker = sender->worker,
                                 .slot = sender->slot,
                                 .generation = sender->generation,
                                 .tag = sender->tag,
                                 .client_id = entry->client_id};
}

static void append_failed(struct gy_chat_hub *hub, struct gy_chat_append *append)
{
    int result = append->job->result;
    for (uint32_t i = 0; i < append->count; i++) {
        const struct gy_chat_entry *entry = &append->entries[i];
        const struct gy_chat_sender *sender = &append->senders[i];
        if (!sender->twin) {
            gy_chat_dedup_remove(hub, &append->room->owned->dedup, entry->user, entry->client_id);
        }
        struct gy_chat_note question = question_of(sender, entry);
        gy_chat_note_refuse(hub, &question, GY_CHAT_STORAGE, 5000,
                            result == GY_ENOSPACE
                                ? "It could not be stored, as the server's disk is full: nothing "
                                  "was sent on. Send it again later."
                                : "It could not be stored: nothing was sent on. Send it again "
                                  "later.");
    }
}

/* What the history and the members get. NULL: no memory. */
static struct gy_chat_past *past_of(struct gy_chat_hub *hub, struct gy_chat_job *job,
                                    const struct gy_chat_entry *entry,
                                    const struct gy_chat_sender *sender)
{
    size_t bytes = sizeof(struct gy_chat_past) + entry->from.length + entry->contents.length;
    struct gy_chat_past *past = hub->ops.job_take(job, bytes);
    if (past == NULL) {
        return NULL;
    }
    *past = (struct gy_chat_past){
        .id = entry->id,
        .time_ms = entry->time_ms,
        .target = entry->target,
        .user = entry->user,
        .worker = sender->worker,
        .slot = sender->slot,
        .generation = sender->generation,
        .kind = entry->kind,
        .from_bytes = (uint8_t)entry->from.length,
        .contents_bytes = (uint16_t)entry->contents.length,
    };
    char *texts = (char *)(past + 1);
    memcpy(texts, entry->from.bytes, entry->from.length);
    memcpy(texts + entry->from.length, entry->contents.bytes, entry->contents.length);
    return past;
}

/* Acknowledges all, then passes on what is new. */
static void append_committed(struct gy_chat_hub *hub, struct gy_chat_append *append)
{
    struct gy_chat_room *room = append->room;
    struct gy_chat_job *job = append->job;
    struct gy_chat_dedup *dedup = &room->owned->dedup;
    struct gy_chat_past **pasts = hub->ops.job_take(job, (append->count + 1ul) * sizeof *pasts);
    uint64_t first = room->last + 1;
    uint64_t id = room->last;
    uint32_t passed_on = 0;
    bool lost = pasts == NULL;
    for (uint32_t i = 0, at = 0; i < append->count; i++) {
        const struct gy_chat_sender *sender = &append->senders[i];
        const struct gy_chat_entry *entry =
            sender->twin ? &append->entries[i] : &job->entries[at++];
        struct gy_chat_note question = question_of(sender, entry);
        struct gy_chat_seen *seen = gy_chat_dedup_find(hub, dedup, entry->user, entry->client_id);
        if (sender->twin) {
            if (seen != NULL && !seen->under_way) {
                acknowledge(hub, room, &question, seen->id, seen->time_ms);
            } else {
                gy_chat_note_refuse(hub, &question, GY_CHAT_BUSY, 100, "Send it again.");
            }
            continue;
        }
        if (seen != NULL) {
            seen->under_way = false;
            seen->id = entry->id;
            seen->time_ms = entry->time_ms;
        }
        if (entry->duplicate) {
            hub->counters.duplicates++;
        } else {
            gy_assert(entry->id == id + 1);
            id++;
            struct gy_chat_past *past = lost ? NULL : past_of(hub, job, entry, sender);
            lost = past == NULL;
            if (!lost) {
                pasts[passed_on++] = past;
            }
        }
        acknowledge(hub, room, &question, entry->id, entry->time_ms);
    }
    hub->counters.messages += id + 1 - first;
    if (passed_on > 0) {
        gy_chat_publish(hub, room, pasts, passed_on);
    }
    if (lost && id > room->last) {
        gy_chat_publish_lost(hub, room, room->last + 1, id);
    }
}

void gy_chat_append_stored(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_append *append = ((struct gy_chat_task *)job->owner)->append;
    struct gy_chat_room *room = append->room;
    gy_assert(room->owned->flying == append && append->job == job);
    if (job->result == 0) {
        hub->counters.appends++;
        append_committed(hub, append);
    } else {
        append_failed(hub, append);
    }
    room->owned->flying = NULL;
    room->owned->jobs--;
    gy_chat_append_free(hub, append);
    if (room->owned->filling != NULL) {
        gy_chat_room_dirty(hub, room);
    }
    gy_chat_room_left(hub, room);
}
