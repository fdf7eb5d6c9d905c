/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_RUDP_SERVICE_RIG_H
#define GY_TESTS_RUDP_SERVICE_RIG_H

/* A service of reliable UDP and a client that says what a test wants, over loopback in one worker
 * that the test turns. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "servers/rudp/rudp_host.h"

struct rig {
    struct gy_worker worker; /* first: aligned */
    struct gy_worker *peers[1];
    struct gy_rudp_host server, client;
    struct gy_datagram_endpoint server_end, client_end;
    struct gy_rudp_counts counts[2];
    struct gy_rudp_session *session; /* the client's */
    void (*heard)(struct rig *rig, const uint8_t *data, size_t length);
    void *test;  /* its own */
    bool hoards; /* the client takes all, and gives no credit back */
    bool open, closed;
    uint64_t close_code;
    uint32_t answers;
};

static inline void rig_opened(struct gy_rudp_session *session)
{
    struct rig *rig = session->host->options.context;
    rig->open = true;
}

static inline bool rig_received(struct gy_rudp_session *session, uint8_t channel,
                                enum gy_rudp_guarantee guarantee, const uint8_t *data,
                                size_t length)
{
    struct rig *rig = session->host->options.context;
    (void)channel, (void)guarantee;
    rig->heard(rig, data, length);
    return !rig->hoards;
}

static inline void rig_finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    (void)session, (void)message;
    fail(); /* only copies are sent */
}

static inline void rig_closed(struct gy_rudp_session *session)
{
    struct rig *rig = session->host->options.context;
    rig->closed = true;
    rig->close_code = session->conn.close_code;
    rig->session = NULL;
}

static const struct gy_rudp_host_ops rig_client_ops = {
    .opened = rig_opened, .received = rig_received, .finished = rig_finished, .closed = rig_closed};

static inline void rig_turn_for(struct rig *rig, uint64_t sleep_ns)
{
    gy_rudp_host_flush(&rig->client);
    gy_datagrams_flush(&rig->worker);
    assert_int_equal(gy_worker_turn(&rig->worker, sleep_ns), 0);
    if (rig->session != NULL && rig->session->conn.closed_by_peer) { /* it lingers for a while */
        rig->closed = true;
        rig->close_code = rig->session->conn.close_code;
    }
}

static inline void rig_turn(struct rig *rig)
{
    rig_turn_for(rig, 20000000);
}

/* Until the service has answered so often, or closed. */
static inline void rig_await(struct rig *rig, uint32_t answers)
{
    for (int i = 0; i < 500 && rig->answers < answers && !rig->closed; i++) {
        rig_turn(rig);
    }
    assert_true(rig->answers >= answers || rig->closed);
}

static inline void rig_say(struct rig *rig, uint8_t channel, const void *data, size_t length)
{
    assert_int_equal(gy_rudp_host_send_copy(rig->session, channel, GY_RUDP_ORDERED, data, length),
                     0);
}

/* The client hears nothing any more, and so acknowledges nothing. */
static inline void rig_deafen(struct rig *rig)
{
    gy_rudp_host_flush(&rig->client);
    rig->session->socket->context = NULL;
}

static inline void rig_open_host(struct rig *rig, struct gy_rudp_host *host,
                                 struct gy_datagram_endpoint *end,
                                 const struct gy_rudp_host_ops *ops, void *context, size_t copies,
                                 struct gy_rudp_counts *counts)
{
    struct gy_error error = {0};
    const struct gy_rudp_host_options options = {.ops = ops,
                                                 .context = context,
                                                 .config = gy_rudp_host_config(),
                                                 .connections_max = 4,
                                                 .memory_bytes = 32u << 20,
                                                 .copies_max = copies,
                                                 .counts = counts};
    assert_int_equal(gy_rudp_host_open(host, &rig->worker, &options, &error), 0);
    assert_int_equal(gy_datagram_endpoint_open(end, &rig->worker, &gy_rudp_host_datagrams, &error),
                     0);
    end->state = host;
}

static inline struct rig *rig_worker(void)
{
    struct rig *rig = aligned_alloc(64, (sizeof *rig + 63) & ~(size_t)63);
    struct gy_worker_options options = {.workers = 1,
                                        .processor = -1,
                                        .streams_max = 512,
                                        .datagrams_max = 4,
                                        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0)};
    struct gy_error error = {0};
    assert_non_null(rig);
    memset(rig, 0, sizeof *rig);
    rig->peers[0] = &rig->worker;
    if (gy_worker_open(&rig->worker, &options, rig->peers, &error) != 0) {
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        assert_int_equal(gy_worker_open(&rig->worker, &options, rig->peers, &error), 0);
    }
    return rig;
}

/* Both ends, connected. Answers of the service may hold `copies` bytes. */
static inline void rig_connect(struct rig *rig, const struct gy_rudp_host_ops *ops, void *context,
                               size_t copies)
{
    struct gy_error error = {0};
    struct gy_address address;
    rig_open_host(rig, &rig->server, &rig->server_end, ops, context, copies, &rig->counts[0]);
    rig_open_host(rig, &rig->client, &rig->client_end, &rig_client_ops, rig, 0, &rig->counts[1]);
    assert_int_equal(gy_address_parse(&address, "127.0.0.1:0", &error), 0);
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(descriptor, &address.any, address.length), 0);
    assert_int_equal(gy_address_of_socket(&address, descriptor), 0);
    assert_non_null(gy_datagram_take(&rig->server_end, descriptor, NULL, &error));
    struct gy_datagram_socket *dialled =
        gy_datagram_dial(&rig->client_end, &address, NULL, NULL, &error);
    assert_non_null(dialled);
    rig->session = gy_rudp_host_dial(&rig->client, dialled, rig);
    assert_non_null(rig->session);
    for (int i = 0; i < 200 && !rig->open; i++) {
        rig_turn(rig);
    }
    assert_true(rig->open);
}

/* Nothing of either end is left in memory. */
static inline void rig_disconnect(struct rig *rig)
{
    gy_datagrams_abort(&rig->worker);
    gy_worker_finish(&rig->worker);
    assert_int_equal(rig->server.memory.used, 0);
    gy_datagram_endpoint_close(&rig->server_end);
    gy_datagram_endpoint_close(&rig->client_end);
    gy_rudp_host_close(&rig->server);
    gy_rudp_host_close(&rig->client);
}

#endif
