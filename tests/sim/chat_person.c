/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/sim/chat_person.h"

#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 700

/* ---- what is said ---- */

/* The same client id has the same text, on whatever connection it is sent. */
static uint32_t text_of(const struct person *person, uint64_t client_id, char *text)
{
    uint32_t bytes =
        (uint32_t)snprintf(text, 64, "%s says %llu", person->nick, (unsigned long long)client_id);
    uint32_t whole = bytes + (uint32_t)(client_id * 2654435761u >> 7) % 600;
    memset(text + bytes, '.', whole - bytes);
    return whole;
}

static bool is_mine(const struct person *person, struct gy_chat_text from)
{
    return from.length == strlen(person->nick) &&
           memcmp(from.bytes, person->nick, from.length) == 0;
}

static const struct gy_chat_entry *stored(struct life *life, uint32_t room, uint64_t id)
{
    const struct world_room *at = world_room_named(&life->world, life_rooms[room]);
    return at != NULL && id > 0 && id <= at->count ? &at->entries[id - 1].entry : NULL;
}

/* ---- what is known ---- */

static bool knows(const struct reading *reading, uint64_t id)
{
    return id <= reading->upto || (reading->ahead[id % AHEAD / 8] >> (id % 8) & 1) != 0;
}

static void learn(struct life *life, struct reading *reading, uint64_t id)
{
    if (id <= reading->upto) {
        return;
    }
    if (id - reading->upto >= AHEAD) {
        life_broke(life, "id %llu is known, and %llu is the last without a hole",
                   (unsigned long long)id, (unsigned long long)reading->upto);
        return;
    }
    reading->ahead[id % AHEAD / 8] |= (uint8_t)(1u << id % 8);
    while (knows(reading, reading->upto + 1)) {
        reading->upto++;
        reading->ahead[reading->upto % AHEAD / 8] &= (uint8_t) ~(1u << reading->upto % 8);
    }
}

static int room_numbered(const struct person *person, uint32_t number)
{
    for (int i = 0; i < ROOMS; i++) {
        if (person->readings[i].joined && person->readings[i].number == number) {
            return i;
        }
    }
    return -1;
}

static void read_message(struct life *life, struct person *person,
                         const struct gy_chat_frame *frame)
{
    int room = room_numbered(person, frame->body.message.room);
    uint64_t id = frame->body.message.id;
    if (room < 0) {
        life_broke(life, "%s got a message of a room that it is not in", person->nick);
        return;
    }
    struct reading *reading = &person->readings[room];
    const struct gy_chat_entry *entry = stored(life, (uint32_t)room, id);
    if (entry == NULL || !gy_chat_text_equal(entry->contents, frame->body.message.contents) ||
        !gy_chat_text_equal(entry->from, frame->body.message.from)) {
        life_broke(life, "%s got message %llu of %s, which is not what was stored", person->nick,
                   (unsigned long long)id, life_rooms[room]);
        return;
    }
    if (id <= reading->delivered || id <= reading->since) {
        life_broke(life, "%s got message %llu of %s after %llu", person->nick,
                   (unsigned long long)id, life_rooms[room],
                   (unsigned long long)reading->delivered);
        return;
    }
    if (knows(reading, id) && !is_mine(person, frame->body.message.from)) {
        life_broke(life, "%s got message %llu of %s twice", person->nick, (unsigned long long)id,
                   life_rooms[room]);
        return;
    }
    uint64_t before = reading->delivered > reading->since ? reading->delivered : reading->since;
    for (uint64_t missing = before + 1; missing < id; missing++) {
        if (!knows(reading, missing)) {
            life_broke(life, "%s got message %llu of %s, and %llu is missing", person->nick,
                       (unsigned long long)id, life_rooms[room], (unsigned long long)missing);
            return;
        }
    }
    reading->delivered = id;
    learn(life, reading, id);
    life->result->delivered++;
}

static void read_gap(struct life *life, struct person *person, const struct gy_chat_frame *frame)
{
    int room = room_numbered(person, frame->body.gap.room);
    uint64_t last = frame->body.gap.last;
    if (room < 0 || frame->body.gap.first > last) {
        life_broke(life, "%s got a gap that is none", person->nick);
        return;
    }
    const struct world_room *at = world_room_named(&life->world, life_rooms[room]);
    if (frame->body.gap.why == GY_CHAT_GAP_RETENTION && last >= at->first) {
        life_broke(life, "%s was told that %llu is gone, and it is there", person->nick,
                   (unsigned long long)last);
    }
    if (frame->body.gap.why == GY_CHAT_GAP_SLOW && person->policy == GY_CHAT_SPILL) {
        life_broke(life, "%s was to miss nothing", person->nick);
    }
    for (uint64_t id = frame->body.gap.first; id <= last; id++) {
        learn(life, &person->readings[room], id);
    }
    life->result->gaps++;
}

static struct unsent *outbox_of(struct person *person, uint64_t client_id)
{
    for (uint32_t i = 0; i < OUTBOX; i++) {
        if (person->outbox[i].used && person->outbox[i].client_id == client_id) {
            return &person->outbox[i];
        }
    }
    return NULL;
}

static void read_ack(struct life *life, struct person *person, const struct gy_chat_frame *frame)
{
    uint64_t id = frame->body.ack.id;
    int room = room_numbered(person, frame->body.ack.room);
    struct unsent *unsent = outbox_of(person, frame->body.ack.client_id);
    if (room < 0 || unsent == NULL || unsent->room != (uint32_t)room) {
        life_broke(life, "%s got an ACK of %llu, which it does not wait for", person->nick,
                   (unsigned long long)frame->body.ack.client_id);
        return;
    }
    char text[TEXT_BYTES];
    struct gy_chat_text mine = {text, text_of(person, unsent->client_id, text)};
    const struct gy_chat_entry *entry = stored(life, (uint32_t)room, id);
    if (entry == NULL || !gy_chat_text_equal(entry->contents, mine)) {
        life_broke(life, "%s's message %llu was acknowledged as %llu of %s, and is not there",
                   person->nick, (unsigned long long)unsent->client_id, (unsigned long long)id,
                   life_rooms[room]);
        return;
    }
    unsent->used = false;
    learn(life, &person->readings[room], id);
    life->result->acknowledged++;
}

/* ---- requests ---- */

/* False: it was not taken, and is asked again later. */
static bool ask(struct life *life, struct person *person, const struct gy_chat_frame *frame)
{
    if (gy_chat_hub_request(&person->conn.member, frame) == 0) {
        return true;
    }
    life->result->refusals++;
    return false;
}

static void join(struct life *life, struct person *person, uint32_t room)
{
    struct reading *reading = &person->readings[room];
    struct gy_chat_frame frame = {.type = GY_CHAT_JOIN,
                                  .tag = (uint16_t)(10 + room),
                                  .body.join = {.room = gy_chat_text_of(life_rooms[room]),
                                                .policy = person->policy,
                                                .since = reading->upto}};
    reading->since = reading->upto;
    reading->delivered = 0;
    life->result->resumed += reading->upto > 0;
    reading->asked = ask(life, person, &frame);
}

static void send(struct life *life, struct person *person, struct unsent *unsent)
{
    char text[TEXT_BYTES];
    struct gy_chat_frame frame = {
        .type = GY_CHAT_SEND,
        .tag = (uint16_t)(100 + (unsent - person->outbox)),
        .body.send = {.room = person->readings[unsent->room].number,
                      .client_id = unsent->client_id,
                      .contents = {text, text_of(person, unsent->client_id, text)}}};
    unsent->sent = ask(life, person, &frame);
}

void person_go_on(struct life *life, struct person *person)
{
    if (person->state != PRESENT || person->again_ms > life->world.now_ms) {
        return;
    }
    for (uint32_t i = 0; i < ROOMS; i++) {
        if (person->readings[i].wanted && !person->readings[i].asked) {
            join(life, person, i);
        }
    }
    for (uint32_t i = 0; i < OUTBOX; i++) {
        struct unsent *unsent = &person->outbox[i];
        if (unsent->used && !unsent->sent && person->readings[unsent->room].joined) {
            send(life, person, unsent);
        }
    }
}

void person_hang_up(struct life *life, struct person *person, uint64_t away_ms)
{
    if (person->open) {
        conn_close(&person->conn);
    }
    person->open = false;
    person->state = OFFLINE;
    person->back_ms = life->world.now_ms + away_ms;
    person->unstall_ms = 0;
    for (uint32_t i = 0; i < ROOMS; i++) {
        person->readings[i].asked = false;
        person->readings[i].joined = false;
    }
    for (uint32_t i = 0; i < OUTBOX; i++) {
        person->outbox[i].sent = false;
    }
}

void person_come_back(struct life *life, struct person *person)
{
    uint32_t worker = (uint32_t)life_below(life, life->world.workers);
    enum gy_chat_encoding encoding =
        life_below(life, 3) == 0 ? GY_CHAT_OVER_WEBSOCKET : GY_CHAT_OVER_STREAM;
    conn_open(&life->world, &person->conn, worker, encoding);
    person->open = true;
    person->state = ENTERING;
    struct gy_chat_frame frame = {
        .type = GY_CHAT_LOGIN,
        .tag = 1,
        .body.login = {.nick = gy_chat_text_of(person->nick), .method = GY_CHAT_GUEST}};
    if (person->token_bytes > 0) {
        frame.body.login.method = GY_CHAT_TOKEN;
        frame.body.login.secret = (struct gy_chat_text){person->token, person->token_bytes};
    }
    ask(life, person, &frame);
}

static void read_error(struct life *life, struct person *person, const struct gy_chat_frame *frame)
{
    uint16_t code = frame->body.error.code;
    uint16_t tag = frame->tag;
    life->result->refusals++;
    person->again_ms = life->world.now_ms + 50 + life_below(life, 400);
    if (frame->body.error.fatal) {
        return; /* seen by conn.ended */
    }
    bool released = tag == 1 && code == GY_CHAT_TAKEN; /* by itself, a moment ago */
    if (!released && code != GY_CHAT_BUSY && code != GY_CHAT_STORAGE && code != GY_CHAT_FULL) {
        life_broke(life, "%s was refused: %u %.*s", person->nick, code,
                   (int)frame->body.error.sentence.length, frame->body.error.sentence.bytes);
    }
    if (tag == 1) {
        person->back_ms = life->world.now_ms + 500; /* to log in again */
        person->state = OFFLINE;
    } else if (tag >= 10 && tag < 10 + ROOMS) {
        person->readings[tag - 10].asked = false;
    } else if (tag >= 100 && tag < 100 + OUTBOX) {
        person->outbox[tag - 100].sent = false;
    }
}

static void read_joined(struct life *life, struct person *person, const struct gy_chat_frame *frame)
{
    struct reading *reading = &person->readings[frame->tag - 10];
    reading->joined = true;
    reading->number = frame->body.joined.room;
    if (reading->upto > frame->body.joined.last) {
        life_broke(life, "%s knows %llu, and %s ends with %llu", person->nick,
                   (unsigned long long)reading->upto, life_rooms[frame->tag - 10],
                   (unsigned long long)frame->body.joined.last);
    }
}

void person_read(struct life *life, struct person *person)
{
    struct gy_chat_frame frame;
    while (person->open && !life->failed && conn_next(&person->conn, &frame)) {
        switch (frame.type) {
        case GY_CHAT_IDENTITY:
            person->state = PRESENT;
            person->token_bytes = frame.body.identity.token.length;
            memcpy(person->token, frame.body.identity.token.bytes, person->token_bytes);
            break;
        case GY_CHAT_JOINED:
            read_joined(life, person, &frame);
            break;
        case GY_CHAT_MESSAGE:
            read_message(life, person, &frame);
            break;
        case GY_CHAT_GAP:
            read_gap(life, person, &frame);
            break;
        case GY_CHAT_ACK:
            read_ack(life, person, &frame);
            break;
        case GY_CHAT_ERROR:
            read_error(life, person, &frame);
            break;
        default:
            break;
        }
    }
    if (person->open) {
        conn_forget(&person->conn);
    }
    if (person->open && person->conn.ended && person->conn.out.length == 0) {
        person_hang_up(life, person, life_below(life, 3000));
    }
}

void person_talk(struct life *life, struct person *person, uint64_t count)
{
    for (uint32_t i = 0; i < OUTBOX && count > 0; i++) {
        struct unsent *unsent = &person->outbox[i];
        if (!unsent->used) {
            *unsent = (struct unsent){.client_id = ++person->next_id,
                                      .room = (uint32_t)life_below(life, ROOMS),
                                      .used = true};
            person->readings[unsent->room].wanted = true;
            life->result->said++;
            count--;
        }
    }
}

void person_leave(struct life *life, struct person *person, uint32_t room)
{
    struct reading *reading = &person->readings[room];
    for (uint32_t i = 0; i < OUTBOX; i++) {
        if (person->outbox[i].used && person->outbox[i].room == room) {
            return; /* it has something to say there yet */
        }
    }
    if (reading->joined) {
        struct gy_chat_frame frame = {
            .type = GY_CHAT_LEAVE, .tag = 3, .body.leave = {.room = reading->number}};
        do {
            conn_read(&person->conn, person->conn.out.length);
            person_read(life, person);
        } while (person->open && person->conn.out.length > 0 && !life->failed);
        if (person->state != PRESENT || !reading->joined || !ask(life, person, &frame)) {
            return;
        }
        reading->joined = false;
        reading->asked = false;
        reading->wanted = life_below(life, 2) == 0;
    }
}
