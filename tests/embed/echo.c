/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A protocol of one's own on the core: sends back what it receives. Built from what is installed:
 *
 *     cc -o echo echo.c $(pkg-config --static --cflags --libs gyre)
 *     ./echo 127.0.0.1:8007
 */

#include <gyre/core/address.h>
#include <gyre/core/runtime.h>
#include <stdio.h>

/* More than this is not taken over from one peer until it has been sent. */
#define ECHO_BYTES 65536

static uint32_t echo_turn(struct gy_stream *stream)
{
    if (stream->out.length >= ECHO_BYTES) {
        return GY_WANT_ROOM;
    }
    if (gy_chain_move(&stream->in, &stream->out, stream->in.length) != 0) {
        return GY_WANT_READ | GY_WANT_RETRY;
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t echo_open(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_READ;
}

/* What has arrived is sent, then the connection ends: when a deadline has passed (none is set here)
 * and when the server is asked to end. */
static uint32_t echo_end(struct gy_stream *stream)
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
    .expire = echo_end,
    .drain = echo_end,
    .closed = echo_closed,
};

int main(int argc, char **argv)
{
    struct gy_error error = {0};
    struct gy_address address;
    struct gy_child child;
    int socket;
    struct gy_server server = {
        .name = "echo", .ops = &echo_ops, .session_bytes = 8, .descriptors = &socket};
    struct gy_runtime_options options = {
        .workers = 1, .receive_mode = GY_RECEIVE_CHOOSE, .servers = &server, .server_count = 1};
    if (gy_address_parse(&address, argc > 1 ? argv[1] : "127.0.0.1:8007", &error) != 0 ||
        gy_address_listen(&address, 1, &socket, NULL, &error) != 0 ||
        gy_child_init_alone(&child, 10000, &error) != 0) {
        fprintf(stderr, "echo: %s\n", error.message);
        return 1;
    }
    int code = gy_runtime_run(&options, &child, &error);
    if (code != 0) {
        fprintf(stderr, "echo: %s\n", error.message);
    }
    gy_child_close(&child);
    return code == 0 ? 0 : 1;
}
