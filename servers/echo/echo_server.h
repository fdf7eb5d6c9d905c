/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_ECHO_ECHO_SERVER_H
#define GY_SERVERS_ECHO_ECHO_SERVER_H

/*
 * Echo (RFC 862) and discard (RFC 863), over TCP and UDP: for measuring hosts, networks and this
 * core, and for trying a path.
 *
 * No byte is copied: what was received is what is sent. Over TCP a client that does not read its
 * echo stops being read. Over UDP an answer is as long as its question, never longer, but whoever
 * forges the sender of a datagram can make two echo servers talk to each other for ever. So what
 * claims to come from a port below 1024 (the services that answer anything live there), or from the
 * port that it was sent to (another server of this kind), is dropped and counted.
 */

#include "../../core/datagram.h"
#include "../../core/listener.h"

#define GY_ECHO_WORKERS_MAX 1024

/* What one worker counted. */
struct gy_echo_counts {
    _Atomic uint64_t datagrams; /* echoed, or discarded as asked */
    _Atomic uint64_t bytes;     /* of TCP and UDP */
    _Atomic uint64_t refused;   /* datagrams from ports that are not answered */
    _Atomic uint64_t truncated; /* datagrams too long to be echoed whole, and not echoed */
} __attribute__((aligned(64)));

/* Shared by the workers, who only read it; zero it, fill the first part, keep it until the end. */
struct gy_echo_server {
    bool discard;  /* answer nothing */
    bool any_port; /* answer whatever port it came from: for closed networks only */
    struct gy_datagram_options datagrams; /* modes, gso, gro, sizes; the rest is filled in */

    struct gy_echo_counts counts[GY_ECHO_WORKERS_MAX];
};

/* Fills a core server that serves `echo` on `descriptors`: listening TCP sockets, or bound UDP
 * sockets, one for each worker. Either, or both with two core servers. */
void gy_echo_server_stream(struct gy_server *server, struct gy_echo_server *echo,
                           const int *descriptors);
void gy_echo_server_datagram(struct gy_server *server, struct gy_echo_server *echo,
                             const int *descriptors);

#endif
