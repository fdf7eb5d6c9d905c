/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/client.h"

#include <string.h>

#include "clients/shown.h"
#include "servers/rudp/rudp_tls.h"

#define MS 1000000ull

static int open_worker(struct gy_rudp_client *client, uint32_t streams_max, struct gy_error *error)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = streams_max,
        .datagrams_max = 16,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    client->peers[0] = &client->worker;
    int code = gy_worker_open(&client->worker, &options, client->peers, error);
    if (code != 0) { /* a kernel without multishot receives */
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(&client->worker, &options, client->peers, error);
    }
    client->has_worker = code == 0;
    return code;
}

static int open_host(struct gy_rudp_client *client, const struct gy_rudp_client_options *options,
                     struct gy_error *error)
{
    const struct gy_rudp_target *target = client->target;
    struct gy_rudp_host_options host = {
        .ops = options->ops,
        .context = options->context,
        .config = gy_rudp_host_config(),
        .connections_max = 4, /* one, and those that are being said good-bye to */
        .memory_bytes = options->memory_bytes,
        .counts = &client->counts,
        .qlog = target->qlog,
    };
    if (target->tls != NULL) {
        host.sealer = &gy_rudp_tls;
        host.sealer_context = target->tls;
        host.peer = target->host;
    }
    host.config.window_bytes = host.config.channel_window_bytes = options->window_bytes;
    host.config.datagram_bytes = target->datagram_bytes;
    host.config.congestion = target->congestion;
    host.config.fec_packets = target->fec_packets;
    host.config.fec_all = true;
    host.config.packets = 4096;
    host.config.pieces = 8192;
    host.config.handshake_timeout_ns = target->timeout_ns;
    host.config.idle_timeout_ns = target->timeout_ns;
    host.config.keepalive_ns = target->timeout_ns / 4;
    int code = gy_rudp_host_open(&client->host, &client->worker, &host, error);
    client->has_host = code == 0;
    return code;
}

int gy_rudp_client_open(struct gy_rudp_client *client, const struct gy_rudp_target *target,
                        const struct gy_rudp_client_options *options, struct gy_error *error)
{
    memset(client, 0, sizeof *client);
    client->target = target;
    int code = open_worker(client, options->streams_max, error);
    code = code == 0 ? open_host(client, options, error) : code;
    if (code == 0) {
        code = gy_datagram_endpoint_open(&client->endpoint, &client->worker,
                                         &gy_rudp_host_datagrams, error);
        client->has_endpoint = code == 0;
        client->endpoint.state = &client->host;
    }
    return code;
}

struct gy_rudp_session *gy_rudp_client_dial(struct gy_rudp_client *client, void *context,
                                            struct gy_error *error)
{
    if (client->socket != NULL) {
        gy_datagram_close(client->socket);
    }
    client->socket =
        gy_datagram_dial(&client->endpoint, &client->target->address, NULL, NULL, error);
    if (client->socket == NULL) {
        return NULL;
    }
    struct gy_rudp_session *session = gy_rudp_host_dial(&client->host, client->socket, context);
    if (session == NULL) {
        gy_error_set(error, GY_ELIMIT, "reaching for %s: too many connections",
                     client->target->text);
    }
    return session;
}

int gy_rudp_client_turn(struct gy_rudp_client *client, uint64_t sleep_ns, struct gy_error *error)
{
    gy_rudp_host_flush(&client->host);
    gy_datagrams_flush(&client->worker);
    int code = gy_worker_turn(&client->worker, sleep_ns);
    return code == 0 ? 0 : gy_error_set(error, code, "the ring broke: %s", gy_error_text(code));
}

void gy_rudp_client_finish(struct gy_rudp_client *client)
{
    if (client->has_worker) {
        gy_datagrams_abort(&client->worker);
        gy_worker_finish(&client->worker);
    }
}

void gy_rudp_client_close(struct gy_rudp_client *client)
{
    gy_rudp_client_finish(client);
    if (client->has_endpoint) {
        gy_datagram_endpoint_close(&client->endpoint);
    }
    if (client->has_host) {
        gy_rudp_host_close(&client->host);
    }
    if (client->has_worker) {
        gy_worker_close(&client->worker);
    }
    client->has_worker = client->has_host = client->has_endpoint = false;
}

int gy_rudp_client_explain(const struct gy_rudp_client *client,
                           const struct gy_rudp_session *session, bool was_open,
                           struct gy_error *error)
{
    char peer[GY_ADDRESS_TEXT_BYTES], reason[sizeof session->conn.close_reason];
    gy_address_format(&client->target->address, peer, sizeof peer);
    return gy_error_set(error, was_open ? GY_ECLOSED : GY_ETIMEOUT, "%s %s by reliable UDP: %s%s%s",
                        was_open ? "talking to" : "reaching for", peer,
                        session->conn.closed_by_peer ? "the server closed the connection: " : "",
                        gy_shown(reason, sizeof reason, session->conn.close_reason,
                                 strlen(session->conn.close_reason)),
                        gy_rudp_target_remedy(client->target, session->conn.close_code));
}
