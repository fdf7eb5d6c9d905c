/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A plug-in: the echo protocol (RFC 862). Built from what is installed:
 *
 *     cc -shared -fPIC $(pkg-config --cflags gyre) -o echo.so echo.c
 *
 * and loaded by a configuration file:
 *
 *     load /usr/lib/gyre/echo.so;
 *     echo {
 *         listen :7;
 *         idle   1m;     # close a connection that sends nothing for so long; never, without it
 *     }
 */

#include <gyre/servers/plugin.h>

/* More than this is not taken over from one peer until it has been sent. */
#define ECHO_BYTES 65536

struct echo_counts {
    _Atomic uint64_t pieces;
    _Atomic uint64_t bytes;
    _Atomic uint64_t idle;
} GY_COUNTS;

struct echo {
    uint64_t idle_ms; /* 0: for ever */
    const struct gy_server_setup *setup;
};

static const struct gy_server_kind echo_kind;

static struct echo_counts *counts_of(const struct gy_stream *stream)
{
    return stream->endpoint->state;
}

static void wait_on(struct gy_stream *stream)
{
    const struct echo *echo = stream->endpoint->context;
    if (echo->idle_ms != 0) {
        gy_stream_set_deadline(stream, stream->worker->now_ms + echo->idle_ms);
    }
}

static uint32_t echo_open(struct gy_stream *stream)
{
    wait_on(stream);
    return GY_WANT_READ;
}

static uint32_t echo_turn(struct gy_stream *stream)
{
    uint32_t length = stream->in.length;
    if (stream->out.length >= ECHO_BYTES) {
        return GY_WANT_ROOM;
    }
    if (gy_chain_move(&stream->in, &stream->out, length) != 0) {
        return GY_WANT_READ | GY_WANT_RETRY;
    }
    gy_count(&counts_of(stream)->pieces, length > 0);
    gy_count(&counts_of(stream)->bytes, length);
    wait_on(stream);
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t echo_expire(struct gy_stream *stream)
{
    gy_count(&counts_of(stream)->idle, 1);
    return GY_WANT_CLOSE;
}

static uint32_t echo_drain(struct gy_stream *stream)
{
    return echo_turn(stream) | GY_WANT_CLOSE;
}

static void echo_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops echo_ops = {
    .open = echo_open,
    .turn = echo_turn,
    .expire = echo_expire,
    .drain = echo_drain,
    .closed = echo_closed,
};

static int take_idle(void *server, const struct gy_config_directive *directive,
                     struct gy_error *error)
{
    struct echo *echo = server;
    return gy_config_time(directive, 0, 3600000, &echo->idle_ms, error);
}

static const struct gy_config_key echo_keys[] = {
    {"idle", 1, 1, GY_CONFIG_PLAIN, true, take_idle, "TIME"},
};

static int echo_prepare(void *server, const struct gy_server_setup *setup, struct gy_error *error)
{
    struct echo *echo = server;
    (void)error;
    echo->setup = setup;
    return 0;
}

static int echo_worker_open(struct gy_worker *worker, const struct gy_server *core, void **state,
                            struct gy_error *error)
{
    const struct echo *echo = core->context;
    (void)error;
    *state = gy_server_counts(echo->setup, &echo_kind, worker->options.number);
    return 0;
}

static const struct gy_metric_description echo_rows[] = {
    {"echo_pieces", "", "Pieces sent back, as TCP had cut them.", GY_METRIC_COUNTER,
     offsetof(struct echo_counts, pieces)},
    {"echo_bytes", "", "Bytes sent back.", GY_METRIC_COUNTER, offsetof(struct echo_counts, bytes)},
    {"echo_idle", "", "Connections closed because nothing came.", GY_METRIC_COUNTER,
     offsetof(struct echo_counts, idle)},
};

static const struct gy_server_metrics echo_metrics = {
    .rows = echo_rows,
    .row_count = sizeof echo_rows / sizeof echo_rows[0],
    .counts_bytes = sizeof(struct echo_counts),
};

static const struct gy_server_kind echo_kind = {
    .name = "echo",
    .server_bytes = sizeof(struct echo),
    .keys = echo_keys,
    .key_count = sizeof echo_keys / sizeof echo_keys[0],
    .open = echo_prepare,
    .ops = &echo_ops,
    .session_bytes = 1,
    .worker_open = echo_worker_open,
    .metrics = &echo_metrics,
};

GY_PLUGIN(&echo_kind);
