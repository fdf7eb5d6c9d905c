/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A server of one's own over reliable UDP: what a game would do. Each player's orders come reliably
 * and in order on channel 0 and are answered likewise; positions come on channel 1, only the newest
 * counts, and go to all other players of the worker in the same way.
 *
 *     cc -o rudp rudp.c $(pkg-config --static --cflags --libs gyre)
 *     ./rudp 127.0.0.1:7117
 *     gyre rudp ping 127.0.0.1:7117 --plaintext --guarantee ordered
 */

#include <gyre/servers/rudp/rudp_server.h>

static void tell_others(struct gy_rudp_session *from, const uint8_t *data, size_t length)
{
    struct gy_rudp_session *other;
    TAILQ_FOREACH(other, &from->host->all, all_entry)
    {
        if (other != from) {
            gy_rudp_host_send_copy(other, 1, GY_RUDP_SEQUENCED, data, length);
        }
    }
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    if (guarantee == GY_RUDP_SEQUENCED) {
        tell_others(session, data, length);
    } else if (gy_rudp_host_send_copy(session, channel, guarantee, data, length) != 0) {
        gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for an answer");
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct gy_rudp_host_ops game = {.received = received};
    static struct gy_rudp_server server;
    gy_rudp_server_init(&server, &game, NULL);
    server.host.connections_max = 100;
    return gy_rudp_serve(&server, argc > 1 ? argv[1] : "127.0.0.1:7117");
}
