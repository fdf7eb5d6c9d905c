/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"

/* A room's latest messages in memory, and what comes from there or from the store. */

#define RING_AT_FIRST 16
#define RING_MOST     65536
#define SPILL_MAX     64 /* entries of one read for a member that catches up */

/* ---- the ring ---- */

static size_t past_size(const struct gy_chat_past *past)
{
    return sizeof *past + past->from_bytes + past->contents_bytes;
}

static struct gy_chat_past **slot_of(const struct gy_chat_history *history, uint64_t id)
{
    return &history->ring[id & (history->capacity - 1)];
}

struct gy_chat_past *gy_chat_history_at(const struct gy_chat_history *history, uint64_t id)
{
    if (history->count == 0 || id < history->first || id - history->first >= history->count) {
        return NULL;
    }
    return *slot_of(history, id);
}

static void drop_oldest(struct gy_chat_hub *hub, struct gy_chat_history *history)
{
    struct gy_chat_past **slot = slot_of(history, history->first);
    size_t bytes = past_size(*slot);
    history->bytes -= (uint32_t)bytes;
    hub->counters.history_bytes -= bytes;
    gy_chat_hub_return(hub, *slot, bytes);
    *slot = NULL;
    history->first++;
    history->count--;
}

void gy_chat_history_clear(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    struct gy_chat_history *history = &room->history;
    while (history->count > 0) {
        drop_oldest(hub, history);
    }
    if (history->ring != NULL) {
        gy_chat_hub_return(hub, history->ring, history->capacity * sizeof(void *));
    }
    *history = (struct gy_chat_history){0};
}

static bool ring_grow(struct gy_chat_hub *hub, struct gy_chat_history *history)
{
    struct gy_chat_history wider = *history;
    wider.capacity = history->capacity == 0 ? RING_AT_FIRST : history->capacity * 2;
    wider.ring = wider.capacity > RING_MOST
                     ? NULL
                     : gy_chat_hub_memory(hub, wider.capacity * sizeof(void *));
    if (wider.ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < history->count; i++) {
        *slot_of(&wider, history->first + i) = *slot_of(history, history->first + i);
    }
    if (history->ring != NULL) {
        gy_chat_hub_return(hub, history->ring, history->capacity * sizeof(void *));
    }
    *history = wider;
    return true;
}

void gy_chat_history_add(struct gy_chat_hub *hub, struct gy_chat_room *room,
                         const struct gy_chat_past *past)
{
    struct gy_chat_history *history = &room->history;
    const struct gy_chat_hub_config *config = &hub->config;
    size_t bytes = past_size(past);
    gy_assert(history->count == 0 || past->id == history->first + history->count);
    while (history->count > 0 && (history->bytes + bytes > config->history_bytes ||
                                  hub->counters.history_bytes + bytes > config->histories_bytes)) {
        drop_oldest(hub, history);
    }
    struct gy_chat_past *copy = NULL;
    if (bytes <= config->history_bytes &&
        hub->counters.history_bytes + bytes <= config->histories_bytes) {
        if (history->count == history->capacity && !ring_grow(hub, history) && history->count > 0) {
            drop_oldest(hub, history);
        }
        copy = history->capacity == 0 ? NULL : gy_chat_hub_memory(hub, bytes);
    }
    if (copy == NULL) {
        gy_chat_history_clear(hub, room); /* it has no holes */
        return;
    }
    memcpy(copy, past, bytes);
    if (history->count == 0) {
        history->first = past->id;
    }
    *slot_of(history, past->id) = copy;
    history->count++;
    history->bytes += (uint32_t)bytes;
    hub->counters.history_bytes += bytes;
    hub->counters.copied_bytes += past->contents_bytes;
}

static void blank(struct gy_chat_hub *hub, struct gy_chat_history *history, uint64_t id)
{
    struct gy_chat_past **slot = slot_of(history, id);
    struct gy_chat_past *old = *slot;
    size_t kept = sizeof *old + old->from_bytes;
    struct gy_chat_past *copy = gy_chat_hub_memory(hub, kept);
    if (copy == NULL) {
        memset((char *)old + kept, ' ', old->contents_bytes); /* it has to go, at any rate */
        return;
    }
    memcpy(copy, old, kept);
    copy->contents_bytes = 0;
    *slot = copy;
    history->bytes -= old->contents_bytes;
    hub->counters.history_bytes -= old->contents_bytes;
    gy_chat_hub_return(hub, old, past_size(old));
}

/* What was deleted is not told to who comes later, nor what it was edited to. */
void gy_chat_history_blank(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t target)
{
    struct gy_chat_history *history = &room->history;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct gy_chat_past *past = *slot_of(history, history->first + i);
        if (past->contents_bytes > 0 &&
            (past->id == target || (past->kind == GY_CHAT_EDITED && past->target == target))) {
            blank(hub, history, past->id);
        }
    }
}

/* ---- sending it ---- */

static int write_past(struct gy_chat_hub *hub, struct gy_chat_member *member, uint32_t room,
                      uint16_t tag, const struct gy_chat_past *past)
{
    const char *texts = (const char *)(past + 1);
    struct gy_chat_frame frame = {
        .type = GY_CHAT_MESSAGE,
        .flags = GY_CHAT_PAST | (tag != 0 ? GY_CHAT_MORE : 0),
        .tag = tag,
        .body.message = {.room = room,
                         .id = past->id,
                         .time = past->time_ms,
                         .kind = past->kind,
                         .target = past->target,
                         .from = {texts, past->from_bytes},
                         .contents = {texts + past->from_bytes, past->contents_bytes}}};
    if (member->encoding == GY_CHAT_OVER_BOOK) {
        frame.flags = 0; /* it knows no history: to it this is late, but as new */
    }
    return hub->ops.write(hub->context, member, &frame);
}

static int write_entry(struct gy_chat_hub *hub, struct gy_chat_member *member, uint32_t room,
                       uint16_t tag, const struct gy_chat_entry *entry)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_MESSAGE,
                                  .flags = GY_CHAT_PAST | (tag != 0 ? GY_CHAT_MORE : 0),
                                  .tag = tag,
                                  .body.message = {.room = room,
                                                   .id = entry->id,
                                                   .time = entry->time_ms,
                                                   .kind = entry->kind,
                                                   .target = entry->target,
                                                   .from = entry->from,
                                                   .contents = entry->contents}};
    if (member->encoding == GY_CHAT_OVER_BOOK) {
        frame.flags = 0;
    }
    return hub->ops.write(hub->context, member, &frame);
}

static void write_gap(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription,
                      uint64_t last, enum gy_chat_gap why)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_GAP,
                                  .tag = subscription->joining ? subscription->tag : 0,
                                  .flags = subscription->joining ? GY_CHAT_MORE : 0,
                                  .body.gap = {.room = subscription->room->number,
                                               .first = subscription->next_id,
                                               .last = last,
                                               .why = (uint8_t)why}};
    gy_assert(last >= subscription->next_id);
    hub->counters.gaps++;
    hub->counters.dropped += last + 1 - subscription->next_id;
    subscription->next_id = last + 1;
    gy_chat_hub_write(hub, subscription->member, &frame);
}

static void write_end(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag,
                      bool more)
{
    struct gy_chat_frame frame = {.type = GY_CHAT_END, .tag = tag, .body.end = {.more = more}};
    gy_chat_hub_write(hub, member, &frame);
}

/* ---- catching up ---- */

/* The first id that a slow subscription gets after all. */
static uint64_t resume_at(const struct gy_chat_hub *hub,
                          const struct gy_chat_subscription *subscription)
{
    const struct gy_chat_room *room = subscription->room;
    const struct gy_chat_history *history = &room->history;
    if (subscription->policy == GY_CHAT_LATEST_ONLY) {
        return room->last;
    }
    if (subscription->policy != GY_CHAT_DROP_OLDEST) {
        return subscription->next_id;
    }
    uint64_t id = room->last + 1;
    uint32_t waits = subscription->member->out->length;
    uint32_t left = waits < hub->config.mark_bytes ? hub->config.mark_bytes - waits : 0;
    while (id > subscription->next_id) {
        const struct gy_chat_past *past = gy_chat_history_at(history, id - 1);
        if (past == NULL || past_size(past) > left) {
            break;
        }
        left -= (uint32_t)past_size(past);
        id--;
    }
    return id > room->last ? room->last : id; /* the latest at least */
}

static void read_more(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription)
{
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_READ, TASK_SPILL);
    if (job == NULL) {
        hub->ops.wake(hub->context, subscription->member);
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->slot = subscription->member->slot;
    task->generation = subscription->member->generation;
    task->room = subscription->room->number;
    job->room = task->room;
    job->by = GY_CHAT_AFTER_ID;
    job->point = subscription->next_id - 1;
    job->entries_max = SPILL_MAX;
    subscription->state = SUBSCRIPTION_READING;
    hub->counters.reads_store++;
    gy_chat_hub_submit(hub, job);
}

static void caught_up(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription)
{
    struct gy_chat_member *member = subscription->member;
    subscription->state = SUBSCRIPTION_LIVE;
    gy_assert(member->lagging > 0);
    member->lagging--;
    if (subscription->joining) {
        subscription->joining = false;
        write_end(hub, member, subscription->tag, false);
        subscription->tag = 0;
    }
}

void gy_chat_spill(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription)
{
    struct gy_chat_member *member = subscription->member;
    struct gy_chat_room *room = subscription->room;
    gy_assert(subscription->state == SUBSCRIPTION_BEHIND);
    if (subscription->slow && subscription->next_id <= room->last) {
        uint64_t at = resume_at(hub, subscription);
        subscription->slow = false;
        if (at > subscription->next_id) {
            write_gap(hub, subscription, at - 1, GY_CHAT_GAP_SLOW);
        }
    }
    if (subscription->next_id < room->first && room->owned != NULL) {
        write_gap(hub, subscription, room->first - 1, GY_CHAT_GAP_RETENTION);
    }
    bool counted = !subscription->joining;
    while (subscription->next_id <= room->last) {
        if (member->ended) {
            return;
        }
        const struct gy_chat_past *past = gy_chat_history_at(&room->history, subscription->next_id);
        if (member->out->length > hub->config.mark_bytes) {
            hub->ops.wake(hub->context, member);
            return;
        }
        if (past == NULL) {
            read_more(hub, subscription);
            return;
        }
        if (write_past(hub, member, room->number, subscription->joining ? subscription->tag : 0,
                       past) != 0) {
            hub->ops.wake(hub->context, member);
            return;
        }
        subscription->next_id++;
        hub->counters.spilled += counted;
        hub->counters.reads_memory++;
    }
    caught_up(hub, subscription);
}

/* Those of the job that it lacks. False: no more can be written now. */
static bool spill_entries(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription,
                          const struct gy_chat_job *job)
{
    struct gy_chat_member *member = subscription->member;
    for (uint32_t i = 0; i < job->entry_count; i++) {
        const struct gy_chat_entry *entry = &job->entries[i];
        if (entry->id < subscription->next_id) {
            continue;
        }
        if (entry->id > subscription->room->last) {
            break; /* it is about to be said here, too */
        }
        if (entry->id > subscription->next_id) {
            write_gap(hub, subscription, entry->id - 1, GY_CHAT_GAP_RETENTION);
        }
        if (member->ended || member->out->length > hub->config.mark_bytes ||
            write_entry(hub, member, subscription->room->number,
                        subscription->joining ? subscription->tag : 0, entry) != 0) {
            return false;
        }
        subscription->next_id++;
        hub->counters.spilled += !subscription->joining;
    }
    return true;
}

void gy_chat_spill_read(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    const struct gy_chat_task *task = job->owner;
    struct gy_chat_member *member = gy_chat_hub_member(hub, task->slot, task->generation);
    struct gy_chat_subscription *subscription =
        member == NULL ? NULL : gy_chat_subscription_of(member, task->room);
    if (subscription == NULL || subscription->state != SUBSCRIPTION_READING ||
        subscription->next_id != job->point + 1) {
        return; /* it has left, and perhaps come again */
    }
    subscription->state = SUBSCRIPTION_BEHIND;
    if (job->result == GY_EAGAIN) {
        gy_chat_hub_read_again(hub); /* others keep the store busy: nothing is left out for that */
        return;
    }
    uint64_t last = subscription->room->last;
    bool goes_on = true;
    if (job->result == 0) {
        goes_on = spill_entries(hub, subscription, job);
    }
    if (goes_on && subscription->next_id == job->point + 1 && subscription->next_id <= last) {
        /* There is nothing, or it cannot be read: said, rather than waited for. */
        uint64_t until =
            job->result == 0 && job->first > subscription->next_id && job->first <= last
                ? job->first - 1
                : last;
        write_gap(hub, subscription, until, GY_CHAT_GAP_RETENTION);
    }
    if (member->ended) {
        return;
    }
    if (goes_on) {
        gy_chat_spill(hub, subscription);
    } else {
        hub->ops.wake(hub->context, member);
    }
}

/* ---- HISTORY ---- */

/* Whether memory has all of the answer: then it is written. */
static bool from_memory(struct gy_chat_hub *hub, struct gy_chat_member *member,
                        const struct gy_chat_room *room, const struct gy_chat_frame *frame,
                        uint32_t max)
{
    const struct gy_chat_history *history = &room->history;
    uint64_t point = frame->body.history.point;
    uint64_t id = point + 1;
    int step = 1;
    uint64_t count = max;
    if (frame->body.history.by == GY_CHAT_AFTER_ID) {
        if (point >= room->last) {
            count = 0;
        } else if (history->count == 0 || id < history->first) {
            return false;
        } else if (room->last - point < count) {
            count = room->last - point;
        }
    } else if (frame->body.history.by == GY_CHAT_BEFORE_ID) {
        uint64_t end = point <= room->last ? point : room->last + 1;
        if (history->count == 0 || end <= history->first || end - history->first < count) {
            return false;
        }
        id = end - 1;
        step = -1;
    } else {
        return false;
    }
    bool more = false;
    for (uint64_t i = 0; i < count && !more; i++) {
        const struct gy_chat_past *past = gy_chat_history_at(history, id);
        gy_assert(past != NULL);
        more = member->out->length > hub->config.mark_bytes ||
               write_past(hub, member, room->number, frame->tag, past) != 0;
        id = step > 0 ? id + 1 : id - 1;
    }
    hub->counters.reads_memory++;
    if (frame->body.history.by == GY_CHAT_AFTER_ID) {
        more = more || point + count < room->last;
    } else {
        more = more || id >= (room->first == 0 ? 1 : room->first);
    }
    write_end(hub, member, frame->tag, more && count > 0);
    return true;
}

void gy_chat_history_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame)
{
    const struct gy_chat_subscription *subscription =
        gy_chat_subscription_of(member, frame->body.history.room);
    if (subscription == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ABSENT, 0, "You are not in this room.");
        return;
    }
    if (frame->body.history.by > GY_CHAT_BEFORE_ID) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                          "This is no way to read the history: 0 to 2 are.");
        return;
    }
    uint32_t max = frame->body.history.max < hub->config.page_max ? frame->body.history.max
                                                                  : hub->config.page_max;
    if (max == 0) {
        write_end(hub, member, frame->tag, false);
        return;
    }
    if (from_memory(hub, member, subscription->room, frame, max)) {
        return;
    }
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_READ, TASK_HISTORY);
    if (job == NULL) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_BUSY, 1000,
                          "The server has no memory for it now.");
        return;
    }
    struct gy_chat_task *task = job->owner;
    task->slot = member->slot;
    task->generation = member->generation;
    task->room = frame->body.history.room;
    task->tag = frame->tag;
    job->room = task->room;
    job->by = frame->body.history.by;
    job->point = frame->body.history.point;
    job->entries_max = max;
    hub->counters.reads_store++;
    member->asks++;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_history_read(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    const struct gy_chat_task *task = job->owner;
    struct gy_chat_member *member = gy_chat_hub_member(hub, task->slot, task->generation);
    if (member == NULL) {
        return;
    }
    if (job->result != 0 && job->result != GY_ENOTFOUND) {
        gy_chat_hub_error(hub, member, task->tag, GY_CHAT_STORAGE, 5000,
                          "The history cannot be read now: try again later.");
    } else {
        const struct gy_chat_room *room = gy_chat_room_numbered(hub, task->room);
        bool more = job->more;
        for (uint32_t i = 0; i < job->entry_count; i++) {
            const struct gy_chat_entry *entry = &job->entries[i];
            if (room != NULL && entry->id > room->last) {
                continue; /* it is about to be said here, too */
            }
            if (member->out->length > hub->config.mark_bytes ||
                write_entry(hub, member, task->room, task->tag, entry) != 0) {
                more = true;
                break;
            }
        }
        write_end(hub, member, task->tag, more);
    }
    gy_chat_hub_finished(hub, member);
}
