/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_SERVER_H
#define GY_SERVERS_CHAT_CHAT_SERVER_H

/*
 * The chat server: joins the hubs of protocols/chat to streams, WebSockets, the store and the
 * workers. One struct gy_chat_server is what all listeners of a `chat` block share.
 *
 * Each worker has a hub. Connections of whatever kind are members of their worker's hub; hubs
 * speak with each other by parcels, which go through inlets (core/worker.h), one for each pair of
 * workers. What a turn did to the hub is carried out at its end, by a timer that is due at once.
 *
 * Until the store is ready (another process may have it still, for the moment that it takes to
 * drain) nothing is read from connections.
 */

#include "../../core/helper.h"
#include "../../core/metrics.h"
#include "../../core/visitors.h"
#include "../../protocols/chat/hub.h"
#include "../../protocols/chat/meter.h"
#include "../../protocols/chat/session.h"
#include "../http/websocket.h"
#include "accounts.h"
#include "store.h"

#define GY_CHAT_WORKERS_MAX         256
#define GY_CHAT_CHECKS_MAX          16  /* passwords that wait for one worker's helper */
#define GY_CHAT_PARCELS_MAX         256 /* of one worker, with another; a power of two */
#define GY_CHAT_TOKEN_MS            UINT64_C(2592000000)
#define GY_CHAT_MOVE_MS             1000
#define GY_CHAT_OPERATORS_MAX       64
#define GY_CHAT_OWN_ROOMS_MAX       64
#define GY_CHAT_LOGIN_COST          5 /* requests of an address that a LOGIN or REGISTER is counted as */
#define GY_CHAT_PENDING_MAX         8192 /* connections of a worker that nobody has logged in on */
#define GY_CHAT_PENDING_PER_ADDRESS 256
#define GY_CHAT_PATH                "/chat"
#define GY_CHAT_SUBPROTOCOL         "gyre-chat-1"

/* X(member, name, label, kind, help); all of one worker. */
#define GY_CHAT_COUNTERS(X)                                                                        \
    X(messages, "chat_messages", "", COUNTER, "Messages committed")                                \
    X(deliveries, "chat_deliveries", "", COUNTER, "Messages put out to members")                   \
    X(members, "chat_members", "", GAUGE, "Connections that have said who they are")               \
    X(connections, "chat_connections", "transport=\"stream\"", GAUGE, "Connections")               \
    X(sockets, "chat_connections", "transport=\"websocket\"", GAUGE, "Connections")                \
    X(pending, "chat_pending", "", GAUGE, "Connections that nobody has logged in on yet")          \
    X(book_sessions, "chat_book_sessions", "", COUNTER,                                            \
      "Connections that spoke the book's messages")                                                \
    X(rooms, "chat_rooms", "", GAUGE, "Rooms in memory, once for each worker")                     \
    X(requests, "chat_requests", "", COUNTER, "Requests taken from members")                       \
    X(acks, "chat_acks", "", COUNTER, "Messages acknowledged")                                     \
    X(duplicates, "chat_duplicates", "", COUNTER, "Messages sent again")                           \
    X(appends, "chat_appends", "", COUNTER, "Appends that committed messages")                     \
    X(notices, "chat_notices", "", COUNTER, "Joins, leaves, typing and presence told")             \
    X(slow, "chat_slow", "", COUNTER, "Times that a member fell behind")                           \
    X(gaps, "chat_gaps", "", COUNTER, "Gaps reported to members")                                  \
    X(dropped, "chat_dropped", "", COUNTER, "Messages left out for slow members")                  \
    X(spilled, "chat_spilled", "", COUNTER, "Messages that slow members got later")                \
    X(ended_slow, "chat_ended_slow", "", COUNTER, "Members ended because they were slow")          \
    X(starved, "chat_starved", "", COUNTER, "Batches that found no output memory")                 \
    X(storage_failures, "chat_storage_failures", "", COUNTER, "Requests that the store failed")    \
    X(store_jobs, "chat_store_jobs", "", COUNTER, "Jobs that the store has done")                  \
    X(store_transactions, "chat_store_transactions", "", COUNTER, "Transactions that it took")     \
    X(store_failures, "chat_store_failures", "", COUNTER, "Jobs that the disk failed")             \
    X(store_pruned, "chat_store_pruned", "", COUNTER, "Messages taken away by the retention")      \
    X(checks, "chat_checks", "", COUNTER, "Passwords hashed")                                      \
    X(checks_refused, "chat_checks_refused", "", COUNTER,                                          \
      "Passwords that found too many others waiting")                                              \
    X(malformed, "chat_refused", "reason=\"malformed\"", COUNTER,                                  \
      "Connections and requests refused")                                                          \
    X(too_big, "chat_refused", "reason=\"too-big\"", COUNTER, "Connections and requests refused")  \
    X(too_fast, "chat_refused", "reason=\"too-fast\"", COUNTER,                                    \
      "Connections and requests refused")                                                          \
    X(floods, "chat_refused", "reason=\"flood\"", COUNTER, "Connections and requests refused")     \
    X(late, "chat_refused", "reason=\"late\"", COUNTER, "Connections and requests refused")        \
    X(idle, "chat_refused", "reason=\"idle\"", COUNTER, "Connections and requests refused")        \
    X(refused_pending, "chat_refused", "reason=\"pending-per-address\"", COUNTER,                  \
      "Connections and requests refused")                                                          \
    X(ended_pending, "chat_refused", "reason=\"pending-logins\"", COUNTER,                         \
      "Connections and requests refused")                                                          \
    X(parcels, "chat_parcels", "", COUNTER, "Parcels sent to other workers")                       \
    X(parcels_refused, "chat_parcels_refused", "", COUNTER,                                        \
      "Parcels that found the mailbox full, and were tried again")                                 \
    X(behind, "chat_behind", "", COUNTER,                                                          \
      "Times that a room was not sent to a worker because it took nothing")                        \
    X(memory_bytes, "chat_memory_bytes", "", GAUGE, "Memory of the hubs")                          \
    X(history_bytes, "chat_history_bytes", "", GAUGE, "Of it, rooms' latest messages")             \
    X(encoded_bytes, "chat_encoded_bytes", "", COUNTER, "Encoded once for all who got them")       \
    X(copied_bytes, "chat_copied_bytes", "", COUNTER, "Copied in the hubs")

struct gy_chat_counts {
    GY_CHAT_COUNTERS(GY_METRIC_MEMBER)
} __attribute__((aligned(64)));

#define GY_CHAT_ROWS (0 GY_CHAT_COUNTERS(GY_METRIC_ONE))
extern const struct gy_metric_description gy_chat_rows[GY_CHAT_ROWS];

struct gy_chat_worker;

/* Requests of somebody, over all connections. */
struct gy_chat_rate {
    uint32_t per_s, burst; /* 0: any number */
    bool given;            /* else it is that of connections that matters, if they have one */
};

/* Zero it, gy_chat_server_defaults(), change what is to be changed, gy_chat_server_open(), serve,
 * gy_chat_server_close(). Read-only while workers run, but for what is atomic. */
struct gy_chat_server {
    const char *name;             /* its own, in WELCOME and the log */
    const char *lobby;            /* the room of the book's clients */
    struct gy_chat_limits limits; /* of sessions */
    struct gy_chat_hub_config hub;
    struct gy_chat_store_options store;
    uint8_t cost_log2;    /* of passwords */
    uint64_t token_ms;    /* how long tokens hold; 0: none are made */
    uint32_t move_ms;     /* told by MOVE */
    const char *move_to;  /* likewise; NULL: the same address */
    uint32_t connections; /* of one worker; 0: as many as it can have */
    struct gy_chat_canonical operators[GY_CHAT_OPERATORS_MAX]; /* accounts that own every room */
    uint32_t operator_count;
    struct gy_chat_rate address_rate; /* of guests, and of who has not logged in */
    struct gy_chat_rate account_rate;
    uint32_t registrations;       /* of one address in an hour; 0: any number */
    uint32_t pending_per_address; /* connections that nobody has logged in on, over all workers, of
                                     one address; of IPv6, of its 64 bits; 0: any number */
    bool pending_given;           /* else it is that of `limits` that matters, if they have one */
    uint32_t pending_max;         /* of one worker, of all addresses; 0: any number */
    struct gy_chat_canonical rooms[GY_CHAT_OWN_ROOMS_MAX]; /* its own; and the lobby */
    uint32_t room_count;

    /* From here on it is its own. */
    struct gy_chat_store *opened;
    struct gy_chat_meter *meter;
    struct gy_siphash_key meter_key;
    struct gy_visitors visitors; /* connections that are pending, if there is memory for it */
    void *pending_memory;
    struct gy_chat_counts *counts;
    _Atomic uint32_t drained; /* workers that need nothing of others any more */
    struct gy_chat_worker *workers[GY_CHAT_WORKERS_MAX];
    _Atomic uint32_t joined[GY_CHAT_WORKERS_MAX]; /* it takes parcels */
    _Atomic uint64_t
        operator_users[GY_CHAT_OPERATORS_MAX]; /* once they have logged in; 0: not yet */
    _Atomic uint64_t made_operators[GY_CHAT_OPERATORS_MAX]; /* by ADMIN: likewise */
    _Atomic uint32_t made_operator_count; /* places of it that were ever used: mostly none */
};

void gy_chat_server_defaults(struct gy_chat_server *server);

/* `counts` has as many as there are workers, zeroed. 0 or GY_ENOMEM. */
int gy_chat_server_open(struct gy_chat_server *server, uint32_t workers,
                        struct gy_chat_counts *counts, struct gy_error *error);
void gy_chat_server_close(struct gy_chat_server *server);

/* Adds an operator, by nick. 0; GY_EINVAL with a sentence; GY_ELIMIT. */
int gy_chat_server_operator(struct gy_chat_server *server, const char *nick,
                            struct gy_error *error);

/* Adds a room of its own. Errors likewise. */
int gy_chat_server_room(struct gy_chat_server *server, const char *name, struct gy_error *error);

/* Once for each listener of each worker, whatever it carries. */
int gy_chat_worker_open(struct gy_chat_server *server, struct gy_worker *worker,
                        struct gy_error *error);
void gy_chat_worker_close(struct gy_chat_server *server, struct gy_worker *worker);

/* For the core's server of streams; its context is the gy_chat_server. */
extern const struct gy_stream_ops gy_chat_stream_ops;
struct gy_stream_limits gy_chat_stream_limits(const struct gy_chat_server *server);

/* For a path of an HTTP server; its context is the gy_chat_server. */
extern const struct gy_websocket_handler gy_chat_websocket_handler;
struct gy_ws_limits gy_chat_websocket_limits(const struct gy_chat_server *server);

#endif
