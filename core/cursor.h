/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_CURSOR_H
#define GY_CORE_CURSOR_H

/*
 * Bounds-checked reading and writing of contiguous bytes. Network byte order is big-endian.
 *
 * A cursor remembers that it ran past its end and from then on yields zeros (reader) or writes
 * nothing (writer): decode a whole structure first, then look at `failed` once. Raw pointer
 * arithmetic on network bytes has no place elsewhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct gy_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* something past the end was asked for */
};

struct gy_writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    bool failed; /* something did not fit */
};

/* `data` may be NULL for 0 bytes, as the front of an empty chain is. */
static inline struct gy_reader gy_reader_on(const void *data, size_t bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *start = data;
    if (start == NULL) {
        return (struct gy_reader){nothing, nothing, false};
    }
    return (struct gy_reader){start, start + bytes, false};
}

static inline size_t gy_reader_left(const struct gy_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next `bytes` bytes, or NULL (and failed) when there are fewer. */
static inline const uint8_t *gy_reader_bytes(struct gy_reader *reader, size_t bytes)
{
    if (reader->failed || gy_reader_left(reader) < bytes) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *data = reader->at;
    reader->at += bytes;
    return data;
}

static inline uint8_t gy_reader_u8(struct gy_reader *reader)
{
    const uint8_t *data = gy_reader_bytes(reader, 1);
    return data == NULL ? 0 : data[0];
}

static inline uint16_t gy_reader_u16(struct gy_reader *reader)
{
    const uint8_t *data = gy_reader_bytes(reader, 2);
    return data == NULL ? 0 : (uint16_t)(data[0] << 8 | data[1]);
}

static inline uint32_t gy_reader_u32(struct gy_reader *reader)
{
    const uint8_t *data = gy_reader_bytes(reader, 4);
    return data == NULL ? 0
                        : (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
                              (uint32_t)data[2] << 8 | data[3];
}

static inline uint64_t gy_reader_u64(struct gy_reader *reader)
{
    const uint8_t *data = gy_reader_bytes(reader, 8);
    uint64_t value = 0;
    for (size_t i = 0; data != NULL && i < 8; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static inline struct gy_writer gy_writer_on(void *data, size_t bytes)
{
    uint8_t *start = data;
    return (struct gy_writer){start, start, bytes > 0 ? start + bytes : start, false};
}

/* Bytes written so far. */
static inline size_t gy_writer_length(const struct gy_writer *writer)
{
    return (size_t)(writer->at - writer->start);
}

static inline void gy_writer_bytes(struct gy_writer *writer, const void *data, size_t bytes)
{
    if (writer->failed || (size_t)(writer->end - writer->at) < bytes) {
        writer->failed = true;
        return;
    }
    if (bytes > 0) {
        memcpy(writer->at, data, bytes);
        writer->at += bytes;
    }
}

static inline void gy_writer_text(struct gy_writer *writer, const char *text)
{
    gy_writer_bytes(writer, text, strlen(text));
}

static inline void gy_writer_u8(struct gy_writer *writer, uint8_t value)
{
    gy_writer_bytes(writer, &value, 1);
}

static inline void gy_writer_u16(struct gy_writer *writer, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    gy_writer_bytes(writer, bytes, sizeof bytes);
}

static inline void gy_writer_u32(struct gy_writer *writer, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    gy_writer_bytes(writer, bytes, sizeof bytes);
}

static inline void gy_writer_u64(struct gy_writer *writer, uint64_t value)
{
    gy_writer_u32(writer, (uint32_t)(value >> 32));
    gy_writer_u32(writer, (uint32_t)value);
}

/* Decimal digits, no sign, no leading zeros. */
static inline void gy_writer_decimal(struct gy_writer *writer, uint64_t value)
{
    char digits[20];
    size_t length = 0;
    do {
        digits[sizeof digits - ++length] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    gy_writer_bytes(writer, digits + sizeof digits - length, length);
}

#endif
