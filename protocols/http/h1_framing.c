/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What both sides of a connection do alike with what arrives: chunks, trailers, finding heads. */

#include "protocols/http/h1_framing.h"

#include "protocols/http/syntax.h"

/* ---- chunks ---------------------------------------------------------------------------------- */

/* The size line is over. 0 or a refusal. */
static int size_known(struct gy_h1_body *body)
{
    body->size_digits = 0;
    body->extension_bytes = 0;
    if (body->left == 0) {
        body->state = GY_H1_BODY_TRAILERS;
        return 0;
    }
    if (body->left > body->max - body->seen) {
        return GY_H1_REFUSED_BODY_LIMIT;
    }
    body->seen += body->left;
    body->state = GY_H1_BODY_DATA;
    return 0;
}

static int size_byte(struct gy_h1_body *body, uint8_t byte)
{
    uint8_t digit = gy_http_hex(byte);
    if (digit != 255) {
        /* Sixteen digits, leading zeros included, are all that 64 bits need. */
        if (body->size_digits == 16) {
            return GY_H1_REFUSED_CHUNK_SIZE;
        }
        body->size_digits++;
        body->left = body->left << 4 | digit;
        return 0;
    }
    if (body->size_digits == 0) {
        return GY_H1_REFUSED_CHUNK_SIZE;
    }
    switch (byte) {
    case '\r':
        body->state = GY_H1_BODY_SIZE_LF;
        return 0;
    case ';':
        body->state = GY_H1_BODY_EXTENSION;
        return 0;
    case ' ':
    case '\t':
        body->state = GY_H1_BODY_SIZE_SPACE;
        return 0;
    case '\n':
        return GY_H1_REFUSED_BARE_LF;
    default:
        return GY_H1_REFUSED_CHUNK_SIZE;
    }
}

/*
 * chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), RFC 9112 §7.1.1. They
 * are skipped: what is checked is that each ';' has a name, that quoted strings are closed, and
 * that no byte could be taken for a line's end by anybody.
 */
static int extension_byte(struct gy_h1_body *body, uint8_t byte)
{
    body->extension_bytes++;
    body->extension_total++;
    if (body->extension_bytes > body->extension_max ||
        body->extension_total > body->extension_max * 16) {
        return GY_H1_REFUSED_CHUNK_EXTENSION;
    }
    if (byte == '\n') {
        return GY_H1_REFUSED_BARE_LF;
    }
    if (byte != '\r' && !gy_http_is(byte, GY_HTTP_CLASS_VALUE)) {
        return GY_H1_REFUSED_CHUNK_EXTENSION;
    }
    switch ((enum gy_h1_body_state)body->state) {
    case GY_H1_BODY_SIZE_SPACE:
        if (byte == ';') {
            body->state = GY_H1_BODY_EXTENSION;
        } else if (!gy_http_is_space(byte)) {
            return GY_H1_REFUSED_CHUNK_SIZE;
        }
        return 0;
    case GY_H1_BODY_EXTENSION:
        if (gy_http_is(byte, GY_HTTP_CLASS_TOKEN)) {
            body->state = GY_H1_BODY_EXTENSION_ON;
        } else if (!gy_http_is_space(byte)) {
            return GY_H1_REFUSED_CHUNK_EXTENSION;
        }
        return 0;
    case GY_H1_BODY_EXTENSION_ON:
        if (byte == '\r') {
            body->state = GY_H1_BODY_SIZE_LF;
        } else if (byte == ';') {
            body->state = GY_H1_BODY_EXTENSION;
        } else if (byte == '"') {
            body->state = GY_H1_BODY_QUOTED;
        }
        return 0;
    case GY_H1_BODY_QUOTED:
        if (byte == '\r') {
            return GY_H1_REFUSED_CHUNK_EXTENSION;
        }
        if (byte == '"') {
            body->state = GY_H1_BODY_EXTENSION_ON;
        } else if (byte == '\\') {
            body->state = GY_H1_BODY_QUOTED_PAIR;
        }
        return 0;
    default:
        gy_assert(body->state == GY_H1_BODY_QUOTED_PAIR);
        body->state = GY_H1_BODY_QUOTED;
        return byte == '\r' ? GY_H1_REFUSED_CHUNK_EXTENSION : 0;
    }
}

/* One byte of what frames chunks. 0 or a refusal. */
static int frame_byte(struct gy_h1_body *body, uint8_t byte)
{
    switch ((enum gy_h1_body_state)body->state) {
    case GY_H1_BODY_SIZE:
        return size_byte(body, byte);
    case GY_H1_BODY_SIZE_LF:
        return byte == '\n' ? size_known(body) : GY_H1_REFUSED_BARE_CR;
    case GY_H1_BODY_DATA_CR:
        body->state = GY_H1_BODY_DATA_LF;
        return byte == '\r' ? 0 : GY_H1_REFUSED_CHUNK_END;
    case GY_H1_BODY_DATA_LF:
        body->state = GY_H1_BODY_SIZE;
        return byte == '\n' ? 0 : GY_H1_REFUSED_CHUNK_END;
    default:
        return extension_byte(body, byte);
    }
}

int gy_h1_body_frame(struct gy_h1_body *body, struct gy_chain *in, uint32_t *passed)
{
    uint32_t length;
    const uint8_t *data = gy_chain_front(in, &length);
    uint32_t at = 0;
    int refusal = 0;
    while (at < length && refusal == 0 && body->state != GY_H1_BODY_DATA &&
           body->state != GY_H1_BODY_TRAILERS) {
        refusal = frame_byte(body, data[at++]);
    }
    gy_chain_consume(in, at);
    *passed = at;
    return refusal;
}

/* ---- trailers -------------------------------------------------------------------------------- */

/* Parses the section, which ends `bytes` into the chain or cannot be right. */
static int trailers_parse(const struct gy_h1_reading *reading, struct gy_chain *in, uint32_t bytes,
                          struct gy_h1_trailers *trailers)
{
    uint8_t *room = gy_bump_reserve(reading->bump, bytes);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    gy_chain_copy(in, 0, bytes, room);
    int result = reading->parser->trailers(reading->limits, room, bytes, trailers);
    if (result != GY_H1_PARSED) {
        trailers->count = 0;
        return result;
    }
    if (trailers->count > 0) {
        trailers->section = gy_bump_slice(reading->bump, bytes);
    }
    gy_chain_consume(in, bytes);
    return result;
}

int gy_h1_trailers_read(const struct gy_h1_reading *reading, struct gy_chain *in,
                        struct gy_h1_scan *scan, struct gy_h1_trailers *trailers)
{
    uint32_t max = reading->limits->trailer_bytes;
    for (;;) {
        enum gy_h1_scan_result seen =
            gy_h1_scan(reading->parser, in, &scan->scanned, &scan->state, NULL);
        if (seen == GY_H1_SCAN_MORE && scan->scanned < max) {
            return GY_H1_INCOMPLETE;
        }
        uint32_t bytes = scan->scanned < max ? scan->scanned : max;
        int result = trailers_parse(reading, in, bytes, trailers);
        if (result == GY_H1_INCOMPLETE) {
            continue;
        }
        /* Starved: looked at again when there is memory, from the start. */
        *scan = (struct gy_h1_scan){0, result == GY_ENOBUFS ? GY_H1_SCAN_START : GY_H1_SCAN_LINE};
        return result;
    }
}

/* ---- heads ----------------------------------------------------------------------------------- */

/* Parses the first `bytes` of the chain where they lie, or joined when they straddle slices. */
static int head_joined(const struct gy_h1_reading *reading, struct gy_chain *in, uint32_t bytes,
                       struct gy_h1_found *found)
{
    uint32_t front;
    const uint8_t *data = gy_chain_front(in, &front);
    found->joined = front < bytes;
    if (found->joined) {
        uint8_t *room = gy_bump_reserve(reading->bump, bytes);
        if (room == NULL) {
            return GY_ENOBUFS;
        }
        gy_chain_copy(in, 0, bytes, room);
        data = room;
    }
    int result = found->parse(reading, data, bytes, found);
    if (result != GY_H1_PARSED) {
        return result;
    }
    gy_assert(found->bytes > 0 && found->bytes <= bytes);
    if (found->joined) {
        found->slice = gy_bump_slice(reading->bump, found->bytes);
    } else {
        struct gy_slice first = in->head->slice;
        found->slice = gy_slice_of(first.buffer, first.offset, found->bytes);
    }
    gy_chain_consume(in, found->bytes);
    return GY_H1_PARSED;
}

/*
 * The head is not a whole good one in the first slice: looks at what is new, and parses when there
 * is its end, a limit, something that cannot be right, or a whole line more. So each byte is looked
 * at once, each line parsed at most as often as there are lines, and the same bytes are refused at
 * the same byte however they arrive. `good`: all that is there was parsed, and is only incomplete.
 */
static int head_pieces(const struct gy_h1_reading *reading, struct gy_chain *in,
                       struct gy_h1_scan *scan, struct gy_h1_found *found, bool good)
{
    const struct gy_h1_limits *limits = reading->limits;
    for (;;) {
        uint32_t line_end;
        enum gy_h1_scan_result seen =
            gy_h1_scan(reading->parser, in, &scan->scanned, &scan->state, &line_end);
        uint32_t limit =
            (scan->state & GY_H1_SCAN_LATER) != 0 ? limits->head_bytes : limits->line_bytes;
        bool in_lines = seen == GY_H1_SCAN_MORE && scan->scanned < limit;
        if (in_lines && (line_end == 0 || good)) {
            return GY_H1_INCOMPLETE;
        }
        uint32_t bytes = in_lines ? line_end : scan->scanned;
        bytes = bytes < limits->head_bytes ? bytes : limits->head_bytes;
        int result = head_joined(reading, in, bytes, found);
        if (result != GY_H1_INCOMPLETE || in_lines) {
            return result;
        }
    }
}

int gy_h1_head_read(const struct gy_h1_reading *reading, struct gy_chain *in,
                    struct gy_h1_scan *scan, struct gy_h1_found *found)
{
    int result = GY_H1_INCOMPLETE;
    bool good = false;
    if (scan->scanned == 0) {
        uint32_t length;
        gy_chain_front(in, &length);
        result = head_joined(reading, in, length, found);
        good = result == GY_H1_INCOMPLETE && in->count == 1;
    }
    if (result != GY_H1_PARSED) {
        result = head_pieces(reading, in, scan, found, good);
    }
    if (result != GY_H1_INCOMPLETE) {
        /* Starved: looked at again when there is memory, from the start. */
        *scan = (struct gy_h1_scan){0, GY_H1_SCAN_LINE};
    }
    return result;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* "SIZE CR LF" before a chunk's data. */
static int chunk_open(struct gy_bump *bump, struct gy_chain *out, uint32_t size)
{
    uint8_t *room = gy_bump_reserve(bump, GY_H1_CHUNK_BYTES);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t digits = 1;
    while (digits < 8 && size >> 4 * digits != 0) {
        digits++;
    }
    for (uint32_t i = 0; i < digits; i++) {
        room[i] = (uint8_t) "0123456789abcdef"[size >> 4 * (digits - 1 - i) & 15];
    }
    room[digits] = '\r';
    room[digits + 1] = '\n';
    return gy_bump_commit(bump, out, digits + 2);
}

static int append_text(struct gy_bump *bump, struct gy_chain *out, const char *text,
                       uint32_t length)
{
    uint8_t *room = gy_bump_reserve(bump, length);
    if (room == NULL) {
        return GY_ENOBUFS;
    }
    memcpy(room, text, length);
    return gy_bump_commit(bump, out, length);
}

int gy_h1_piece_write(struct gy_bump *bump, struct gy_chain *out, struct gy_chain *piece,
                      struct gy_h1_piece how)
{
    int error = 0;
    if (piece->length > 0) {
        if (how.chunked) {
            error = chunk_open(bump, out, piece->length);
        }
        if (error == 0) {
            error = gy_chain_move(piece, out, piece->length);
        }
        if (error == 0 && how.chunked) {
            error = append_text(bump, out, "\r\n", 2);
        }
    }
    if (error == 0 && how.end && how.chunked) {
        error = append_text(bump, out, "0\r\n", 3);
        if (error == 0 && how.trailers != NULL && !gy_chain_empty(how.trailers)) {
            error = gy_chain_move(how.trailers, out, how.trailers->length);
        }
        if (error == 0) {
            error = append_text(bump, out, "\r\n", 2);
        }
    }
    return error;
}
