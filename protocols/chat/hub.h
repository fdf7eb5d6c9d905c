/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_HUB_H
#define GY_PROTOCOLS_CHAT_HUB_H

/*
 * The hub: what all connections of one worker share of the chat server, and how the workers' hubs
 * make one server together. No sockets, threads, clock or malloc: all of that is handed in.
 *
 *   member   one connection. Its struct is embedded in the connection's session; what the hub has
 *            to say to it is appended to the chain that it was attached with.
 *   room     has one owner: the worker that the hash of its name says. The owner numbers what is
 *            said, decides who may, and has at most one append of a room with the store at a time,
 *            so that all that is said meanwhile is the next one (group commit). Other workers that
 *            have members in the room keep a part of it: their members and the latest history.
 *   person   a nick has one worker too, which knows who has it: the directory.
 *
 * A message is committed by the store, then acknowledged, then passed on; nobody sees an id that a
 * crash can take back.
 *
 * What is said in a room in one turn becomes one append, by gy_chat_hub_flush() at the end of the
 * turn; what one append has committed is encoded once, one frame behind the other, and appended to
 * each member's chain as one slice. So W messages to N members cost N appends. A WebSocket's head
 * lies before the same bytes. Other workers get one copy each.
 *
 * Slow members. While more than `mark_bytes` wait in a member's chain, nothing is added: the hub
 * remembers the first id that was missed. When the chain has drained (gy_chat_hub_room()), the
 * policy says where to go on: at the latest message, at the oldest of those that fit below the mark
 * (drop oldest), or at the first missed (spill); a GAP says what was left out, and what was not
 * comes from the history in memory or from the store. So a slow member costs the same memory,
 * whatever its policy, and nobody waits for it.
 *
 * Between workers go parcels: one for each other worker and turn, with everything in it. A parcel
 * that does not fit into the mailbox is kept, in order. While more than `queue_bytes` are kept for
 * a worker, requests to it are refused with ERROR busy, and what rooms say is not sent to it: when
 * it takes parcels again it is told how far each such room is, and reads the rest from the store
 * (counted as `behind`).  Answers are always kept: each worker has at most `credits` questions that
 * are not answered, and what ends (members that leave) is bounded by the members.
 *
 * Everything of a hub is called by its worker's thread. Calls of the ops may come back into the hub
 * only where it says so.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/bump.h"
#include "../../core/error.h"
#include "../../core/siphash.h"
#include "../../core/slice.h"
#include "frame.h"
#include "name.h"
#include "store.h"

struct gy_chat_hub;
struct gy_chat_subscription;

/* User numbers of guests have this bit. */
#define GY_CHAT_GUEST_BIT (UINT64_C(1) << 62)

/* Whoever may read the store's files: logs in by a token that the server has made for it, is no
 * account, and operates the server. Its nick is nobody else's. */
#define GY_CHAT_SERVER_USER (GY_CHAT_GUEST_BIT - 1)
#define GY_CHAT_SERVER_NICK "server"

/* How a member's frames lie in its chain. */
enum gy_chat_encoding {
    GY_CHAT_OVER_STREAM,    /* one behind the other */
    GY_CHAT_OVER_WEBSOCKET, /* whole frames in binary messages, heads included (RFC 6455 §5.2) */
    GY_CHAT_OVER_BOOK,      /* the book's messages: kind 0 of the lobby */
};

/*
 * One connection. Embed it. Its owner reads `user`, `encoding` and `lagging`; the rest is the
 * hub's.
 */
struct gy_chat_member {
    struct gy_chat_hub *hub; /* NULL: not attached */
    struct gy_chain *out;
    struct gy_chat_subscription *subscriptions;
    struct gy_chat_entering *entering; /* LOGIN, REGISTER or NICK that is under way */
    char *names;                       /* nick, then its canonical form */
    char *note;
    uint64_t user; /* 0: nobody yet */
    uint32_t slot;
    uint32_t generation;
    uint32_t batch;    /* the last batch that it has a message of its own in */
    uint32_t features; /* GY_CHAT_FEATURE_… that were agreed on */
    uint16_t asks;     /* requests that are under way */
    uint16_t rooms;    /* subscriptions */
    uint16_t lagging;  /* of these: wait for room in `out` */
    uint8_t nick_bytes;
    uint8_t canonical_bytes;
    uint8_t note_bytes;
    uint8_t status;
    uint8_t encoding; /* enum gy_chat_encoding */
    bool refused : 1; /* a request was not taken: it is woken when it can be */
    bool ended : 1;   /* a fatal ERROR was written */
};

/* What goes from one worker's hub to another's. Its bytes belong to the hubs. */
struct gy_chat_parcel {
    struct gy_chat_parcel *next;
    uint32_t from;
    uint32_t bytes; /* of what follows */
    uint32_t room;
    uint32_t records;
};

/*
 * A password to be checked, or to be hashed, elsewhere, because scrypt takes its time. Filled by
 * the hub; comes back by gy_chat_hub_checked() on the same worker.
 */
struct gy_chat_check {
    struct gy_chat_check *next; /* the holder's */
    uint32_t hub;
    bool make;       /* hash `password` into salt, hash and cost_log2 */
    int result;      /* 0; GY_EREFUSED: another one; GY_EINVAL: may be none; GY_ENOMEM */
    const char *why; /* with GY_EINVAL: which rule it breaks; a constant */
    uint8_t salt[16];
    uint8_t hash[32];
    uint8_t cost_log2;
    uint16_t password_bytes;
    char password[GY_CHAT_PASSWORD_MAX];
};

/* What an operator of a room, or of the server, did. Texts may be empty. */
struct gy_chat_act {
    const char *what; /* "kick", "ban", "room-drop" …: a constant */
    struct gy_chat_text by;
    struct gy_chat_text whom; /* a nick, an address, a room */
    struct gy_chat_text room; /* in which; empty: on the server */
    struct gy_chat_text reason;
    uint32_t seconds; /* of bans and mutes; 0: until it is taken back */
};

/* What is handed in. `context` is that of gy_chat_hub_open(). */
struct gy_chat_hub_ops {
    /* Memory, aligned for every type; NULL: there is none. All hubs have the same (a parcel is
     * given back by another hub than took it), so these two may be called by several threads. */
    void *(*take)(void *context, size_t bytes);
    void (*give)(void *context, void *memory, size_t bytes);

    /* A job's memory (store.h): a zeroed job, memory that lives as long, and the end of both. */
    struct gy_chat_job *(*job_make)(enum gy_chat_job_type type);
    void *(*job_take)(struct gy_chat_job *job, size_t bytes);
    void (*job_free)(struct gy_chat_job *job);

    /* Hands a job to the store; gy_chat_hub_stored() brings it back, later or from within. It may
     * not refuse: a store that cannot take it answers with a result. */
    void (*store)(void *context, struct gy_chat_job *job);

    /* Puts a parcel into another worker's mailbox: 0, and it is the receiver's; GY_ENOBUFS: the
     * mailbox is full, and it is the hub's still. */
    int (*post)(void *context, uint32_t worker, struct gy_chat_parcel *parcel);

    /* Writes an answer or an event to the member's connection, as gy_chat_session_write() does,
     * behind what is in `out`. An ERROR that is fatal ends it. 0, or negative: nothing was
     * written. */
    int (*write)(void *context, struct gy_chat_member *member, const struct gy_chat_frame *frame);

    /* The hub itself has appended to the member's chain: flush it at the end of this turn. */
    void (*output)(void *context, struct gy_chat_member *member);

    /* Run the member's session: it waits for room (`lagging`; then its owner calls
     * gy_chat_hub_room() when `out` has drained to low_bytes), or a request that was not taken can
     * be given again. */
    void (*wake)(void *context, struct gy_chat_member *member);

    /* 0, and it comes back; GY_ENOBUFS: too many are waiting. Not from within. */
    int (*check)(void *context, struct gy_chat_check *check);

    /* Tokens of IDENTITY. Makes one into `token` (GY_CHAT_TOKEN_MAX bytes), and returns its bytes;
     * 0: none. The other: 0 and whose it is, or GY_EREFUSED. `nick` is canonical in both; `epoch`
     * is the account's. */
    uint32_t (*token_make)(void *context, uint64_t user, struct gy_chat_text nick, uint32_t epoch,
                           char *token);
    int (*token_check)(void *context, struct gy_chat_text token, struct gy_chat_text nick,
                       uint64_t *user, uint32_t *epoch);

    /* The subject of the client certificate that the member's connection showed, if any. */
    bool (*certificate)(void *context, struct gy_chat_member *member, struct gy_chat_text *subject);

    /* Whether an account may do in every room what its owner may (the server's own operators).
     * NULL: nobody may. */
    bool (*operates)(void *context, uint64_t user);

    /* An account has logged in that operates the server, or it does from now on, or no more. NULL:
     * none does by its account. */
    void (*operates_now)(void *context, uint64_t user, bool operates);

    /* Bans from the server; NULL: there are none. Whether the member may not be here by that nick
     * (canonical), and a sentence for it; what an operator wrote, made canonical (`room` has
     * GY_CHAT_CANONICAL_MAX bytes for an address), or GY_EINVAL and `why`; what is stored now; and
     * those there are, by place: false behind the last; its texts are valid until it is called
     * again. */
    bool (*banned)(void *context, struct gy_chat_member *member, struct gy_chat_text nick,
                   char sentence[GY_CHAT_SENTENCE_MAX + 1]);
    int (*ban_address)(void *context, struct gy_chat_text written, char *room, uint32_t *bytes,
                       const char **why);
    void (*ban_changed)(void *context, const struct gy_chat_ban *ban, bool lifted);
    bool (*ban_at)(void *context, uint64_t place, struct gy_chat_ban *ban);

    /* Of a member, for who operates the server: its address, as text of at most 128 bytes, and when
     * it came (Unix time); returns the text's bytes. NULL: not known. */
    uint32_t (*describe)(void *context, struct gy_chat_member *member, char *address,
                         uint64_t *since_ms);

    /* Somebody has moderated, or operated: for a log. NULL: there is none. */
    void (*acted)(void *context, const struct gy_chat_act *act);

    /* A number of where a member comes from, the same for all that come from there: what guests
     * make counts for it. 0, and where it is NULL: that is not known, and counts for nobody. Below
     * GY_CHAT_GUEST_BIT. */
    uint64_t (*origin)(void *context, struct gy_chat_member *member);

    uint64_t (*random)(void *context); /* that nobody can foresee */
};

/* Who may do a thing. */
enum gy_chat_who {
    GY_CHAT_NOBODY,
    GY_CHAT_OPERATORS, /* the server's own: ops.operates() */
    GY_CHAT_ACCOUNTS,
    GY_CHAT_EVERYBODY,
};

/* 0 in a bound means the default beside it. Bounds are of one worker unless they say otherwise. */
struct gy_chat_hub_config {
    uint32_t number, workers; /* of this worker; of all */
    uint8_t make_rooms;       /* enum gy_chat_who */
    uint8_t guests;           /* likewise: NOBODY: LOGIN as guest is refused */
    uint8_t registering;      /* likewise: REGISTER */

    uint32_t members_max;      /* 65536 */
    uint32_t rooms_max;        /* 16384: owned, or with members here */
    uint32_t rooms_per_member; /* 64 */

    /* Rooms that are the server's own: anybody may make them by joining, they are nobody's, and
     * stay. The array outlives the hub. */
    const struct gy_chat_canonical *own_rooms;
    uint32_t own_room_count;

    /* Of all workers, and of rooms that are there: those that one account has made; and those, and
     * inboxes, of guests from one origin. What guests have made is temporary (store.h). */
    uint32_t rooms_per_account;  /* 256 */
    uint32_t rooms_per_origin;   /* 16 */
    uint32_t inboxes_per_origin; /* 256 */

    uint32_t asks_per_member; /* 256: requests under way; then its input waits */

    uint32_t mark_bytes;      /* 131072 in `out`: slow */
    uint32_t low_bytes;       /* mark_bytes / 4: no longer */
    uint32_t history_bytes;   /* 65536 of a room's latest messages */
    uint64_t histories_bytes; /* 64 MiB of all rooms'; beyond it rooms have none in memory */
    uint32_t page_max;        /* 500 entries of one answer */
    uint32_t dedup_entries;   /* 512 of a room: client ids that the owner remembers itself */
    uint32_t append_entries;  /* 1024 of a room in one append; as many wait for the next one */
    uint32_t append_bytes;    /* 262144 of texts in one append; beyond it: ERROR busy */
    uint32_t opening_max;     /* 1024 requests that wait until a room is open */
    uint32_t quiet_members;   /* 1000: a room with more says no CAME, TYPES and STATUS */
    uint32_t standings_max;   /* 4096 of a room: roles, bans and mutes */
    uint32_t typing_ms;       /* 2000 between two notices of one member in a room */
    uint32_t room_idle_ms;    /* 60000 until a room that nobody is in is put away */
    uint32_t parcel_bytes;    /* 65536 */
    uint32_t queue_bytes;     /* 1 MiB kept for a worker whose mailbox is full */
    uint32_t credits;         /* 4096 questions to other workers that are not answered */
    uint64_t memory_max;      /* 1 GiB that the hub takes, parcels and jobs aside */
};

#define GY_CHAT_CODES 18 /* enum gy_chat_code, from 1 on */

/* Since the hub was opened; `members` to `kept_bytes` are as it is now. */
struct gy_chat_hub_counters {
    uint64_t members, rooms, persons, memory_bytes, history_bytes, kept_bytes;
    uint64_t requests;      /* taken from members */
    uint64_t messages;      /* committed, of rooms owned here */
    uint64_t appends;       /* jobs that committed them */
    uint64_t acks;          /* sent to members */
    uint64_t duplicates;    /* sent again, and acknowledged as the first time */
    uint64_t deliveries;    /* messages put into members' chains */
    uint64_t batches;       /* slices of them */
    uint64_t encoded_bytes; /* of batches, once for all who got them */
    uint64_t copied_bytes;  /* of what was sent on: jobs, histories and parcels */
    uint64_t notices;       /* CAME, TYPES and STATUS put into members' chains */
    uint64_t quiet;         /* that rooms did not say because they are large, or too fast */
    uint64_t slow;          /* times that a subscription fell behind */
    uint64_t gaps;          /* GAPs sent */
    uint64_t dropped;       /* messages that these name and that did not come after them */
    uint64_t spilled;       /* messages that came from the history after falling behind */
    uint64_t starved;       /* batches that found no memory: everybody in the room fell behind */
    uint64_t ended_slow;    /* members whose policy was to disconnect */
    uint64_t reads_memory, reads_store; /* pieces of history from either */
    uint64_t storage_failures;
    uint64_t parcels_out, parcels_in, parcels_refused; /* mailbox full, tried again */
    uint64_t behind;                                   /* rooms not sent to a worker for that */
    uint64_t refused[GY_CHAT_CODES];                   /* ERRORs by code */
};

/* ---- life ---- */

/* `bump` and `links` are the worker's. 0; GY_ENOMEM. */
int gy_chat_hub_open(struct gy_chat_hub **hub, const struct gy_chat_hub_config *config,
                     const struct gy_chat_hub_ops *ops, void *context, struct gy_bump *bump,
                     struct gy_slab *links);

/* All members are detached, and neither store nor checks have anything of it. */
void gy_chat_hub_close(struct gy_chat_hub *hub);

/* At the beginning of every turn: monotonic milliseconds, and those since 1970. */
void gy_chat_hub_clock(struct gy_chat_hub *hub, uint64_t now_ms, uint64_t wall_ms);

/* At the end of every turn in which anything of the hub was called: submits appends, sends rooms'
 * batches to members and parcels to workers. */
void gy_chat_hub_flush(struct gy_chat_hub *hub);

/* When gy_chat_hub_flush() is to be called though nothing happened, in monotonic milliseconds;
 * UINT64_MAX: never. */
uint64_t gy_chat_hub_deadline(const struct gy_chat_hub *hub);

/* Whether gy_chat_hub_flush() has something to do now. */
bool gy_chat_hub_dirty(const struct gy_chat_hub *hub);

const struct gy_chat_hub_counters *gy_chat_hub_counters(const struct gy_chat_hub *hub);

/* ---- members ---- */

/* Before the first request: 0, or GY_ELIMIT, GY_ENOMEM. The struct, which may be undefined memory,
 * and `out` stay where they are until gy_chat_hub_detach(). */
int gy_chat_hub_attach(struct gy_chat_hub *hub, struct gy_chat_member *member, struct gy_chain *out,
                       enum gy_chat_encoding encoding, uint32_t features);

/* The connection has ended: it leaves its rooms. Nothing is appended to `out` any more. */
void gy_chat_hub_detach(struct gy_chat_member *member);

/*
 * What gy_chat_session_read() gives: any request but QUIT. It is answered as the protocol's page
 * says, now or later; its texts are copied where they are kept.
 *
 * 0; GY_EAGAIN: not taken, because a LOGIN, REGISTER or NICK is under way, or too many requests
 * are: give it again, and nothing before it, when the session is woken.
 */
int gy_chat_hub_request(struct gy_chat_member *member, const struct gy_chat_frame *frame);

/* `out` has drained to low_bytes or less: what the member missed comes now. */
void gy_chat_hub_room(struct gy_chat_member *member);

/* ---- what comes back ---- */

void gy_chat_hub_stored(struct gy_chat_hub *hub, struct gy_chat_job *job);
void gy_chat_hub_checked(struct gy_chat_hub *hub, struct gy_chat_check *check);

/* From another worker; it is the hub's now. */
void gy_chat_hub_parcel(struct gy_chat_hub *hub, struct gy_chat_parcel *parcel);

/* Of one that nobody will read any more. */
void gy_chat_hub_parcel_free(struct gy_chat_hub *hub, struct gy_chat_parcel *parcel);

/* ---- operating ---- */

/* The server ends: MOVE to all members, and from then on no joining. `address`: where to; empty:
 * the same. */
void gy_chat_hub_drain(struct gy_chat_hub *hub, uint32_t in_ms, struct gy_chat_text address);

/* After it: ERROR drain to all that are left, and their end. */
void gy_chat_hub_end_all(struct gy_chat_hub *hub);

/* Nothing is under way: no request of a member here, no append, no read, no check. */
bool gy_chat_hub_idle(const struct gy_chat_hub *hub);

#endif
