/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_SIM_CHAT_PERSON_H
#define GY_TESTS_SIM_CHAT_PERSON_H

/*
 * One of the people in a simulated chat (chat_life.h): what it still has to say and what it has
 * read, across its connections. Whatever reaches it is checked against what is in the store.
 */

#include "tests/chat/hub_world.h"
#include "tests/sim/chat_life.h"

#define PEOPLE 10
#define ROOMS  3
#define OUTBOX 48
#define AHEAD  4096 /* ids that one may know beyond the first that it lacks */

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

extern const char *const life_rooms[ROOMS];

/* Something does not hold: the first sentence is kept. */
void life_broke(struct life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline uint64_t life_below(struct life *life, uint64_t bound)
{
    return world_random(&life->world) % bound;
}

/* Connects to some worker and logs in, as whom it was before. */
void person_come_back(struct life *life, struct person *person);

/* Takes what has come, and checks it. */
void person_read(struct life *life, struct person *person);

/* Does what is to be done: joins what is wanted, sends what was not acknowledged. */
void person_go_on(struct life *life, struct person *person);

/* Has so many messages more to say, as far as the outbox goes. */
void person_talk(struct life *life, struct person *person, uint64_t count);

/* Leaves a room in which nothing is left to be said. */
void person_leave(struct life *life, struct person *person, uint32_t room);

/* Is gone for so long. */
void person_hang_up(struct life *life, struct person *person, uint64_t away_ms);

#endif
