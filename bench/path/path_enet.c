/* SPDX-License-Identifier: GPL-3.0-or-later */

/* ENet over a path, see path.h: reliable packets on one channel, which it delivers in order. */

#include <enet/enet.h>

#include "bench/path/path.h"

#define WAITING 4096 /* commands of a flood that wait in the library: a fragment is one */

static bool send_one(const struct path_flags *flags, ENetPeer *peer, uint64_t number,
                     const uint8_t *data, size_t bytes)
{
    ENetPacket *packet = enet_packet_create(data, bytes, ENET_PACKET_FLAG_RELIABLE);
    if (packet == NULL) {
        return false;
    }
    if (enet_peer_send(peer, (enet_uint8)(number % flags->channels), packet) != 0) {
        enet_packet_destroy(packet);
        return false;
    }
    return true;
}

static void serve(const struct path_flags *flags, struct path_report *report)
{
    ENetAddress address = {.host = ENET_HOST_ANY, .port = flags->port};
    ENetHost *host = enet_host_create(&address, 4, 16, 0, 0);
    ENetEvent event;
    uint64_t end_ns = path_now_ns() + (uint64_t)((flags->seconds + 30) * 1e9);
    if (host == NULL) {
        fprintf(stderr, "path-enet: cannot listen on port %u\n", flags->port);
        exit(1);
    }
    for (bool over = false; !over && path_now_ns() < end_ns;) {
        int some = enet_host_service(host, &event, 20);
        while (some > 0) {
            if (event.type == ENET_EVENT_TYPE_RECEIVE) {
                path_received(report, event.packet->data, event.packet->dataLength);
                if (flags->ping) {
                    send_one(flags, event.peer, 0, event.packet->data, event.packet->dataLength);
                    enet_host_flush(host);
                }
                enet_packet_destroy(event.packet);
            }
            over |= event.type == ENET_EVENT_TYPE_DISCONNECT;
            some = enet_host_check_events(host, &event);
        }
    }
    path_report_print(report);
    enet_host_destroy(host);
}

static void take_echo(ENetHost *host, ENetEvent *event, struct path_report *report)
{
    int some = enet_host_service(host, event, 1);
    while (some > 0) {
        if (event->type == ENET_EVENT_TYPE_RECEIVE) {
            path_received(report, event->packet->data, event->packet->dataLength);
            enet_packet_destroy(event->packet);
        }
        some = enet_host_check_events(host, event);
    }
}

static void client(const struct path_flags *flags, struct path_report *report)
{
    ENetAddress address = {.port = flags->port};
    ENetHost *host = enet_host_create(NULL, 1, 16, 0, 0);
    static uint8_t data[65536];
    ENetEvent event;
    enet_address_set_host(&address, "127.0.0.1");
    ENetPeer *peer = host != NULL ? enet_host_connect(host, &address, 16, 0) : NULL;
    if (peer == NULL || enet_host_service(host, &event, 5000) <= 0) {
        fprintf(stderr, "path-enet: no answer from port %u\n", flags->port);
        exit(1);
    }
    uint64_t sent = 0, begun_ns = path_now_ns();
    for (double passed = 0; passed < flags->seconds;) {
        size_t waiting =
            enet_list_size(&peer->outgoingCommands) + enet_list_size(&peer->sentReliableCommands);
        size_t room = (waiting < WAITING ? WAITING - waiting : 0) / (1 + flags->bytes / peer->mtu);
        uint64_t due = path_due(flags, report, sent, passed, room);
        for (; sent < due; sent++) {
            path_message_fill(data, sent);
            if (!send_one(flags, peer, sent, data, flags->bytes)) {
                break;
            }
        }
        take_echo(host, &event, report);
        passed = (double)(path_now_ns() - begun_ns) / 1e9;
    }
    enet_peer_disconnect_later(peer, 0);
    uint64_t end_ns = path_now_ns() + 5000000000u;
    while (path_now_ns() < end_ns) {
        if (enet_host_service(host, &event, 10) > 0 && event.type == ENET_EVENT_TYPE_DISCONNECT) {
            break;
        }
    }
    path_sent_print(sent, report);
    enet_host_destroy(host);
}

int main(int argc, char **argv)
{
    struct path_flags flags;
    ENetVersion linked = enet_linked_version();
    struct path_report report = {.delays_ns = malloc(PATH_DELAYS_MAX * sizeof(uint64_t))};
    char version[32];
    snprintf(version, sizeof version, "ENet %u.%u.%u", ENET_VERSION_GET_MAJOR(linked),
             ENET_VERSION_GET_MINOR(linked), ENET_VERSION_GET_PATCH(linked));
    path_flags_read(&flags, argc, argv, version);
    if (report.delays_ns == NULL || enet_initialize() != 0) {
        fprintf(stderr, "path-enet: out of memory\n");
        free(report.delays_ns);
        return 1;
    }
    if (flags.serve) {
        serve(&flags, &report);
    } else {
        client(&flags, &report);
    }
    enet_deinitialize();
    free(report.delays_ns);
    return 0;
}
