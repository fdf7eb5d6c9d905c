/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_CHATTER_INTERNAL_H
#define GY_CLIENTS_CHAT_CHATTER_INTERNAL_H

/*
 * Three parts: chatter.c is the connection, chatter_events.c turns what the protocol's client
 * (protocols/chat/client.h) tells into events that wait in a queue, chatter_say.c is what the
 * program says.
 */

#include <sys/queue.h>

#include "clients/chat/chatter.h"
#include "core/backoff.h"
#include "core/connector.h"
#include "core/helper.h"
#include "core/worker.h"

#define CHATTER_ROOMS        64
#define CHATTER_OUTBOX_BYTES (256 * 1024)
#define CHATTER_TOKEN_BYTES  1024
#define CHATTER_EVENTS_MAX   512 /* that wait; then nothing is read */
#define CHATTER_MEMBERS_PAGE 500

/* An event and its texts, in one piece of memory. */
struct queued_event {
    STAILQ_ENTRY(queued_event) entry;
    struct gy_chatter_event event;
    char texts[];
};

/* What was said and is not acknowledged: its event when it is. */
struct said {
    TAILQ_ENTRY(said) entry;
    uint64_t client_id;
    uint64_t target;
    uint8_t kind; /* enum gy_chat_kind */
    bool heard;   /* it has come as a message already: its acknowledgement was lost */
    char room[GY_CHAT_ROOM_MAX + 1];
    char to[GY_CHAT_NICK_MAX + 1]; /* TELL: whom; else empty */
    char text[];
};

/* A question that is under way, of the present connection. */
struct asked {
    uint16_t tag; /* 0: none */
    uint8_t type;
    uint32_t room;
    char last[GY_CHAT_NICK_MAX * 4]; /* MEMBERS: the last that came */
};

#define CHATTER_ASKED (CHATTER_ROOMS + 16) /* of each room, its members */

struct gy_chatter {
    struct gy_chatter_options options;
    char host[256];
    uint16_t port;
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver *resolver;
    struct gy_connector connector;
    bool connector_open;
    struct gy_dial dial;
    bool dialling;
    struct gy_stream *stream; /* NULL: not there yet, or gone */
    struct gy_timer timer;
    struct gy_backoff backoff;
    uint64_t dial_ms;  /* when to dial again; 0: not waiting */
    bool was_in;       /* once at least */
    bool moved;        /* `host` is where the server sent us, not options.server */
    uint64_t retry_ms; /* not sooner, the server says */

    struct gy_chat_client_env *env;
    struct gy_chat_client client;
    struct gy_chat_client_room rooms[CHATTER_ROOMS];
    uint64_t outbox[CHATTER_OUTBOX_BYTES / 8];
    char token[CHATTER_TOKEN_BYTES];
    char *nick, *password, *agent;

    STAILQ_HEAD(queued_events, queued_event) events;
    uint32_t event_count;
    struct queued_event *given; /* the program's, until it asks for the next */
    TAILQ_HEAD(said_list, said) said;
    struct asked asked[CHATTER_ASKED];

    struct gy_helper *helper;
    struct gy_helper_job job;
    int watched, stop;
    bool watching;

    bool failed; /* it cannot go on: `error` */
    struct gy_error error;
};

/* ---- chatter_events.c ---- */

/* Puts an event into the queue with copies of its texts. Without memory it is left out. */
void gy_chatter_queue(struct gy_chatter *chatter, const struct gy_chatter_event *event);

/* One of the protocol's client. False: end the connection. */
bool gy_chatter_take(struct gy_chatter *chatter, const struct gy_chat_client_event *event);

/* The connection is gone: nobody answers what was asked. */
void gy_chatter_forget_asked(struct gy_chatter *chatter);
void gy_chatter_clear_events(struct gy_chatter *chatter);

/* ---- chatter.c ---- */

/* It cannot go on, because of this. */
void gy_chatter_fail(struct gy_chatter *chatter, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The next connection is made there; an address that is none is left out. */
void gy_chatter_move(struct gy_chatter *chatter, const char *server);

/* Something was written for the connection, if there is one. */
void gy_chatter_flush(struct gy_chatter *chatter);

/* ---- chatter_say.c ---- */

/* Asks; what is asked is kept in chatter->asked. As gy_chat_client_ask(). */
int gy_chatter_ask(struct gy_chatter *chatter, struct gy_chat_frame *frame, uint32_t room);

/* The place of a room, or GY_ENOTFOUND. */
int64_t gy_chatter_room(const struct gy_chatter *chatter, const char *name);

struct gy_chat_text gy_chatter_text(const char *text);

#endif
