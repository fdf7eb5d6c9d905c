/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CORE_DATAGRAM_STAGE_H
#define GY_TESTS_CORE_DATAGRAM_STAGE_H

/*
 * A worker on the fake ring with one server of datagrams, on a real UDP socket, since calls
 * (recvmmsg, sendmmsg, socket options) are not the ring's; and an endpoint for dialled sockets.
 */

#include "core/datagram.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define DSTAGE_GOT 1024

struct got {
    uint32_t bytes;
    uint8_t data[64]; /* the first ones */
    struct gy_datagram_path path;
    bool truncated;
};

struct dstage {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_server server;
    struct gy_datagram_options options;
    struct gy_datagram_endpoint client;
    bool client_open;
    int bound;
    struct gy_address address; /* of the server */

    bool echo;  /* sends back what it receives */
    bool keep;  /* holds what it receives */
    bool close; /* closes the socket as it receives */
    struct got got[DSTAGE_GOT];
    uint32_t got_count;
    uint32_t batches;
    struct gy_slice kept[DSTAGE_GOT];
    uint32_t kept_count;
    int sent_code; /* of the last echo */
    uint32_t failures;
    int failure; /* the last one */
    uint32_t expired, drained, closed;
};

/* `options` may be NULL; its ops are the stage's. `address`: NULL for 127.0.0.1, port chosen. */
struct dstage *dstage_open(const struct gy_datagram_options *options, const char *address,
                           uint32_t without);

/* Ends everything by completing what is in flight, checks that nothing leaked, and frees it. */
void dstage_close(struct dstage *stage);

void dstage_turn(struct dstage *stage);
void dstage_turns(struct dstage *stage, uint32_t count);

/* Gives back what is kept. */
void dstage_drop_kept(struct dstage *stage);

/* The server's socket. */
struct gy_datagram_socket *dstage_server(struct dstage *stage);

/* The server's armed receive, or NULL. */
struct fake_operation *dstage_receive(struct dstage *stage);

/* A datagram from 192.0.2.1, port `port`, for the armed receive. flags: GY_COMPLETION_MORE or 0. */
void dstage_datagram(struct dstage *stage, uint16_t port, const void *data, uint32_t bytes,
                     uint32_t flags);

/* The same with control messages. */
void dstage_controlled(struct dstage *stage, uint16_t port, const void *control,
                       uint32_t control_length, const void *data, uint32_t bytes);

/* Adds a control message at `at`; returns where the next goes. */
uint8_t *dstage_control(uint8_t *at, int level, int type, const void *data, size_t bytes);

/* The path to 192.0.2.1, port `port`. */
struct gy_datagram_path dstage_path(uint16_t port);

/* Queues `bytes` of the byte `fill` for that path. */
int dstage_send(struct dstage *stage, struct gy_datagram_socket *socket,
                const struct gy_datagram_path *path, uint8_t fill, uint32_t bytes);

/* The same from the server's socket, to `port`. */
int dstage_put(struct dstage *stage, uint16_t port, uint8_t fill, uint32_t bytes);

/* The oldest send in flight; where it goes (0: not said); and its end: `result` is what the kernel
 * says, 0 for all of it. */
struct fake_operation *dstage_first_send(struct dstage *stage);
uint16_t dstage_port_of(const struct fake_operation *send);
void dstage_sent(struct dstage *stage, int32_t result);

/* Dials the server's address (or `to`). */
struct gy_datagram_socket *dstage_dial(struct dstage *stage, const struct gy_address *to);

/* The control message of a send in flight, or NULL. */
const struct cmsghdr *dstage_sent_control(const struct fake_operation *operation, int level,
                                          int type);

#define dstage_counter(stage, name) gy_counter_read(&(stage)->worker.counters.name)

#endif
