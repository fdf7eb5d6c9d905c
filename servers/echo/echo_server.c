/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/echo/echo_server.h"

#include "core/endpoint.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/stream.h"
#include "core/worker.h"

#define PORT_ANSWERED_MIN 1024
#define IDLE_MS           300000u

static struct gy_echo_counts *counts_of(struct gy_echo_server *echo, const struct gy_worker *worker)
{
    gy_assert(worker->options.number < GY_ECHO_WORKERS_MAX);
    return &echo->counts[worker->options.number];
}

/* ---- TCP ---- */

static uint32_t echo_open(struct gy_stream *stream)
{
    gy_stream_set_deadline(stream, stream->worker->now_ms + IDLE_MS);
    return GY_WANT_READ;
}

static uint32_t echo_turn(struct gy_stream *stream)
{
    struct gy_echo_server *echo = stream->endpoint->context;
    struct gy_echo_counts *counts = counts_of(echo, stream->worker);
    uint32_t high = stream->endpoint->limits.send_high_bytes;
    uint32_t before = stream->in.length;
    gy_stream_set_deadline(stream, stream->worker->now_ms + IDLE_MS);
    if (echo->discard) {
        gy_chain_clear(&stream->in);
    } else if (stream->out.length < high &&
               gy_chain_move(&stream->in, &stream->out, stream->in.length) != 0) {
        gy_count(&counts->bytes, before - stream->in.length);
        return GY_WANT_RETRY; /* and READ again when there is a link */
    }
    gy_count(&counts->bytes, before - stream->in.length);
    if (stream->in.length > 0) {
        return GY_WANT_READ | GY_WANT_ROOM;
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t echo_expire(struct gy_stream *stream)
{
    gy_count(&stream->worker->counters.timeouts_idle, 1);
    return GY_WANT_CLOSE;
}

static uint32_t echo_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE | GY_WANT_LINGER;
}

static void echo_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops stream_ops = {echo_open, echo_turn, echo_expire, echo_drain,
                                                echo_closed};

void gy_echo_server_stream(struct gy_server *server, struct gy_echo_server *echo,
                           const int *descriptors)
{
    *server = (struct gy_server){
        .name = "echo",
        .ops = &stream_ops,
        .context = echo,
        .session_bytes = 1,
        .descriptors = descriptors,
    };
}

/* ---- UDP ---- */

static bool is_answered(const struct gy_echo_server *echo, const struct gy_datagram_socket *socket,
                        const struct gy_datagram *datagram)
{
    uint16_t port = gy_address_port(&datagram->path->peer);
    return echo->any_port || (port >= PORT_ANSWERED_MIN && port != gy_address_port(&socket->local));
}

static void echo_datagrams(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                           uint32_t count)
{
    struct gy_echo_server *echo = socket->endpoint->context;
    struct gy_echo_counts *counts = counts_of(echo, socket->worker);
    uint32_t taken = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct gy_datagram *datagram = &datagrams[i];
        struct gy_slice slice = datagram->slice;
        if (!echo->discard && !is_answered(echo, socket, datagram)) {
            gy_count(&counts->refused, 1);
            gy_log_limited(GY_LOG_WARN, "echo",
                           "a datagram from port %u is not answered: two echo servers could talk "
                           "for ever",
                           gy_address_port(&datagram->path->peer));
            continue;
        }
        if (datagram->truncated) {
            gy_count(&counts->truncated, 1);
            continue;
        }
        taken++;
        bytes += slice.length;
        if (!echo->discard) {
            struct gy_datagram_path path = *datagram->path;
            path.ecn = 0;
            /* What does not fit the queue is lost, and counted there. */
            gy_datagram_send(socket, &path, gy_slice_of(slice.buffer, slice.offset, slice.length));
        }
    }
    gy_count(&counts->datagrams, taken);
    gy_count(&counts->bytes, bytes);
}

static const struct gy_datagram_ops datagram_ops = {.receive = echo_datagrams};

void gy_echo_server_datagram(struct gy_server *server, struct gy_echo_server *echo,
                             const int *descriptors)
{
    echo->datagrams.ops = &datagram_ops;
    *server = (struct gy_server){
        .name = "echo",
        .context = echo,
        .descriptors = descriptors,
        .datagrams = &echo->datagrams,
    };
}
