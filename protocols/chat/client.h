/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_CLIENT_H
#define GY_PROTOCOLS_CHAT_CLIENT_H

/*
 * The client's side of chat (README.md), over any number of connections one after the other: what a
 * terminal, a bot, a load generator and the simulator are built on.
 *
 *     gy_chat_client_init(&client, &env, &options)
 *     gy_chat_client_join(&client, room, …)       before, or at any time
 *     gy_chat_client_begin(&client, &out, now)    a connection is there
 *       gy_chat_client_read(&client, &in, now, &event), until it returns 0; `out` is sent
 *       gy_chat_client_say(&client, room, contents, &client_id)
 *       gy_chat_client_expire(&client, now, &event) at gy_chat_client_deadline(&client)
 *     gy_chat_client_lost(&client)                it is gone; dial again, then _begin()
 *
 * What is kept over connections, so that nothing is lost and nothing is read twice:
 *
 *   who one is     the token of IDENTITY logs in again; if it is refused, the way of the first time
 *   rooms          joined again, from the last id that was seen
 *   the outbox     what was said and is not acknowledged is sent again, with the same client_id;
 *                  the server stores it once
 *   ids            of each room; a MESSAGE that was read is not an event again, ids that are
 *                  missing are a GAP event, whether the server reports them or not
 *
 * Things said in one room are sent in the order of the calls, up to `window` of them before the
 * first is acknowledged. The server refuses what comes too fast or when it is busy; that is sent
 * again later, and others that were under way may then have overtaken it. A window of 1 keeps the
 * order in every case.
 *
 * Memory is the caller's: the rooms, the outbox, the token. Everything belongs to one worker.
 * Nothing here allocates, blocks, or asks for the time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/bump.h"
#include "../../core/error.h"
#include "../../core/slice.h"
#include "frame.h"

#define GY_CHAT_CLIENT_NO_DEADLINE UINT64_MAX
#define GY_CHAT_CLIENT_NO_ROOM     UINT32_MAX

/* Ranges of a room's ids that have not come although later ones have. More are reported at once. */
#define GY_CHAT_CLIENT_HOLES 8

struct gy_chat_range {
    uint64_t first, last;
};

/* A room that is to be joined. Its members are read-only to the owner, up to `last`. */
struct gy_chat_client_room {
    char name[GY_CHAT_ROOM_MAX]; /* as it was asked for */
    uint8_t name_bytes;          /* 0: the place is free */
    uint8_t state;
    uint8_t policy; /* enum gy_chat_policy */
    uint8_t role;   /* enum gy_chat_role, of the latest JOINED or CAME */
    uint32_t number;
    uint64_t seen; /* the highest id; GY_CHAT_NONE: none yet */

    uint64_t join_last; /* JOINED's */
    uint64_t again_ns;  /* not before; 0: at once */
    uint64_t hole_ns;   /* when the lowest hole was noticed */
    uint16_t history;
    uint16_t tag;
    uint8_t hole_count;
    bool from_nothing;                                /* the JOIN had no `since` */
    struct gy_chat_range holes[GY_CHAT_CLIENT_HOLES]; /* ascending */
};

/* What the clients of one worker share. */
struct gy_chat_client_env {
    struct gy_bump *bump;
    struct gy_slab *links;
    uint8_t scratch[GY_CHAT_FRAME_MAX + 4];
};

void gy_chat_client_env_init(struct gy_chat_client_env *env, struct gy_bump *bump,
                             struct gy_slab *links);

/* Texts and memory outlive the client. 0 in a number means the default beside it. */
struct gy_chat_client_options {
    struct gy_chat_text nick;
    struct gy_chat_text secret; /* of `method` */
    struct gy_chat_text agent;  /* at most 255 bytes; empty: "gyre" */
    uint8_t method;             /* enum gy_chat_method */
    bool registers;             /* with `secret` as password; LOGIN if the nick is there already */
    uint32_t features;          /* to ask for; 0: none */
    uint64_t first_client_id;   /* random: no other client of the same user has the same ids */
    struct gy_chat_client_room *rooms;
    uint32_t rooms_max;
    void *outbox; /* aligned to 8 */
    uint32_t outbox_bytes;
    char *token; /* where one is kept; NULL: none is */
    uint32_t token_max;
    uint32_t window;   /* 16: sent and not acknowledged */
    uint32_t login_ms; /* 30,000: from the connection to IDENTITY */
    uint32_t ping_ms;  /* 45,000 of silence until the server is asked; */
    uint32_t pong_ms;  /* 15,000 until it is given up */
    uint32_t hole_ms;  /* 3,000 until ids that are missing are reported */
};

struct gy_chat_client_counters {
    uint64_t messages;   /* events */
    uint64_t duplicates; /* MESSAGEs that were no event */
    uint64_t sent, sent_again, acked, refused, delayed;
    uint64_t gaps;
    uint64_t connections;
    uint64_t skipped; /* frames of unknown types */
};

struct gy_chat_client {
    struct gy_chat_client_env *env;
    struct gy_chain *out; /* NULL: there is no connection */
    struct gy_chat_client_options options;
    struct gy_chat_client_counters counters;
    uint64_t next_client_id;
    uint64_t begun_ns, heard_ns, ping_ns; /* ping_ns 0: none is under way */
    uint64_t user;                        /* of IDENTITY */
    uint32_t features;                    /* agreed on */
    uint32_t frame_max;                   /* of WELCOME */
    uint32_t taken;
    uint32_t token_bytes;
    uint32_t box_head, box_end; /* of the outbox */
    uint32_t in_flight;
    uint64_t paused_ns; /* nothing is sent before */
    uint16_t next_tag, next_ask;
    uint8_t state;
    uint8_t login;  /* how this connection logs in */
    uint8_t sweeps; /* rooms were refused: what is said there is too */
    uint8_t nick_bytes;
    char nick[255]; /* of IDENTITY */
};

/* Nothing but memory is touched. */
void gy_chat_client_init(struct gy_chat_client *client, struct gy_chat_client_env *env,
                         const struct gy_chat_client_options *options);

/* A new connection, whose output is `out`, which has the links of the env. */
void gy_chat_client_begin(struct gy_chat_client *client, struct gy_chain *out, uint64_t now_ns);

/* It is gone. `out` is the owner's to clear. */
void gy_chat_client_lost(struct gy_chat_client *client);

enum gy_chat_client_event_type {
    GY_CHAT_CLIENT_IN = 1,    /* logged in: frame IDENTITY */
    GY_CHAT_CLIENT_JOINED,    /* `room`; frame JOINED */
    GY_CHAT_CLIENT_CAUGHT_UP, /* `room`: what was missed has come */
    GY_CHAT_CLIENT_MESSAGE,   /* `room`; frame MESSAGE, with GY_CHAT_PAST or without */
    GY_CHAT_CLIENT_GAP,       /* `room`: `first` to `last` are missing; `why` as GAP's, or 0 */
    GY_CHAT_CLIENT_RESET,   /* as JOINED, but the server's history is another one: ids begin anew */
    GY_CHAT_CLIENT_ACKED,   /* `client_id`, `room`; frame ACK */
    GY_CHAT_CLIENT_DELAYED, /* `client_id` (0: a JOIN, of `room`): sent again after a while */
    GY_CHAT_CLIENT_REFUSED, /* `client_id`: not sent again; `code`, `text` */
    GY_CHAT_CLIENT_NOT_JOINED, /* `room` is not joined: refused, or put out; `code`, `text` */
    GY_CHAT_CLIENT_NOT_IN,     /* the login was refused; `code`, `text`; end the connection */
    GY_CHAT_CLIENT_ANSWER,     /* `tag`: frame of an answer to gy_chat_client_ask(), or ERROR */
    GY_CHAT_CLIENT_NEWS,   /* frame CAME, TYPES, STATUS, IDENTITY …; `room` where it has one */
    GY_CHAT_CLIENT_MOVE,   /* frame MOVE: dial there soon */
    GY_CHAT_CLIENT_ENDED,  /* the server ended it: `code`, `text`, `retry_ms` */
    GY_CHAT_CLIENT_BROKEN, /* the server breaks the protocol, or is silent: `text` */
};

/* Behind NOT_IN, ENDED and BROKEN nothing more is read: the owner ends the connection, and calls
 * gy_chat_client_lost(). */
struct gy_chat_client_event {
    enum gy_chat_client_event_type type;
    uint32_t room; /* its place in options.rooms, or GY_CHAT_CLIENT_NO_ROOM */
    uint64_t client_id;
    uint64_t first, last;
    uint16_t tag;
    uint16_t code; /* enum gy_chat_code; 0: none */
    uint8_t why;
    uint32_t retry_ms;
    struct gy_chat_text text;
    struct gy_chat_frame frame; /* valid until the next call, or until `in` is touched */
};

/*
 * Reads from `in` up to the next event, drops what it has read, and writes to `out` what there is
 * to say. 1 with an event; 0 when more bytes are needed; GY_ENOBUFS: there is no memory now, call
 * again when some sends have completed.
 */
int gy_chat_client_read(struct gy_chat_client *client, struct gy_chain *in, uint64_t now_ns,
                        struct gy_chat_client_event *event);

/* When gy_chat_client_expire() is to be called (ns), or GY_CHAT_CLIENT_NO_DEADLINE. Changes with
 * every call. */
uint64_t gy_chat_client_deadline(const struct gy_chat_client *client);

/* Pings, sends again, reports ids that are missing: 1 with an event (call it again), or 0. Does
 * nothing before the deadline. */
int gy_chat_client_expire(struct gy_chat_client *client, uint64_t now_ns,
                          struct gy_chat_client_event *event);

/*
 * Joins a room, now and after each reconnect. `since`: an id that was seen in an earlier life, or
 * GY_CHAT_NONE; then up to `history` messages come first. Returns its place in options.rooms (the
 * same for a room that is there already, byte by byte of its name), or GY_EINVAL for a name of no
 * bytes or more than GY_CHAT_ROOM_MAX, GY_ELIMIT when all places are taken.
 */
int gy_chat_client_join(struct gy_chat_client *client, struct gy_chat_text name,
                        enum gy_chat_policy policy, uint64_t since, uint16_t history);

/* Leaves it, and frees its place. What was said there and not acknowledged is given up. 0,
 * GY_ENOTFOUND, or GY_ENOBUFS (nothing was done). */
int gy_chat_client_leave(struct gy_chat_client *client, uint32_t room);

/*
 * Puts things that the server acknowledges (SEND, TELL, EDIT, DELETE, TOPIC, MODERATE) into the
 * outbox, from where they are sent as soon as can be: when the room is joined. `frame->body` is
 * filled but for its client_id and room, which are set; `room` is a place, not looked at for TELL.
 * 0 and `*client_id`; GY_ENOBUFS: the outbox is full; GY_ENOTFOUND: no such room, or it was
 * refused; GY_EINVAL: another type, or a text is too long.
 */
int gy_chat_client_put(struct gy_chat_client *client, uint32_t room,
                       const struct gy_chat_frame *frame, uint64_t *client_id);

/* A message to a room, and to a person. */
int gy_chat_client_say(struct gy_chat_client *client, uint32_t room, struct gy_chat_text contents,
                       uint64_t *client_id);
int gy_chat_client_tell(struct gy_chat_client *client, struct gy_chat_text nick,
                        struct gy_chat_text contents, uint64_t *client_id);

/* Writes what can be written now; gy_chat_client_read() and _expire() do so too. To be called after
 * _join() and _put() when `out` is to be sent at once. */
void gy_chat_client_flush(struct gy_chat_client *client, uint64_t now_ns);

/* Asks once (HISTORY, MEMBERS, ROOMS, NICK, PRESENCE, TYPING, PING, QUIT …), for this connection
 * only; its answers are ANSWER events with `*tag`. `frame` is complete but for its tag; its room is
 * the number. 0; GY_ESTATE: not logged in; GY_ENOBUFS. */
int gy_chat_client_ask(struct gy_chat_client *client, const struct gy_chat_frame *frame,
                       uint16_t *tag);

/* Whether somebody is logged in on the present connection. */
bool gy_chat_client_is_in(const struct gy_chat_client *client);

/* Things in the outbox: 0 means that all that was said is on the server's disk. */
uint32_t gy_chat_client_waiting(const struct gy_chat_client *client);

/* The number of a room that is joined, for gy_chat_client_ask(); 0: it is not. */
uint32_t gy_chat_client_number(const struct gy_chat_client *client, uint32_t room);

static inline struct gy_chat_text gy_chat_client_nick(const struct gy_chat_client *client)
{
    return (struct gy_chat_text){client->nick, client->nick_bytes};
}

#endif
