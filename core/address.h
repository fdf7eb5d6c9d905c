/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_ADDRESS_H
#define GY_CORE_ADDRESS_H

/*
 * Addresses, and the listening sockets on them.
 *
 * An address is numeric: a host and a port, never a name, so that reading one never waits for a
 * resolver. `gy_address_listen` opens the sockets of a TCP or a UDP server: one for each worker,
 * all on one port, the kernel spreading connections, or the peers of datagrams, over them
 * (SO_REUSEPORT). The process that opens them (the
 * supervising parent, where there is one) owns them; serving processes inherit them by fork.
 *
 * Linux would let a second process of the same user join such a port and take half of its
 * connections, without a word. Here it cannot: the first socket claims the port alone, so a second
 * server that was started by mistake is told that the address is in use.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "error.h"

/* A value: copy it freely. Fill it by one of the calls below, not by hand. */
struct gy_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t length; /* bytes of the union that are in use */
    /* Every address of this host, IPv4 and IPv6 by one socket (IPv4 alone where the host has no
     * IPv6): the meaning of ":PORT". The union then holds [::]. */
    bool every;
};

/* Bytes that the text of any address fits in, its final zero included. */
#define GY_ADDRESS_TEXT_BYTES 72

/* Sockets that one call to gy_address_listen may open. */
#define GY_ADDRESS_LISTEN_LIMIT 1024

/*
 * Reads
 *     192.0.2.1:8080   [2001:db8::1]:8080   [fe80::1%eth0]:8080   one address
 *     :8080   8080                                                every address of this host
 * Port 0 stands for a free port that the kernel chooses. [::]:PORT is IPv6 alone, as it is
 * written. `text` is zero-terminated and need not outlive the call.
 * Returns 0, or GY_EINVAL with a sentence in `error` (which may be NULL); then `address` is
 * untouched.
 */
int gy_address_parse(struct gy_address *address, const char *text, struct gy_error *error);

/* Copies what the kernel gave (accept, getsockname, recvmsg). GY_ENOTSUP for anything but IPv4 and
 * IPv6, GY_EINVAL for a length that does not fit the family. */
int gy_address_from_sockaddr(struct gy_address *address, const struct sockaddr *from,
                             socklen_t length);

/* The local address that `fd` is bound to: after gy_address_listen, the port that stands for 0.
 * Whether it takes IPv4 besides IPv6 is asked of the socket, so `every` is true again for ":PORT".
 * Returns 0, GY_ENOTSUP, or the code of what getsockname(2) said. */
int gy_address_of_socket(struct gy_address *address, int fd);

/* The port, in the order of this machine; 0 stands for "chosen by the kernel". */
uint16_t gy_address_port(const struct gy_address *address);

void gy_address_set_port(struct gy_address *address, uint16_t port);

/* Same family, host, scope and port. */
bool gy_address_equal(const struct gy_address *a, const struct gy_address *b);

/* Whether both cannot be listened on at a time: they are equal, or one stands for many addresses
 * of this host (":PORT", "0.0.0.0:PORT", "[::]:PORT") and the other is among them. False where a
 * port is 0. */
bool gy_address_overlap(const struct gy_address *a, const struct gy_address *b);

/*
 * Writes the text that gy_address_parse would read, zero-terminated: "192.0.2.1:8080",
 * "[2001:db8::1]:8080", ":8080" for every address. An IPv4 peer that came to an IPv6 socket
 * (::ffff:192.0.2.1) is written as IPv4. Returns `out`, so that it can stand in a call to printf.
 * `capacity` is at least GY_ADDRESS_TEXT_BYTES (asserted).
 */
char *gy_address_format(const struct gy_address *address, char *out, size_t capacity);

/* All zero is a good default. */
struct gy_listen_options {
    /* Connections that wait to be accepted, for each socket. 0: as many as the kernel's limit
     * (net.core.somaxconn, 4096 unless changed) lets be. */
    uint32_t backlog;
    /* Wake the server only when the client's first bytes are there (TCP_DEFER_ACCEPT), giving up
     * after about so many seconds. 0: off. A protocol where the server speaks first cannot use it;
     * a client that sends nothing keeps no slot, yet also meets no deadline of ours. */
    uint32_t defer_accept_s;
    /* O_NONBLOCK on the sockets, for a caller that accepts by accept4(2) behind epoll. Off for the
     * ring, which waits by itself: on a non-blocking file a request may end with EAGAIN instead. */
    bool nonblocking;
    /* UDP sockets that are bound, instead of TCP sockets that listen; the rest above is for TCP. */
    bool datagrams;
};

/* What the kernel may hold of each connection that was not sent yet; what it has sent, the peer's
 * window bounds. Without it the kernel takes as much as the send buffer grows to, over loopback 2
 * MiB at once, and 1,000 peers who do not read hold all the memory that it has for TCP. */
#define GY_ADDRESS_UNSENT_BYTES 65536

/*
 * Opens `count` (1 to GY_ADDRESS_LISTEN_LIMIT, asserted) sockets that listen on `address` and
 * writes them to `fds`; port 0 becomes one port that they all share (gy_address_of_socket tells
 * which). Each is close-on-exec; those of TCP have TCP_NODELAY and TCP_NOTSENT_LOWAT already set
 * for whatever they accept, and a restart does not trip over connections of the last run that are
 * still closing (SO_REUSEADDR).
 *
 * `options` may be NULL for the defaults, `error` may be NULL. On failure nothing stays open and
 * `fds` is untouched; the message names the address, the cause and what to try:
 *     GY_EADDRINUSE  another socket listens there: the process that holds it is named where /proc
 *                    shows it. Also when two of our own listeners overlap.
 *     GY_EREFUSED    the port is below net.ipv4.ip_unprivileged_port_start and the process has no
 *                    right to it
 *     GY_EINVAL      this host has no such address, or (fe80::…) it needs a scope
 *     GY_ENOTSUP     the host has no IPv6
 *     GY_ENOFILE     out of descriptors
 *     others         as gy_error_from_errno makes them
 */
int gy_address_listen(const struct gy_address *address, unsigned count, int fds[],
                      const struct gy_listen_options *options, struct gy_error *error);

#endif
