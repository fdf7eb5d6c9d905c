/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub.h"

#include "protocols/chat/hub_admin.h"

#define SLOTS_AT_FIRST 64
#define NO_SLOT        UINT32_MAX
#define RETRY_MS       1
#define AGAIN_MS       20
#define DEDUP_MOST     32768u
#define WORKERS_MOST   1024u

/* ---- memory ---- */

void *gy_chat_hub_memory(struct gy_chat_hub *hub, size_t bytes)
{
    if (hub->counters.memory_bytes + bytes > hub->config.memory_max) {
        return NULL;
    }
    void *memory = hub->ops.take(hub->context, bytes);
    if (memory != NULL) {
        memset(memory, 0, bytes);
        hub->counters.memory_bytes += bytes;
    }
    return memory;
}

void gy_chat_hub_return(struct gy_chat_hub *hub, void *memory, size_t bytes)
{
    gy_assert(memory != NULL && hub->counters.memory_bytes >= bytes);
    hub->counters.memory_bytes -= bytes;
    hub->ops.give(hub->context, memory, bytes);
}

struct gy_chat_job *gy_chat_hub_job(struct gy_chat_hub *hub, enum gy_chat_job_type type,
                                    enum gy_chat_task_type task)
{
    struct gy_chat_job *job = hub->ops.job_make(type);
    if (job == NULL) {
        return NULL;
    }
    struct gy_chat_task *mine = hub->ops.job_take(job, sizeof *mine);
    if (mine == NULL) {
        hub->ops.job_free(job);
        return NULL;
    }
    *mine = (struct gy_chat_task){.type = (uint8_t)task};
    job->owner = mine;
    job->hub = hub->config.number;
    job->now_ms = hub->wall_ms;
    return job;
}

struct gy_chat_text gy_chat_job_copy(struct gy_chat_hub *hub, struct gy_chat_job *job,
                                     struct gy_chat_text text)
{
    char *copy = hub->ops.job_take(job, text.length + 1ul);
    if (copy == NULL) {
        return (struct gy_chat_text){NULL, 0};
    }
    if (text.length > 0) {
        memcpy(copy, text.bytes, text.length);
    }
    return (struct gy_chat_text){copy, text.length};
}

void gy_chat_hub_submit(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    hub->jobs++;
    hub->ops.store(hub->context, job);
}

/* ---- opening ---- */

static void or_default(uint32_t *value, uint32_t other)
{
    *value = *value == 0 ? other : *value;
}

static void fill_defaults(struct gy_chat_hub_config *config)
{
    or_default(&config->members_max, 65536);
    or_default(&config->rooms_max, 16384);
    or_default(&config->rooms_per_member, 64);
    or_default(&config->rooms_per_account, 256);
    or_default(&config->rooms_per_origin, 16);
    or_default(&config->inboxes_per_origin, 256);
    or_default(&config->asks_per_member, 256);
    or_default(&config->mark_bytes, 131072);
    or_default(&config->low_bytes, config->mark_bytes / 4);
    or_default(&config->history_bytes, 65536);
    or_default(&config->page_max, 500);
    or_default(&config->dedup_entries, 512);
    or_default(&config->append_entries, 1024);
    or_default(&config->append_bytes, 262144);
    or_default(&config->opening_max, 1024);
    or_default(&config->quiet_members, 1000);
    or_default(&config->standings_max, 4096);
    or_default(&config->typing_ms, 2000);
    or_default(&config->room_idle_ms, 60000);
    or_default(&config->parcel_bytes, 65536);
    or_default(&config->queue_bytes, 1 << 20);
    or_default(&config->credits, 4096);
    config->histories_bytes = config->histories_bytes == 0 ? 64u << 20 : config->histories_bytes;
    config->memory_max = config->memory_max == 0 ? 1u << 30 : config->memory_max;
    uint32_t entries = 16;
    while (entries < config->dedup_entries && entries < DEDUP_MOST) {
        entries *= 2;
    }
    config->dedup_entries = entries;
    gy_assert(config->low_bytes <= config->mark_bytes);
}

int gy_chat_hub_open(struct gy_chat_hub **hub_out, const struct gy_chat_hub_config *config,
                     const struct gy_chat_hub_ops *ops, void *context, struct gy_bump *bump,
                     struct gy_slab *links)
{
    gy_assert(config->workers > 0 && config->number < config->workers);
    gy_assert(config->workers <= WORKERS_MOST);
    struct gy_chat_hub *hub = ops->take(context, sizeof *hub);
    if (hub == NULL) {
        return GY_ENOMEM;
    }
    *hub = (struct gy_chat_hub){
        .config = *config,
        .ops = *ops,
        .context = context,
        .bump = bump,
        .links = links,
        .retry_ms = UINT64_MAX,
        .again_ms = UINT64_MAX,
        .slot_free = NO_SLOT,
        .places = {{UINT64_C(0x6368617420726f6f), UINT64_C(0x6d73206279206e61)}},
    };
    fill_defaults(&hub->config);
    hub->key.words[0] = ops->random(context);
    hub->key.words[1] = ops->random(context);
    TAILQ_INIT(&hub->dirty);
    TAILQ_INIT(&hub->idle);
    TAILQ_INIT(&hub->behind);
    hub->lanes = gy_chat_hub_memory(hub, config->workers * sizeof *hub->lanes);
    if (hub->lanes == NULL || gy_chat_table_open(hub, &hub->rooms_by_name) != 0 ||
        gy_chat_table_open(hub, &hub->rooms_by_number) != 0 ||
        gy_chat_table_open(hub, &hub->persons) != 0) {
        gy_chat_hub_close(hub);
        return GY_ENOMEM;
    }
    *hub_out = hub;
    return 0;
}

void gy_chat_hub_close(struct gy_chat_hub *hub)
{
    gy_assert(hub->counters.members == 0 && hub->jobs == 0 && hub->checks == 0);
    for (uint32_t i = 0; hub->rooms_by_name.buckets != NULL && i <= hub->rooms_by_name.mask; i++) {
        while (hub->rooms_by_name.buckets[i] != NULL) {
            gy_chat_room_free(hub, (struct gy_chat_room *)hub->rooms_by_name.buckets[i]);
        }
    }
    gy_chat_persons_close(hub);
    gy_chat_table_close(hub, &hub->rooms_by_name);
    gy_chat_table_close(hub, &hub->rooms_by_number);
    gy_chat_table_close(hub, &hub->persons);
    for (uint32_t i = 0; hub->lanes != NULL && i < hub->config.workers; i++) {
        while (hub->lanes[i].head != NULL) {
            struct gy_chat_parcel *parcel = hub->lanes[i].head;
            hub->lanes[i].head = parcel->next;
            gy_chat_hub_parcel_free(hub, parcel);
        }
    }
    if (hub->lanes != NULL) {
        gy_chat_hub_return(hub, hub->lanes, hub->config.workers * sizeof *hub->lanes);
    }
    if (hub->slots != NULL) {
        gy_chat_hub_return(hub, hub->slots, hub->slot_capacity * sizeof *hub->slots);
    }
    gy_assert(hub->counters.memory_bytes == 0);
    hub->ops.give(hub->context, hub, sizeof *hub);
}

/* ---- turns ---- */

void gy_chat_hub_clock(struct gy_chat_hub *hub, uint64_t now_ms, uint64_t wall_ms)
{
    hub->now_ms = now_ms;
    hub->wall_ms = wall_ms;
}

void gy_chat_hub_read_again(struct gy_chat_hub *hub)
{
    if (hub->again_ms == UINT64_MAX) {
        hub->again_ms = hub->now_ms + AGAIN_MS;
    }
}

static void ask_again(struct gy_chat_hub *hub)
{
    hub->again_ms = UINT64_MAX;
    for (uint32_t i = 0; i < hub->slot_count; i++) {
        struct gy_chat_member *member = hub->slots[i].member;
        if (member != NULL && member->lagging > 0) {
            hub->ops.wake(hub->context, member);
        }
    }
    for (uint32_t i = 0; i <= hub->rooms_by_name.mask; i++) {
        for (struct gy_chat_link *link = hub->rooms_by_name.buckets[i]; link != NULL;
             link = link->next) {
            gy_chat_catch_up(hub, (struct gy_chat_room *)link);
        }
    }
}

void gy_chat_hub_flush(struct gy_chat_hub *hub)
{
    if (hub->now_ms >= hub->again_ms) {
        ask_again(hub);
    }
    gy_chat_rooms_flush(hub);
    gy_chat_lanes_flush(hub);
    bool waits = hub->counters.kept_bytes > 0 || !TAILQ_EMPTY(&hub->behind);
    hub->retry_ms = waits ? hub->now_ms + RETRY_MS : UINT64_MAX;
}

uint64_t gy_chat_hub_deadline(const struct gy_chat_hub *hub)
{
    const struct gy_chat_room *room = TAILQ_FIRST(&hub->idle);
    uint64_t idle_ms = room == NULL ? UINT64_MAX : room->idle_ms + hub->config.room_idle_ms;
    uint64_t due_ms = hub->again_ms < hub->retry_ms ? hub->again_ms : hub->retry_ms;
    return idle_ms < due_ms ? idle_ms : due_ms;
}

bool gy_chat_hub_dirty(const struct gy_chat_hub *hub)
{
    if (!TAILQ_EMPTY(&hub->dirty)) {
        return true;
    }
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        if (hub->lanes[i].head != NULL) {
            return true;
        }
    }
    return false;
}

bool gy_chat_hub_idle(const struct gy_chat_hub *hub)
{
    return hub->jobs == 0 && hub->checks == 0 && hub->asked == 0 && !gy_chat_hub_dirty(hub);
}

const struct gy_chat_hub_counters *gy_chat_hub_counters(const struct gy_chat_hub *hub)
{
    return &hub->counters;
}

/* ---- places ---- */

uint64_t gy_chat_hub_hash(const struct gy_chat_hub *hub, struct gy_chat_text name)
{
    return gy_siphash(&hub->key, name.bytes, name.length);
}

uint32_t gy_chat_hub_place(const struct gy_chat_hub *hub, struct gy_chat_text name)
{
    if (hub->config.workers == 1) {
        return 0;
    }
    return (uint32_t)(gy_siphash(&hub->places, name.bytes, name.length) % hub->config.workers);
}

/* ---- members ---- */

static int slots_grow(struct gy_chat_hub *hub)
{
    uint32_t wider = hub->slot_capacity == 0 ? SLOTS_AT_FIRST : hub->slot_capacity * 2;
    struct gy_chat_slot *slots = gy_chat_hub_memory(hub, wider * sizeof *slots);
    if (slots == NULL) {
        return GY_ENOMEM;
    }
    if (hub->slots != NULL) {
        memcpy(slots, hub->slots, hub->slot_capacity * sizeof *slots);
        gy_chat_hub_return(hub, hub->slots, hub->slot_capacity * sizeof *slots);
    }
    hub->slots = slots;
    hub->slot_capacity = wider;
    return 0;
}

int gy_chat_hub_attach(struct gy_chat_hub *hub, struct gy_chat_member *member, struct gy_chain *out,
                       enum gy_chat_encoding encoding, uint32_t features)
{
    if (hub->counters.members >= hub->config.members_max) {
        return GY_ELIMIT;
    }
    uint32_t slot = hub->slot_free;
    if (slot == NO_SLOT) {
        if (hub->slot_count == hub->slot_capacity && slots_grow(hub) != 0) {
            return GY_ENOMEM;
        }
        slot = hub->slot_count++;
    } else {
        hub->slot_free = hub->slots[slot].next_free;
    }
    *member = (struct gy_chat_member){
        .hub = hub,
        .out = out,
        .slot = slot,
        .generation = ++hub->slots[slot].generation,
        .features = features,
        .encoding = (uint8_t)encoding,
    };
    hub->slots[slot].member = member;
    hub->counters.members++;
    return 0;
}

void gy_chat_hub_detach(struct gy_chat_member *member)
{
    struct gy_chat_hub *hub = member->hub;
    gy_assert(hub->slots[member->slot].member == member);
    while (member->subscriptions != NULL) {
        struct gy_chat_subscription *subscription = member->subscriptions;
        struct gy_chat_room *room = subscription->room;
        const struct gy_chat_frame frame = {.type = GY_CHAT_CAME,
                                            .body.came = {.room = room->number,
                                                          .what = GY_CHAT_HAS_LEFT,
                                                          .role = subscription->role,
                                                          .nick = gy_chat_member_nick(member)}};
        bool inbox = subscription->inbox;
        gy_chat_unsubscribe(hub, subscription);
        if (!inbox) {
            gy_chat_here(hub, room, member->user, &frame);
        }
        gy_chat_room_left(hub, room);
    }
    gy_chat_login_abandon(hub, member);
    if (member->note != NULL) {
        gy_chat_hub_return(hub, member->note, member->note_bytes);
    }
    struct gy_chat_slot *slot = &hub->slots[member->slot];
    slot->member = NULL;
    slot->generation++;
    slot->next_free = hub->slot_free;
    hub->slot_free = member->slot;
    hub->counters.members--;
    member->hub = NULL;
}

struct gy_chat_member *gy_chat_hub_member(const struct gy_chat_hub *hub, uint32_t slot,
                                          uint32_t generation)
{
    return slot < hub->slot_count && hub->slots[slot].generation == generation
               ? hub->slots[slot].member
               : NULL;
}

void gy_chat_hub_finished(struct gy_chat_hub *hub, struct gy_chat_member *member)
{
    gy_assert(member->asks > 0);
    member->asks--;
    if (member->refused && member->asks <= hub->config.asks_per_member / 2 &&
        member->entering == NULL) {
        member->refused = false;
        hub->ops.wake(hub->context, member);
    }
}

/* ---- writing ---- */

void gy_chat_hub_fatal(struct gy_chat_hub *hub, struct gy_chat_member *member,
                       enum gy_chat_code code, const char *sentence)
{
    if (member->ended) {
        return;
    }
    member->ended = true;
    hub->counters.refused[code]++;
    struct gy_chat_frame frame = {
        .type = GY_CHAT_ERROR,
        .body.error = {.code = (uint16_t)code, .fatal = 1, .sentence = gy_chat_text_of(sentence)}};
    hub->ops.write(hub->context, member, &frame);
}

void gy_chat_hub_write(struct gy_chat_hub *hub, struct gy_chat_member *member,
                       const struct gy_chat_frame *frame)
{
    if (member->ended) {
        return;
    }
    int code = hub->ops.write(hub->context, member, frame);
    if (code == 0 || code == GY_ESTATE) {
        return;
    }
    if (frame->tag != 0 || frame->type == GY_CHAT_JOINED || frame->type == GY_CHAT_GAP) {
        /* An answer that is left out would never come: it does not read what it asked for. */
        hub->counters.ended_slow++;
        gy_chat_hub_fatal(hub, member, GY_CHAT_TOO_SLOW,
                          "The answers to your requests are not read: read them, then resume.");
    }
}

void gy_chat_hub_error(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag,
                       enum gy_chat_code code, uint32_t retry_ms, const char *sentence)
{
    gy_assert(code > 0 && code < GY_CHAT_CODES);
    hub->counters.refused[code]++;
    struct gy_chat_frame frame = {.type = GY_CHAT_ERROR,
                                  .tag = tag,
                                  .body.error = {.code = (uint16_t)code,
                                                 .retry_ms = retry_ms,
                                                 .sentence = gy_chat_text_of(sentence)}};
    gy_chat_hub_write(hub, member, &frame);
}

/* ---- requests ---- */

static void request_take(struct gy_chat_hub *hub, struct gy_chat_member *member,
                         const struct gy_chat_frame *frame)
{
    switch (frame->type) {
    case GY_CHAT_REGISTER:
    case GY_CHAT_LOGIN:
    case GY_CHAT_NICK:
        gy_chat_login_request(hub, member, frame);
        break;
    case GY_CHAT_JOIN:
        gy_chat_join_request(hub, member, frame);
        break;
    case GY_CHAT_LEAVE:
        gy_chat_leave_request(hub, member, frame);
        break;
    case GY_CHAT_ROOMS:
        gy_chat_rooms_request(hub, member, frame);
        break;
    case GY_CHAT_MEMBERS:
        gy_chat_members_request(hub, member, frame);
        break;
    case GY_CHAT_SEND:
    case GY_CHAT_TELL:
    case GY_CHAT_EDIT:
    case GY_CHAT_DELETE:
    case GY_CHAT_TOPIC:
        gy_chat_say_request(hub, member, frame);
        break;
    case GY_CHAT_HISTORY:
        gy_chat_history_request(hub, member, frame);
        break;
    case GY_CHAT_TYPING:
        gy_chat_typing_request(hub, member, frame);
        break;
    case GY_CHAT_PRESENCE:
        gy_chat_presence_request(hub, member, frame);
        break;
    case GY_CHAT_MODERATE:
        gy_chat_moderate_request(hub, member, frame);
        break;
    case GY_CHAT_CHANGE:
    case GY_CHAT_REVOKE:
        gy_chat_account_request(hub, member, frame);
        break;
    case GY_CHAT_ADMIN:
        gy_chat_admin_request(hub, member, frame);
        break;
    default:
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_UNSUPPORTED, 0,
                          "This is no request that the server serves.");
        break;
    }
}

int gy_chat_hub_request(struct gy_chat_member *member, const struct gy_chat_frame *frame)
{
    struct gy_chat_hub *hub = member->hub;
    if (member->ended) {
        return 0;
    }
    if (member->entering != NULL || member->asks >= hub->config.asks_per_member) {
        member->refused = true;
        return GY_EAGAIN;
    }
    hub->counters.requests++;
    bool enters = frame->type == GY_CHAT_LOGIN || frame->type == GY_CHAT_REGISTER;
    if (member->user == 0 && !enters) {
        gy_chat_hub_error(hub, member, frame->tag, GY_CHAT_ORDER, 0,
                          "Say who you are first: LOGIN or REGISTER.");
        return 0;
    }
    request_take(hub, member, frame);
    return 0;
}

void gy_chat_hub_room(struct gy_chat_member *member)
{
    struct gy_chat_subscription *next;
    for (struct gy_chat_subscription *subscription = member->subscriptions;
         subscription != NULL && !member->ended; subscription = next) {
        next = subscription->next;
        if (subscription->state == SUBSCRIPTION_BEHIND) {
            gy_chat_spill(member->hub, subscription);
        }
    }
}

/* ---- what comes back ---- */

void gy_chat_hub_stored(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_task *task = job->owner;
    gy_assert(hub->jobs > 0 && job->hub == hub->config.number);
    hub->jobs--;
    if (job->result != 0 && job->result != GY_ENOTFOUND && job->result != GY_EEXIST) {
        hub->counters.storage_failures++;
    }
    switch ((enum gy_chat_task_type)task->type) {
    case TASK_OPEN:
        gy_chat_room_opened(hub, job);
        break;
    case TASK_APPEND:
        gy_chat_append_stored(hub, job); /* frees it */
        return;
    case TASK_FORGET:
        break;
    case TASK_SETTLE:
        gy_chat_settled(hub, job);
        break;
    case TASK_CATCH:
        gy_chat_caught(hub, job);
        break;
    case TASK_SPILL:
        gy_chat_spill_read(hub, job);
        break;
    case TASK_HISTORY:
        gy_chat_history_read(hub, job);
        break;
    case TASK_TARGET:
        gy_chat_say_target(hub, job);
        break;
    case TASK_ROOMS:
        gy_chat_rooms_read(hub, job);
        break;
    case TASK_ACCOUNT:
    case TASK_NEW_ACCOUNT:
        gy_chat_login_stored(hub, job);
        break;
    case TASK_FIND:
        gy_chat_person_found(hub, job);
        break;
    case TASK_LIST:
    case TASK_BAN:
    case TASK_STAY:
        gy_chat_admin_stored(hub, job);
        break;
    }
    hub->ops.job_free(job);
}

/* ---- the end ---- */

void gy_chat_hub_drain(struct gy_chat_hub *hub, uint32_t in_ms, struct gy_chat_text address)
{
    hub->draining = true;
    for (uint32_t i = 0; i < hub->slot_count; i++) {
        if (hub->slots[i].member != NULL) {
            struct gy_chat_frame frame = {.type = GY_CHAT_MOVE,
                                          .body.move = {.in_ms = in_ms, .address = address}};
            gy_chat_hub_write(hub, hub->slots[i].member, &frame);
        }
    }
}

void gy_chat_hub_end_all(struct gy_chat_hub *hub)
{
    hub->draining = true;
    for (uint32_t i = 0; i < hub->slot_count; i++) {
        if (hub->slots[i].member != NULL) {
            gy_chat_hub_fatal(hub, hub->slots[i].member, GY_CHAT_DRAIN,
                              "The server ends: connect again and resume.");
        }
    }
}
