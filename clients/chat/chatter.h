/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_CHATTER_H
#define GY_CLIENTS_CHAT_CHATTER_H

/*
 * A chat client for programs: what `gyre chat` is made of, and all that a bot needs.
 *
 *     struct gy_chatter *chat;
 *     struct gy_chatter_event event;
 *     struct gy_chatter_options options = {.server = "localhost", .nick = "bot"};
 *     if (gy_chatter_open(&chat, &options, &error) != 0) { … error.message … }
 *     gy_chatter_join(chat, "lobby");
 *     while (gy_chatter_next(chat, -1, &event) > 0) {
 *         if (event.type == GY_CHATTER_MESSAGE && !event.mine) {
 *             gy_chatter_say(chat, event.room, "I heard that.");
 *         }
 *     }
 *     gy_chatter_close(chat);
 *
 * It connects by itself, and again whenever the connection is lost, with growing pauses. Then it is
 * in its rooms again, has what was said meanwhile, in order and once, and sends again what the
 * server has not acknowledged: nothing is lost, and nothing appears twice. A server that ends may
 * say where to go instead; where nobody answers there, the first address is tried again.
 *
 * A client belongs to the thread that calls it; it has a thread of its own only for names (DNS) and
 * for gy_chatter_watch(). Texts are UTF-8 and end with a zero.
 */

#include "../../core/error.h"
#include "../../core/layer.h"
#include "../../protocols/chat/client.h"

struct gy_chatter;

#define GY_CHAT_PORT     7200
#define GY_CHAT_TLS_PORT 7201

struct gy_chatter_options {
    const char *server;               /* HOST, HOST:PORT, [ADDRESS]:PORT */
    const char *nick;                 /* 1 to 64 bytes */
    const char *password;             /* NULL: as a guest */
    bool registers;                   /* makes an account of nick and password first */
    const char *agent;                /* who is there: NULL: "gyre" */
    const struct gy_layer_ops *layer; /* TLS (gy_tls_layer, core/tls.h), on port GY_CHAT_TLS_PORT
                                         where `server` has none; NULL: none */
    const void *layer_context;
    bool certificate;    /* log in by the certificate that the layer shows */
    const char *token;   /* log in by a token of an earlier IDENTITY, or of the server's; or NULL */
    uint32_t history;    /* messages of a room to begin with; at most 65,535 */
    bool members;        /* MEMBER events for who is in a room when it is joined */
    bool patient;        /* the first connection is tried again, too, until it is there */
    uint32_t timeout_ms; /* to connect; 0: 30,000 */
};

enum gy_chatter_event_type {
    GY_CHATTER_ONLINE = 1,  /* logged in: `nick` is who one is; also after a lost connection */
    GY_CHATTER_OFFLINE,     /* the connection was lost: `text` says why; it is tried again */
    GY_CHATTER_JOINED,      /* a room: `text` is its topic, `role`, `last` */
    GY_CHATTER_MESSAGE,     /* `kind` as in MESSAGE; `mine`: one's own, stored */
    GY_CHATTER_HISTORY_END, /* what gy_chatter_earlier() asked for has come; `more` */
    GY_CHATTER_MEMBER,      /* is in the room: `nick`, `role`, `status` */
    GY_CHATTER_CAME,        /* `what`, `nick`, `role`, `other` as in CAME */
    GY_CHATTER_TYPES,       /* `nick` types, or (`what` 0) not any more */
    GY_CHATTER_STATUS,      /* `nick` has another presence: `status`, `text` */
    GY_CHATTER_GAP,         /* `id` to `last` are missing: `what` says why, as in GAP */
    GY_CHATTER_ERROR,  /* the server refused something: `code`, `text`; what was to be said is in
                             `other` */
    GY_CHATTER_INPUT,  /* what gy_chatter_watch() watches can be read */
    GY_CHATTER_NOTICE, /* whoever runs the server says to all: `nick`, `text`, `time_ms` */
    GY_CHATTER_ROOM,   /* of gy_chatter_rooms(): `other` is its name, `id` its members, `text` its
                          topic */
    GY_CHATTER_REPORT, /* of gy_chatter_admin(): `what`, `role` (the flags), `id`, `time_ms`, `last`
                          (until), `nick` (the name), `other`, `text`, as in REPORT */
    GY_CHATTER_DONE,   /* what gy_chatter_rooms(), _admin(), _change() or _revoke() asked for is
                          done, or all of this page has come; `more` */
};

/* Texts are valid until the next call of gy_chatter_next(). */
struct gy_chatter_event {
    enum gy_chatter_event_type type;
    const char *room; /* NULL: of none */
    const char *nick;
    const char *text;
    const char *other;
    uint64_t id, target, last;
    uint64_t time_ms; /* since 1970 */
    uint16_t code;
    uint8_t kind, role, status, what;
    bool mine; /* one's own */
    bool past; /* said before one was there: asked for, or while the connection was lost */
    bool more;
};

/* Starts; the first connection is made by gy_chatter_next(). 0, or a GY_E… code with a
 * sentence.
 */
int gy_chatter_open(struct gy_chatter **client, const struct gy_chatter_options *options,
                    struct gy_error *error);

/* Says good-bye, where there is a connection, and ends. NULL is allowed. */
void gy_chatter_close(struct gy_chatter *client);

/*
 * Waits for what happens next, at most timeout_ms (-1: for ever). 1 with an event; 0 when the time
 * is over; a GY_E… code when it cannot go on (the server refused the nick, the password, the
 * version): gy_chatter_failure() has the sentence.
 */
int gy_chatter_next(struct gy_chatter *client, int timeout_ms, struct gy_chatter_event *event);
const char *gy_chatter_failure(const struct gy_chatter *client);

/* Joins a room, or makes it; at once, or when there is a connection. GY_ELIMIT: too many rooms;
 * GY_EINVAL: too long. The inbox is the room "@". */
int gy_chatter_join(struct gy_chatter *client, const char *room);
int gy_chatter_leave(struct gy_chatter *client, const char *room);

/*
 * Say something, tell one person, change or take back what one said, set a topic, act as an
 * operator (MODERATE's actions). All are kept until the server has acknowledged them. 0; GY_ELIMIT
 * when too much is kept already; GY_ENOTFOUND: not in that room; GY_EINVAL: too long.
 */
int gy_chatter_say(struct gy_chatter *client, const char *room, const char *text);
int gy_chatter_tell(struct gy_chatter *client, const char *nick, const char *text);
int gy_chatter_edit(struct gy_chatter *client, const char *room, uint64_t id, const char *text);
int gy_chatter_delete(struct gy_chatter *client, const char *room, uint64_t id);
int gy_chatter_topic(struct gy_chatter *client, const char *room, const char *topic);
int gy_chatter_moderate(struct gy_chatter *client, const char *room, uint8_t action,
                        const char *nick, uint32_t seconds, const char *reason);

/* Only while there is a connection, else GY_ESTATE: the messages before an id (they come newest
 * first, `past`); another nick; that one types; presence. */
int gy_chatter_earlier(struct gy_chatter *client, const char *room, uint64_t before,
                       uint16_t count);
int gy_chatter_nick(struct gy_chatter *client, const char *nick);
int gy_chatter_typing(struct gy_chatter *client, const char *room, bool on);
int gy_chatter_presence(struct gy_chatter *client, uint8_t status, const char *note);

/* Likewise: rooms that there are, behind a name; another password, and logging out everywhere else
 * (both end the account's other connections, and its tokens). */
int gy_chatter_rooms(struct gy_chatter *client, const char *after);
int gy_chatter_change(struct gy_chatter *client, const char *old, const char *password);
int gy_chatter_revoke(struct gy_chatter *client);

/* What who operates the server asks, as in ADMIN; NULL: an empty text. */
struct gy_chatter_command {
    uint8_t action; /* enum gy_chat_admin */
    uint32_t seconds;
    uint64_t after;
    const char *subject, *text;
};
int gy_chatter_admin(struct gy_chatter *client, const struct gy_chatter_command *command);

/* What was said and is not acknowledged. */
uint32_t gy_chatter_unacknowledged(const struct gy_chatter *client);

/* Whether an event is waiting already; and the monotonic time of its last turn. */
bool gy_chatter_has_more(const struct gy_chatter *client);
uint64_t gy_chatter_now_ms(const struct gy_chatter *client);

/* Has gy_chatter_next() say INPUT once when a descriptor can be read (standard input, say).
 * Call it again for the next time. One descriptor a client. */
int gy_chatter_watch(struct gy_chatter *client, int descriptor);

#endif
