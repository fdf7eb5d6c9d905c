/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What addresses and accounts may, over all their connections. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "servers/chat/chat_internal.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define HOUR_NS   (UINT64_C(3600) * NS_PER_S)
#define ORIGINS   (GY_CHAT_GUEST_BIT - 1)

static struct gy_stream *stream_of(const struct chat_connection *connection)
{
    return connection->stream != NULL ? connection->stream
                                      : gy_http_stream(connection->socket->exchange);
}

void chat_peer_of(int descriptor, struct gy_chat_ban_peer *peer)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    *peer = (struct gy_chat_ban_peer){.length = 0};
    if (getpeername(descriptor, (struct sockaddr *)&storage, &length) != 0) {
        return;
    }
    if (storage.ss_family == AF_INET) {
        memcpy(peer->bytes, &((const struct sockaddr_in *)(const void *)&storage)->sin_addr, 4);
        peer->length = 4;
    } else if (storage.ss_family == AF_INET6) {
        const struct in6_addr *address =
            &((const struct sockaddr_in6 *)(const void *)&storage)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(address);
        peer->length = mapped ? 4 : 16;
        memcpy(peer->bytes, &address->s6_addr[16 - peer->length], peer->length);
    }
}

void chat_peer(struct chat_connection *connection, struct gy_chat_ban_peer *peer)
{
    chat_peer_of(stream_of(connection)->descriptor, peer);
}

uint32_t chat_peer_text(const struct gy_chat_ban_peer *peer, char *text)
{
    if (peer->length == 0 || inet_ntop(peer->length == 4 ? AF_INET : AF_INET6, peer->bytes, text,
                                       INET6_ADDRSTRLEN) == NULL) {
        return 0;
    }
    return (uint32_t)strlen(text);
}

uint32_t chat_address(struct chat_connection *connection, char *text)
{
    struct gy_chat_ban_peer peer;
    chat_peer(connection, &peer);
    return chat_peer_text(&peer, text);
}

uint64_t chat_origin(struct chat_connection *connection)
{
    struct gy_chat_ban_peer peer;
    struct gy_siphash_key key;
    if (connection->origin != 0) {
        return connection->origin;
    }
    chat_peer(connection, &peer);
    if (peer.length > 0) {
        uint8_t derived[sizeof key.words];
        const struct gy_chat_server *server = connection->worker->server;
        gy_chat_key_derive(gy_chat_store_secret(server->opened), "gyre chat origins", derived,
                           sizeof derived);
        memcpy(&key, derived, sizeof key);
        /* A subscriber has all of an IPv6 network of 64 bits. */
        uint64_t origin = gy_siphash(&key, peer.bytes, peer.length == 4 ? 4 : 8) & ORIGINS;
        connection->origin = origin != 0 ? origin : 1;
    }
    return connection->origin;
}

int chat_rates_open(struct gy_chat_server *server, struct gy_error *error)
{
    bool any = server->limits.requests_per_s == 0;
    server->meter = calloc(1, sizeof *server->meter);
    if (server->meter == NULL || getrandom(&server->meter_key, sizeof server->meter_key, 0) !=
                                     (ssize_t)sizeof server->meter_key) {
        free(server->meter);
        server->meter = NULL;
        return gy_error_set(error, GY_ENOMEM, "preparing the rates of a chat: out of memory");
    }
    /* Where a connection may do anything, so may all of somebody's. */
    server->address_rate.per_s =
        any && !server->address_rate.given ? 0 : server->address_rate.per_s;
    server->account_rate.per_s =
        any && !server->account_rate.given ? 0 : server->account_rate.per_s;
    return 0;
}

enum whose {
    OF_ADDRESS = 1,
    OF_ACCOUNT,
    REGISTRATIONS,
};

static uint64_t key_of(const struct gy_chat_server *server, enum whose whose, uint64_t number)
{
    const uint64_t words[] = {whose, number};
    return gy_siphash(&server->meter_key, words, sizeof words);
}

/* So many requests. 0, or how long to wait (ns). */
static uint64_t take(struct chat_connection *connection, enum whose whose, uint64_t number,
                     uint32_t requests, uint64_t now_ns)
{
    struct gy_chat_server *server = connection->worker->server;
    const struct gy_chat_rate *rate =
        whose == OF_ACCOUNT ? &server->account_rate : &server->address_rate;
    if (rate->per_s == 0 || number == 0) {
        return 0;
    }
    uint64_t each = NS_PER_S / rate->per_s;
    uint64_t burst = rate->burst > requests ? rate->burst : requests;
    return gy_chat_meter_take(server->meter, key_of(server, whose, number), each * requests,
                              each * burst, now_ns);
}

uint64_t chat_rates_take(void *context, struct gy_chat_session *session, uint64_t now_ns)
{
    struct chat_connection *connection =
        (struct chat_connection *)(void *)((char *)session -
                                           offsetof(struct chat_connection, session));
    uint64_t user = connection->attached ? connection->member.user : 0;
    (void)context;
    if (user != 0 && (user & GY_CHAT_GUEST_BIT) == 0) {
        return take(connection, OF_ACCOUNT, user, 1, now_ns);
    }
    return take(connection, OF_ADDRESS, chat_origin(connection), 1, now_ns);
}

bool chat_rates_admit(struct chat_connection *connection, const struct gy_chat_frame *frame)
{
    struct gy_chat_worker *own = connection->worker;
    struct gy_chat_server *server = own->server;
    bool registers = frame->type == GY_CHAT_REGISTER;
    if (frame->type != GY_CHAT_LOGIN && frame->type != GY_CHAT_CHANGE && !registers) {
        return true;
    }
    uint64_t now_ns = own->worker->now_ns;
    uint64_t origin = chat_origin(connection);
    const char *sentence = "Too many log in from your address: wait a moment.";
    uint64_t wait_ns = take(connection, OF_ADDRESS, origin, GY_CHAT_LOGIN_COST, now_ns);
    if (wait_ns == 0 && registers && server->registrations > 0 && origin != 0) {
        sentence = "Too many accounts were asked for from your address: wait before the next one.";
        wait_ns = gy_chat_meter_take(server->meter, key_of(server, REGISTRATIONS, origin),
                                     HOUR_NS / server->registrations, HOUR_NS, now_ns);
    }
    if (wait_ns == 0) {
        return true;
    }
    own->env.counters.too_fast++;
    uint64_t wait_ms = wait_ns / NS_PER_MS + 1;
    gy_chat_session_write_error(&connection->session, frame->tag, GY_CHAT_TOO_FAST,
                                (uint32_t)wait_ms, "%s", sentence);
    return false;
}
