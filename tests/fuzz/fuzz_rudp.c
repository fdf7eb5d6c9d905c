/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Packets of reliable UDP: two bytes of length, then so many bytes, again and again. Each goes to a
 * server's door, to an open connection of a server and to one of a client, as it is: what they hold
 * must stay within its bounds, whatever they answer must be well-formed, and a frame that can be
 * read is, written again, the same frame.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/rudp/gate.h"
#include "protocols/rudp/rudp.h"

#define MS UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t taken;
static uint64_t now_ns;

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    (void)guarantee;
    gy_assert(channel < conn->config.channels && length <= conn->config.message_max);
    uint8_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        sum ^= data[i];
    }
    return (sum & 1) == 0;
}

static void *take(void *owner, size_t bytes)
{
    struct gy_rudp_conn *conn = owner;
    taken += bytes;
    gy_assert(taken <= gy_rudp_reassembly_bytes(&conn->config));
    return malloc(bytes);
}

static void give(void *owner, void *memory, size_t bytes)
{
    (void)owner;
    taken -= bytes;
    free(memory);
}

static const struct gy_rudp_config config = {
    .datagram_bytes = 1200,
    .channels = 4,
    .packets = 64,
    .pieces = 16,
    .assemblies = 8,
    .window_bytes = 16384,
    .channel_window_bytes = 12000,
    .message_max = 8192,
    .idle_timeout_ns = 30000 * MS,
    .ecn = true,
    .seal = &gy_rudp_seal_none,
    .seed = 1,
};

/* The same bytes again, unless lengths were written in a longer form than they need: then the same
 * meaning. */
static void check_frame(const struct gy_rudp_frame *frame)
{
    uint8_t first[66000], second[66000];
    struct gy_rudp_frame again;
    struct gy_writer writer = gy_writer_on(first, sizeof first);
    gy_assert(gy_rudp_frame_write(&writer, frame, false));
    struct gy_reader reader = gy_reader_on(first, gy_writer_length(&writer));
    gy_assert(gy_rudp_frame_read(&reader, &again) == 1 && gy_reader_left(&reader) == 0);
    gy_assert(again.type == frame->type);
    struct gy_writer twice = gy_writer_on(second, sizeof second);
    gy_assert(gy_rudp_frame_write(&twice, &again, false));
    gy_assert(gy_writer_length(&twice) == gy_writer_length(&writer));
    gy_assert(memcmp(first, second, gy_writer_length(&twice)) == 0);
}

static void check_frames(const uint8_t *data, size_t bytes)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    struct gy_rudp_frame frame;
    while (gy_rudp_frame_read(&reader, &frame) > 0) {
        check_frame(&frame);
    }
}

/* What goes out: packets whose frames can be read. */
static void drain(struct gy_rudp_conn *conn)
{
    uint8_t out[1200];
    size_t bytes;
    unsigned count = 0;
    while ((bytes = gy_rudp_output(conn, out, sizeof out, now_ns)) > 0) {
        gy_assert(bytes <= sizeof out && ++count < 200);
        if ((out[0] & 0x80) == 0) {
            size_t head = (size_t)conn->peer.length + (out[0] & 3u) + 2;
            struct gy_reader reader = gy_reader_on(out + head, bytes - head);
            struct gy_rudp_frame frame;
            int code;
            while ((code = gy_rudp_frame_read(&reader, &frame)) > 0) {
            }
            gy_assert(code == 0);
        } else {
            struct gy_rudp_long packet;
            gy_assert(gy_rudp_long_read(out, bytes, &packet) == 0);
        }
    }
    gy_assert(conn->in_flight <= UINT64_C(64) * 1200 && conn->pieces.used <= config.pieces);
}

static void begin(struct gy_rudp_conn *conn, void *memory, bool client,
                  struct gy_rudp_message messages[4])
{
    static const uint8_t token[GY_RUDP_TOKEN_BYTES] = "0123456789abcde";
    static const uint8_t text[3000];
    struct gy_rudp_cid nobody = {.length = 0};
    struct gy_rudp_env env = {.received = received, .take = take, .give = give, .owner = conn};
    struct gy_rudp_long packet = {
        .type = GY_RUDP_PACKET_HELLO, .version = GY_RUDP_VERSION_PLAIN, .token = token};
    packet.parameters = (struct gy_rudp_parameters){16384, 8192, 4, 30000, 1200, 4, 12000, 3};
    if (!client) {
        gy_assert(gy_rudp_accept(conn, &config, memory, &env, &nobody, &packet, token, now_ns) ==
                  0);
    } else {
        uint8_t bytes[128];
        gy_assert(gy_rudp_connect(conn, &config, memory, &env, &nobody, now_ns) == 0);
        packet.type = GY_RUDP_PACKET_ACCEPT;
        int length = gy_rudp_long_write(&packet, bytes, sizeof bytes);
        gy_rudp_receive(conn, bytes, (size_t)length, now_ns);
        gy_assert(conn->state == GY_RUDP_OPEN);
    }
    for (unsigned i = 0; i < 4; i++) {
        messages[i] = (struct gy_rudp_message){.data = text,
                                               .length = 700 * (i + 1),
                                               .channel = (uint8_t)i,
                                               .guarantee = (enum gy_rudp_guarantee)i};
        gy_assert(gy_rudp_send(conn, &messages[i]) == 0);
    }
    messages[3].tries_max = 2;
}

/* The packet's last byte says where it came from. What goes there asks, and is short. */
static void feed_elsewhere(struct gy_rudp_conn *conn, uint8_t *packet, size_t bytes, uint8_t where)
{
    uint8_t out[1200];
    gy_rudp_receive_elsewhere(conn, packet, bytes, where & 3, where, now_ns);
    size_t length = gy_rudp_output_elsewhere(conn, out, sizeof out, now_ns);
    gy_assert(length == 0 || conn->path_tries > 0);
    gy_assert(conn->path_sent <= 3 * conn->path_received);
    if (gy_rudp_moved(conn)) {
        gy_rudp_forget_path(conn);
    }
}

static void feed(struct gy_rudp_conn *conn, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    gy_assert(copy != NULL);
    memcpy(copy, data, bytes);
    uint8_t where = bytes > 0 ? copy[bytes - 1] & 3 : 0;
    if (conn->client || where == 0) {
        gy_rudp_receive_marked(conn, copy, bytes, bytes & 3, now_ns);
    } else {
        feed_elsewhere(conn, copy, bytes, where);
    }
    free(copy);
    drain(conn);
    now_ns += 7 * MS;
    if (gy_rudp_timeout(conn) <= now_ns) {
        gy_rudp_expire(conn, now_ns);
        drain(conn);
    }
}

static void door(const uint8_t *data, size_t bytes)
{
    struct gy_rudp_gate gate = {
        .key = {{3, 4}}, .cookie_ns = 1000 * MS, .cid_bytes = 2, .version = GY_RUDP_VERSION_PLAIN};
    struct gy_rudp_long hello;
    uint8_t answer[GY_RUDP_ANSWER_MAX];
    size_t answer_bytes;
    if (gy_rudp_gate_take(&gate, "here", 4, data, bytes, now_ns, &hello, answer, &answer_bytes) ==
        GY_RUDP_ANSWER) {
        gy_assert(answer_bytes > 0 && answer_bytes <= 3 * bytes);
    }
}

static void run(const uint8_t *data, size_t bytes, bool client)
{
    static struct gy_rudp_conn conn;
    struct gy_rudp_message messages[4];
    void *memory = aligned_alloc(16, (gy_rudp_memory_bytes(&config) + 15) / 16 * 16);
    struct gy_reader reader = gy_reader_on(data, bytes);
    now_ns = 1000 * MS;
    taken = 0;
    begin(&conn, memory, client, messages);
    drain(&conn);
    while (gy_reader_left(&reader) > 2) {
        size_t length = gy_reader_u16(&reader);
        length = length < gy_reader_left(&reader) ? length : gy_reader_left(&reader);
        const uint8_t *packet = gy_reader_bytes(&reader, length);
        if (client) {
            door(packet, length);
            if (length > 2) {
                check_frames(packet + 2, length - 2); /* behind a header without an id */
            }
        }
        feed(&conn, packet, length);
    }
    gy_rudp_free(&conn);
    unsigned finished = 0;
    struct gy_rudp_message *message;
    while ((message = gy_rudp_finished(&conn)) != NULL) {
        gy_assert(message->result != GY_RUDP_PENDING);
        finished++;
    }
    gy_assert(taken == 0 && finished == 4);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 0 && bytes <= 65536) {
        run(data, bytes, true);
        run(data, bytes, false);
    }
    return 0;
}
