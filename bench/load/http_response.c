/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/http_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_BYTES_MAX 65536u
#define LENGTH_DIGITS  18
#define CHUNK_DIGITS   15

void gy_load_expected_open(struct gy_load_expected *expected, bool check, bool head)
{
    *expected = (struct gy_load_expected){.check = check, .head = head};
}

void gy_load_expected_close(struct gy_load_expected *expected)
{
    free(expected->whole);
    free(expected->body);
    *expected = (struct gy_load_expected){0};
}

const uint64_t *gy_load_expected_statuses(struct gy_load_expected *expected)
{
    expected->statuses[expected->whole_status] += expected->alike;
    expected->alike = 0;
    return expected->statuses;
}

void gy_load_response_begin(struct gy_load_response *response)
{
    *response = (struct gy_load_response){.state = GY_LOAD_RESPONSE_STATUS};
}

/* ---- the response that is expected ---- */

/* Finds the value of the Date field (RFC 9110 §6.6.1) in a head that ends within `bytes`. */
static void find_date(struct gy_load_expected *expected)
{
    const uint8_t *end = memmem(expected->whole, expected->whole_bytes, "\r\n\r\n", 4);
    gy_assert(end != NULL);
    expected->date_at = expected->date_bytes = 0;
    for (const uint8_t *at = expected->whole; at < end;) {
        const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) {
            return;
        }
        at = ++line;
        if (end - line > 5 && strncasecmp((const char *)line, "date:", 5) == 0) {
            const uint8_t *stop = memchr(line, '\r', (size_t)(end - line) + 1);
            expected->date_at = (uint32_t)(line - expected->whole) + 5;
            expected->date_bytes = (uint32_t)(stop - line) - 5;
            return;
        }
    }
}

static void keep_whole(struct gy_load_expected *expected, const uint8_t *data, uint32_t bytes)
{
    if (bytes > GY_LOAD_WHOLE_MAX) {
        return;
    }
    if (expected->whole == NULL) {
        expected->whole = malloc(GY_LOAD_WHOLE_MAX);
        if (expected->whole == NULL) {
            return; /* the parser will do all of it */
        }
    }
    memcpy(expected->whole, data, bytes);
    expected->whole_bytes = bytes;
    gy_load_expected_statuses(expected); /* those that were like the one before */
    expected->whole_status = expected->status;
    find_date(expected);
}

static bool is_expected(const struct gy_load_expected *expected, const uint8_t *data,
                        uint32_t bytes)
{
    uint32_t whole = expected->whole_bytes;
    if (whole == 0 || bytes < whole) {
        return false;
    }
    uint32_t behind = expected->date_at + expected->date_bytes;
    return memcmp(data, expected->whole, expected->date_at) == 0 &&
           memcmp(data + behind, expected->whole + behind, whole - behind) == 0;
}

/* A piece of a body: kept of the first response, compared in all others. */
static void body_piece(struct gy_load_response *response, struct gy_load_expected *expected,
                       const uint8_t *data, uint32_t bytes)
{
    uint64_t at = response->body_bytes;
    response->body_bytes += bytes;
    if (!expected->check || response->status >= 400) {
        return;
    }
    if (expected->body_known) {
        if (response->body_bytes > expected->body_bytes) {
            response->differs = true;
        } else if (at < GY_LOAD_BODY_MAX) {
            uint64_t kept = GY_LOAD_BODY_MAX - at;
            size_t compared = bytes < kept ? bytes : (size_t)kept;
            response->differs |= memcmp(expected->body + at, data, compared) != 0;
        }
        return;
    }
    if (response->body_bytes > GY_LOAD_BODY_MAX) {
        return; /* its length is compared */
    }
    if (response->body_bytes > expected->body_room) {
        uint64_t room = expected->body_room != 0 ? expected->body_room * 2 : 4096;
        while (room < response->body_bytes) {
            room *= 2;
        }
        uint8_t *body = realloc(expected->body, room);
        gy_assert(body != NULL); /* the generator's own memory, bounded by GY_LOAD_BODY_MAX */
        expected->body = body;
        expected->body_room = room;
    }
    memcpy(expected->body + at, data, bytes);
}

/* ---- the head ---- */

/* Keeps what was wrong with the first response that is none, and of that line what fits. */
static enum gy_load_verdict broken(struct gy_load_expected *expected, const char *what,
                                   const uint8_t *line, uint32_t bytes)
{
    if (expected->broken[0] == '\0') {
        size_t at = (size_t)snprintf(expected->broken, sizeof expected->broken, "%s: \"", what);
        size_t end = sizeof expected->broken - 2;
        gy_assert(at < end);
        for (uint32_t i = 0; i < bytes && at < end; i++) {
            expected->broken[at++] = line[i] >= ' ' && line[i] < 0x7f ? (char)line[i] : '?';
        }
        expected->broken[at++] = '"';
        expected->broken[at] = '\0';
    }
    return GY_LOAD_VERDICT_BROKEN;
}

/* Nothing of HTTP has come from there: what did come says what it is. */
static void note_stranger(const struct gy_load_response *response,
                          struct gy_load_expected *expected)
{
    if (expected->stranger[0] == '\0' && !expected->answered) {
        gy_http_stranger(expected->stranger, response->line, response->line_bytes);
    }
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* "HTTP/1.1 200 OK" (RFC 9112 §4) */
static bool read_status(struct gy_load_response *response)
{
    const uint8_t *line = response->line;
    if (response->line_bytes < 12 || memcmp(line, "HTTP/1.", 7) != 0 ||
        (line[7] != '0' && line[7] != '1') || line[8] != ' ' || !is_digit(line[9]) ||
        !is_digit(line[10]) || !is_digit(line[11]) ||
        (response->line_bytes > 12 && line[12] != ' ')) {
        return false;
    }
    response->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
    response->close = line[7] == '0';
    return response->status >= 100 && response->status != 101 && response->status < 600;
}

/* The value of the field `name` (with its colon) without the spaces around it, or NULL. */
static const uint8_t *field_value(const struct gy_load_response *response, const char *name,
                                  uint32_t *bytes)
{
    size_t length = strlen(name);
    if (response->line_bytes < length ||
        strncasecmp((const char *)response->line, name, length) != 0) {
        return NULL;
    }
    const uint8_t *start = response->line + length;
    const uint8_t *end = response->line + response->line_bytes;
    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *bytes = (uint32_t)(end - start);
    return start;
}

static bool value_is(const uint8_t *value, uint32_t bytes, const char *text)
{
    return bytes == strlen(text) && strncasecmp((const char *)value, text, bytes) == 0;
}

static bool read_length(struct gy_load_response *response, const uint8_t *value, uint32_t bytes)
{
    uint64_t length = 0;
    if (bytes == 0 || bytes > LENGTH_DIGITS) {
        return false;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        if (!is_digit(value[i])) {
            return false;
        }
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (response->has_length && response->left != length) {
        return false; /* two that disagree (RFC 9112 §6.3) */
    }
    response->has_length = true;
    response->left = length;
    return true;
}

static bool read_field(struct gy_load_response *response)
{
    uint32_t bytes;
    const uint8_t *value = field_value(response, "content-length:", &bytes);
    if (value != NULL) {
        return read_length(response, value, bytes);
    }
    value = field_value(response, "transfer-encoding:", &bytes);
    if (value != NULL) {
        response->chunked = true;
        return value_is(value, bytes, "chunked"); /* the only one that was not asked to be absent */
    }
    value = field_value(response, "connection:", &bytes);
    if (value != NULL) {
        if (value_is(value, bytes, "close")) {
            response->close = true;
        } else if (value_is(value, bytes, "keep-alive")) {
            response->close = false;
        }
    }
    return true;
}

/* ---- states ---- */

static enum gy_load_verdict whole_response(struct gy_load_response *response,
                                           struct gy_load_expected *expected)
{
    bool close = response->close;
    enum gy_load_verdict verdict = GY_LOAD_VERDICT_RIGHT;
    gy_assert(response->status >= GY_LOAD_STATUS_FIRST &&
              response->status - GY_LOAD_STATUS_FIRST < GY_LOAD_STATUSES);
    expected->answered = true;
    expected->status = response->status - GY_LOAD_STATUS_FIRST;
    expected->statuses[expected->status]++;
    if (response->status >= 400) {
        verdict = GY_LOAD_VERDICT_STATUS;
    } else if (expected->check) {
        if (!expected->body_known) {
            expected->body_known = true;
            expected->body_bytes = response->body_bytes;
        } else if (response->differs || response->body_bytes != expected->body_bytes) {
            verdict = GY_LOAD_VERDICT_BODY;
        }
    }
    gy_load_response_begin(response);
    response->close = close;
    return verdict;
}

/* After the empty line. MORE: the body follows, or another head after an interim response. */
static enum gy_load_verdict end_of_head(struct gy_load_response *response,
                                        struct gy_load_expected *expected)
{
    if (response->status < 200) {
        gy_load_response_begin(response);
        return GY_LOAD_VERDICT_MORE;
    }
    if (response->chunked && response->has_length) {
        static const uint8_t both[] = "Content-Length, Transfer-Encoding";
        return broken(expected, "two ends of one body", both, sizeof both - 1);
    }
    if (response->status == 204 || response->status == 304 || expected->head) {
        return whole_response(response, expected);
    }
    if (response->chunked) {
        response->state = GY_LOAD_RESPONSE_CHUNK_SIZE;
    } else if (!response->has_length) {
        response->state = GY_LOAD_RESPONSE_CLOSE;
        response->close = true;
    } else if (response->left > 0) {
        response->state = GY_LOAD_RESPONSE_LENGTH;
    } else {
        return whole_response(response, expected);
    }
    return GY_LOAD_VERDICT_MORE;
}

/* RFC 9112 §7.1: hexadecimal digits, then perhaps extensions. */
static bool read_chunk_size(struct gy_load_response *response)
{
    uint64_t size = 0;
    uint32_t i = 0;
    for (; i < response->line_bytes; i++) {
        uint8_t byte = response->line[i];
        uint8_t low = (uint8_t)(byte | 0x20);
        if (is_digit(byte)) {
            size = size << 4 | (uint64_t)(byte - '0');
        } else if (low >= 'a' && low <= 'f') {
            size = size << 4 | (uint64_t)(low - 'a' + 10);
        } else {
            break;
        }
    }
    if (i == 0 || i > CHUNK_DIGITS ||
        (i < response->line_bytes && response->line[i] != ';' && response->line[i] != ' ')) {
        return false;
    }
    response->left = size;
    response->state = size > 0 ? GY_LOAD_RESPONSE_CHUNK : GY_LOAD_RESPONSE_TRAILER;
    return true;
}

/* A whole line is in response->line, its end cut off. */
static enum gy_load_verdict read_line(struct gy_load_response *response,
                                      struct gy_load_expected *expected)
{
    bool valid = true;
    const char *what = "no header field that can be";
    enum gy_load_verdict verdict = GY_LOAD_VERDICT_MORE;
    switch (response->state) {
    case GY_LOAD_RESPONSE_STATUS:
        what = "no status line of HTTP/1.1";
        valid = read_status(response);
        response->state = GY_LOAD_RESPONSE_FIELDS;
        break;
    case GY_LOAD_RESPONSE_FIELDS:
        if (response->line_bytes == 0) {
            verdict = end_of_head(response, expected);
        } else {
            valid = read_field(response);
        }
        break;
    case GY_LOAD_RESPONSE_CHUNK_SIZE:
        what = "no size of a chunk";
        valid = read_chunk_size(response);
        break;
    case GY_LOAD_RESPONSE_CHUNK_END:
        what = "no end of a chunk";
        valid = response->line_bytes == 0;
        response->state = GY_LOAD_RESPONSE_CHUNK_SIZE;
        break;
    case GY_LOAD_RESPONSE_TRAILER:
        if (response->line_bytes == 0) {
            verdict = whole_response(response, expected);
        }
        break;
    case GY_LOAD_RESPONSE_LENGTH:
    case GY_LOAD_RESPONSE_CHUNK:
    case GY_LOAD_RESPONSE_CLOSE:
        gy_assert(false);
    }
    if (!valid) {
        return broken(expected, what, response->line, response->line_bytes);
    }
    response->line_bytes = 0;
    response->last = 0;
    return verdict;
}

/* Up to the end of a line, of which the first GY_LOAD_LINE_BYTES are kept: no field that is looked
 * at is longer. */
static enum gy_load_verdict take_line(struct gy_load_response *response,
                                      struct gy_load_expected *expected, const uint8_t *data,
                                      uint32_t bytes, uint32_t *used)
{
    const uint8_t *end = memchr(data, '\n', bytes);
    uint32_t piece = end != NULL ? (uint32_t)(end - data) : bytes;
    *used = end != NULL ? piece + 1 : piece;
    uint32_t room = GY_LOAD_LINE_BYTES - response->line_bytes;
    uint32_t kept = piece < room ? piece : room;
    memcpy(response->line + response->line_bytes, data, kept);
    response->line_bytes = (uint16_t)(response->line_bytes + kept);
    response->head_bytes += *used;
    if (piece > 0) {
        response->last = data[piece - 1];
    }
    if (response->head_bytes > HEAD_BYTES_MAX) {
        return broken(expected, "a head of more than 64 KiB", response->line, response->line_bytes);
    }
    if (response->state == GY_LOAD_RESPONSE_STATUS) {
        note_stranger(response, expected);
    }
    if (end == NULL) {
        return GY_LOAD_VERDICT_MORE;
    }
    if (response->last != '\r') {
        return broken(expected, "a line without CR LF", response->line, response->line_bytes);
    }
    if (response->line[response->line_bytes - 1] == '\r') {
        response->line_bytes--;
    }
    return read_line(response, expected);
}

static enum gy_load_verdict take_body(struct gy_load_response *response,
                                      struct gy_load_expected *expected, const uint8_t *data,
                                      uint32_t bytes, uint32_t *used)
{
    if (response->state == GY_LOAD_RESPONSE_CLOSE) {
        body_piece(response, expected, data, bytes);
        *used = bytes;
        return GY_LOAD_VERDICT_MORE;
    }
    *used = bytes < response->left ? bytes : (uint32_t)response->left;
    body_piece(response, expected, data, *used);
    response->left -= *used;
    if (response->left > 0) {
        return GY_LOAD_VERDICT_MORE;
    }
    if (response->state == GY_LOAD_RESPONSE_LENGTH) {
        return whole_response(response, expected);
    }
    response->state = GY_LOAD_RESPONSE_CHUNK_END;
    response->head_bytes = 0;
    return GY_LOAD_VERDICT_MORE;
}

static bool in_body(const struct gy_load_response *response)
{
    return response->state == GY_LOAD_RESPONSE_LENGTH ||
           response->state == GY_LOAD_RESPONSE_CHUNK || response->state == GY_LOAD_RESPONSE_CLOSE;
}

enum gy_load_verdict gy_load_response_read(struct gy_load_response *response,
                                           struct gy_load_expected *expected, const uint8_t *data,
                                           uint32_t bytes, uint32_t *used)
{
    gy_assert(bytes > 0);
    bool from_start = !response->begun;
    if (from_start && is_expected(expected, data, bytes)) {
        *used = expected->whole_bytes;
        expected->alike++;
        response->close = false;
        return GY_LOAD_VERDICT_RIGHT;
    }
    if (from_start) {
        gy_load_response_begin(response);
    }
    *used = 0;
    enum gy_load_verdict verdict = GY_LOAD_VERDICT_MORE;
    while (verdict == GY_LOAD_VERDICT_MORE && *used < bytes) {
        uint32_t taken;
        response->begun = true;
        verdict = in_body(response)
                      ? take_body(response, expected, data + *used, bytes - *used, &taken)
                      : take_line(response, expected, data + *used, bytes - *used, &taken);
        *used += taken;
    }
    if (verdict == GY_LOAD_VERDICT_RIGHT && from_start && !response->close) {
        keep_whole(expected, data, *used);
    }
    return verdict;
}

enum gy_load_verdict gy_load_response_end(struct gy_load_response *response,
                                          struct gy_load_expected *expected)
{
    if (!response->begun) {
        return GY_LOAD_VERDICT_BROKEN;
    }
    if (response->state == GY_LOAD_RESPONSE_CLOSE) {
        return whole_response(response, expected);
    }
    return GY_LOAD_VERDICT_MORE;
}
