/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzes the client's side of chat by a hostile server. The first byte says whether the connection
 * has got as far as a joined room (1), whether the client has things to say (2), how small its
 * window is (4), whether the connection breaks half-way and comes again (8); the second how large
 * the pieces are that the rest is cut into. The same bytes are fed whole as well: what is told must
 * not depend on the cutting.
 */

#include "tests/chat/client_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct client_rig *rig, const uint8_t *data, size_t size, uint8_t how,
                 uint32_t piece)
{
    uint64_t id;
    client_rig_prepare(rig);
    rig->options.window = (how & 4) != 0 ? 1 : 0;
    gy_chat_client_init(&rig->client, &rig->env, &rig->options);
    if ((how & 1) != 0) {
        client_rig_enter(rig, 10);
    } else {
        gy_chat_client_join(&rig->client, gy_chat_text_of("lobby"), GY_CHAT_SPILL, GY_CHAT_NONE, 5);
        client_rig_connect(rig);
    }
    for (int i = 0; i < 8 && (how & 2) != 0; i++) {
        gy_chat_client_say(&rig->client, 0, gy_chat_text_of("hello"), &id);
    }
    gy_chat_client_flush(&rig->client, rig->now_ns);
    rig->piece = piece;
    size_t half = (how & 8) != 0 ? size / 2 : size;
    client_rig_say(rig, data, half);
    if (half < size) {
        client_rig_drop(rig);
        client_rig_connect(rig);
        client_rig_say(rig, data + half, size - half);
    }
    gy_assert(rig->last == 0 || rig->last == GY_ENOBUFS);
    gy_chain_clear(&rig->out);
    /* Time passes, and nothing else comes: it is left, at the latest then. */
    for (int i = 0; i < 200 && gy_chat_client_deadline(&rig->client) != UINT64_MAX; i++) {
        rig->now_ns = gy_chat_client_deadline(&rig->client);
        if (gy_chat_client_expire(&rig->client, rig->now_ns, &rig->event) == 1) {
            client_rig_note(rig);
        }
        gy_chain_clear(&rig->out);
    }
    gy_assert(gy_chat_client_deadline(&rig->client) == UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client_rig whole, cut;
    if (size < 3 || size > 3000) {
        return 0;
    }
    feed(&whole, data + 2, size - 2, data[0], (uint32_t)size);
    feed(&cut, data + 2, size - 2, data[0], data[1] % 64 + 1u);
    gy_assert(whole.told_bytes == cut.told_bytes &&
              memcmp(whole.told, cut.told, whole.told_bytes) == 0);
    client_rig_close(&whole);
    client_rig_close(&cut);
    return 0;
}
