/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_INTERNAL_H
#define GY_SERVERS_CHAT_CHAT_INTERNAL_H

/* Between chat_server.c, chat_connection.c, chat_websocket.c and their like. */

#include "servers/chat/chat_server.h"

/* One connection: of a stream (then it is the stream's session), or of a WebSocket. */
struct chat_connection {
    struct gy_chat_member member;
    struct gy_chat_session session;
    struct gy_chat_worker *worker;
    struct gy_stream *stream;               /* NULL: a WebSocket */
    struct gy_websocket_connection *socket; /* NULL: a stream */
    struct chat_connection *next, **link;   /* of the worker's `pending` or `known` */
    struct chat_connection *next_again;
    uint64_t origin; /* chat_origin(); 0: not asked for yet */
    uint8_t *kept;   /* a request that the hub did not take; `kept_bytes` of it */
    uint32_t kept_bytes;
    uint32_t visitor; /* of server->visitors, while it is pending */
    bool attached : 1;
    bool running : 1;
    bool again : 1;   /* in the list of those to be run at the turn's end */
    bool ended : 1;   /* a WebSocket whose Close was sent */
    bool pending : 1; /* nobody has logged in yet */
    bool abrupt : 1;  /* its end waits for nothing that the peer may do */
};

/* The oldest first. */
struct chat_list {
    struct chat_connection *first, **end;
    uint32_t count;
};

struct gy_chat_worker {
    struct gy_chat_server *server;
    struct gy_worker *worker;
    struct gy_chat_hub *hub;
    struct gy_helper *helper;
    struct gy_chat_counts *counts;
    struct gy_chat_env env;
    struct gy_timer end_of_turn;
    struct gy_timer tick;            /* what the hub has to do by itself */
    struct gy_timer move;            /* the time that MOVE told is over */
    struct gy_worker_hold hold;      /* until no worker's connections need it any more */
    uint64_t clock_ns;               /* that the hub was told */
    struct chat_list pending, known; /* all connections: nobody has logged in, or somebody has */
    struct chat_connection *again;
    struct gy_inlet *inlets; /* of parcels, by the worker that they come from */
    struct gy_message *inlet_messages;
    struct check_job *checks; /* GY_CHAT_CHECKS_MAX */
    struct check_job *free_checks;
    uint32_t users;    /* listeners */
    uint32_t open[2];  /* connections: streams, WebSockets */
    uint32_t attached; /* of them, members of the hub */
    uint64_t checked, checks_refused;
    uint64_t refused_pending, ended_pending;
    char ban_texts[1024];
    bool ready; /* the store is */
    bool draining;
    bool drained; /* it needs nothing of others */
};

/* Tells the hub the time, once a turn. */
void chat_clock(struct gy_chat_worker *own);

/* Something was done to the hub: at the end of this turn it is carried out. */
void chat_touch(struct gy_chat_worker *own);

/* Begins a connection whose `stream` or `socket` is set. */
void chat_connection_open(struct gy_chat_worker *own, struct chat_connection *connection,
                          struct gy_chain *session_out, bool in_websocket);

/* Reads what is in `in`, and does it. The result of the last gy_chat_session_read(). */
int chat_connection_read(struct chat_connection *connection, struct gy_chain *in);

/* The last call. */
void chat_connection_close(struct chat_connection *connection);

/* Runs it at the end of this turn, or, of a stream, by its own turn. */
void chat_connection_wake(struct chat_connection *connection);

/* Of the worker's lists; does `does` to all of both, which may not take any out of them. */
void chat_list_init(struct chat_list *list);
void chat_list_add(struct chat_list *list, struct chat_connection *connection);
void chat_list_remove(struct chat_list *list, struct chat_connection *connection);
void chat_each(struct gy_chat_worker *own, void (*does)(struct chat_connection *connection));

/* Leaves its rooms: nothing is appended to its output any more. */
void chat_connection_detach(struct chat_connection *connection);

/* Drains the worker, if that has not begun. */
void chat_drain(struct gy_chat_worker *own);

/* ---- chat_rates.c ---- */

/* A number of the connection's address (IPv6: of its network of 64 bits), the same as long as the
 * store is; once the store is ready. 0: the address is not known. */
uint64_t chat_origin(struct chat_connection *connection);

/* Its address: bytes, and text (of at most 128 bytes; returns how many). */
void chat_peer(struct chat_connection *connection, struct gy_chat_ban_peer *peer);
void chat_peer_of(int descriptor, struct gy_chat_ban_peer *peer);
uint32_t chat_peer_text(const struct gy_chat_ban_peer *peer, char *text);
uint32_t chat_address(struct chat_connection *connection, char *text);

/* For gy_chat_server_open(): 0 or GY_ENOMEM. */
int chat_rates_open(struct gy_chat_server *server, struct gy_error *error);

/* The env's `take`. */
uint64_t chat_rates_take(void *context, struct gy_chat_session *session, uint64_t now_ns);

/* Whether a LOGIN or REGISTER may be done, as far as the address is concerned. False: it was
 * refused, and the client was told. */
bool chat_rates_admit(struct chat_connection *connection, const struct gy_chat_frame *frame);

/* ---- chat_pending.c ---- */

/* For gy_chat_server_open() and _close(): 0, GY_ENOMEM, GY_ESTATE. */
int chat_pending_open(struct gy_chat_server *server, struct gy_error *error);
void chat_pending_close(struct gy_chat_server *server);

/* The `admit` and `left` of listeners with a layer: counts from before its handshake on. */
bool chat_admit(struct gy_endpoint *endpoint, int descriptor, uint32_t *ticket);
void chat_left(struct gy_endpoint *endpoint, uint32_t ticket);

/* Counts a stream that has just been opened with its address. False: it is one too many, and its
 * session has been ended. */
bool chat_pending_admit(struct chat_connection *connection);

/* Before another connection is added: the oldest one that is pending ends if there are too many. */
void chat_pending_room(struct gy_chat_worker *own);

/* Somebody has logged in, or nobody will. Again it does nothing. */
void chat_pending_over(struct chat_connection *connection);

/* ---- chat_websocket.c ---- */

/* Goes on with a WebSocket that was woken. */
void chat_socket_run(struct chat_connection *connection);

/* ---- chat_hub.c ---- */

extern const struct gy_chat_hub_ops chat_hub_ops;

int chat_checks_open(struct gy_chat_worker *own);

#endif
