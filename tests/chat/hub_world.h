/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_HUB_WORLD_H
#define GY_TESTS_CHAT_HUB_WORLD_H

/*
 * A whole server without sockets and threads: the hubs of some workers, mailboxes between them, a
 * store that commits in groups after a while, and connections whose bytes a test reads. Time is the
 * test's; everything is in one order, so that a seed repeats a run.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/bump.h"
#include "core/slab.h"
#include "protocols/chat/hub.h"

#define WORLD_WORKERS_MAX 4
#define WORLD_LINKS       65536
#define WORLD_BLOCKS      512

/* One numbered thing that was committed. */
struct world_entry {
    struct gy_chat_entry entry; /* with texts of its own */
};

struct world_room {
    char name[GY_CHAT_CANONICAL_MAX];
    uint32_t name_bytes;
    struct world_entry *entries; /* ids from 1 on */
    uint32_t count, capacity;
    uint64_t first; /* what retention has left */
    struct gy_chat_standing standings[64];
    uint32_t standing_count;
    char topic[GY_CHAT_TOPIC_MAX];
    uint32_t topic_bytes;
    uint32_t slow_ms;
    uint64_t maker;
    bool temporary;
    bool closed; /* the hub said so: nobody is in it */
};

struct world_account {
    struct gy_chat_account account;
    char nick[256], canonical[GY_CHAT_CANONICAL_MAX], certificate[256];
};

struct world_pending {
    struct gy_chat_job *job;
    uint64_t due_ms;
};

/* What survives a power cut: what was committed. */
struct world_store {
    struct world_room rooms[64];
    uint32_t room_count;
    struct world_account accounts[64];
    uint32_t account_count;
    struct world_pending *pending;
    uint32_t pending_count, pending_capacity;
    uint32_t latency_ms; /* 0: answers at once */
    bool full;           /* the disk */
    bool broken;         /* nothing can be read */
    bool busy;           /* there is no room for one more read */
    uint64_t appends, entries;
};

#define WORLD_BANS 8

struct world_ban {
    uint8_t kind;
    char subject[64], reason[64];
};

struct world_memory {
    struct world_memory *next, *before;
    uint64_t bytes;
};

struct world_box {
    struct gy_chat_parcel *head, *tail;
    uint32_t count;
};

struct world_conn {
    struct gy_chat_member member;
    struct world *world;
    struct world_conn *next;
    struct gy_chain out;
    uint32_t worker;
    bool attached;
    bool stalled; /* reads nothing */
    bool ended;   /* a fatal ERROR was sent */
    uint32_t woken;
    uint16_t fatal; /* its code */
    uint8_t *in;    /* what it has read */
    uint32_t in_bytes, in_capacity, at;
    uint32_t message_end; /* of the WebSocket message that is being unpacked; 0: none */
    uint32_t output_max;  /* of one write; 0: any */
    uint64_t origin;      /* that ops.origin() says */
};

struct world {
    uint32_t workers;
    struct gy_chat_hub_config config;
    struct gy_chat_hub *hubs[WORLD_WORKERS_MAX];
    struct gy_bump bumps[WORLD_WORKERS_MAX];
    struct gy_slab blocks[WORLD_WORKERS_MAX], links[WORLD_WORKERS_MAX];
    void *slabs[WORLD_WORKERS_MAX];
    uint32_t contexts[WORLD_WORKERS_MAX];
    struct world_box boxes[WORLD_WORKERS_MAX][WORLD_WORKERS_MAX]; /* [from][to] */
    uint32_t box_max;                                             /* parcels */
    bool deaf[WORLD_WORKERS_MAX];                                 /* reads no mailbox */
    uint32_t box_peak;
    struct world_store store;
    struct world_memory memory; /* a ring of all that was taken */
    uint64_t memory_bytes, memory_peak;
    struct world_conn *conns;
    struct gy_chat_check *checks;
    bool slow_checks; /* they wait for world_check() */
    uint64_t now_ms, wall_ms;
    uint64_t random;
    uint64_t operator; /* the user that operates the server; 0: nobody */
    struct world_ban bans[WORLD_BANS];
    uint32_t ban_count;
    char acted[512]; /* the last act, as "WHAT by WHOM: …" */
};

/* Workers' hubs with the configuration that `world->config` has by then. */
void world_open(struct world *world, uint32_t workers);
void world_start(struct world *world);

/* Everything that was not committed is gone, and all connections. */
void world_crash(struct world *world);

/* In order, with all asserted that must hold at an end. */
void world_close(struct world *world);

/* One turn of every worker: mailboxes, store, flush, and what connections read. */
void world_turn(struct world *world);

/* Turns, a millisecond each, until nothing is under way; at most `turns`. */
void world_settle(struct world *world, uint32_t turns);
void world_pass(struct world *world, uint64_t ms);
void world_check(struct world *world);
uint64_t world_random(struct world *world);

struct world_room *world_room_named(struct world *world, const char *name);

/* Of all workers together. */
struct gy_chat_hub_counters world_counters(const struct world *world);

void conn_open(struct world *world, struct world_conn *conn, uint32_t worker,
               enum gy_chat_encoding encoding);
void conn_close(struct world_conn *conn);

/* Takes bytes out of `out`, as a network would. */
void conn_read(struct world_conn *conn, uint32_t bytes);

/* The next frame that came; texts point into what was read. False: none. Of a client of the book
 * the broadcast, as a MESSAGE with `from` and `contents`. */
bool conn_next(struct world_conn *conn, struct gy_chat_frame *frame);

/* Gives back the memory of what was taken by conn_next(). */
void conn_forget(struct world_conn *conn);

#endif
