/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the limit programs for WebSocket share. They know one handshake, that of gyre-load, and
 * frames of less than 126 bytes that come whole; the payload is unmasked where it was received, and
 * sent from there, either back or to everybody.
 */
#ifndef GYRE_BENCH_LIMIT_WS_LIMIT_H
#define GYRE_BENCH_LIMIT_WS_LIMIT_H

#include "bench/limit/echo_limit.h"

enum { WS_KEY = 4, WS_HEAD = 2 };

/* For the nonce of RFC 6455, section 1.3. */
static char ws_welcome[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/* `--port PORT`, and perhaps `--broadcast`. */
static int ws_listen(int argc, char **argv, int *broadcast)
{
    *broadcast = argc == 4 && strcmp(argv[3], "--broadcast") == 0;
    return echo_listen(*broadcast ? 3 : argc, argv, NULL);
}

static int ws_is_greeting(const char *bytes, size_t len)
{
    return len > 4 && memcmp(bytes, "GET ", 4) == 0;
}

/* Turns the frames of a client into those of a server, in place. Returns where they begin, and
 * their length in `len`: 0 where there is anything else than whole frames. */
static char *ws_turn(char *bytes, size_t *len)
{
    char *out = bytes + WS_KEY;
    char *to = out;
    size_t at = 0;

    while (*len - at >= WS_HEAD + WS_KEY) {
        unsigned char first = (unsigned char)bytes[at];
        size_t size = (unsigned char)bytes[at + 1] & 0x7f;
        const char *key = bytes + at + WS_HEAD;
        char *payload = bytes + at + WS_HEAD + WS_KEY;
        uint64_t wide;
        uint32_t narrow;
        size_t i = 0;

        if (size > 125 || *len - at < WS_HEAD + WS_KEY + size)
            break;
        memcpy(&narrow, key, WS_KEY);
        wide = (uint64_t)narrow << 32 | narrow;
        at += WS_HEAD + WS_KEY + size;
        for (; size - i >= sizeof wide; i += sizeof wide) {
            uint64_t word;
            memcpy(&word, payload + i, sizeof word);
            word ^= wide;
            memcpy(payload + i, &word, sizeof word);
        }
        for (uint32_t k = 0; i < size; i++, k++)
            payload[i] ^= (char)(narrow >> (8 * (k & 3)));
        if (to + WS_HEAD != payload) /* not the first */
            memmove(to + WS_HEAD, payload, size);
        to[0] = (char)first;
        to[1] = (char)size;
        to += WS_HEAD + size;
    }
    *len = at == *len ? (size_t)(to - out) : 0;
    return out;
}

#endif
