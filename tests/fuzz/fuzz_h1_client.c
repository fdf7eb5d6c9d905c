/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzes the client's side of HTTP/1.1. The first byte says how many requests are under way (low
 * two bits), whether the first is HEAD (4), asks for an upgrade (8), and whether the peer ends its
 * side (16); the second how large the pieces are that the rest is cut into. The same bytes are fed
 * whole as well: what the calls are told must not depend on the cutting.
 */

#include "tests/http/client_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crig *feed(const uint8_t *data, size_t size, uint8_t how, size_t piece)
{
    struct crig *rig = crig_open();
    rig->env.pipeline = 4;
    rig->env.limits.body_bytes = 65536;
    rig->pull_waits = true;
    struct gy_h1_request request = crig_request((how & 4) != 0 ? "HEAD" : "GET");
    if ((how & 8) != 0) {
        request.upgrade = GY_HTTP_TEXT("websocket");
    }
    crig_send(rig, &request);
    for (uint32_t i = 0; i < (how & 3u); i++) {
        crig_ask(rig, "GET");
    }
    for (size_t at = 0; at < size && (rig->wants & GY_H1_CLOSE) == 0; at += piece) {
        crig_feed(rig, data + at, size - at < piece ? size - at : piece);
    }
    if ((how & 16) != 0) {
        crig_end(rig);
    }
    return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 6000) {
        return 0;
    }
    size_t piece = data[1] % 64 + 1u;
    struct crig *whole = feed(data + 2, size - 2, data[0], size);
    struct crig *cut = feed(data + 2, size - 2, data[0], piece);
    gy_assert(strcmp(whole->told, cut->told) == 0);
    gy_assert(whole->client.breach == cut->client.breach);
    crig_close(whole);
    crig_close(cut);
    return 0;
}
