/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_internal.h"

/* The directory: who has a nick, as the nick's worker knows it. */

struct gy_chat_person *gy_chat_person_find(const struct gy_chat_hub *hub,
                                           struct gy_chat_text canonical)
{
    uint64_t hash = gy_chat_hub_hash(hub, canonical);
    for (struct gy_chat_link *link = gy_chat_table_first(&hub->persons, hash); link != NULL;
         link = link->next) {
        struct gy_chat_person *person = (struct gy_chat_person *)link;
        if (link->hash == hash && person->bytes == canonical.length &&
            memcmp(person + 1, canonical.bytes, canonical.length) == 0) {
            return person;
        }
    }
    return NULL;
}

static void person_free(struct gy_chat_hub *hub, struct gy_chat_person *person)
{
    gy_chat_table_remove(&hub->persons, &person->link);
    hub->counters.persons--;
    gy_chat_hub_return(hub, person, sizeof *person + person->bytes);
}

void gy_chat_persons_close(struct gy_chat_hub *hub)
{
    for (uint32_t i = 0; hub->persons.buckets != NULL && i <= hub->persons.mask; i++) {
        while (hub->persons.buckets[i] != NULL) {
            person_free(hub, (struct gy_chat_person *)hub->persons.buckets[i]);
        }
    }
}

void gy_chat_person_claim(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_person *person = gy_chat_person_find(hub, note->canonical);
    if (person == NULL) {
        person = gy_chat_hub_memory(hub, sizeof *person + note->canonical.length);
        if (person == NULL) {
            gy_chat_note_refuse(hub, note, GY_CHAT_FULL, 1000,
                                "The server has no room for more people now.");
            return;
        }
        person->user = note->user;
        person->claims = 1;
        person->bytes = note->canonical.length;
        memcpy(person + 1, note->canonical.bytes, person->bytes);
        gy_chat_table_put(hub, &hub->persons, &person->link,
                          gy_chat_hub_hash(hub, note->canonical));
        hub->counters.persons++;
    } else if (note->other != 0 && person->user == note->other) {
        person->user = note->user;
    } else if (person->user == note->user) {
        person->claims++;
    } else {
        gy_chat_note_refuse(hub, note, GY_CHAT_TAKEN, 0,
                            "Somebody who is here has this nick: choose another one.");
        return;
    }
    struct gy_chat_note answer = {.what = GY_CHAT_OK};
    gy_chat_note_answer(hub, note, &answer);
}

void gy_chat_person_release(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_person *person = gy_chat_person_find(hub, note->canonical);
    if (person != NULL && person->user == note->user && --person->claims == 0) {
        person_free(hub, person);
    }
}

/* ---- whom a nick means ---- */

static void pass_on(struct gy_chat_hub *hub, const struct gy_chat_note *note, uint64_t user)
{
    struct gy_chat_note next = *note;
    next.other = user;
    uint32_t worker = note->count;
    char inbox[32];
    if (note->type == NOTE_TELL) {
        next.type = NOTE_SAY;
        next.flag = true;
        next.name = (struct gy_chat_text){
            inbox, (uint32_t)snprintf(inbox, sizeof inbox, "@%llu", (unsigned long long)user)};
        worker = gy_chat_hub_place(hub, next.name);
    } else {
        next.flag = true;
    }
    if (gy_chat_note_send(hub, worker, &next) != 0) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 200,
                            "The server has too much to do: try again in a moment.");
    }
}

void gy_chat_person_look_up(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_person *person = gy_chat_person_find(hub, note->canonical);
    if (person != NULL) {
        pass_on(hub, note, person->user);
        return;
    }
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_ACCOUNT, TASK_FIND);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job == NULL || gy_chat_note_into(hub, job, &task->note, note) != 0) {
        hub->ops.job_free(job);
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    job->account.canonical = task->note.canonical;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_person_found(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_task *task = job->owner;
    if (job->result == 0) {
        pass_on(hub, &task->note, job->account.user);
    } else if (job->result == GY_ENOTFOUND) {
        gy_chat_note_refuse(hub, &task->note, GY_CHAT_ABSENT, 0, "There is nobody with this nick.");
    } else {
        gy_chat_note_refuse(hub, &task->note, GY_CHAT_STORAGE, 5000,
                            "Accounts cannot be read now: try again later.");
    }
}
