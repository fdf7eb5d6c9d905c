/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/drop/drop.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"

#define FLAG 1u

static bool read_flag(struct gy_reader *reader)
{
    uint8_t flags = gy_reader_u8(reader);
    reader->failed |= (flags & ~FLAG) != 0;
    return (flags & FLAG) != 0;
}

/* A text with its length before it. */
static void read_text(struct gy_reader *reader, struct gy_drop_message *message, uint32_t max)
{
    message->length = gy_reader_u16(reader);
    message->data = gy_reader_bytes(reader, message->length);
    reader->failed |= message->length > max;
}

static void read_hash(struct gy_reader *reader, struct gy_drop_message *message)
{
    const uint8_t *hash = gy_reader_bytes(reader, GY_DROP_HASH_BYTES);
    if (hash != NULL) {
        memcpy(message->hash, hash, GY_DROP_HASH_BYTES);
    }
}

static bool is_size(uint64_t size)
{
    return size <= GY_DROP_SIZE_MAX || size == GY_DROP_UNKNOWN;
}

static void read_data(struct gy_reader *reader, struct gy_drop_message *message)
{
    message->offset = gy_reader_u64(reader);
    message->length = (uint32_t)gy_reader_left(reader);
    message->data = gy_reader_bytes(reader, gy_reader_left(reader));
    reader->failed |= message->length == 0 || message->length > GY_DROP_DATA_BYTES ||
                      message->offset > GY_DROP_SIZE_MAX - message->length;
}

static void read_body(struct gy_reader *reader, struct gy_drop_message *message)
{
    switch (message->type) {
    case GY_DROP_OFFER:
        message->replace = read_flag(reader);
        message->size = gy_reader_u64(reader);
        read_text(reader, message, GY_DROP_NAME_BYTES);
        break;
    case GY_DROP_FETCH:
        message->offset = gy_reader_u64(reader);
        read_hash(reader, message);
        read_text(reader, message, GY_DROP_NAME_BYTES);
        break;
    case GY_DROP_HAVE:
        message->whole = read_flag(reader);
        message->offset = gy_reader_u64(reader);
        read_hash(reader, message);
        break;
    case GY_DROP_FROM:
        message->offset = gy_reader_u64(reader);
        message->size = gy_reader_u64(reader);
        reader->failed |= message->size != GY_DROP_UNKNOWN && message->offset > message->size;
        break;
    case GY_DROP_DATA:
        read_data(reader, message);
        break;
    case GY_DROP_END:
        message->size = gy_reader_u64(reader);
        reader->failed |= message->size == GY_DROP_UNKNOWN;
        read_hash(reader, message);
        break;
    case GY_DROP_RESULT:
        message->result = gy_reader_u8(reader);
        read_text(reader, message, GY_DROP_TEXT_BYTES);
        break;
    case GY_DROP_WORKING:
        message->offset = gy_reader_u64(reader);
        break;
    default:
        reader->failed = true;
    }
}

int gy_drop_decode(struct gy_drop_message *message, const void *data, size_t length)
{
    struct gy_reader reader = gy_reader_on(data, length);
    *message = (struct gy_drop_message){.type = (enum gy_drop_type)gy_reader_u8(&reader)};
    message->transfer = gy_reader_u32(&reader);
    read_body(&reader, message);
    bool good = !reader.failed && gy_reader_left(&reader) == 0 &&
                message->offset <= GY_DROP_SIZE_MAX && is_size(message->size);
    return good ? 0 : GY_EPROTO;
}

static void write_text(struct gy_writer *writer, const struct gy_drop_message *message)
{
    gy_writer_u16(writer, (uint16_t)message->length);
    gy_writer_bytes(writer, message->data, message->length);
}

size_t gy_drop_encode(const struct gy_drop_message *message, uint8_t out[GY_DROP_MESSAGE_BYTES])
{
    struct gy_writer writer = gy_writer_on(out, GY_DROP_MESSAGE_BYTES);
    gy_assert(message->offset <= GY_DROP_SIZE_MAX && is_size(message->size));
    gy_writer_u8(&writer, (uint8_t)message->type);
    gy_writer_u32(&writer, message->transfer);
    switch (message->type) {
    case GY_DROP_OFFER:
        gy_assert(message->length <= GY_DROP_NAME_BYTES);
        gy_writer_u8(&writer, message->replace ? FLAG : 0);
        gy_writer_u64(&writer, message->size);
        write_text(&writer, message);
        break;
    case GY_DROP_FETCH:
        gy_assert(message->length <= GY_DROP_NAME_BYTES);
        gy_writer_u64(&writer, message->offset);
        gy_writer_bytes(&writer, message->hash, GY_DROP_HASH_BYTES);
        write_text(&writer, message);
        break;
    case GY_DROP_HAVE:
        gy_writer_u8(&writer, message->whole ? FLAG : 0);
        gy_writer_u64(&writer, message->offset);
        gy_writer_bytes(&writer, message->hash, GY_DROP_HASH_BYTES);
        break;
    case GY_DROP_FROM:
        gy_writer_u64(&writer, message->offset);
        gy_writer_u64(&writer, message->size);
        break;
    case GY_DROP_END:
        gy_writer_u64(&writer, message->size);
        gy_writer_bytes(&writer, message->hash, GY_DROP_HASH_BYTES);
        break;
    case GY_DROP_RESULT:
        gy_assert(message->length <= GY_DROP_TEXT_BYTES);
        gy_writer_u8(&writer, message->result);
        write_text(&writer, message);
        break;
    case GY_DROP_WORKING:
        gy_writer_u64(&writer, message->offset);
        break;
    case GY_DROP_DATA:
    default:
        gy_assert(false);
    }
    gy_assert(!writer.failed);
    return gy_writer_length(&writer);
}

void gy_drop_encode_data(uint32_t transfer, uint64_t offset, uint8_t out[GY_DROP_DATA_HEAD])
{
    struct gy_writer writer = gy_writer_on(out, GY_DROP_DATA_HEAD);
    gy_writer_u8(&writer, GY_DROP_DATA);
    gy_writer_u32(&writer, transfer);
    gy_writer_u64(&writer, offset);
    gy_assert(!writer.failed && gy_writer_length(&writer) == GY_DROP_DATA_HEAD);
}

bool gy_drop_name_is_good(const void *name, size_t length, unsigned components)
{
    const uint8_t *at = name;
    size_t of_component = 0;
    unsigned slashes = 0;
    if (length == 0 || length > GY_DROP_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool slash = at[i] == '/';
        if (at[i] < 0x20 || at[i] == 0x7f || (slash && of_component == 0) ||
            (at[i] == '.' && of_component == 0)) {
            return false;
        }
        slashes += slash;
        of_component = slash ? 0 : of_component + 1;
        if (of_component > GY_DROP_COMPONENT_BYTES || slashes >= components) {
            return false;
        }
    }
    return of_component > 0;
}

const char *gy_drop_result_text(unsigned result)
{
    static const char *const texts[] = {
#define ROW(name, number, words) [number] = (words),
        GY_DROP_RESULTS(ROW)
#undef ROW
    };
    return result < sizeof texts / sizeof texts[0] ? texts[result] : "unknown result";
}
