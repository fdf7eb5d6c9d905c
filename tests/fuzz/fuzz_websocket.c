/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzes WebSocket, either side. The first byte says which side (1: a client), whether messages are
 * sent back (2), whether there is hardly any memory (4), whether limits are small (8), whether
 * messages may be compressed (16) and without a context (32); with 64 it is no connection but the
 * value of a Sec-WebSocket-Extensions field, for either side. The second how large the pieces are
 * that the rest is cut into. The same bytes are fed whole as well: what is told and sent must not
 * depend on the cutting.
 */

#include "tests/websocket/ws_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *take(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void give(void *context, void *piece)
{
    (void)context;
    free(piece);
}

static void may_compress(struct ws_rig *rig, uint8_t how)
{
    static const struct gy_ws_memory memory = {take, give, NULL};
    const struct gy_ws_terms terms = {(how & 32) != 0, (how & 32) != 0, 9, 9};
    struct gy_ws_deflate *deflate = NULL;
    if ((how & 16) != 0 && gy_ws_deflate_open(&deflate, &terms, (how & 1) != 0, &memory) == 0) {
        gy_ws_use_deflate(&rig->ws, deflate);
    }
}

/* What a server accepts of an offer, a client that made it takes. */
static void agree(const uint8_t *data, size_t size)
{
    const struct gy_http_text value = {(const char *)data, size};
    struct gy_ws_terms agreed, again;
    char answer[GY_WS_EXTENSION_BYTES];
    for (uint8_t bits = GY_WS_BITS_MIN; bits <= GY_WS_BITS_MAX; bits += 3) {
        const struct gy_ws_terms terms = {bits == 12, bits == 9, bits, bits};
        gy_ws_deflate_check(&terms, value, &agreed);
        if (!gy_ws_deflate_accept(&terms, value, &agreed, answer)) {
            continue;
        }
        gy_assert(agreed.server_bits >= GY_WS_BITS_MIN && agreed.server_bits <= bits);
        gy_assert(agreed.client_bits <= bits && strlen(answer) < sizeof answer);
        if (agreed.client_bits >= GY_WS_BITS_MIN) {
            const char *wrong = gy_ws_deflate_check(&agreed, gy_http_text_of(answer), &again);
            gy_assert(wrong == NULL);
        }
    }
}

static void feed(struct ws_rig *rig, const uint8_t *data, size_t size, uint8_t how, uint32_t piece)
{
    struct gy_ws_event event = {0};
    ws_rig_open_sized(rig, (how & 1) != 0, (how & 4) != 0 ? 1 : 64, (how & 4) != 0 ? 16 : 32768);
    may_compress(rig, how);
    rig->echoes = (how & 2) != 0;
    rig->piece = piece;
    rig->env.limits.message_max = (how & 8) != 0 ? 64 : 65536;
    rig->env.limits.frame_max = 65536;
    rig->env.limits.output_max = UINT32_MAX;
    if ((how & 4) != 0) {
        /* Whatever is lost, nothing but memory may be missing. */
        for (size_t at = 0; at < size && rig->links.used < 12; at += piece) {
            chain_rig_append(CHAIN_RIG(rig), data + at,
                             size - at < piece ? (uint32_t)(size - at) : piece);
            ws_rig_turn(rig);
        }
    } else {
        ws_rig_say(rig, data, size);
        gy_assert(rig->last == 0 && rig->in.length == 0);
    }
    gy_ws_expire(&rig->ws, UINT64_C(3600000000000), &event);
    gy_ws_wants(&rig->ws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws_rig whole, cut;
    if (size < 3 || size > 20000) {
        return 0;
    }
    if ((data[0] & 64) != 0) {
        agree(data + 2, size - 2);
        return 0;
    }
    uint32_t piece = data[1] % 64 + 1u;
    feed(&whole, data + 2, size - 2, data[0], (uint32_t)size);
    feed(&cut, data + 2, size - 2, data[0], piece);
    if ((data[0] & 4) == 0) {
        gy_assert(whole.told_bytes == cut.told_bytes &&
                  memcmp(whole.told, cut.told, whole.told_bytes) == 0);
        /* How something is compressed may depend on the pieces it came in. */
        gy_assert((data[0] & 16) != 0 || (whole.sent_bytes == cut.sent_bytes &&
                                          memcmp(whole.sent, cut.sent, whole.sent_bytes) == 0));
    }
    ws_rig_close(&whole);
    ws_rig_close(&cut);
    return 0;
}
