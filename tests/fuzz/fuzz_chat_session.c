/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzes the server's side of a chat connection. The first byte says whether it is inside WebSocket
 * (1), whether there is hardly any memory (2), whether limits are small (4), whether nothing is
 * answered (8); the second how large the pieces are that the rest is cut into. The same bytes are
 * fed whole as well: what is asked and sent must not depend on the cutting.
 */

#include "tests/chat/session_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct session_rig *rig, const uint8_t *data, size_t size, uint8_t how,
                 uint32_t piece)
{
    bool scarce = (how & 2) != 0;
    session_rig_prepare(rig, scarce ? 1 : 16, scarce ? 16 : 8192);
    rig->in_websocket = (how & 1) != 0;
    rig->answers_nothing = (how & 8) != 0;
    rig->piece = piece;
    if ((how & 4) != 0) {
        rig->env.limits.frame_max = GY_CHAT_FRAME_MIN_MAX;
        rig->env.limits.contents_max = 16;
        rig->env.limits.requests_burst = 4;
        rig->env.limits.bytes_burst = 1;
        rig->env.limits.refusals_max = 3;
        rig->env.limits.output_high = 64;
        rig->env.limits.output_max = 128;
    }
    session_rig_begin(rig);
    if (scarce) {
        for (size_t at = 0; at < size && rig->links.used < 12; at += piece) {
            chain_rig_append(CHAIN_RIG(rig), data + at,
                             size - at < piece ? (uint32_t)(size - at) : piece);
            session_rig_turn(rig);
        }
    } else {
        session_rig_say(rig, data, size);
        gy_assert(rig->last == 0 || rig->last == GY_EAGAIN);
    }
    /* Time passes: nobody is kept for ever but who is silent in the book's way, or waited for. */
    for (uint64_t round = 0; round < 8; round++) {
        rig->now_ns += UINT64_C(61000000000);
        if (gy_chat_session_expire(&rig->session, rig->now_ns)) {
            session_rig_turn(rig);
        }
        session_rig_flush(rig);
    }
    bool in_book = gy_chat_session_level(&rig->session) == GY_CHAT_LEVEL_BOOK;
    gy_assert(gy_chat_session_is_over(&rig->session) || in_book || scarce ||
              gy_chat_session_is_held(&rig->session));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct session_rig whole, cut;
    if (size < 3 || size > 4000) {
        return 0;
    }
    feed(&whole, data + 2, size - 2, data[0], (uint32_t)size);
    feed(&cut, data + 2, size - 2, data[0], data[1] % 64 + 1u);
    if ((data[0] & 2) == 0) {
        gy_assert(whole.told_bytes == cut.told_bytes &&
                  memcmp(whole.told, cut.told, whole.told_bytes) == 0);
        gy_assert(whole.sent_bytes == cut.sent_bytes &&
                  memcmp(whole.sent, cut.sent, whole.sent_bytes) == 0);
    }
    session_rig_close(&whole);
    session_rig_close(&cut);
    return 0;
}
