/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/chat/hub_internal.h"
#include "protocols/chat/session.h"

/* What was committed goes to the members: encoded once, one slice for each. */

#define WS_HEAD      4 /* of a message up to 65,535 bytes (RFC 6455 §5.2) */
#define PIECE_BYTES  (GY_BUMP_BLOCK_BYTES - WS_HEAD)
#define PIECE_FRAMES 256
#define CATCH_MAX    256
#define AHEAD        4 /* members whose memory is fetched while others are served */

_Static_assert(GY_CHAT_FRAME_SENT_MAX + 4 <= PIECE_BYTES, "a frame fits into a block");

/* Frames that lie in one block of output memory. */
struct piece {
    struct gy_chat_past *const *past;
    uint32_t count;
    struct gy_slice frames; /* held; before it lies the WebSocket head */
    struct gy_slice book;   /* held where there are clients of the book */
    uint32_t head;          /* bytes of the WebSocket head */
    uint16_t frame_at[PIECE_FRAMES + 1];
    uint16_t book_at[PIECE_FRAMES + 1];
};

static struct gy_chat_frame frame_of(uint32_t room, const struct gy_chat_past *past)
{
    const char *texts = (const char *)(past + 1);
    return (struct gy_chat_frame){
        .type = GY_CHAT_MESSAGE,
        .body.message = {.room = room,
                         .id = past->id,
                         .time = past->time_ms,
                         .kind = past->kind,
                         .target = past->target,
                         .from = {texts, past->from_bytes},
                         .contents = {texts + past->from_bytes, past->contents_bytes}}};
}

static uint32_t put_head(uint8_t *before, uint32_t bytes)
{
    gy_assert(bytes <= UINT16_MAX);
    if (bytes < 126) {
        before[-2] = 0x82;
        before[-1] = (uint8_t)bytes;
        return 2;
    }
    before[-4] = 0x82;
    before[-3] = 126;
    before[-2] = (uint8_t)(bytes >> 8);
    before[-1] = (uint8_t)bytes;
    return 4;
}

static bool in_book(const struct gy_chat_past *past)
{
    return past->kind == GY_CHAT_SAID && past->contents_bytes > 0;
}

static int encode_book(struct gy_chat_hub *hub, struct piece *piece)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < piece->count; i++) {
        const struct gy_chat_past *past = piece->past[i];
        const char *texts = (const char *)(past + 1);
        struct gy_chat_text from = {texts, past->from_bytes};
        struct gy_chat_text contents = {texts + past->from_bytes, past->contents_bytes};
        piece->book_at[i] = (uint16_t)bytes;
        bytes += in_book(past) ? gy_chat_book_bytes(from, contents) : 0;
    }
    piece->book_at[piece->count] = (uint16_t)bytes;
    uint8_t *out = gy_bump_reserve(hub->bump, bytes);
    if (out == NULL) {
        return GY_ENOBUFS;
    }
    for (uint32_t i = 0; i < piece->count; i++) {
        const struct gy_chat_past *past = piece->past[i];
        const char *texts = (const char *)(past + 1);
        if (in_book(past)) {
            gy_chat_book_encode(
                (struct gy_chat_text){texts, past->from_bytes},
                (struct gy_chat_text){texts + past->from_bytes, past->contents_bytes},
                out + piece->book_at[i]);
        }
    }
    piece->book = gy_bump_slice(hub->bump, bytes);
    return 0;
}

/* As many as fit into one block; `piece->count` says how many. */
static int encode(struct gy_chat_hub *hub, const struct gy_chat_room *room, struct piece *piece,
                  struct gy_chat_past *const *past, uint32_t count)
{
    uint32_t bytes = 0;
    piece->past = past;
    piece->count = 0;
    while (piece->count < count && piece->count < PIECE_FRAMES) {
        struct gy_chat_frame frame = frame_of(room->number, past[piece->count]);
        uint32_t more = gy_chat_encoded_bytes(&frame);
        if (bytes + more > PIECE_BYTES) {
            break;
        }
        piece->frame_at[piece->count++] = (uint16_t)bytes;
        bytes += more;
    }
    gy_assert(piece->count > 0);
    piece->frame_at[piece->count] = (uint16_t)bytes;
    uint8_t *out = gy_bump_reserve(hub->bump, WS_HEAD + bytes);
    if (out == NULL) {
        return GY_ENOBUFS;
    }
    for (uint32_t i = 0; i < piece->count; i++) {
        struct gy_chat_frame frame = frame_of(room->number, past[i]);
        gy_chat_encode(&frame, out + WS_HEAD + piece->frame_at[i]);
    }
    piece->head = put_head(out + WS_HEAD, bytes);
    piece->frames = gy_bump_slice(hub->bump, WS_HEAD + bytes);
    piece->frames.offset += WS_HEAD;
    piece->frames.length = bytes;
    piece->book.length = 0;
    hub->counters.encoded_bytes += bytes;
    if (room->of_book > 0 && encode_book(hub, piece) != 0) {
        gy_slice_drop(piece->frames);
        return GY_ENOBUFS;
    }
    return 0;
}

/* ---- falling behind ---- */

static void fall_behind(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription,
                        uint64_t id, bool slow)
{
    gy_assert(subscription->state == SUBSCRIPTION_LIVE);
    struct gy_chat_member *member = subscription->member;
    subscription->state = SUBSCRIPTION_BEHIND;
    subscription->slow = slow;
    if (id > subscription->next_id) {
        subscription->next_id = id;
    }
    member->lagging++;
    hub->counters.slow += slow;
    if (slow && subscription->policy == GY_CHAT_DISCONNECT) {
        hub->counters.ended_slow++;
        gy_chat_hub_fatal(hub, member, GY_CHAT_TOO_SLOW,
                          "You read more slowly than the room speaks, and asked to be "
                          "disconnected then.");
        return;
    }
    hub->ops.wake(hub->context, member);
}

static void all_fall_behind(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t id)
{
    for (uint32_t i = 0; i < room->count; i++) {
        if (room->list[i]->state == SUBSCRIPTION_LIVE) {
            fall_behind(hub, room->list[i], id, false);
        }
    }
}

void gy_chat_publish_lost(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t first,
                          uint64_t last)
{
    gy_assert(first == room->last + 1 && last >= first);
    hub->counters.starved++;
    gy_chat_history_clear(hub, room);
    all_fall_behind(hub, room, first);
    room->last = last;
    for (uint32_t i = 0; room->owned != NULL && i < hub->config.workers; i++) {
        if (room->owned->peers[i].subscribed && !room->owned->peers[i].behind) {
            gy_chat_room_behind(hub, room, i);
        }
    }
}

/* ---- to one member ---- */

static bool add(struct gy_chat_hub *hub, struct gy_chat_member *member, struct gy_slice slice)
{
    gy_buffer_hold(slice.buffer);
    if (gy_chain_append(member->out, slice) != 0) {
        gy_buffer_drop(slice.buffer);
        return false;
    }
    hub->counters.batches++;
    return true;
}

/* Frames `from` to `to` of the piece. */
static bool add_run(struct gy_chat_hub *hub, struct gy_chat_member *member,
                    const struct piece *piece, uint32_t from, uint32_t to)
{
    struct gy_slice slice = piece->frames;
    const uint16_t *at = piece->frame_at;
    if (member->encoding == GY_CHAT_OVER_BOOK) {
        slice = piece->book;
        at = piece->book_at;
        if (slice.length == 0 || at[from] == at[to]) {
            return true;
        }
    }
    slice.offset += at[from];
    slice.length = (uint32_t)at[to] - at[from];
    if (member->encoding != GY_CHAT_OVER_WEBSOCKET) {
        return add(hub, member, slice);
    }
    uint8_t head[WS_HEAD];
    uint32_t bytes = put_head(head + WS_HEAD, slice.length);
    if (gy_bump_copy(hub->bump, member->out, head + WS_HEAD - bytes, bytes) != 0) {
        return false;
    }
    if (!add(hub, member, slice)) {
        /* A head without its message cannot be taken back: the stream is of no use any more. */
        gy_chat_hub_fatal(hub, member, GY_CHAT_BUSY, "The server is out of memory.");
        return false;
    }
    return true;
}

static bool is_own(const struct gy_chat_hub *hub, const struct gy_chat_member *member,
                   const struct gy_chat_past *past)
{
    return past->slot == member->slot && past->generation == member->generation &&
           past->worker == hub->config.number;
}

/* All but what it said itself, and what it has already. */
static void add_some(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription,
                     const struct piece *piece)
{
    struct gy_chat_member *member = subscription->member;
    uint32_t from = 0;
    uint64_t before = hub->counters.batches;
    for (uint32_t i = 0; i <= piece->count; i++) {
        bool skip = i == piece->count || is_own(hub, member, piece->past[i]) ||
                    piece->past[i]->id < subscription->next_id;
        if (!skip) {
            continue;
        }
        if (i > from) {
            if (!add_run(hub, member, piece, from, i)) {
                fall_behind(hub, subscription, piece->past[from]->id, false);
                return;
            }
            hub->counters.deliveries += i - from;
        }
        from = i + 1;
    }
    if (hub->counters.batches > before) {
        hub->ops.output(hub->context, member);
    }
}

static void deliver(struct gy_chat_hub *hub, struct gy_chat_room *room, const struct piece *piece)
{
    struct gy_slice with_head = piece->frames;
    with_head.offset -= piece->head;
    with_head.length += piece->head;
    uint64_t first = piece->past[0]->id;
    for (uint32_t i = 0; i < room->count; i++) {
        struct gy_chat_subscription *subscription = room->list[i];
        struct gy_chat_member *member = subscription->member;
        if (i + AHEAD < room->count) {
            const struct gy_chat_subscription *later = room->list[i + AHEAD];
            __builtin_prefetch(later->member);
            if (i + 2 * AHEAD < room->count) {
                __builtin_prefetch(room->list[i + 2 * AHEAD]);
            }
        }
        if (subscription->state != SUBSCRIPTION_LIVE || member->ended) {
            continue;
        }
        if (member->out->length > hub->config.mark_bytes) {
            fall_behind(hub, subscription, first, true);
            continue;
        }
        if (member->batch == hub->batch || subscription->next_id > first) {
            add_some(hub, subscription, piece);
            continue;
        }
        struct gy_slice slice = member->encoding == GY_CHAT_OVER_STREAM      ? piece->frames
                                : member->encoding == GY_CHAT_OVER_WEBSOCKET ? with_head
                                                                             : piece->book;
        if (slice.length == 0) {
            continue; /* nothing for a client of the book */
        }
        if (!add(hub, member, slice)) {
            fall_behind(hub, subscription, first, false);
            continue;
        }
        hub->counters.deliveries += piece->count;
        hub->ops.output(hub->context, member);
    }
}

/* ---- to all ---- */

static void mark_senders(struct gy_chat_hub *hub, struct gy_chat_past *const *past, uint32_t count)
{
    hub->batch++;
    for (uint32_t i = 0; i < count; i++) {
        struct gy_chat_member *member =
            past[i]->worker == hub->config.number
                ? gy_chat_hub_member(hub, past[i]->slot, past[i]->generation)
                : NULL;
        if (member != NULL) {
            member->batch = hub->batch;
        }
    }
}

static uint32_t past_bytes(const struct gy_chat_past *past)
{
    uint32_t bytes = (uint32_t)sizeof *past + past->from_bytes + past->contents_bytes;
    return (bytes + 7) & ~7u;
}

/* One copy for each other worker. */
static void pass_on(struct gy_chat_hub *hub, struct gy_chat_room *room,
                    struct gy_chat_past *const *past, uint32_t count)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        wanted += room->owned->peers[i].subscribed && !room->owned->peers[i].behind;
    }
    if (wanted == 0) {
        return;
    }
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += past_bytes(past[i]);
    }
    uint8_t *copy = gy_chat_hub_memory(hub, bytes);
    uint8_t *at = copy;
    for (uint32_t i = 0; copy != NULL && i < count; i++) {
        memcpy(at, past[i], sizeof *past[i] + past[i]->from_bytes + past[i]->contents_bytes);
        at += past_bytes(past[i]);
    }
    const struct gy_chat_note note = {.type = NOTE_SAID,
                                      .room = room->number,
                                      .count = count,
                                      .first = past[0]->id,
                                      .id = past[count - 1]->id,
                                      .text = {(const char *)copy, (uint32_t)bytes}};
    for (uint32_t i = 0; i < hub->config.workers; i++) {
        const struct gy_chat_peer *peer = &room->owned->peers[i];
        if (peer->subscribed && !peer->behind &&
            (copy == NULL || gy_chat_note_send(hub, i, &note) != 0)) {
            gy_chat_room_behind(hub, room, i);
        }
    }
    if (copy != NULL) {
        gy_chat_hub_return(hub, copy, bytes);
    }
}

void gy_chat_publish(struct gy_chat_hub *hub, struct gy_chat_room *room,
                     struct gy_chat_past *const *past, uint32_t count)
{
    gy_assert(count > 0 && past[0]->id == room->last + 1);
    gy_assert(past[count - 1]->id == room->last + count);
    for (uint32_t i = 0; i < count; i++) {
        gy_chat_history_add(hub, room, past[i]);
        if (past[i]->kind == GY_CHAT_DELETED) {
            gy_chat_history_blank(hub, room, past[i]->target);
        }
    }
    if (room->owned != NULL) {
        pass_on(hub, room, past, count);
    }
    if (room->count > 0) {
        mark_senders(hub, past, count);
    }
    for (uint32_t i = 0; i < count && room->count > 0;) {
        struct piece piece;
        if (encode(hub, room, &piece, past + i, count - i) != 0) {
            hub->counters.starved++;
            all_fall_behind(hub, room, past[i]->id);
            break;
        }
        deliver(hub, room, &piece);
        gy_slice_drop(piece.frames);
        if (room->of_book > 0) {
            gy_slice_drop(piece.book);
        }
        i += piece.count;
    }
    room->last = past[count - 1]->id;
}

/* ---- what another worker's room says ---- */

static void catch_up(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    if (room->reading || room->last >= room->target) {
        return;
    }
    struct gy_chat_job *job = gy_chat_hub_job(hub, GY_CHAT_JOB_READ, TASK_CATCH);
    if (job == NULL) {
        return; /* the next that is said comes here again */
    }
    ((struct gy_chat_task *)job->owner)->room = room->number;
    job->room = room->number;
    job->by = GY_CHAT_AFTER_ID;
    job->point = room->last;
    job->entries_max = CATCH_MAX;
    room->reading = true;
    hub->counters.reads_store++;
    gy_chat_hub_submit(hub, job);
}

void gy_chat_said_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room == NULL || room->owned != NULL || note->id <= room->last) {
        return;
    }
    room->target = note->id > room->target ? note->id : room->target;
    struct gy_chat_past **past = NULL;
    size_t bytes = note->count * sizeof(struct gy_chat_past *);
    if (!room->reading && note->first <= room->last + 1) {
        past = gy_chat_hub_memory(hub, bytes);
    }
    if (past == NULL) {
        catch_up(hub, room);
        return;
    }
    uint32_t fresh = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < note->count; i++) {
        union {
            const char *in;
            struct gy_chat_past *out;
        } cast = {.in = note->text.bytes + at};
        at += past_bytes(cast.out);
        if (cast.out->id > room->last) {
            past[fresh++] = cast.out;
        }
    }
    gy_assert(at == note->text.length);
    gy_chat_publish(hub, room, past, fresh);
    gy_chat_hub_return(hub, past, bytes);
}

void gy_chat_behind_take(struct gy_chat_hub *hub, const struct gy_chat_note *note)
{
    struct gy_chat_room *room = gy_chat_room_numbered(hub, note->room);
    if (room != NULL && room->owned == NULL && note->id > room->target) {
        room->target = note->id;
    }
    if (room != NULL && room->owned == NULL) {
        catch_up(hub, room);
    }
}

static struct gy_chat_past *past_of_entry(struct gy_chat_hub *hub, struct gy_chat_job *job,
                                          const struct gy_chat_entry *entry)
{
    struct gy_chat_past *past =
        hub->ops.job_take(job, sizeof *past + entry->from.length + entry->contents.length);
    if (past == NULL) {
        return NULL;
    }
    *past = (struct gy_chat_past){.id = entry->id,
                                  .time_ms = entry->time_ms,
                                  .target = entry->target,
                                  .user = entry->user,
                                  .worker = UINT32_MAX,
                                  .kind = entry->kind,
                                  .from_bytes = (uint8_t)entry->from.length,
                                  .contents_bytes = (uint16_t)entry->contents.length};
    memcpy((char *)(past + 1), entry->from.bytes, entry->from.length);
    memcpy((char *)(past + 1) + entry->from.length, entry->contents.bytes, entry->contents.length);
    return past;
}

/* Goes on after what nobody has any more: members hear of it by a GAP. */
static void skip_to(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t id)
{
    all_fall_behind(hub, room, room->last + 1);
    gy_chat_history_clear(hub, room);
    room->last = id - 1;
}

void gy_chat_caught(struct gy_chat_hub *hub, struct gy_chat_job *job)
{
    struct gy_chat_room *room =
        gy_chat_room_numbered(hub, ((struct gy_chat_task *)job->owner)->room);
    if (room == NULL || room->owned != NULL || !room->reading || job->point != room->last) {
        return;
    }
    room->reading = false;
    if (job->result != 0) {
        return; /* the next that is said comes here again */
    }
    struct gy_chat_past **past = hub->ops.job_take(job, (job->entry_count + 1ul) * sizeof *past);
    uint32_t count = 0;
    for (uint32_t i = 0; past != NULL && i < job->entry_count; i++) {
        past[count] = past_of_entry(hub, job, &job->entries[i]);
        if (past[count] == NULL || (count > 0 && past[count]->id != past[count - 1]->id + 1)) {
            break; /* what is behind it is read again */
        }
        count++;
    }
    if (count > 0) {
        if (past[0]->id != room->last + 1) {
            skip_to(hub, room, past[0]->id);
        }
        gy_chat_publish(hub, room, past, count);
    } else if (job->entry_count == 0) {
        skip_to(hub, room, room->target + 1);
    }
    catch_up(hub, room);
}

/* ---- notices ---- */

static bool wants(const struct gy_chat_member *member, uint32_t class)
{
    static const uint32_t features[NOTICE_CLASSES] = {0, GY_CHAT_FEATURE_TYPING,
                                                      GY_CHAT_FEATURE_PRESENCE};
    return member->encoding != GY_CHAT_OVER_BOOK && !member->ended &&
           (member->features & features[class]) == features[class];
}

static void notices_deliver(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t class)
{
    const struct gy_chat_notices *notices = &room->notices[class];
    uint8_t *out = gy_bump_reserve(hub->bump, WS_HEAD + notices->bytes);
    if (out == NULL) {
        hub->counters.quiet++;
        return;
    }
    memcpy(out + WS_HEAD, notices->frames, notices->bytes);
    uint32_t head = put_head(out + WS_HEAD, notices->bytes);
    struct gy_slice slice = gy_bump_slice(hub->bump, WS_HEAD + notices->bytes);
    slice.offset += WS_HEAD;
    slice.length -= WS_HEAD;
    for (uint32_t i = 0; i < room->count; i++) {
        struct gy_chat_member *member = room->list[i]->member;
        if (!wants(member, class) || member->out->length > hub->config.mark_bytes) {
            continue;
        }
        struct gy_slice mine = slice;
        if (member->encoding == GY_CHAT_OVER_WEBSOCKET) {
            mine.offset -= head;
            mine.length += head;
        }
        if (add(hub, member, mine)) {
            hub->counters.notices++;
            hub->ops.output(hub->context, member);
        }
    }
    gy_slice_drop(slice);
}

void gy_chat_notices_flush(struct gy_chat_hub *hub, struct gy_chat_room *room)
{
    for (uint32_t class = 0; class < NOTICE_CLASSES; class ++) {
        struct gy_chat_notices *notices = &room->notices[class];
        if (notices->bytes == 0) {
            continue;
        }
        const struct gy_chat_note note = {
            .type = NOTE_NOTICES,
            .what = (uint8_t) class,
            .room = room->number,
            .text = {(const char *)notices->frames, notices->bytes},
        };
        for (uint32_t i = 0; room->owned != NULL && i < hub->config.workers; i++) {
            if (room->owned->peers[i].subscribed && gy_chat_note_send(hub, i, &note) != 0) {
                hub->counters.quiet++;
            }
        }
        notices_deliver(hub, room, class);
        notices->bytes = 0;
        gy_chat_hub_return(hub, notices->frames, NOTICE_BYTES);
        notices->frames = NULL;
    }
}
