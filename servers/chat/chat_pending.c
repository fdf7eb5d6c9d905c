/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Connections that nobody has logged in on yet: how many an address may have, and all together.
 *
 * An address that has too many is refused the next one. When a worker has too many, its oldest one
 * ends for the newest: who means it logs in at once, so that those who do not cannot keep others
 * out however many addresses they have.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "core/log.h"
#include "servers/chat/chat_internal.h"

#define ADDRESSES 65536u /* that are there at once; others are not counted each for itself */

/* How far from the oldest one is looked for that does not wait for us. */
#define LOOKS 32

#define RETRY_MS 3000 /* who logs in does so in less */

_Static_assert(ADDRESSES <= GY_VISITORS_ENTRIES_MAX, "a table may have so many");

int chat_pending_open(struct gy_chat_server *server, struct gy_error *error)
{
    struct gy_visitors_options options = {.entries = ADDRESSES, .v4_bits = 32, .v6_bits = 64};
    if (server->limits.requests_per_s == 0 && !server->pending_given) {
        server->pending_per_address = 0; /* as with the other limits of addresses */
    }
    options.connections_max = server->pending_per_address;
    if (options.connections_max == 0) {
        return 0;
    }
    if (getrandom(&options.key, sizeof options.key, 0) != (ssize_t)sizeof options.key) {
        return gy_error_set(error, GY_ESTATE, "the system has no random numbers now; try again");
    }
    /* Pages of it are used as addresses come. */
    void *memory = mmap(NULL, gy_visitors_bytes(ADDRESSES), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return gy_error_set(error, GY_ENOMEM, "no memory for a table of %u addresses", ADDRESSES);
    }
    gy_visitors_init(&server->visitors, &options, memory);
    server->pending_memory = memory;
    return 0;
}

void chat_pending_close(struct gy_chat_server *server)
{
    if (server->pending_memory != NULL) {
        munmap(server->pending_memory, gy_visitors_bytes(ADDRESSES));
        server->pending_memory = NULL;
    }
}

/* ---- of an address ---- */

/* False: it has as many as it may. */
static bool enter(const struct gy_chat_worker *own, int descriptor, uint32_t *visitor)
{
    struct gy_chat_server *server = own->server;
    struct gy_chat_ban_peer peer;
    *visitor = GY_VISITOR_NONE;
    if (server->pending_memory == NULL) {
        return true;
    }
    chat_peer_of(descriptor, &peer);
    int family = peer.length == 4 ? AF_INET : peer.length == 16 ? AF_INET6 : AF_UNSPEC;
    return gy_visitors_enter(&server->visitors, family, peer.bytes, visitor) != GY_ELIMIT;
}

static void note_refused(struct gy_chat_worker *own, int descriptor)
{
    struct gy_chat_ban_peer peer;
    char text[INET6_ADDRSTRLEN] = "?";
    chat_peer_of(descriptor, &peer);
    chat_peer_text(&peer, text);
    own->refused_pending++;
    gy_log_limited(GY_LOG_WARN, "chat",
                   "%s is refused: it has %u connections that nobody has logged in on "
                   "(pending-per-address)",
                   text, own->server->pending_per_address);
}

bool chat_admit(struct gy_endpoint *endpoint, int descriptor, uint32_t *ticket)
{
    const struct gy_chat_server *server = endpoint->context;
    struct gy_chat_worker *own = server->workers[endpoint->worker->options.number];
    bool admitted = enter(own, descriptor, ticket);
    if (!admitted) {
        note_refused(own, descriptor);
        chat_touch(own);
    }
    return admitted;
}

void chat_left(struct gy_endpoint *endpoint, uint32_t ticket)
{
    struct gy_chat_server *server = endpoint->context;
    gy_visitors_leave(&server->visitors, ticket);
}

bool chat_pending_admit(struct chat_connection *connection)
{
    struct gy_stream *stream = connection->stream;
    struct gy_chat_worker *own = connection->worker;
    gy_assert(stream != NULL);
    if (stream->ticket != 0) { /* counted since before the handshake of TLS */
        connection->visitor = stream->ticket;
        stream->ticket = 0;
        return true;
    }
    if (enter(own, stream->descriptor, &connection->visitor)) {
        return true;
    }
    note_refused(own, stream->descriptor);
    connection->abrupt = true;
    gy_chat_session_refuse(&connection->session, GY_CHAT_FULL, RETRY_MS,
                           "your address has %u connections here on which nobody has logged in: "
                           "log in on those, or end them",
                           own->server->pending_per_address);
    return false;
}

/* ---- of all ---- */

/* The oldest, but rather one that does not wait for an answer of ours. */
static struct chat_connection *oldest(const struct gy_chat_worker *own)
{
    struct chat_connection *at = own->pending.first;
    for (uint32_t i = 0; i < LOOKS && at != NULL; i++, at = at->next) {
        if (!gy_chat_session_is_held(&at->session)) {
            return at;
        }
    }
    return own->pending.first;
}

void chat_pending_room(struct gy_chat_worker *own)
{
    uint32_t most = own->server->pending_max;
    /* Until the store is there all wait for us. */
    if (most == 0 || own->pending.count < most || !own->ready || own->draining) {
        return;
    }
    struct chat_connection *ends = oldest(own);
    gy_assert(ends != NULL && ends->pending);
    own->ended_pending++;
    gy_log_limited(
        GY_LOG_WARN, "chat",
        "%u connections of a worker wait to be logged in on (pending-logins): the oldest "
        "ones end for new ones",
        own->pending.count);
    chat_pending_over(ends);
    ends->abrupt = true;
    gy_chat_session_refuse(&ends->session, GY_CHAT_FULL, RETRY_MS,
                           "too many connections wait to be logged in on, and this one is the "
                           "oldest: connect again, and log in at once");
    chat_connection_wake(ends);
}

void chat_pending_over(struct chat_connection *connection)
{
    struct gy_chat_worker *own = connection->worker;
    if (!connection->pending) {
        return;
    }
    chat_list_remove(&own->pending, connection);
    connection->pending = false;
    chat_list_add(&own->known, connection);
    if (connection->visitor != GY_VISITOR_NONE) {
        gy_visitors_leave(&own->server->visitors, connection->visitor);
        connection->visitor = GY_VISITOR_NONE;
    }
    if (connection->stream == NULL) { /* counted since it came, to the page's server */
        struct gy_stream *stream = gy_http_stream(connection->socket->exchange);
        if (stream->ticket != 0) {
            gy_visitors_leave(&own->server->visitors, stream->ticket);
            stream->ticket = 0;
        }
    }
}
