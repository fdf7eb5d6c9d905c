/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The server of rudp.c, encrypted: whoever plays is shown its certificate, and nobody on the way
 * can read an order, change one, or send it again. Each order is answered on its channel as it
 * came; a channel whose answers a player does not read holds up none of the others.
 *
 *     cc -o rudp_tls rudp_tls.c $(pkg-config --static --cflags --libs gyre-tls gyre)
 *     gyre cert
 *     ./rudp_tls localhost.pem 127.0.0.1:7117
 *     gyre rudp ping localhost:7117 --ca authority.pem
 */

#include <stdio.h>

#include <gyre/servers/rudp/rudp_tls.h>

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    if (gy_rudp_host_send_copy(session, channel, guarantee, data, length) != 0) {
        gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for an answer");
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct gy_rudp_host_ops game = {.received = received};
    static struct gy_rudp_server server;
    struct gy_error error = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: %s CERTIFICATE [ADDRESS:PORT]\n", argv[0]);
        return 2;
    }
    gy_rudp_server_init(&server, &game, NULL);
    server.host.connections_max = 100;
    if (gy_rudp_server_encrypt(&server, argv[1], NULL, &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int status = gy_rudp_serve(&server, argc > 2 ? argv[2] : "127.0.0.1:7117");
    gy_rudp_server_encrypt_end(&server);
    return status;
}
