/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Rooms of a client: joining them, again and again, and which ids were seen.
 *
 * `seen` is the highest id that was accounted for; below it all were but those in `holes`. Ids come
 * in order, but for one's own: their ACK may come before or behind the messages around it.
 */

#include "protocols/chat/client_internal.h"

/* ---- ids ---- */

static void hole_drop(struct gy_chat_client_room *room, uint32_t which)
{
    gy_assert(which < room->hole_count);
    room->hole_count--;
    memmove(&room->holes[which], &room->holes[which + 1],
            (room->hole_count - which) * sizeof room->holes[0]);
}

/* Takes [first, last] out of the holes. Returns whether any of it was in one. */
static bool fill(struct gy_chat_client_room *room, uint64_t first, uint64_t last)
{
    bool any = false;
    for (uint32_t i = 0; i < room->hole_count;) {
        struct gy_chat_range hole = room->holes[i];
        if (last < hole.first || first > hole.last) {
            i++;
            continue;
        }
        any = true;
        bool before = first > hole.first;
        bool behind = last < hole.last;
        if (before && behind && room->hole_count < GY_CHAT_CLIENT_HOLES) {
            memmove(&room->holes[i + 1], &room->holes[i],
                    (room->hole_count - i) * sizeof room->holes[0]);
            room->hole_count++;
            room->holes[i].last = first - 1;
            room->holes[i + 1].first = last + 1;
            i += 2;
        } else if (before && behind) {
            /* No place to split it. It stays whole, so that what is missing is reported, and
             * what was seen as missing too; it takes nine holes at once. */
            i++;
        } else if (before) {
            room->holes[i].last = first - 1;
            i++;
        } else if (behind) {
            room->holes[i].first = last + 1;
            i++;
        } else {
            hole_drop(room, i);
        }
    }
    return any;
}

/* All up to `id` were sent, and have not come. */
static void miss(struct gy_chat_client_room *room, uint64_t id, uint64_t now_ns)
{
    if (id <= room->seen) {
        return;
    }
    if (room->hole_count == 0) {
        room->hole_ns = now_ns;
    }
    if (room->hole_count == GY_CHAT_CLIENT_HOLES) {
        room->holes[GY_CHAT_CLIENT_HOLES - 1].last = id; /* with what lies between */
    } else {
        room->holes[room->hole_count++] = (struct gy_chat_range){room->seen + 1, id};
    }
    room->seen = id;
}

bool gy_chat_client_saw(struct gy_chat_client_room *room, uint64_t id, uint64_t now_ns)
{
    if (room->seen == GY_CHAT_NONE) {
        room->seen = id;
        return true;
    }
    if (id > room->seen) {
        miss(room, id - 1, now_ns);
        room->seen = id;
        return true;
    }
    return fill(room, id, id);
}

/* What the server is to go on behind. */
static uint64_t since(const struct gy_chat_client_room *room)
{
    return room->hole_count > 0 ? room->holes[0].first - 1 : room->seen;
}

uint64_t gy_chat_client_hole_deadline(const struct gy_chat_client *client)
{
    uint64_t deadline = GY_CHAT_CLIENT_NO_DEADLINE;
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        const struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->state == ROOM_LIVE && room->hole_count > 0) {
            uint64_t due = room->hole_ns + client->options.hole_ms * NS_PER_MS;
            deadline = due < deadline ? due : deadline;
        }
    }
    return deadline;
}

int gy_chat_client_report_hole(struct gy_chat_client *client, uint64_t now_ns,
                               struct gy_chat_client_event *event)
{
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->state == ROOM_LIVE && room->hole_count > 0 &&
            now_ns >= room->hole_ns + client->options.hole_ms * NS_PER_MS) {
            *event = (struct gy_chat_client_event){
                .type = GY_CHAT_CLIENT_GAP,
                .room = i,
                .first = room->holes[0].first,
                .last = room->holes[0].last,
            };
            hole_drop(room, 0);
            room->hole_ns = now_ns; /* the next one has its time, too */
            client->counters.gaps++;
            return 1;
        }
    }
    return 0;
}

/* ---- places ---- */

uint32_t gy_chat_client_room_by_number(const struct gy_chat_client *client, uint32_t number)
{
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        const struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->number == number &&
            (room->state == ROOM_FILLING || room->state == ROOM_LIVE)) {
            return i;
        }
    }
    return GY_CHAT_CLIENT_NO_ROOM;
}

uint32_t gy_chat_client_room_by_tag(const struct gy_chat_client *client, uint16_t tag)
{
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        const struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->tag == tag &&
            (room->state == ROOM_ASKED || room->state == ROOM_FILLING)) {
            return i;
        }
    }
    return GY_CHAT_CLIENT_NO_ROOM;
}

int gy_chat_client_join(struct gy_chat_client *client, struct gy_chat_text name,
                        enum gy_chat_policy policy, uint64_t since_id, uint16_t history)
{
    uint32_t place = GY_CHAT_CLIENT_NO_ROOM;
    if (name.length == 0 || name.length > GY_CHAT_ROOM_MAX) {
        return GY_EINVAL;
    }
    for (uint32_t i = client->options.rooms_max; i-- > 0;) {
        struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes == 0) {
            place = i;
        } else if (room->name_bytes == name.length &&
                   memcmp(room->name, name.bytes, name.length) == 0) {
            if (room->state == ROOM_REFUSED) {
                room->state = ROOM_WANTED; /* asked for once more */
            }
            return (int)i;
        }
    }
    if (place == GY_CHAT_CLIENT_NO_ROOM) {
        return GY_ELIMIT;
    }
    struct gy_chat_client_room *room = &client->options.rooms[place];
    *room = (struct gy_chat_client_room){
        .name_bytes = (uint8_t)name.length,
        .state = ROOM_WANTED,
        .policy = (uint8_t)policy,
        .seen = since_id,
        .history = history,
    };
    memcpy(room->name, name.bytes, name.length);
    return (int)place;
}

int gy_chat_client_leave(struct gy_chat_client *client, uint32_t place)
{
    if (place >= client->options.rooms_max || client->options.rooms[place].name_bytes == 0) {
        return GY_ENOTFOUND;
    }
    struct gy_chat_client_room *room = &client->options.rooms[place];
    if (client->state == CLIENT_IN && (room->state == ROOM_FILLING || room->state == ROOM_LIVE)) {
        const struct gy_chat_frame frame = {.type = GY_CHAT_LEAVE,
                                            .tag = gy_chat_client_next_tag(client),
                                            .body.leave.room = room->number};
        if (gy_chat_client_write(client, &frame) != 0) {
            return GY_ENOBUFS;
        }
    }
    gy_chat_client_box_forget(client, place);
    room->name_bytes = 0;
    return 0;
}

uint32_t gy_chat_client_number(const struct gy_chat_client *client, uint32_t place)
{
    if (place >= client->options.rooms_max || client->options.rooms[place].name_bytes == 0) {
        return 0;
    }
    const struct gy_chat_client_room *room = &client->options.rooms[place];
    return room->state == ROOM_FILLING || room->state == ROOM_LIVE ? room->number : 0;
}

void gy_chat_client_refuse_room(struct gy_chat_client *client, uint32_t place)
{
    client->options.rooms[place].state = ROOM_REFUSED;
    client->sweeps = 1;
}

void gy_chat_client_rooms_lost(struct gy_chat_client *client)
{
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes > 0 && room->state != ROOM_REFUSED) {
            room->state = ROOM_WANTED;
            room->again_ns = 0;
        }
    }
}

/* ---- joining ---- */

void gy_chat_client_write_joins(struct gy_chat_client *client, uint64_t now_ns)
{
    for (uint32_t i = 0; i < client->options.rooms_max; i++) {
        struct gy_chat_client_room *room = &client->options.rooms[i];
        if (room->name_bytes == 0 || room->state != ROOM_WANTED || room->again_ns > now_ns) {
            continue;
        }
        const struct gy_chat_frame frame = {
            .type = GY_CHAT_JOIN,
            .tag = gy_chat_client_next_tag(client),
            .body.join = {.room = {room->name, room->name_bytes},
                          .policy = room->policy,
                          .since = since(room),
                          .history = room->history},
        };
        if (gy_chat_client_write(client, &frame) != 0) {
            room->again_ns = now_ns + 100 * NS_PER_MS; /* no memory */
            return;
        }
        room->from_nothing = frame.body.join.since == GY_CHAT_NONE;
        room->tag = frame.tag;
        room->state = ROOM_ASKED;
        room->again_ns = 0;
    }
}

int gy_chat_client_room_joined(struct gy_chat_client *client, uint32_t place,
                               struct gy_chat_client_event *event)
{
    struct gy_chat_client_room *room = &client->options.rooms[place];
    uint64_t first = event->frame.body.joined.first;
    uint64_t last = event->frame.body.joined.last;
    bool anew = room->seen != GY_CHAT_NONE && last < room->seen;
    room->number = event->frame.body.joined.room;
    room->role = event->frame.body.joined.role;
    room->join_last = last;
    room->state = ROOM_FILLING;
    if (room->from_nothing) {
        /* History comes from here on; what is missing of it is not missed. */
        uint64_t from = last > room->history ? last - room->history : 0;
        room->seen = last > 0 && first > 0 && first - 1 > from ? first - 1 : from;
    } else if (anew) {
        room->seen = last;
        room->hole_count = 0;
    }
    event->type = anew ? GY_CHAT_CLIENT_RESET : GY_CHAT_CLIENT_JOINED;
    event->room = place;
    return 1;
}

int gy_chat_client_room_end(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                            struct gy_chat_client_event *event)
{
    struct gy_chat_client_room *room = &client->options.rooms[place];
    miss(room, room->join_last, now_ns);
    if (room->from_nothing) {
        fill(room, 1, room->join_last);
    }
    room->state = ROOM_LIVE;
    event->type = GY_CHAT_CLIENT_CAUGHT_UP;
    event->room = place;
    return 1;
}

int gy_chat_client_room_message(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                                struct gy_chat_client_event *event)
{
    struct gy_chat_client_room *room = &client->options.rooms[place];
    if (!gy_chat_client_saw(room, event->frame.body.message.id, now_ns)) {
        client->counters.duplicates++;
        return 0;
    }
    client->counters.messages++;
    event->type = GY_CHAT_CLIENT_MESSAGE;
    event->room = place;
    return 1;
}

int gy_chat_client_room_gap(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                            struct gy_chat_client_event *event)
{
    struct gy_chat_client_room *room = &client->options.rooms[place];
    uint64_t first = event->frame.body.gap.first;
    uint64_t last = event->frame.body.gap.last;
    if (first == 0 || first > last || last == GY_CHAT_NONE) {
        return 0;
    }
    /* What was seen of it is not missing. */
    bool missing = fill(room, first, last);
    if (room->seen == GY_CHAT_NONE || last > room->seen) {
        if (room->seen != GY_CHAT_NONE) {
            miss(room, first - 1, now_ns);
        }
        room->seen = last;
        missing = true;
    }
    if (!missing) {
        return 0;
    }
    client->counters.gaps++;
    event->type = GY_CHAT_CLIENT_GAP;
    event->room = place;
    event->first = first;
    event->last = last;
    event->why = event->frame.body.gap.why;
    return 1;
}
