/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A server's TLS layer on the staged worker. The first byte says how:
 *
 *   bit 0      0: the bytes behind it are what the peer sends. 1: the peer is a real client, which
 *              shakes hands and wants an echo, and they are damages to what it sends, of four bytes
 *              each: where (16 bits, the high ones first), what (xor, set, leave out, twice), a
 * byte bit 1      the client speaks TLS 1.2 bits 2-7   in pieces of how many bytes
 *
 * All randomness is seeded, for each input anew, so that an input does the same each time. A client
 * that is not damaged must be answered, and a connection must give back all that it took.
 */

#include "clients/cert/make.h"
#include "core/tls_internal.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define PIECE_MAX  4000
#define SENT_MAX   (1u << 20)
#define WIRE_BYTES 65536
#define ROUNDS     24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct wire {
    uint8_t bytes[WIRE_BYTES];
    uint32_t length, taken;
};

static struct stage *stage;
static WOLFSSL_CTX *clients[2]; /* of TLS 1.3, of 1.2 */
static uint64_t seed;
static uint64_t idle_bytes;   /* of wolfSSL's memory, without connections */
static struct wire to_server; /* not yet damaged */
static struct wire to_client;
static uint32_t sent_bytes;

static int fill(uint8_t *target, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        target[i] = (uint8_t)(random_next(&seed) >> 24);
    }
    return 0;
}

/* ---- the server ---- */

static const struct gy_tls_memory *server_memory(void)
{
    const struct gy_tls_worker *tls = stage->worker.listeners[0].endpoint.layer_state;
    return &tls->memory;
}

static struct gy_stream *stream_now(void)
{
    struct gy_worker *worker = &stage->worker;
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            return gy_slab_at(&worker->streams, slot);
        }
    }
    return NULL;
}

static void wire_put(struct wire *wire, const uint8_t *data, uint32_t bytes)
{
    uint32_t room = WIRE_BYTES - wire->length;
    bytes = bytes < room ? bytes : room;
    memcpy(wire->bytes + wire->length, data, bytes);
    wire->length += bytes;
}

/* Carries out what the server sends, until it has nothing more to do. */
static void pump(void)
{
    for (uint32_t i = 0; i < 64; i++) {
        stage_turn(stage);
        struct gy_stream *stream = stream_now();
        struct fake_operation *send = stream != NULL ? stage_send_of(stage, stream) : NULL;
        if (send == NULL || !send->submitted) {
            if (i > 2) {
                return;
            }
            continue;
        }
        wire_put(&to_client, send->content, send->bytes);
        sent_bytes += send->bytes;
        gy_assert(sent_bytes < SENT_MAX);
        fake_complete(stage->worker.ring, send, (int32_t)send->bytes, 0);
    }
}

/* False once the server does not read any more. */
static bool feed(const uint8_t *data, uint32_t bytes, uint32_t piece)
{
    for (uint32_t at = 0; at < bytes;) {
        struct gy_stream *stream = stream_now();
        struct fake_operation *receive = stream != NULL ? stage_receive_of(stage, stream) : NULL;
        if (receive == NULL || !receive->submitted) {
            return false;
        }
        uint32_t length = piece < bytes - at ? piece : bytes - at;
        fake_receive(stage->worker.ring, receive, data + at, length, GY_COMPLETION_MORE);
        at += length;
        pump();
    }
    return true;
}

static void finish(void)
{
    struct gy_stream *stream = stream_now();
    struct fake_operation *receive = stream != NULL ? stage_receive_of(stage, stream) : NULL;
    if (receive != NULL && receive->submitted) {
        fake_complete(stage->worker.ring, receive, 0, 0);
        pump();
    }
    stream = stream_now();
    if (stream != NULL) {
        gy_stream_abort(stream, GY_CLOSE_LOCAL);
    }
    for (uint32_t i = 0; i < 16 && stream_now() != NULL; i++) {
        pump();
    }
    gy_assert(stream_now() == NULL);
}

/* ---- the client ---- */

static int client_receive(WOLFSSL *ssl, char *target, int bytes, void *context)
{
    (void)ssl;
    (void)context;
    uint32_t there = to_client.length - to_client.taken;
    uint32_t take = there < (uint32_t)bytes ? there : (uint32_t)bytes;
    memcpy(target, to_client.bytes + to_client.taken, take);
    to_client.taken += take;
    return take > 0 ? (int)take : WOLFSSL_CBIO_ERR_WANT_READ;
}

static int client_send(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl;
    (void)context;
    wire_put(&to_server, (const uint8_t *)data, (uint32_t)bytes);
    return bytes;
}

/* What becomes of the byte at `offset`: 0, 1 or 2 of them. */
static uint32_t damage(const uint8_t *list, size_t count, uint32_t offset, uint8_t byte,
                       uint8_t out[2])
{
    uint32_t left = 1;
    out[0] = out[1] = byte;
    for (size_t i = 0; i < count; i++, list += 4) {
        if (((uint32_t)list[0] << 8 | list[1]) != offset) {
            continue;
        }
        switch (list[2] & 3) {
        case 0:
            out[0] = out[1] = (uint8_t)(out[0] ^ list[3]);
            break;
        case 1:
            out[0] = out[1] = list[3];
            break;
        case 2:
            left = 0;
            break;
        default:
            left = 2;
            break;
        }
    }
    return left;
}

static bool feed_damaged(const uint8_t *list, size_t count, uint32_t piece)
{
    static uint8_t damaged[2 * WIRE_BYTES];
    uint32_t length = 0;
    for (; to_server.taken < to_server.length; to_server.taken++) {
        uint8_t out[2];
        uint32_t bytes =
            damage(list, count, to_server.taken, to_server.bytes[to_server.taken], out);
        memcpy(damaged + length, out, bytes);
        length += bytes;
    }
    return feed(damaged, length, piece);
}

/* True when the echo came. */
static bool converse(bool old, const uint8_t *list, size_t count, uint32_t piece)
{
    bool connected = false;
    bool echoed = false;
    WOLFSSL *ssl = wolfSSL_new(clients[old]);
    gy_assert(ssl != NULL);
    for (uint32_t round = 0; round < ROUNDS && !echoed; round++) {
        uint8_t answer[8];
        if (!connected && wolfSSL_connect(ssl) == WOLFSSL_SUCCESS) {
            connected = true;
            wolfSSL_write(ssl, "ping", 4);
        }
        echoed = connected && wolfSSL_read(ssl, answer, sizeof answer) == 4;
        if (!feed_damaged(list, count, piece)) {
            break;
        }
    }
    wolfSSL_free(ssl);
    return echoed;
}

/* ---- all of it ---- */

static void open_clients(void)
{
    WOLFSSL_METHOD *methods[] = {wolfTLSv1_3_client_method(), wolfTLSv1_2_client_method()};
    for (int i = 0; i < 2; i++) {
        clients[i] = wolfSSL_CTX_new(methods[i]);
        gy_assert(clients[i] != NULL);
        wolfSSL_CTX_set_verify(clients[i], WOLFSSL_VERIFY_NONE, NULL);
        wolfSSL_CTX_SetIORecv(clients[i], client_receive);
        wolfSSL_CTX_SetIOSend(clients[i], client_send);
    }
}

static void open_all(void)
{
    static struct gy_cert_pair authority;
    static struct gy_cert_pair pair;
    static const char *const names[] = {"localhost", "*.example.org"};
    struct gy_cert_request request = {.names = names, .name_count = 2, .days = 3650};
    struct gy_error error = {0};
    seed = 1;
    gy_tls_set_random(fill);
    gy_assert(gy_tls_init(NULL) == 0);
    gy_assert(gy_cert_make_authority(&authority, &request, &error) == 0);
    gy_assert(gy_cert_make(&pair, &request, &authority, &error) == 0);
    struct gy_tls_certificate certificate = {.label = "pair",
                                             .chain = pair.certificate,
                                             .chain_bytes = strlen(pair.certificate),
                                             .key = pair.key,
                                             .key_bytes = strlen(pair.key)};
    struct gy_tls_options options = {.server = true,
                                     .certificates = &certificate,
                                     .certificate_count = 1,
                                     .protocols = {"http/1.1"},
                                     .protocol_count = 1,
                                     .memory_bytes = 4 << 20};
    struct gy_tls_config *config = NULL;
    gy_assert(gy_tls_config_open(&config, &options, &error) == 0);
    struct stage_options staged = {.layer = &gy_tls_layer, .layer_context = config};
    stage = stage_open(&staged);
    stage->act.echo = true;
    fake_cancel_by_itself(stage->worker.ring);
    open_clients();
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t how = data[0];
    uint32_t piece = 1 + (uint32_t)(how >> 2) * (PIECE_MAX / 63 - 1);
    int client;
    seed = 1;
    sent_bytes = 0;
    to_server.length = to_server.taken = to_client.length = to_client.taken = 0;
    stage->received_bytes = 0;
    stage_connect(stage, 0, &client);
    if ((how & 1) == 0) {
        feed(data + 1, size - 1 < WIRE_BYTES ? (uint32_t)(size - 1) : WIRE_BYTES, piece);
    } else {
        size_t count = (size - 1) / 4;
        bool echoed = converse((how & 2) != 0, data + 1, count, piece);
        gy_assert(echoed || count > 0);
    }
    finish();
    close(client);
    gy_assert(server_memory()->refused == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (stage == NULL) {
        static const uint8_t whole[] = {0xfd, 0xff};
        open_all();
        run(whole, 1);
        run(whole + 1, 1);
        idle_bytes = server_memory()->used_bytes;
    }
    if (size > 0) {
        run(data, size);
        gy_assert(server_memory()->used_bytes == idle_bytes);
    }
    return 0;
}
