/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/http/stranger.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WHICH_PORT "; is that the port you mean?"

static bool begins(const uint8_t *data, size_t bytes, const char *text)
{
    size_t length = strlen(text);
    return memcmp(data, text, bytes < length ? bytes : length) == 0;
}

/* A TLS record: an alert, or of a handshake (RFC 8446 §5.1). */
static bool is_tls(const uint8_t *data, size_t bytes)
{
    return bytes >= 3 && (data[0] == 21 || data[0] == 22) && data[1] == 3 && data[2] <= 4;
}

/* SETTINGS, which a server of HTTP/2 sends first (RFC 9113 §3.4): of stream 0, no acknowledgement.
 */
static bool is_http2(const uint8_t *data, size_t bytes)
{
    static const uint8_t head[] = {4, 0, 0, 0, 0, 0};
    return bytes >= 9 && data[0] == 0 && data[1] == 0 && data[2] % 6 == 0 &&
           memcmp(data + 3, head, sizeof head) == 0;
}

/* Up to the end of its line, or in hexadecimal. */
static void show(char *out, size_t room, const uint8_t *data, size_t bytes)
{
    size_t length = 0;
    bytes = bytes < GY_HTTP_STRANGER_SHOWN ? bytes : GY_HTTP_STRANGER_SHOWN;
    while (length < bytes && data[length] >= ' ' && data[length] < 0x7f) {
        length++;
    }
    bool text = length > 0 && (length == bytes || data[length] == '\r' || data[length] == '\n');
    if (text) {
        snprintf(out, room, "\"%.*s\"", (int)length, (const char *)data);
        return;
    }
    snprintf(out, room, "the bytes");
    size_t fill = strlen(out);
    for (size_t i = 0; i < bytes && i < 12 && fill + 4 < room; i++, fill += 3) {
        snprintf(out + fill, room - fill, " %02x", data[i]);
    }
}

static const char *known(const uint8_t *data, size_t bytes)
{
    static const struct {
        const char *first, *what;
    } servers[] = {
        {"SSH-", ", as SSH does"},     {"220", ", as mail and FTP do"},
        {"-ERR", ", as Redis does"},   {"+OK", ", as POP3 does"},
        {"* OK", ", as IMAP does"},    {"INFO {", ", as NATS does"},
        {"GET ", ", what was asked"},  {"HEAD ", ", what was asked"},
        {"POST ", ", what was asked"},
    };
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        if (bytes >= strlen(servers[i].first) && begins(data, bytes, servers[i].first)) {
            return servers[i].what;
        }
    }
    return "";
}

const char *gy_http_stranger(char text[GY_HTTP_STRANGER_BYTES], const uint8_t *data, size_t bytes)
{
    char shown[GY_HTTP_STRANGER_SHOWN + 16];
    text[0] = '\0';
    if (bytes == 0 || begins(data, bytes, "HTTP/1.")) {
        return text;
    }
    if (is_tls(data, bytes)) {
        snprintf(text, GY_HTTP_STRANGER_BYTES,
                 "the server speaks TLS at this port; write https://");
    } else if (is_http2(data, bytes)) {
        snprintf(text, GY_HTTP_STRANGER_BYTES,
                 "the server speaks HTTP/2 at this port, and HTTP/1.1 was asked for" WHICH_PORT);
    } else {
        show(shown, sizeof shown, data, bytes);
        snprintf(text, GY_HTTP_STRANGER_BYTES,
                 "the server speaks no HTTP/1.1: it said %s%s" WHICH_PORT, shown,
                 known(data, bytes));
    }
    return text;
}
