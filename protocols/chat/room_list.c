/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "protocols/chat/hub_internal.h"

/*
 * Lists of what no worker knows alone: MEMBERS and ROOMS. The question goes round: each worker adds
 * what it has and passes it on, and the last one answers. So nobody waits with half a list.
 */

#define PAGE_MOST 200
#define ROWS_MOST (PAGE_MOST + 1) /* one more says that there are more */

/* ---- members ---- */

struct member_row {
    uint8_t role, status, nick_bytes, canonical_bytes, note_bytes;
    const char *nick, *canonical, *note;
};

struct member_rows {
    struct member_row rows[ROWS_MOST];
    uint32_t count, most;
};

static int compare(const struct member_row *a, struct gy_chat_text b)
{
    uint32_t length = a->canonical_bytes < b.length ? a->canonical_bytes : b.length;
    int order = memcmp(a->canonical, b.bytes, length);
    return order != 0 ? order : (int)a->canonical_bytes - (int)b.length;
}

/* The first ones by their canonical nicks; each person once. */
static void rows_put(struct member_rows *rows, const struct member_row *row)
{
    struct gy_chat_text key = {row->canonical, row->canonical_bytes};
    uint32_t low = 0;
    uint32_t high = rows->count;
    if (high == rows->most && compare(&rows->rows[high - 1], key) <= 0) {
        return;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (compare(&rows->rows[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < rows->count && compare(&rows->rows[low], key) == 0) {
        return;
    }
    if (rows->count < rows->most) {
        rows->count++;
    }
    memmove(&rows->rows[low + 1], &rows->rows[low], (rows->count - 1 - low) * sizeof rows->rows[0]);
    rows->rows[low] = *row;
}

static bool row_parse(struct gy_chat_text *text, struct member_row *row)
{
    if (text->length < 5) {
        return false;
    }
    const uint8_t *head = (const uint8_t *)text->bytes;
    *row = (struct member_row){.role = head[0],
                               .status = head[1],
                               .nick_bytes = head[2],
                               .canonical_bytes = head[3],
                               .note_bytes = head[4],
                               .nick = text->bytes + 5};
    row->canonical = row->nick + row->nick_bytes;
    row->note = row->canonical + row->canonical_bytes;
    uint32_t bytes = 5u + row->nick_bytes + row->canonical_bytes + row->note_bytes;
    gy_assert(bytes <= text->length);
    text->bytes += bytes;
    text->length -= bytes;
    return true;
}

static char *row_write(char *at, const struct member_row *row)
{
    const uint8_t head[5] = {row->role, row->status, row->nick_bytes, row->canonical_bytes,
                             row->note_bytes};
    memcpy(at, head, sizeof head);
    memcpy(at + 5, row->nick, row->nick_bytes);
    memcpy(at + 5 + row->nick_bytes, row->canonical, row->canonical_bytes);
    if (row->note_bytes > 0) {
        memcpy(at + 5 + row->nick_bytes + row->canonical_bytes, row->note, row->note_bytes);
    }
    return at + 5 + row->nick_bytes + row->canonical_bytes + row->note_bytes;
}

static void add_own(struct member_rows *rows, const struct gy_chat_room *room,
                    struct gy_chat_text after)
{
    for (uint32_t i = 0; i < room->count; i++) {
        const struct gy_chat_member *member = room->list[i]->member;
        struct member_row row = {
            .role = room->list[i]->role,
            .status = member->status,
            .nick_bytes = member->nick_bytes,
            .canonical_bytes = member->canonical_bytes,
            .note_bytes = member->note_bytes,
            .nick = member->names,
            .canonical = member->names + member->nick_bytes,
            .note = member->note,
        };
        if (after.length == 0 || compare(&row, after) > 0) {
            rows_put(rows, &row);
        }
    }
}

/* Passes the question on with `text`, or answers it where it began. */
static void next_worker(struct gy_chat_hub *hub, const struct gy_chat_note *note,
                        struct gy_chat_text text, uint32_t found)
{
    struct gy_chat_note next = *note;
    next.text = text;
    next.seconds++;
    uint32_t worker = (hub->config.number + 1) % hub->config.workers;
    if (next.seconds < hub->config.workers) {
        if (gy_chat_note_send(hub, worker, &next) != 0) {
            gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 200,
                                "The server has too much to do: try again in a moment.");
        }
        return;
    }
    struct gy_chat_note answer = {.what = GY_CHAT_END,
                                  .room = note->room,
                                  .count = note->count,
                                  .flag =
                                      note->type == NOTE_MEMBERS ? found > note->count : note->flag,
                                  .text = text};
    gy_chat_note_answer(hub, note, &answer);
}

void gy_chat_members_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    struct member_rows *rows = gy_chat_hub_memory(hub, sizeof *rows);
    struct gy_chat_text text = note->text;
    struct member_row row;
    if (rows == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    rows->most = note->count + 1;
    while (row_parse(&text, &row)) {
        rows_put(rows, &row);
    }
    if (room != NULL) {
        add_own(rows, room, note->canonical);
    }
    size_t bytes = 1;
    for (uint32_t i = 0; i < rows->count; i++) {
        bytes += 5u + rows->rows[i].nick_bytes + rows->rows[i].canonical_bytes +
                 rows->rows[i].note_bytes;
    }
    char *all = gy_chat_hub_memory(hub, bytes);
    if (all == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
    } else {
        char *at = all;
        for (uint32_t i = 0; i < rows->count; i++) {
            at = row_write(at, &rows->rows[i]);
        }
        next_worker(hub, note, (struct gy_chat_text){all, (uint32_t)(at - all)}, rows->count);
        gy_chat_hub_return(hub, all, bytes);
    }
    gy_chat_hub_return(hub, rows, sizeof *rows);
}

static uint32_t page_of(const struct gy_chat_hub *hub, uint32_t max)
{
    max = max < hub->config.page_max ? max : hub->config.page_max;
    return max < PAGE_MOST ? max : PAGE_MOST;
}

void gy_chat_members_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame)
{
    const struct gy_chat_subscription *subscription =
        gy_chat_subscription_of(member, frame->body.members.room);
    struct gy_chat_canonical after = {.length = 0};
    const char *why = "";
    if (subscription == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "You are not in this room.");
        return;
    }
    if (frame->body.members.after.length > 0 &&
        gy_chat_nick_check(frame->body.members.after, &after, &why) != 0) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_NAME, 0,
                          "The list goes on after a nick, and this is none.");
        return;
    }
    struct gy_chat_note note = {.type = NOTE_MEMBERS,
                                .tag = frame->tag,
                                .room = frame->body.members.room,
                                .count = page_of(hub, frame->body.members.max),
                                .canonical = gy_chat_canonical_text(&after)};
    gy_chat_note_ask(hub, hub->config.number, member, &note);
}

/* ---- rooms ---- */

struct room_row {
    uint32_t number, members, topic_bytes, name_bytes;
};

void gy_chat_rooms_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame)
{
    uint32_t max = page_of(hub, frame->body.rooms.max);
    struct gy_chat_text prefix = frame->body.rooms.prefix;
    if (max == 0 || (prefix.length > 0 && prefix.bytes[0] == '@')) {
        struct gy_chat_frame end = {.type = GY_CHAT_END, .tag = frame->tag};
        gy_chat_hub_write(hub, member, &end);
        return;
    }
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_ROOMS, TASK_ROOMS);
    if (job == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->slot = member->slot;
    task->generation = member->generation;
    task->tag = frame->tag;
    job->prefix = gy_chat_job_copy(hub, job, prefix);
    job->name = gy_chat_job_copy(hub, job, frame->body.rooms.after);
    job->entries_max = max;
    member->asks++;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_rooms_read(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    const struct gy_chat_task *task = job->owner;
    struct gy_chat_member *member = gy_chat_hub_member(hub, task->slot, task->generation);
    if (member == NULL) {
        return;
    }
    gy_chat_hub_finished(hub, member);
    size_t bytes = 1;
    for (uint32_t i = 0; i < job->entry_count; i++) {
        bytes +=
            sizeof(struct room_row) + job->entries[i].from.length + job->entries[i].contents.length;
    }
    char *all = hub->ops.job_take(job, bytes);
    if (all == NULL || (job->result != 0 && job->result != GY_ENOTFOUND)) {
        gy_chat_hub_error(hub, member, task->tag, GY_CHAT_STORAGE, 5000,
                          "The list of rooms cannot be read now: try again later.");
        return;
    }
    char *at = all;
    for (uint32_t i = 0; i < job->entry_count; i++) {
        const struct gy_chat_entry *entry = &job->entries[i];
        const struct room_row row = {.number = (uint32_t)entry->target,
                                     .name_bytes = entry->from.length,
                                     .topic_bytes = entry->contents.length};
        memcpy(at, &row, sizeof row);
        memcpy(at + sizeof row, entry->from.bytes, row.name_bytes);
        if (row.topic_bytes > 0) {
            memcpy(at + sizeof row + row.name_bytes, entry->contents.bytes, row.topic_bytes);
        }
        at += sizeof row + row.name_bytes + row.topic_bytes;
    }
    struct gy_chat_note note = {.type = NOTE_ROOMS,
                                .tag = task->tag,
                                .flag = job->more,
                                .count = job->entries_max,
                                .text = {all, (uint32_t)(at - all)}};
    gy_chat_note_ask(hub, hub->config.number, member, &note);
}

void gy_chat_rooms_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    size_t bytes = note->text.length + 1ul;
    char *all = gy_chat_hub_memory(hub, bytes);
    if (all == NULL) {
        gy_chat_note_refuse(hub, note, GY_CHAT_BUSY, 1000, "The server has no memory for it now.");
        return;
    }
    if (note->text.length > 0) {
        memcpy(all, note->text.bytes, note->text.length);
    }
    for (uint32_t at = 0; at < note->text.length;) {
        struct room_row row;
        memcpy(&row, all + at, sizeof row);
        const struct gy_chat_room *room = gy_chat_room_numbered(hub, row.number);
        row.members += room == NULL ? 0 : room->count;
        memcpy(all + at, &row, sizeof row);
        at += (uint32_t)sizeof row + row.name_bytes + row.topic_bytes;
    }
    next_worker(hub, note, (struct gy_chat_text){all, note->text.length}, 0);
    gy_chat_hub_return(hub, all, bytes);
}

/* ---- the answer ---- */

static void rooms_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_note *answer)
{
    const char *all = answer->text.bytes;
    for (uint32_t at = 0; at < answer->text.length;) {
        struct room_row row;
        memcpy(&row, all + at, sizeof row);
        at += (uint32_t)sizeof row;
        struct gy_chat_frame frame = {
            .type = GY_CHAT_ROOM,
            .flags = GY_CHAT_MORE,
            .tag = answer->tag,
            .body.room = {.members = row.members,
                          .name = {all + at, row.name_bytes},
                          .topic = {all + at + row.name_bytes, row.topic_bytes}}};
        gy_chat_hub_write(hub, member, &frame);
        at += row.name_bytes + row.topic_bytes;
    }
}

static void members_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_note *answer)
{
    struct gy_chat_text text = answer->text;
    struct member_row row;
    for (uint32_t i = 0; i < answer->count && row_parse(&text, &row); i++) {
        struct gy_chat_frame frame = {.type = GY_CHAT_MEMBER,
                                      .flags = GY_CHAT_MORE,
                                      .tag = answer->tag,
                                      .body.member = {.room = answer->room,
                                                      .role = row.role,
                                                      .status = row.status,
                                                      .nick = {row.nick, row.nick_bytes},
                                                      .note = {row.note, row.note_bytes}}};
        gy_chat_hub_write(hub, member, &frame);
    }
}

void gy_chat_page_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_note *answer)
{
    if (answer->kind == NOTE_ROOMS) {
        rooms_answered(hub, member, answer);
    } else {
        members_answered(hub, member, answer);
    }
    struct gy_chat_frame end = {
        .type = GY_CHAT_END, .tag = answer->tag, .body.end = {.more = answer->flag}};
    gy_chat_hub_write(hub, member, &end);
}
