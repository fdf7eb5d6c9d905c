/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What happens to a chat server and to the people in it, and what must hold at the end. */
#include "tests/sim/chat_life.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chat_person.h"

#define HOUR_MS UINT64_C(3600000)

const char *const life_rooms[ROOMS] = {"tea", "coffee", "water"};

void life_broke(struct life *life, const char *format, ...)
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
        person_hang_up(life, &life->people[i], life_below(life, 3000));
    }
    memset(life->world.deaf, 0, sizeof life->world.deaf);
    life->result->crashes++;
}

static void advance(struct life *life, uint64_t ms)
{
    life->world.now_ms += ms;
    life->world.wall_ms += ms;
}

static void happen_to_all(struct life *life)
{
    struct world *world = &life->world;
    uint64_t what = life_below(life, 1000);
    if (what < 2) {
        power_cut(life);
    } else if (what < 6) {
        world->store.full = true;
        life->full_until_ms = world->now_ms + 2000 + life_below(life, 20000);
        life->result->full_disks++;
    } else if (what < 26) {
        uint32_t worker = (uint32_t)life_below(life, world->workers);
        world->deaf[worker] = true;
        life->undeaf_ms[worker] = world->now_ms + 20 + life_below(life, 1500);
    } else if (what < 30) {
        struct world_room *room = world_room_named(world, life_rooms[life_below(life, ROOMS)]);
        if (room != NULL && room->count > 300) {
            room->first = room->count - 200; /* retention */
        }
    }
}

static void happen_to(struct life *life, struct person *person)
{
    uint64_t what = life_below(life, 100);
    if (person->state != PRESENT) {
        return;
    }
    if (what < 70) {
        person_talk(life, person, 1 + life_below(life, 3));
    } else if (what < 74) {
        person_talk(life, person, OUTBOX);
    } else if (what < 78) {
        person_talk(life, person, 8);
        person_go_on(life, person);
        if (life_below(life, 2) == 0) {
            world_turn(&life->world);
            advance(life, life->world.store.latency_ms / 2);
            world_turn(&life->world);
        }
        person_hang_up(life, person, life_below(life, 5000)); /* before the answer */
    } else if (what < 84) {
        person_hang_up(life, person, life_below(life, 60000));
    } else if (what < 90) {
        person->conn.stalled = true;
        person->unstall_ms = life->world.now_ms + 1000 + life_below(life, 20000);
    } else {
        person_leave(life, person, (uint32_t)life_below(life, ROOMS));
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
            person_hang_up(life, person, 100); /* the login was refused */
        } else if (person->state == OFFLINE && (all || person->back_ms <= world->now_ms)) {
            person_come_back(life, person);
        }
    }
}

/* One millisecond, or, when nothing is under way, the time until something happens. */
static void step(struct life *life)
{
    struct world *world = &life->world;
    world_turn(world);
    if (world->box_peak > world->box_max) {
        life_broke(life, "a mailbox held %u parcels", world->box_peak);
    }
    for (uint32_t i = 0; i < PEOPLE && !life->failed; i++) {
        person_read(life, &life->people[i]);
        person_go_on(life, &life->people[i]);
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
            happen_to(life, &life->people[life_below(life, PEOPLE)]);
            next_ms = life->world.now_ms + 1 + life_below(life, 6000);
        }
        step(life);
        advance(life,
                busy(life) || next_ms <= life->world.now_ms + 100 ? 1 : 50 + life_below(life, 50));
    }
}

static void check_end(struct life *life)
{
    for (uint32_t i = 0; i < PEOPLE && !life->failed; i++) {
        struct person *person = &life->people[i];
        for (uint32_t j = 0; j < OUTBOX; j++) {
            if (person->outbox[j].used) {
                life_broke(life, "%s's message %llu was never acknowledged", person->nick,
                           (unsigned long long)person->outbox[j].client_id);
            }
        }
        for (uint32_t j = 0; j < ROOMS; j++) {
            const struct world_room *room = world_room_named(&life->world, life_rooms[j]);
            if (room != NULL && person->readings[j].wanted &&
                person->readings[j].upto != room->count) {
                life_broke(life, "%s has read %s up to %llu of %u", person->nick, life_rooms[j],
                           (unsigned long long)person->readings[j].upto, room->count);
            }
        }
    }
    /* What was said is there once. */
    uint64_t entries = 0;
    for (uint32_t j = 0; j < ROOMS; j++) {
        const struct world_room *room = world_room_named(&life->world, life_rooms[j]);
        entries += room == NULL ? 0 : room->count;
    }
    if (entries != life->result->said && !life->failed) {
        life_broke(life, "%llu messages were said, and %llu are there",
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
    world->store.latency_ms = (uint32_t)life_below(life, 12);
    world_start(world);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        struct person *person = &life->people[i];
        snprintf(person->nick, sizeof person->nick, "person%u", i);
        person->policy = i < 6 ? GY_CHAT_SPILL : (uint8_t)(i % 4);
        person->back_ms = world->now_ms + life_below(life, 2000);
        person->readings[life_below(life, ROOMS)].wanted = true;
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
