/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_RUDP_PAIR_H
#define GY_TESTS_RUDP_PAIR_H

/* A client and a server of reliable UDP without a network: datagrams are handed over by the test.
 */

#include "tests/unit/unit.h"

#include "core/error.h"
#include "protocols/rudp/gate.h"
#include "protocols/rudp/rudp.h"

#define MS              UINT64_C(1000000)
#define PAIR_GOT_MAX    4096
#define PAIR_PACKET_MAX 1500

struct end {
    struct gy_rudp_conn conn;
    void *memory;
    size_t taken;
    uint32_t got;                /* messages */
    uint8_t order[PAIR_GOT_MAX]; /* the first byte of each */
    uint64_t got_bytes;
    bool hold; /* not consumed at once */
};

struct pair {
    struct gy_rudp_config config;
    struct gy_rudp_gate gate;
    struct end client, server;
    uint64_t now_ns;
};

static inline bool pair_received(struct gy_rudp_conn *conn, uint8_t channel,
                                 enum gy_rudp_guarantee guarantee, const uint8_t *data,
                                 size_t length)
{
    struct end *end = conn->env.owner;
    (void)channel, (void)guarantee;
    assert_true(end->got < PAIR_GOT_MAX);
    end->order[end->got++] = length > 0 ? data[0] : 0;
    end->got_bytes += length;
    return !end->hold;
}

static inline void *pair_take(void *owner, size_t bytes)
{
    ((struct end *)owner)->taken += bytes;
    return malloc(bytes);
}

static inline void pair_give(void *owner, void *memory, size_t bytes)
{
    ((struct end *)owner)->taken -= bytes;
    free(memory);
}

static inline struct gy_rudp_env pair_env(struct end *end)
{
    return (struct gy_rudp_env){
        .received = pair_received, .take = pair_take, .give = pair_give, .owner = end};
}

static inline void *pair_memory(const struct gy_rudp_config *config)
{
    void *memory = aligned_alloc(16, (gy_rudp_memory_bytes(config) + 15) / 16 * 16);
    assert_non_null(memory);
    return memory;
}

static inline size_t pair_output(struct pair *pair, struct end *from, uint8_t *out)
{
    return gy_rudp_output(&from->conn, out, PAIR_PACKET_MAX, pair->now_ns);
}

/* Hands over what `from` has to send now: packets. */
static inline uint32_t pair_pass(struct pair *pair, struct end *from, struct end *to)
{
    uint8_t out[PAIR_PACKET_MAX];
    size_t bytes;
    uint32_t packets = 0;
    while ((bytes = pair_output(pair, from, out)) > 0) {
        gy_rudp_receive(&to->conn, out, bytes, pair->now_ns);
        packets++;
    }
    return packets;
}

/* Time passes, and all that is sent arrives at once, until `ms` are over. */
static inline void pair_run(struct pair *pair, uint64_t ms)
{
    uint64_t end_ns = pair->now_ns + ms * MS;
    while (pair->now_ns < end_ns) {
        gy_rudp_expire(&pair->client.conn, pair->now_ns);
        gy_rudp_expire(&pair->server.conn, pair->now_ns);
        pair_pass(pair, &pair->client, &pair->server);
        pair_pass(pair, &pair->server, &pair->client);
        pair->now_ns += MS;
    }
}

static inline struct gy_rudp_config pair_config(void)
{
    return (struct gy_rudp_config){
        .datagram_bytes = 1200,
        .channels = 8,
        .packets = 1024,
        .pieces = 1024,
        .assemblies = 64,
        .window_bytes = 1 << 20,
        .message_max = 1 << 19,
        .idle_timeout_ns = 30000 * MS,
        .seal = &gy_rudp_seal_none,
        .seed = 300, /* the first number left out is 60 */
    };
}

/* The client has sent nothing yet. */
static inline void pair_begin(struct pair *pair, const struct gy_rudp_config *config)
{
    memset(pair, 0, sizeof *pair);
    pair->config = *config;
    pair->now_ns = 1000 * MS;
    pair->gate = (struct gy_rudp_gate){
        .key = {{1, 2}},
        .cookie_ns = 10000 * MS,
        .cid_bytes = 4,
        .version = config->seal->handshake != NULL ? GY_RUDP_VERSION : GY_RUDP_VERSION_PLAIN};
    pair->client.memory = pair_memory(config);
    pair->server.memory = pair_memory(config);
    struct gy_rudp_env env = pair_env(&pair->client);
    struct gy_rudp_cid nobody = {.length = 0};
    assert_int_equal(gy_rudp_connect(&pair->client.conn, config, pair->client.memory, &env, &nobody,
                                     pair->now_ns),
                     0);
}

/* The client's next HELLO, at the gate. */
static inline enum gy_rudp_verdict pair_hello(struct pair *pair, uint8_t *answer,
                                              size_t *answer_bytes)
{
    uint8_t out[PAIR_PACKET_MAX];
    struct gy_rudp_long hello;
    size_t bytes = pair_output(pair, &pair->client, out);
    assert_int_equal(bytes, GY_RUDP_HELLO_BYTES);
    enum gy_rudp_verdict verdict = gy_rudp_gate_take(&pair->gate, "peer", 4, out, bytes,
                                                     pair->now_ns, &hello, answer, answer_bytes);
    if (verdict == GY_RUDP_ADMIT) {
        struct gy_rudp_cid self = {.bytes = {1, 2, 3, 4}, .length = 4};
        uint8_t token[GY_RUDP_TOKEN_BYTES];
        struct gy_rudp_env env = pair_env(&pair->server);
        gy_rudp_gate_token(&pair->gate, &self, token);
        assert_int_equal(gy_rudp_accept(&pair->server.conn, &pair->config, pair->server.memory,
                                        &env, &self, &hello, token, pair->now_ns),
                         0);
        if (hello.early_bytes > 0) {
            gy_rudp_receive(&pair->server.conn, out, bytes, pair->now_ns);
        }
    }
    return verdict;
}

static inline void pair_open(struct pair *pair, const struct gy_rudp_config *config)
{
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t bytes;
    pair_begin(pair, config);
    assert_int_equal(pair_hello(pair, answer, &bytes), GY_RUDP_ANSWER);
    gy_rudp_receive(&pair->client.conn, answer, bytes, pair->now_ns);
    assert_int_equal(pair_hello(pair, answer, &bytes), GY_RUDP_ADMIT);
    assert_int_equal(pair_pass(pair, &pair->server, &pair->client), 1);
    assert_int_equal(pair->client.conn.state, GY_RUDP_OPEN);
}

static inline void pair_end(struct pair *pair)
{
    struct end *ends[] = {&pair->client, &pair->server};
    for (unsigned i = 0; i < 2; i++) {
        if (ends[i]->conn.env.owner != NULL) {
            gy_rudp_free(&ends[i]->conn);
            assert_int_equal(ends[i]->taken, 0);
        }
        free(ends[i]->memory);
    }
}

#endif
