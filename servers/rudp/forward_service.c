/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/forward_service.h"

#include <stdlib.h>

#include "core/worker.h"
#include "servers/rudp/forward_link.h"

#define DIAL_MS  10000
#define WRITE_MS 86400000 /* a reader may be slow: its far end is told by credit */

/* ---- streams to the target ---- */

static uint32_t stream_open(struct gy_stream *stream)
{
    struct gy_forward_flow *flow = stream->session;
    if (flow->link == NULL) {
        return GY_WANT_CLOSE;
    }
    struct gy_rudp_host *host = flow->link->session->host;
    gy_forward_flow_opened(flow, flow->send_credit);
    gy_rudp_host_flush(host);
    return GY_WANT_READ;
}

static const struct gy_stream_ops stream_ops = {
    .open = stream_open,
    .turn = gy_forward_flow_turn,
    .expire = gy_forward_flow_stop,
    .drain = gy_forward_flow_stop,
    .closed = gy_forward_flow_closed,
};

/* ---- sessions ---- */

static void dial(struct gy_forward_link *link, uint32_t number, uint32_t credit)
{
    struct gy_rudp_session *session = link->session;
    struct gy_forward_service *service = session->host->options.context;
    struct gy_endpoint *endpoint = service->endpoints[session->host->worker->options.number];
    struct gy_error error = {0};
    if (!gy_forward_link_has_room(link)) {
        gy_forward_refuse(session, number, "too many connections at once");
        return;
    }
    struct gy_stream *stream = gy_stream_dial(endpoint, &service->target, DIAL_MS, &error);
    if (stream == NULL) {
        gy_forward_refuse(session, number, "the far end has no room for another connection");
        return;
    }
    gy_forward_flow_join(stream->session, link, stream, number);
    struct gy_forward_flow *flow = stream->session;
    flow->send_credit = credit;
    gy_count(&session->host->options.counts->flows, 1);
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct gy_forward_link *link = session->context;
    (void)channel;
    if (session->conn.receiving_early || guarantee != GY_RUDP_ORDERED) {
        return true; /* clients do not do that */
    }
    if (link == NULL) {
        link = gy_rudp_memory_take(&session->host->memory, sizeof *link);
        if (link == NULL) {
            gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for the connection");
            return true;
        }
        gy_forward_link_init(link, session);
        link->open = dial;
        session->context = link;
    }
    return gy_forward_link_received(link, data, length);
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    gy_forward_link_finished(session->context, session, message);
}

static void closed(struct gy_rudp_session *session)
{
    struct gy_forward_link *link = session->context;
    if (link != NULL) {
        gy_forward_link_lose(link);
        session->context = NULL;
        gy_rudp_memory_give(&session->host->memory, link);
    }
}

const struct gy_rudp_host_ops gy_forward_service_ops = {
    .received = received, .finished = finished, .closed = closed};

int gy_forward_service_open(struct gy_forward_service *service, struct gy_worker *worker,
                            struct gy_error *error)
{
    struct gy_endpoint *endpoint = calloc(1, sizeof *endpoint);
    const struct gy_endpoint_options options = {
        .name = "rudp-relay",
        .ops = &stream_ops,
        .context = service,
        .session_bytes = sizeof(struct gy_forward_flow),
        .limits = {.send_high_bytes = GY_FORWARD_WINDOW / 2, .write_timeout_ms = WRITE_MS},
    };
    if (endpoint == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing to relay: out of memory");
    }
    int code = gy_endpoint_open(endpoint, worker, &options, error);
    if (code != 0) {
        free(endpoint);
        return code;
    }
    service->endpoints[worker->options.number] = endpoint;
    return 0;
}

void gy_forward_service_close(struct gy_forward_service *service, struct gy_worker *worker)
{
    struct gy_endpoint *endpoint = service->endpoints[worker->options.number];
    gy_endpoint_close(endpoint);
    free(endpoint);
    service->endpoints[worker->options.number] = NULL;
}
