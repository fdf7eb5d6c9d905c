/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/sim/chat_life.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/chat/hub_world.h"

#define PEOPLE     10
#define ROOMS      3
#define OUTBOX     48
#define AHEAD      4096 /* ids that one may know beyond the first that it lacks */
#define HOUR_MS    UINT64_C(3600000)
#define TEXT_BYTES 700

enum state {
    OFFLINE,
    ENTERING,
    PRESENT,
};

struct unsent {
    uint64_t client_id;
    uint32_t room;   /* 0 to ROOMS-1 */
    bool used, sent; /* on this connection */
};

struct reading {
    bool wanted, asked, joined;
    uint32_t number;
    uint64_t upto;            /* everything up to it was read */
    uint64_t since;           /* of this connection */
    uint64_t delivered;       /* the last MESSAGE on this connection */
    uint8_t ahead[AHEAD / 8]; /* by id modulo: known beyond `upto` */
};

struct person {
    struct world_conn conn;
    enum state state;
    bool open;
    char nick[16];
    char token[GY_CHAT_TOKEN_MAX];
    uint32_t token_bytes;
    uint8_t policy;
    uint64_t back_ms;    /* when it connects again */
    uint64_t again_ms;   /* when it asks again for what was refused */
    uint64_t unstall_ms; /* when it reads again; 0: it does */
    uint64_t next_id;
    struct unsent outbox[OUTBOX];
    struct reading readings[ROOMS];
};

struct life {
    struct world world;
    struct person people[PEOPLE];
    struct chat_life_result *result;
    const struct chat_life_options *options;
    uint64_t undeaf_ms[WORLD_WORKERS_MAX];
    uint64_t full_until_ms;
    bool failed;
};

static const char *const room_names[ROOMS] = {"tea", "coffee", "water"};

static void broke(struct life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void broke(struct life *life, const char *format, ...)
{
    if (life->failed) {
        return;
    }
    life->failed = true;
    int at = snprintf(life->result->broken, sizeof life->result->broken,
                      "at %llu ms: ", (unsigned long long)life->world.now_ms);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(life->result->broken + at, sizeof life->result->broken - (size_t)at, format,
              arguments);
    va_end(arguments);
}

static uint64_t below(struct life *life, uint64_t bound)
{
    return world_random(&life->world) % bound;
}

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
    const struct world_room *at = world_room_named(&life->world, room_names[room]);
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
        broke(life, "id %llu is known, and %llu is the last without a hole", (unsigned long long)id,
              (unsigned long long)reading->upto);
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
        broke(life, "%s got a message of a room that it is not in", person->nick);
        return;
    }
    struct reading *reading = &person->readings[room];
    const struct gy_chat_entry *entry = stored(life, (uint32_t)room, id);
    if (entry == NULL || !gy_chat_text_equal(entry->contents, frame->body.message.contents) ||
        !gy_chat_text_equal(entry->from, frame->body.message.from)) {
        broke(life, "%s got message %llu of %s, which is not what was stored", person->nick,
              (unsigned long long)id, room_names[room]);
        return;
    }
    if (id <= reading->delivered || id <= reading->since) {
        broke(life, "%s got message %llu of %s after %llu", person->nick, (unsigned long long)id,
              room_names[room], (unsigned long long)reading->delivered);
        return;
    }
    if (knows(reading, id) && !is_mine(person, frame->body.message.from)) {
        broke(life, "%s got message %llu of %s twice", person->nick, (unsigned long long)id,
              room_names[room]);
        return;
    }
    uint64_t before = reading->delivered > reading->since ? reading->delivered : reading->since;
    for (uint64_t missing = before + 1; missing < id; missing++) {
        if (!knows(reading, missing)) {
            broke(life, "%s got message %llu of %s, and %llu is missing", person->nick,
                  (unsigned long long)id, room_names[room], (unsigned long long)missing);
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
        broke(life, "%s got a gap that is none", person->nick);
        return;
    }
    const struct world_room *at = world_room_named(&life->world, room_names[room]);
    if (frame->body.gap.why == GY_CHAT_GAP_RETENTION && last >= at->first) {
        broke(life, "%s was told that %llu is gone, and it is there", person->nick,
              (unsigned long long)last);
    }
    if (frame->body.gap.why == GY_CHAT_GAP_SLOW && person->policy == GY_CHAT_SPILL) {
        broke(life, "%s was to miss nothing", person->nick);
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
        broke(life, "%s got an ACK of %llu, which it does not wait for", person->nick,
              (unsigned long long)frame->body.ack.client_id);
        return;
    }
    char text[TEXT_BYTES];
    struct gy_chat_text mine = {text, text_of(person, unsent->client_id, text)};
    const struct gy_chat_entry *entry = stored(life, (uint32_t)room, id);
    if (entry == NULL || !gy_chat_text_equal(entry->contents, mine)) {
        broke(life, "%s's message %llu was acknowledged as %llu of %s, and is not there",
              person->nick, (unsigned long long)unsent->client_id, (unsigned long long)id,
              room_names[room]);
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
                                  .body.join = {.room = gy_chat_text_of(room_names[room]),
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

/* What is to be done: join what is wanted, send what was not acknowledged. */
static void go_on(struct life *life, struct person *person)
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

static void hang_up(struct life *life, struct person *person, uint64_t away_ms)
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

static void come_back(struct life *life, struct person *person)
{
    uint32_t worker = (uint32_t)below(life, life->world.workers);
    enum gy_chat_encoding encoding =
        below(life, 3) == 0 ? GY_CHAT_OVER_WEBSOCKET : GY_CHAT_OVER_STREAM;
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
    person->again_ms = life->world.now_ms + 50 + below(life, 400);
    if (frame->body.error.fatal) {
        return; /* seen by conn.ended */
    }
    bool released = tag == 1 && code == GY_CHAT_TAKEN; /* by itself, a moment ago */
    if (!released && code != GY_CHAT_BUSY && code != GY_CHAT_STORAGE && code != GY_CHAT_FULL) {
        broke(life, "%s was refused: %u %.*s", person->nick, code,
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
        broke(life, "%s knows %llu, and %s ends with %llu", person->nick,
              (unsigned long long)reading->upto, room_names[frame->tag - 10],
              (unsigned long long)frame->body.joined.last);
    }
}

static void read_all(struct life *life, struct person *person)
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
        hang_up(life, person, below(life, 3000));
    }
}

/* ---- what happens ---- */

static void count(struct life *life)
{
    struct gy_chat_hub_counters counters = world_counters(&life->world);
    life->result->behind += counters.behind;
    life->result->slow += counters.slow;
    life->result->spilled += counters.spilled;
    life->result->duplicates += counters.duplicates;
}

static void power_cut(struct life *life)
{
    count(life);
    world_crash(&life->world);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        life->people[i].open = false;
        hang_up(life, &life->people[i], below(life, 3000));
    }
    memset(life->world.deaf, 0, sizeof life->world.deaf);
    life->result->crashes++;
}

static void talk(struct life *life, struct person *person, uint64_t count)
{
    for (uint32_t i = 0; i < OUTBOX && count > 0; i++) {
        struct unsent *unsent = &person->outbox[i];
        if (!unsent->used) {
            *unsent = (struct unsent){
                .client_id = ++person->next_id, .room = (uint32_t)below(life, ROOMS), .used = true};
            person->readings[unsent->room].wanted = true;
            life->result->said++;
            count--;
        }
    }
}

static void leave(struct life *life, struct person *person, uint32_t room)
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
            read_all(life, person);
        } while (person->open && person->conn.out.length > 0 && !life->failed);
        if (person->state != PRESENT || !reading->joined || !ask(life, person, &frame)) {
            return;
        }
        reading->joined = false;
        reading->asked = false;
        reading->wanted = below(life, 2) == 0;
    }
}

static void advance(struct life *life, uint64_t ms)
{
    life->world.now_ms += ms;
    life->world.wall_ms += ms;
}

static void happen_to_all(struct life *life)
{
    struct world *world = &life->world;
    uint64_t what = below(life, 1000);
    if (what < 2) {
        power_cut(life);
    } else if (what < 6) {
        world->store.full = true;
        life->full_until_ms = world->now_ms + 2000 + below(life, 20000);
        life->result->full_disks++;
    } else if (what < 26) {
        uint32_t worker = (uint32_t)below(life, world->workers);
        world->deaf[worker] = true;
        life->undeaf_ms[worker] = world->now_ms + 20 + below(life, 1500);
    } else if (what < 30) {
        struct world_room *room = world_room_named(world, room_names[below(life, ROOMS)]);
        if (room != NULL && room->count > 300) {
            room->first = room->count - 200; /* retention */
        }
    }
}

static void happen_to(struct life *life, struct person *person)
{
    uint64_t what = below(life, 100);
    if (person->state != PRESENT) {
        return;
    }
    if (what < 70) {
        talk(life, person, 1 + below(life, 3));
    } else if (what < 74) {
        talk(life, person, OUTBOX);
    } else if (what < 78) {
        talk(life, person, 8);
        go_on(life, person);
        if (below(life, 2) == 0) {
            world_turn(&life->world);
            advance(life, life->world.store.latency_ms / 2);
            world_turn(&life->world);
        }
        hang_up(life, person, below(life, 5000)); /* before the answer */
    } else if (what < 84) {
        hang_up(life, person, below(life, 60000));
    } else if (what < 90) {
        person->conn.stalled = true;
        person->unstall_ms = life->world.now_ms + 1000 + below(life, 20000);
    } else {
        leave(life, person, (uint32_t)below(life, ROOMS));
    }
}

static void heal(struct life *life, bool all)
{
    struct world *world = &life->world;
    for (uint32_t i = 0; i < WORLD_WORKERS_MAX; i++) {
        if (world->deaf[i] && (all || life->undeaf_ms[i] <= world->now_ms)) {
            world->deaf[i] = false;
        }
    }
    if (world->store.full && (all || life->full_until_ms <= world->now_ms)) {
        world->store.full = false;
    }
    for (uint32_t i = 0; i < PEOPLE; i++) {
        struct person *person = &life->people[i];
        if (person->open && person->conn.stalled && (all || person->unstall_ms <= world->now_ms)) {
            person->conn.stalled = false;
        }
        if (person->state == OFFLINE && person->open) {
            hang_up(life, person, 100); /* the login was refused */
        } else if (person->state == OFFLINE && (all || person->back_ms <= world->now_ms)) {
            come_back(life, person);
        }
    }
}

/* One millisecond, or, when nothing is under way, the time until something happens. */
static void step(struct life *life)
{
    struct world *world = &life->world;
    world_turn(world);
    if (world->box_peak > world->box_max) {
        broke(life, "a mailbox held %u parcels", world->box_peak);
    }
    for (uint32_t i = 0; i < PEOPLE && !life->failed; i++) {
        read_all(life, &life->people[i]);
        go_on(life, &life->people[i]);
    }
}

static bool busy(const struct life *life)
{
    const struct world *world = &life->world;
    for (uint32_t i = 0; i < world->workers; i++) {
        if (gy_chat_hub_dirty(world->hubs[i]) || world->deaf[i]) {
            return true;
        }
        for (uint32_t j = 0; j < world->workers; j++) {
            if (world->boxes[i][j].count > 0) {
                return true;
            }
        }
    }
    return world->store.pending_count > 0;
}

static void live(struct life *life)
{
    uint64_t end_ms = life->world.now_ms + life->options->hours * HOUR_MS;
    uint64_t next_ms = life->world.now_ms;
    while (life->world.now_ms < end_ms && !life->failed) {
        heal(life, false);
        if (life->world.now_ms >= next_ms) {
            happen_to_all(life);
            happen_to(life, &life->people[below(life, PEOPLE)]);
            next_ms = life->world.now_ms + 1 + below(life, 6000);
        }
        step(life);
        advance(life, busy(life) || next_ms <= life->world.now_ms + 100 ? 1 : 50 + below(life, 50));
    }
}

static void check_end(struct life *life)
{
    for (uint32_t i = 0; i < PEOPLE && !life->failed; i++) {
        struct person *person = &life->people[i];
        for (uint32_t j = 0; j < OUTBOX; j++) {
            if (person->outbox[j].used) {
                broke(life, "%s's message %llu was never acknowledged", person->nick,
                      (unsigned long long)person->outbox[j].client_id);
            }
        }
        for (uint32_t j = 0; j < ROOMS; j++) {
            const struct world_room *room = world_room_named(&life->world, room_names[j]);
            if (room != NULL && person->readings[j].wanted &&
                person->readings[j].upto != room->count) {
                broke(life, "%s has read %s up to %llu of %u", person->nick, room_names[j],
                      (unsigned long long)person->readings[j].upto, room->count);
            }
        }
    }
    /* What was said is there once. */
    uint64_t entries = 0;
    for (uint32_t j = 0; j < ROOMS; j++) {
        const struct world_room *room = world_room_named(&life->world, room_names[j]);
        entries += room == NULL ? 0 : room->count;
    }
    if (entries != life->result->said && !life->failed) {
        broke(life, "%llu messages were said, and %llu are there",
              (unsigned long long)life->result->said, (unsigned long long)entries);
    }
}

static void settle(struct life *life)
{
    for (uint32_t i = 0; i < 60000 && !life->failed; i++) {
        heal(life, true);
        step(life);
        advance(life, 1);
        bool done = i > 100 && !busy(life);
        for (uint32_t j = 0; j < PEOPLE && done; j++) {
            const struct person *person = &life->people[j];
            done = person->state == PRESENT && person->conn.out.length == 0 &&
                   person->conn.member.lagging == 0 && person->conn.member.asks == 0;
            for (uint32_t k = 0; k < OUTBOX && done; k++) {
                done = !person->outbox[k].used;
            }
            for (uint32_t k = 0; k < ROOMS && done; k++) {
                done = !person->readings[k].wanted || person->readings[k].joined;
            }
        }
        if (done) {
            return;
        }
    }
}

static void set_up(struct life *life)
{
    struct world *world = &life->world;
    uint64_t seed = life->options->seed;
    world_open(world, life->options->workers > 0 ? life->options->workers
                                                 : (uint32_t)(seed % WORLD_WORKERS_MAX) + 1);
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world_random(world);
    /* Small bounds, so that they are met. */
    world->box_max = 2;
    world->config.mark_bytes = 8192;
    world->config.history_bytes = 8192;
    world->config.dedup_entries = 32;
    world->config.append_entries = 32;
    world->config.parcel_bytes = 2048;
    world->config.queue_bytes = 4096;
    world->config.credits = 32;
    world->config.opening_max = 8;
    world->config.room_idle_ms = 5000;
    world->store.latency_ms = (uint32_t)below(life, 12);
    world_start(world);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        struct person *person = &life->people[i];
        snprintf(person->nick, sizeof person->nick, "person%u", i);
        person->policy = i < 6 ? GY_CHAT_SPILL : (uint8_t)(i % 4);
        person->back_ms = world->now_ms + below(life, 2000);
        person->readings[below(life, ROOMS)].wanted = true;
    }
}

bool chat_life(const struct chat_life_options *options, struct chat_life_result *result)
{
    struct life *life = calloc(1, sizeof *life);
    *result = (struct chat_life_result){0};
    if (life == NULL) {
        snprintf(result->broken, sizeof result->broken, "no memory");
        return false;
    }
    life->result = result;
    life->options = options;
    set_up(life);
    live(life);
    settle(life);
    check_end(life);
    count(life);
    bool held = !life->failed;
    for (uint32_t i = 0; i < PEOPLE; i++) {
        if (life->people[i].open) {
            conn_close(&life->people[i].conn);
        }
    }
    world_close(&life->world);
    free(life);
    return held;
}
