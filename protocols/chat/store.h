/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_STORE_H
#define GY_PROTOCOLS_CHAT_STORE_H

/*
 * What the hub (hub.h) asks of a store, and what a store promises. A store is behind this
 * interface so that an engine over several hosts can take the place of SQLite.
 *
 * A job is filled by the hub, handed to the store (its owner until it is done), and comes back to
 * the hub's thread by gy_chat_hub_stored(). Jobs of one hub that concern one room are done in the
 * order in which they were submitted. A job comes back exactly once, also when the store fails.
 *
 * Durable: when an append comes back with result 0 its entries survive a crash of the process and
 * of the machine (fsync returned), all of them or, with an error, none of them.
 *
 * Order: the room's owner has at most one append of a room under way, and says what id is next;
 * entries take ids from it in their order, except those that the store has already (the same user,
 * room and client_id, not 0): these get `duplicate` and the id of the first time. Times of a room
 * never go back: an entry that says an earlier one than the room's last gets that one's.
 *
 * A temporary room goes some time (the store's) after CLOSE_ROOM, unless it is opened meanwhile; or
 * after the server has begun again, which closes all of them. Its number is not given again.
 *
 * A deletion empties the contents of its target, and of the edits of it: what somebody took back is
 * not kept.
 */

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/* One numbered thing of a room's history. Texts lie in the job's memory. */
struct gy_chat_entry {
    uint64_t id;
    uint64_t time_ms;
    uint64_t target;
    uint64_t user;
    uint64_t client_id;
    uint8_t kind;   /* enum gy_chat_kind */
    bool duplicate; /* set by the store; `id` and `time_ms` are those of the first time */
    struct gy_chat_text from;
    struct gy_chat_text contents;
};

/* A person's standing in a room. */
struct gy_chat_standing {
    uint64_t user;
    uint8_t role; /* enum gy_chat_role without MUTED */
    bool banned, muted;
    uint64_t banned_until_ms; /* 0: for ever */
    uint64_t muted_until_ms;
};

struct gy_chat_account {
    uint64_t user;                 /* 1 to 2^62; guests are above */
    struct gy_chat_text nick;      /* as it was written */
    struct gy_chat_text canonical; /* how nicks are compared (name.h) */
    uint8_t salt[16];
    uint8_t hash[32];                /* scrypt of the password; all zero: no password */
    uint8_t cost_log2;               /* N = 2^cost_log2, r = 8, p = 1 */
    struct gy_chat_text certificate; /* subject that may log in without a password; may be empty */
    uint32_t epoch;                  /* of its tokens: those of an earlier one are void */
    bool operates;                   /* the server */
};

/* What CHANGE_ACCOUNT changes. */
enum gy_chat_change {
    GY_CHAT_CHANGE_PASSWORD = 1 << 0, /* to `salt`, `hash` and `cost_log2` */
    GY_CHAT_CHANGE_EPOCH = 1 << 1,    /* to the next one */
    GY_CHAT_CHANGE_OPERATES = 1 << 2, /* to `operates` */
};

/* Who may not log in to the server. */
enum gy_chat_ban_kind {
    GY_CHAT_BAN_NICK = 1, /* `subject` is canonical: guests with it, and its account */
    GY_CHAT_BAN_ADDRESS,  /* 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 */
};

#define GY_CHAT_BAN_REASON_MAX 255

struct gy_chat_ban {
    uint8_t kind; /* enum gy_chat_ban_kind */
    struct gy_chat_text subject;
    struct gy_chat_text by;     /* nick of who did it */
    struct gy_chat_text reason; /* may be empty; told to who is banned */
    uint64_t made_ms;
    uint64_t until_ms; /* 0: for ever */
};

enum gy_chat_job_type {
    GY_CHAT_JOB_OPEN_ROOM = 1,  /* by name; makes it when `make`: number, first, last, settings */
    GY_CHAT_JOB_APPEND,         /* entries; with `target` of an edit already checked by the owner */
    GY_CHAT_JOB_READ,           /* history into `entries`; and `first` and `last` as they are now */
    GY_CHAT_JOB_STANDING,       /* puts one standing, standings[0] */
    GY_CHAT_JOB_SETTINGS,       /* puts topic and slow_ms of a room */
    GY_CHAT_JOB_ROOMS,          /* names after `name`, with `prefix`, up to `entries_max`: into
                                   `entries`, of each the name as `from`, the topic as `contents`,
                                   the number as `target`, the last id as `id`; names that begin
                                   with @ only where `prefix` does */
    GY_CHAT_JOB_ACCOUNT,        /* gets an account by its canonical nick */
    GY_CHAT_JOB_NEW_ACCOUNT,    /* puts one; GY_EEXIST when the nick is taken */
    GY_CHAT_JOB_CLOSE_ROOM,     /* a temporary one, by number: nobody is in it any more */
    GY_CHAT_JOB_KEEP_ROOM,      /* by number: it is temporary no more, and counts for nobody */
    GY_CHAT_JOB_DROP_ROOM,      /* by number: it is not found by its name any more, and goes */
    GY_CHAT_JOB_CHANGE_ACCOUNT, /* by its canonical nick, as `change` says; gets the account */
    GY_CHAT_JOB_ACCOUNTS,       /* after the canonical nick `name`, up to `entries_max`: into
                                   `entries`, of each the nick as `from`, the canonical one as
                                   `contents`, when it was made as `time_ms`, the user as `user`,
                                   and whether it operates the server as `kind` */
    GY_CHAT_JOB_BAN,   /* puts `ban`, or, where its kind and subject are there, changes it */
    GY_CHAT_JOB_UNBAN, /* takes away the ban of that kind and subject */
};

/* A piece of a job's memory, got from malloc; `used` of its `bytes`, which follow it, are taken. */
struct gy_chat_block {
    struct gy_chat_block *next;
    uint32_t bytes, used;
};

struct gy_chat_job {
    enum gy_chat_job_type type;
    int result;   /* 0, GY_ENOTFOUND, GY_EEXIST, GY_ENOSPACE (a full disk), GY_EIO, GY_ENOMEM,
                     GY_ESTATE (`next_id` is not the next one), GY_ELIMIT (`maker_most`) */
    uint32_t hub; /* that it goes back to */
    void *owner;  /* the hub's: what it is for */

    uint32_t room;
    struct gy_chat_text name; /* OPEN_ROOM, ROOMS */
    struct gy_chat_text prefix;
    bool make;
    uint64_t made_by;    /* OPEN_ROOM with make: becomes its owner; 0: it has none */
    uint64_t maker;      /* likewise: whom the room counts for; 0: nobody */
    uint32_t maker_most; /* likewise: so many rooms of a maker there may be, else GY_ELIMIT */
    bool temporary;      /* OPEN_ROOM: in, with make: it goes some time after it was closed, with
                            all that was said in it; out: whether it does */
    bool was_made;
    uint64_t now_ms;

    uint64_t next_id;     /* APPEND: in */
    uint64_t first, last; /* OPEN_ROOM: out: ids of the history; last 0: none */
    struct gy_chat_text topic;
    uint32_t slow_ms;
    struct gy_chat_standing *standings; /* OPEN_ROOM: out; STANDING: in */
    uint32_t standing_count;

    struct gy_chat_entry *entries; /* APPEND: in; READ: out */
    uint32_t entry_count, entries_max;
    uint8_t by; /* READ, as HISTORY's */
    uint64_t point;
    bool more; /* READ, ROOMS: out */

    struct gy_chat_account account;
    uint8_t change; /* CHANGE_ACCOUNT: enum gy_chat_change */
    struct gy_chat_ban ban;

    struct gy_chat_job *next; /* the holder's */

    /* Everything that the job points to is in blocks of this list, freed with it. */
    struct gy_chat_block *blocks;
};

#endif
