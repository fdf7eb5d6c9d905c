/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The outbox: what was said, encoded, one behind the other in the caller's memory, until it is
 * acknowledged or refused. Its room and its tag are written when it is sent.
 */

#include "protocols/chat/client_internal.h"

enum item_state {
    ITEM_QUEUED,
    ITEM_SENT,
    ITEM_DONE,
};

struct item {
    uint64_t client_id;
    uint32_t bytes; /* of the frame behind this */
    uint32_t place; /* of its room, or GY_CHAT_CLIENT_NO_ROOM */
    uint16_t tag;
    uint8_t state;
    bool was_sent; /* on some connection */
    uint8_t frame[];
};

#define ROUND(bytes) (((uint32_t)(bytes) + 7) & ~7u)

static struct item *item_at(const struct gy_chat_client *client, uint32_t at)
{
    return (struct item *)(void *)((uint8_t *)client->options.outbox + at);
}

static uint32_t item_bytes(const struct item *item)
{
    return ROUND(sizeof *item + item->bytes);
}

/* The items in order: for (at = head; at < end; at = next(at)). */
static uint32_t next_of(const struct gy_chat_client *client, uint32_t at)
{
    return at + item_bytes(item_at(client, at));
}

/* Gives back the room of those at the front that are done. */
static void trim(struct gy_chat_client *client)
{
    while (client->box_head < client->box_end &&
           item_at(client, client->box_head)->state == ITEM_DONE) {
        client->box_head = next_of(client, client->box_head);
    }
    if (client->box_head == client->box_end) {
        client->box_head = 0;
        client->box_end = 0;
    }
}

/* Moves what is left to the memory's start. */
static void compact(struct gy_chat_client *client)
{
    uint8_t *box = client->options.outbox;
    uint32_t to = 0;
    for (uint32_t at = client->box_head; at < client->box_end;) {
        const struct item *item = item_at(client, at);
        uint32_t bytes = item_bytes(item);
        if (item->state != ITEM_DONE) {
            memmove(box + to, box + at, bytes);
            to += bytes;
        }
        at += bytes;
    }
    client->box_head = 0;
    client->box_end = to;
}

static struct item *item_make(struct gy_chat_client *client, uint32_t bytes)
{
    uint32_t room = ROUND(sizeof(struct item) + bytes);
    if (room > client->options.outbox_bytes) {
        return NULL;
    }
    if (client->options.outbox_bytes - client->box_end < room) {
        compact(client);
        if (client->options.outbox_bytes - client->box_end < room) {
            return NULL;
        }
    }
    struct item *item = item_at(client, client->box_end);
    client->box_end += room;
    return item;
}

static void finish(struct gy_chat_client *client, struct item *item)
{
    gy_assert(item->state != ITEM_DONE);
    if (item->state == ITEM_SENT) {
        gy_assert(client->in_flight > 0);
        client->in_flight--;
    }
    item->state = ITEM_DONE;
    trim(client);
}

/* That of this connection which has the tag. */
static struct item *item_by_tag(const struct gy_chat_client *client, uint16_t tag)
{
    for (uint32_t at = client->box_head; at < client->box_end; at = next_of(client, at)) {
        struct item *item = item_at(client, at);
        if (item->state == ITEM_SENT && item->tag == tag) {
            return item;
        }
    }
    return NULL;
}

/* ---- putting ---- */

/* The frame with its client_id; false: its type is none that is acknowledged, or a text too long.
 */
static bool complete(struct gy_chat_frame *frame, uint64_t client_id)
{
    union gy_chat_body *body = &frame->body;
    frame->flags = 0;
    frame->tag = 0;
    switch (frame->type) {
    case GY_CHAT_SEND:
        body->send.client_id = client_id;
        return body->send.contents.length <= GY_CHAT_CONTENTS_MAX;
    case GY_CHAT_TELL:
        body->tell.client_id = client_id;
        return body->tell.contents.length <= GY_CHAT_CONTENTS_MAX && body->tell.nick.length <= 255;
    case GY_CHAT_EDIT:
        body->edit.client_id = client_id;
        return body->edit.contents.length <= GY_CHAT_CONTENTS_MAX;
    case GY_CHAT_DELETE:
        body->deletion.client_id = client_id;
        return true;
    case GY_CHAT_TOPIC:
        body->topic.client_id = client_id;
        return body->topic.topic.length <= GY_CHAT_TOPIC_MAX;
    case GY_CHAT_MODERATE:
        body->moderate.client_id = client_id;
        return body->moderate.nick.length <= 255 && body->moderate.reason.length <= 255;
    default:
        return false;
    }
}

int gy_chat_client_put(struct gy_chat_client *client, uint32_t room,
                       const struct gy_chat_frame *frame, uint64_t *client_id)
{
    struct gy_chat_frame copy = *frame;
    bool to_room = frame->type != GY_CHAT_TELL;
    if (!complete(&copy, client->next_client_id)) {
        return GY_EINVAL;
    }
    if (to_room &&
        (room >= client->options.rooms_max || client->options.rooms[room].name_bytes == 0 ||
         client->options.rooms[room].state == ROOM_REFUSED)) {
        return GY_ENOTFOUND;
    }
    uint32_t bytes = gy_chat_encoded_bytes(&copy);
    struct item *item = item_make(client, bytes);
    if (item == NULL) {
        return GY_ENOBUFS;
    }
    *item = (struct item){
        .client_id = client->next_client_id,
        .bytes = bytes,
        .place = to_room ? room : GY_CHAT_CLIENT_NO_ROOM,
        .state = ITEM_QUEUED,
    };
    gy_chat_encode(&copy, item->frame);
    *client_id = client->next_client_id;
    client->next_client_id++;
    if (client->next_client_id == 0) {
        client->next_client_id = 1; /* 0 is never compared */
    }
    return 0;
}

int gy_chat_client_say(struct gy_chat_client *client, uint32_t room, struct gy_chat_text contents,
                       uint64_t *client_id)
{
    const struct gy_chat_frame frame = {.type = GY_CHAT_SEND, .body.send.contents = contents};
    return gy_chat_client_put(client, room, &frame, client_id);
}

int gy_chat_client_tell(struct gy_chat_client *client, struct gy_chat_text nick,
                        struct gy_chat_text contents, uint64_t *client_id)
{
    const struct gy_chat_frame frame = {.type = GY_CHAT_TELL,
                                        .body.tell = {.nick = nick, .contents = contents}};
    return gy_chat_client_put(client, GY_CHAT_CLIENT_NO_ROOM, &frame, client_id);
}

uint32_t gy_chat_client_waiting(const struct gy_chat_client *client)
{
    uint32_t count = 0;
    for (uint32_t at = client->box_head; at < client->box_end; at = next_of(client, at)) {
        count += item_at(client, at)->state != ITEM_DONE;
    }
    return count;
}

/* ---- sending ---- */

static int send_item(struct gy_chat_client *client, struct item *item)
{
    struct gy_bump *bump = client->env->bump;
    uint8_t *room = gy_bump_reserve(bump, item->bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint16_t tag = gy_chat_client_next_tag(client);
    memcpy(room, item->frame, item->bytes);
    room[6] = (uint8_t)(tag >> 8);
    room[7] = (uint8_t)tag;
    if (item->place != GY_CHAT_CLIENT_NO_ROOM) {
        /* The first field of all that are to a room. */
        uint32_t number = client->options.rooms[item->place].number;
        room[8] = (uint8_t)(number >> 24);
        room[9] = (uint8_t)(number >> 16);
        room[10] = (uint8_t)(number >> 8);
        room[11] = (uint8_t)number;
    }
    if (gy_bump_commit(bump, client->out, item->bytes) != 0) {
        return GY_ENOBUFS;
    }
    client->counters.sent++;
    client->counters.sent_again += item->was_sent;
    client->in_flight++;
    item->tag = tag;
    item->state = ITEM_SENT;
    item->was_sent = true;
    return 0;
}

void gy_chat_client_write_outbox(struct gy_chat_client *client, uint64_t now_ns)
{
    if (client->state != CLIENT_IN || client->paused_ns > now_ns) {
        return;
    }
    client->paused_ns = 0;
    for (uint32_t at = client->box_head;
         at < client->box_end && client->in_flight < client->options.window;
         at = next_of(client, at)) {
        struct item *item = item_at(client, at);
        bool may = item->place == GY_CHAT_CLIENT_NO_ROOM ||
                   client->options.rooms[item->place].state == ROOM_LIVE;
        if (item->state == ITEM_QUEUED && may && send_item(client, item) != 0) {
            return; /* without memory: with the next call */
        }
    }
}

/* ---- answers ---- */

int gy_chat_client_box_acked(struct gy_chat_client *client, uint64_t now_ns,
                             struct gy_chat_client_event *event)
{
    struct item *item = item_by_tag(client, event->frame.tag);
    if (item == NULL || item->client_id != event->frame.body.ack.client_id) {
        return 0;
    }
    event->type = GY_CHAT_CLIENT_ACKED;
    event->client_id = item->client_id;
    event->room = item->place;
    if (item->place != GY_CHAT_CLIENT_NO_ROOM && event->frame.body.ack.id != 0) {
        gy_chat_client_saw(&client->options.rooms[item->place], event->frame.body.ack.id, now_ns);
    }
    client->counters.acked++;
    finish(client, item);
    return 1;
}

int gy_chat_client_box_error(struct gy_chat_client *client, uint64_t now_ns,
                             struct gy_chat_client_event *event)
{
    struct item *item = item_by_tag(client, event->frame.tag);
    if (item == NULL) {
        return 0;
    }
    event->client_id = item->client_id;
    event->room = item->place;
    if (event->code == GY_CHAT_TOO_FAST || event->code == GY_CHAT_BUSY) {
        uint64_t wait_ms = event->retry_ms > 0 ? event->retry_ms : 1000;
        uint64_t until = now_ns + wait_ms * NS_PER_MS;
        client->paused_ns = client->paused_ns > until ? client->paused_ns : until;
        item->state = ITEM_QUEUED;
        client->in_flight--;
        client->counters.delayed++;
        event->type = GY_CHAT_CLIENT_DELAYED;
        return 1;
    }
    event->type = GY_CHAT_CLIENT_REFUSED;
    client->counters.refused++;
    finish(client, item);
    return 1;
}

int gy_chat_client_box_sweep(struct gy_chat_client *client, struct gy_chat_client_event *event)
{
    for (uint32_t at = client->box_head; at < client->box_end; at = next_of(client, at)) {
        struct item *item = item_at(client, at);
        if (item->state == ITEM_QUEUED && item->place != GY_CHAT_CLIENT_NO_ROOM &&
            client->options.rooms[item->place].state == ROOM_REFUSED) {
            *event = (struct gy_chat_client_event){
                .type = GY_CHAT_CLIENT_REFUSED,
                .client_id = item->client_id,
                .room = item->place,
                .code = GY_CHAT_FORBIDDEN,
                .text = gy_chat_text_of("the room is not joined"),
            };
            client->counters.refused++;
            finish(client, item);
            return 1;
        }
    }
    client->sweeps = 0;
    return 0;
}

void gy_chat_client_box_forget(struct gy_chat_client *client, uint32_t place)
{
    for (uint32_t at = client->box_head; at < client->box_end; at = next_of(client, at)) {
        struct item *item = item_at(client, at);
        if (item->place == place && item->state != ITEM_DONE) {
            client->in_flight -= item->state == ITEM_SENT;
            item->state = ITEM_DONE;
        }
    }
    trim(client);
}

void gy_chat_client_box_lost(struct gy_chat_client *client)
{
    for (uint32_t at = client->box_head; at < client->box_end; at = next_of(client, at)) {
        struct item *item = item_at(client, at);
        if (item->state == ITEM_SENT) {
            item->state = ITEM_QUEUED;
        }
    }
    client->in_flight = 0;
    client->paused_ns = 0;
    client->sweeps = 1; /* what was under way to a room that is joined no more */
}

uint64_t gy_chat_client_box_deadline(const struct gy_chat_client *client)
{
    return client->state == CLIENT_IN && client->paused_ns != 0 ? client->paused_ns
                                                                : GY_CHAT_CLIENT_NO_DEADLINE;
}
