/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the fields and the target of a request mean for its framing and routing. */

#include "protocols/http/h1_parse.h"
#include "protocols/http/syntax.h"

/* The length of "scheme://" at the start, or 0 (RFC 3986 §3.1). */
static uint16_t scheme_length(struct gy_http_text target)
{
    size_t at = 0;
    while (at < target.length && target.data[at] != ':') {
        uint8_t byte = (uint8_t)target.data[at];
        uint8_t folded = byte | 0x20;
        bool letter = folded >= 'a' && folded <= 'z';
        bool later =
            gy_http_is(byte, GY_HTTP_CLASS_DIGIT) || byte == '+' || byte == '-' || byte == '.';
        if (!letter && (at == 0 || !later)) {
            return 0;
        }
        at++;
    }
    if (at == 0 || target.length - at < 3 || memcmp(target.data + at, "://", 3) != 0) {
        return 0;
    }
    return (uint16_t)(at + 3);
}

static int absolute_form(const uint8_t *data, struct gy_http_span line, uint16_t scheme,
                         struct gy_http_exchange *exchange, struct gy_h1_head *head)
{
    struct gy_http_text served = gy_http_scheme(exchange);
    struct gy_http_text text = gy_http_span_text(data, line);
    if (!gy_http_text_equal_nocase((struct gy_http_text){text.data, scheme - 3u}, served)) {
        return GY_H1_REFUSED_SCHEME;
    }
    uint16_t end = scheme;
    while (end < line.length && text.data[end] != '/' && text.data[end] != '?') {
        end++;
    }
    exchange->authority =
        (struct gy_http_span){(uint16_t)(line.offset + scheme), (uint16_t)(end - scheme)};
    if (!gy_http_authority_valid(gy_http_span_text(data, exchange->authority), false)) {
        return GY_H1_REFUSED_TARGET;
    }
    head->flags |= GY_H1_HEAD_TARGET_AUTHORITY;
    if (end == line.length) {
        /* An empty path is "/" (RFC 9110 §4.2.3): the second slash of "://" serves as one. */
        exchange->target = (struct gy_http_span){(uint16_t)(line.offset + scheme - 1), 1};
        return 0;
    }
    if (text.data[end] != '/') {
        return GY_H1_REFUSED_TARGET;
    }
    exchange->target =
        (struct gy_http_span){(uint16_t)(line.offset + end), (uint16_t)(line.length - end)};
    return 0;
}

int gy_h1_target(const uint8_t *data, struct gy_http_span line, struct gy_http_exchange *exchange,
                 struct gy_h1_head *head)
{
    struct gy_http_text text = gy_http_span_text(data, line);
    gy_assert(text.length > 0);
    if (exchange->method == GY_HTTP_CONNECT) {
        if (!gy_http_authority_valid(text, true)) {
            return GY_H1_REFUSED_TARGET_FORM;
        }
        exchange->authority = line;
        exchange->target = (struct gy_http_span){0, 0};
        head->flags |= GY_H1_HEAD_TARGET_AUTHORITY;
        return 0;
    }
    if (text.data[0] == '*') {
        exchange->target = line;
        return text.length == 1 && exchange->method == GY_HTTP_OPTIONS ? 0
                                                                       : GY_H1_REFUSED_TARGET_FORM;
    }
    uint16_t scheme = scheme_length(text);
    if (scheme == 0) {
        return GY_H1_REFUSED_TARGET_FORM;
    }
    return absolute_form(data, line, scheme, exchange, head);
}

int gy_h1_host(const uint8_t *data, struct gy_http_span value, size_t plain_bytes,
               struct gy_http_exchange *exchange, struct gy_h1_head *head)
{
    if ((head->flags & GY_H1_HEAD_HOST) != 0) {
        return GY_H1_REFUSED_HOST_REPEATED;
    }
    head->flags |= GY_H1_HEAD_HOST;
    if (!gy_http_authority_rest_valid(gy_http_span_text(data, value), plain_bytes, false)) {
        return GY_H1_REFUSED_HOST_INVALID;
    }
    if ((head->flags & GY_H1_HEAD_TARGET_AUTHORITY) == 0) {
        exchange->authority = value;
    }
    return 0;
}

static int content_length(struct gy_http_text value, uint64_t *result, struct gy_h1_head *head)
{
    if ((head->flags & GY_H1_HEAD_LENGTH) != 0) {
        return GY_H1_REFUSED_LENGTH_REPEATED;
    }
    head->flags |= GY_H1_HEAD_LENGTH;
    uint64_t length = 0;
    for (size_t i = 0; i < value.length; i++) {
        uint8_t digit = (uint8_t)(value.data[i] - '0');
        if (digit > 9 || length > (UINT64_MAX - 1 - digit) / 10) {
            return GY_H1_REFUSED_LENGTH_INVALID;
        }
        length = length * 10 + digit;
    }
    *result = length;
    return value.length > 0 ? 0 : GY_H1_REFUSED_LENGTH_INVALID;
}

static void transfer_encoding(struct gy_http_text list, struct gy_h1_head *head)
{
    head->flags |= GY_H1_HEAD_CODING;
    struct gy_http_text coding;
    while (gy_http_list_next(&list, &coding)) {
        if ((head->flags & GY_H1_HEAD_CHUNKED) != 0 || coding.length == 0) {
            head->flags |= GY_H1_HEAD_CHUNKED_EARLY;
        } else if (gy_http_text_equal_nocase(coding, GY_HTTP_TEXT("chunked"))) {
            head->flags |= GY_H1_HEAD_CHUNKED;
        } else {
            head->flags |= GY_H1_HEAD_OTHER_CODING;
        }
    }
}

static void connection(struct gy_http_text list, struct gy_h1_head *head)
{
    if (list.length == 10 && gy_http_token_is((const uint8_t *)list.data, "keep-alive", 10)) {
        head->flags |= GY_H1_HEAD_KEEP_ALIVE;
        return;
    }
    struct gy_http_text option;
    while (gy_http_list_next(&list, &option)) {
        if (gy_http_text_equal_nocase(option, GY_HTTP_TEXT("keep-alive"))) {
            head->flags |= GY_H1_HEAD_KEEP_ALIVE;
        } else if (gy_http_text_equal_nocase(option, GY_HTTP_TEXT("close"))) {
            head->flags |= GY_H1_HEAD_CLOSE;
        } else if (gy_http_text_equal_nocase(option, GY_HTTP_TEXT("upgrade"))) {
            head->flags |= GY_H1_HEAD_UPGRADE;
        }
    }
}

int gy_h1_special(const uint8_t *data, const struct gy_http_field *field, uint64_t *length,
                  struct gy_h1_head *head)
{
    const uint8_t *name = data + field->name.offset;
    struct gy_http_text value = gy_http_span_text(data, field->value);
    switch (field->name.length) {
    case 6:
        if (gy_http_token_is(name, "expect", 6)) {
            bool known = gy_http_text_equal_nocase(value, GY_HTTP_TEXT("100-continue"));
            head->flags |= known ? GY_H1_HEAD_EXPECT : GY_H1_HEAD_EXPECT_OTHER;
        }
        break;
    case 7:
        if (gy_http_token_is(name, "upgrade", 7) && head->upgrade.length == 0) {
            head->upgrade = field->value;
        }
        break;
    case 10:
        if (gy_http_token_is(name, "connection", 10)) {
            connection(value, head);
        }
        break;
    case 14:
        if (gy_http_token_is(name, "content-length", 14)) {
            return content_length(value, length, head);
        }
        break;
    case 17:
        if (gy_http_token_is(name, "transfer-encoding", 17)) {
            transfer_encoding(value, head);
        }
        break;
    default:
        break;
    }
    return 0;
}

static int framing_check(const struct gy_http_exchange *exchange, const struct gy_h1_head *head)
{
    if ((head->flags & GY_H1_HEAD_CODING) != 0) {
        if ((head->flags & GY_H1_HEAD_LENGTH) != 0) {
            return GY_H1_REFUSED_LENGTH_AND_CODING;
        }
        if (head->minor == 0) {
            return GY_H1_REFUSED_CODING_VERSION;
        }
        if ((head->flags & GY_H1_HEAD_CHUNKED) == 0 ||
            (head->flags & GY_H1_HEAD_CHUNKED_EARLY) != 0) {
            return GY_H1_REFUSED_CODING_FINAL;
        }
        if ((head->flags & GY_H1_HEAD_OTHER_CODING) != 0) {
            return GY_H1_REFUSED_CODING_UNKNOWN;
        }
    }
    if (exchange->has_body &&
        (exchange->method == GY_HTTP_CONNECT || exchange->method == GY_HTTP_TRACE)) {
        return GY_H1_REFUSED_BODY_UNEXPECTED;
    }
    return 0;
}

int gy_h1_head_check(struct gy_http_exchange *exchange, struct gy_h1_head *head)
{
    if ((head->flags & GY_H1_HEAD_HOST) == 0 && head->minor == 1) {
        return GY_H1_REFUSED_HOST_MISSING;
    }
    exchange->has_body = exchange->content_length > 0 || (head->flags & GY_H1_HEAD_CODING) != 0;
    int refusal = framing_check(exchange, head);
    if (refusal != 0) {
        return refusal;
    }
    if ((head->flags & GY_H1_HEAD_CHUNKED) != 0) {
        exchange->content_length = GY_HTTP_UNKNOWN;
    }
    /* RFC 9110 §7.8: Upgrade counts only when Connection names it, and not in HTTP/1.0. */
    if ((head->flags & GY_H1_HEAD_UPGRADE) != 0 && head->minor == 1) {
        exchange->protocol = head->upgrade;
    }
    return 0;
}

/* ---- finding the end of what arrives in pieces ------------------------------------------------
 */

static inline bool scan_byte(uint8_t byte, uint8_t *state)
{
    switch (*state & GY_H1_SCAN_STATE) {
    case GY_H1_SCAN_START:
        if (byte == '\r') {
            *state = GY_H1_SCAN_START_CR | GY_H1_SCAN_LATER;
            return false;
        }
        *state = GY_H1_SCAN_LINE | GY_H1_SCAN_LATER;
        __attribute__((fallthrough));
    case GY_H1_SCAN_LINE:
        if (byte == '\r') {
            *state = (*state & GY_H1_SCAN_LATER) | GY_H1_SCAN_CR;
            return false;
        }
        return !gy_http_is(byte, GY_HTTP_CLASS_VALUE);
    case GY_H1_SCAN_CR:
        *state = GY_H1_SCAN_START | GY_H1_SCAN_LATER;
        return byte != '\n';
    default:
        *state = GY_H1_SCAN_START | GY_H1_SCAN_LATER;
        return true;
    }
}

enum gy_h1_scan_result gy_h1_scan(const struct gy_h1_parser *parser, const struct gy_chain *chain,
                                  uint32_t *scanned, uint8_t *state, uint32_t *line_end)
{
    gy_assert(*scanned <= chain->length);
    uint32_t before = 0;
    uint32_t last_line_end = 0;
    enum gy_h1_scan_result result = GY_H1_SCAN_MORE;
    for (const struct gy_link *link = chain->head; link != NULL && result == GY_H1_SCAN_MORE;
         link = link->next) {
        uint32_t length = link->slice.length;
        const uint8_t *data = gy_slice_data(link->slice);
        uint32_t at = *scanned > before ? *scanned - before : 0;
        while (at < length && result == GY_H1_SCAN_MORE) {
            if ((*state & GY_H1_SCAN_STATE) == GY_H1_SCAN_LINE) {
                at += parser->plain(data + at, length - at);
                if (at == length) {
                    break;
                }
            }
            if (scan_byte(data[at++], state)) {
                result = GY_H1_SCAN_LOOK;
            } else if ((*state & GY_H1_SCAN_STATE) == GY_H1_SCAN_START) {
                last_line_end = before + at;
            }
        }
        if (before + at > *scanned) {
            *scanned = before + at;
        }
        before += length;
    }
    if (line_end != NULL) {
        *line_end = last_line_end;
    }
    return result;
}

const struct gy_h1_parser *gy_h1_parser_nth(uint32_t index)
{
    const struct gy_h1_parser *usable[3] = {NULL};
    uint32_t count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) {
        usable[count++] = &gy_h1_parser_avx2;
    }
    if (__builtin_cpu_supports("sse4.2")) {
        usable[count++] = &gy_h1_parser_sse42;
    }
#endif
    usable[count++] = &gy_h1_parser_portable;
    return index < count ? usable[index] : NULL;
}
