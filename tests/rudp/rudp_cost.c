/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What hostile packets cost a server, by hand:
 *
 *     build/release/tests/rudp/rudp-cost
 *
 * Each line is one kind of packet: the processor time that one takes, what is sent back for it, and
 * what of the server's memory it holds afterwards. Nothing of the kernel's share is in it.
 */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "tests/rudp/tls_pair.h"

#define ROUNDS 20000u

static struct tls_pair tls;
static struct pair *const pair = &tls.pair;
static uint8_t out[PAIR_PACKET_MAX], text[65536];

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void line(const char *name, uint64_t spent_ns, uint32_t rounds, size_t in, size_t back,
                 size_t held)
{
    printf("%-54s %9.0f ns %6zu B in %5zu B back %8zu B held\n", name, (double)spent_ns / rounds,
           in, back, held);
}

/* ---- at the door ---- */

static void door(const char *name, const uint8_t *packet, size_t bytes, bool varied)
{
    struct gy_rudp_long hello;
    uint8_t answer[GY_RUDP_ANSWER_MAX], copy[PAIR_PACKET_MAX];
    size_t answer_bytes = 0;
    uint64_t spent_ns = cpu_ns();
    memcpy(copy, packet, bytes);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        copy[bytes - 1] = varied ? (uint8_t)i : copy[bytes - 1];
        gy_rudp_gate_take(&pair->gate, &i, sizeof i, copy, bytes, pair->now_ns, &hello, answer,
                          &answer_bytes);
    }
    line(name, cpu_ns() - spent_ns, ROUNDS, bytes, answer_bytes, 0);
}

static void strangers(void)
{
    struct gy_rudp_config config = pair_config();
    uint8_t random[1200];
    tls_pair_begin(&tls, &config, "server.test", NULL);
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    random[0] = 0x83;
    door("random bytes, 1200, that begin like ours", random, sizeof random, true);
    size_t bytes = pair_output(pair, &pair->client, out);
    door("HELLO without a cookie (an address that is made up)", out, bytes, false);
    out[bytes - 1] ^= 1;
    door("HELLO that is damaged", out, bytes, false);
    random[0] = 0x40;
    door("a packet of a connection that is not there (reset)", random, 100, true);
    tls_pair_end(&tls);
}

/* From an address that was proved: all of a server's share of a handshake that is never finished.
 */
static void handshakes(void)
{
    struct gy_rudp_config config = pair_config();
    uint32_t rounds = 300;
    size_t in = 0, back = 0;
    uint64_t spent_ns = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        uint8_t answer[GY_RUDP_ANSWER_MAX];
        size_t bytes;
        struct gy_rudp_long hello;
        tls_pair_begin(&tls, &config, "server.test", NULL);
        pair_hello(pair, answer, &bytes);
        gy_rudp_receive(&pair->client.conn, answer, bytes, pair->now_ns);
        in = pair_output(pair, &pair->client, out);
        uint64_t began_ns = cpu_ns();
        assert_int_equal(gy_rudp_gate_take(&pair->gate, "peer", 4, out, in, pair->now_ns, &hello,
                                           answer, &bytes),
                         GY_RUDP_ADMIT);
        struct gy_rudp_cid self = {.bytes = {1, 2, 3, 4}, .length = 4};
        uint8_t token[GY_RUDP_TOKEN_BYTES] = {0};
        struct gy_rudp_env env = pair_env(&pair->server);
        assert_int_equal(gy_rudp_accept(&pair->server.conn, &pair->config, pair->server.memory,
                                        &env, &self, &hello, token, pair->now_ns),
                         0);
        back = 0;
        uint8_t flight[PAIR_PACKET_MAX];
        while ((bytes = pair_output(pair, &pair->server, flight)) > 0) {
            back += bytes;
        }
        spent_ns += cpu_ns() - began_ns;
        tls_pair_end(&tls);
    }
    line("HELLO with a cookie: a handshake never finished", spent_ns, rounds, in, back,
         sizeof(struct gy_rudp_conn) + gy_rudp_memory_bytes(&config));
}

/* ---- at an open connection ---- */

/* `packet` once for each round; with `change`, another last byte each time. */
static void feed(const char *name, const uint8_t *packet, size_t bytes, bool change)
{
    uint8_t copy[PAIR_PACKET_MAX];
    uint64_t spent_ns = cpu_ns();
    uint64_t sent = pair->server.conn.stats.bytes_sent;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memcpy(copy, packet, bytes);
        copy[bytes - 1] ^= change ? (uint8_t)(1 + i % 255) : 0;
        gy_rudp_receive(&pair->server.conn, copy, bytes, pair->now_ns);
    }
    spent_ns = cpu_ns() - spent_ns;
    sent = pair->server.conn.stats.bytes_sent - sent;
    line(name, spent_ns, ROUNDS, bytes, (size_t)sent / ROUNDS, 0);
}

static void insiders(void)
{
    static struct gy_rudp_message message;
    struct gy_rudp_config config = pair_config();
    tls_pair_open(&tls, &config);
    message = (struct gy_rudp_message){.data = text, .length = 1000, .guarantee = GY_RUDP_ORDERED};
    assert_int_equal(gy_rudp_send(&pair->client.conn, &message), 0);
    size_t bytes = pair_output(pair, &pair->client, out);
    feed("forged packet of a connection, 1 KB", out, bytes, true);
    feed("cut packet of a connection", out, 30, false);
    uint8_t copy[PAIR_PACKET_MAX];
    memcpy(copy, out, bytes);
    gy_rudp_receive(&pair->server.conn, copy, bytes, pair->now_ns);
    feed("copy of a packet that was taken, 1 KB", out, bytes, false);
    tls_pair_end(&tls);
}

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    (void)conn, (void)channel, (void)guarantee, (void)data, (void)length;
    return true;
}

/* What a peer with keys can do: written by hand, so without encryption. */
static void peer(const char *name, const uint8_t *frames, size_t frame_bytes, size_t vary)
{
    struct gy_rudp_config config = pair_config();
    pair_open(pair, &config);
    uint8_t packet[PAIR_PACKET_MAX];
    size_t held = 0, sent = 0;
    struct gy_rudp_conn *conn = &pair->server.conn;
    uint64_t spent_ns = 0;
    uint32_t rounds = 0;
    conn->env.received = received;
    while (rounds < ROUNDS && conn->state == GY_RUDP_OPEN) {
        struct gy_writer writer = gy_writer_on(packet, sizeof packet);
        uint8_t answer[PAIR_PACKET_MAX];
        size_t bytes;
        gy_writer_u8(&writer, 0x41);
        gy_writer_bytes(&writer, (const uint8_t[]){1, 2, 3, 4}, 4);
        gy_writer_u16(&writer, (uint16_t)++rounds);
        gy_writer_bytes(&writer, frames, frame_bytes);
        if (vary != 0) {
            packet[7 + vary] = (uint8_t)(0x40 | (rounds >> 8 & 0x3f));
            packet[7 + vary + 1] = (uint8_t)rounds;
        }
        uint64_t began_ns = cpu_ns();
        gy_rudp_receive(conn, packet, gy_writer_length(&writer), pair->now_ns);
        while ((bytes = pair_output(pair, &pair->server, answer)) > 0) {
            sent += bytes;
        }
        spent_ns += cpu_ns() - began_ns;
        held = pair->server.taken > held ? pair->server.taken : held;
    }
    rounds += rounds == 0;
    line(name, spent_ns, rounds, 7 + frame_bytes, sent / rounds, held);
    pair_end(pair);
}

static void peers(void)
{
    uint8_t fragment[9 + 64] = {0x1d, 0, 0x40, 0, 0x80, 0x07, 0xff, 0xff, 0};
    peer("one part of an unreliable message of 512 KiB", fragment, sizeof fragment, 2);
    fragment[0] = 0x1e;
    peer("the same, reliable (to the credit, then closed)", fragment, sizeof fragment, 2);
    const uint8_t all[] = {0x02, 0x7f, 0xff, 0, 0, 0x7f, 0xff};
    peer("an acknowledgement of all there may be (closed)", all, sizeof all, 0);
    const uint8_t challenge[] = {0x06, 1, 2, 3, 4, 5, 6, 7, 8};
    peer("a CHALLENGE, answered", challenge, sizeof challenge, 0);
    uint8_t tiny[5 * 200];
    for (size_t i = 0; i < sizeof tiny; i += 5) {
        memcpy(tiny + i, (const uint8_t[]){0x10, 0, 2, 'h', 'i'}, 5);
    }
    peer("200 messages of two bytes in a packet", tiny, sizeof tiny, 0);
    uint8_t blocked[3 * 300];
    for (size_t i = 0; i < sizeof blocked; i += 3) {
        memcpy(blocked + i, (const uint8_t[]){0x0f, 1, 9}, 3);
    }
    peer("300 frames that say a channel is blocked", blocked, sizeof blocked, 0);
}

/* A bound that holds for each connection, whatever is sent. */
static void bounds(void)
{
    struct gy_rudp_config config = pair_config();
    config.channel_window_bytes = config.window_bytes;
    printf("\none connection of these settings: %zu B itself, %zu B for parts at most, %" PRIu64
           " B held by its readers at most\n",
           sizeof(struct gy_rudp_conn) + gy_rudp_memory_bytes(&config),
           gy_rudp_reassembly_bytes(&config), config.channels * config.channel_window_bytes);
}

int main(void)
{
    tls_pair_init(&tls, NULL);
    strangers();
    handshakes();
    insiders();
    tls_pair_close(&tls);
    peers();
    bounds();
    return 0;
}
