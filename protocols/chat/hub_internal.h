/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_HUB_INTERNAL_H
#define GY_PROTOCOLS_CHAT_HUB_INTERNAL_H

/* What the hub's files share; hub.h says what it is. */

#include <string.h>
#include <sys/queue.h>

#include "protocols/chat/hub.h"

/* ---- what hubs say to each other (hub_note.c), and each to itself ---- */

enum gy_chat_note_type {
    /* Questions: each gets one NOTE_ANSWER. */
    NOTE_JOIN = 1, /* to a room's owner */
    NOTE_SAY,      /* to a room's owner: what will be numbered */
    NOTE_TELL,     /* to the directory's worker, which passes it on as NOTE_SAY by name */
    NOTE_MODERATE, /* to the directory's worker, then to the room's owner */
    NOTE_CLAIM,    /* a nick, of its directory's worker */
    NOTE_MEMBERS,  /* goes from worker to worker; each adds its own */
    NOTE_ROOMS,    /* likewise */
    NOTE_PEOPLE,   /* connections of a worker, for ADMIN; the next one's where there are none */
    NOTE_KICK,     /* to the nick's worker: ends all connections of who has it */
    NOTE_STAY,     /* to a room's owner, by name: it stays, or (`action`) it goes */
    NOTE_ANSWER,
    /* Statements, to a room's owner or the directory's worker. */
    NOTE_STATE,   /* how many members a worker has in a room, and whether it wants to hear of it */
    NOTE_RELEASE, /* of a nick */
    NOTE_HERE,    /* a notice of a member: `text` is the frame */
    /* From a room's owner to the workers with members in it. */
    NOTE_SAID,
    NOTE_BEHIND,  /* something could not be sent: the room is at `id` */
    NOTE_NOTICES, /* `text` is frames; `what` is the class */
    NOTE_REMOVE,  /* a user, from the room */
    NOTE_ROLE,    /* a user's role in the room */
    /* To all workers. */
    NOTE_END,      /* connections of the user `other`, but for the asker's; 0: of who is banned */
    NOTE_ANNOUNCE, /* `text`, by `nick`, to everybody */
};

struct gy_chat_note {
    uint32_t bytes; /* of all, in a parcel */
    uint8_t type;
    uint8_t what; /* of an answer: the frame's type */
    uint8_t kind; /* of an answer: the question's type */
    uint8_t role;
    uint32_t worker, slot, generation; /* of the member that asks */
    uint16_t tag;
    uint8_t action;
    bool flag;
    uint32_t room;
    uint32_t seconds;
    uint32_t code; /* enum gy_chat_code; of an answer */
    uint32_t count;
    uint64_t user;
    uint64_t other; /* the user that it is about */
    uint64_t client_id;
    uint64_t target;
    uint64_t id, first, time;
    struct gy_chat_text nick;      /* as it was written */
    struct gy_chat_text canonical; /* of a nick */
    struct gy_chat_text name;      /* of a room */
    struct gy_chat_text text;
};

/* A note that waits: its texts lie behind it. */
struct gy_chat_waiting {
    struct gy_chat_waiting *next;
    size_t bytes;
    struct gy_chat_note note;
};

/* The way to another worker. */
struct gy_chat_lane {
    struct gy_chat_parcel *head, *tail; /* oldest first; the tail is being filled */
    uint64_t kept_bytes;
};

/* ---- tables (hub_table.c): chained, by a keyed hash; they grow with what is in them ---- */

struct gy_chat_link {
    struct gy_chat_link *next;
    uint64_t hash;
};

struct gy_chat_table {
    struct gy_chat_link **buckets;
    uint32_t mask; /* buckets - 1 */
    uint32_t count;
};

int gy_chat_table_open(struct gy_chat_hub *hub, struct gy_chat_table *table);
void gy_chat_table_close(struct gy_chat_hub *hub, struct gy_chat_table *table);
void gy_chat_table_put(struct gy_chat_hub *hub, struct gy_chat_table *table,
                       struct gy_chat_link *link, uint64_t hash);
void gy_chat_table_remove(struct gy_chat_table *table, struct gy_chat_link *link);

static inline struct gy_chat_link *gy_chat_table_first(const struct gy_chat_table *table,
                                                       uint64_t hash)
{
    return table->buckets[hash & table->mask];
}

/* ---- rooms ---- */

/* One numbered thing, as the history in memory and notes have it; its texts lie behind it. */
struct gy_chat_past {
    uint64_t id, time_ms, target, user;
    uint32_t worker, slot, generation; /* whose connection said it; a notice's: none */
    uint8_t kind;
    uint8_t from_bytes;
    uint16_t contents_bytes;
};

/* Latest messages, without holes, by id. */
struct gy_chat_history {
    struct gy_chat_past **ring;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
    uint64_t first; /* the oldest one's id, when count > 0 */
    uint32_t bytes;
};

enum gy_chat_subscription_state {
    SUBSCRIPTION_LIVE,
    SUBSCRIPTION_BEHIND,  /* waits for room in `out` */
    SUBSCRIPTION_READING, /* waits for the store */
};

/* A member in a room. */
struct gy_chat_subscription {
    struct gy_chat_member *member;
    struct gy_chat_room *room;
    struct gy_chat_subscription *next; /* of the member */
    uint64_t next_id;                  /* what comes next, unless live */
    uint32_t index;                    /* in the room's list */
    uint32_t typed_ms;                 /* when it last said that it types */
    uint16_t tag;                      /* of the JOIN that is being answered */
    uint8_t state;
    uint8_t policy;
    uint8_t role;
    bool joining : 1; /* END follows */
    bool slow : 1;    /* fell behind, and the policy has not been applied */
    bool inbox : 1;
    bool typing : 1;
};

/* Whom to tell that an entry was committed, beside the entry. */
struct gy_chat_sender {
    uint32_t worker, slot, generation;
    uint16_t tag;
    uint8_t question;
    bool twin; /* the same client_id is before it in this append, or under way */
};

/* An append that is being filled, or is with the store. */
struct gy_chat_append {
    struct gy_chat_room *room;
    struct gy_chat_job *job;
    struct gy_chat_sender *senders; /* as many as there are entries, twins included */
    struct gy_chat_entry *entries;  /* all; the job has those that are no twins */
    uint32_t count, capacity;
    uint32_t bytes;
};

/* A client id of a room that was committed. Index 0 is none. */
struct gy_chat_seen {
    uint64_t user, client_id, id, time_ms;
    uint16_t next;
    bool under_way;
};

struct gy_chat_dedup {
    struct gy_chat_seen *seen; /* capacity + 1 */
    uint16_t *heads;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t next;     /* to be taken */
};

struct gy_chat_peer {
    uint32_t members;
    bool subscribed;
    bool behind; /* something was not sent to it */
};

struct gy_chat_slowed {
    uint64_t user, at_ms;
};

enum gy_chat_room_state {
    ROOM_OPENING, /* the store was asked, or the owner */
    ROOM_OPEN,
};

/* What only the owner has of a room. */
struct gy_chat_owned {
    struct gy_chat_append *filling, *flying;
    struct gy_chat_waiting *waiting_head, *waiting_tail;
    uint32_t waiting;
    struct gy_chat_dedup dedup;
    struct gy_chat_standing *standings; /* by user */
    uint32_t standing_count, standing_capacity;
    struct gy_chat_slowed *slowed;
    uint32_t slowed_count, slowed_capacity;
    uint32_t jobs;  /* with the store */
    bool settling;  /* a standing or a setting is with the store: one at a time */
    bool temporary; /* the store is told when nobody is in it */
    uint64_t inbox_of;
    struct gy_chat_peer *peers; /* of each worker but this */
};

#define NOTICE_CLASSES 3 /* of no feature, typing, presence */
#define NOTICE_BYTES   4096

struct gy_chat_notices {
    uint8_t *frames; /* NOTICE_BYTES, taken when needed */
    uint32_t bytes;
};

struct gy_chat_room {
    struct gy_chat_link by_name; /* first: tables find rooms by it */
    struct gy_chat_link by_number;
    TAILQ_ENTRY(gy_chat_room) dirty_entry, idle_entry, behind_entry;
    struct gy_chat_subscription **list;
    uint32_t count, capacity; /* of the list */
    uint32_t of_book, of_websocket;
    uint32_t number;
    uint32_t owner;
    uint32_t joining; /* questions to the owner that are not answered */
    uint32_t slow_ms;
    uint32_t told;        /* members that the owner was told of */
    uint64_t first, last; /* ids: of the history; `last` is the last that was passed on here */
    uint64_t target;      /* a worker that is behind reads up to here */
    uint64_t idle_ms;     /* since when nobody is in it */
    struct gy_chat_history history;
    struct gy_chat_notices notices[NOTICE_CLASSES];
    struct gy_chat_text topic;
    struct gy_chat_owned *owned; /* NULL: another worker's */
    char *name;
    uint8_t name_bytes;
    uint8_t state;
    bool dirty : 1;
    bool idle : 1;
    bool behind : 1;  /* a peer is */
    bool fed : 1;     /* the owner sends what is said */
    bool reading : 1; /* to catch up */
};

TAILQ_HEAD(gy_chat_rooms, gy_chat_room);

/* Who has a nick; at the nick's worker. */
struct gy_chat_person {
    struct gy_chat_link link;
    uint64_t user;
    uint32_t claims; /* connections that have it */
    uint32_t bytes;  /* of the canonical nick, which follows */
};

struct gy_chat_slot {
    struct gy_chat_member *member;
    uint32_t generation;
    uint32_t next_free;
};

/* LOGIN, REGISTER or NICK under way (hub_login.c). */
struct gy_chat_entering;

/* What a job of ours is for. */
enum gy_chat_task_type {
    TASK_OPEN = 1,
    TASK_APPEND,
    TASK_FORGET,
    TASK_SETTLE,  /* a standing or a setting that was asked for */
    TASK_CATCH,   /* a worker that is behind */
    TASK_SPILL,   /* a subscription */
    TASK_HISTORY, /* a HISTORY */
    TASK_TARGET,  /* of EDIT or DELETE */
    TASK_ROOMS,
    TASK_ACCOUNT, /* of LOGIN */
    TASK_NEW_ACCOUNT,
    TASK_FIND, /* whom to TELL, or to MODERATE */
    TASK_LIST, /* of accounts */
    TASK_BAN,
    TASK_STAY, /* KEEP_ROOM, DROP_ROOM */
};

struct gy_chat_task {
    uint8_t type;
    uint8_t by;
    uint16_t tag;
    uint32_t slot, generation;
    uint32_t room;
    struct gy_chat_room *owned; /* which is not put away meanwhile */
    struct gy_chat_append *append;
    struct gy_chat_note note; /* its texts lie in the job */
    struct gy_chat_entering *entering;
};

struct gy_chat_hub {
    struct gy_chat_hub_config config;
    struct gy_chat_hub_ops ops;
    void *context;
    struct gy_bump *bump;
    struct gy_slab *links;
    struct gy_chat_hub_counters counters;
    struct gy_siphash_key key;    /* of tables */
    struct gy_siphash_key places; /* the same in all hubs: which worker */
    uint64_t now_ms, wall_ms;
    uint64_t retry_ms; /* UINT64_MAX: no parcel waits */
    uint64_t again_ms; /* when reads that the store had no room for are asked again; likewise */

    struct gy_chat_slot *slots;
    uint32_t slot_count, slot_capacity, slot_free;
    struct gy_chat_table rooms_by_name, rooms_by_number, persons;
    struct gy_chat_rooms dirty, idle, behind;
    struct gy_chat_lane *lanes; /* of each worker */
    uint32_t asked;             /* questions to other workers that are not answered */
    uint32_t jobs, checks;      /* that are elsewhere */
    uint32_t batch;
    bool draining;
};

/* ---- hub.c ---- */

void *gy_chat_hub_memory(struct gy_chat_hub *hub, size_t bytes);
void gy_chat_hub_return(struct gy_chat_hub *hub, void *memory, size_t bytes);
struct gy_chat_member *gy_chat_hub_member(const struct gy_chat_hub *hub, uint32_t slot,
                                          uint32_t generation);
uint32_t gy_chat_hub_place(const struct gy_chat_hub *hub, struct gy_chat_text name);
uint64_t gy_chat_hub_hash(const struct gy_chat_hub *hub, struct gy_chat_text name);

/* A job with a task in its memory; NULL: no memory. */
struct gy_chat_job *gy_chat_hub_job(struct gy_chat_hub *hub, enum gy_chat_job_type type,
                                    enum gy_chat_task_type task);
struct gy_chat_text gy_chat_job_copy(struct gy_chat_hub *hub, struct gy_chat_job *job,
                                     struct gy_chat_text text);
void gy_chat_hub_submit(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* Writes a frame; a member that cannot take an answer is ended. */
void gy_chat_hub_write(struct gy_chat_hub *hub, struct gy_chat_member *member,
                       const struct gy_chat_frame *frame);
void gy_chat_hub_error(struct gy_chat_hub *hub, struct gy_chat_member *member, uint16_t tag,
                       enum gy_chat_code code, uint32_t retry_ms, const char *sentence);
void gy_chat_hub_fatal(struct gy_chat_hub *hub, struct gy_chat_member *member,
                       enum gy_chat_code code, const char *sentence);

/* The store had no room for a read: who waits for one is woken in a while, and asks again. */
void gy_chat_hub_read_again(struct gy_chat_hub *hub);

/* A request of the member was answered. */
void gy_chat_hub_finished(struct gy_chat_hub *hub, struct gy_chat_member *member);

static inline struct gy_chat_text gy_chat_member_nick(const struct gy_chat_member *member)
{
    return (struct gy_chat_text){member->names, member->nick_bytes};
}

static inline struct gy_chat_text gy_chat_member_canonical(const struct gy_chat_member *member)
{
    return (struct gy_chat_text){member->names + member->nick_bytes, member->canonical_bytes};
}

/* ---- hub_note.c ---- */

/* To a worker, which may be this one (then it is taken at once). GY_ENOBUFS: it is too far behind;
 * only questions and what NOTE_SAID to NOTE_NOTICES is are refused so. */
int gy_chat_note_send(struct gy_chat_hub *hub, uint32_t worker, const struct gy_chat_note *note);

/* A member's question; counts it. What cannot be sent is answered with ERROR busy. */
void gy_chat_note_ask(struct gy_chat_hub *hub, uint32_t worker, struct gy_chat_member *member,
                      struct gy_chat_note *note);

/* To who asked. `answer` has what it says; the rest is filled from the question. */
void gy_chat_note_answer(struct gy_chat_hub *hub, const struct gy_chat_note *question,
                         struct gy_chat_note *answer);
void gy_chat_note_refuse(struct gy_chat_hub *hub, const struct gy_chat_note *question,
                         enum gy_chat_code code, uint32_t retry_ms, const char *sentence);

struct gy_chat_waiting *gy_chat_note_keep(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_note_drop(struct gy_chat_hub *hub, struct gy_chat_waiting *waiting);

/* Copies the note's texts into the job's memory. */
int gy_chat_note_into(struct gy_chat_hub *hub, struct gy_chat_job *job, struct gy_chat_note *to,
                      const struct gy_chat_note *note);

void gy_chat_lanes_flush(struct gy_chat_hub *hub);

/* Does what a note asks for. */
void gy_chat_note_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);

/* ---- hub_login.c ---- */

void gy_chat_login_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame);
void gy_chat_login_stored(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_login_claimed(struct gy_chat_hub *hub, const struct gy_chat_note *answer);
void gy_chat_login_abandon(struct gy_chat_hub *hub, struct gy_chat_member *member);
void gy_chat_person_claim(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_person_release(struct gy_chat_hub *hub, const struct gy_chat_note *note);
struct gy_chat_person *gy_chat_person_find(const struct gy_chat_hub *hub,
                                           struct gy_chat_text canonical);
void gy_chat_persons_close(struct gy_chat_hub *hub);

/* TELL and MODERATE: who has the nick, here or in the store. */
void gy_chat_person_look_up(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_person_found(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* ---- room.c ---- */

struct gy_chat_room *gy_chat_room_named(const struct gy_chat_hub *hub, struct gy_chat_text name);
struct gy_chat_room *gy_chat_room_numbered(const struct gy_chat_hub *hub, uint32_t number);
struct gy_chat_room *gy_chat_room_make(struct gy_chat_hub *hub, struct gy_chat_text name,
                                       uint32_t owner);
void gy_chat_room_free(struct gy_chat_hub *hub, struct gy_chat_room *room);
void gy_chat_room_number(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t number);
void gy_chat_room_dirty(struct gy_chat_hub *hub, struct gy_chat_room *room);

/* Nobody is in it, perhaps: the owner's is put away later, another one now. */
void gy_chat_room_left(struct gy_chat_hub *hub, struct gy_chat_room *room);
uint32_t gy_chat_room_members(const struct gy_chat_hub *hub, const struct gy_chat_room *room);
int gy_chat_room_topic(struct gy_chat_hub *hub, struct gy_chat_room *room,
                       struct gy_chat_text topic);
void gy_chat_rooms_flush(struct gy_chat_hub *hub);

/* Everybody is put out of it, and it is not found by its name any more. The owner's. */
void gy_chat_room_drop(struct gy_chat_hub *hub, struct gy_chat_room *room, struct gy_chat_text by);

/* A dropped one of another worker, which somebody here is about to join under its old number. */
void gy_chat_room_unnumber(struct gy_chat_hub *hub, struct gy_chat_room *room);

void gy_chat_room_behind(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t worker);

/* The subscription of a member to a room by number; NULL: it is not in it. */
struct gy_chat_subscription *gy_chat_subscription_of(const struct gy_chat_member *member,
                                                     uint32_t room);
struct gy_chat_subscription *gy_chat_subscribe(struct gy_chat_hub *hub, struct gy_chat_room *room,
                                               struct gy_chat_member *member);
void gy_chat_unsubscribe(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription);

/* ---- room_join.c ---- */

void gy_chat_join_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                          const struct gy_chat_frame *frame);
void gy_chat_join_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_join_answered(struct gy_chat_hub *hub, const struct gy_chat_note *answer);
void gy_chat_leave_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame);

/* The room at its owner, opened by the store where it is not open: then NULL, and the note waits,
 * or was refused. */
struct gy_chat_room *gy_chat_room_for(struct gy_chat_hub *hub, const struct gy_chat_note *note,
                                      bool make);
void gy_chat_room_opened(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_room_state(struct gy_chat_hub *hub, const struct gy_chat_note *note);

/* ---- room_say.c ---- */

void gy_chat_say_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                         const struct gy_chat_frame *frame);
void gy_chat_say_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_say_target(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_append_submit(struct gy_chat_hub *hub, struct gy_chat_room *room);
void gy_chat_append_stored(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_append_free(struct gy_chat_hub *hub, struct gy_chat_append *append);

/* Puts it behind what waits to be appended: who asked is answered when that is done, or could not
 * be. */
void gy_chat_append_add(struct gy_chat_hub *hub, struct gy_chat_room *room,
                        const struct gy_chat_note *note);

/* Answers what was said before, or is just being said. True: it was that. */
bool gy_chat_say_again(struct gy_chat_hub *hub, struct gy_chat_room *room,
                       const struct gy_chat_note *note);

/* ---- room_dedup.c ---- */

/* What is known of a client id; NULL: nothing. */
struct gy_chat_seen *gy_chat_dedup_find(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup,
                                        uint64_t user, uint64_t client_id);
void gy_chat_dedup_add(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup, uint64_t user,
                       uint64_t client_id);
void gy_chat_dedup_remove(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup, uint64_t user,
                          uint64_t client_id);
void gy_chat_dedup_free(struct gy_chat_hub *hub, struct gy_chat_dedup *dedup);

/* ---- room_moderate.c ---- */

void gy_chat_moderate_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                              const struct gy_chat_frame *frame);
void gy_chat_moderate_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);

/* Stores what the topic, or slow mode, is to be; then it is said. */
void gy_chat_settle_topic(struct gy_chat_hub *hub, struct gy_chat_room *room,
                          const struct gy_chat_note *note);
void gy_chat_settled(struct gy_chat_hub *hub, struct gy_chat_job *job);
struct gy_chat_standing *gy_chat_standing_of(const struct gy_chat_room *room, uint64_t user);
uint8_t gy_chat_role_of(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                        uint64_t user);
bool gy_chat_is_banned(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                       uint64_t user);
bool gy_chat_is_muted(const struct gy_chat_hub *hub, const struct gy_chat_room *room,
                      uint64_t user);

/* How long the user has to wait in slow mode: 0, or milliseconds; says that it speaks now. */
uint32_t gy_chat_slow_wait(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user);
void gy_chat_remove_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_role_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
int gy_chat_standings_load(struct gy_chat_hub *hub, struct gy_chat_room *room,
                           const struct gy_chat_standing *standings, uint32_t count);

/* ---- room_publish.c ---- */

/* Passes on what was committed: `past` are `count` things with their ids in a row. */
void gy_chat_publish(struct gy_chat_hub *hub, struct gy_chat_room *room,
                     struct gy_chat_past *const *past, uint32_t count);

/* It could not be passed on, for want of memory: everybody reads it from the history. */
void gy_chat_publish_lost(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t first,
                          uint64_t last);

/* The same of bytes from the room's owner. */
void gy_chat_said_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_behind_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_caught(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* Reads what this worker missed of another worker's room, if anything. */
void gy_chat_catch_up(struct gy_chat_hub *hub, struct gy_chat_room *room);

/* One frame to everybody in the room, at the end of the turn; from the owner to all workers. */
void gy_chat_notice(struct gy_chat_hub *hub, struct gy_chat_room *room,
                    const struct gy_chat_frame *frame);
void gy_chat_notices_add(struct gy_chat_hub *hub, struct gy_chat_room *room, uint32_t class,
                         struct gy_chat_text frames);
void gy_chat_notices_flush(struct gy_chat_hub *hub, struct gy_chat_room *room);
void gy_chat_notices_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);

/* ---- room_history.c ---- */

struct gy_chat_past *gy_chat_history_at(const struct gy_chat_history *history, uint64_t id);
void gy_chat_history_add(struct gy_chat_hub *hub, struct gy_chat_room *room,
                         const struct gy_chat_past *past);
void gy_chat_history_clear(struct gy_chat_hub *hub, struct gy_chat_room *room);
void gy_chat_history_blank(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t target);
void gy_chat_history_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame);
void gy_chat_history_read(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* Sends what the subscription lacks, as far as there is room. */
void gy_chat_spill(struct gy_chat_hub *hub, struct gy_chat_subscription *subscription);
void gy_chat_spill_read(struct gy_chat_hub *hub, struct gy_chat_job *job);

/* ---- room_list.c ---- */

void gy_chat_members_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                             const struct gy_chat_frame *frame);
void gy_chat_members_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_rooms_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_frame *frame);
void gy_chat_rooms_read(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_rooms_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);
void gy_chat_page_answered(struct gy_chat_hub *hub, struct gy_chat_member *member,
                           const struct gy_chat_note *answer);

/* ---- room_presence.c ---- */

void gy_chat_typing_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                            const struct gy_chat_frame *frame);
void gy_chat_presence_request(struct gy_chat_hub *hub, struct gy_chat_member *member,
                              const struct gy_chat_frame *frame);

/* Tells a room something that `user` does, through its owner. Who is muted neither types there nor
 * says how it is. */
void gy_chat_here(struct gy_chat_hub *hub, struct gy_chat_room *room, uint64_t user,
                  const struct gy_chat_frame *frame);
void gy_chat_here_take(struct gy_chat_hub *hub, const struct gy_chat_note *note);

#endif
