/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "protocols/chat/hub_admin.h"

/*
 * What ADMIN lists, in pages: connections, worker by worker (REPORT's `number` is the worker and
 * the slot, so that the next page knows where to go on), and accounts.
 */

#define PAGE_MAX      200
#define ADDRESS_BYTES 128

void gy_chat_admin_end_page(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag,
                            bool more)
{
    const struct gy_chat_frame end = {.type = GY_CHAT_END, .tag = tag, .body.end = {.more = more}};
    gy_chat_hub_write(hub, member, &end);
}

/* ---- connections ---- */

struct person_row {
    uint64_t number, user, since_ms;
    uint32_t rooms;
    uint8_t nick_bytes, address_bytes, flags;
};

void gy_chat_admin_people_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                                  const struct gy_chat_frame *frame)
{
    uint64_t after = frame->body.admin.after;
    struct gy_chat_note note = {.type = NOTE_PEOPLE, .tag = frame->tag, .id = after};
    if (after >> 32 >= hub->config.workers) {
        gy_chat_admin_end_page(hub, member, frame->tag, false);
        return;
    }
    gy_chat_note_ask(hub, (uint32_t)(after >> 32), member, &note);
}

static uint32_t row_write(struct gy_chat_hub *hub, uint32_t slot, uint8_t *out)
{
    struct gy_chat_member *member = hub->slots[slot].member;
    struct gy_chat_text nick = gy_chat_member_nick(member);
    char address[ADDRESS_BYTES];
    struct person_row row = {.number = (uint64_t)hub->config.number << 32 | (slot + 1),
                             .user = member->user,
                             .rooms = member->rooms,
                             .nick_bytes = (uint8_t)nick.length};
    if (hub->ops.describe != NULL) {
        row.address_bytes =
            (uint8_t)hub->ops.describe(hub->context, member, address, &row.since_ms);
    }
    row.flags = member->user & GY_CHAT_GUEST_BIT ? 0 : GY_CHAT_REPORT_ACCOUNT;
    if (hub->ops.operates != NULL && hub->ops.operates(hub->context, member->user)) {
        row.flags |= GY_CHAT_REPORT_OPERATOR;
    }
    memcpy(out, &row, sizeof row);
    memcpy(out + sizeof row, nick.bytes, nick.length);
    memcpy(out + sizeof row + nick.length, address, row.address_bytes);
    return (uint32_t)sizeof row + nick.length + row.address_bytes;
}

void gy_chat_admin_people_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    size_t room = PAGE_MAX * (sizeof(struct person_row) + GY_CHAT_NICK_MAX + ADDRESS_BYTES);
    uint8_t *rows = gy_chat_hub_memory(hub, room);
    uint32_t slot = note->id >> 32 == hub->config.number ? (uint32_t)note->id : 0;
    uint32_t bytes = 0;
    struct gy_chat_note answer = {.what = GY_CHAT_END};
    if (rows == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    for (; slot < hub->slot_count && answer.count < PAGE_MAX; slot++) {
        const struct gy_chat_member *member = hub->slots[slot].member;
        if (member != NULL && member->user != 0) {
            bytes += row_write(hub, slot, rows + bytes);
            answer.count++;
        }
    }
    answer.text = (struct gy_chat_text){(const char *)rows, bytes};
    answer.flag = slot < hub->slot_count || hub->config.number + 1 < hub->config.workers;
    int code = 0;
    if (answer.count == 0 && hub->config.number + 1 < hub->config.workers) {
        code = gy_chat_note_send(hub, hub->config.number + 1, note);
    } else {
        gy_chat_note_answer(hub, note, &answer);
    }
    gy_chat_hub_return(hub, rows, room);
    if (code != 0) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 200,
                            "The server has too much to do: try again in a moment.");
    }
}

void gy_chat_admin_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                            const struct gy_chat_note *answer)
{
    const char *at = answer->text.bytes;
    for (uint32_t i = 0; i < answer->count; i++) {
        struct person_row row;
        memcpy(&row, at, sizeof row);
        at += sizeof row;
        char text[32];
        int length = snprintf(text, sizeof text, "%u", row.rooms);
        const struct gy_chat_frame frame = {
            .type = GY_CHAT_REPORT,
            .flags = GY_CHAT_MORE,
            .tag = answer->tag,
            .body.report = {.what = GY_CHAT_IS_CONNECTION,
                            .flags = row.flags,
                            .number = row.number,
                            .time = row.since_ms,
                            .name = {at, row.nick_bytes},
                            .other = {at + row.nick_bytes, row.address_bytes},
                            .text = {text, (uint32_t)length}}};
        gy_chat_hub_write(hub, member, &frame);
        at += row.nick_bytes + row.address_bytes;
    }
    gy_chat_admin_end_page(hub, member, answer->tag, answer->flag);
}

/* ---- accounts ---- */

void gy_chat_admin_accounts_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                                    const struct gy_chat_frame *frame)
{
    struct gy_chat_canonical after = {.length = 0};
    const char *why;
    struct gy_chat_text subject = frame->body.admin.subject;
    if (subject.length > 0 && gy_chat_nick_check(subject, &after, &why) != 0) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_NAME, 0, "That is no nick.");
        return;
    }
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_ACCOUNTS, TASK_LIST);
    struct gy_chat_task *task = job == NULL ? NULL : job->owner;
    if (job != NULL) {
        job->name = gy_chat_job_copy(hub, job, gy_chat_canonical_text(&after));
    }
    if (job == NULL || job->name.bytes == NULL) {
        hub->ops.job_free(job);
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return;
    }
    job->entries_max = PAGE_MAX;
    task->slot = member->slot;
    task->generation = member->generation;
    task->tag = frame->tag;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_admin_accounts_read(struct gy_chat_hub *hub, const struct gy_chat_job *job,
                                 struct gy_chat_member *member, uint16_t tag)
{
    if (member == NULL) {
        return;
    }
    if (job->result != 0) {
        gy_chat_hub_error(hub, member, tag, GY_CHAT_STORAGE, 5000,
                          "Accounts cannot be read now: try again later.");
        return;
    }
    for (uint32_t i = 0; i < job->entry_count; i++) {
        const struct gy_chat_entry *entry = &job->entries[i];
        bool operates = entry->kind != 0 || hub->ops.operates(hub->context, entry->user);
        const struct gy_chat_frame row = {
            .type = GY_CHAT_REPORT,
            .flags = GY_CHAT_MORE,
            .tag = tag,
            .body.report = {.what = GY_CHAT_IS_AN_ACCOUNT,
                            .flags = (uint8_t)(GY_CHAT_REPORT_ACCOUNT |
                                               (operates ? GY_CHAT_REPORT_OPERATOR : 0)),
                            .number = entry->user,
                            .time = entry->time_ms,
                            .name = entry->from}};
        gy_chat_hub_write(hub, member, &row);
    }
    gy_chat_admin_end_page(hub, member, tag, job->more);
}
