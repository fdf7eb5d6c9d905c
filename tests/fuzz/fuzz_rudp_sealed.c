/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Packets of encrypted reliable UDP: two bytes of length, then so many bytes, again and again; to a
 * server's connection and to a client's, from the handshake on. In place of TLS and its keys stands
 * something that opens whatever ends in an even byte, at any level and generation that there are
 * keys of, so that what lies behind them is reached: levels, bytes of the handshake in any order,
 * early packets, keys that change. What is asked of it is checked: keys are used only while they
 * are there, and generations follow each other.
 */

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "protocols/rudp/gate.h"
#include "protocols/rudp/rudp.h"

#define MS        UINT64_C(1000000)
#define HANDSHAKE 100 /* bytes that the peer says, and it is done */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t taken;
static uint64_t now_ns;
static uint8_t text[3000];

/* ---- what stands for TLS ---- */

struct fake {
    bool client, failed, forgotten, done;
    size_t heard[GY_RUDP_LEVELS];
    uint8_t claims[GY_RUDP_CLAIMS_MAX];
    size_t claims_bytes;
    uint32_t in, out;
};

static int fake_begin(void *keys, bool client, const uint8_t *own, size_t bytes)
{
    struct fake *fake = keys;
    struct gy_rudp_claims claims;
    gy_assert(gy_rudp_claims_read(own, bytes, &claims) == 0 && claims.has_token == !client);
    fake->client = client;
    claims.has_token = client; /* the peer's, which says the same otherwise */
    fake->claims_bytes = gy_rudp_claims_write(&claims, fake->claims);
    return 0;
}

static int fake_take(void *keys, enum gy_rudp_level level, const uint8_t *data, size_t bytes)
{
    struct fake *fake = keys;
    gy_assert(level != GY_RUDP_EARLY && !fake->failed);
    gy_assert(level != GY_RUDP_HANDSHAKE || !fake->forgotten);
    fake->heard[level] += bytes;
    gy_assert(fake->heard[level] <= GY_RUDP_CRYPTO_MAX + GY_RUDP_HELLO_BYTES);
    fake->failed = bytes > 0 && data[0] == 0xff;
    fake->done |= fake->heard[GY_RUDP_HANDSHAKE] >= HANDSHAKE;
    return fake->failed ? GY_EPROTO : 0;
}

static const uint8_t *fake_said(void *keys, enum gy_rudp_level level, size_t *bytes)
{
    const struct fake *fake = keys;
    bool greeted = fake->client || fake->heard[GY_RUDP_CLEAR] > 0;
    *bytes = level == GY_RUDP_CLEAR       ? (greeted ? 60 : 0)
             : level == GY_RUDP_HANDSHAKE ? (fake->client ? fake->done * 40 : greeted * 2500)
                                          : fake->done * !fake->client * 200;
    *bytes = fake->forgotten && level != GY_RUDP_APPLICATION ? 0 : *bytes;
    return text;
}

static bool has_keys(const struct fake *fake, enum gy_rudp_level level, bool sending)
{
    switch (level) {
    case GY_RUDP_EARLY:
        return fake->client == sending && !fake->forgotten;
    case GY_RUDP_HANDSHAKE:
        return fake->heard[GY_RUDP_CLEAR] > 0 && !fake->forgotten;
    case GY_RUDP_APPLICATION:
        return fake->done || (sending && !fake->client);
    default:
        return false;
    }
}

static bool fake_can_send(void *keys, enum gy_rudp_level level)
{
    return has_keys(keys, level, true);
}

static bool fake_done(void *keys)
{
    return ((struct fake *)keys)->done;
}

static const uint8_t *fake_claims(void *keys, size_t *bytes)
{
    const struct fake *fake = keys;
    *bytes = fake->claims_bytes;
    return fake->claims;
}

static bool fake_early_taken(void *keys)
{
    return !((struct fake *)keys)->client;
}

static void fake_update(void *keys, bool sending)
{
    struct fake *fake = keys;
    gy_assert(fake->done);
    if (sending) {
        fake->out++;
    } else {
        fake->in++;
    }
    gy_assert(fake->out <= fake->in + 1 && fake->in <= fake->out + 1);
}

static void fake_forget(void *keys, enum gy_rudp_level level)
{
    struct fake *fake = keys;
    fake->forgotten |= level == GY_RUDP_HANDSHAKE;
}

static const char *fake_failure(void *keys)
{
    (void)keys;
    return "it said so";
}

static const struct gy_rudp_handshake handshake = {
    .begin = fake_begin,
    .take = fake_take,
    .said = fake_said,
    .can_send = fake_can_send,
    .done = fake_done,
    .claims = fake_claims,
    .early_taken = fake_early_taken,
    .update = fake_update,
    .forget = fake_forget,
    .failure = fake_failure,
    .packets_max = 300,
    .forgeries_max = 50,
};

static void fake_seal(void *keys, uint64_t number, const uint8_t *header, size_t header_bytes,
                      uint8_t *body, size_t bytes)
{
    const struct fake *fake = keys;
    enum gy_rudp_level level = gy_rudp_level_of(header[0]);
    bool phase = (header[0] & GY_RUDP_KEY_PHASE) != 0;
    (void)number, (void)header_bytes;
    gy_assert(has_keys(fake, level, true) && bytes >= 4);
    gy_assert(phase == (level == GY_RUDP_APPLICATION && fake->out % 2 != 0));
    memset(body + bytes, 0, 16);
}

static bool fake_open(void *keys, uint32_t generation, uint64_t number, const uint8_t *header,
                      size_t header_bytes, uint8_t *body, size_t bytes)
{
    const struct fake *fake = keys;
    enum gy_rudp_level level = gy_rudp_level_of(header[0]);
    (void)number, (void)header_bytes;
    if (level == GY_RUDP_APPLICATION) {
        gy_assert(generation + 1 >= fake->in && generation <= fake->in + 1);
    }
    return bytes >= 16 && has_keys(fake, level, false) && body[bytes - 1] % 2 == 0;
}

static bool fake_mask(void *keys, enum gy_rudp_level level, bool sending, const uint8_t sample[16],
                      uint8_t mask[5])
{
    (void)sample;
    memset(mask, 0, 5);
    return has_keys(keys, level, sending);
}

/* ---- the connection ---- */

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    (void)guarantee;
    (void)data;
    gy_assert(channel < conn->config.channels && length <= conn->config.message_max);
    gy_assert(conn->state == GY_RUDP_OPEN || conn->receiving_early);
    return length % 2 == 0;
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

/* What goes out: packets whose frames can be read. */
static void drain(struct gy_rudp_conn *conn)
{
    uint8_t out[1200];
    size_t bytes;
    unsigned count = 0;
    while ((bytes = gy_rudp_output(conn, out, sizeof out, now_ns)) > 0) {
        gy_assert(bytes <= sizeof out && ++count < 200);
        struct gy_rudp_long packet;
        if ((out[0] & 0x80) != 0) {
            gy_assert(gy_rudp_long_read(out, bytes, &packet) == 0);
            continue;
        }
        size_t head = (size_t)conn->peer.length + (out[0] & 3u) + 2;
        struct gy_reader reader = gy_reader_on(out + head, bytes - head - 16);
        struct gy_rudp_frame frame;
        int code;
        while ((code = gy_rudp_frame_read(&reader, &frame)) > 0) {
        }
        gy_assert(code == 0);
    }
    gy_assert(conn->in_flight <= UINT64_C(64) * 1200 && conn->pieces.used <= 16);
}

static struct gy_rudp_config config_of(const struct gy_rudp_seal *seal)
{
    return (struct gy_rudp_config){
        .datagram_bytes = 1200,
        .channels = 4,
        .packets = 64,
        .pieces = 16,
        .assemblies = 8,
        .window_bytes = 16384,
        .channel_window_bytes = 12000,
        .ecn = true,
        .message_max = 8192,
        .idle_timeout_ns = 30000 * MS,
        .handshake_timeout_ns = 10000 * MS,
        .seal = seal,
        .key_packets = 6,
        .remembered = {16384, 8192, 4, 30000, 1200, 4, 12000, 3},
        .seed = 1,
    };
}

static void answer_client(struct gy_rudp_conn *conn, enum gy_rudp_packet_type type)
{
    static const uint8_t cookie[GY_RUDP_COOKIE_BYTES];
    uint8_t bytes[256];
    struct gy_rudp_long packet = {.type = type,
                                  .version = GY_RUDP_VERSION,
                                  .cookie = cookie,
                                  .cookie_bytes = sizeof cookie,
                                  .crypto = text,
                                  .crypto_bytes = 60};
    int length = gy_rudp_long_write(&packet, bytes, sizeof bytes);
    gy_rudp_receive(conn, bytes, (size_t)length, now_ns);
}

static void begin(struct gy_rudp_conn *conn, const struct gy_rudp_seal *seal, void *memory,
                  bool client, struct gy_rudp_message messages[4])
{
    static const uint8_t token[GY_RUDP_TOKEN_BYTES] = "0123456789abcde";
    struct gy_rudp_cid nobody = {.length = 0};
    struct gy_rudp_env env = {.received = received, .take = take, .give = give, .owner = conn};
    struct gy_rudp_config config = config_of(seal);
    int code;
    if (client) {
        code = gy_rudp_connect(conn, &config, memory, &env, &nobody, now_ns);
    } else {
        struct gy_rudp_long hello = {.type = GY_RUDP_PACKET_HELLO,
                                     .version = GY_RUDP_VERSION,
                                     .crypto = text,
                                     .crypto_bytes = 60};
        code = gy_rudp_accept(conn, &config, memory, &env, &nobody, &hello, token, now_ns);
    }
    gy_assert(code == 0);
    for (unsigned i = 0; i < 4; i++) {
        messages[i] = (struct gy_rudp_message){.data = text,
                                               .length = 300 * (i + 1),
                                               .channel = (uint8_t)i,
                                               .guarantee = (enum gy_rudp_guarantee)i,
                                               .replayable = i % 2 == 0};
        gy_assert(gy_rudp_send(conn, &messages[i]) == 0);
    }
    if (client) {
        drain(conn);
        answer_client(conn, GY_RUDP_PACKET_RETRY);
        drain(conn);
        answer_client(conn, GY_RUDP_PACKET_ACCEPT);
        gy_assert(conn->state == GY_RUDP_HANDSHAKING);
    }
}

static void feed(struct gy_rudp_conn *conn, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    gy_assert(copy != NULL);
    memcpy(copy, data, bytes);
    if (bytes == 2 && copy[0] == 'k') {
        gy_rudp_update_keys(conn);
    } else if (bytes == 2) {
        now_ns += (uint64_t)copy[0] << 24; /* up to four seconds */
    } else {
        gy_rudp_receive_marked(conn, copy, bytes, bytes & 3, now_ns);
    }
    free(copy);
    drain(conn);
    now_ns += 7 * MS;
    if (gy_rudp_timeout(conn) <= now_ns) {
        gy_rudp_expire(conn, now_ns);
        drain(conn);
    }
}

static void run(const uint8_t *data, size_t bytes, bool client)
{
    static struct gy_rudp_conn conn;
    struct fake fake = {.in = 0};
    struct gy_rudp_seal seal = {16, fake_seal, fake_open, fake_mask, &fake, &handshake};
    struct gy_rudp_config config = config_of(&seal);
    struct gy_rudp_message messages[4];
    void *memory = aligned_alloc(16, (gy_rudp_memory_bytes(&config) + 15) / 16 * 16);
    struct gy_reader reader = gy_reader_on(data, bytes);
    now_ns = 1000 * MS;
    taken = 0;
    begin(&conn, &seal, memory, client, messages);
    drain(&conn);
    while (gy_reader_left(&reader) > 2) {
        size_t length = gy_reader_u16(&reader);
        length = length < gy_reader_left(&reader) ? length : gy_reader_left(&reader);
        const uint8_t *packet = gy_reader_bytes(&reader, length);
        if (length > 0) {
            feed(&conn, packet, length);
        }
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
