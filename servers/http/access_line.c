/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How a line of the access log looks. */

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "core/cursor.h"
#include "servers/http/access_log.h"

static const char hex[] = "0123456789abcdef";

/* The longest that each text of a request may be in a line, escaped. */
#define TARGET_BYTES 1536
#define FIELD_BYTES  512
#define METHOD_BYTES 64

int gy_access_format_parse(const char *name, enum gy_access_format *format)
{
    if (strcmp(name, "combined") == 0) {
        *format = GY_ACCESS_COMBINED;
    } else if (strcmp(name, "json") == 0) {
        *format = GY_ACCESS_JSON;
    } else {
        return GY_EINVAL;
    }
    return 0;
}

void gy_access_peer_of(struct gy_access_peer *peer, int descriptor)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    *peer = (struct gy_access_peer){.known = true};
    if (getpeername(descriptor, (struct sockaddr *)&storage, &length) != 0) {
        return;
    }
    if (storage.ss_family == AF_INET) {
        peer->family = AF_INET;
        memcpy(peer->address, &((struct sockaddr_in *)&storage)->sin_addr, 4);
    } else if (storage.ss_family == AF_INET6) {
        const uint8_t *address = ((struct sockaddr_in6 *)&storage)->sin6_addr.s6_addr;
        bool v4 = memcmp(address, mapped, sizeof mapped) == 0;
        peer->family = v4 ? AF_INET : AF_INET6;
        memcpy(peer->address, v4 ? address + 12 : address, v4 ? 4 : 16);
    }
}

void gy_access_time(enum gy_access_format format, uint64_t seconds, char time[GY_ACCESS_TIME_BYTES])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t clock = (time_t)seconds;
    struct tm parts;
    gmtime_r(&clock, &parts);
    if (format == GY_ACCESS_JSON) {
        strftime(time, GY_ACCESS_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts);
        return;
    }
    /* %b would follow the locale. */
    strftime(time, GY_ACCESS_TIME_BYTES, "%d/xxx/%Y:%H:%M:%S +0000", &parts);
    memcpy(time + 3, months + (size_t)parts.tm_mon * 3, 3);
}

/* At most `limit` bytes of output for the text: what goes beyond is left out. */
static void write_escaped(struct gy_writer *writer, struct gy_http_text text, size_t limit,
                          bool json)
{
    size_t written = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            if (written + 1 > limit) {
                return;
            }
            gy_writer_u8(writer, byte);
            written++;
            continue;
        }
        if (written + 6 > limit) {
            return;
        }
        gy_writer_text(writer, json ? "\\u00" : "\\x");
        gy_writer_u8(writer, (uint8_t)hex[byte >> 4]);
        gy_writer_u8(writer, (uint8_t)hex[byte & 15]);
        written += 6;
    }
}

static void write_peer(struct gy_writer *writer, const struct gy_access_peer *peer)
{
    char text[INET6_ADDRSTRLEN];
    bool known =
        peer->family != 0 && inet_ntop(peer->family, peer->address, text, sizeof text) != NULL;
    gy_writer_text(writer, known ? text : "-");
}

static struct gy_http_text field(const struct gy_http_exchange *exchange, const char *name)
{
    struct gy_http_text value = {NULL, 0};
    if (exchange != NULL) {
        value = gy_http_field_find(exchange, name, NULL);
    }
    return value;
}

static void write_quoted(struct gy_writer *writer, struct gy_http_text text)
{
    gy_writer_text(writer, " \"");
    if (text.data == NULL) {
        gy_writer_text(writer, "-");
    } else {
        write_escaped(writer, text, FIELD_BYTES, false);
    }
    gy_writer_text(writer, "\"");
}

/* What the request's target was: for CONNECT it is the authority. */
static struct gy_http_text target_of(const struct gy_http_exchange *exchange)
{
    struct gy_http_text target = gy_http_target(exchange);
    return target.length > 0 ? target : gy_http_authority(exchange);
}

static void write_combined(struct gy_writer *writer, const char *time,
                           const struct gy_access_entry *entry)
{
    const struct gy_http_exchange *exchange = entry->exchange;
    write_peer(writer, entry->peer);
    gy_writer_text(writer, " - - [");
    gy_writer_text(writer, time);
    gy_writer_text(writer, "] \"");
    if (exchange == NULL) {
        gy_writer_text(writer, "-");
    } else {
        write_escaped(writer, gy_http_method_name(exchange), METHOD_BYTES, false);
        gy_writer_text(writer, " ");
        write_escaped(writer, target_of(exchange), TARGET_BYTES, false);
        gy_writer_text(writer, entry->minor == 0 ? " HTTP/1.0" : " HTTP/1.1");
    }
    gy_writer_text(writer, "\" ");
    gy_writer_decimal(writer, entry->status);
    gy_writer_text(writer, " ");
    gy_writer_decimal(writer, entry->body_bytes);
    write_quoted(writer, field(exchange, "Referer"));
    write_quoted(writer, field(exchange, "User-Agent"));
}

static void json_text(struct gy_writer *writer, const char *name, struct gy_http_text text,
                      size_t limit)
{
    gy_writer_text(writer, ",\"");
    gy_writer_text(writer, name);
    gy_writer_text(writer, "\":");
    if (text.data == NULL) {
        gy_writer_text(writer, "null");
        return;
    }
    gy_writer_text(writer, "\"");
    write_escaped(writer, text, limit, true);
    gy_writer_text(writer, "\"");
}

static void json_number(struct gy_writer *writer, const char *name, uint64_t number)
{
    gy_writer_text(writer, ",\"");
    gy_writer_text(writer, name);
    gy_writer_text(writer, "\":");
    gy_writer_decimal(writer, number);
}

static void write_json(struct gy_writer *writer, const char *time,
                       const struct gy_access_entry *entry)
{
    const struct gy_http_exchange *exchange = entry->exchange;
    const struct gy_http_text none = {NULL, 0};
    gy_writer_text(writer, "{\"time\":\"");
    gy_writer_text(writer, time);
    gy_writer_text(writer, "\",\"peer\":\"");
    write_peer(writer, entry->peer);
    gy_writer_text(writer, "\"");
    json_text(writer, "method", exchange != NULL ? gy_http_method_name(exchange) : none,
              METHOD_BYTES);
    json_text(writer, "target", exchange != NULL ? target_of(exchange) : none, TARGET_BYTES);
    json_text(writer, "host", exchange != NULL ? gy_http_authority(exchange) : none, FIELD_BYTES);
    gy_writer_text(writer,
                   entry->minor == 0 ? ",\"protocol\":\"HTTP/1.0\"" : ",\"protocol\":\"HTTP/1.1\"");
    json_number(writer, "status", entry->status);
    json_number(writer, "bytes", entry->body_bytes);
    json_number(writer, "duration_us", entry->duration_ns / 1000);
    json_text(writer, "referer", field(exchange, "Referer"), FIELD_BYTES);
    json_text(writer, "user_agent", field(exchange, "User-Agent"), FIELD_BYTES);
    gy_writer_text(writer, entry->cut ? ",\"cut\":true}" : ",\"cut\":false}");
}

size_t gy_access_format_line(char line[GY_ACCESS_LINE_BYTES], enum gy_access_format format,
                             const char *time, const struct gy_access_entry *entry)
{
    struct gy_writer writer = gy_writer_on(line, GY_ACCESS_LINE_BYTES);
    if (format == GY_ACCESS_JSON) {
        write_json(&writer, time, entry);
    } else {
        write_combined(&writer, time, entry);
    }
    gy_writer_text(&writer, "\n");
    gy_assert(!writer.failed);
    return gy_writer_length(&writer);
}
