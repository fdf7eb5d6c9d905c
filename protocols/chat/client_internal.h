/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_CLIENT_INTERNAL_H
#define GY_PROTOCOLS_CHAT_CLIENT_INTERNAL_H

/* Between client.c (what comes, deadlines), client_rooms.c (joining, ids) and client_outbox.c (what
 * is sent until it is acknowledged). */

#include "protocols/chat/client.h"

#define NS_PER_MS UINT64_C(1000000)

enum client_state {
    CLIENT_AWAY,     /* no connection */
    CLIENT_BEGUN,    /* HELLO is to be written */
    CLIENT_GREETING, /* WELCOME is to come */
    CLIENT_GREETED,  /* the login is to be written */
    CLIENT_ENTERING, /* IDENTITY is to come */
    CLIENT_IN,
    CLIENT_OVER,
};

enum room_state {
    ROOM_WANTED,  /* JOIN is to be written */
    ROOM_ASKED,   /* JOINED is to come */
    ROOM_FILLING, /* END is to come */
    ROOM_LIVE,
    ROOM_REFUSED, /* not joined again */
};

/* Tags: of the beginning; of JOINs and the outbox; of gy_chat_client_ask(). */
#define TAG_HELLO     1
#define TAG_LOGIN     2
#define TAG_OWN_FIRST 0x0010
#define TAG_ASK_FIRST 0x8000

/* Encodes to `out`. 0, or GY_ENOBUFS. */
int gy_chat_client_write(struct gy_chat_client *client, const struct gy_chat_frame *frame);

uint16_t gy_chat_client_next_tag(struct gy_chat_client *client);

/* ---- rooms ---- */

/* GY_CHAT_CLIENT_NO_ROOM when there is none. */
uint32_t gy_chat_client_room_by_number(const struct gy_chat_client *client, uint32_t number);
uint32_t gy_chat_client_room_by_tag(const struct gy_chat_client *client, uint16_t tag);

/* Writes the JOINs that are due. */
void gy_chat_client_write_joins(struct gy_chat_client *client, uint64_t now_ns);

/* The frame's meaning to the room; 1 with an event, or 0. */
int gy_chat_client_room_joined(struct gy_chat_client *client, uint32_t place,
                               struct gy_chat_client_event *event);
int gy_chat_client_room_end(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                            struct gy_chat_client_event *event);
int gy_chat_client_room_message(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                                struct gy_chat_client_event *event);
int gy_chat_client_room_gap(struct gy_chat_client *client, uint32_t place, uint64_t now_ns,
                            struct gy_chat_client_event *event);

/* An id that is accounted for. False: it was before. */
bool gy_chat_client_saw(struct gy_chat_client_room *room, uint64_t id, uint64_t now_ns);

/* A room's holes: when they are due, and one as an event (1), or 0. */
uint64_t gy_chat_client_hole_deadline(const struct gy_chat_client *client);
int gy_chat_client_report_hole(struct gy_chat_client *client, uint64_t now_ns,
                               struct gy_chat_client_event *event);

void gy_chat_client_refuse_room(struct gy_chat_client *client, uint32_t place);
void gy_chat_client_rooms_lost(struct gy_chat_client *client);

/* ---- the outbox ---- */

void gy_chat_client_write_outbox(struct gy_chat_client *client, uint64_t now_ns);

/* ACK, or ERROR with the tag of something in it: 1 with an event, 0: it is of nothing there. */
int gy_chat_client_box_acked(struct gy_chat_client *client, uint64_t now_ns,
                             struct gy_chat_client_event *event);
int gy_chat_client_box_error(struct gy_chat_client *client, uint64_t now_ns,
                             struct gy_chat_client_event *event);

/* Something said in a room that is not joined: 1 with its REFUSED, or 0. */
int gy_chat_client_box_sweep(struct gy_chat_client *client, struct gy_chat_client_event *event);

/* Gives up what is for the place. */
void gy_chat_client_box_forget(struct gy_chat_client *client, uint32_t place);

void gy_chat_client_box_lost(struct gy_chat_client *client);
uint64_t gy_chat_client_box_deadline(const struct gy_chat_client *client);

#endif
