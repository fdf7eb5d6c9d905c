/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/http/syntax.h"

#define T  GY_HTTP_CLASS_TOKEN
#define G  GY_HTTP_CLASS_TARGET
#define H  GY_HTTP_CLASS_HOST
#define X  GY_HTTP_CLASS_HEX
#define V  GY_HTTP_CLASS_VALUE
#define D  GY_HTTP_CLASS_DIGIT
#define DD (T | G | H | X | V | D) /* digits */
#define HX (T | G | H | X | V)     /* letters a to f */
#define LE (T | G | H | V)         /* other letters; - . _ ~ ! $ & ' * + */
#define TK (T | G | V)             /* % ^ ` | */
#define HO (G | H | V)             /* ( ) , ; = */
#define VI (G | V)                 /* visible and nothing more */
#define OB (V)                     /* SP, HTAB, obs-text */
#define SH (T | V)                 /* # */

/* clang-format off */
const uint8_t gy_http_class[256] = {
    /* 00 */ 0,  0,  0,  0,  0,  0,  0,  0,  0,  OB, 0,  0,  0,  0,  0,  0,
    /* 10 */ 0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    /*  SP ! " # $ % & ' ( ) * + , - . / */
             OB, LE, VI, SH, LE, TK, LE, LE, HO, HO, LE, LE, HO, LE, LE, VI,
    /*  0 to 9 : ; < = > ? */
             DD, DD, DD, DD, DD, DD, DD, DD, DD, DD, VI, HO, VI, HO, VI, VI,
    /*  @ A to O */
             VI, HX, HX, HX, HX, HX, HX, LE, LE, LE, LE, LE, LE, LE, LE, LE,
    /*  P to Z [ \ ] ^ _ */
             LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, VI, VI, VI, TK, LE,
    /*  ` a to o */
             TK, HX, HX, HX, HX, HX, HX, LE, LE, LE, LE, LE, LE, LE, LE, LE,
    /*  p to z { | } ~ DEL */
             LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, LE, VI, TK, VI, LE, 0,
    /* 80 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* 90 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* a0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* b0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* c0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* d0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* e0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
    /* f0 */ OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB, OB,
};
/* clang-format on */

#undef T
#undef G
#undef H
#undef X
#undef V
#undef D
#undef DD
#undef HX
#undef LE
#undef TK
#undef HO
#undef VI
#undef OB
#undef SH

uint8_t gy_http_hex(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return (uint8_t)(byte - '0');
    }
    uint8_t lower = byte | 0x20;
    if (lower >= 'a' && lower <= 'f') {
        return (uint8_t)(lower - 'a' + 10);
    }
    return 255;
}

bool gy_http_all(struct gy_http_text text, enum gy_http_class_bit bit)
{
    uint8_t all = 255;
    for (size_t i = 0; i < text.length; i++) {
        all &= gy_http_class[(uint8_t)text.data[i]];
    }
    return (all & bit) != 0;
}

static bool port_valid(struct gy_http_text port, bool needed)
{
    uint32_t number = 0;
    for (size_t i = 0; i < port.length; i++) {
        if (!gy_http_is((uint8_t)port.data[i], GY_HTTP_CLASS_DIGIT)) {
            return false;
        }
        number = number * 10 + (uint32_t)(port.data[i] - '0');
        if (number > 65535) {
            return false;
        }
    }
    return port.length > 0 || !needed;
}

/* The length of "[…]" at the start, or 0 when it is no address literal. Which addresses exist is
 * the resolver's business; here only its alphabet matters (RFC 3986 §3.2.2). */
static size_t literal_length(struct gy_http_text authority)
{
    size_t colons = 0;
    for (size_t i = 1; i < authority.length; i++) {
        uint8_t byte = (uint8_t)authority.data[i];
        if (byte == ']') {
            return colons >= 2 ? i + 1 : 0;
        }
        if (byte == ':') {
            colons++;
        } else if (byte != '.' && !gy_http_is(byte, GY_HTTP_CLASS_HEX)) {
            return 0;
        }
    }
    return 0;
}

bool gy_http_authority_valid(struct gy_http_text authority, bool port_needed)
{
    return gy_http_authority_rest_valid(authority, 0, port_needed);
}

bool gy_http_authority_rest_valid(struct gy_http_text authority, size_t plain_bytes,
                                  bool port_needed)
{
    size_t at = plain_bytes;
    if (authority.length > 0 && authority.data[0] == '[') {
        at = literal_length(authority);
    }
    for (; at < authority.length && authority.data[0] != '['; at++) {
        uint8_t byte = (uint8_t)authority.data[at];
        if (gy_http_is(byte, GY_HTTP_CLASS_HOST)) {
            continue;
        }
        if (byte != '%' || authority.length - at < 3 ||
            !gy_http_is((uint8_t)authority.data[at + 1], GY_HTTP_CLASS_HEX) ||
            !gy_http_is((uint8_t)authority.data[at + 2], GY_HTTP_CLASS_HEX)) {
            break;
        }
        at += 2;
    }
    if (at == 0) {
        return false;
    }
    if (at == authority.length) {
        return !port_needed;
    }
    if (authority.data[at] != ':') {
        return false;
    }
    struct gy_http_text port = {authority.data + at + 1, authority.length - at - 1};
    return port_valid(port, port_needed);
}

bool gy_http_list_next(struct gy_http_text *rest, struct gy_http_text *element)
{
    if (rest->data == NULL) {
        return false;
    }
    size_t comma = 0;
    while (comma < rest->length && rest->data[comma] != ',') {
        comma++;
    }
    size_t start = 0;
    size_t end = comma;
    while (start < end && gy_http_is_space((uint8_t)rest->data[start])) {
        start++;
    }
    while (end > start && gy_http_is_space((uint8_t)rest->data[end - 1])) {
        end--;
    }
    *element = (struct gy_http_text){rest->data + start, end - start};
    if (comma < rest->length) {
        *rest = (struct gy_http_text){rest->data + comma + 1, rest->length - comma - 1};
    } else {
        *rest = (struct gy_http_text){NULL, 0};
    }
    return true;
}

static bool name_in(struct gy_http_text name, const struct gy_http_text *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (gy_http_text_equal_nocase(name, list[i])) {
            return true;
        }
    }
    return false;
}

#define NAME(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

bool gy_http_trailer_forbidden(struct gy_http_text name)
{
    static const struct gy_http_text forbidden[] = {
        /* framing and routing */
        NAME("connection"),
        NAME("content-length"),
        NAME("host"),
        NAME("keep-alive"),
        NAME("te"),
        NAME("trailer"),
        NAME("transfer-encoding"),
        NAME("upgrade"),
        NAME("proxy-connection"),
        /* what the content is */
        NAME("content-encoding"),
        NAME("content-range"),
        NAME("content-type"),
        /* controls and conditions */
        NAME("cache-control"),
        NAME("expect"),
        NAME("if-match"),
        NAME("if-modified-since"),
        NAME("if-none-match"),
        NAME("if-range"),
        NAME("if-unmodified-since"),
        NAME("max-forwards"),
        NAME("pragma"),
        NAME("range"),
        /* who asks */
        NAME("authorization"),
        NAME("cookie"),
        NAME("forwarded"),
        NAME("origin"),
        NAME("proxy-authorization"),
        NAME("set-cookie"),
        NAME("x-forwarded-for"),
        NAME("x-forwarded-host"),
        NAME("x-forwarded-proto"),
    };
    return name_in(name, forbidden, sizeof forbidden / sizeof forbidden[0]);
}

enum gy_http_method gy_http_method_of(struct gy_http_text name)
{
    static const struct gy_http_text names[] = {
        [GY_HTTP_GET] = NAME("GET"),         [GY_HTTP_HEAD] = NAME("HEAD"),
        [GY_HTTP_POST] = NAME("POST"),       [GY_HTTP_PUT] = NAME("PUT"),
        [GY_HTTP_DELETE] = NAME("DELETE"),   [GY_HTTP_CONNECT] = NAME("CONNECT"),
        [GY_HTTP_OPTIONS] = NAME("OPTIONS"), [GY_HTTP_TRACE] = NAME("TRACE"),
        [GY_HTTP_PATCH] = NAME("PATCH"),
    };
    for (uint32_t i = GY_HTTP_GET; i <= GY_HTTP_PATCH; i++) {
        if (gy_http_text_equal(name, names[i])) {
            return (enum gy_http_method)i;
        }
    }
    return GY_HTTP_OTHER;
}
