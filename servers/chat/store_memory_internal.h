/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_STORE_MEMORY_INTERNAL_H
#define GY_SERVERS_CHAT_STORE_MEMORY_INTERNAL_H

/* For store_memory.c (the store, accounts), store_memory_rooms.c and store_memory_messages.c. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/siphash.h"
#include "servers/chat/job.h"
#include "servers/chat/store.h"

#define BUCKETS 1024u /* of names, of numbers, and of a room's client ids */

struct message {
    struct message *same; /* in its bucket of client ids */
    struct gy_chat_entry entry;
    char text[]; /* the sender's name, then the contents */
};

struct room {
    struct room *same;        /* in its bucket of names */
    struct room *same_number; /* in its bucket of numbers */
    struct gy_chat_text name;
    struct gy_chat_text topic;
    uint32_t number, slow_ms;
    uint64_t first, last; /* ids that are kept; none: first > last */
    uint64_t bytes;
    struct message **messages; /* by id, modulo `room` */
    uint64_t room;             /* a power of two */
    struct message *sent[BUCKETS];
    struct gy_chat_standing *standings;
    uint32_t standing_count;
    uint64_t maker;
    uint64_t empty_ms; /* of a temporary one: since when nobody is in it; 0: somebody is */
    bool temporary;
};

struct account {
    struct account *same;
    uint64_t made_ms;
    struct gy_chat_account account;
};

struct gy_chat_memory {
    pthread_mutex_t lock;
    struct gy_chat_retention retention;
    struct gy_siphash_key key;
    struct room *by_name[BUCKETS];
    struct room *by_number[BUCKETS];
    struct room **sorted; /* all, by name */
    uint32_t room_count, room_room;
    uint32_t room_numbers; /* that were given; none is given twice */
    struct account *accounts[BUCKETS];
    uint32_t account_count;
};

static inline uint32_t memory_bucket(const struct gy_chat_memory *memory, struct gy_chat_text text)
{
    return (uint32_t)gy_siphash(&memory->key, text.bytes, text.length) % BUCKETS;
}

static inline bool memory_same(struct gy_chat_text a, struct gy_chat_text b)
{
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* A copy from malloc, of at least a byte. NULL bytes: no memory. */
static inline struct gy_chat_text memory_copy(struct gy_chat_text text)
{
    char *bytes = malloc(text.length + 1u);
    if (bytes != NULL && text.length > 0) {
        memcpy(bytes, text.bytes, text.length);
    }
    return (struct gy_chat_text){bytes, text.length};
}

static inline void memory_free_text(struct gy_chat_text text)
{
    free((char *)(uintptr_t)text.bytes);
}

/* ---- store_memory_rooms.c ---- */

struct room *memory_room(const struct gy_chat_memory *memory, uint32_t number);
void memory_free_room(struct room *room);

/* Room for the entries of an answer. */
int memory_take_entries(struct gy_chat_job *job);
int memory_open_room(struct gy_chat_memory *memory, struct gy_chat_job *job);
int memory_close_room(struct gy_chat_memory *memory, const struct gy_chat_job *job);
int memory_settings(struct gy_chat_memory *memory, const struct gy_chat_job *job);
int memory_rooms(struct gy_chat_memory *memory, struct gy_chat_job *job);
int memory_stay(struct gy_chat_memory *memory, const struct gy_chat_job *job);
int memory_compare(struct gy_chat_text a, struct gy_chat_text b);
int memory_standing(struct gy_chat_memory *memory, const struct gy_chat_job *job);

/* ---- store_memory_messages.c ---- */

/* Of a room that has one. */
void memory_drop_first(struct room *room);
int memory_append(struct gy_chat_memory *memory, struct gy_chat_job *job);
int memory_read(struct gy_chat_memory *memory, struct gy_chat_job *job);

#endif
