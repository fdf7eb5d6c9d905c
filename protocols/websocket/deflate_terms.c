/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How permessage-deflate is agreed on (RFC 7692 §5, §7.1). */

#include <stdio.h>

#include "protocols/websocket/deflate.h"

#define NAME "permessage-deflate"

enum parameter {
    SERVER_NO_TAKEOVER = 1 << 0,
    CLIENT_NO_TAKEOVER = 1 << 1,
    SERVER_BITS = 1 << 2,
    CLIENT_BITS = 1 << 3,
};

/* One element of the list. */
struct offer {
    bool ours; /* permessage-deflate, and every parameter is one of it, once, with a value it has */
    uint8_t given;       /* enum parameter */
    uint8_t server_bits; /* 0: without a value */
    uint8_t client_bits;
};

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t')) {
        cursor->at++;
    }
}

static bool take(struct cursor *cursor, char wanted)
{
    skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Empty: there is none. */
static struct gy_http_text take_token(struct cursor *cursor)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    while (cursor->at < cursor->end && strchr(" \t,;=\"", *cursor->at) == NULL) {
        cursor->at++;
    }
    return (struct gy_http_text){from, (size_t)(cursor->at - from)};
}

/* A token, or a quoted string that would be one (RFC 6455 §9.1). */
static bool take_value(struct cursor *cursor, struct gy_http_text *value)
{
    bool quoted = take(cursor, '"');
    *value = take_token(cursor);
    return value->length > 0 && (!quoted || take(cursor, '"'));
}

/* 8 to 15, without zeros before it (§7.1.2.1). 0: it is none. */
static uint8_t bits_of(struct gy_http_text value)
{
    if (value.length == 1 && (value.data[0] == '8' || value.data[0] == '9')) {
        return (uint8_t)(value.data[0] - '0');
    }
    if (value.length == 2 && value.data[0] == '1' && value.data[1] >= '0' && value.data[1] <= '5') {
        return (uint8_t)(10 + value.data[1] - '0');
    }
    return 0;
}

static void take_parameter(struct offer *offer, struct gy_http_text name, bool valued,
                           struct gy_http_text value)
{
    static const struct {
        const char *name;
        uint8_t parameter;
    } known[] = {
        {"server_no_context_takeover", SERVER_NO_TAKEOVER},
        {"client_no_context_takeover", CLIENT_NO_TAKEOVER},
        {"server_max_window_bits", SERVER_BITS},
        {"client_max_window_bits", CLIENT_BITS},
    };
    uint8_t parameter = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (gy_http_text_equal_nocase(name, gy_http_text_of(known[i].name))) {
            parameter = known[i].parameter;
        }
    }
    uint8_t bits = valued ? bits_of(value) : 0;
    bool takes = parameter == SERVER_BITS || parameter == CLIENT_BITS;
    if (parameter == 0 || (offer->given & parameter) != 0 || (valued && (!takes || bits == 0)) ||
        (parameter == SERVER_BITS && !valued)) {
        offer->ours = false;
        return;
    }
    offer->given |= parameter;
    if (parameter == SERVER_BITS) {
        offer->server_bits = bits;
    } else if (parameter == CLIENT_BITS) {
        offer->client_bits = bits;
    }
}

/* The next element of the list; false at its end, or where it is no list. */
static bool next_offer(struct cursor *cursor, struct offer *offer)
{
    *offer = (struct offer){0};
    while (take(cursor, ',')) {
    }
    struct gy_http_text name = take_token(cursor);
    if (name.length == 0) {
        return false;
    }
    offer->ours = gy_http_text_equal_nocase(name, GY_HTTP_TEXT(NAME));
    while (take(cursor, ';')) {
        struct gy_http_text value = {0};
        struct gy_http_text parameter = take_token(cursor);
        bool valued = take(cursor, '=');
        if (parameter.length == 0 || (valued && !take_value(cursor, &value))) {
            return false;
        }
        take_parameter(offer, parameter, valued, value);
    }
    skip_blanks(cursor);
    return cursor->at == cursor->end || *cursor->at == ',';
}

static uint8_t least(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static void write_terms(char *to, const struct gy_ws_terms *terms, bool server_bits,
                        const char *client_bits)
{
    int length = snprintf(to, GY_WS_EXTENSION_BYTES, NAME "%s%s",
                          terms->server_no_takeover ? "; server_no_context_takeover" : "",
                          terms->client_no_takeover ? "; client_no_context_takeover" : "");
    if (server_bits) {
        length += snprintf(to + length, GY_WS_EXTENSION_BYTES - (size_t)length,
                           "; server_max_window_bits=%u", terms->server_bits);
    }
    snprintf(to + length, GY_WS_EXTENSION_BYTES - (size_t)length, "%s", client_bits);
}

static bool accept(const struct gy_ws_terms *allowed, const struct offer *offer,
                   struct gy_ws_terms *agreed, char answer[GY_WS_EXTENSION_BYTES])
{
    char client_bits[40] = "";
    bool server_given = (offer->given & SERVER_BITS) != 0;
    bool client_given = (offer->given & CLIENT_BITS) != 0;
    if (!offer->ours || (server_given && offer->server_bits < GY_WS_BITS_MIN) ||
        (!client_given && allowed->client_bits < GY_WS_BITS_MAX)) {
        return false;
    }
    *agreed = (struct gy_ws_terms){
        .server_no_takeover =
            allowed->server_no_takeover || (offer->given & SERVER_NO_TAKEOVER) != 0,
        .client_no_takeover =
            allowed->client_no_takeover || (offer->given & CLIENT_NO_TAKEOVER) != 0,
        .server_bits =
            server_given ? least(offer->server_bits, allowed->server_bits) : allowed->server_bits,
        .client_bits = offer->client_bits != 0 ? least(offer->client_bits, allowed->client_bits)
                                               : allowed->client_bits,
    };
    if (client_given && agreed->client_bits < GY_WS_BITS_MAX) {
        snprintf(client_bits, sizeof client_bits, "; client_max_window_bits=%u",
                 agreed->client_bits);
    }
    /* Said where it was asked for (§7.1.2.1), or where the client may as well know. */
    write_terms(answer, agreed, server_given || agreed->server_bits < GY_WS_BITS_MAX, client_bits);
    return true;
}

bool gy_ws_deflate_accept(const struct gy_ws_terms *allowed, struct gy_http_text value,
                          struct gy_ws_terms *agreed, char answer[GY_WS_EXTENSION_BYTES])
{
    struct cursor cursor = {value.data, value.data + value.length};
    struct offer offer;
    gy_assert(allowed->server_bits >= GY_WS_BITS_MIN && allowed->server_bits <= GY_WS_BITS_MAX &&
              allowed->client_bits >= GY_WS_BITS_MIN && allowed->client_bits <= GY_WS_BITS_MAX);
    while (gy_ws_have_deflate() && next_offer(&cursor, &offer)) {
        if (accept(allowed, &offer, agreed, answer)) {
            return true;
        }
    }
    return false;
}

void gy_ws_deflate_offer(const struct gy_ws_terms *asked, char offer[GY_WS_EXTENSION_BYTES])
{
    char client_bits[40] = "; client_max_window_bits";
    if (asked->client_bits < GY_WS_BITS_MAX) {
        snprintf(client_bits, sizeof client_bits, "; client_max_window_bits=%u",
                 asked->client_bits);
    }
    write_terms(offer, asked, asked->server_bits < GY_WS_BITS_MAX, client_bits);
}

const char *gy_ws_deflate_check(const struct gy_ws_terms *asked, struct gy_http_text value,
                                struct gy_ws_terms *agreed)
{
    struct cursor cursor = {value.data, value.data + value.length};
    struct offer answer;
    struct offer more;
    if (!next_offer(&cursor, &answer) || !answer.ours || next_offer(&cursor, &more) ||
        cursor.at != cursor.end) {
        return "the server agreed on extensions that were not asked for";
    }
    bool server_given = (answer.given & SERVER_BITS) != 0;
    if (((answer.given & CLIENT_BITS) != 0 && answer.client_bits == 0) ||
        (asked->server_no_takeover && (answer.given & SERVER_NO_TAKEOVER) == 0) ||
        (asked->server_bits < GY_WS_BITS_MAX &&
         (!server_given || answer.server_bits > asked->server_bits)) ||
        (answer.client_bits != 0 && answer.client_bits < GY_WS_BITS_MIN)) {
        return "the server agreed on compression by other terms than it was offered";
    }
    *agreed = (struct gy_ws_terms){
        .server_no_takeover = (answer.given & SERVER_NO_TAKEOVER) != 0,
        .client_no_takeover = asked->client_no_takeover || (answer.given & CLIENT_NO_TAKEOVER) != 0,
        .server_bits = server_given ? answer.server_bits : GY_WS_BITS_MAX,
        .client_bits = answer.client_bits != 0 ? least(answer.client_bits, asked->client_bits)
                                               : asked->client_bits,
    };
    return NULL;
}
